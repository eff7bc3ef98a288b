// `npm run release -- --repository OWNER/NAME`: creates the files of a release in a folder, and
// publishes nothing. RELEASE.md says what to do with them.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { type Archive, CHECKSUMS, readArchives, sha256Of } from "./archives.ts";
import { brewFormula, krewManifest } from "./indexes.ts";
import { changelogEntry, commitTime, notReady, readManifest } from "./ready.ts";

const USAGE = `Usage: npm run release -- --repository OWNER/NAME [OPTION...]

Create the files of a release, without publishing anything.

  --repository OWNER/NAME  where the project is on GitHub
  --binaries FOLDER        output of \`npm run binaries\`; without it, no files for krew and Homebrew
  --out FOLDER             where to write (default: out)
  --dry-run                say why a release cannot be made, and continue; try publishing, without effect
`;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

interface Release {
  readonly version: string;
  readonly out: string;
  /** The folder for the files on the release page. */
  readonly files: string;
  /** Time of the commit, in seconds since 1970, which packed files get. */
  readonly time: number;
}

/** Each file gets the commit's time, so that a second run produces the same bytes. */
function packChart({ files, time }: Release): void {
  const scratch = mkdtempSync(join(tmpdir(), "signet-chart-"));
  try {
    cpSync("charts/signet", join(scratch, "signet"), { recursive: true });
    const names = readdirSync(scratch, { recursive: true, encoding: "utf8" });
    for (const name of names) utimesSync(join(scratch, name), time, time);
    run("helm", "package", join(scratch, "signet"), "--destination", files);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Returns the archive's name. */
function packManual({ version, files, time }: Release): string {
  const file = `kube-signet-${version}-man.tar.gz`;
  const same = ["--sort=name", `--mtime=@${time}`, "--owner=0", "--group=0", "--numeric-owner"];
  const pages = readdirSync("dist/man");
  // gzip would write the time into the archive.
  const compress = "--use-compress-program=gzip --no-name";
  run(
    "tar",
    ...same,
    "--mode=0644",
    compress,
    "-cf",
    join(files, file),
    "-C",
    "dist/man",
    ...pages,
  );
  return file;
}

function writeChecksums({ files }: Release): void {
  const lines = readdirSync(files)
    .sort()
    .map((name) => `${sha256Of(join(files, name))}  ${name}\n`);
  writeFileSync(join(files, CHECKSUMS), lines.join(""));
}

/** `home`: address of the project. */
function makeFiles(release: Release, home: string, archives: readonly Archive[]): void {
  const { version, out, files } = release;
  mkdirSync(files, { recursive: true });
  run("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", files);
  packChart(release);
  cpSync("deploy/signet.yaml", join(files, "signet.yaml"));
  cpSync("dist/sbom.cdx.json", join(files, `kube-signet-${version}.cdx.json`));
  const manual = packManual(release);
  if (archives.length > 0) {
    for (const { path, file } of archives) cpSync(path, join(files, file));
    const published = {
      ...{ version, home, archives, files: `${home}/releases/download/v${version}` },
      manual: { file: manual, sha256: sha256Of(join(files, manual)) },
    };
    write(join(out, "krew/signet.yaml"), krewManifest(published));
    write(join(out, "homebrew/kube-signet.rb"), brewFormula(published));
  }
  writeChecksums(release);
  write(join(out, "notes.md"), `${changelogEntry(version) ?? "A pre-release."}\n`);
}

function main(): number {
  const { values } = parseArgs({
    options: {
      repository: { type: "string" },
      binaries: { type: "string" },
      out: { type: "string", default: "out" },
      "dry-run": { type: "boolean", default: false },
    },
  });
  const { repository, binaries, out } = values;
  if (repository === undefined || !/^[\w.-]+\/[\w.-]+$/.test(repository)) {
    process.stderr.write(`--repository OWNER/NAME is required\n\n${USAGE}`);
    return 2;
  }
  if (existsSync(out)) {
    process.stderr.write(`${out} exists: remove it first\n`);
    return 1;
  }
  const manifest = readManifest();
  const reasons = notReady(manifest, repository);
  if (binaries === undefined) reasons.push("no --binaries: nothing for krew and Homebrew");
  for (const reason of reasons) say(`not ready: ${reason}`);
  if (reasons.length > 0 && !values["dry-run"]) return 1;

  const { version } = manifest;
  const archives = binaries === undefined ? [] : readArchives(binaries, version);
  const made = { version, out, files: join(out, "files"), time: commitTime() };
  makeFiles(made, `https://github.com/${repository}`, archives);
  if (values["dry-run"]) {
    run("helm", "lint", "--strict", "charts/signet");
    const tarball = join(out, "files", `kube-signet-${version}.tgz`);
    const publish = ["publish", `./${relative(".", tarball)}`, "--dry-run", "--ignore-scripts"];
    run("npm", ...publish, "--tag=next", "--loglevel=warn");
    say("npm publish --dry-run and helm lint --strict succeeded");
  }
  for (const name of readdirSync(out, { recursive: true, encoding: "utf8" }).sort()) say(name);
  return 0;
}

process.exitCode = main();

// `npm run binaries [-- [--out FOLDER] [--here | PLATFORM...]]`: builds signet and kubeseal as
// programs that do not need Node, for every platform or those that are named, in one archive each,
// with checksums. docs/decisions/2026-11-single-file-programs.md explains how, and
// docs/platforms.md what was tested. `--here`: for this machine alone, as files instead of an
// archive; `--bun PROGRAM` beside it: with this one instead of fetching it.
//
// The same sources give the same bytes. It needs Linux, the commands `tar` and `zip`, and npm's registry.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  utimes,
  writeFile,
} from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { commitOfTree } from "./commit.mjs";
import { buildPage } from "./page.mjs";
import { platformOf, signatureState, withoutSignature } from "./executables.mjs";
import { withoutChildProcess, withoutUnusedKubernetes } from "./plugins.mjs";

const root = resolve(fileURLToPath(import.meta.url), "../..");
const PROGRAMS = ["signet", "kubeseal"];
/**
 * The file name of a program. It differs for `kubeseal`, so that unpacking into a folder of PATH
 * does not overwrite an existing one.
 */
const fileOf = (name) => (name === "kubeseal" ? "signet-kubeseal" : name);

/** The runtime in the programs: for each platform npm's package of Bun, and the SHA-512 that the registry says. */
const BUN = JSON.parse(await readFile(join(root, "build/bun.json"), "utf8"));
const PLATFORMS = Object.keys(BUN.packages);

/**
 * Without these options, a program would read `.env` and run what `bunfig.toml` names, both in the
 * current folder, which may be a stranger's repository.
 */
const ALONE = ["dotenv", "bunfig", "tsconfig", "package-json"].map(
  (file) => `--no-compile-autoload-${file}`,
);

/** The earliest time that a zip archive can store, in UTC. */
const FILE_TIME = new Date("1980-01-01T00:00:00Z");

function run(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    ...options,
    env: { ...process.env, ...options.env },
  });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
}

/** Tens of megabytes, on whatever network: it is tried three times. */
function fetchPackage(name, folder) {
  const args = ["pack", name, "--loglevel=error", "--pack-destination", folder];
  for (let attempt = 1; ; attempt++) {
    try {
      return run("npm", args, { cwd: folder });
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}

/**
 * Returns the path of Bun for a platform, in the user's cache. @throws Error if it is not the
 * pinned version
 */
async function bunFor(target, scratch) {
  const { target: ofBun, integrity } = BUN.packages[target];
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const folder = join(cache, "kube-signet", "bun");
  const archive = join(folder, `bun-${ofBun}-${BUN.version}.tgz`);
  const read = () => readFile(archive).catch(() => undefined);
  if ((await read()) === undefined) {
    await mkdir(folder, { recursive: true });
    fetchPackage(`@oven/bun-${ofBun}@${BUN.version}`, scratch);
    // Another run may do the same at the same time.
    const own = `${archive}.${process.pid}`;
    await copyFile(join(scratch, `oven-bun-${ofBun}-${BUN.version}.tgz`), own);
    await rename(own, archive);
  }
  const sum = createHash("sha512")
    .update(await read())
    .digest("base64");
  if (sum !== integrity) throw new Error(`${archive}: not the pinned package; remove it`);
  const unpacked = join(scratch, `bun-${ofBun}`);
  await mkdir(unpacked);
  run("tar", ["-xzf", archive, "-C", unpacked]);
  return join(unpacked, "package/bin", target.startsWith("windows") ? "bun.exe" : "bun");
}

/** Bundles each program into a single JavaScript file. */
async function bundlePrograms(scratch, version) {
  const page = await buildPage(root);
  await build({
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    minify: true,
    logLevel: "warning",
    legalComments: "none",
    define: {
      __VERSION__: JSON.stringify(version),
      __COMMIT__: JSON.stringify(commitOfTree(root)),
      __PAGE__: JSON.stringify(page.html),
      __PAGE_POLICY__: JSON.stringify(page.policy),
    },
    alias: { punycode: "./node_modules/punycode/punycode.js" },
    entryPoints: PROGRAMS.map((name) => ({ in: `cli/${name}.ts`, out: name })),
    outdir: scratch,
    outExtension: { ".js": ".cjs" },
    plugins: [withoutChildProcess, withoutUnusedKubernetes],
  });
}

/** Compiles a program for a platform; returns its path. @throws Error if the file is for another one */
async function compile(name, target, { scratch, folder, compiler }) {
  const runtime = await compiler(target);
  const file = join(folder, `${fileOf(name)}${target.startsWith("windows") ? ".exe" : ""}`);
  const forTarget = `--target=bun-${BUN.packages[target].target}`;
  const args = ["build", "--compile", "--bytecode", ...ALONE, forTarget];
  const here = await compiler(thisMachine());
  // Relative, because the program contains the path of the bundle.
  run(here, [...args, `--compile-executable-path=${runtime}`, `${name}.cjs`, "--outfile", file], {
    cwd: scratch,
  });
  let bytes = await readFile(file);
  if (platformOf(bytes) !== target) throw new Error(`${file}: is for ${platformOf(bytes)}`);
  if (target.startsWith("macos") && signatureState(bytes) === "broken") {
    // Remains of the signature of Bun's authors. Macs with Intel processors run programs without
    // one.
    if (target !== "macos-x64") throw new Error(`${file}: has a broken signature`);
    bytes = withoutSignature(bytes);
    await writeFile(file, bytes, { mode: 0o755 });
  }
  return file;
}

function thisMachine() {
  const here = `${process.platform}-${process.arch}`;
  if (process.platform !== "linux" || !PLATFORMS.includes(here)) {
    throw new Error("the programs can be built only on Linux, x64 or arm64");
  }
  return here;
}

/** The shells that get a script, and how the names of their scripts end. */
const COMPLETIONS = { bash: "bash", zsh: "zsh", fish: "fish", powershell: "ps1" };

/** The completion scripts and texts that go with the programs, in a folder. */
async function writeTexts(folder) {
  await copyFile(join(root, "LICENSE"), join(folder, "LICENSE"));
  const licences = "THIRD-PARTY-LICENSES.txt";
  await copyFile(join(root, "dist", licences), join(folder, licences));
  await mkdir(join(folder, "completion"), { recursive: true });
  for (const [shell, extension] of Object.entries(COMPLETIONS)) {
    const script = run(process.execPath, [join(root, "dist/signet.cjs"), "completion", shell]);
    await writeFile(join(folder, `completion/signet.${extension}`), script);
  }
}

/** Packs a folder so that the same files give the same bytes; returns the archive. */
async function pack(folder, name, isZip) {
  const inside = (args, command = "tar") =>
    run(command, args, {
      cwd: folder,
      env: { TZ: "UTC", LC_ALL: "C" },
      encoding: "buffer",
      maxBuffer: 2 ** 30,
    });
  const paths = inside(["."], "find").toString().trim().split("\n").sort();
  for (const path of paths) await utimes(join(folder, path), FILE_TIME, FILE_TIME);
  const archive = `${folder}/../${name}.${isZip ? "zip" : "tar.gz"}`;
  const files = paths.slice(1).map((path) => path.slice(2));
  if (isZip) {
    inside(["-X", "-D", "-q", archive, ...files], "zip");
    return resolve(archive);
  }
  const owner = ["--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"];
  const tar = inside(["--format=ustar", ...owner, "--no-recursion", "-cf", "-", ...files]);
  await writeFile(archive, gzipSync(tar, { level: 9 }));
  return resolve(archive);
}

async function main(args) {
  const options = {
    here: { type: "boolean" },
    bun: { type: "string" },
    out: { type: "string", default: "dist.binaries" },
  };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const out = resolve(root, values.out);
  const targets = positionals.length > 0 ? positionals : PLATFORMS;
  const unknown = targets.find((each) => !PLATFORMS.includes(each));
  if (unknown !== undefined) {
    throw new Error(`unknown platform ${unknown}; expected one of ${PLATFORMS.join(", ")}`);
  }
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const scratch = await mkdtemp(join(tmpdir(), "kube-signet-binaries-"));
  const compilers = new Map();
  if (values.bun !== undefined) {
    if (!values.here) throw new Error("--bun goes with --here only");
    compilers.set(thisMachine(), resolve(values.bun));
  }
  const compiler = (target) => {
    if (!compilers.has(target)) compilers.set(target, bunFor(target, scratch));
    return compilers.get(target);
  };
  try {
    await bundlePrograms(scratch, version);
    await mkdir(out, { recursive: true });
    if (values.here) {
      for (const name of PROGRAMS)
        await compile(name, thisMachine(), { scratch, folder: out, compiler });
      await writeTexts(out);
      return;
    }
    const sums = [];
    for (const target of targets) {
      const folder = join(scratch, target);
      await mkdir(folder);
      for (const name of PROGRAMS) await compile(name, target, { scratch, folder, compiler });
      await writeTexts(folder);
      const archive = `kube-signet-${version}-${target}`;
      const made = await pack(folder, archive, target.startsWith("windows"));
      const name = made.slice(made.lastIndexOf("/") + 1);
      const bytes = await readFile(made);
      await writeFile(join(out, name), bytes);
      sums.push(`${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`);
      process.stdout.write(`${name}: ${Math.round(bytes.length / 1e6)} MB\n`);
      await rm(folder, { recursive: true });
      await rm(made);
    }
    await writeFile(join(out, "checksums.txt"), sums.join(""));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

await main(process.argv.slice(2));

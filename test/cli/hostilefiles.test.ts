// Repositories whose links, pipes and devices lead out of them. The commands run on real files.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Finished } from "../cluster/program.ts";
import { KEYS, Workplace } from "./workplace.ts";

const LEADS_OUT = "a link in this path leads outside the repository";

const DEEP = "folders are nested more than 256 deep";

const SECRET = `apiVersion: v1
kind: Secret
metadata: {name: db, namespace: shop}
stringData: {password: hunter2}
`;

let place: Workplace;
const at = (path: string): string => join(place.folder, path);
/** A file of another repository, or of the user's home. */
const outside = (path: string): string => join(place.root, "home", path);
const git = (...args: string[]): string =>
  execFileSync("git", args, { cwd: place.folder, encoding: "utf8" });

beforeEach(() => {
  place = new Workplace();
  git("init", "-qb", "main");
});
afterEach(() => {
  place.remove();
});

/** That a command failed, said why, and left the file outside as it was. */
function expectRefused(
  { status, stdout, stderr }: Finished,
  path: string,
  words = "a link in this path leads outside the repository",
): void {
  // `verify` prints findings on standard output.
  const all = stdout + stderr;
  expect(all).toContain(words);
  expect(all).toContain(path);
  expect(status).not.toBe(0);
  expect(all).not.toContain("hunter2");
}

describe("a certificate file that is a link", () => {
  const pinned = readFileSync("test/fixtures/other-cert.pem", "utf8");

  beforeEach(() => {
    writeFileSync(outside("pinned.pem"), pinned, { mode: 0o640 });
    rmSync(at("certificates/dev.pem"));
    symlinkSync(outside("pinned.pem"), at("certificates/dev.pem"));
  });

  it("is not written through by `cert refresh`", async () => {
    const cert = join(process.cwd(), "test/fixtures/cert.pem");
    place.write("signet.yaml", `clusters: {dev: {url: "file://${cert}"}}\n`);
    expectRefused(await place.signet(["cert", "refresh"]), "certificates/dev.pem");
    expect(readFileSync(outside("pinned.pem"), "utf8")).toBe(pinned);
    expect(statSync(outside("pinned.pem")).mode & 0o777).toBe(0o640);
  });

  it("does not seal, and `init` and `verify` do not read it", async () => {
    place.write("dev/shop/db.yaml", SECRET);
    expectRefused(await place.signet(["seal", "dev/shop/db.yaml"]), "certificates/dev.pem");
    expectRefused(await place.signet(["verify"]), "certificates/dev.pem");
  });

  it("within the repository is followed", async () => {
    rmSync(at("certificates/dev.pem"));
    symlinkSync("prod.pem", at("certificates/dev.pem"));
    const { status } = await place.signet(["seal", "--cluster", "dev", "-"], SECRET);
    expect(status).toBe(0);
  });
});

describe("files and folders that are links", () => {
  it("`seal --in-place FOLDER` replaces nothing in a folder outside", async () => {
    mkdirSync(outside("other"));
    writeFileSync(outside("other/db.yaml"), SECRET);
    place.write("dev/shop/own.yaml", SECRET.replace("db", "own"));
    symlinkSync(outside("other"), at("dev/linked"));
    const { status } = await place.signet(["seal", "--in-place", "."]);
    expect(status).toBe(0);
    expect(place.read("dev/shop/own.yaml")).toContain("SealedSecret");
    expect(readFileSync(outside("other/db.yaml"), "utf8")).toBe(SECRET);
  });

  it("`seal`, `set --all-clusters`, `verify` and `scan` pass over a file outside and say so; `reseal` and `diff` refuse it", async () => {
    const sealed = await place.sealed("dev", "db", { password: "old" });
    writeFileSync(outside("db.yaml"), sealed);
    mkdirSync(at("dev/shop"), { recursive: true });
    symlinkSync(outside("db.yaml"), at("dev/shop/db.yaml"));
    await place.seal("prod", "db", { password: "old" });
    git("add", ".");
    const recovery = Object.values(KEYS).flatMap((key) => ["--recovery-key", key]);
    for (const args of [
      ["seal", "--in-place", "."],
      ["verify"],
      ["scan"],
      ["reseal", ...recovery],
      ["diff", "--revisions", "HEAD"],
    ]) {
      if (args[0] === "diff")
        git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "1");
      const result = await place.signet(args);
      if (args[0] === "diff" || args[0] === "reseal") expectRefused(result, "dev/shop/db.yaml");
      else {
        expect(result.status, `${args[0]}: ${result.stderr}`).toBe(0);
        const told = new RegExp(`dev/shop/db.yaml.* ${LEADS_OUT}`);
        expect(result.stdout + result.stderr).toMatch(told);
      }
      expect(readFileSync(outside("db.yaml"), "utf8")).toBe(sealed);
    }
    await place.signet(["set", "prod/shop/db.yaml", "password", "--all-clusters"], "new");
    expect(readFileSync(outside("db.yaml"), "utf8")).toBe(sealed);
  });

  it("no named path below the repository is read or written through a link that leads out", async () => {
    mkdirSync(outside("fold"));
    const sealed = await place.sealed("dev", "db", { password: "old" });
    writeFileSync(outside("fold/sealed.yaml"), sealed);
    writeFileSync(outside("fold/db.yaml"), SECRET);
    symlinkSync(outside("fold"), at("fold"));
    symlinkSync(outside("fold/db.yaml"), at("link.yaml"));
    place.write("plain.yaml", SECRET);
    const before = readdirSync(outside("fold"));
    const dev = ["--cluster", "dev"];
    for (const args of [
      ["seal", ...dev, "plain.yaml", "--output", "fold/new.yaml"],
      ["seal", ...dev, "plain.yaml", "--output", at("fold/new.yaml")],
      ["seal", ...dev, "plain.yaml", "--output", "fold/"],
      ["seal", ...dev, "plain.yaml", "--output", "fold/a/b/new.yaml"],
      ["seal", ...dev, "plain.yaml", "--output", "link.yaml"],
      ["seal", ...dev, "--in-place", "fold/db.yaml"],
      ["seal", ...dev, "--in-place", "link.yaml"],
      ["seal", ...dev, "--in-place", "fold"],
      ["seal", ...dev, "plain.yaml", "--merge-into", "fold/sealed.yaml"],
      ["new", "db", "-n", "shop", ...dev, "--generate", "password", "-w", "fold/new.yaml"],
      ["set", ...dev, "fold/sealed.yaml", "--generate", "password"],
      ["unset", "fold/sealed.yaml", "password"],
      ["reseal", "fold", "--recovery-key", KEYS.dev],
      ["unseal", "fold/sealed.yaml", "--recovery-key", KEYS.dev],
      ["verify", "fold/sealed.yaml"],
      ["verify", "fold"],
      ["scan", "link.yaml"],
      ["scan", "fold"],
    ]) {
      const { status, stderr } = await place.signet(args);
      expect(stderr, args.join(" ")).toContain(LEADS_OUT);
      expect(status, args.join(" ")).not.toBe(0);
    }
    expect(readdirSync(outside("fold"))).toEqual(before);
    expect(readFileSync(outside("fold/db.yaml"), "utf8")).toBe(SECRET);
    expect(readFileSync(outside("fold/sealed.yaml"), "utf8")).toBe(sealed);
  });

  it("`new` writes no file into a linked folder", async () => {
    mkdirSync(outside("other"));
    symlinkSync(outside("other"), at("dev"));
    const args = ["new", "db", "-n", "shop", "--cluster", "dev", "--generate", "password"];
    expectRefused(await place.signet(args), "dev/shop/db.yaml");
    expect(existsSync(outside("other/shop"))).toBe(false);
  });

  it("`seal --output FOLDER` writes through no link in that folder", async () => {
    mkdirSync(at("plain/sub"), { recursive: true });
    mkdirSync(outside("other"));
    writeFileSync(at("plain/sub/db.yaml"), SECRET);
    mkdirSync(at("sealed"));
    symlinkSync(outside("other"), at("sealed/sub"));
    const args = ["seal", "plain", "--output", "sealed", "--cluster", "dev"];
    expectRefused(await place.signet(args), "sealed/sub/db.yaml");
    expect(existsSync(outside("other/db.yaml"))).toBe(false);
  });

  it("`seal FILE --output FOLDER` writes through no link in that folder", async () => {
    writeFileSync(at("db.yaml"), SECRET);
    writeFileSync(outside("db.yaml"), "theirs");
    mkdirSync(at("sealed"));
    symlinkSync(outside("db.yaml"), at("sealed/db.yaml"));
    const args = ["seal", "db.yaml", "--output", "sealed", "--cluster", "dev"];
    expectRefused(await place.signet(args), "sealed/db.yaml");
    expect(readFileSync(outside("db.yaml"), "utf8")).toBe("theirs");
  });

  it("neither names a file of Git: `new`, `cert refresh`", async () => {
    const cert = join(process.cwd(), "test/fixtures/cert.pem");
    place.write(
      "signet.yaml",
      `clusters: {dev: {}, test: {certificate: .git/hooks/pre-commit, url: "file://${cert}"}}
newFile: .git/hooks/{name}
`,
    );
    const args = ["new", "pre-push", "-n", "shop", "--cluster", "dev", "--generate", "password"];
    expectRefused(await place.signet(args), ".git/hooks/pre-push");
    expectRefused(await place.signet(["cert", "refresh", "test"]), ".git/hooks/pre-commit");
    expect(existsSync(at(".git/hooks/pre-push"))).toBe(false);
    expect(existsSync(at(".git/hooks/pre-commit"))).toBe(false);
  });

  it("`--from-file FOLDER` takes no file from elsewhere as a value", async () => {
    mkdirSync(at("values"));
    writeFileSync(outside("id_rsa"), "hunter2");
    symlinkSync(outside("id_rsa"), at("values/key"));
    const args = [
      "seal",
      "--name",
      "db",
      "-n",
      "shop",
      "--cluster",
      "dev",
      "--from-file",
      "values",
    ];
    expectRefused(await place.signet(args), "values/key");
  });

  it("signet.yaml is not read from elsewhere", async () => {
    writeFileSync(outside("signet.yaml"), place.read("signet.yaml"));
    rmSync(at("signet.yaml"));
    symlinkSync(outside("signet.yaml"), at("signet.yaml"));
    expectRefused(await place.signet(["verify"]), "signet.yaml");
    expectRefused(await place.signet(["init", "--cluster", "test", "--no-fetch"]), "signet.yaml");
    expect(readFileSync(outside("signet.yaml"), "utf8")).not.toContain("test");
  });

  it("a person may name a link outside of the repository, which is followed", async () => {
    writeFileSync(outside("db.yaml"), SECRET);
    symlinkSync(outside("db.yaml"), outside("link.yaml"));
    const link = outside("link.yaml");
    const { status } = await place.signet(["seal", link, "--in-place", "--cluster", "dev"]);
    expect(status).toBe(0);
    expect(readFileSync(outside("db.yaml"), "utf8")).toContain("SealedSecret");
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    place.write("db.yaml", "kind: Other\n");
    const piped = `cat db.yaml | node ${join(process.cwd(), "dist/signet.cjs")} verify /dev/stdin`;
    expect((await place.run(["sh", "-c", piped])).stderr).not.toContain("regular file");
  });
});

describe("pipes and devices", () => {
  it.for(["pipe", "device"])(
    "a %s as a manifest neither blocks nor fills the memory",
    async (what) => {
      mkdirSync(at("dev"));
      if (what === "pipe") execFileSync("mkfifo", [at("dev/x.yaml")]);
      else symlinkSync("/dev/zero", at("dev/x.yaml"));
      for (const args of [["seal", "--in-place", "."], ["verify"], ["diff", "dev"]]) {
        const result = await place.signet(args);
        const isPassedOver = what === "device" && args[0] === "seal";
        if (isPassedOver)
          expect(result.stderr).toContain(`dev/x.yaml: skipped, because ${LEADS_OUT}`);
        else expectRefused(result, "dev/x.yaml", "not a regular file");
      }
      if (what === "device") {
        git("add", ".");
        expect((await place.signet(["scan"])).stdout).toContain(LEADS_OUT);
      }
    },
  );

  it.for(["pipe", "device"])("nor does a %s as a certificate or as its address", async (what) => {
    rmSync(at("certificates/dev.pem"));
    if (what === "pipe") execFileSync("mkfifo", [at("certificates/dev.pem")]);
    else symlinkSync("/dev/zero", at("certificates/dev.pem"));
    const words = "not a regular file";
    const refused = await place.signet(["seal", "--cluster", "dev", "-"], SECRET);
    expectRefused(refused, "certificates/dev.pem", words);
    place.write("signet.yaml", `clusters: {test: {url: "file://${at("certificates/dev.pem")}"}}\n`);
    expectRefused(await place.signet(["cert", "refresh"]), "certificates/dev.pem", words);
  });

  it("a file larger than a forge takes is not read", async () => {
    place.write("dev/large.yaml", "# ".padEnd(129 * 1024 * 1024, "x"));
    expectRefused(await place.signet(["verify"]), "dev/large.yaml", "larger than 128 MiB");
  });
});

describe("`git install`", () => {
  it("writes to no .gitattributes that is a link out of the repository", async () => {
    writeFileSync(outside(".bashrc"), "# mine\n");
    symlinkSync(outside(".bashrc"), at(".gitattributes"));
    expectRefused(await place.signet(["git", "install"]), ".gitattributes");
    expectRefused(await place.signet(["git", "uninstall"]), ".gitattributes");
    expect(readFileSync(outside(".bashrc"), "utf8")).toBe("# mine\n");
    expect(existsSync(at(".git/hooks/pre-commit"))).toBe(false);
    expect(git("config", "--local", "--list")).not.toContain("signet");
  });

  it("writes no hook through a link in a folder of hooks that the repository has, even by force", async () => {
    writeFileSync(outside(".bashrc"), "# mine\n", { mode: 0o644 });
    git("config", "core.hooksPath", ".husky");
    mkdirSync(at(".husky"));
    symlinkSync(outside(".bashrc"), at(".husky/pre-commit"));
    for (const args of [[], ["--force"]]) {
      expectRefused(await place.signet(["git", "install", ...args]), ".husky/pre-commit");
    }
    rmSync(at(".husky"), { recursive: true });
    mkdirSync(outside("hooks"));
    symlinkSync(outside("hooks"), at(".husky"));
    const words = "core.hooksPath points outside of this repository";
    expectRefused(await place.signet(["git", "install"]), ".husky/pre-commit", words);
    expect(existsSync(outside("hooks/pre-commit"))).toBe(false);
    expect(readFileSync(outside(".bashrc"), "utf8")).toBe("# mine\n");
    expect(statSync(outside(".bashrc")).mode & 0o777).toBe(0o644);
  });

  it.for([
    "$(touch ran)/*.yaml",
    "`touch ran`/*.yaml",
    "a;touch ran;/*.yaml",
    "a&touch ran/*.yaml",
    "a|touch ran/*.yaml",
    "a>ran/*.yaml",
    'a"b/*.yaml',
    "a\ntouch ran/*.yaml",
    "a\rb/*.yaml",
    "a\u202eb/*.yaml",
    "$HOME/*.yaml",
    "{a,b}".repeat(40),
  ])("refuses the pattern %j of signet.yaml", async (pattern) => {
    const rules = JSON.stringify({ [pattern]: "dev" });
    place.write("signet.yaml", `clusters: {dev: {}}\npaths: ${rules}\n`);
    const { status } = await place.signet(["git", "install"]);
    expect(status).not.toBe(0);
    expect(existsSync(at(".gitattributes"))).toBe(false);
    expect(existsSync(at(".git/hooks/pre-commit"))).toBe(false);
  });

  it("writes an apostrophe as a pattern for any character, as a shell would read on after it", async () => {
    place.write("signet.yaml", `clusters: {dev: {}}\npaths: {"it's here/**": dev}\n`);
    expect((await place.signet(["git", "install"])).status).toBe(0);
    expect(place.read(".gitattributes")).toContain("/it?s[[:space:]]here/**/*.yaml diff=signet");
    expect(git("check-attr", "diff", "it's here/x.yaml")).toContain("diff: signet");
  });

  it("keeps working in a further working tree, whose .git is a file", async () => {
    git("add", ".");
    git("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "1");
    git("worktree", "add", "-q", join(place.root, "tree"));
    const command = [process.execPath, join(process.cwd(), "dist/signet.cjs"), "git", "install"];
    const { status, stderr } = await place.run([
      ...["sh", "-c", 'cd ../tree && exec "$@"', "sh"],
      ...command,
    ]);
    expect(stderr).toContain("pre-commit");
    expect(status).toBe(0);
    expect(readFileSync(join(place.root, "tree/.gitattributes"), "utf8")).toContain("signet");
  });
});

describe("folders that are nested too deeply", () => {
  it("are an error of `verify`, `scan` and `seal`, with Git and without", async () => {
    const deep = `${"d/".repeat(257)}db.yaml`;
    place.write(deep, SECRET);
    const commands = [["verify"], ["scan"], ["seal", "--in-place", "."]];
    for (const args of commands) expectRefused(await place.signet(args), deep.slice(0, 512), DEEP);
    rmSync(at(".git"), { recursive: true });
    for (const args of commands) expectRefused(await place.signet(args), deep.slice(0, 512), DEEP);
    expect(place.read(deep)).toBe(SECRET);
  });
});

// The opener and the writer for paths that come from a repository's content.
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { treeSource } from "../../cli/checks/scannedfiles.ts";
import { writeAtomically } from "../../host/atomicwrite.ts";
import { manifestsBelow } from "../../host/manifestfiles.ts";
import { checkOpenWithin, isWithin, readWithin, rootOf } from "../../host/rootedfiles.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { cpu } from "../shared/growth.ts";

const LIMIT = 1000;
let outside = "";
let root = "";
const at = (path: string): string => join(root, path);

beforeEach(() => {
  outside = realpathSync(mkdtempSync(join(tmpdir(), "signet-rooted-")));
  root = join(outside, "repository");
  mkdirSync(join(root, "folder"), { recursive: true });
  writeFileSync(at("folder/file"), "inside");
  writeFileSync(join(outside, "file"), "outside", { mode: 0o600 });
});
afterEach(() => {
  rmSync(outside, { recursive: true, force: true });
});

const leadsOut = expect.objectContaining({
  code: "io",
  message: expect.stringContaining("a link in this path leads outside the repository") as string,
}) as Error;

describe("reading below a root", () => {
  it("reads a file, also through links that stay below the root", () => {
    symlinkSync("file", at("folder/link"));
    symlinkSync("folder", at("elsewhere"));
    symlinkSync(at("folder/file"), at("absolute"));
    for (const path of ["folder/file", "folder/link", "elsewhere/link", "absolute"]) {
      expect(readWithin(root, at(path), LIMIT).toString()).toBe("inside");
    }
  });

  it("refuses what leads out of the root: by a link, by a linked folder, by a chain, by dots", () => {
    symlinkSync(join(outside, "file"), at("link"));
    symlinkSync("../file", at("relative"));
    symlinkSync("link", at("chain"));
    symlinkSync("..", at("up"));
    mkdirSync(join(outside, "repository-2"));
    writeFileSync(join(outside, "repository-2/file"), "another");
    symlinkSync("../repository-2", at("sibling"));
    for (const path of ["link", "relative", "chain", "up/file", "../file", "sibling/file"]) {
      expect(() => readWithin(root, at(path), LIMIT), path).toThrow(leadsOut);
    }
  });

  it("refuses Git's own folder, in whatever case, which is no content", () => {
    mkdirSync(at(".git/hooks"), { recursive: true });
    writeFileSync(at(".git/config"), "[core]");
    symlinkSync(".git/config", at("link"));
    expect(() => readWithin(root, at("link"), LIMIT)).toThrow(leadsOut);
    expect(isWithin(root, at(".GIT/config"))).toBe(false);
    expect(isWithin(root, at("sub/.git/config"))).toBe(false);
    expect(isWithin(root, at(".github/workflows/ci.yaml"))).toBe(true);
    expect(isWithin(root, at("..file"))).toBe(true);
  });

  it("neither waits for a pipe, nor reads a device or a folder", () => {
    execFileSync("mkfifo", [at("pipe")]);
    symlinkSync("/dev/zero", at("zero"));
    symlinkSync("/dev/stdin", at("stdin"));
    for (const path of ["pipe", "zero", "folder"]) {
      expect(() => readWithin(root, at(path), LIMIT), path).toThrow("not a regular file");
    }
    expect(() => readWithin(root, at("stdin"), LIMIT)).toThrow();
    // Not because it leads out: below the root of the file system nothing does.
    expect(() => readWithin("/", "/dev/zero", LIMIT)).toThrow("not a regular file");
  });

  it("reads no more than the limit, also of a file that grows or lies about its size", () => {
    writeFileSync(at("full"), "x".repeat(LIMIT));
    expect(readWithin(root, at("full"), LIMIT)).toHaveLength(LIMIT);
    appendFileSync(at("full"), "x");
    expect(() => readWithin(root, at("full"), LIMIT)).toThrow("the file is larger than");
    // Its size is 0, and it has text.
    expect(statSync("/proc/self/mountinfo").size).toBe(0);
    expect(() => readWithin("/", "/proc/self/mountinfo", 10)).toThrow("the file is larger than");
  });

  it("goes by the file that is open, not by the one that the path names later", () => {
    symlinkSync(join(outside, "file"), at("link"));
    const file = openSync(at("link"), "r");
    rmSync(at("link"));
    writeFileSync(at("link"), "replaced");
    try {
      expect(() => {
        checkOpenWithin(root, file, at("link"), "link");
      }).toThrow(leadsOut);
    } finally {
      closeSync(file);
    }
  });

  it("names the file when it is missing", () => {
    expect(() => readWithin(root, at("none"), LIMIT)).toThrow(
      expect.objectContaining({ code: "io", place: { file: at("none") } }) as Error,
    );
  });
});

describe("the root of a folder", () => {
  it("is its repository, also with a .git file, or else the folder; links to it are resolved", () => {
    expect(rootOf(at("folder"))).toBe(at("folder"));
    symlinkSync(at("folder"), join(outside, "link"));
    expect(rootOf(join(outside, "link"))).toBe(at("folder"));
    writeFileSync(at(".git"), "gitdir: elsewhere");
    expect(rootOf(join(outside, "link"))).toBe(root);
  });
});

describe("writing below a root", () => {
  const write = (path: string, text = "new"): Promise<void> =>
    writeFiles([{ path: at(path), text, root }]);

  it("replaces a file through a link that stays below the root, and keeps its mode", async () => {
    symlinkSync("folder/file", at("link"));
    await write("link");
    await write("new/folder/file");
    expect(readFileSync(at("folder/file"), "utf8")).toBe("new");
    expect(readFileSync(at("new/folder/file"), "utf8")).toBe("new");
    expect(lstatSync(at("link")).isSymbolicLink()).toBe(true);
  });

  it("changes and creates nothing outside: no file, no folder, no mode", async () => {
    symlinkSync(join(outside, "file"), at("link"));
    symlinkSync("..", at("up"));
    symlinkSync(join(outside, "missing"), at("dangling"));
    mkdirSync(at(".git/hooks"), { recursive: true });
    symlinkSync(".git/hooks", at("hooks"));
    const before = readdirSync(outside);
    for (const path of ["link", "up/file", "up/new", "up/a/b", "../new", "hooks/pre-commit"]) {
      await expect(write(path), path).rejects.toThrow(leadsOut);
    }
    await expect(write("dangling/new")).rejects.toThrow("cannot write");
    expect(readdirSync(outside)).toEqual(before);
    expect(readdirSync(at(".git/hooks"))).toEqual([]);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("outside");
    expect(statSync(join(outside, "file")).mode & 0o777).toBe(0o600);
  });

  it("replaces a link that leads nowhere by a file", async () => {
    symlinkSync(join(outside, "missing"), at("link"));
    await write("link");
    expect(lstatSync(at("link")).isFile()).toBe(true);
    expect(readdirSync(outside)).not.toContain("missing");
  });

  it("does not rename into a folder that became a link after the file was staged", async () => {
    const writing = write("folder/file");
    renameSync(at("folder"), at("moved"));
    symlinkSync("..", at("folder"));
    await expect(writing).rejects.toThrow(leadsOut);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("outside");
    expect(readdirSync(outside).sort()).toEqual(["file", "repository"]);
  });

  it("writes none of several files if one leads out", async () => {
    symlinkSync(join(outside, "file"), at("link"));
    const outputs = ["folder/file", "link"].map((path) => ({ path: at(path), text: "new", root }));
    await expect(writeFiles(outputs)).rejects.toThrow(leadsOut);
    expect(readFileSync(at("folder/file"), "utf8")).toBe("inside");
    expect(readdirSync(at("folder"))).toEqual(["file"]);
  });

  it("follows a link that a person named", async () => {
    symlinkSync(join(outside, "file"), at("link"));
    await writeFiles([{ path: at("link"), root: undefined, text: "new" }]);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("new");
    expect(statSync(join(outside, "file")).mode & 0o777).toBe(0o600);
  });

  it("of one file, replaces a link and refuses a folder that leads out", () => {
    symlinkSync(join(outside, "file"), at("link"));
    writeAtomically(at("link"), Buffer.from("new"), 0o640, root);
    expect(readFileSync(at("link"), "utf8")).toBe("new");
    expect(statSync(at("link")).mode & 0o777).toBe(0o640);
    symlinkSync("..", at("up"));
    expect(() => {
      writeAtomically(at("up/new"), Buffer.from("new"), 0o640, root);
    }).toThrow(leadsOut);
    expect(readdirSync(outside).sort()).toEqual(["file", "repository"]);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("outside");
  });
});

describe("looking for manifests", () => {
  it("does not follow a linked folder out of the repository, and ends in a loop of links", () => {
    mkdirSync(join(outside, "others"));
    writeFileSync(join(outside, "others/x.yaml"), "");
    symlinkSync("../others", at("others"));
    symlinkSync(".", at("loop"));
    symlinkSync("itself.yaml", at("itself.yaml"));
    writeFileSync(at("folder/a.yaml"), "");
    expect(manifestsBelow(root)).toEqual(["folder/a.yaml"]);
  });

  it("lists what is no regular file too, so that it is refused rather than passed over", () => {
    execFileSync("mkfifo", [at("pipe.yaml")]);
    symlinkSync("/dev/zero", at("zero.yaml"));
    symlinkSync(join(outside, "file"), at("link.yaml"));
    expect(manifestsBelow(root)).toEqual(["link.yaml", "pipe.yaml", "zero.yaml"]);
  });
});

describe("a submodule", () => {
  /** A folder with a link to a file of the repository around it. `git`: what its file `.git` says. */
  const linking = (git: string): string => {
    mkdirSync(at(".git/modules/sub"), { recursive: true });
    mkdirSync(at("sub"));
    writeFileSync(at("sub/.git"), git);
    symlinkSync("../folder/file", at("sub/link"));
    return at("sub/link");
  };
  const read = (path: string): string => readWithin(rootOf(at("sub")), path, LIMIT).toString();

  it("may link to files of the repository around it, and no further", () => {
    expect(read(linking("gitdir: ../.git/modules/sub\n"))).toBe("inside");
    symlinkSync(join(outside, "file"), at("sub/out"));
    expect(() => read(at("sub/out"))).toThrow(leadsOut);
    symlinkSync("../.git/config", at("sub/config"));
    writeFileSync(at(".git/config"), "[core]");
    expect(() => read(at("sub/config"))).toThrow(leadsOut);
  });

  it.each([
    "gitdir: /elsewhere/.git/modules/sub\n",
    "gitdir: ../.git/worktrees/sub\n",
    "gitdir: ../other/.git/modules/sub\n",
    "gitdir: modules/sub\n",
    "hello\n",
    "",
  ])("is none by a file .git that says %j", (git) => {
    expect(() => read(linking(git))).toThrow(leadsOut);
  });

  it("is none where it is a repository of its own", () => {
    mkdirSync(at(".git"));
    mkdirSync(at("sub/.git"), { recursive: true });
    symlinkSync("../folder/file", at("sub/link"));
    expect(() => read(at("sub/link"))).toThrow(leadsOut);
  });
});

describe("folders within folders", () => {
  /** So many folders, each with a manifest: within each other, or side by side. */
  const folders = (count: number, isDeep: boolean): string => {
    const top = mkdtempSync(join(outside, "folders-"));
    let here = top;
    for (let index = 0; index < count; index++) {
      here = isDeep ? join(here, "d") : join(top, String(index));
      mkdirSync(here);
      writeFileSync(join(here, "a.yaml"), "");
    }
    return top;
  };

  it("cost little more than the same number side by side", () => {
    const [deep, flat] = [folders(250, true), folders(250, false)];
    const attempts = Array.from({ length: 12 }, () => ({
      deep: cpu(() => manifestsBelow(deep)),
      flat: cpu(() => manifestsBelow(flat)),
    }));
    const least = (which: "deep" | "flat"): number =>
      Math.min(...attempts.map((attempt) => attempt[which]));
    // Paths are longer there. Resolving each from its start would take 40 times as long.
    expect(least("deep") / least("flat")).toBeLessThan(12);
  });

  it("cost `scan` little more than the same number side by side", async () => {
    const time = async (top: string): Promise<number> => {
      const before = process.cpuUsage();
      const { manifests } = treeSource([top]);
      let files = 0;
      for await (const file of manifests()) files += "bytes" in file ? 1 : 0;
      expect(files).toBe(240);
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    const [deep, flat] = [folders(240, true), folders(240, false)];
    let [leastDeep, leastFlat] = [Infinity, Infinity];
    for (let attempt = 0; attempt < 12; attempt++) {
      leastDeep = Math.min(leastDeep, await time(deep));
      leastFlat = Math.min(leastFlat, await time(flat));
    }
    expect(leastDeep / leastFlat).toBeLessThan(5.5);
  });

  it("are an error where they are too many, and none is left out in silence", () => {
    expect(manifestsBelow(folders(256, true))).toHaveLength(256);
    expect(() => manifestsBelow(folders(257, true))).toThrow(
      /folders are nested more than 256 deep/,
    );
  });
});

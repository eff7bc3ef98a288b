import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifestsBelow } from "../../host/manifestfiles.ts";
import { readText } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";

let folder = "";
const at = (...path: string[]): string => join(folder, ...path);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-files-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("writing files", () => {
  it("makes a new file with its folders, readable to all", async () => {
    await writeFiles([{ path: at("a/b/new.yaml"), root: undefined, text: "new" }]);
    expect(readFileSync(at("a/b/new.yaml"), "utf8")).toBe("new");
    expect(statSync(at("a/b/new.yaml")).mode & 0o777).toBe(0o644);
  });

  it("keeps the mode of what it replaces, and sets one that is asked for", async () => {
    writeFileSync(at("old"), "old");
    chmodSync(at("old"), 0o640);
    await writeFiles([{ path: at("old"), root: undefined, text: "new" }]);
    expect(statSync(at("old")).mode & 0o777).toBe(0o640);
    await writeFiles([{ path: at("old"), root: undefined, text: "new", mode: 0o600 }]);
    expect(statSync(at("old")).mode & 0o777).toBe(0o600);
  });

  it("replaces what a link points to, and leaves the link", async () => {
    mkdirSync(at("real"));
    writeFileSync(at("real/file"), "old");
    symlinkSync("real/file", at("link"));
    await writeFiles([{ path: at("link"), root: undefined, text: "new" }]);
    expect(lstatSync(at("link")).isSymbolicLink()).toBe(true);
    expect(readFileSync(at("real/file"), "utf8")).toBe("new");
    expect(readdirSync(at("real"))).toEqual(["file"]);
  });

  it("refuses a folder, a pipe and a device, and names them", async () => {
    mkdirSync(at("folder"));
    for (const path of [at("folder"), "/dev/null"]) {
      await expect(writeFiles([{ path, root: undefined, text: "x" }])).rejects.toEqual(
        expect.objectContaining({ code: "io", place: { file: path } }),
      );
    }
    expect(lstatSync("/dev/null").isCharacterDevice()).toBe(true);
  });

  it("changes no file where one cannot be written, and leaves nothing behind", async () => {
    writeFileSync(at("first"), "old");
    writeFileSync(at("blocked"), "a file where a folder would have to be");
    await expect(
      writeFiles([
        { path: at("first"), root: undefined, text: "new" },
        { path: at("blocked/second"), root: undefined, text: "new" },
      ]),
    ).rejects.toEqual(expect.objectContaining({ code: "io" }));
    expect(readFileSync(at("first"), "utf8")).toBe("old");
    expect(readdirSync(folder).sort()).toEqual(["blocked", "first"]);
  });

  it("refuses to write one file twice, also by way of a link", async () => {
    writeFileSync(at("file"), "old");
    symlinkSync("file", at("link"));
    await expect(
      writeFiles([
        { path: at("file"), root: undefined, text: "a" },
        { path: at("link"), root: undefined, text: "b" },
      ]),
    ).rejects.toEqual(expect.objectContaining({ code: "usage" }));
    expect(readFileSync(at("file"), "utf8")).toBe("old");
    expect(readdirSync(folder).sort()).toEqual(["file", "link"]);
  });
});

describe("reading", () => {
  it("refuses bytes that are not UTF-8 and quotes none of them", () => {
    writeFileSync(at("bad"), Buffer.from("password: hunter2 \xff", "latin1"));
    let message = "";
    try {
      readText(at("bad"));
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain("is not UTF-8 text");
    expect(message).not.toContain("hunter2");
  });

  it("names UTF-16, which PowerShell writes", () => {
    writeFileSync(at("bad"), Buffer.from("\ufeffkind: Secret", "utf16le"));
    expect(() => readText(at("bad"))).toThrow(/UTF-16/);
  });

  it("finds manifests below a folder, sorted, each once, however links go round", () => {
    for (const path of [
      "b/z.yaml",
      "a.yml",
      "c.JSON",
      ".git/x.yaml",
      "node_modules/x.yaml",
      "t.txt",
    ]) {
      mkdirSync(join(at(path), ".."), { recursive: true });
      writeFileSync(at(path), "");
    }
    symlinkSync("..", at("b/up"));
    symlinkSync("a.yml", at("also.yaml"));
    symlinkSync("nowhere", at("dangling.yaml"));
    const found = manifestsBelow(folder);
    expect(found.filter((path) => !/^(a\.yml|also\.yaml)$/.test(path))).toEqual([
      "b/z.yaml",
      "c.JSON",
    ]);
    expect(found).toHaveLength(3);
  });
});

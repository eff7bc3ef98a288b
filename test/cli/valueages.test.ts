// How old values are, told from real histories.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { agesOf, type ValueAge } from "../../cli/git/valueages.ts";
import { formatStamp } from "../../shared/sealing/stamp.ts";
import { sealedTextsIn } from "../../cli/git/sealedtext.ts";

const NOW = new Date("2026-11-30T00:00:00Z");
const [OLD_KEY, NEW_KEY] = ["SHA256:" + "o".repeat(43), "SHA256:" + "n".repeat(43)];

let top: string;
let texts: Map<string, string>;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "signet-ages-"));
  texts = new Map();
  git("init", "-q", "-b", "main");
});
afterEach(() => {
  rmSync(top, { recursive: true, force: true });
});

function git(...args: string[]): void {
  execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], { cwd: top });
}

/** Each item is `CIPHERTEXT KEY`, the key `old`, `new` or empty. */
function write(path: string, items: Record<string, string>): void {
  const pairs = Object.entries(items).map(([item, words]) => [item, ...words.split(" ")] as const);
  const keys = pairs.flatMap(([item = "", , key = ""]) =>
    key === "" ? [] : [[item, key === "old" ? OLD_KEY : NEW_KEY] as const],
  );
  const stamp = formatStamp(new Map(keys), Object.keys(items));
  const values = pairs.map(([item, ciphertext = ""]) => {
    return `    ${item}: ${Buffer.from(`ciphertext ${ciphertext}`).toString("base64")}\n`;
  });
  const annotations =
    keys.length === 0
      ? ""
      : `  annotations: {kube-signet/sealed-under: "${stamp}"}
`;
  const text = `apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata:
  name: db
  namespace: shop
${annotations}spec:
  encryptedData:
${values.join("")}`;
  mkdirSync(dirname(join(top, path)), { recursive: true });
  writeFileSync(join(top, path), text);
  texts.set(path, text);
}

function commit(day: string): void {
  git("add", "-A");
  execFileSync(
    "git",
    ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x", `--date=${day}T00:00:00Z`],
    { cwd: top },
  );
}

/** `SINCE`, or `SINCE/SEALED SINCE`, by item. */
function ages(path = "prod/db.yaml", folder = top): Record<string, string> {
  const values = sealedTextsIn(texts.get(path) ?? "").flatMap(({ name, items }) =>
    [...items].map(([item, each]) => ({ ...each, name, item, path })),
  );
  const day = (date: Date): string => date.toISOString().slice(0, 10);
  const words = (age: ValueAge | null): string => {
    if (age === null) return "unknown";
    const [since, sealed] = [day(age.since), day(age.sealedSince)];
    return since === sealed ? since : `${since}/${sealed}`;
  };
  const found = agesOf(values, folder, NOW);
  return Object.fromEntries(values.map((value) => [value.item, words(found.get(value) ?? null)]));
}

describe("the age of a value", () => {
  it("is that of the commit that added it", () => {
    write("prod/db.yaml", { a: "1 old" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "1 old", b: "8 old" });
    commit("2026-02-01");
    expect(ages()).toEqual({ a: "2026-01-01", b: "2026-02-01" });
  });

  it("begins again with another ciphertext under the same key", () => {
    write("prod/db.yaml", { a: "1 old" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "2 old" });
    commit("2026-03-01");
    expect(ages()).toEqual({ a: "2026-03-01" });
  });

  it("goes on where everything was re-sealed under another key", () => {
    write("prod/db.yaml", { a: "1 old", b: "8 old" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "2 new", b: "9 new" });
    commit("2026-03-01");
    expect(ages()).toEqual({ a: "2026-01-01/2026-03-01", b: "2026-01-01/2026-03-01" });
  });

  it("begins again where one value came under another key, and the others stayed", () => {
    write("prod/db.yaml", { a: "1 old", b: "8 old" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "2 new", b: "8 old" });
    commit("2026-03-01");
    expect(ages()).toEqual({ a: "2026-03-01", b: "2026-01-01" });
  });

  it("is known without stamps as far as can be", () => {
    write("prod/db.yaml", { a: "1", b: "8" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "2", b: "8" });
    commit("2026-03-01");
    write("prod/db.yaml", { a: "3", b: "7" });
    commit("2026-04-01");
    expect(ages()).toEqual({ a: "2026-03-01/2026-04-01", b: "2026-01-01/2026-04-01" });
  });

  it("goes on where the file moved or the item was renamed", () => {
    write("dev/db.yaml", { a: "1 old" });
    commit("2026-01-01");
    mkdirSync(join(top, "prod"));
    renameSync(join(top, "dev/db.yaml"), join(top, "prod/db.yaml"));
    write("prod/db.yaml", { b: "1 old" });
    commit("2026-03-01");
    expect(ages()).toEqual({ b: "2026-01-01" });
  });

  it("goes on where the value came from a file that cannot be parsed", () => {
    write("chart/db.yaml", { a: "1 old" });
    const text = texts.get("chart/db.yaml") ?? "";
    writeFileSync(join(top, "chart/db.yaml"), `{{ if .Values.db }}\n${text}{{ end }}\n`);
    commit("2026-01-01");
    rmSync(join(top, "chart"), { recursive: true });
    write("prod/db.yaml", { a: "1 old" });
    commit("2026-03-01");
    expect(ages()).toEqual({ a: "2026-01-01" });
  });

  it("is nothing where it is not committed yet", () => {
    write("prod/db.yaml", { a: "1 old" });
    expect(ages()).toEqual({ a: "2026-11-30" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "2 old" });
    expect(ages()).toEqual({ a: "2026-11-30" });
  });

  it("is not known where a shallow clone ends", () => {
    write("prod/db.yaml", { a: "1 old" });
    commit("2026-01-01");
    write("prod/db.yaml", { a: "1 old", b: "8 old" });
    commit("2026-02-01");
    writeFileSync(join(top, "x"), "");
    commit("2026-03-01");
    const clone = join(top, "clone");
    git("clone", "-q", "--depth", "2", `file://${top}`, clone);
    expect(ages("prod/db.yaml", clone)).toEqual({ a: "unknown", b: "unknown" });
  });
});

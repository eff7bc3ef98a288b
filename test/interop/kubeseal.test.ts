// Our kubeseal beside the Go original: the same command lines and inputs to both.

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createPrivateKey } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeEnvelope } from "../../shared/keys/kinds.ts";
import { formatKeySecret, readKeyFile } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { formatManifests, type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { labelBytes } from "../../shared/sealing/scope.ts";
import { type JsonObject, metadataOf, objectsOf } from "../../shared/kubernetes/object.ts";
import { type Finished, PATIENCE_MS, runToEnd } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { type Case, CASES } from "./kubeseal/cases.ts";

const FIXTURES = resolve("test/fixtures");
const DOCUMENT = readFileSync("docs/kubeseal.md", "utf8");
const ROWS = new Set([...DOCUMENT.matchAll(/^\| `([-a-z]+)` /gm)].map(([, id]) => id ?? ""));

const PROGRAMS = {
  original: (): string[] => [partPath("kubeseal")],
  ours: (): string[] => [process.execPath, resolve("dist/kubeseal.cjs")],
};

interface Outcome extends Finished {
  /** Mode and text of what the run left behind. */
  readonly files: Record<string, { mode: string; text: string }>;
}

let base: string;
let seeds: Record<string, string>;
const keyring = new Keyring(
  ["key.pem", "other-key.pem", "future-key.pem"].flatMap((name) =>
    readKeyFile(readFileSync(join(FIXTURES, name), "utf8"), name),
  ),
);

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), "kubeseal-"));
  const read = (name: string): string => readFileSync(join(FIXTURES, name), "utf8");
  const keySecret = (key: string, cert: string): JsonObject =>
    formatKeySecret(
      { privateKeyPem: read(key), certificatePem: read(cert) },
      { name: key.replace(".pem", ""), namespace: "kube-system" },
    );
  const first = keySecret("key.pem", "cert.pem");
  const second = keySecret("other-key.pem", "other-cert.pem");
  const list = (kind: string, items: JsonObject[]): string =>
    formatManifests([{ apiVersion: "v1", kind, items }], "yaml");
  seeds = {
    "two.pem": read("cert.pem") + read("other-cert.pem"),
    "two-keys.pem": read("key.pem") + read("other-key.pem"),
    "pkcs8.pem": createPrivateKey(read("key.pem")).export({
      type: "pkcs8",
      format: "pem",
    }) as string,
    "key-secret.yaml": formatManifests([first], "yaml"),
    "key-secret.json": formatManifests([first], "json"),
    "key-list.yaml": list("List", [second, first]),
    "key-secretlist.yaml": list("SecretList", [second, first]),
    // The recipe of the original's read-me: a List, a separator, and the key of old versions.
    "key-recipe.yaml": list("List", [first]) + formatManifests([second], "yaml"),
  };
  for (const name of readdirSync(FIXTURES)) {
    if (name.endsWith(".pem")) seeds[name] = read(name);
  }
});

afterAll(() => {
  rmSync(base, { recursive: true, force: true });
});

async function run(
  which: keyof typeof PROGRAMS,
  { name, commands, files }: Case,
): Promise<Outcome> {
  const cwd = mkdtempSync(join(base, `${which}-`));
  mkdirSync(join(cwd, "home"));
  for (const [path, text] of Object.entries(seeds))
    writeFileSync(join(cwd, path), text, { mode: 0o600 });
  for (const [path, text] of Object.entries(files)) {
    if (text === "-") continue;
    mkdirSync(dirname(join(cwd, path)), { recursive: true });
    writeFileSync(join(cwd, path), text, { mode: 0o644 });
  }
  const before = new Set(Object.keys(seeds));
  const home = { HOME: join(cwd, "home"), TZ: "UTC" };
  let outcome: Finished = { status: -1, stdout: "", stderr: "" };
  for (const [index, { args, stdin, env }] of commands.entries()) {
    outcome = await runToEnd([...PROGRAMS[which](), ...args], {
      ...{ stdin, cwd, env: { ...home, ...env } },
      timeoutMs: PATIENCE_MS,
    });
    if (index < commands.length - 1)
      expect(outcome.status, `${which}: ${name}: ${outcome.stderr}`).toBe(0);
  }
  const left: Outcome["files"] = {};
  for (const path of (readdirSync(cwd, { recursive: true }) as string[]).sort()) {
    const stats = statSync(join(cwd, path));
    if (!stats.isFile() || before.has(path)) continue;
    left[path] = {
      mode: (stats.mode & 0o777).toString(8),
      text: readFileSync(join(cwd, path), "utf8"),
    };
  }
  rmSync(cwd, { recursive: true });
  return { ...outcome, files: left };
}

const STAMP_ALONE =
  /,?\n *"annotations": \{(?:\n *"kube-signet\/sealed-[a-z]*": "[^"]*",?)+\n *\}|\n *annotations:(?:\n *kube-signet\/sealed-[a-z]*: [^\n]*)+(?=\n {0,2}\S)/g;
const STAMP = /\n *"kube-signet\/sealed-[a-z]*": "[^"]*",|\n *kube-signet\/sealed-[a-z]*: [^\n]*/g;

/** The text with what is sealed in it put in clear, byte for byte otherwise, but for the stamp. */
async function inClear(text: string): Promise<string> {
  const plain = text.replace(STAMP_ALONE, "").replace(STAMP, "");
  const labels = new Map<string, Uint8Array>([["", labelBytes("cluster-wide", "", "")]]);
  const places = [["demo", "db"], ["y", "x"], ...placesIn(text)];
  for (const [namespace = "", name = ""] of places) {
    labels.set(`${namespace}/${name}`, labelBytes("strict", namespace, name));
    labels.set(namespace, labelBytes("namespace-wide", namespace, name));
  }
  for (const namespace of ["home", "default", "afar", "mine", "here", "env"]) {
    labels.set(namespace, labelBytes("namespace-wide", namespace, ""));
    labels.set(`${namespace}/db`, labelBytes("strict", namespace, "db"));
  }
  let result = "";
  let from = 0;
  for (const match of plain.matchAll(/AQ[A-Za-z0-9+/]{340,}={0,2}/g)) {
    const envelope = decodeEnvelope(match[0]);
    let found = "<does not open>";
    for (const [label, bytes] of labels) {
      const opened = envelope === null ? null : await keyring.open(envelope, bytes);
      if (opened === null) continue;
      found = `<${label}: ${Buffer.from(opened.plaintext).toString("base64")} under ${opened.fingerprint}>`;
      break;
    }
    result += plain.slice(from, match.index) + found;
    from = match.index + match[0].length;
  }
  return result + plain.slice(from);
}

function placesIn(text: string): [string, string][] {
  try {
    return parseManifests(text)
      .flatMap(objectsOf)
      .map((object) => {
        const { namespace = "", name = "" } = metadataOf(object) as Record<string, string>;
        return [namespace, name];
      });
  } catch {
    return [];
  }
}

/** What a text means: the documents in it, if it is one of manifests. */
function meaning(text: string): Json {
  try {
    return parseManifests(text).map(({ value }) => value);
  } catch {
    return text;
  }
}

async function comparable(outcome: Outcome, each: Case): Promise<object> {
  const files: Record<string, object> = {};
  for (const [path, { mode, text }] of Object.entries(outcome.files)) {
    const clear = await inClear(text);
    // What is sealed is public: a new file of ours has the mode that any new file has.
    const shown = mode === "600" && each.differs !== "output-mode" ? "644" : mode;
    files[path] = { mode: shown, text: each.filesByMeaning === true ? meaning(clear) : clear };
  }
  return { status: outcome.status, stdout: await inClear(outcome.stdout), files };
}

describe("kubeseal beside the Go original", () => {
  it("is given a few hundred command lines, each once", () => {
    expect(CASES.length).toBeGreaterThan(300);
    const twice = CASES.map(({ name }) => name).filter(
      (name, index, all) => all.indexOf(name) !== index,
    );
    expect(twice).toEqual([]);
  });

  it("differs in what docs/kubeseal.md tells, and every row there is shown", () => {
    const shown = new Set(CASES.flatMap(({ differs }) => (differs === undefined ? [] : [differs])));
    const elsewhere = [...DOCUMENT.matchAll(/^\| `([-a-z]+)` .*\(shown in [^|]*\)/gm)].map(
      ([, id]) => id ?? "",
    );
    expect([...new Set([...shown, ...elsewhere])].sort()).toEqual([...ROWS].sort());
  });

  it.each(CASES)("$name", async (each) => {
    const [original, ours] = await Promise.all([run("original", each), run("ours", each)]);
    for (const [which, { stderr }] of Object.entries({ original, ours })) {
      // An error names no value of a confidential file.
      if (which === "ours") expect(stderr).not.toMatch(/hunter2/);
    }
    if (each.says !== undefined) {
      expect(ours.stderr).toMatch(each.says);
      if (each.differs === undefined) expect(ours.stdout).toBe("");
    }
    const [theirs, mine] = [await comparable(original, each), await comparable(ours, each)];
    if (each.differs === undefined) {
      expect(mine).toEqual(theirs);
      if (ours.status === 0) expect(ours.stderr).toBe(original.stderr);
      else expect([ours.stderr !== "", original.stderr !== ""]).toEqual([true, true]);
      return;
    }
    expect(ours.status).toBe(each.status ?? original.status);
    expect(ROWS).toContain(each.differs);
    const same =
      JSON.stringify({ ...mine, e: ours.stderr }) ===
      JSON.stringify({ ...theirs, e: original.stderr });
    expect(same, "both do the same: docs/kubeseal.md need not tell a difference").toBe(false);
  });
});

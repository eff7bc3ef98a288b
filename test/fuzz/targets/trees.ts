// Folders that somebody else wrote: what `scan` and `verify` read, and their reports.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { load } from "js-yaml";
import { type Finding, FORMATTERS } from "../../../cli/checks/findings.ts";
import { findPlaintext } from "../../../cli/checks/plaintext.ts";
import { changesBetween, formatItemChange, sealedTextsIn } from "../../../cli/git/sealedtext.ts";
import { verifyFiles } from "../../../cli/checks/verifyrules.ts";
import { readSealedFiles } from "../../../cli/repository/sealedfiles.ts";
import { manifestsBelow } from "../../../host/manifestfiles.ts";
import { mutateBytes, mutateManifest } from "../mutate.ts";
import { plainSecret, manifestTexts, sealedObjects, SEALED_WORDS, seedsOf } from "../material.ts";
import type { Random } from "../random.ts";
import {
  attempt,
  bytesOf,
  CANARY,
  checkUntold,
  Find,
  type Target,
  textOf,
  toldBy,
} from "../target.ts";

const NAMES = [
  ...[
    "a.yaml",
    "b.yml",
    "c.json",
    "-rf.yaml",
    "::stop-commands::x.yaml",
    "x\ny.yaml",
    "\u001e.yaml",
  ],
  ...["\u202e.yaml", "d/e.yaml", "d/f.yaml", ".g/h.yaml", "signet.yaml", " .yaml", "a'b\"c.yaml"],
  ...[
    "%0a.yaml",
    "]]>.yaml",
    "<b>.yaml",
    "__proto__.yaml",
    "d/..yaml",
    "kustomization.yaml",
    "é.yaml",
  ],
];

const CHARTS = [
  "{{- if .Values.secret }}\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {{ .Release.Name }}\nstringData:\n  password: {{ .Values.password | quote }}\n  other: plain\n{{- end }}\n",
  "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nsecretGenerator:\n- name: db\n  literals:\n  - password=plain\n",
];

/** Files as one input: name, NUL, content, NUL. */
function packFiles(files: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  return Buffer.concat(
    files.flatMap(([name, content]) => [
      bytesOf(`${name}\0`),
      Buffer.from(content).filter((byte) => byte !== 0),
      Uint8Array.of(0),
    ]),
  );
}

/** Writes the files of an input below a folder; what no file can be called is left out. */
export function unpackFiles(input: Uint8Array, folder: string): string[] {
  const parts = Buffer.from(input).toString("latin1").split("\0");
  const written: string[] = [];
  for (let at = 0; at + 1 < parts.length && written.length < 40; at += 2) {
    const name = Buffer.from(parts[at] ?? "", "latin1").toString();
    const isBelow = name.split("/").every((part) => part !== "" && part !== "." && part !== "..");
    if (!isBelow || name.length > 200) continue;
    try {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), Buffer.from(parts[at + 1] ?? "", "latin1"));
      written.push(name);
    } catch {
      // A file is where a folder would be.
    }
  }
  return written;
}

/** Some files with hostile names and contents. */
export function hostileFiles(random: Random, contents: readonly Uint8Array[]): Uint8Array {
  const count = 1 + random.below(6);
  const files = Array.from({ length: count }, (): [string, Uint8Array] => [
    random.chance(0.85) ? random.pick(NAMES) : textOf(mutateBytes(random, seedsOf(NAMES), [])),
    mutateManifest(random, contents, SEALED_WORDS),
  ]);
  return packFiles(files.map(([name, content]) => [name.replaceAll("\0", ""), content]));
}

/** A SealedSecret and a Secret under every name. */
export async function everyName(): Promise<Uint8Array[]> {
  const objects = [plainSecret(), ...(await sealedObjects())].map((each) => JSON.stringify(each));
  return objects.map((object) => packFiles(NAMES.map((name) => [name, bytesOf(object)])));
}

function checkReports(findings: readonly Finding[], names: readonly string[]): void {
  const checked = { command: "scan", what: "files", files: 1, counts: {}, passed: names } as const;
  for (const [format, formatter] of Object.entries(FORMATTERS)) {
    const report = formatter(findings, checked, false);
    if (format === "github") {
      const lines = report.split("\n").slice(0, -1);
      if (
        lines.length !== findings.length ||
        !lines.every((line) => /^::(error|warning) /.test(line))
      ) {
        throw new Find("a report for GitHub with lines of its own");
      }
    } else if (format === "junit") {
      if (/\]\]>|<b>/.test(report))
        throw new Find("a report for JUnit with names that are not escaped");
    } else if (format === "yaml") load(report);
    else JSON.parse(report);
  }
}

/** What `scan` and `log` read of one text, whether or not it is a manifest. */
export const scans: Target = {
  name: "scans",
  seeds: async () => {
    const objects = [plainSecret(), ...(await sealedObjects())];
    const texts = objects.map((object) => JSON.stringify(object));
    return seedsOf([...texts, ...manifestTexts(), ...CHARTS]);
  },
  words: [
    "{{",
    "}}",
    "{{- if .Values.a }}",
    "stringData:",
    "kind: Secret",
    "secretGenerator:",
    "literals:",
  ],
  short: 200,
  run: (input) => {
    const text = textOf(input);
    const found = findPlaintext(text);
    const isName = new RegExp(`${CANARY}[^\\n]*:|"?(name|namespace)"?\\s*:[^\\n]*${CANARY}`).test(
      text,
    );
    if (!isName) checkUntold(JSON.stringify(found), "a finding");
    const lines = text.split("\n").length;
    if (found.some(({ line }) => line < 1 || line > lines)) throw new Find("a finding of no line");
    const sealed = sealedTextsIn(text);
    const changes = changesBetween(sealed, sealed);
    const names = sealed.map(({ name }) => name);
    if (changes.length > 0 && new Set(names).size === names.length) {
      throw new Find("a text differs from itself");
    }
    changesBetween([], sealed).map(formatItemChange);
    changesBetween(sealed, []).map(formatItemChange);
  },
};

export const trees: Target = {
  name: "trees",
  seeds: async () => {
    const objects = [plainSecret(), ...(await sealedObjects())];
    return seedsOf([...objects.map((object) => JSON.stringify(object)), ...manifestTexts()]);
  },
  examples: everyName,
  generate: hostileFiles,
  short: 60,
  run: async (input) => {
    const folder = mkdtempSync(join(tmpdir(), "signet-fuzz-tree-"));
    try {
      const names = unpackFiles(input, folder);
      const found: Finding[] = [];
      const text = Buffer.from(input).toString();
      for (const { rule, line, object, items } of findPlaintext(text)) {
        const message = items.join(", ");
        found.push({
          rule,
          line,
          severity: "error",
          file: "a.yaml",
          message,
          ...(object && { object }),
        });
      }
      manifestsBelow(folder, { hidden: true });
      const read = await attempt(() => readSealedFiles([folder], null));
      if ("value" in read) {
        found.push(...verifyFiles(read.value, null, 1, new Date()));
        const isName = new RegExp(
          `${CANARY}[^\\n]*:|"?(name|namespace)"?\\s*:[^\\n]*${CANARY}`,
        ).test(text);
        if (!isName) checkUntold(JSON.stringify(found), "a finding");
      } else for (const error of read.errors) checkUntold(toldBy(error), "an error");
      checkReports(found, names);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

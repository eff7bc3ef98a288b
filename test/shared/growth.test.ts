// Proofs that the time to read what a stranger wrote grows no faster than its length.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FORMATTERS } from "../../cli/checks/findings.ts";
import { findInGeneratorFile } from "../../cli/checks/generators.ts";
import { findPlaintext } from "../../cli/checks/plaintext.ts";
import { parseBuffer } from "../../cli/commands/edit/buffer.ts";
import { mergeTexts } from "../../cli/commands/git/mergedriver.ts";
import { withoutValues } from "../../cli/commands/git/textconv.ts";
import { commitsIn } from "../../cli/git/history.ts";
import { changesBetween, sealedTextsIn } from "../../cli/git/sealedtext.ts";
import { parseProject } from "../../cli/repository/projectfile.ts";
import { parseDotenv } from "../../cli/sealing/dotenv.ts";
import { checkAsWritten } from "../../cli/sealing/secretcheck.ts";
import { shownLine } from "../../cli/terminal/shown.ts";
import { formatEnvFile } from "../../controller/envfile.ts";
import { currentContext } from "../../host/kubernetes/kubeconfigfiles.ts";
import { decodeBase64 } from "../../shared/base64.ts";
import { parseDuration } from "../../shared/duration.ts";
import { bytesOfEnvelopeText } from "../../shared/envelopes/envelope.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseCertificates } from "../../shared/keys/certificate.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { parsePrivateKey } from "../../shared/keys/rsakey.ts";
import { readCertificate } from "../../shared/keys/x509.ts";
import { editManifest } from "../../shared/manifest/edit.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { parseStamp } from "../../shared/sealing/stamp.ts";
import { renderTemplate } from "../../shared/template/template.ts";
import { FRAGMENTS, OF_TEMPLATES, PAIRED, superlinear } from "./growth.ts";

/** Faults are answers too; any other error is not. */
const judged = (read: (text: string) => unknown) => (text: string) => {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
  }
};

const CERTIFICATE = readFileSync(join(import.meta.dirname, "../fixtures/cert.pem"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "signet-growth-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Adds an entry to each document, and replaces and removes its first one. */
function edited(text: string): void {
  for (const document of parseManifests(text)) {
    const [first = "none"] = Object.keys(document.value ?? {});
    for (const edit of [
      { path: ["new"], value: "b" },
      { path: [first], value: "b" },
      { path: [first], value: undefined },
    ]) {
      judged((body) => editManifest(body, document, [edit]))(text);
    }
  }
}

const finding = (message: string) =>
  ({ rule: "plaintext-secret", severity: "error", file: message, line: 1, message }) as const;

function reported(text: string): void {
  // No path has half of a character.
  const path = Buffer.from(text).toString();
  const checked = { command: "scan", what: "files", files: 1, counts: {}, passed: [path] } as const;
  for (const format of Object.values(FORMATTERS)) format([finding(path)], checked, false);
}

function kubeconfig(text: string): void {
  writeFileSync(join(folder, "config"), text);
  currentContext({ kubeconfig: join(folder, "config") });
}

function checkedAsWritten(text: string): void {
  for (const document of parseManifests(text))
    checkAsWritten(text, document, { mayBeTyped: false });
}

const ofChart = (text: string) => findPlaintext(text, { isChartTemplate: true });

function ofGenerator(text: string): void {
  for (const isEnv of [true, false]) {
    findInGeneratorFile(Buffer.from(text), { isEnv, object: undefined, path: "a" });
  }
}

/** As the browser page reads it. All of the reading is done before the first wait. */
function certificateOfPage(text: string): void {
  readCertificate(text).catch((error: unknown) => {
    if (!(error instanceof SignetError)) throw error;
  });
}

/** The head of a DER sequence. */
const sequenceOf = (length: number): Buffer =>
  Buffer.of(0x30, 0x83, length >> 16, (length >> 8) & 255, length & 255);

const HEAD = CERTIFICATE.split("\n").slice(1, 3).join("");
/** The beginning of a real certificate, and then these bytes. */
function certificateWithBytes(bytes: string): void {
  const rest = Buffer.concat([Buffer.from(HEAD, "base64").subarray(8), Buffer.from(bytes)]);
  // The lengths are right, so that the reader goes on.
  const inner = Buffer.concat([sequenceOf(rest.length), rest]);
  const der = Buffer.concat([sequenceOf(inner.length), inner]);
  certificateOfPage(
    `-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----\n`,
  );
}

/** What `git log` prints of one commit, up to the changes. */
const COMMIT = ["a".repeat(40), "", "A <a@b>", "2026-11-24T12:00:00Z", "subject", ""].join("\0");
const CHANGE = `:100644 100644 ${"a".repeat(40)} ${"b".repeat(40)} M\0path\0`;

const SECRET = "kind: Secret\nstringData:\n  a: ";
const READERS: readonly (readonly [string, string, string, (text: string) => unknown])[] = [
  ["a manifest", "", "", parseManifests],
  ["a value", "a: ", "\n", parseManifests],
  ["a quoted value", 'a: "', '"\n', parseManifests],
  ["a block", "a: |\n  ", "\n", parseManifests],
  ["a list in brackets", "a: [", "]\n", parseManifests],
  ["plaintext", "kind: Secret\n", "", findPlaintext],
  ["plaintext of a chart", "{{ if a }}\nkind: Secret\nstringData:\n  a: ", "\n", ofChart],
  ["plaintext of an action", `{{ x }}\n${SECRET}{{ `, " }}\n", ofChart],
  ["plaintext of a pattern", `{{ x }}\n${SECRET}{{ printf "%s`, '" .a "b" }}\n', ofChart],
  ["plaintext of what is set", `{{ $a := "`, `" }}\n${SECRET}{{ $a }}\n`, ofChart],
  ["plaintext of branches", `{{ if a }}\n${SECRET}b\n`, "\n{{ end }}\n", ofChart],
  ["plaintext of a word", SECRET, "\n", findPlaintext],
  ["plaintext that cannot be parsed", "a: b: c\nSecret\n", "\n", findPlaintext],
  ["a generator's file", "", "\n", ofGenerator],
  ["a generator's file of SOPS", 'sops: {mac: "', '"}\n', ofGenerator],
  ["plaintext beside a hole", `${SECRET}'{{ a }}`, "'\n", findPlaintext],
  [
    "plaintext of defaults",
    "kind: Secret\nstringData:\n  a: |\n    {{",
    "default 'a ",
    findPlaintext,
  ],
  ["plaintext of an expression", `${SECRET}"\${`, '}"\n', findPlaintext],
  ["plaintext of a command", `${SECRET}'$(`, ")'\n", findPlaintext],
  [
    "plaintext of commands",
    "",
    "oc create secret generic a --from-literal=p=hunter2 ",
    findPlaintext,
  ],
  [
    "plaintext of a command's values",
    "oc create secret generic a ",
    "--from-literal=p=x ",
    findPlaintext,
  ],
  ["plaintext of ytt", `#@ a\n${SECRET}#@ `, '"b"\n', findPlaintext],
  ["plaintext of Terraform", 'resource "kubernetes_secret" "a" {\n  data = {\n', "", findPlaintext],
  [
    "plaintext of an item of Terraform",
    'resource "kubernetes_secret" "a" { data = { a = ',
    "\n",
    findPlaintext,
  ],
  ["plaintext of variables", "kind: Secret\nstringData:\n  a: |\n    x", "${A:-", findPlaintext],
  ["plaintext of literals", "kind: Secret\nstringData:\n  a: |\n    {{ a }}", "\n", findPlaintext],
  ["a JSON manifest", '{"a": "', '"}', parseManifests],
  ["a JSON list", '{"a": [', "]}", parseManifests],
  ["an edit", "first: a\n", "", edited],
  ["an edit of a value", "first: ", "\n", edited],
  ["an edit of a block", "first: |\n  a\n", "last: a\n", edited],
  ["a text without its values", "kind: Secret\ndata:\n  a: b\n  ", "\n", withoutValues],
  ["a text with conflict marks", "<<<<<<<\nkind: Secret\ndata:\n  ", "\n", withoutValues],
  ["certificates", CERTIFICATE, "", parseCertificates],
  ["a certificate on the page", "", "", certificateOfPage],
  ["a certificate's text on the page", "-----BEGIN CERTIFICATE-----\n", "", certificateOfPage],
  ["a certificate's bytes on the page", "", "", certificateWithBytes],
  ["Git's output", "", "", commitsIn],
  ["a subject in Git's output", COMMIT.replace("subject\0", ""), "\0", commitsIn],
  ["what follows a commit in Git's output", COMMIT, "\0", commitsIn],
  ["a change in Git's output", `${COMMIT}\0\n:`, "\0", commitsIn],
  ["numbers of a change in Git's output", `${COMMIT}\0\n:1`, " M\0", commitsIn],
  ["a path in Git's output", COMMIT + CHANGE.replace("path\0", ""), "\0", commitsIn],
  ["a private key", "", "", parsePrivateKey],
  ["a key file", "-----BEGIN \n", "", (text) => readKeyFile(text, "a.pem")],
  ["base64", "", "", decodeBase64],
  ["an envelope", "", "", bytesOfEnvelopeText],
  ["a duration", "", "", parseDuration],
  ["a stamp", "", "", (text) => parseStamp(text, ["a", "b"])],
  ["signet.yaml", "clusters: {a: {}}\npaths:\n  ", ": a\n", (text) => parseProject(text, "/")],
  ["a kubeconfig", "apiVersion: v1\nkind: Config\nusers: [", "]\n", kubeconfig],
  ["a template", "", "", (text) => renderTemplate(text, {})],
  ["a template's action", "{{ a ", " }}", (text) => renderTemplate(text, {})],
  ["a line that is shown", "", "", shownLine],
  ["a finding", "", "", reported],
  ["an env file", "", "", (text) => formatEnvFile(new Map([["A", Buffer.from(text)]]))],
  ["an env file of Compose", "", "", parseDotenv],
  ["a value of an env file of Compose", "A=", "\n", parseDotenv],
  ["a value as it is written", SECRET, "\n", checkedAsWritten],
  ["a value between brackets as it is written", "stringData: {a: ", "}\n", checkedAsWritten],
  ["SealedSecrets of a text", "kind: SealedSecret\n", "", sealedTextsIn],
];

const filled = (fragment: string, size: number): string =>
  fragment.repeat(Math.ceil(size / fragment.length));

describe("time grows with the length of", () => {
  test.each(READERS)("%s", (name, before, after, read) => {
    const fragments = name.startsWith("plaintext") ? [...FRAGMENTS, ...OF_TEMPLATES] : FRAGMENTS;
    const slowOnes = (from: readonly string[]): [string, string][] =>
      from.flatMap((fragment) => {
        const input = (size: number) => before + filled(fragment, size) + after;
        const slow = superlinear(judged(read), input, 10_000);
        return slow === undefined ? [] : [[fragment, slow]];
      });
    // Those that look slow are measured again after the others: the machine may have been busy.
    expect(slowOnes(slowOnes(fragments).map(([fragment]) => fragment))).toEqual([]);
  });
});

/** Readers with scanners of their own; pairs of the others would take many minutes. */
const OWN_SCANNERS = READERS.filter(([name]) =>
  [
    "plaintext of a chart",
    "plaintext of Terraform",
    "plaintext that cannot be parsed",
    "an edit",
    "a text with conflict marks",
    "certificates",
    "a template",
    "a template's action",
  ].includes(name),
);

describe("time grows with the length, of two fragments, of", () => {
  test.each(OWN_SCANNERS)("%s", (_, before, after, read) => {
    const shapes = PAIRED.flatMap((one) =>
      PAIRED.filter((other) => other !== one).flatMap((other) => [
        { one, other, fill: (size: number) => filled(one + other, size) },
        { one, other, fill: (size: number) => filled(one, size / 2) + filled(other, size / 2) },
      ]),
    );
    const slowOnes = (from: typeof shapes) =>
      from.flatMap((shape) => {
        const input = (size: number) => before + shape.fill(size) + after;
        const slow = superlinear(judged(read), input, 3000);
        return slow === undefined ? [] : [{ ...shape, slow }];
      });
    expect(slowOnes(slowOnes(shapes)).map(({ one, other, slow }) => [one, other, slow])).toEqual(
      [],
    );
  });
});

/** So many lines of their own, numbered. */
const numbered = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join("");
const sealed = (count: number, value: string): string =>
  "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a}\nspec:\n  encryptedData:\n" +
  numbered(count, (index) => `    a${index}: ${value}${index}\n`);
/** Secrets at ever smaller indentations: about `size` characters. */
const stairs = (size: number): string => {
  const steps = Math.floor(Math.sqrt(size));
  return numbered(steps, (index) => `${" ".repeat(steps - index)}kind: Secret\n`);
};
const EMPTY = sealed(0, "").trimEnd();

describe("time grows with the number of", () => {
  test.each<readonly [string, (size: number) => string, (text: string) => unknown, number]>([
    [
      "Secrets at ever smaller indentations of a chart, with lines that belong to none",
      (size) => "{{ if a }}\n" + stairs(size) + "\n".repeat(size),
      findPlaintext,
      40_000,
    ],
    [
      "list items of filler at ever smaller indentations of a chart",
      (size) => "{{ if a }}\n" + stairs(size) + "- #\n".repeat(size),
      findPlaintext,
      20_000,
    ],
    ["values that are hidden", (size) => sealed(size, "x"), withoutValues, 8000],
    [
      "values that a merge changes",
      (size) => sealed(size, "x"),
      (text) => mergeTexts(text, text, text.replaceAll(": x", ": y")),
      500,
    ],
    [
      "values that a merge adds",
      (size) => sealed(size, "x"),
      (text) => mergeTexts(`${EMPTY} {}\n`, `${EMPTY} {}\n`, text),
      500,
    ],
    [
      "values that a merge removes",
      (size) => sealed(size, "x"),
      (text) => mergeTexts(text, text, text.slice(0, text.indexOf("    a1:"))),
      500,
    ],
    [
      "values that were renamed",
      (size) => sealed(size, "x"),
      (text) => {
        const before = [...sealedTextsIn(text)];
        return changesBetween(before, sealedTextsIn(text.replaceAll("    a", "    b")));
      },
      2000,
    ],
    [
      "labels of keys",
      (size) => numbered(size, (index) => `-----BEGIN ${index} PRIVATE KEY-----\n`),
      (text) => readKeyFile(`-----BEGIN \n${text}`, "a.pem"),
      8000,
    ],
    [
      "certificates without an end",
      (size) => "-----BEGIN CERTIFICATE-----\n".repeat(size),
      parseCertificates,
      8000,
    ],
    [
      "private keys without an end",
      (size) => "-----BEGIN PRIVATE KEY-----\n".repeat(size),
      parsePrivateKey,
      8000,
    ],
    ["commits in Git's output", (size) => COMMIT.repeat(size), commitsIn, 3000],
    ["changes in Git's output", (size) => COMMIT + CHANGE.repeat(size), commitsIn, 3000],
    [
      "parents in Git's output",
      (size) => COMMIT.replace("\0", `\0${`${"a".repeat(40)} `.repeat(size)}`),
      commitsIn,
      8000,
    ],
    [
      "certificates without an end on the page",
      (size) => "-----BEGIN CERTIFICATE-----\n".repeat(size),
      certificateOfPage,
      8000,
    ],
    [
      "values that are edited by hand",
      (size) => numbered(size, (index) => `a${index}: b\n`),
      (text) => parseBuffer(text, []),
      2000,
    ],
    [
      "values on a line that are checked as they are written",
      (size) => `stringData: {${numbered(size, (index) => `a${index}: b, `)}}\n`,
      checkedAsWritten,
      2000,
    ],
    [
      "tabs by brackets",
      (size) => numbered(size, (index) => `a${index}:\t{b: c}\n`),
      parseManifests,
      2000,
    ],
    [
      "Secrets of a file",
      (size) => numbered(size, () => "---\nkind: Secret\nstringData: {a: b}\n"),
      findPlaintext,
      1000,
    ],
  ])("%s", (_, input, read, size) => {
    expect(superlinear(judged(read), input, size)).toBe(undefined);
  });
});

test("a file with very many findings is no stack overflow", () => {
  const chart = `{{ if a }}\n${"- kind: Secret\n  data: {a: b}\n".repeat(150_000)}`;
  expect(findPlaintext(chart)).toHaveLength(150_000);
});

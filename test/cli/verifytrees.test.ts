// What verify says of repositories as people have them: test/fixtures/verify. The sealed values are made here.

import { readdirSync } from "node:fs";
import { expect, it, vi } from "vitest";
import type { Finding } from "../../cli/checks/findings.ts";
import { define } from "../../cli/commands/verify.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { sealToText } from "../../shared/keys/kinds.ts";
import { labelBytes, type Scope } from "../../shared/sealing/scope.ts";
import { shownStyled } from "../../cli/terminal/line.ts";
import { reportOf, inTree, readFixture, type Tree, treesOf } from "./trees.ts";

const { printed, said } = vi.hoisted(() => ({ printed: [] as string[], said: [] as string[] }));
vi.mock(import("../../cli/terminal/results.ts"), async (original) => ({
  ...(await original()),
  printResult: (text) => Promise.resolve(void printed.push(text)),
}));
vi.mock(import("../../cli/terminal/messages.ts"), async (original) => ({
  ...(await original()),
  say: (line) => void said.push(shownStyled(line, false)),
}));

const CERTIFICATES = {
  prod: readFixture("cert.pem"),
  dev: readFixture("other-cert.pem"),
};
const KEYS = {
  prod: parseCertificate(CERTIFICATES.prod),
  dev: parseCertificate(CERTIFICATES.dev),
};
/** So long that a sealed value ends with a mark of padding. */
const VALUE_BYTES = 43;

/** What a case does to a ciphertext. */
const DAMAGES: Record<string, (text: string, indent: string) => string> = {
  none: (text) => text,
  half: (text) => text.slice(0, text.length / 2),
  short: (text) => text.slice(0, -5),
  urlsafe: (text) => `${text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}-_`,
  unpadded: (text) => text.replace(/=+$/, ""),
  wrapped: (text, indent) => text.replace(/.{64}/g, `$&\n${indent}`).trimEnd(),
  escaped: (text) => text.replace(/.{64}/g, "$&\\n"),
  spaced: (text) => `${text.slice(0, 40)} ${text.slice(40)}`,
  twice: (text) => Buffer.from(text).toString("base64"),
};

/** `<sealed [dev:]NAMESPACE/NAME/ITEM [SCOPE] [DAMAGE]>`. */
const SEALED =
  /<sealed (?:(dev):)?([^ >]*)(?: (strict|namespace-wide|cluster-wide))?(?: ([a-z]+))?>/g;

/** The text with sealed values, and with the fingerprints of keys for `<key>` and `<key dev>`. */
async function filled(text: string): Promise<string> {
  const values = await Promise.all(
    [...text.matchAll(SEALED)].map(
      async ({ index, 1: cluster, 2: path = "", 3: scope, 4: damage }) => {
        const [namespace = "", name = "", item = ""] = path.split("/");
        const label = labelBytes((scope ?? "strict") as Scope, namespace, name);
        const value = new TextEncoder().encode(`${item} of ${name}`.padEnd(VALUE_BYTES, "."));
        const sealed = await sealToText(cluster === undefined ? KEYS.prod : KEYS.dev, value, label);
        const indent = /^ */.exec(text.slice(text.lastIndexOf("\n", index) + 1))?.[0] ?? "";
        return DAMAGES[damage ?? "none"]?.(sealed, indent) ?? `no damage is named ${damage}`;
      },
    ),
  );
  return text
    .replace(SEALED, () => values.shift() ?? "")
    .replace(
      /<key( dev)?>/g,
      (_hole, dev) => (dev === undefined ? KEYS.prod : KEYS.dev).fingerprint,
    );
}

/** `PATH RULE ITEM`, with a mark where it is a warning. */
function shown({ file, rule, severity, message }: Finding): string {
  const item = rule === "unreadable" ? "" : /^([-._\w]+): (?!cannot)/.exec(message)?.[1];
  const mark = severity === "warning" ? "warning" : "";
  return [file, rule, item, mark].filter(Boolean).join(" ");
}

const trees = readdirSync(new URL("../fixtures/verify/", import.meta.url)).flatMap((file) =>
  treesOf(readFixture(`verify/${file}`)),
);

it.for(trees)("verify is right about $title", async (tree) => {
  const files = new Map<string, string>();
  for (const [path, text] of tree.files) files.set(path, await filled(text));
  for (const [name, pem] of Object.entries(CERTIFICATES))
    files.set(`certificates/${name}.pem`, pem);
  const whole: Tree = { ...tree, files };
  await inTree(whole, async () => {
    said.length = 0;
    const { findings, checked } = await reportOf(define, tree.args, printed);
    expect(findings.map(shown).sort().join("; ") || "nothing").toBe(tree.want);
    expect([checked, ...said].join("\n")).toContain(tree.said);
  });
});

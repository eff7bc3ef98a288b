// Small texts: stamps, scopes, durations, env files, base64.

import { formatEnvFile } from "../../../controller/envfile.ts";
import { decodeBase64, encodeBase64 } from "../../../shared/base64.ts";
import { durationText, parseDuration } from "../../../shared/duration.ts";
import {
  type LabelSelector,
  parseLabelSelector,
  SelectorFault,
} from "../../../shared/kubernetes/labelselector.ts";
import { scopeOf, withScope } from "../../../shared/sealing/scope.ts";
import { formatStamp, parseStamp } from "../../../shared/sealing/stamp.ts";
import { mutateBytes } from "../mutate.ts";
import { seedsOf } from "../material.ts";
import { bytesOf, checkSame, Find, type Target, textOf } from "../target.ts";

const FINGERPRINT = `SHA256:${"aB3+/".repeat(8)}abc`;
const SEEDS = [
  FINGERPRINT,
  `${FINGERPRINT};user=${FINGERPRINT};a.b=${FINGERPRINT}`,
  "1h30m5.25s",
  "-2562047h47m16.854775807s",
  "cluster-wide demo/db",
  "a in (b, c),!d,e!=f,g=",
  "PASSWORD=two words",
  "aGVsbG8gd29ybGQ=",
];
const WORDS = [
  FINGERPRINT,
  ";",
  "=",
  "h",
  "m",
  "s",
  "ms",
  "\u00b5s",
  "ns",
  "9223372036854775807",
  ".",
  "true",
];

/** The value of a line of an env file, read as a POSIX shell reads double quotes. */
function unquoted(text: string): string {
  if (!text.startsWith('"')) return text;
  return text.slice(1, -1).replace(/\\([\\"$`])/g, "$1");
}

function checkEnvFile(input: Uint8Array): void {
  const { text, left } = formatEnvFile(
    new Map([
      ["VALUE", input],
      ["NEXT", bytesOf("x")],
    ]),
  );
  if (left.includes("VALUE")) {
    checkSame(text, "NEXT=x\n", "an env file without the value");
    return;
  }
  if (!text.startsWith("NEXT=x\nVALUE=") || !text.endsWith("\n")) throw new Find("not an env file");
  const raw = text.slice("NEXT=x\nVALUE=".length, -1);
  // Nothing that a shell would run, and no end of the quotes within.
  const isSafe = /^[\w@%+=:,./-]+$/.test(raw) || /^"(?:[^\\"$`]|\\[\\"$`])*"$/.test(raw);
  if (!isSafe) throw new Find("an env file with a value that ends its quotes");
  checkSame(
    unquoted(raw),
    new TextDecoder("utf-8", { ignoreBOM: true }).decode(input),
    "the value",
  );
}

function checkSelector(text: string): void {
  let selector: LabelSelector;
  try {
    selector = parseLabelSelector(text);
  } catch (error) {
    if (error instanceof SelectorFault) return;
    throw error;
  }
  checkSame(parseLabelSelector(selector.text), selector, "a selector read twice");
}

export const texts: Target = {
  name: "texts",
  seeds: () => seedsOf(SEEDS),
  generate: (random, seeds) => mutateBytes(random, seeds, WORDS),
  short: 400,
  run: (input) => {
    const text = textOf(input);
    const items = ["user", "a.b", "__proto__", "x"];
    const stamp = parseStamp(text, items);
    checkSame(parseStamp(formatStamp(stamp, items), items), stamp, "a stamp read twice");
    const annotations = { [text]: text, "sealedsecrets.bitnami.com/cluster-wide": text };
    const scope = scopeOf(annotations);
    checkSame(scope, text === "true" ? "cluster-wide" : "strict", "the scope");
    checkSame(scopeOf(withScope(annotations, "namespace-wide")), "namespace-wide", "a set scope");
    checkSelector(text);
    // Durations are bytes, as Go has them.
    const bytes = Buffer.from(input).toString("latin1");
    const nanos = parseDuration(bytes);
    if (nanos !== undefined) checkSame(parseDuration(durationText(nanos)), nanos, "a duration");
    checkSame(decodeBase64(encodeBase64(input)), new Uint8Array(input), "base64");
    decodeBase64(text);
    checkEnvFile(input);
  },
};

// Commands in pipelines and scripts that make a Secret from a value written in them.

import { isHarmless } from "./placeholders.ts";
import type { Plaintext } from "./plaintextfindings.ts";

const COMMAND = /\bcreate\s+secret\s+(?:generic|docker-registry)\b/g;
/** How far before it the program stands, such as `kubectl --namespace web`. */
const BEFORE = 200;
/** In a comment it mostly tells how something is used. */
const PROGRAM = /^(?!\s*#)(?:.*[\s"'`(|&;/])?(?:kubectl|oc)\b[^|&;#]*$/;
/** No such command is longer. */
const MAX_LENGTH = 20_000;

/** A flag whose value is an item's. */
const VALUE =
  /--(?<flag>from-literal|docker-password)(?:=|\s+)(?<word>(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\$\{\{[^}\n]*\}\}|\{\{[^}\n]*\}\}|\$\([^()\n]*\)|[^\s"'])+)/g;
/** Where the shell, also that of Windows, puts something in. */
const EXPANSION = /\$(?:[A-Za-z_{(]|env:)|`|%\w+%/;

/** Values in commands that create Secrets. */
export function findInCommands(text: string): Plaintext[] {
  if (!text.includes("--from-literal") && !text.includes("--docker-password")) return [];
  const found: Plaintext[] = [];
  let end = 0;
  let line = 1;
  let counted = 0;
  for (const { index } of text.matchAll(COMMAND)) {
    const start = Math.max(end, text.lastIndexOf("\n", index) + 1, index - BEFORE);
    if (index < end || !PROGRAM.test(text.slice(start, index))) continue;
    const command = commandAt(text, index);
    end = index + command.length;
    const items = itemsIn(command);
    if (items.length === 0) continue;
    for (; counted < index; counted++) if (text[counted] === "\n") line++;
    const object = /\b(?:generic|docker-registry)\s+["']?([a-z0-9][a-z0-9.-]*)/.exec(command)?.[1];
    found.push({ rule: "secret-command", severity: "error", line, object, items });
  }
  return found;
}

/** The command, with the lines on which it goes on: after a backslash, or with the next flag, as in folded YAML. */
function commandAt(text: string, index: number): string {
  const rest = text.slice(index, index + MAX_LENGTH);
  let end = 0;
  for (;;) {
    const next = rest.indexOf("\n", end);
    if (next === -1) return rest;
    const goesOn = /[\\^`]\s*$/.test(rest.slice(Math.max(end, next - 3), next));
    if (!goesOn && !/^\s*--\w/.test(rest.slice(next + 1, next + 100))) return rest.slice(0, next);
    end = next + 1;
  }
}

function itemsIn(command: string): string[] {
  return Array.from(command.matchAll(VALUE)).flatMap(({ groups = {} }) => {
    const { flag = "", word = "" } = groups;
    // Quotes may be around the whole, or around the value.
    const isExpanded = EXPANSION.test(word.replace(/'[^']*'/g, (part) => part.replaceAll("$", "")));
    const text = word.replace(/["'\\]/g, "");
    const equals = flag === "from-literal" ? text.indexOf("=") : -1;
    if (flag === "from-literal" && equals < 1) return [];
    const value = text.slice(equals + 1);
    const item = equals === -1 ? "password" : text.slice(0, equals);
    return isExpanded || isHarmless(value, false) ? [] : [item];
  });
}

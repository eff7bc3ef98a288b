// The text that a template's action prints of its own: a constant, a default, a pattern.

import { insideOf } from "./actions.ts";
import { CREDENTIAL_NAME } from "./literals.ts";

/** A text in an action. Its quotes are escaped where a line is read as it is. */
const TEXT = String.raw`(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|${"`([^`]*)`"}|\\"([^"\\]*)\\")`;
/** Functions of Helm that return their argument in another form. */
const FUNCTIONS =
  "(?:b64enc|quote|squote|toString|print|trim|tpl|upper|lower|nospace|urlquery|toJson|toPrettyJson|toRawJson|toYaml|html|js|bcrypt|base64\\.encode)";
const AS_IT_IS = String.raw`^(?:${FUNCTIONS}[\s(]+)*\(?`;
const CONSTANT = new RegExp(String.raw`${AS_IT_IS}${TEXT}(?:\s*|\s+[.$]\s*)(?:$|[|)]|if\b)`);
/** Functions that print texts they are given. */
const CALL = new RegExp(
  String.raw`${AS_IT_IS}(printf|htpasswd|derivePassword|ternary|dig|list|cat)\s+`,
);
/** A text of Python or Jinja that values are put into: `"...".format(...)`, `"..." % ...`, `"..." | format(...)`. */
const FORMAT = new RegExp(String.raw`^\(?${TEXT}(?:\.format\(|\s*%|\s*\|\s*format\()`);
/** A `dig` whose mapping comes from before the pipe, or within parentheses. */
const PIPED_DIG = /\|\s*dig\s+/;
const INNER_DIG = /^[\s(]*dig\s+/;
/** Texts that an operator of Jinja or ytt joins with others. */
const JOINED = /^(?:"[^"]*"|'[^']*') *[+~]|[+~] *(?:"[^"]*"|'[^']*')$/;
const MAPPING = new RegExp(String.raw`${AS_IT_IS}dict\s`);
/** The name of an entry that holds a password. */
const CREDENTIAL = new RegExp(`${CREDENTIAL_NAME}$`, "i");
/** Of a choice, only this is taken for a password: most are between words. */
const MIXED = /^(?=.*[0-9])(?=.*[A-Za-z]).{6,}$/s;
/** Of Helm, Jinja and Go's templates. What has no value may come first, or several of it. */
const DEFAULT = new RegExp(
  String.raw`(?:(?<!["'.$\w])(?:default|or|else|coalesce|d(?=\())|\|\||&&|\?\?)[\s=(]*(?:[.$][\w.]*\s+)*${TEXT}`,
  "g",
);
/** What follows the name of a variable or a key, as in `getenv "NAME" "text"` and `get('name', 'text')`. */
const FALLBACK =
  /\b(?:getenv|get)\b["'\]]{0,2} *(?:\( *)?(["'`])[^"'`\\]+\1 *,? *(["'`])([^"'`\\]+)\2/i;
/** These print nothing of what they are given. */
const CONTROL = /^(?:else\s+)?(?:if|elif|with|range|define|block)\b|^\$\w+\s*:?=/;

/** No action that anybody writes is longer, in characters. */
const MAX_ACTION = 20_000;

/** The text that a match of TEXT holds. */
function textIn(groups: readonly (string | undefined)[]): string {
  const [double, single, raw, escaped] = groups;
  return raw ?? escaped ?? (double ?? single ?? "").replace(/\\(.)/gs, escapeOf);
}

const escapeOf = (_: string, char: string): string => (char === "n" ? "\n" : char);

/** The text of an action that the template gives itself, whole, as a default or as a pattern. */
export function literalOf(action: string): string | undefined {
  const inside = insideOf(action);
  if (
    inside === null ||
    inside.length > MAX_ACTION ||
    CONTROL.test(inside) ||
    !/["'`]/.test(inside)
  )
    return undefined;
  const format = FORMAT.exec(inside);
  if (format !== null) return formatted(textIn(format.slice(1)), inside.slice(format[0].length));
  const constant = CONSTANT.exec(inside);
  if (constant !== null) return textIn(constant.slice(1));
  const [call, name] = CALL.exec(inside) ?? [];
  const result =
    call === undefined ? undefined : resultOf(name, argumentsOf(inside.slice(call.length)));
  if (result !== undefined && result.replaceAll(UNKNOWN, "").trim() !== "") return result;
  if (JOINED.test(inside)) return joined(argumentsOf(inside), "");
  if (MAPPING.test(inside)) return inMapping(inside);
  return fallbackIn(inside) ?? FALLBACK.exec(inside)?.[3] ?? result;
}

/** The first text that stands in for a value that is missing. */
function defaultIn(expression: string): string | undefined {
  return Array.from(expression.matchAll(DEFAULT), ([, ...groups]) => textIn(groups)).find(
    (value) => value.trim() !== "",
  );
}

/** The same, also as what `dig` gives for a key that is missing. */
function fallbackIn(expression: string, level = 0): string | undefined {
  const [piped] = PIPED_DIG.exec(expression) ?? [];
  const inner = INNER_DIG.exec(expression)?.[0];
  const dug =
    piped !== undefined
      ? argumentsOf(expression.slice(expression.indexOf(piped) + piped.length), level).at(-1)
      : inner !== undefined
        ? argumentsOf(expression.slice(inner.length), level).at(-2)
        : undefined;
  return dug === undefined || dug.trim() === "" ? defaultIn(expression) : dug;
}

/** What stands for an argument that is no text. */
const UNKNOWN = "${x}";

/** The text that a function makes of its arguments, or takes of them. */
function resultOf(name: string | undefined, given: (string | undefined)[]): string | undefined {
  switch (name) {
    case "htpasswd":
      return given[1];
    case "derivePassword":
      return given[2];
    case "dig":
      return given.at(-2);
    case "ternary":
      return given.find((text) => MIXED.test(text ?? ""));
    case "printf":
      return printed(given);
    default:
      return joined(given, " ");
  }
}

const PART = new RegExp(`${TEXT}|[()|]|[^\\s()|"'\`]+`, "g");

/**
 * The arguments of a function up to the end of its call; of one in parentheses, the default. Undefined
 * for what is no text.
 */
function argumentsOf(after: string, level = 0): (string | undefined)[] {
  const values: (string | undefined)[] = [];
  let depth = 0;
  let start = 0;
  for (const match of after.matchAll(PART)) {
    const [part, ...groups] = match;
    if (depth === 0 && (part === "|" || part === ")")) break;
    if (part === ",") continue;
    if (part === "(") {
      if (depth++ === 0) start = match.index;
    } else if (part === ")") {
      if (--depth === 0) values.push(innerText(after.slice(start, match.index), level));
    } else if (depth === 0) {
      values.push(/^["'`\\]/.test(part) ? textIn(groups) : undefined);
    }
  }
  return values;
}

/** As many calls within each other are looked into: each takes a step for each character. */
const MAX_LEVEL = 3;

function innerText(expression: string, level: number): string | undefined {
  return level < MAX_LEVEL ? fallbackIn(expression, level + 1) : defaultIn(expression);
}

function joined(values: readonly (string | undefined)[], between: string): string {
  return values.map((text) => text ?? UNKNOWN).join(between);
}

/** What `printf` makes of a pattern and its arguments. */
function printed([pattern, ...values]: (string | undefined)[]): string | undefined {
  return pattern?.replace(/%[-+# 0-9.]*[a-zA-Z]/g, () => values.shift() ?? UNKNOWN);
}

const FIELD = /\{[\w.:!]*\}|%(?:\(\w+\))?[sdr]/g;
/** An argument with a name. */
const NAMED_TEXT = new RegExp(String.raw`\b(\w+)\s*=\s*${TEXT}`, "g");

/** What a pattern of Python becomes with the texts among its arguments. */
function formatted(pattern: string, after: string): string {
  // A key in brackets is not a value.
  const given = after.replace(/\[\s*(?:"[^"]*"|'[^']*')\s*\]/g, "[x]").replace(/^\s*\(/, "");
  const named = new Map(
    Array.from(given.matchAll(NAMED_TEXT), ([, name = "", ...groups]) => [name, textIn(groups)]),
  );
  const values = argumentsOf(given.replace(NAMED_TEXT, "x"));
  return pattern.replace(FIELD, (field) => {
    const name = /\w{2,}|[a-zA-Z_](?=\})/.exec(field)?.[0] ?? "";
    return named.get(name) ?? values.shift() ?? UNKNOWN;
  });
}

/** The text that a mapping has for a key that is called like a password. */
function inMapping(inside: string): string | undefined {
  /** For each parenthesis, the number of arguments of its `dict`, and whether the last was such a key. */
  const open: { seen: number; isCredential: boolean }[] = [];
  let current = { seen: Number.NaN, isCredential: false };
  for (const [part, ...groups] of inside.matchAll(PART)) {
    const text = /^["'`\\]/.test(part) ? textIn(groups) : undefined;
    if (part === "dict") {
      current = { seen: 0, isCredential: false };
    } else if (part === ")") {
      current = open.pop() ?? current;
    } else {
      if (current.isCredential && text !== undefined && text.trim() !== "") return text;
      const isKey = current.seen % 2 === 0;
      current.isCredential = isKey && text !== undefined && CREDENTIAL.test(text);
      current.seen++;
      if (part !== "(") continue;
      open.push(current);
      current = { seen: Number.NaN, isCredential: false };
    }
  }
  return undefined;
}

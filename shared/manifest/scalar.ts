// Resolves scalars as Kubernetes does, and formats strings so that they parse as strings.

type ScalarKind = "null" | "boolean" | "integer" | "float" | "string";

export interface Resolved {
  readonly kind: ScalarKind;
  readonly value: null | boolean | number | string;
  /** The exact value of an integer that a JavaScript number cannot hold. */
  readonly integer?: bigint;
}

const WORDS = new Map<string, Resolved>();
for (const [value, words] of [
  [true, "y Y yes Yes YES true True TRUE on On ON"],
  [false, "n N no No NO false False FALSE off Off OFF"],
] as const) {
  for (const word of words.split(" ")) WORDS.set(word, { kind: "boolean", value });
}
for (const word of ["", "~", "null", "Null", "NULL"])
  WORDS.set(word, { kind: "null", value: null });
for (const [value, words] of [
  [NaN, ".nan .NaN .NAN"],
  [Infinity, ".inf .Inf .INF +.inf +.Inf +.INF"],
  [-Infinity, "-.inf -.Inf -.INF"],
] as const) {
  for (const word of words.split(" ")) WORDS.set(word, { kind: "float", value });
}

const INTEGER = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/;
// go-yaml first tries a base prefix, then removes "0b" and parses the rest, including a sign.
const SIGN_AFTER_PREFIX = /^0b([-+])([01]+)$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
// go-yaml passes text that starts with a point to Go's parser, which accepts `_` between digits.
const POINT_FLOAT = /^\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?$/;
const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;

function exactInteger(sign: string, digits: string): Resolved | undefined {
  const number = Number(sign === "-" ? `-${digits}` : digits);
  if (Number.isSafeInteger(number)) {
    return { kind: "integer", value: number === 0 ? 0 : number };
  }
  const magnitude = BigInt(digits);
  const integer = sign === "-" ? -magnitude : magnitude;
  const fits =
    (integer >= -MAX_INT64 - 1n && integer <= MAX_INT64) || (sign === "" && integer <= MAX_UINT64);
  return fits ? { kind: "integer", value: Number(integer), integer } : undefined;
}

function parseInteger(plain: string): Resolved | undefined {
  const match = INTEGER.exec(plain);
  if (match === null) {
    const odd = SIGN_AFTER_PREFIX.exec(plain);
    const parsed = odd === null ? undefined : exactInteger("+", `0b${odd[2] ?? ""}`);
    if (parsed === undefined || odd?.[1] === "+") return parsed;
    return parsed.integer === undefined
      ? { kind: "integer", value: 0 - Number(parsed.value) }
      : { kind: "integer", value: -Number(parsed.value), integer: -parsed.integer };
  }
  const [, sign = "", hex, binary, octal, decimal = "0"] = match;
  if (hex !== undefined) return signed(sign, `0x${hex}`);
  if (binary !== undefined) return signed(sign, `0b${binary}`);
  if (octal !== undefined) return signed(sign, `0o${octal}`);
  return exactInteger(sign, decimal);
}

/** Parses a number with a base prefix; `Number` and `BigInt` reject a sign before the prefix. */
function signed(sign: string, prefixed: string): Resolved | undefined {
  return exactInteger(sign, BigInt(prefixed).toString());
}

/** Resolves the text of a scalar without quotes or tag as go-yaml does. */
export function resolvePlain(text: string): Resolved {
  const first = text.charCodeAt(0);
  const digit = first >= 48 && first <= 57;
  if (!digit && first !== 43 && first !== 45 && first !== 46) {
    return WORDS.get(text) ?? { kind: "string", value: text };
  }
  const word = WORDS.get(text);
  if (word !== undefined) return word;
  const plain = text.replaceAll("_", "");
  const integer = first === 46 ? undefined : parseInteger(plain);
  if (integer !== undefined) return integer;
  if (first === 46 ? POINT_FLOAT.test(text) : FLOAT.test(plain)) {
    const value = Number(plain);
    if (Number.isFinite(value)) return { kind: "float", value };
  }
  return { kind: "string", value: text };
}

/**
 * Returns a scalar's text as a mapping key; undefined for keys that Kubernetes rejects, which are
 * null and integers beyond 64 signed bits. As in Kubernetes, a float is rounded to 32 bits.
 */
export function keyText(key: Resolved): string | undefined {
  if (key.kind === "null") return undefined;
  if (key.kind === "float") return formatFloat32(Number(key.value));
  if (key.integer === undefined) return String(key.value);
  return key.integer > MAX_INT64 ? undefined : key.integer.toString();
}

/** As Go's `strconv.FormatFloat(value, 'g', -1, 32)`, with YAML's names for infinities and NaN. */
function formatFloat32(double: number): string {
  const value = Math.fround(double);
  if (Number.isNaN(value)) return ".nan";
  if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf";
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  let shortest = "";
  for (let digits = 0; digits < 9; digits++) {
    shortest = value.toExponential(digits);
    if (Math.fround(Number(shortest)) === value) break;
  }
  const [mantissa = "", power = "0"] = shortest.split("e");
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 21 && (exponent < 6 || exponent < 0)) {
    return Number(shortest).toFixed(
      Math.max(0, mantissa.replace(/^-?\d\.?/, "").length - exponent),
    );
  }
  const size = String(Math.abs(exponent)).padStart(2, "0");
  return `${mantissa}e${exponent < 0 ? "-" : "+"}${size}`;
}

/**
 * Whether Kubernetes reads a scalar differently than its text suggests: `yes`, `0777`, `1e3`,
 * `1.50`, or an integer too long for a double. `8080`, `true` and `~` are not surprising.
 */
export function isSurprising(text: string, resolved: Resolved): boolean {
  switch (resolved.kind) {
    case "string":
    case "null":
      return false;
    case "boolean":
      return text.toLowerCase() !== String(resolved.value);
    default:
      return resolved.integer !== undefined || String(resolved.value) !== text;
  }
}

// Words and numbers of YAML 1.1 and 1.2 that go-yaml reads as strings, but other parsers do not.
const READ_OTHERWISE_ELSEWHERE = new RegExp(
  "^(?:" +
    [
      "[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\\.[0-9_]*)?",
      "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?",
      "[-+]?[0-9][0-9_]*\\.?[0-9_]*(?:[eE][-+]?[0-9]+)?",
      "[-+]?\\.[0-9_]+(?:[eE][-+]?[0-9]+)?",
      "[-+]?0[xXoObB][0-9a-fA-F_]+",
      "[-+]?\\.?(?:inf|nan|infinity)",
      "true|false|yes|no|on|off|y|n|null|~|=|<<",
    ].join("|") +
    ")$",
  "i",
);
const PLAIN =
  /^(?:[A-Za-z0-9_/.+$^;()<=~\\\xA1-\uD7FF\uF900-\uFDFF]|-(?=[A-Za-z0-9_/]))[\x20-\x7E\xA1-\uD7FF\uF900-\uFDFF]*$/;
const NEEDS_QUOTES = /: |:$| #| $|^\.\.\.|[\u1680\u2000-\u200F\u2028-\u202F\u205F-\u206F\u3000]/;

/** Whether every YAML parser reads the unquoted text in a block mapping as this string. */
function canBePlain(text: string): boolean {
  return (
    PLAIN.test(text) &&
    !NEEDS_QUOTES.test(text) &&
    !READ_OTHERWISE_ELSEWHERE.test(text) &&
    resolvePlain(text).kind === "string"
  );
}

/**
 * Formats a string on one line as go-yaml does: plain if every parser reads it as this string, in
 * single quotes where only its punctuation forbids that, else in double quotes.
 */
export function formatString(text: string): string {
  if (canBePlain(text)) return text;
  const isWord = READ_OTHERWISE_ELSEWHERE.test(text) || resolvePlain(text).kind !== "string";
  return isWord || !/^[\x20-\x7E]+$/.test(text) ? quote(text) : `'${text.replaceAll("'", "''")}'`;
}

const ESCAPED =
  /["\\\x00-\x1F\x7F-\xA0\u1680\u2000-\u200F\u2028-\u202F\u205F-\u206F\u3000\uFEFF\uFFFE\uFFFF]/g;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** Formats a string in double quotes, as both valid YAML and valid JSON. */
export function quote(text: string): string {
  const body = text.replace(
    ESCAPED,
    (found) => SHORT_ESCAPES[found] ?? `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${body}"`;
}

const BLOCK =
  /^[^ \t\n\x00-\x08\x0B-\x1F\x7F-\xA0\u2028\u2029\uFEFF\uFFFE\uFFFF][^\x00-\x08\x0B-\x1F\x7F-\x9F\u2028\u2029\uFEFF\uFFFE\uFFFF]*$/;

/**
 * Formats a string as the header and lines of a literal block. Returns undefined if the string has
 * only one line, or if a block would not parse back to the same string.
 */
export function literalBlock(text: string): { header: string; lines: string[] } | undefined {
  if (!text.includes("\n") || !BLOCK.test(text) || /\n\n$|^[ \t]+$/m.test(text)) return undefined;
  const lines = text.split("\n");
  if (lines.at(-1) !== "") return { header: "|-", lines };
  return { header: "|", lines: lines.slice(0, -1) };
}

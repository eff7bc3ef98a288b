// Parses and compares semantic versions, and checks constraints.
import { RE2JS } from "re2js";
import { parseUint64 } from "./numbers.ts";
import { fn, type Table } from "./signature.ts";
import { type Bytes, Fault, Version } from "./value.ts";

const TAIL =
  "(-([0-9A-Za-z\\-]+(\\.[0-9A-Za-z\\-]+)*))?" + "(\\+([0-9A-Za-z\\-]+(\\.[0-9A-Za-z\\-]+)*))?";
const CONSTRAINT = `v?([0-9|x|X|\\*]+)(\\.[0-9|x|X|\\*]+)?(\\.[0-9|x|X|\\*]+)?${TAIL}`;
const OPERATORS = "=||!=|>|<|>=|=>|<=|=<|~|~>|\\^";
// These are the original's patterns. RE2 runs them, as in the original, because JavaScript's engine
// could take exponential time.
const VERSION_PATTERN = RE2JS.compile(`^v?([0-9]+)(\\.[0-9]+)?(\\.[0-9]+)?${TAIL}$`);
const ONE_PATTERN = RE2JS.compile(`^\\s*(${OPERATORS})\\s*(${CONSTRAINT})\\s*$`);
const RANGE_PATTERN = RE2JS.compile(`\\s*(${CONSTRAINT})\\s+-\\s+(${CONSTRAINT})\\s*`);
const FIND_PATTERN = RE2JS.compile(`(${OPERATORS})\\s*(${CONSTRAINT})`);
const VALID_PATTERN = RE2JS.compile(
  `^(\\s*(${OPERATORS})\\s*(${CONSTRAINT})\\s*)` +
    `((?:\\s+|,\\s*)(${OPERATORS})\\s*(${CONSTRAINT})\\s*)*$`,
);
const MAX_LENGTH = 1_000;

/** As semver.NewVersion. @throws Fault */
function parseVersion(text: Bytes): Version {
  if (text.length > MAX_LENGTH) throw new Fault("the version is too long");
  const match = VERSION_PATTERN.matcher(text);
  if (!match.find()) throw new Fault("not a version");
  const part = (group: number): bigint => {
    const digits = (match.group(group) ?? "0").replace(".", "");
    const parsed = parseUint64(digits, 10);
    if ("ok" in parsed) return parsed.ok;
    throw new Fault("not a version");
  };
  const pre = match.group(5) ?? "";
  if (pre.split(".").some((each) => /^0[0-9]+$/.test(each))) throw new Fault("not a version");
  return new Version([part(1), part(2), part(3)], pre, match.group(8) ?? "", text);
}

/** As a version's String method: without a leading v. */
export function versionText(version: Version): Bytes {
  const pre = version.pre === "" ? "" : `-${version.pre}`;
  return version.numbers.join(".") + pre + (version.metadata === "" ? "" : `+${version.metadata}`);
}

/** Returns -1, 0 or 1; metadata is ignored. */
export function compareVersions(a: Version, b: Version): number {
  for (const i of [0, 1, 2] as const) {
    if (a.numbers[i] !== b.numbers[i]) return a.numbers[i] < b.numbers[i] ? -1 : 1;
  }
  if (a.pre === b.pre) return 0;
  if (a.pre === "") return 1;
  return b.pre === "" ? -1 : comparePre(a.pre.split("."), b.pre.split("."));
}

function comparePre(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const [x = "", y = ""] = [a[i], b[i]];
    if (x === y) continue;
    if (x === "" || y === "") return x === "" ? -1 : 1;
    const [m, n] = [parseUint64(x, 10), parseUint64(y, 10)];
    if ("ok" in m && "ok" in n) return m.ok > n.ok ? 1 : -1;
    if ("ok" in m) return -1;
    if ("ok" in n) return 1;
    return x > y ? 1 : -1;
  }
  return 0;
}

interface Constraint {
  readonly operator: string;
  readonly version: Version;
  /** Whether any part is a wildcard, as in 1.x; `minorOpen` and `patchOpen` say which. */
  readonly open: boolean;
  readonly minorOpen: boolean;
  readonly patchOpen: boolean;
}

function parseConstraint(text: Bytes): Constraint {
  const match = ONE_PATTERN.matcher(text);
  if (!match.find()) throw new Fault("not a version constraint");
  const part = (group: number): string => match.group(group) ?? "";
  const isOpen = (group: number): boolean =>
    ["", "x", "X", "*"].includes(part(group).replace(/^\./, ""));
  const [major, minor, patch] = [part(3), part(4), part(5)];
  // As in the original, a wildcard in the first part leaves minorOpen and patchOpen unset.
  const first = isOpen(3);
  const second = !first && isOpen(4);
  const third = !first && !second && isOpen(5);
  const numbers = first
    ? "0.0.0"
    : second
      ? `${major}.0.0`
      : third
        ? `${major}${minor}.0`
        : `${major}${minor}${patch}`;
  const whole = first || second || third ? numbers + part(6) : part(2);
  return {
    operator: part(1),
    version: parseVersion(whole),
    open: first || second || third,
    minorOpen: second,
    patchOpen: third,
  };
}

function satisfies(version: Version, constraint: Constraint): boolean {
  const { version: wanted, operator, open, minorOpen, patchOpen } = constraint;
  const [major, minor, patch] = version.numbers;
  const [wantedMajor, wantedMinor, wantedPatch] = wanted.numbers;
  const order = compareVersions(version, wanted);
  // A pre-release matches only if the constraint has one too.
  const hidden = version.pre !== "" && wanted.pre === "";
  const tilde = (): boolean => {
    if (order < 0) return false;
    const isZero = wantedMajor === 0n && wantedMinor === 0n && wantedPatch === 0n;
    if (isZero && !minorOpen && !patchOpen) return true;
    return major === wantedMajor && (minor === wantedMinor || minorOpen);
  };
  if (operator === "!=") {
    if (!open) return order !== 0;
    if (hidden) return false;
    if (major !== wantedMajor) return true;
    if (minor !== wantedMinor && !minorOpen) return true;
    if (minorOpen) return false;
    if (patch !== wantedPatch && !patchOpen) return true;
    if (patchOpen) return comparePre(version.pre.split("."), wanted.pre.split(".")) !== 0;
    return order !== 0;
  }
  if (hidden) return false;
  switch (operator) {
    case ">":
      if (!open) return order > 0;
      if (major !== wantedMajor) return major > wantedMajor;
      if (minorOpen) return false;
      return patchOpen ? minor > wantedMinor : order > 0;
    case "<":
      return order < 0;
    case ">=":
    case "=>":
      return order >= 0;
    case "<=":
    case "=<":
      if (!open) return order <= 0;
      return !(major > wantedMajor || (major === wantedMajor && minor > wantedMinor && !minorOpen));
    case "~":
    case "~>":
      return tilde();
    case "^":
      if (order < 0) return false;
      if (wantedMajor > 0n || minorOpen) return major === wantedMajor;
      if (major > 0n) return false;
      if (wantedMinor > 0n || patchOpen) return minor === wantedMinor;
      return minor === 0n && patch === wantedPatch;
    default:
      return open ? tilde() : order === 0;
  }
}

/** As semver.NewConstraint and Check. @throws Fault */
function checkConstraint(constraint: Bytes, text: Bytes): boolean {
  if (constraint.length > MAX_LENGTH) throw new Fault("the constraint is too long");
  let source = constraint;
  const ranges = RANGE_PATTERN.matcher(constraint);
  while (ranges.find()) {
    const rewritten = `>= ${ranges.group(1) ?? ""}, <= ${ranges.group(11) ?? ""} `;
    source = source.replace(ranges.group() ?? "", () => rewritten);
  }
  const alternatives = source.split("||").map((part) => {
    if (!VALID_PATTERN.matcher(part).find()) throw new Fault("not a version constraint");
    const found: Constraint[] = [];
    const matcher = FIND_PATTERN.matcher(part);
    while (matcher.find()) found.push(parseConstraint(matcher.group() ?? ""));
    return found;
  });
  const version = parseVersion(text);
  return alternatives.some((all) => all.every((each) => satisfies(version, each)));
}

export const SEMVER_FUNCTIONS: Table = {
  semver: fn(["string"], (_, text) => parseVersion(text)),
  semverCompare: fn(["string", "string"], (_, constraint, text) =>
    checkConstraint(constraint, text),
  ),
};

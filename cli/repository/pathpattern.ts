// Patterns of paths: `*`, `**`, `?`, `[...]`, `{a,b}`, and `{namespace}` and `{name}`, which capture.
// SPEC.md, "Projects".
//
// A regular expression made from a pattern can take exponential time. Here each position of a path
// is tried at most once for each part of a pattern.

/** Names in braces that a pattern may have, and the character that stands for each inside. */
const CAPTURES = { namespace: "\u0000", name: "\u0001" } as const;
type Capture = keyof typeof CAPTURES;
const NAMES = ["namespace", "name"] as const satisfies readonly Capture[];

/** What a pattern captures in a path. */
type Captured = { readonly [name in Capture]?: string };

export interface PathPattern {
  /** Returns null for a path that the pattern does not match. */
  readonly match: (path: string) => Captured | null;
  /** How many patterns it stands for by its braces. */
  readonly size: number;
  /** How many passes over a path all of these take at most. */
  readonly passes: number;
}

type Token =
  /** One character. */
  | { readonly type: "one"; readonly matches: (character: string) => boolean }
  /** Any number of folders, each with its slash. */
  | { readonly type: "folders" }
  /** A path that ends here, and all that is below it. */
  | { readonly type: "below" }
  /** `least` characters or more, in one part of the path or across parts. */
  | {
      readonly type: "many";
      readonly least: number;
      readonly deep: boolean;
      readonly capture?: Capture;
    };

const MAX_LENGTH = 256;
/** No pattern matches a longer path, in characters. */
const MAX_PATH_LENGTH = 1024;
/** How many patterns one may stand for by its braces. */
const MAX_ALTERNATIVES = 64;
/** Counted in all of these: each can cost one pass over a path. */
const MAX_WILDCARDS = 128;

/** A pattern that is refused; the message says why. */
export class PatternFault extends Error {
  override readonly name = "PatternFault";
}

/** @throws PatternFault */
export function pathPattern(pattern: string): PathPattern {
  if (pattern.length > MAX_LENGTH) {
    throw new PatternFault(`is longer than ${MAX_LENGTH} characters`);
  }
  if (/[()|]/.test(pattern) || pattern.startsWith("!") || /\{[^{}]*\.\.[^{}]*\}/.test(pattern)) {
    throw new PatternFault("has a group, a range or a '!', which patterns of paths cannot have");
  }
  const words: string[] = pattern.match(/\{[A-Za-z]+\}/g) ?? [];
  const isWrong = (word: string, index: number): boolean =>
    words.indexOf(word) < index || !NAMES.some((name) => word === `{${name}}`);
  if (words.some(isWrong)) {
    throw new PatternFault("may have only {namespace} and {name} in braces, each once");
  }
  if (NAMES.some((name) => pattern.includes(CAPTURES[name]))) {
    throw new PatternFault("has a control character");
  }
  const marked = NAMES.reduce(
    (text, name) => text.replace(`{${name}}`, CAPTURES[name]),
    pattern.replace(/^\.\//, ""),
  );
  const tokens = alternatives(marked).map(tokensOf);
  const passes = tokens.flat().filter(({ type }) => type === "many" || type === "folders").length;
  if (passes > MAX_WILDCARDS) {
    throw new PatternFault(
      `has more than ${MAX_WILDCARDS} stars, counted after its braces are expanded`,
    );
  }
  const match = (path: string): Captured | null => {
    if (path.length > MAX_PATH_LENGTH) return null;
    for (const each of tokens) {
      const captured = matchTokens(each, path);
      if (captured !== null) return captured;
    }
    return null;
  };
  return { match, size: tokens.length, passes };
}

/**
 * Returns `{a,b}` as two patterns, and so on for each pair of braces.
 * @throws PatternFault if that makes too many
 */
export function alternatives(pattern: string): string[] {
  let patterns = [pattern];
  for (;;) {
    const before = patterns;
    patterns = before.flatMap((each) => {
      // The innermost pair, so that nested ones are read too.
      const pair = /\{([^{}]*,[^{}]*)\}/.exec(each);
      if (pair === null) return [each];
      const after = each.slice(pair.index + pair[0].length);
      return (pair[1] ?? "").split(",").map((one) => each.slice(0, pair.index) + one + after);
    });
    if (patterns.length > MAX_ALTERNATIVES) {
      throw new PatternFault(`has braces that expand to more than ${MAX_ALTERNATIVES} patterns`);
    }
    if (patterns.every((each, index) => each === before[index])) return patterns;
  }
}

/** In the order in which they are tried. A class cannot have a slash. */
const PARTS =
  /(?<folders>(?<=^|\/)\*\*\/)|(?<below>\/\*\*$)|(?<all>^\*\*$)|(?<star>\*+)|(?<any>\?)|\[(?<negation>[!^]?)(?<members>[^\]/][^\]/]*)\]|\\(?<escaped>[^/])|(?<other>[^])/g;

function tokensOf(pattern: string): Token[] {
  return Array.from(pattern.matchAll(PARTS), ({ 0: whole, groups = {} }): Token => {
    const { folders, below, all, star, any, negation, members, escaped } = groups;
    const capture = NAMES.find((name) => whole === CAPTURES[name]);
    if (folders !== undefined) return { type: "folders" };
    if (below !== undefined) return { type: "below" };
    if (all !== undefined) return { type: "many", least: 0, deep: true };
    if (star !== undefined) return { type: "many", least: 0, deep: false };
    if (capture !== undefined) return { type: "many", least: 1, deep: false, capture };
    if (any !== undefined) return { type: "one", matches: (character) => character !== "/" };
    if (members !== undefined) return { type: "one", matches: memberOf(members, negation !== "") };
    return { type: "one", matches: (character) => character === (escaped ?? whole) };
  });
}

/** @throws PatternFault */
function memberOf(members: string, isNegated: boolean): (character: string) => boolean {
  const escaped = members.replace(/[[\]\\^]/g, "\\$&");
  try {
    const expression = new RegExp(`^[${isNegated ? "^/" : ""}${escaped}]$`);
    return (character) => character !== "/" && expression.test(character);
  } catch {
    throw new PatternFault("has a range in brackets that ends before it begins");
  }
}

/** Matches all of `path`; each token takes as little as it can. */
function matchTokens(tokens: readonly Token[], path: string): Captured | null {
  const captured: { [name in Capture]?: string } = {};
  /** For each token, the positions from which the rest does not match. */
  const failed: Uint8Array[] = [];

  /** Whether the tokens from `index` on match the path from `from` on. */
  const rest = (index: number, from: number): boolean => {
    const token = tokens[index];
    if (token === undefined) return from === path.length;
    if (token.type === "below") return from === path.length || path[from] === "/";
    if (token.type === "one") {
      return from < path.length && token.matches(path[from] ?? "") && rest(index + 1, from + 1);
    }
    const [least, deep] = token.type === "folders" ? [0, true] : [token.least, token.deep];
    for (let to = from; ; to++) {
      // What failed from here includes all that comes further on.
      const failures = (failed[index] ??= new Uint8Array(path.length + 1));
      if (failures[to] === 1) return false;
      if (to >= from + least) {
        const isPlace = token.type === "many" || to === 0 || path[to - 1] === "/";
        if (isPlace && rest(index + 1, to)) {
          if (token.type === "many" && token.capture !== undefined) {
            captured[token.capture] = path.slice(from, to);
          }
          return true;
        }
        failures[to] = 1;
      }
      if (to === path.length || (!deep && path[to] === "/")) return false;
    }
  };

  return rest(0, 0) ? captured : null;
}

// Text that a stranger may have written, as a terminal or the log of a CI job may show it.

/** Characters that a terminal acts upon, or that hide or reorder others; see Unicode TR 36. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * How lines begin that a forge takes as a command: `::` on GitHub; `##[` and `##vso[`, anywhere in a
 * line, on GitHub and Azure; `##teamcity[`.
 */
const FORGE_COMMAND = /^(\s*):(?=:)|#(?=#[a-z]{0,16}\[)/gi;

/** One line without anything that would be more than text where it is shown: `?` replaces it. */
export function shownLine(line: string): string {
  return line.replace(UNSEEN, "?").replace(FORGE_COMMAND, "$1?");
}

/** The same of one line in several parts: what begins in one and ends in the next counts too. */
export function shownParts(parts: readonly string[]): string[] {
  const seen = parts.map((part) => part.replace(UNSEEN, "?"));
  // As long as before: each part is found again by its length.
  const line = shownLine(seen.join(""));
  let at = 0;
  return seen.map((part) => line.slice(at, (at += part.length)));
}

/** JSON for people and programs: the same value, in escapes where a terminal or a forge would act. */
export function shownJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
    // JSON escapes line ends in texts itself; those that are left are its own.
    .replace(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
      [...Array(character.length).keys()].map((at) => escaped(character, at)).join(""),
    )
    // Only a text has this character.
    .replace(/#(?=#[a-z]{0,16}\[)/gi, (character) => escaped(character, 0));
  return `${text}\n`;
}

function escaped(text: string, at: number): string {
  return `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`;
}

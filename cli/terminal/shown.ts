// Text that a stranger may have written, as a terminal or the log of a CI job may show it.

/** Characters that a terminal acts upon, or that hide or reorder others; see Unicode TR 36. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * How lines begin that a forge takes as a command: `::` on GitHub; `##[` and `##vso[`, anywhere in a
 * line, on GitHub and Azure; `##teamcity[`.
 */
const FORGE_COMMAND = /^(\s*):(?=:)|#(?=#[a-z]{0,16}\[)/g;

/** One line without anything that would be more than text where it is shown: `?` replaces it. */
export function shownLine(line: string): string {
  return line.replace(UNSEEN, "?").replace(FORGE_COMMAND, "$1?");
}

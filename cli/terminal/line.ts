// A line of output whose parts may have a style.

import { styleText } from "node:util";
import { shownParts } from "./shown.ts";

export type Style = "red" | "yellow" | "green" | "cyan" | "dim" | "bold";

/** A text in a style, for terminals that show it. */
interface Styled {
  readonly text: string;
  readonly style: Style;
}

export type Part = string | Styled;
export type Line = string | readonly Part[];

/** A text in a style, or as it is where there is no style for it. */
export function styled(text: string, style: Style | undefined): Part {
  return style === undefined || text === "" ? text : { text, style };
}

export function textOf(part: Part): string {
  return typeof part === "string" ? part : part.text;
}

/** Parts as a line, without spaces at its end; a string where no part has a style. */
export function lineOf(parts: readonly Part[]): Line {
  const kept = [...parts];
  for (let last = kept.at(-1); typeof last === "string"; last = kept.at(-1)) {
    kept.pop();
    if (last.trimEnd() === "") continue;
    kept.push(last.trimEnd());
    break;
  }
  return kept.every((part) => typeof part === "string") ? kept.join("") : kept;
}

/**
 * A line as a terminal may show it: what a stranger wrote and a terminal would act upon is replaced
 * in every part, and only then parts get their styles.
 */
export function shownStyled(line: Line, isInColor: boolean): string {
  const parts = typeof line === "string" ? [line] : line;
  const cleaned = shownParts(parts.map(textOf));
  if (!isInColor) return cleaned.join("");
  return parts
    .map((part, index) => {
      const text = cleaned[index] ?? "";
      return typeof part === "string" ? text : styleText(part.style, text, UNCHECKED);
    })
    .join("");
}

/** Newer versions of Node would ask standard output whether it shows styles. */
const UNCHECKED = { validateStream: false };

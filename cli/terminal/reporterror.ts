// Errors and their hints as text, and the exit status that an error asks for.
// SPEC.md, "Command line".
//
// An error is one line, `signet: error: WHAT FAILED: WHY`; a line `signet: hint: WHAT TO DO`
// follows where there is something to do. To people, the error's code follows in brackets: `signet
// explain CODE` tells more.

import { errnoOf } from "../../host/errno.ts";
import { ERROR_CODES, formatPlace, SignetError } from "../../shared/errors.ts";
import { say, tellsCodes } from "./messages.ts";

/** Further errors of a run are counted, not printed. */
const MAX_ERRORS_SHOWN = 20;

/** Prints an error; returns the exit status that it asks for. */
export function reportError(error: unknown): number {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const hints = new Set<string>();
  for (const [index, each] of errors.entries()) {
    if (index === MAX_ERRORS_SHOWN) {
      say(`error: and ${errors.length - index} more`);
      break;
    }
    const place = each instanceof SignetError ? formatPlace(each.place) : "";
    say(`error: ${place === "" ? "" : `${place}: `}${wordsOf(each)}`);
    if (each instanceof SignetError && each.hint !== undefined && !hints.has(each.hint)) {
      hints.add(each.hint);
      say(`hint: ${each.hint}`);
    }
  }
  const [first] = errors;
  return first instanceof SignetError ? ERROR_CODES[first.code].exitStatus : 1;
}

function wordsOf(error: unknown): string {
  if (error instanceof SignetError) {
    // Whoever cancelled knows why.
    return tellsCodes() && error.code !== "cancelled"
      ? `${error.message} [${error.code}]`
      : error.message;
  }
  const code = errnoOf(error);
  // The message of an unforeseen error may quote a value: print its name and location only.
  const name = error instanceof Error ? error.name : typeof error;
  const where =
    error instanceof Error ? /\n\s+at ([^\n]*)/.exec(error.stack ?? "")?.[1] : undefined;
  return `unexpected ${code ?? name}${where === undefined ? "" : ` at ${where}`}: please report this`;
}

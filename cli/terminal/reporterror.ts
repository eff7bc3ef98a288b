// Errors and their hints as text, and the exit status that an error asks for.
// SPEC.md, "Command line".
//
// An error is one line, `signet: error: WHAT FAILED: WHY`; a line `signet: hint: WHAT TO DO`
// follows where there is something to do. To people, the error's code follows in brackets: `signet
// explain CODE` tells more.

import { errnoOf } from "../../host/errno.ts";
import { ERROR_CODES, formatPlace, SignetError } from "../../shared/errors.ts";
import { type Part, styled } from "./line.ts";
import { say, tellsCodes } from "./messages.ts";
import { printJson } from "./results.ts";

/** Further errors of a run are counted, not printed. */
const MAX_ERRORS_SHOWN = 20;

/** The code of an error that Signet did not foresee. */
export const UNEXPECTED = "unexpected";

/** Prints an error as JSON, for programs that read standard output only. @throws SignetError io */
export function printErrorJson(error: unknown): Promise<void> {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  return printJson({
    errors: errors.map((each) =>
      each instanceof SignetError
        ? {
            code: each.code,
            message: each.message,
            ...(each.hint === undefined ? {} : { hint: each.hint }),
            place: each.place,
          }
        : { code: UNEXPECTED, message: wordsOf(each), place: {} },
    ),
  });
}

/** Prints an error; returns the exit status that it asks for. */
export function reportError(error: unknown): number {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const hints = new Set<string>();
  for (const [index, each] of errors.entries()) {
    if (index === MAX_ERRORS_SHOWN) {
      say([ERROR, ` and ${errors.length - index} more`]);
      break;
    }
    const place = each instanceof SignetError ? formatPlace(each.place) : "";
    say([ERROR, ` ${place === "" ? "" : `${place}: `}${wordsOf(each)}`, codeOf(each)]);
    if (each instanceof SignetError && each.hint !== undefined && !hints.has(each.hint)) {
      hints.add(each.hint);
      say([styled("hint:", "cyan"), ` ${each.hint}`]);
    }
  }
  const [first] = errors;
  return first instanceof SignetError ? ERROR_CODES[first.code].exitStatus : 1;
}

const ERROR = styled("error:", "red");

function codeOf(error: unknown): Part {
  // Whoever cancelled knows why.
  const isTold = error instanceof SignetError && error.code !== "cancelled" && tellsCodes();
  return isTold ? styled(` [${error.code}]`, "dim") : "";
}

function wordsOf(error: unknown): string {
  if (error instanceof SignetError) return error.message;
  const code = errnoOf(error);
  // The message of an unforeseen error may quote a value: print its name and location only.
  const name = error instanceof Error ? error.name : typeof error;
  const where =
    error instanceof Error ? /\n\s+at ([^\n]*)/.exec(error.stack ?? "")?.[1] : undefined;
  return `unexpected ${code ?? name}${where === undefined ? "" : ` at ${where}`}: please report this`;
}

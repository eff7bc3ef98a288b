// Owns: questions to a person on a terminal.
// Does not own: which questions (new.ts, values.ts). Loaded only where one is asked.

import { isatty } from "node:tty";
import inquirer from "inquirer";
import { SignetError } from "../shared/errors.ts";

const STDIN = 0;
const STDERR = 2;

/** Whether there is a person to ask. */
export function canAsk(): boolean {
  return isatty(STDIN) && isatty(STDERR);
}

// Questions are words, not a result: they go to standard error.
const prompt = inquirer.createPromptModule({ output: process.stderr });

/** @throws SignetError cancelled where the person gave up */
async function ask<T>(question: Record<string, unknown>): Promise<T> {
  try {
    // Its types ask for each kind of question apart; ours are all built below.
    const questions = [{ name: "answer", ...question }] as never;
    const answers = (await prompt(questions)) as Record<string, unknown>;
    return answers["answer"] as T;
  } catch (error) {
    if (error instanceof Error && /^(ExitPromptError|AbortPromptError)$/.test(error.name)) {
      throw new SignetError("cancelled", "given up; nothing was changed");
    }
    throw error;
  }
}

/** `check`: what is wrong with an answer, or null. */
export type Check = (answer: string) => string | null;

const accepts = (check: Check) => (answer: string) => check(answer) ?? true;

export function askText(message: string, initial = "", check: Check = () => null): Promise<string> {
  const suggestion = initial === "" ? {} : { default: initial };
  return ask({ type: "input", message, ...suggestion, validate: accepts(check) });
}

/** A value that is not shown, not even how long it is. */
export function askHidden(message: string, check: Check = () => null): Promise<string> {
  return ask({ type: "password", message, mask: false, validate: accepts(check) });
}

export function askYesNo(message: string, initial: boolean): Promise<boolean> {
  return ask({ type: "confirm", message, default: initial });
}

export interface Choice<T> {
  readonly name: string;
  readonly value: T;
}

export function askChoice<T>(message: string, choices: readonly Choice<T>[]): Promise<T> {
  return ask({ type: "select", message, choices });
}

export function askChoices<T>(message: string, choices: readonly Choice<T>[]): Promise<T[]> {
  return ask({ type: "checkbox", message, choices, required: true });
}

// Questions to the user on a terminal. Loaded only where one is asked.

import { isatty } from "node:tty";
import inquirer from "inquirer";
import { SignetError } from "../../shared/errors.ts";
import { say } from "./messages.ts";

const STDIN = 0;
const STDERR = 2;

/** Whether there is a terminal to ask on. */
export function canAsk(): boolean {
  return isatty(STDIN) && isatty(STDERR);
}

// Questions are messages, not results: they go to standard error.
const prompt = inquirer.createPromptModule({ output: process.stderr });

/** @throws SignetError cancelled */
async function ask<T>(question: Record<string, unknown>): Promise<T> {
  try {
    // Its types differ by the kind of question; ours are all built below.
    const questions = [{ name: "answer", ...question }] as never;
    const answers = (await prompt(questions)) as Record<string, unknown>;
    return answers["answer"] as T;
  } catch (error) {
    if (error instanceof Error && /^(ExitPromptError|AbortPromptError)$/.test(error.name)) {
      throw new SignetError("cancelled", "cancelled; no changes made");
    }
    throw error;
  }
}

/** What is wrong with an answer, or null. */
type Check = (answer: string) => string | null;

const accepts = (check: Check) => (answer: string) => check(answer) ?? true;

export function askText(message: string, initial = "", check: Check = () => null): Promise<string> {
  const suggestion = initial === "" ? {} : { default: initial };
  return ask({ type: "input", message, ...suggestion, validate: accepts(check) });
}

/** One line that is never shown, nor its length. */
export async function askHidden(message: string, check: Check = () => null): Promise<string> {
  const question = { type: "password", message, mask: false, toggleMask: false };
  for (;;) {
    const pasted = watchForLines();
    const answer = await ask<string>({ ...question, validate: accepts(check) });
    if (!(await pasted())) return answer;
    say("multi-line paste ignored: name a file that contains the text");
  }
}

/** A paste ends once nothing has come for this long. */
const PASTE_PAUSE_MS = 100;

/**
 * Returns whether more text came with the line. It is neither shown nor taken as another answer.
 */
function watchForLines(): () => Promise<boolean> {
  const { stdin } = process;
  let isMore = false;
  let timer: NodeJS.Timeout | undefined;
  const look = (chunk: Buffer | string): void => {
    isMore ||= /[\r\n][^\r\n]/.test(chunk.toString());
    timer?.refresh();
  };
  stdin.on("data", look);
  return async () => {
    if (isMore) {
      stdin.setRawMode(true).resume();
      await new Promise<void>((done) => (timer = setTimeout(done, PASTE_PAUSE_MS)));
      stdin.setRawMode(false).pause();
    }
    stdin.removeListener("data", look);
    return isMore;
  };
}

export function askYesNo(message: string, initial: boolean): Promise<boolean> {
  return ask({ type: "confirm", message, default: initial });
}

interface Choice<T> {
  readonly name: string;
  readonly value: T;
}

export function askChoice<T>(message: string, choices: readonly Choice<T>[]): Promise<T> {
  return ask({ type: "select", message, choices });
}

export function askChoices<T>(message: string, choices: readonly Choice<T>[]): Promise<T[]> {
  return ask({ type: "checkbox", message, choices, required: true });
}

// Messages to the user on standard error, in the voice of `signet` or of `kubeseal`.
// SPEC.md, "Command line".
//
// No message quotes a Secret's value or a line of a confidential file.

import { fstatSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { isInColor } from "./color.ts";
import { type Line, shownStyled, styled } from "./line.ts";
import { wipeTransient } from "./transient.ts";

const STDERR = 2;

/** `kubeseal` says less to programs than to people. */
let voice = { prefix: "signet: ", advises: true, tellsDetails: false };

/** From now on messages are those of `kubeseal`. `verbosity`: its flag -v. */
export function speakAsKubeseal(verbosity: number): void {
  // Where standard error is no device, node:tty need not be loaded.
  const toPerson = fstatSync(STDERR).isCharacterDevice() && process.stderr.isTTY;
  voice = { prefix: "", advises: verbosity > 0 || toPerson, tellsDetails: verbosity > 0 };
}

/** From now on, prints each step too. */
export function speakInDetail(): void {
  voice = { ...voice, tellsDetails: true };
}

/** Prints one line. What a stranger wrote and a terminal would act upon is replaced. */
export function say(text: Line): void {
  const parts = typeof text === "string" ? [text] : text;
  // `kubeseal` looks as the original does.
  const colors = voice.prefix !== "" && isInColor(STDERR);
  wipeTransient();
  const line = Buffer.from(`${shownStyled([voice.prefix, ...parts], colors)}\n`);
  try {
    writeSync(STDERR, line);
  } catch {
    process.stderr.write(line);
  }
}

export function warn(text: string): void {
  say(warning(text));
}

const warning = (text: string): Line => [styled("warning:", "yellow"), ` ${text}`];

/** A warning that the Go original does not have; `kubeseal` does not print it to programs. */
export function advise(text: string): void {
  sayToPerson(warning(text));
}

/** A message that `kubeseal` does not print to programs that read standard error. */
export function sayToPerson(text: Line): void {
  if (voice.advises) say(text);
}

/** What --verbose adds, and `kubeseal -v 1`. */
export function detail(text: string): void {
  if (voice.tellsDetails) say(text);
}

/**
 * Whether errors end with their code. Programs match the words, so only people see it; `kubeseal` keeps
 * the words of the original.
 */
export function tellsCodes(): boolean {
  if (voice.prefix === "") return false;
  return voice.tellsDetails || isatty(STDERR);
}

/** What every message begins with. */
export function messagePrefix(): string {
  return voice.prefix;
}

// What differs on Windows. No other file checks the operating system; test/cli/platform.test.ts
// enforces that. docs/platforms.md says what is supported where.

import { join, sep } from "node:path";

export const ON_WINDOWS = process.platform === "win32";

/** A path with `/` between its folders, as Git, signet.yaml and the formats of reports write it. */
export function slashed(path: string, separator: string = sep): string {
  return separator === "/" ? path : path.split(separator).join("/");
}

/** What ends standard input on a terminal. */
export const END_OF_INPUT = ON_WINDOWS ? "Ctrl-Z and Enter" : "Ctrl-D";

/** Operating system and processor, for people. */
export const MACHINE = `${process.platform} ${process.arch}`;

/** The default editor. */
export const USUAL_EDITOR = ON_WINDOWS ? "notepad" : "vi";

/**
 * Whether a mode has any of `bits`, which are permissions of group or others. On Windows, a mode
 * does not show them.
 */
export function isOpenToOthers(mode: number, bits: number, onWindows = ON_WINDOWS): boolean {
  return !onWindows && (mode & bits) !== 0;
}

/**
 * Whether a file or folder with this owner is this user's. On Windows, there is no user id to
 * compare.
 */
export function isOwnUser(uid: number): boolean {
  return process.getuid === undefined || process.getuid() === uid;
}

/** A call of a program for `spawn` of node:child_process. */
export interface ProgramCall {
  readonly file: string;
  readonly args: readonly string[];
  readonly windowsVerbatimArguments?: boolean;
}

/** A text that a batch file of Windows cannot be given as an argument. */
export class UnsafeArgument extends Error {}

/**
 * The call of a program by its path. Windows runs batch files, such as `code.cmd`, by its shell only, in
 * whose quotes some characters keep their meaning: a text with one is refused.
 * @throws UnsafeArgument
 */
export function callOf(
  program: string,
  args: readonly string[],
  onWindows = ON_WINDOWS,
): ProgramCall {
  if (!onWindows || !/\.(cmd|bat)$/i.test(program)) return { file: program, args };
  const words = [program, ...args].map((word) => {
    if (/["%!\r\n\0]/.test(word))
      throw new UnsafeArgument("a batch file cannot be given this text");
    return `"${word.replace(/\\+$/, "$&$&")}"`;
  });
  const shell = join(process.env["SystemRoot"] ?? "C:\\Windows", "System32", "cmd.exe");
  // /s: the shell takes off the outer quotes and no others.
  return {
    file: shell,
    args: ["/d", "/s", "/c", `"${words.join(" ")}"`],
    windowsVerbatimArguments: true,
  };
}

/** The words of a command line of Windows: divided by spaces, but within double quotes. A `\` is itself. */
export function windowsWords(line: string): string[] {
  return (line.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []).map((word) => word.replaceAll('"', ""));
}

// Runs the user's editor on a scratch file, and stops it when the command is stopped.

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, realpathSync } from "node:fs";
import { constants as system } from "node:os";
import { basename, delimiter, join } from "node:path";
import { findProgram } from "../../../host/findprogram.ts";
import { callOf, ON_WINDOWS, UnsafeArgument, windowsWords } from "../../../host/platform.ts";
import type { MemoryFolder } from "../../../host/memoryfolder.ts";
import { readBytes } from "../../../host/readfile.ts";
import { spawnShell } from "../../../host/shell.ts";
import { SignetError } from "../../../shared/errors.ts";
import { chosenEditor } from "../../terminal/editorchoice.ts";

interface Edited {
  readonly text: string;
  /** False if some bytes could not be decoded. */
  readonly isUtf8: boolean;
}

/** Exit statuses of a shell that cannot run a command. */
const CANNOT_RUN = [126, 127];

let running: ChildProcess | undefined;

/** Runs the editor on `text`; returns the edited text. @throws SignetError cancelled, io */
export async function edit(scratch: MemoryFolder, text: string): Promise<Edited> {
  const path = scratch.write("secret.yaml", text);
  const editor = chosenEditor();
  const status = await new Promise<number | null>((resolve, reject) => {
    const child = ON_WINDOWS ? startOnWindows(editor, path) : startByShell(editor, path);
    child.on("error", (cause) => {
      reject(
        new SignetError("io", `cannot start the editor: ${editor}`, {
          hint: "use `signet set` to change a value without an editor",
          cause,
        }),
      );
    });
    child.on("close", resolve);
    running = child;
  });
  running = undefined;
  if (status !== null && CANNOT_RUN.includes(status)) {
    throw cannotRun(editor);
  }
  if (status !== 0) {
    throw new SignetError(
      "cancelled",
      `the editor ended with ${status === null ? "a signal" : `status ${status}`}; no changes made`,
    );
  }
  const bytes = readBytes(path);
  const after = bytes.toString("utf8");
  return { text: after, isUtf8: bytes.equals(Buffer.from(after)) };
}

/**
 * Appends the file to the editor's command line, as Git does. If a shell stays the parent of the editor,
 * Ctrl-C must not stop it first.
 */
function startByShell(editor: string, path: string): ChildProcess {
  const command = `${isSimple(editor) ? "exec" : "trap : INT;"} ${editor} ${secretive(editor)} "$@"`;
  return spawnShell(command, [editor, path], { stdio: "inherit" });
}

/** @throws SignetError io */
function startOnWindows(editor: string, path: string): ChildProcess {
  const [name = "", ...options] = windowsWords(editor);
  const program = findProgram(name);
  if (program === undefined) throw cannotRun(editor);
  const isVim = VIM.test(basename(program));
  try {
    const vim = isVim ? ["-n", "-i", "NONE", "-c", VIM_SETTINGS] : [];
    const { file, args, ...how } = callOf(program, [...options, ...vim, path]);
    return spawn(file, args, { ...how, stdio: "inherit" });
  } catch (error) {
    if (error instanceof UnsafeArgument) throw cannotRun(editor);
    throw error;
  }
}

function cannotRun(editor: string): SignetError {
  return new SignetError("io", `the editor cannot be run: ${editor}`, {
    hint: "set $EDITOR to the editor to use",
  });
}

/** Editors with windows that return at once, unless this option makes them wait. */
const WAIT_OPTIONS = new Map([
  ...["code", "code-insiders", "codium", "cursor", "zed", "atom", "subl", "mate"].map(
    (name) => [name, "--wait"] as const,
  ),
  ["gvim", "-f"],
  ["mvim", "-f"],
]);

/** The command line that makes the editor wait; undefined if it waits already, as far as is known. */
export function missingWait(): string | undefined {
  const editor = chosenEditor();
  const words = ON_WINDOWS ? windowsWords(editor) : editor.trim().split(/\s+/);
  const [program = "", ...options] = words;
  const wait = WAIT_OPTIONS.get(basename(program).replace(/\.(exe|cmd)$/i, ""));
  const waits = options.some((option) => [wait, "-w", "--nofork"].includes(option));
  return wait === undefined || waits ? undefined : `${program} ${wait}`;
}

/** Whether a command line is one program with arguments, which can replace the shell. */
function isSimple(command: string): boolean {
  return !/[;&|<>(){}!`\n]|^\s*(\S*=|:)/.test(command);
}

const VIM = /^(n?vim|gvim|mvim)\b/;
const VIM_SETTINGS = "set nobackup nowritebackup noundofile";

/** Options that keep Vim from copying the text to other files: swap, undo and registers. */
function secretive(editor: string): string {
  const [program = ""] = editor.trim().split(/\s+/);
  const isVim = VIM.test(basename(realProgram(program)));
  return isVim ? `-n -i NONE -c '${VIM_SETTINGS}'` : "";
}

function realProgram(program: string): string {
  const folders = program.includes("/") ? [""] : (process.env["PATH"] ?? "").split(delimiter);
  for (const folder of folders) {
    const path = folder === "" ? program : join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return realpathSync(path);
    } catch {
      // Try the next folder.
    }
  }
  return program;
}

/** How long an editor may take to restore the terminal. */
const EDITOR_END_MS = 1000;

/**
 * Leaves Ctrl-C to the editor; on other signals wipes the scratch file and stops the editor. It is
 * the only place below the entry points that exits the process, as an editor that ignores the
 * signal would keep it waiting. The exit status is that of a program stopped by the signal. Returns
 * a function that restores the handlers.
 */
export function wipeOnSignals(scratch: MemoryFolder): () => void {
  const ignore = (): void => undefined;
  const end = (signal: NodeJS.Signals): void => {
    const exit = (): never => {
      scratch.wipe();
      process.exit(128 + system.signals[signal]);
    };
    scratch.wipe();
    if (running === undefined) exit();
    running?.once("close", exit).kill(signal);
    setTimeout(exit, EDITOR_END_MS);
  };
  process.on("SIGINT", ignore).on("SIGTERM", end).on("SIGHUP", end);
  return () => {
    process.removeListener("SIGINT", ignore);
    process.removeListener("SIGTERM", end).removeListener("SIGHUP", end);
  };
}

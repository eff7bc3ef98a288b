// The user's editor: run on a scratch file, and ended together with the command.

import { spawn } from "node:child_process";
import { accessSync, constants, realpathSync } from "node:fs";
import { constants as system } from "node:os";
import { basename, delimiter, join } from "node:path";
import { readBytes } from "../../../host/readfile.ts";
import { SignetError } from "../../../shared/errors.ts";
import type { Scratch } from "./scratch.ts";

interface Edited {
  readonly text: string;
  /** Otherwise the text is what could be read of it. */
  readonly isUtf8: boolean;
}

/** Exit statuses of a shell that cannot run what it is to run. */
const CANNOT_RUN = [126, 127];

let running: ReturnType<typeof spawn> | undefined;

/** Runs the editor on `text`; what it left. @throws SignetError cancelled, io */
export async function edit(scratch: Scratch, text: string): Promise<Edited> {
  const path = scratch.write("secret.yaml", text);
  const { VISUAL, EDITOR } = process.env;
  const editor = VISUAL || EDITOR || "vi";
  const status = await new Promise<number | null>((resolve, reject) => {
    // As git runs it: a command line, to which the file is added. Where a shell stays between, Ctrl-C
    // is not to end it while the editor goes on.
    const command = `${isSimple(editor) ? "exec" : "trap : INT;"} ${editor} ${secretive(editor)} "$@"`;
    const child = spawn("sh", ["-c", command, editor, path], { stdio: "inherit" });
    child.on("error", reject);
    child.on("close", resolve);
    running = child;
  });
  running = undefined;
  if (status !== null && CANNOT_RUN.includes(status)) {
    throw new SignetError("io", `the editor cannot be run: ${editor}`, {
      hint: "say which one to use in $EDITOR",
    });
  }
  if (status !== 0) {
    throw new SignetError(
      "cancelled",
      `the editor ended with ${status ?? "a signal"}; nothing was changed`,
    );
  }
  const bytes = readBytes(path);
  const after = bytes.toString("utf8");
  return { text: after, isUtf8: bytes.equals(Buffer.from(after)) };
}

/** Whether a command line is one program with arguments, whose place the shell can leave to it. */
function isSimple(command: string): boolean {
  return !/[;&|<>(){}!`\n]|^\s*(\S*=|:)/.test(command);
}

/** Vim would keep copies of the text elsewhere: swap, undo and what was yanked. */
function secretive(editor: string): string {
  const [program = ""] = editor.trim().split(/\s+/);
  const isVim = /^(n?vim|gvim|mvim)\b/.test(basename(realProgram(program)));
  return isVim ? "-n -i NONE -c 'set nobackup nowritebackup noundofile'" : "";
}

function realProgram(program: string): string {
  const folders = program.includes("/") ? [""] : (process.env["PATH"] ?? "").split(delimiter);
  for (const folder of folders) {
    const path = folder === "" ? program : join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return realpathSync(path);
    } catch {
      // The next one.
    }
  }
  return program;
}

/** How long an editor may take to leave the terminal as it found it. */
const EDITOR_END_MS = 1000;

/**
 * Ctrl-C is the editor's; what ends us ends it, and nothing stays. Here alone the process is ended by
 * hand: whoever waits for an editor that does not listen would never come to its end. The status is
 * the one that a shell tells of a program which a signal ended.
 */
export function wipeOnSignals(scratch: Scratch): () => void {
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

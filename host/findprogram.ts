// Finds programs in the PATH, never in the current folder, which may be a stranger's repository.

import { statSync } from "node:fs";
import * as native from "node:path";
import { ON_WINDOWS } from "./platform.ts";

interface Machine {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onWindows: boolean;
  readonly path: Pick<typeof native, "delimiter" | "isAbsolute" | "join" | "extname">;
  readonly isProgram: (path: string) => boolean;
}

const THIS_MACHINE: Machine = {
  env: process.env,
  onWindows: ON_WINDOWS,
  path: native,
  isProgram: (path) => {
    try {
      const found = statSync(path);
      return found.isFile() && (ON_WINDOWS || (found.mode & 0o111) !== 0);
    } catch {
      return false;
    }
  },
};

/** The endings of programs on Windows; PATHEXT says which of them count. */
const WINDOWS_ENDINGS = [".com", ".exe", ".bat", ".cmd"];

/**
 * Returns the path of a command's program: an absolute path as it is, a name as found in the
 * absolute folders of PATH. On Windows, the ending may be omitted.
 */
export function findProgram(command: string, machine = THIS_MACHINE): string | undefined {
  const { env, path, isProgram } = machine;
  const folders = (env["PATH"] ?? env["Path"] ?? "").split(path.delimiter);
  const paths = path.isAbsolute(command)
    ? [command]
    : folders.filter((each) => path.isAbsolute(each)).map((each) => path.join(each, command));
  return paths.flatMap((each) => withEndings(each, machine)).find(isProgram);
}

function withEndings(program: string, { env, onWindows, path }: Machine): string[] {
  if (!onWindows) return [program];
  if (WINDOWS_ENDINGS.includes(path.extname(program).toLowerCase())) return [program];
  const wanted = (env["PATHEXT"] || WINDOWS_ENDINGS.join(";")).toLowerCase().split(";");
  return wanted.filter((each) => WINDOWS_ENDINGS.includes(each)).map((ending) => program + ending);
}

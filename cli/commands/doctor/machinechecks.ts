// Checks of the machine and of the clone: Git, its hook and drivers, the editor and versions.

import { dirname, join, resolve } from "node:path";
import { findProgram } from "../../../host/findprogram.ts";
import { MACHINE, ON_WINDOWS, windowsWords } from "../../../host/platform.ts";
import { readTextWithin, statIfThere } from "../../../host/readfile.ts";
import { MAX_SETTINGS_BYTES, targetOf } from "../../../host/rootedfiles.ts";
import { formatPlace, SignetError } from "../../../shared/errors.ts";
import { BUILD } from "../../../shared/version.ts";
import type { Rule } from "../../checks/rules.ts";
import { gitText, runGit, workTree } from "../../git/gitprocess.ts";
import { chosenEditor } from "../../terminal/editorchoice.ts";
import type { Diagnosis, Tell } from "./diagnosis.ts";

/** The minimum in package.json. */
const OLDEST_NODE = [20, 19] as const;

export function checkMachine(tell: Tell): void {
  tell(checkVersions());
  tell(checkEditor());
  const version = gitVersion();
  if (version === null) {
    const message = "the command `git` was not found";
    tell({ check: "git", state: "problem", code: "no-git", message });
    return;
  }
  const top = workTree();
  if (top === null) {
    const message = `Git ${version}; this folder is not in a working tree`;
    tell({ check: "git", state: "warning", code: "no-git", message });
    return;
  }
  tell({ check: "git", state: "ok", message: `Git ${version}, working tree ${top}` });
  tell(guarded("hook", "no-hook", () => checkHook(top)));
  tell(guarded("drivers", "no-drivers", () => checkDrivers(top)));
}

/** A check that fails to run is a problem too, and does not stop the others. */
function guarded(check: string, code: Rule, look: () => Diagnosis): Diagnosis {
  try {
    return look();
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    const words = [formatPlace(error.place), error.message].filter((part) => part !== "");
    return { check, state: "problem", code, message: words.join(": ") };
  }
}

function checkVersions(): Diagnosis {
  const { node } = process.versions;
  const [major = 0, minor = 0] = node.split(".").map(Number);
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1]);
  const message = `Signet ${BUILD}, Node ${node}, ${MACHINE}`;
  if (!isOld) return { check: "versions", state: "ok", message };
  const hint = `install Node ${OLDEST_NODE.join(".")} or newer`;
  return { check: "versions", state: "problem", code: "old-version", message, hint };
}

function gitVersion(): string | null {
  try {
    return gitText(["--version"]).trim().replace("git version ", "");
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

function checkEditor(): Diagnosis {
  const editor = chosenEditor();
  const [program = ""] = ON_WINDOWS ? windowsWords(editor) : editor.trim().split(/\s+/);
  // Anything else is left to the shell.
  const isPlain = /^[\w./~+-]+$/.test(program);
  if (!isPlain || findProgram(program) !== undefined) {
    return { check: "editor", state: "ok", message: editor };
  }
  return {
    check: "editor",
    state: "warning",
    code: "no-editor",
    message: `${editor}: not found`,
    hint: "set VISUAL or EDITOR; `signet set` works without an editor",
  };
}

function checkHook(top: string): Diagnosis {
  const path = gitText(["rev-parse", "--git-path", "hooks/pre-commit"], { cwd: top });
  const hook = resolve(top, path.replace(/\n$/, ""));
  const hint = "run `signet git install`";
  const problem = (message: string): Diagnosis => ({
    check: "hook",
    state: "warning",
    code: "no-hook",
    message,
    hint,
  });
  if (statIfThere(hook) === undefined)
    return problem("commits are not checked: there is no pre-commit hook");
  const text = readTextWithin(targetOf(dirname(hook)), hook, MAX_SETTINGS_BYTES);
  return /signet (git check|scan|verify)\b/.test(text)
    ? { check: "hook", state: "ok", message: "the pre-commit hook checks commits" }
    : problem("the pre-commit hook does not run `signet git check`");
}

function checkDrivers(top: string): Diagnosis {
  const isSet = (key: string): boolean =>
    runGit(["config", "--get", key], { cwd: top }).status === 0;
  const missing = ["diff.signet.textconv", "merge.signet.driver"].filter((key) => !isSet(key));
  const hint = "run `signet git install`";
  if (missing.length > 0) {
    const message = `missing in this clone's Git settings: ${missing.join(", ")}`;
    return { check: "drivers", state: "warning", code: "no-drivers", message, hint };
  }
  const attributes = join(top, ".gitattributes");
  const isThere = statIfThere(attributes) !== undefined;
  const text = isThere ? readTextWithin(top, attributes, MAX_SETTINGS_BYTES) : "";
  if (text.includes("merge=signet")) {
    return { check: "drivers", state: "ok", message: "Git's diff and merge drivers are installed" };
  }
  const message = ".gitattributes has no files for the diff and merge drivers";
  return { check: "drivers", state: "warning", code: "no-drivers", message, hint };
}

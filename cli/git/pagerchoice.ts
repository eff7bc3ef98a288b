// Which pager Git would take.

import { SignetError } from "../../shared/errors.ts";
import { runGit } from "./gitprocess.ts";

/** A command line for the shell: $GIT_PAGER, core.pager, $PAGER, else `less`; without Git the same but for core.pager. */
export function pagerOfGit(): string {
  const { GIT_PAGER, PAGER } = process.env;
  if (GIT_PAGER !== undefined) return GIT_PAGER;
  try {
    const { status, stdout } = runGit(["config", "--get", "core.pager"]);
    if (status === 0) return stdout.toString().replace(/\n$/, "");
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
  }
  return PAGER ?? "less";
}

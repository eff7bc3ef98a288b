// `signet git check`: what the pre-commit hook runs.
// SPEC.md, "Git".

import { askingOnce } from "../../git/gitprocess.ts";
import { runScan } from "../scan.ts";
import { runVerify } from "../verify.ts";

/** @throws SignetError check-found if there are problems; io */
export async function runGitCheck(): Promise<void> {
  await askingOnce(async () => {
    await runScan([], { staged: true, format: "text" });
    await runVerify([], { staged: true, live: false, format: "text", strict: false });
  });
}

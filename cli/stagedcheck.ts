// `signet git check`, which the pre-commit hook runs: two commands in one program.
// SPEC.md, "Git".

import { runScan } from "./commands/scan.ts";
import { runVerify } from "./commands/verify.ts";
import { askingOnce } from "./git/gitprocess.ts";

/** Checks what is about to be committed. @throws SignetError check-found if there are problems; io */
export async function checkStaged(): Promise<void> {
  await askingOnce(async () => {
    await runScan([], { staged: true, format: "text" });
    await runVerify([], { staged: true, live: false, format: "text", strict: false });
  });
}

// The `kubeseal` command: which mode runs, in the original's order, and the exit status.
// docs/kubeseal.md tells where it differs from the Go original.
//
// Each mode is imported when it runs, to keep start-up fast.

import { SignetError } from "../shared/errors.ts";
import { BUILD } from "../shared/version.ts";
import { type Flags, parseFlags } from "./kubeseal/flags.ts";
import { formatHelp } from "./kubeseal/flagtable.ts";
import { printResult } from "./terminal/results.ts";
import { reportError } from "./terminal/reporterror.ts";
import { say, sayToPerson, speakAsKubeseal } from "./terminal/messages.ts";

/** The version of the original that the tests compare this one with. */
const BEHAVES_AS = "v0.36.0";

async function runMode(flags: Flags): Promise<void> {
  if (flags.on("version")) {
    await printResult(`kubeseal version: ${BEHAVES_AS}\n`);
    sayToPerson(`this is kubeseal of kube-signet ${BUILD}`);
    return;
  }
  if (flags.on("help")) {
    await printResult(formatHelp());
    return;
  }
  const shell = flags.text("completion");
  if (shell !== undefined) {
    const { completionScript } = await import("./kubeseal/completion.ts");
    await printResult(completionScript(shell));
    return;
  }
  if (flags.list("from-file").length > 0 && !flags.on("raw")) {
    throw new SignetError("usage", "--from-file requires --raw");
  }
  const [{ checkInput }, { checkOutput }] = await Promise.all([
    import("./kubeseal/input.ts"),
    import("./kubeseal/output.ts"),
  ]);
  checkInput(flags);
  checkOutput(flags);
  if (flags.on("recovery-unseal")) {
    const { runRecover } = await import("./kubeseal/recovermode.ts");
    await runRecover(flags);
    return;
  }
  if (flags.on("validate")) {
    const { runValidate } = await import("./kubeseal/controllermode.ts");
    await runValidate(flags);
    return;
  }
  if (flags.on("re-encrypt") || flags.on("rotate")) {
    const { runReEncrypt } = await import("./kubeseal/controllermode.ts");
    await runReEncrypt(flags);
    return;
  }
  if (flags.on("fetch-cert")) {
    const { runFetchCert } = await import("./kubeseal/fetchcertmode.ts");
    await runFetchCert(flags);
    return;
  }
  const mergeInto = flags.text("merge-into");
  if (mergeInto !== undefined) {
    const { runMergeInto } = await import("./kubeseal/mergemode.ts");
    await runMergeInto(mergeInto, flags);
    return;
  }
  const { runRaw, runSeal } = await import("./kubeseal/sealmode.ts");
  await (flags.on("raw") ? runRaw(flags) : runSeal(flags));
}

async function run(args: readonly string[]): Promise<number> {
  speakAsKubeseal(0);
  let flags: Flags;
  try {
    flags = parseFlags(args, process.env, say);
  } catch (error) {
    reportError(error);
    return 2;
  }
  speakAsKubeseal(flags.verbosity);
  try {
    await runMode(flags);
    return 0;
  } catch (error) {
    reportError(error);
    return 1;
  }
}

void run(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});

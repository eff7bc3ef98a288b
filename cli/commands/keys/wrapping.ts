// `signet keys wrap`, `rewrap` and `unwrap`: makes the controller store keys in another form.
// SPEC.md, "Wrapped keys".

import { SignetError } from "../../../shared/errors.ts";
import { WRAPPING_ANNOTATION } from "../../../shared/keys/wrappedkey.ts";
import { patchKeySecret } from "../../cluster/apiobjects.ts";
import { fetchKeyReport, type KeyReport, type ReportedKey } from "../../cluster/reportedkeys.ts";
import { count } from "../../terminal/counts.ts";
import { say } from "../../terminal/messages.ts";
import { printJson } from "../../terminal/results.ts";
import { chooseKey } from "./choosekey.ts";
import { confirm, confirmPlace, type KeyPlace } from "./keyplace.ts";
import { untilReported } from "./untilreported.ts";

type Request = "wrap" | "rewrap" | "unwrap";

interface WrappingOptions extends KeyPlace {
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

const DONE: Readonly<Record<Request, string>> = {
  wrap: "wrapped",
  rewrap: "wrapped again",
  unwrap: "stored in plain text",
};

/**
 * `named`: fingerprints, beginnings of them, or names of key Secrets; empty for all.
 * @throws SignetError usage, network, cancelled
 */
export async function runKeysWrapping(
  request: Request,
  named: readonly string[],
  options: WrappingOptions,
): Promise<void> {
  const { dryRun, json } = options;
  await confirmPlace(options);
  const report = await fetchKeyReport(options);
  checkService(request, report);
  const fits = ({ wrapped }: ReportedKey): boolean => (wrapped === null) === (request === "wrap");
  const chosen =
    named.length === 0
      ? report.keys.filter(fits)
      : [...new Set(named.map((name) => chooseKey(report.keys, name, ({ secret }) => secret)))];
  const keys = chosen.filter(fits);
  for (const { secret, fingerprint } of keys) say(`${secret} (${fingerprint})`);
  if (keys.length > 0 && !dryRun) {
    if (request === "unwrap" && !options.yes) await confirmUnwrap(keys.length);
    // The report has whole seconds.
    const since = `${new Date(Math.floor(Date.now() / 1000) * 1000).toISOString().slice(0, 19)}Z`;
    for (const { secret } of keys) {
      await patchKeySecret(options, secret, { annotations: { [WRAPPING_ANNOTATION]: request } });
    }
    await untilReported(options, "the controller was asked", (later) =>
      keys.every((key) => isDone(request, key, later, since)),
    );
  }
  if (json) {
    const { provider } = report.kms ?? { provider: "" };
    await printJson({
      dryRun,
      request,
      provider,
      keys: keys.map(({ secret, fingerprint }) => ({ secret, fingerprint })),
    });
    return;
  }
  say(`${count(keys.length, "key")} ${dryRun ? "would be " : ""}${DONE[request]}`);
  if (request === "wrap" && keys.length > 0) {
    say(
      "they were stored in plain text: run `signet reseal` to re-seal their values, then `signet keys retire`",
    );
  }
}

/** @throws SignetError usage if the controller would refuse */
function checkService(request: Request, { kms }: KeyReport): void {
  if (kms === null) {
    throw new SignetError("usage", "this controller has no key service", {
      hint: "set sealingKeys.kms.provider in the chart's values (--kms-provider)",
    });
  }
  const wanted = request === "unwrap" ? "leave" : "wrap";
  if (kms.mode === wanted) return;
  throw new SignetError("usage", `the controller runs with --kms-mode ${kms.mode}`, {
    hint: `set sealingKeys.kms.mode to ${wanted} in the chart's values`,
  });
}

async function confirmUnwrap(keys: number): Promise<void> {
  await confirm(`Store ${count(keys, "key")} in plain text in this cluster?`, {
    message: "standard input is not a terminal, so this change must be confirmed with --yes",
    hint: "use --yes",
  });
}

/** `since`: the time of the request; the clocks of the controller and this machine may differ. */
function isDone(
  request: Request,
  { fingerprint, wrapped: before }: ReportedKey,
  { keys }: KeyReport,
  since: string,
): boolean {
  const now = keys.find((key) => key.fingerprint === fingerprint);
  if (now === undefined) return false;
  if (request === "unwrap") return now.wrapped === null;
  if (request === "wrap") return now.wrapped !== null;
  return (
    now.wrapped !== null && (now.wrapped.since !== before?.since || now.wrapped.since >= since)
  );
}

// `signet keys rotate`: makes the controller create a new sealing key now.
// SPEC.md, "Renewal".

import { setTimeout as sleep } from "node:timers/promises";
import { SignetError } from "../../../shared/errors.ts";
import { RENEW_ANNOTATION } from "../../../shared/keys/keyfile.ts";
import { patchKeySecret } from "../../cluster/apiobjects.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import { printJson } from "../../terminal/results.ts";
import { say } from "../../terminal/messages.ts";
import { confirmPlace, type KeyPlace } from "./keyplace.ts";
import { fetchKeyReport, type KeyReport, type ReportedKey } from "../../cluster/reportedkeys.ts";

const WAIT_MS = 60_000;
const POLL_MS = 500;

/** @throws SignetError network, usage */
export async function runKeysRotate(
  options: KeyPlace & { readonly dryRun: boolean; readonly json: boolean },
): Promise<void> {
  await confirmPlace(options);
  const before = sealingKey(await fetchKeyReport(options));
  let after = before;
  if (!options.dryRun) {
    await patchKeySecret(options, before.secret, {
      annotations: { [RENEW_ANNOTATION]: new Date().toISOString() },
    });
    const end = Date.now() + WAIT_MS;
    for (;;) {
      after = await sealingKeyIfTold(options, before);
      if (after.fingerprint !== before.fingerprint) break;
      if (Date.now() > end) {
        throw new SignetError(
          "network",
          "the controller was asked, but created no new key within a minute",
          {
            hint: "see its log: it may lack permission to create Secrets in its namespace",
          },
        );
      }
      await sleep(POLL_MS);
    }
  }
  if (options.json) {
    await printJson({ dryRun: options.dryRun, before, after: options.dryRun ? null : after });
    return;
  }
  if (options.dryRun) {
    say(`would create a key after ${before.secret} (${before.fingerprint})`);
    return;
  }
  say(`${after.secret} (${after.fingerprint}) seals from now on; older keys still open`);
  say(
    "next: run `signet cert refresh`, and `signet reseal` for values that were sealed with older keys",
  );
}

/** Treats a lost answer as no change yet, as a second request would create another key. */
async function sealingKeyIfTold(
  options: ClusterOptions,
  before: ReportedKey,
): Promise<ReportedKey> {
  try {
    return sealingKey(await fetchKeyReport(options));
  } catch (error) {
    if (error instanceof SignetError && error.code === "network") return before;
    throw error;
  }
}

/** @throws SignetError network */
function sealingKey({ keys }: KeyReport): ReportedKey {
  const found = keys.find(({ state }) => state === "sealing");
  if (found !== undefined) return found;
  throw new SignetError("network", "the controller has no sealing key", {
    hint: "it normally creates one by itself: see its log",
  });
}

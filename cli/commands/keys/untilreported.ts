// Waits until the controller's report on its keys shows the effect of a change to key Secrets.
// SPEC.md, "Retirement of keys".

import { setTimeout as sleep } from "node:timers/promises";
import { SignetError } from "../../../shared/errors.ts";
import type { ClusterOptions } from "../../cluster/clusteroptions.ts";
import { fetchKeyReport, type KeyReport } from "../../cluster/reportedkeys.ts";

const WAIT_MS = 60_000;
const POLL_MS = 500;

/**
 * `done`: what was done to the Secrets, for errors. Returns the first report that satisfies.
 * @throws SignetError network if no report satisfies within a minute
 */
export async function untilReported(
  options: ClusterOptions,
  done: string,
  satisfies: (report: KeyReport) => boolean,
): Promise<KeyReport> {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    try {
      const report = await fetchKeyReport(options);
      if (satisfies(report)) return report;
    } catch (error) {
      if (!(error instanceof SignetError) || Date.now() > end) {
        throw new SignetError("network", `${done}, but the controller does not answer`, {
          cause: error,
          hint: "it loads them when it starts; use --no-wait to not wait for it",
        });
      }
    }
    if (Date.now() > end) {
      throw new SignetError("network", `${done}, but the controller does not report it`, {
        hint: "see its log, and `signet keys`",
      });
    }
    await sleep(POLL_MS);
  }
}

// Bringing one SealedSecret's Secret in sync: gather -> decide -> act, over any world.
// SPEC.md, "Reconciling" and "Drift".

import { createHash } from "node:crypto";
import { SignetError } from "../shared/errors.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { scopeOf } from "../shared/sealing/scope.ts";
import { parseSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";
import { type RenderTemplate, unseal } from "../shared/sealing/unseal.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import { Contest } from "./contest.ts";
import { decide, isPatched, markOf, withOwner } from "./decide.ts";
import type { Log } from "./log.ts";
import type { Outcome } from "./queue.ts";
import { type Event, type SecretMark, type World, WorldError } from "./world.ts";
import { compromisedMessage, currentVerdict, type Left, leftOf, nextStatus } from "./status.ts";
import { type Drift, type Verdict, verdicts } from "./verdict.ts";
import { itemsUnder, sealedUnderOf } from "../shared/sealing/sealedunder.ts";

/** On a SealedSecret, with the value `ignore`: what others do to its Secret is left so. */
export const DRIFT_ANNOTATION = "kube-signet/drift";

/** Changes when the same SealedSecret would lead to another Secret than in an earlier version. */
const SOURCE_FORMAT = 1;

export interface ReconcilerOptions {
  readonly world: World;
  readonly keyring: Keyring;
  readonly render: RenderTemplate;
  readonly acceptLegacy: boolean;
  readonly updateStatus: boolean;
  /** What others do to a Secret is put back, unless its SealedSecret says otherwise. */
  readonly repair: { readonly changed: boolean; readonly deleted: boolean };
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a clock that never jumps. */
  readonly clock: () => number;
  /** Called when values are about to be opened. */
  readonly onUnseal?: () => void;
  /** Called once for each verdict reached by work or news, so not for what was in sync. */
  readonly onVerdict: (key: string, verdict: Verdict) => void;
  /** Called when something that others did was put back. */
  readonly onRepair?: (key: string, drift: Drift) => void;
}

/** Reconciles SealedSecrets by name. Safe to kill between any two calls and to run again. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** What each name's last run saw and ended with: equal sights need no second run. */
  readonly #settled = new Map<string, { readonly seen: string; readonly failed: boolean }>();
  /** The Secrets as we left them, for as long as no status says it (or none may be written). */
  readonly #left = new Map<string, { readonly left: Left; readonly stamp: Stamp | undefined }>();
  readonly #contest = new Contest();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Names whose failure another sealing key could mend; they will be looked at anew. */
  forgetFailures(): string[] {
    const failed = [...this.#settled].filter(([, { failed }]) => failed).map(([key]) => key);
    for (const key of failed) this.#settled.delete(key);
    return failed;
  }

  /** Looks at everything anew: someone else may have been at work meanwhile. */
  forgetAll(): void {
    this.#settled.clear();
    this.#left.clear();
  }

  /** Secrets that someone else keeps changing. */
  get contested(): number {
    return this.#contest.contestedCount(this.#options.clock());
  }

  async reconcile(key: string): Promise<Outcome> {
    const { world } = this.#options;
    const object = world.sealedSecret(key);
    if (object === undefined || metadataOf(object)["deletionTimestamp"] !== undefined) {
      // Its Secret goes with it: by the owner reference in a cluster, by the world in folders.
      this.#settled.delete(key);
      this.#left.delete(key);
      this.#contest.forget(key);
      return { kind: "done" };
    }
    const source = sourceOf(object);
    const mark = world.secretMark(key);
    const settled = this.#settled.get(key);
    if (settled?.seen === this.#sight(object, source, mark)) {
      return { kind: settled.failed ? "terminal" : "done" };
    }

    const result = await this.#bringInSync(key, object, source, mark);
    if ("kind" in result) return result;
    const { verdict, drift } = result;
    if (result.mark !== undefined) {
      const { uid, resourceVersion } = result.mark;
      const left = { uid, resourceVersion, source, patched: result.patched === true };
      this.#left.set(key, { left, stamp: result.stamp });
    }
    if (drift !== undefined) this.#options.onRepair?.(key, drift);
    await this.#tell(key, object, result);
    // What the status says need not be held in memory.
    const { left } = this.#left.get(key) ?? {};
    const said = leftOf(world.sealedSecret(key) ?? {});
    if (left !== undefined && JSON.stringify(said) === JSON.stringify(left)) this.#left.delete(key);
    if (verdict.next === "retry") return { kind: "retry" };
    // What others have done to the Secret since is not what this run ended with.
    const seen = this.#sight(object, source, result.mark ?? mark);
    this.#settled.set(key, { seen, failed: !verdict.synced });
    if (verdict.reason === "DriftContested") {
      // Whether that is over is told by the clock alone.
      this.#settled.delete(key);
      return later(this.#contest.quietInMs(key, this.#options.clock()));
    }
    return { kind: verdict.synced ? "done" : "terminal" };
  }

  /** Status, Event and log; nothing where all of it has been told. */
  async #tell(key: string, object: JsonObject, { verdict, wrote, stamp }: Result): Promise<void> {
    const { world, now, updateStatus, onVerdict } = this.#options;
    const status = nextStatus(object, verdict, {
      now: now(),
      left: this.#left.get(key)?.left,
      stamp,
      compromised: this.#compromised(),
    });
    const before = currentVerdict(object);
    const changed = before?.reason !== verdict.reason || before.message !== verdict.message;
    const events: Event[] = [];
    if (wrote || changed) {
      onVerdict(key, verdict);
      events.push({ type: verdict.synced ? "Normal" : "Warning", ...verdict.event });
    }
    const exposed = compromisedMessage({ status: status ?? object["status"] ?? null });
    if (status !== null && exposed !== "" && exposed !== compromisedMessage(object)) {
      events.push({ type: "Warning", reason: "KeyCompromised", message: exposed });
    }
    await Promise.all([
      status !== null && updateStatus ? world.writeStatus(key, object, status) : undefined,
      ...events.map((event) =>
        world.recordEvent(object, event).catch((error: unknown) => {
          // An Event is news, not state: the status says the same and is retried.
          const reason = (error as Error).message;
          this.#options.log.warn("event could not be recorded", { object: key, error: reason });
        }),
      ),
    ]);
  }

  #compromised(): Set<string> {
    const keys = this.#options.keyring.keys.filter(({ compromised }) => compromised);
    return new Set(keys.map(({ fingerprint }) => fingerprint));
  }

  /** All that a run's result depends on, but for the keys that could open more. */
  #sight(object: JsonObject, source: string, mark: SecretMark | undefined): string {
    const exposed = itemsUnder(sealedUnderOf(object), this.#compromised());
    return JSON.stringify([source, mark, ignoresDrift(object), exposed]);
  }

  async #bringInSync(
    key: string,
    object: JsonObject,
    source: string,
    mark: SecretMark | undefined,
  ): Promise<Result | Outcome> {
    const { keyring, render, acceptLegacy, repair, clock } = this.#options;
    const known = this.#left.get(key);
    const left = known?.left ?? leftOf(object);
    const sameSource = left?.source === source;
    if (sameSource && mark?.uid === left.uid && mark.resourceVersion === left.resourceVersion) {
      const contested = this.#contest.isContested(key, clock());
      const verdict = contested ? stillContested(object) : verdicts.unsealed();
      return { verdict, mark, patched: left.patched, stamp: known?.stamp, wrote: false };
    }
    if (sameSource) {
      const change = mark === undefined ? "deleted" : "changed";
      if (ignoresDrift(object) || !repair[change]) {
        return { verdict: verdicts.driftIgnored(change), wrote: false };
      }
      const waitMs = this.#contest.waitMs(key, clock());
      if (waitMs > 0) return later(waitMs);
    }

    let sealed: SealedSecret;
    let desired: Secret;
    let stamp: Stamp;
    this.#options.onUnseal?.();
    try {
      sealed = parseSealedSecret(object);
      const unsealed = await unseal(sealed, keyring, { render, acceptLegacy });
      desired = withOwner(unsealed.secret, object);
      stamp = unsealed.stamp;
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      return { verdict: verdicts.unsealFailed(error), wrote: false };
    }
    try {
      const done = await this.#write(key, desired, left, sameSource);
      const result = { ...done, stamp };
      if (!sameSource) return result;
      this.#contest.answered(key, clock(), done.drift !== undefined);
      if (done.drift === undefined) return result;
      const verdict = this.#contest.isContested(key, clock())
        ? verdicts.contested(done.drift.by)
        : verdicts.repaired(done.drift);
      return { ...result, verdict };
    } catch (error) {
      // The world moved between our look and our write, or is out of reach: nothing to tell yet.
      if (!(error instanceof WorldError) || error.failure !== "refused") throw error;
      return { verdict: verdicts.writeFailed(error), stamp, wrote: false };
    }
  }

  /** Makes the Secret as desired; `drift` where that undid what others did to it. */
  async #write(
    key: string,
    desired: Secret,
    left: Left | null,
    drifted: boolean,
  ): Promise<Omit<Result, "stamp">> {
    const { world } = this.#options;
    const written = (mark: SecretMark, drift: Drift, secret = desired): Omit<Result, "stamp"> => ({
      verdict: verdicts.unsealed(),
      mark,
      patched: isPatched(secret),
      wrote: true,
      ...(drifted ? { drift } : {}),
    });
    const create = async (): Promise<Omit<Result, "stamp">> =>
      written(await world.createSecret(key, desired), { change: "deleted", fields: [], by: [] });

    const watched = world.secretMark(key) !== undefined;
    if (!watched) {
      try {
        return await create();
      } catch (error) {
        if (!(error instanceof WorldError) || error.failure !== "exists") throw error;
      }
    }
    const found = await world.readSecret(key);
    const existing = found === null ? null : parseSecret(found);
    const decision = decide(desired, existing, left, drifted);
    switch (decision.act) {
      case "create":
        return create();
      case "replace": {
        const mark = await world.replaceSecret(key, decision.secret);
        return written(mark, decision.drift, decision.secret);
      }
      case "recreate": {
        await world.deleteSecret(key, markOf(decision.secret));
        return written(await world.createSecret(key, desired), decision.drift);
      }
      case "keep":
        return {
          verdict: verdicts.unsealed(),
          mark: markOf(decision.secret),
          patched: isPatched(decision.secret),
          wrote: false,
        };
      case "refuse": {
        // Nobody tells when a Secret that we do not watch goes away: look again by and by.
        const next = watched ? decision.verdict.next : "retry";
        return { verdict: { ...decision.verdict, next }, wrote: false };
      }
    }
  }
}

/** A timer may fire a little early; then it is due again at once. */
function later(afterMs: number): Outcome {
  return { kind: "later", afterMs: Math.ceil(afterMs) + 1 };
}

interface Result {
  readonly verdict: Verdict;
  /** The Secret as it is now; undefined where it is not as declared. */
  readonly mark?: SecretMark;
  /** We added to a Secret of someone else's. */
  readonly patched?: boolean;
  /** The key of each value; undefined where nobody looked. */
  readonly stamp?: Stamp | undefined;
  readonly wrote: boolean;
  /** What others had done, and was put back. */
  readonly drift?: Drift;
}

/**
 * A hash of all that a SealedSecret says about its Secret: ciphertext in, so safe to publish.
 * @internal for its test
 */
export function sourceOf(sealed: JsonObject): string {
  const { name, namespace, uid, annotations } = metadataOf(sealed);
  const scope = scopeOf((asObject(annotations ?? {}) ?? {}) as Record<string, string>);
  const said = [SOURCE_FORMAT, namespace, name, uid, scope, sealed["spec"]];
  return createHash("sha256").update(JSON.stringify(said)).digest("base64url").slice(0, 22);
}

function ignoresDrift(sealed: JsonObject): boolean {
  return asObject(metadataOf(sealed)["annotations"] ?? null)?.[DRIFT_ANNOTATION] === "ignore";
}

/** The verdict that the status tells, while it lasts. */
function stillContested(sealed: JsonObject): Verdict {
  const message = currentVerdict(sealed)?.message ?? "";
  return { ...verdicts.contested([]), message };
}

// Brings the Secret of one SealedSecret in sync: gather, decide, act, in any world.
// SPEC.md, "Reconciling" and "Drift".

import { createHash } from "node:crypto";
import { SignetError } from "../shared/errors.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { MAX_TRIALS, Trials, type TrialsOptions } from "../shared/keys/trials.ts";
import { scopeOf, SELECTOR_ANNOTATION } from "../shared/sealing/scope.ts";
import { parseSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";
import { type RenderTemplates, unseal, type UnsealedSecret } from "../shared/sealing/unseal.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import { Attempts } from "./attempts.ts";
import { bounded } from "./bounded.ts";
import { Contest } from "./contest.ts";
import { decide, isPatched, markOf, withOwner } from "./decide.ts";
import { type KeyPlace, keyMarkOf } from "./keymarks.ts";
import type { Log } from "./log.ts";
import type { Outcome } from "./queue.ts";
import { keyRecordOf } from "./keyrecord.ts";
import { JobLost } from "./sandbox.ts";
import { type Event, type SecretMark, type World, WorldError } from "./world.ts";
import { formatLeft, type Left, leftOf } from "./record.ts";
import { compromisedMessage, currentVerdict, nextStatus } from "./status.ts";
import { selectionRefusal, selectorOf } from "./selection.ts";
import { type Drift, type Verdict, verdicts } from "./verdict.ts";
import { itemsUnder } from "../shared/sealing/sealedunder.ts";

/**
 * With the value `ignore` on a SealedSecret, others' changes to its Secret are not reverted.
 * @internal for its test
 */
export const DRIFT_ANNOTATION = "kube-signet/drift";

/** Increase it when the same SealedSecret produces a different Secret than in earlier versions. */
const SOURCE_FORMAT = 1;

export interface ReconcilerOptions {
  readonly world: World;
  readonly keyring: Keyring;
  readonly render: RenderTemplates;
  /** Runs each operation with a private key for an object of this namespace; default: at once. */
  readonly openIn?: (namespace: string) => NonNullable<TrialsOptions["run"]>;
  readonly acceptLegacy: boolean;
  /**
   * Where sealing keys are stored, which no SealedSecret may create; undefined without a cluster.
   */
  readonly keyPlace?: KeyPlace;
  /** Types of Secrets to create even though something in the cluster acts on them. */
  readonly allowedTypes: ReadonlySet<string>;
  /**
   * The largest Secret that the world accepts, as the total of its values in bytes; undefined: no
   * limit.
   */
  readonly maxSecretBytes?: number;
  readonly updateStatus: boolean;
  /** Which changes by others are reverted, unless the SealedSecret forbids it. */
  readonly repair: { readonly changed: boolean; readonly deleted: boolean };
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Called before values are decrypted. */
  readonly onUnseal?: () => void;
  /** Called for each verdict that is new or that follows a write, not for a Secret in sync. */
  readonly onVerdict: (key: string, verdict: Verdict) => void;
  /** Called after a change by others was reverted. */
  readonly onRepair?: (key: string, drift: Drift) => void;
}

/** Reconciles SealedSecrets by name. The process may be killed at any point and started again. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** How often results were forgotten. A run that started before has an outdated result. */
  #forgotten = 0;
  /** The inputs and the result of each name's last run: equal inputs need no second run. */
  readonly #settled = new Map<string, { readonly seen: string; readonly failed: boolean }>();
  /** The same for results that are not in a status yet. */
  readonly #unreported = new Map<string, { readonly seen: string; readonly result: Result }>();
  /** Our last writes of Secrets, and the stamps that no status records yet. */
  readonly #left = new Map<string, { readonly left: Left; readonly stamp?: Stamp | undefined }>();
  readonly #contest = new Contest();
  readonly #attempts = new Attempts();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Makes failed names run again, because a new sealing key may fix them. Returns those names. */
  forgetFailures(): string[] {
    this.#forgotten++;
    const failed = [...this.#settled].filter(([, { failed }]) => failed).map(([key]) => key);
    for (const key of failed) this.#settled.delete(key);
    const unreported = [...this.#unreported].filter(([, { result }]) => !result.verdict.synced);
    for (const [key] of unreported) this.#unreported.delete(key);
    return failed;
  }

  /** Makes every name run again, because another replica may have written meanwhile. */
  forgetAll(): void {
    this.#forgotten++;
    this.#settled.clear();
    this.#unreported.clear();
    this.#left.clear();
  }

  /** The number of Secrets that someone else keeps changing. */
  get contested(): number {
    return this.#contest.contestedCount(this.#options.clock());
  }

  /**
   * Whether the data of this version of a Secret counts as its value: the controller left it so, or
   * changes by others are not reverted.
   */
  async isSettled(key: string, mark: SecretMark): Promise<boolean> {
    const { world, keyring, repair } = this.#options;
    const { object } = (await world.sealedSecret(key)) ?? {};
    if (object === undefined) return false;
    if (!repair.changed || ignoresDrift(object)) return true;
    const left = this.#left.get(key)?.left ?? leftOf(object, keyring);
    return left?.uid === mark.uid && left.resourceVersion === mark.resourceVersion;
  }

  async reconcile(key: string): Promise<Outcome> {
    const { world, keyring, updateStatus } = this.#options;
    const forgotten = this.#forgotten;
    const observed = await world.sealedSecret(key);
    if (observed === undefined || isBeingDeleted(observed.object)) {
      // Its Secret is deleted by the owner reference in a cluster, and by the world in folders.
      for (const memory of [this.#settled, this.#unreported, this.#left]) memory.delete(key);
      this.#contest.forget(key);
      this.#attempts.forget(key);
      return { kind: "done" };
    }
    const { object, excess } = observed;
    const source = excess === null ? sourceOf(object) : versionOf(object);
    const mark = world.secretMark(key);
    const selector = selectorOf(object);
    const refusal = selector === null ? null : await selectionRefusal(key, selector, world, "seen");
    const inputs = this.#inputsOf(object, source, mark, refusal);
    const settled = this.#settled.get(key);
    const settle = (kind: "done" | "terminal"): Outcome => {
      const { labelsPollMs } = world;
      return selector === null || labelsPollMs === undefined ? { kind } : later(labelsPollMs);
    };
    if (settled?.seen === inputs) return settle(settled.failed ? "terminal" : "done");

    const unreported = this.#unreported.get(key);
    this.#unreported.delete(key);
    const result =
      unreported?.seen === inputs
        ? unreported.result
        : refusal !== null
          ? { verdict: refusal, wrote: false }
          : excess === null
            ? await this.#bringInSync(key, object, source, mark)
            : { verdict: verdicts.unsealFailed(excess), wrote: false };
    if ("kind" in result) return result;
    const { verdict, drift } = result;
    // Keys that were added meanwhile may open it.
    const isOutdated = (): boolean => !verdict.synced && this.#forgotten !== forgotten;
    if (isOutdated()) return { kind: "retry", afterMs: 0 };
    if (result.mark !== undefined) {
      const { uid, resourceVersion } = result.mark;
      const left = { uid, resourceVersion, source, patched: result.patched === true };
      this.#left.set(key, { left, stamp: result.stamp });
    }
    // With the mark of this run's write: later changes by others need another run.
    const inputsThen = (then: JsonObject): string =>
      this.#inputsOf(then, source, result.mark ?? mark, refusal);
    if (verdict.next !== "retry") {
      // If only the report failed, a retry repeats nothing else.
      const unreported = { ...result, wrote: false, drift: undefined };
      this.#unreported.set(key, { seen: inputsThen(object), result: unreported });
    }
    if (drift !== undefined) this.#options.onRepair?.(key, drift);
    const reported = await this.#report(key, object, result);
    this.#unreported.delete(key);
    const known = this.#left.get(key);
    // The status has the stamp now, with a tag.
    if (known !== undefined && updateStatus && keyring.newest !== null)
      this.#left.set(key, { left: known.left });
    if (verdict.next === "retry") {
      const { retryAfterMs: afterMs } = result;
      return { kind: "retry", ...(afterMs === undefined ? {} : { afterMs }) };
    }
    if (isOutdated()) return { kind: "retry", afterMs: 0 };
    this.#settled.set(key, { seen: inputsThen(reported), failed: !verdict.synced });
    if (verdict.reason === "DriftContested") {
      // Only time ends a contest.
      this.#settled.delete(key);
      return later(this.#contest.quietInMs(key, this.#options.clock()));
    }
    return settle(verdict.synced ? "done" : "terminal");
  }

  /**
   * Writes status, Events and log lines, unless they were written before. Returns the object with the
   * status that it has then.
   */
  async #report(
    key: string,
    object: JsonObject,
    { verdict, wrote, stamp }: Result,
  ): Promise<JsonObject> {
    const { world, keyring, now, updateStatus, onVerdict } = this.#options;
    const { left } = this.#left.get(key) ?? {};
    const recorded = leftOf(object, keyring);
    const isNew = left !== undefined && JSON.stringify(recorded) !== JSON.stringify(left);
    const status = nextStatus(object, verdict, {
      now: now(),
      left: isNew ? formatLeft(object, left, keyring) : undefined,
      stamp,
      keyring,
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
          // A lost Event is acceptable: the status says the same, and is retried.
          const reason = (error as Error).message;
          this.#options.log.warn("event could not be recorded", { object: key, error: reason });
        }),
      ),
    ]);
    return status === null || !updateStatus ? object : { ...object, status };
  }

  #compromised(): Set<string> {
    const keys = this.#options.keyring.keys.filter(({ compromised }) => compromised);
    return new Set(keys.map(({ fingerprint }) => fingerprint));
  }

  /** Everything that a run's result depends on, except the sealing keys. */
  #inputsOf(
    object: JsonObject,
    source: string,
    mark: SecretMark | undefined,
    refusal: Verdict | null,
  ): string {
    const { keyring } = this.#options;
    const record = keyRecordOf(object, keyring);
    const exposed = itemsUnder(record ?? {}, this.#compromised());
    // Without a key that may seal, a record gets no tag. It gets one as soon as there is a key.
    const recording = [record !== null, record === null && keyring.newest !== null];
    return JSON.stringify([
      source,
      mark,
      ignoresDrift(object),
      exposed,
      ...recording,
      refusal?.reason,
    ]);
  }

  async #bringInSync(
    key: string,
    object: JsonObject,
    source: string,
    mark: SecretMark | undefined,
  ): Promise<Result | Outcome> {
    const { keyring, render, repair, clock } = this.#options;
    const known = this.#left.get(key);
    const left = known?.left ?? leftOf(object, keyring);
    const sameSource = left?.source === source;
    if (sameSource && mark?.uid === left.uid && mark.resourceVersion === left.resourceVersion) {
      const contested = this.#contest.isContested(key, clock());
      const verdict = contested ? stillContested(object) : verdicts.unsealed();
      const stamp = known?.stamp ?? (await this.#missingStamp(object));
      return { verdict, mark, patched: left.patched, stamp, wrote: false };
    }
    if (sameSource) {
      const change = mark === undefined ? "deleted" : "changed";
      if (ignoresDrift(object) || !repair[change]) {
        const stamp = await this.#missingStamp(object);
        return { verdict: verdicts.driftIgnored(change), stamp, wrote: false };
      }
      const waitMs = this.#contest.waitMs(key, clock());
      if (waitMs > 0) return later(waitMs);
    }

    const selector = selectorOf(object);
    if (selector !== null) {
      // What was watched may be older than the values: a label that was taken away before they were
      // changed must count.
      const refusal = await selectionRefusal(key, selector, this.#options.world, "now");
      if (refusal !== null) return { verdict: refusal, wrote: false };
    }
    let sealed: SealedSecret;
    let desired: Secret;
    let stamp: Stamp;
    this.#options.onUnseal?.();
    try {
      sealed = parseSealedSecret(object);
      const unsealed = await this.#open(sealed, render);
      desired = withOwner(unsealed.secret, object);
      stamp = unsealed.stamp;
      this.#attempts.forget(key);
    } catch (error) {
      return this.#failure(key, source, error);
    }
    const keyMark = keyMarkOf(desired.metadata, this.#options.keyPlace);
    if (keyMark !== null) return { verdict: verdicts.keySecret(keyMark), stamp, wrote: false };
    const excess = sizeError(desired, this.#options.maxSecretBytes);
    if (excess !== null) return { verdict: verdicts.unsealFailed(excess), stamp, wrote: false };
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
      // The world changed after we read it, or is unreachable: a retry follows, so no verdict yet.
      const isFinal = error instanceof WorldError && ["refused", "invalid"].includes(error.failure);
      if (!isFinal) throw error;
      return { verdict: verdicts.writeFailed(error), stamp, wrote: false };
    }
  }

  async #open(sealed: SealedSecret, render: RenderTemplates): Promise<UnsealedSecret> {
    const { keyring, openIn, acceptLegacy } = this.#options;
    const run = openIn?.(sealed.metadata.namespace);
    const trials = new Trials({ limit: MAX_TRIALS, ...(run === undefined ? {} : { run }) });
    return unseal(sealed, keyring, { render, acceptLegacy, trials });
  }

  /** The key of each value, where the status has no record of ours; undefined if one does not open. */
  async #missingStamp(object: JsonObject): Promise<Stamp | undefined> {
    if (keyRecordOf(object, this.#options.keyring) !== null) return undefined;
    this.#options.onUnseal?.();
    try {
      return (await this.#open(parseSealedSecret(object), () => new Map())).stamp;
    } catch (error) {
      if (error instanceof SignetError) return undefined;
      throw error;
    }
  }

  /** The result for a SealedSecret that gives no Secret. @throws JobLost if the controller stops */
  #failure(key: string, source: string, error: unknown): Result {
    if (error instanceof SignetError)
      return { verdict: verdicts.unsealFailed(error), wrote: false };
    if (error instanceof JobLost) {
      if (error.loss === "closed") throw error;
      const lost = new SignetError("template-failed", error.message, {
        place: { field: "spec.template.data" },
      });
      const verdict = verdicts.unsealFailed(lost);
      // Unlike memory, time depends on what else the machine does.
      const retryAfterMs = error.loss === "memory" ? null : this.#attempts.failed(key, source);
      if (retryAfterMs === null) return { verdict, wrote: false };
      return { verdict: { ...verdict, next: "retry" }, retryAfterMs, wrote: false };
    }
    // A bug of ours that this object triggers: a retry would fail the same way.
    const { name, message, stack = "" } = error as Error;
    // Without its message, which may quote a value.
    const at = /^ +at .*$/m.exec(stack.replace(message, () => ""))?.[0].trim();
    this.#options.log.error("unexpected failure", { object: key, error: name, at });
    const failed = new SignetError("sealedsecret-invalid", "it cannot be processed");
    return { verdict: verdicts.unsealFailed(failed), wrote: false };
  }

  /** Writes the desired Secret. The result has `drift` if that reverted changes by others. */
  async #write(
    key: string,
    desired: Secret,
    left: Left | null,
    drifted: boolean,
  ): Promise<Omit<Result, "stamp">> {
    const { world, allowedTypes } = this.#options;
    const refused = (verdict: Verdict): Omit<Result, "stamp"> => ({ verdict, wrote: false });
    const written = (mark: SecretMark, drift: Drift, secret = desired): Omit<Result, "stamp"> => ({
      verdict: verdicts.unsealed(),
      mark,
      patched: isPatched(secret),
      wrote: true,
      ...(drifted ? { drift } : {}),
    });
    const create = async (): Promise<Omit<Result, "stamp">> =>
      written(await world.createSecret(key, desired), { change: "deleted", fields: [], by: [] });

    const first = decide(desired, null, { allowedTypes });
    if (first.act === "refuse") return refused(first.verdict);
    const watched = world.secretMark(key) !== undefined;
    // We do not watch a Secret of someone else, who may have removed our label or deleted the
    // Secret.
    const wasTheirs = drifted && left?.patched === true;
    if (!watched && !wasTheirs) {
      try {
        return await create();
      } catch (error) {
        if (!(error instanceof WorldError) || error.failure !== "exists") throw error;
      }
    }
    const found = await world.readSecret(key);
    if (found === null && wasTheirs) return refused(verdicts.ownerDeleted(desired.metadata.name));
    const existing = found === null ? null : parseSecret(found);
    const keyMark = existing && keyMarkOf(existing.metadata, this.#options.keyPlace);
    if (keyMark !== null) return { verdict: verdicts.keySecret(keyMark), wrote: false };
    const decision = decide(desired, existing, { left, drifted, allowedTypes });
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
        // No event reports the deletion of a Secret that we do not watch, so retry.
        const next = watched ? decision.verdict.next : "retry";
        return refused({ ...decision.verdict, next });
      }
    }
  }
}

/** Rounded up, because a timer may fire a little early. */
function later(afterMs: number): Outcome {
  return { kind: "later", afterMs: Math.ceil(afterMs) + 1 };
}

interface Result {
  readonly verdict: Verdict;
  /** The Secret as it is now; undefined if it is not in sync. */
  readonly mark?: SecretMark;
  /** We added to a Secret that someone else owns. */
  readonly patched?: boolean;
  /** The key of each value; undefined if no value was opened. */
  readonly stamp?: Stamp | undefined;
  readonly wrote: boolean;
  /** The changes by others that were reverted. */
  readonly drift?: Drift | undefined;
  /** The shortest time until a retry. */
  readonly retryAfterMs?: number;
}

/**
 * A hash of everything in a SealedSecret that determines its Secret. It covers only ciphertext, so
 * it is safe to publish.
 * @internal for its test
 */
export function sourceOf(sealed: JsonObject): string {
  const { name, namespace, uid } = metadataOf(sealed);
  const annotations = asObject(metadataOf(sealed)["annotations"] ?? null) ?? {};
  const scope = scopeOf(annotations as Record<string, string>);
  const selector = annotations[SELECTOR_ANNOTATION];
  // Beside another scope, a selector makes the object invalid.
  const scopes = selector === undefined ? scope : [scope, selector];
  const recorded = [SOURCE_FORMAT, namespace, name, uid, scopes, sealed["spec"]];
  return createHash("sha256").update(JSON.stringify(recorded)).digest("base64url").slice(0, 22);
}

function isBeingDeleted(object: JsonObject): boolean {
  return metadataOf(object)["deletionTimestamp"] !== undefined;
}

/** Distinguishes versions of an object that `sourceOf` cannot traverse. */
function versionOf(object: JsonObject): string {
  const { uid, generation } = metadataOf(object);
  return JSON.stringify([uid, generation]);
}

/** Why a world would refuse the Secret; null if it is small enough. */
function sizeError({ data }: Secret, maxBytes = Infinity): SignetError | null {
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  return bytes <= maxBytes
    ? null
    : new SignetError("secret-invalid", `the Secret would exceed ${maxBytes} bytes`);
}

function ignoresDrift(sealed: JsonObject): boolean {
  return asObject(metadataOf(sealed)["annotations"] ?? null)?.[DRIFT_ANNOTATION] === "ignore";
}

/** The verdict of a contest that goes on, with the message that the status has. */
function stillContested(sealed: JsonObject): Verdict {
  const message = bounded(currentVerdict(sealed)?.message ?? "");
  return { ...verdicts.contested([]), message };
}

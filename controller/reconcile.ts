// Brings the Secret of one SealedSecret in sync: gather, decide, act, in any world.
// SPEC.md, "Reconciling" and "Drift".

import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { itemsUnder } from "../shared/sealing/sealedunder.ts";
import type { Stamp } from "../shared/sealing/stamp.ts";
import { bounded } from "./bounded.ts";
import { withOwner } from "./decide.ts";
import type { DeliveryCondition } from "./deliveryreport.ts";
import { keyRecordOf } from "./keyrecord.ts";
import { logLostEvent } from "./events.ts";
import { Opener, type OpenerOptions } from "./opener.ts";
import { later, type Outcome } from "./queue.ts";
import { formatLeft, isSameMark, isTagOurs, type Left, leftOf, type SecretMark } from "./record.ts";
import { isAsLeft, isTrusted } from "./resting.ts";
import { selectionRefusal, selectorOf } from "./selection.ts";
import { ignoresDrift, isBeingDeleted, sourceOf } from "./sourceof.ts";
import {
  compromisedMessage,
  currentVerdict,
  deliveryResultIn,
  nextStatus,
  tellsOfDelivery,
} from "./status.ts";
import { Upkeep, type UpkeepOptions, type Upkept } from "./upkeep.ts";
import { type Drift, type Verdict, verdicts } from "./verdict.ts";
import type { Event, World } from "./world.ts";

export interface ReconcilerOptions extends OpenerOptions, UpkeepOptions {
  readonly world: World;
  readonly updateStatus: boolean;
  /**
   * Whether other names wait: then a Secret that was written is reported after they had their turn.
   * By default none do.
   */
  readonly isBusy?: () => boolean;
  readonly now: () => Date;
  /**
   * What became of the deliveries that a SealedSecret asks for; null if it asks for none. By default
   * no SealedSecret asks for any.
   */
  readonly delivery?: (key: string, object: JsonObject) => DeliveryCondition | null;
  /** Called for each verdict that is new or that follows a write, not for a Secret in sync. */
  readonly onVerdict: (key: string, verdict: Verdict) => void;
  /** Called after a change by others was reverted. */
  readonly onRepair?: (key: string, drift: Drift) => void;
}

/** How many reports may wait: each takes some memory, with the object that it is about. */
const MAX_REPORTS_WAITING = 10_000;

/** Reconciles SealedSecrets by name. The process may be killed at any point and started again. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** How often results were forgotten. A run that started before has an outdated result. */
  #forgotten = 0;
  /** The inputs and the result of each name's last run: equal inputs need no second run. */
  readonly #settled = new Map<string, { readonly seen: string; readonly verdict: Verdict }>();
  /** The same for results that are not in a status yet. */
  readonly #unreported = new Map<string, { readonly seen: string; readonly result: Result }>();
  /** Our last writes of Secrets, and the stamps that no status records yet. */
  readonly #left = new Map<string, { readonly left: Left; readonly stamp?: Stamp | undefined }>();
  readonly #upkeep: Upkeep;
  readonly #opener: Opener;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#upkeep = new Upkeep(options);
    this.#opener = new Opener(options);
  }

  /** Makes failed names run again, because a new sealing key may fix them. Returns those names. */
  forgetFailures(): string[] {
    this.#forgotten++;
    const failed = [...this.#settled]
      .filter(([, { verdict }]) => !verdict.synced)
      .map(([key]) => key);
    for (const key of failed) this.#settled.delete(key);
    const unreported = [...this.#unreported].filter(([, { result }]) => !result.verdict.synced);
    for (const [key] of unreported) this.#unreported.delete(key);
    return failed;
  }

  /**
   * Makes every name that `isOne` accepts run again, because another replica may have written
   * meanwhile.
   */
  forgetAll(isOne: (key: string) => boolean = () => true): void {
    this.#forgotten++;
    for (const memory of [this.#settled, this.#unreported, this.#left]) {
      for (const key of memory.keys()) if (isOne(key)) memory.delete(key);
    }
  }

  /** The number of Secrets that someone else keeps changing. */
  get contested(): number {
    return this.#upkeep.contested;
  }

  /**
   * Whether the data of this version of a Secret counts as its value: the controller left it so, or
   * changes by others are not reverted.
   */
  async isSettled(key: string, mark: SecretMark): Promise<boolean> {
    const { world, keyring, repair } = this.#options;
    const resting = world.resting(key);
    if (resting !== undefined && isAsLeft(resting, mark) && isTagOurs(resting.written, keyring)) {
      return true;
    }
    const { object } = (await world.sealedSecret(key)) ?? {};
    if (object === undefined) return false;
    if (!repair.changed || ignoresDrift(object)) return true;
    const left = this.#left.get(key)?.left ?? leftOf(object, keyring);
    return isSameMark(left, mark);
  }

  async reconcile(key: string): Promise<Outcome> {
    if (this.#rests(key)) return { kind: "done" };
    const outcome = await this.#reconcile(key);
    this.#rests(key);
    return outcome;
  }

  /** Whether there is nothing to do, as the status says; then no result is remembered here. */
  #rests(key: string): boolean {
    const { world, keyring, updateStatus } = this.#options;
    const resting = world.resting(key);
    if (resting === undefined || !updateStatus) return false;
    const { left } = this.#left.get(key) ?? {};
    const isSame = left === undefined || isAsLeft(resting, left);
    const isInSync = isSame && isAsLeft(resting, world.secretMark(key));
    if (!isInSync || this.#unreported.has(key) || this.#upkeep.isContested(key)) return false;
    if (!isTrusted(resting, keyring, this.#compromised())) return false;
    this.#settled.delete(key);
    // The same facts, in memory that they take anyway.
    if (left !== undefined) this.#left.set(key, resting);
    return true;
  }

  async #reconcile(key: string): Promise<Outcome> {
    const { world, keyring, updateStatus } = this.#options;
    const forgotten = this.#forgotten;
    const observed = await world.sealedSecret(key);
    if (observed === undefined || isBeingDeleted(observed.object)) {
      this.#forget(key);
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
    if (settled?.seen === inputs) {
      const { verdict } = settled;
      if (updateStatus && !tellsOfDelivery(object, this.#deliveryOf(key, object))) {
        const reported = await this.#report(key, object, { verdict, wrote: false });
        const seen = this.#inputsOf(reported, source, mark, refusal);
        this.#settled.set(key, { seen, verdict });
      }
      return settle(verdict.synced ? "done" : "terminal");
    }

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
    if (drift !== undefined) this.#options.onRepair?.(key, drift);
    // Nobody waits for a status as for a Secret: all Secrets come first.
    const reportsLast = unreported === undefined && this.#mayReportLast(result);
    if (verdict.next !== "retry") {
      // If only the report is missing, the next run repeats nothing else.
      const rest = { ...result, wrote: reportsLast, drift: undefined };
      this.#unreported.set(key, { seen: inputsThen(object), result: rest });
    }
    if (reportsLast) return { kind: "last" };
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
    this.#settled.set(key, { seen: inputsThen(reported), verdict });
    if (verdict.reason === "DriftContested") {
      // Only time ends a contest.
      this.#settled.delete(key);
      return later(this.#upkeep.quietInMs(key));
    }
    return settle(verdict.synced ? "done" : "terminal");
  }

  /** Its Secret is deleted by the owner reference in a cluster, and by the world in folders. */
  #forget(key: string): void {
    for (const memory of [this.#settled, this.#unreported, this.#left]) memory.delete(key);
    this.#upkeep.forget(key);
    this.#opener.forget(key);
  }

  #mayReportLast({ wrote, verdict }: Result): boolean {
    if (!wrote || !verdict.synced || verdict.next === "retry") return false;
    return this.#unreported.size < MAX_REPORTS_WAITING && this.#options.isBusy?.() === true;
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
    const delivery = this.#deliveryOf(key, object);
    const isNew = left !== undefined && JSON.stringify(recorded) !== JSON.stringify(left);
    const status = nextStatus(object, verdict, {
      now: now(),
      left: isNew ? formatLeft(object, left, keyring) : undefined,
      stamp,
      keyring,
      compromised: this.#compromised(),
      delivery,
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
    if (updateStatus && delivery !== null && !tellsOfDelivery(object, delivery)) {
      const { is, reason, message } = delivery;
      // While it goes on, each status would be an Event.
      if (reason !== "Delivering") {
        events.push({ type: is ? "Normal" : "Warning", reason, message });
      }
    }
    await Promise.all([
      status !== null && updateStatus ? world.writeStatus(key, object, status) : undefined,
      ...events.map((event) =>
        world.recordEvent(object, event).catch((error: unknown) => {
          logLostEvent(this.#options.log, key, error);
        }),
      ),
    ]);
    return status === null || !updateStatus ? object : { ...object, status };
  }

  #deliveryOf(key: string, object: JsonObject): DeliveryCondition | null {
    const condition = this.#options.delivery?.(key, object) ?? null;
    if (condition?.reason !== "Delivering") return condition;
    // After a start the result is not known yet, and most often the same as before.
    return deliveryResultIn(object) ?? condition;
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
    const { keyring, world } = this.#options;
    const known = this.#left.get(key);
    const left = known?.left ?? leftOf(object, keyring);
    const ignores = ignoresDrift(object);
    const target = { name: key, secret: key, mark, left, source, ignoresDrift: ignores };
    const need = this.#upkeep.needOf(target);
    switch (need.act) {
      case "none": {
        const verdict = need.isContested ? stillContested(object) : verdicts.unsealed();
        const stamp = known?.stamp ?? (await this.#missingStamp(object));
        const { mark: same, left: last } = need;
        return { verdict, mark: same, patched: last.patched, stamp, wrote: false };
      }
      case "ignore": {
        const stamp = await this.#missingStamp(object);
        return { verdict: verdicts.driftIgnored(need.change), stamp, wrote: false };
      }
      case "wait":
        return later(need.ms);
      case "write":
        break;
    }
    const selector = selectorOf(object);
    if (selector !== null) {
      // What was watched may be older than the values: a label that was taken away before they were
      // changed must count.
      const refusal = await selectionRefusal(key, selector, world, "now");
      if (refusal !== null) return { verdict: refusal, wrote: false };
    }
    const opened = await this.#opener.open(key, object, source);
    if ("verdict" in opened) return { ...opened, wrote: false };
    const desired = withOwner(opened.secret, object);
    const done = await this.#upkeep.write(target, desired, need.drifted);
    return { ...done, stamp: opened.stamp };
  }

  /** The key of each value, where the status has no record of ours; undefined if one does not open. */
  async #missingStamp(object: JsonObject): Promise<Stamp | undefined> {
    if (keyRecordOf(object, this.#options.keyring) !== null) return undefined;
    return this.#opener.stampOf(object);
  }
}

interface Result extends Upkept {
  /** The key of each value; undefined if no value was opened. */
  readonly stamp?: Stamp | undefined;
  /** The shortest time until a retry. */
  readonly retryAfterMs?: number;
}

/** Distinguishes versions of an object that `sourceOf` cannot traverse. */
function versionOf(object: JsonObject): string {
  const { uid, generation } = metadataOf(object);
  return JSON.stringify([uid, generation]);
}

/** The verdict of a contest that goes on, with the message that the status has. */
function stillContested(sealed: JsonObject): Verdict {
  const message = bounded(currentVerdict(sealed)?.message ?? "");
  return { ...verdicts.contested([]), message };
}

// Restarts workloads when a value changed: which one is checked when, and whose turn it is.
// docs/decisions/2026-11-restarts.md

import { ApiError } from "../host/kubernetes/apiclient.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { annotationsOf, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { beginningOf } from "./cache.ts";
import { logLostEvent } from "./events.ts";
import type { Log } from "./log.ts";
import {
  compareSeen,
  formatSeen,
  isPaused,
  parseRestartOn,
  parseSeen,
  recordPatch,
  referencedSecrets,
  RESTART_ON,
  RESTARTED,
  restartedAtOf,
  restartPatch,
  rolloutState,
  SEEN,
  type WorkloadKind,
} from "./restartrules.ts";
import type { SecretDigests } from "./secretdigests.ts";
import { listed } from "./verdict.ts";
import type { Event } from "./world.ts";

/** A workload with the annotation `kube-signet/restart-on`, as last seen. */
export interface Workload {
  readonly kind: WorkloadKind;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly restartOn: string;
  /** The value of `kube-signet/restarted`; empty if it is absent. */
  readonly restarted: string;
  /** Differs if it needs another look. */
  readonly signature: string;
}

/** How workloads are read and written. `id`: KIND NAMESPACE/NAME. */
export interface WorkloadWorld {
  /**
   * Calls `onChange` with each workload that asks for restarts, and again when it changes, until
   * `signal` aborts; with undefined if it is gone or no longer asks.
   */
  readonly watch: (
    signal: AbortSignal,
    onChange: (id: string, workload: Workload | undefined) => void,
  ) => Promise<void>;
  /** Null if it does not exist. */
  readonly read: (id: string) => Promise<JsonObject | null>;
  readonly patch: (id: string, patch: JsonObject) => Promise<void>;
  readonly recordEvent: (workload: JsonObject, event: Event) => Promise<void>;
}

export interface RestartsWiring {
  readonly world: WorkloadWorld;
  readonly digests: Pick<SecretDigests, "of">;
  readonly keyring: Pick<Keyring, "keys" | "newest">;
  /** The shortest time between two restarts of one workload. */
  readonly holdOffMs: number;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  readonly onRestart: (workload: Pick<Workload, "kind" | "namespace">) => void;
  /** Called if a restarted workload failed to replace its pods, or took too long. */
  readonly onUnfinished: (workload: Pick<Workload, "kind" | "namespace">) => void;
}

/** A workload that keeps changing, or whose Secrets do, is checked no more often than this. */
const CHANGED_MS = 1_000;
/** Changes within this time are one restart. */
const SETTLE_MS = 5_000;
/** How long the next workload of a namespace waits for the one before. */
const LONGEST_ROLLOUT_MS = 600_000;
/** Workloads of different namespaces that are restarted at the same time. */
const MAX_AT_ONCE = 8;
/** One that takes longer no longer counts, so that those that never end do not hold up other namespaces. */
const COUNTS_MS = 120_000;
const MAX_PER_NAMESPACE = 1_000;
/** An invalid annotation may be long, and differs from another one in its beginning. */
const MAX_TOLD = 256;
/** How often a restarted workload is read: the longer it takes, the more seldom. */
const LOOK_MIN_MS = 1_000;
const LOOK_MAX_MS = 15_000;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;
const IDLE_MS = 60_000;

interface Rollout {
  readonly id: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Until when it is one of those that are restarted at the same time. */
  readonly countsUntilMs: number;
  lookAtMs: number;
  /** Whether this process started it. */
  readonly isOurs: boolean;
}

interface Known {
  readonly workload: Workload;
  /** The Secrets that it asks for; null if its annotation is invalid. */
  readonly wanted: "*" | ReadonlySet<string> | null;
}

/** The workloads of one namespace. */
interface Turns {
  readonly workloads: Map<string, Known>;
  /** When to look at which workload. */
  readonly due: Map<string, number>;
  /** Workloads that must be restarted and wait for their turn, in that order. */
  readonly waiting: Set<string>;
  rolling: Rollout | undefined;
}

/** Restarts workloads while this replica leads. */
export class Restarts {
  readonly #wiring: RestartsWiring;
  readonly #namespaces = new Map<string, Turns>();
  /** When a change was first seen that a workload was not restarted for yet. */
  readonly #changedAtMs = new Map<string, number>();
  /** The last restart that was seen to be over. */
  readonly #finished = new Map<string, string>();
  readonly #failures = new Map<string, number>();
  /** Invalid annotations that an Event reported, without what is too long. */
  readonly #told = new Map<string, string>();
  readonly #full = new Set<string>();
  #isLeading = false;
  #wake: (() => void) | undefined;
  #isWoken = false;

  constructor(wiring: RestartsWiring) {
    this.#wiring = wiring;
  }

  /** The number of workloads that must be restarted and wait for their turn. */
  get waiting(): number {
    let count = 0;
    for (const { waiting } of this.#namespaces.values()) count += waiting.size;
    return count;
  }

  /** To be called when a workload appeared or changed; undefined if it is gone or asks for nothing. */
  observed(id: string, workload: Workload | undefined): void {
    const namespace = namespaceOf(id);
    if (workload === undefined) {
      this.#forget(namespace, id);
      return;
    }
    const turns = this.#turnsOf(namespace);
    const before = turns.workloads.get(id);
    if (before === undefined && turns.workloads.size >= MAX_PER_NAMESPACE) {
      this.#tellFull(namespace);
      return;
    }
    const isSame =
      before?.workload.uid === workload.uid && before.workload.signature === workload.signature;
    if (isSame) {
      turns.workloads.set(id, { ...before, workload });
      return;
    }
    const wanted = parseRestartOn(workload.restartOn);
    const names = wanted === null || wanted === "*" ? wanted : new Set(wanted);
    turns.workloads.set(id, { workload, wanted: names });
    // Somebody may remove the record each time that it is written.
    this.#look(turns, id, before === undefined ? 0 : CHANGED_MS);
  }

  /** To be called after the reconcile of a SealedSecret, `NAMESPACE/NAME`. */
  reconciled(key: string): void {
    const [namespace = "", name = ""] = key.split("/");
    const turns = this.#namespaces.get(namespace);
    if (turns === undefined) return;
    for (const [id, { wanted }] of turns.workloads) {
      const isAskedFor = wanted === "*" || wanted?.has(name) === true;
      if (isAskedFor) this.#look(turns, id, CHANGED_MS);
    }
  }

  /** Values may have changed while nobody led, so everything is checked. */
  lead(): void {
    this.#isLeading = true;
    for (const turns of this.#namespaces.values()) {
      for (const id of turns.workloads.keys()) this.#look(turns, id, 0);
    }
    this.#awake();
  }

  follow(): void {
    this.#isLeading = false;
    this.#changedAtMs.clear();
    this.#finished.clear();
    for (const turns of this.#namespaces.values()) {
      turns.waiting.clear();
      turns.rolling = undefined;
    }
  }

  /** Works until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => {
      this.#awake();
    });
    void this.#wiring.world.watch(signal, (id, workload) => {
      this.observed(id, workload);
    });
    while (!signal.aborted) {
      const waitMs = await this.tick();
      await this.#sleep(Math.min(waitMs, IDLE_MS));
    }
  }

  /**
   * Does what is due. Namespaces take turns. Returns the milliseconds until there is more to do.
   * @internal for its test
   */
  async tick(): Promise<number> {
    let worked = await this.#round();
    while (worked) worked = await this.#round();
    return this.#leads() ? this.#nextInMs() : Infinity;
  }

  /** Those whose rollout has ended go to the end of the line. */
  async #watchRollouts(): Promise<void> {
    for (const [namespace, turns] of [...this.#namespaces]) {
      if (!this.#leads() || !(await this.#watchRollout(turns))) continue;
      if (this.#namespaces.delete(namespace)) this.#namespaces.set(namespace, turns);
    }
  }

  /** One workload of each namespace. Returns whether any was due. */
  async #round(): Promise<boolean> {
    let worked = false;
    await this.#watchRollouts();
    for (const turns of [...this.#namespaces.values()]) {
      if (!this.#leads()) return false;
      this.#admit(turns);
      const id = dueIn(turns, this.#wiring.clock());
      if (id === undefined) continue;
      worked = true;
      turns.due.delete(id);
      await this.#retrying(turns, id, async () => {
        const isWaiting = await this.#check(turns, id);
        if (!isWaiting) turns.waiting.delete(id);
      });
    }
    return worked;
  }

  /** A call, since it may change during each wait. */
  #leads(): boolean {
    return this.#isLeading;
  }

  #nextInMs(): number {
    let atMs = Infinity;
    for (const { due, rolling } of this.#namespaces.values()) {
      for (const each of due.values()) atMs = Math.min(atMs, each);
      atMs = Math.min(atMs, rolling?.lookAtMs ?? Infinity);
    }
    return Math.max(0, atMs - this.#wiring.clock());
  }

  /** A failed call is repeated, more seldom each time. */
  async #retrying(turns: Turns, id: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#failures.delete(id);
    } catch (error) {
      if (!this.#isLeading) return;
      const failures = (this.#failures.get(id) ?? 0) + 1;
      this.#failures.set(id, failures);
      const inMs = Math.min(RETRY_MIN_MS * 2 ** Math.min(failures - 1, 10), RETRY_MAX_MS);
      this.#look(turns, id, inMs);
      // Somebody else wrote at the same time.
      if (error instanceof ApiError && error.status === 409 && failures === 1) return;
      const { message } = error as Error;
      this.#wiring.log.warn("workload could not be checked, retrying", {
        object: id,
        error: message,
        inMs,
      });
    }
  }

  /** Returns whether the workload waits for its turn. */
  async #check(turns: Turns, id: string): Promise<boolean> {
    const { world, keyring, now } = this.#wiring;
    const known = turns.workloads.get(id)?.workload;
    const workload = known === undefined ? null : await world.read(id);
    if (known === undefined || workload === null) return false;
    const { kind, namespace } = known;
    const annotations = annotationsOf(workload);
    const text = annotations[RESTART_ON];
    const isLeaving = metadataOf(workload)["deletionTimestamp"] !== undefined;
    if (typeof text !== "string" || isLeaving) return false;
    const wanted = parseRestartOn(text);
    if (wanted === null) {
      await this.#tellInvalid(id, workload, text);
      return false;
    }
    const names = wanted === "*" ? referencedSecrets(workload) : wanted;
    const seen = parseSeen(annotations[SEEN]);
    const digests = await this.#digestsOf(namespace, names);
    const sight = { namespace, names, seen, digests, keyring };
    const { changed, recorded, afterRestart } = compareSeen(sight);
    if (changed.length === 0) this.#changedAtMs.delete(id);
    const step = changed.length === 0 ? "record" : this.#stepFor(turns, id, kind, workload);
    if (step === "restart") {
      const restarted = { seen: afterRestart, names: changed, now: now() };
      await world.patch(id, restartPatch(kind, workload, restarted));
      await this.#restarted(turns, id, workload, changed);
      return false;
    }
    // Secrets that are seen for the first time are recorded without delay.
    if (formatSeen(recorded) !== formatSeen(seen)) {
      await world.patch(id, recordPatch(workload, recorded));
    }
    return step === "wait";
  }

  async #digestsOf(namespace: string, names: readonly string[]): Promise<Map<string, string>> {
    const digests = new Map<string, string>();
    for (const name of names) {
      const digest = await this.#wiring.digests.of(`${namespace}/${name}`);
      if (digest !== undefined) digests.set(name, digest);
    }
    return digests;
  }

  /**
   * Whether to restart a workload now, or to wait for its turn. Otherwise only the record is written,
   * and the workload is checked again later.
   */
  #stepFor(
    turns: Turns,
    id: string,
    kind: WorkloadKind,
    workload: JsonObject,
  ): "restart" | "wait" | "record" {
    const { clock, now, holdOffMs } = this.#wiring;
    // Its change brings it back.
    if (isPaused(kind, workload)) return "record";
    const nowMs = clock();
    const changedAtMs = this.#changedAtMs.get(id) ?? nowMs;
    this.#changedAtMs.set(id, changedAtMs);
    const restartedAt = restartedAtOf(annotationsOf(workload)[RESTARTED], now());
    const heldMs = restartedAt === null ? 0 : restartedAt.getTime() + holdOffMs - now().getTime();
    const waitMs = Math.max(changedAtMs + SETTLE_MS - nowMs, heldMs);
    if (waitMs > 0) {
      this.#look(turns, id, waitMs);
      return "record";
    }
    turns.rolling ??= this.#unfinishedIn(turns, id);
    const isFree = turns.rolling === undefined && this.#rollingCount() < MAX_AT_ONCE;
    // A workload does not wait for itself: a value that broke it is corrected at once.
    if (isFree || turns.rolling?.id === id) return "restart";
    turns.waiting.add(id);
    return "wait";
  }

  /** A workload that an earlier process, or another replica, restarted lately. */
  #unfinishedIn({ workloads }: Turns, except: string): Rollout | undefined {
    const { clock, now } = this.#wiring;
    for (const [id, { workload }] of workloads) {
      const { restarted } = workload;
      if (id === except || restarted === "" || this.#finished.get(id) === restarted) continue;
      const restartedAt = restartedAtOf(restarted, now());
      const leftMs = (restartedAt?.getTime() ?? 0) + LONGEST_ROLLOUT_MS - now().getTime();
      if (leftMs <= 0) continue;
      const sinceMs = clock();
      const untilMs = sinceMs + leftMs;
      return { id, sinceMs, untilMs, countsUntilMs: 0, lookAtMs: sinceMs, isOurs: false };
    }
    return undefined;
  }

  #rollingCount(): number {
    let count = 0;
    const nowMs = this.#wiring.clock();
    for (const { rolling } of this.#namespaces.values()) {
      if (rolling !== undefined && nowMs < rolling.countsUntilMs) count++;
    }
    return count;
  }

  async #restarted(
    turns: Turns,
    id: string,
    workload: JsonObject,
    changed: readonly string[],
  ): Promise<void> {
    const { clock, log, onRestart } = this.#wiring;
    this.#changedAtMs.delete(id);
    this.#finished.delete(id);
    const nowMs = clock();
    const again = turns.rolling?.id === id ? turns.rolling : undefined;
    turns.rolling = {
      id,
      sinceMs: nowMs,
      untilMs: nowMs + LONGEST_ROLLOUT_MS,
      countsUntilMs: again?.countsUntilMs ?? nowMs + COUNTS_MS,
      lookAtMs: nowMs + LOOK_MIN_MS,
      isOurs: true,
    };
    const known = turns.workloads.get(id)?.workload;
    if (known !== undefined) onRestart(known);
    log.info("workload restarted", { object: id, secrets: changed.join(",") });
    const plural = changed.length === 1 ? "Secret" : "Secrets";
    const event: Event = {
      type: "Normal",
      reason: "Restarted",
      message: `restarted, because values changed in ${plural} ${listed(changed)}`,
    };
    await this.#tell(id, workload, event);
  }

  /** Checks whether the restarted workload of a namespace has replaced its pods. Returns whether it is over. */
  async #watchRollout(turns: Turns): Promise<boolean> {
    const { rolling } = turns;
    const { world, clock, log, onUnfinished } = this.#wiring;
    if (rolling === undefined || clock() < rolling.lookAtMs) return false;
    const { id, sinceMs, untilMs } = rolling;
    rolling.lookAtMs =
      clock() + Math.min(Math.max((clock() - sinceMs) / 4, LOOK_MIN_MS), LOOK_MAX_MS);
    const known = turns.workloads.get(id)?.workload;
    const isLate = clock() >= untilMs;
    let state: ReturnType<typeof rolloutState> = "progressing";
    try {
      const workload = known === undefined ? null : await world.read(id);
      state =
        workload === null || known === undefined ? "complete" : rolloutState(known.kind, workload);
    } catch (error) {
      log.warn("workload could not be checked, retrying", {
        object: id,
        error: (error as Error).message,
      });
    }
    if (state === "progressing" && !isLate) return false;
    turns.rolling = undefined;
    if (known === undefined) return true;
    this.#finished.set(id, known.restarted);
    if (state === "complete" || !rolling.isOurs) return true;
    onUnfinished(known);
    log.warn("restarted workload has not replaced its pods", { object: id });
    return true;
  }

  /** Lets the next workload of a namespace have its turn. */
  #admit(turns: Turns): void {
    if (turns.rolling !== undefined || this.#rollingCount() >= MAX_AT_ONCE) return;
    const [next] = turns.waiting;
    if (next === undefined) return;
    turns.waiting.delete(next);
    this.#look(turns, next, 0);
  }

  async #tellInvalid(id: string, workload: JsonObject, text: string): Promise<void> {
    const beginning = beginningOf(text, MAX_TOLD);
    if (this.#told.get(id) === beginning) return;
    this.#told.set(id, beginning);
    await this.#tell(id, workload, {
      type: "Warning",
      reason: "RestartInvalid",
      message: `annotation ${RESTART_ON}: expected names of at most 64 Secrets, such as "db,api", or "*"`,
    });
  }

  async #tell(id: string, workload: JsonObject, event: Event): Promise<void> {
    await this.#wiring.world.recordEvent(workload, event).catch((error: unknown) => {
      logLostEvent(this.#wiring.log, id, error);
    });
  }

  #tellFull(namespace: string): void {
    if (this.#full.has(namespace)) return;
    this.#full.add(namespace);
    this.#wiring.log.warn("too many workloads to restart, the others are ignored", {
      namespace,
      limit: MAX_PER_NAMESPACE,
    });
  }

  #turnsOf(namespace: string): Turns {
    const turns = this.#namespaces.get(namespace) ?? {
      workloads: new Map<string, Known>(),
      due: new Map<string, number>(),
      waiting: new Set<string>(),
      rolling: undefined,
    };
    this.#namespaces.set(namespace, turns);
    return turns;
  }

  #forget(namespace: string, id: string): void {
    for (const memory of [this.#changedAtMs, this.#finished, this.#failures, this.#told]) {
      memory.delete(id);
    }
    const turns = this.#namespaces.get(namespace);
    if (turns === undefined) return;
    turns.workloads.delete(id);
    turns.due.delete(id);
    turns.waiting.delete(id);
    if (turns.workloads.size > 0) return;
    this.#namespaces.delete(namespace);
    this.#full.delete(namespace);
  }

  #look({ due }: Turns, id: string, inMs: number): void {
    const atMs = this.#wiring.clock() + inMs;
    due.set(id, Math.min(due.get(id) ?? Infinity, atMs));
    this.#awake();
  }

  #awake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  async #sleep(ms: number): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        timer.unref();
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#wake = undefined;
    this.#isWoken = false;
  }
}

function dueIn({ due }: Turns, nowMs: number): string | undefined {
  for (const [id, atMs] of due) if (atMs <= nowMs) return id;
  return undefined;
}

function namespaceOf(id: string): string {
  return id.slice(id.indexOf(" ") + 1, id.indexOf("/"));
}

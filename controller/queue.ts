// The queue of names to reconcile: one run per name at a time, with backoff, retried forever.

import { Usage } from "./usage.ts";

/** The result of a reconcile. */
export type Outcome =
  /** Nothing to do until something changes. */
  | { readonly kind: "done" }
  /** Nothing failed, but the name must be reconciled again after a while. */
  | { readonly kind: "later"; readonly afterMs: number }
  /** The Secret is written; the rest of the work can wait until other names had their turn. */
  | { readonly kind: "last" }
  /** Failed in a way that only a change can fix; that change adds the name again. */
  | { readonly kind: "terminal" }
  /** Failed, perhaps temporarily: retried with backoff, but not before `afterMs`. */
  | { readonly kind: "retry"; readonly afterMs?: number };

/** Reconcile a name again although nothing failed. Rounded up, because a timer may fire a little early. */
export function later(afterMs: number): Outcome {
  return { kind: "later", afterMs: Math.ceil(afterMs) + 1 };
}

export interface QueueOptions {
  readonly workers: number;
  readonly reconcile: (key: string) => Promise<Outcome>;
  /** Called after each run. If `reconcile` threw, the outcome is `retry`. */
  readonly onOutcome: (key: string, outcome: Outcome["kind"], tookMs: number) => void;
  readonly onError: (key: string, error: unknown) => void;
  /** The minimum delay that an error asks for. */
  readonly retryAfterMs?: (error: unknown) => number;
}

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 300_000;

/**
 * Delay after this many failures in a row, without jitter.
 * @internal for its test
 */
export function backoffMs(failures: number): number {
  return Math.min(BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 20), BACKOFF_MAX_MS);
}

/**
 * The share of the workers that no single namespace gets, so that slow names leave room for others.
 */
const RESERVED = 1 / 4;
/**
 * A run that takes longer gives its worker to other names, up to as many runs as there are workers.
 */
const SLOW_MS = 1_000;

/** The share of the workers that busy namespaces have together, so that others rarely wait. */
const BUSY_SHARE = 1 / 4;
/** The same while others have work: busy ones also take CPU time and API calls from them. */
const BUSY_SHARE_BESIDE_OTHERS = 1 / 16;
/** Others count as having work if one of their names ran this recently. */
const BESIDE_OTHERS_MS = 1_000;

/**
 * How many waiting namespaces to compare for the one that recently used the least time of workers.
 * Bounded, because there may be thousands.
 */
const MAX_COMPARED = 256;

/** Names whose work can wait get one turn in this many, so that a flood of others does not stop them. */
const TURNS_UNTIL_LAST = 8;

/** Names in the order in which they came, each once. */
class Line {
  readonly #names = new Set<string>();
  /** It goes on where it was: a new one would have to pass all that was taken before. */
  #rest = this.#names.values();

  get size(): number {
    return this.#names.size;
  }

  add(name: string): void {
    this.#names.add(name);
  }

  delete(name: string): void {
    this.#names.delete(name);
  }

  take(): string | undefined {
    let { value: name } = this.#rest.next();
    if (name === undefined) {
      this.#rest = this.#names.values();
      name = this.#rest.next().value;
    }
    if (name !== undefined) this.#names.delete(name);
    return name;
  }
}

/** Waiting names by namespace; the namespace whose turn it is comes first. */
class Waiting {
  readonly #lines = new Map<string, Line>();

  get size(): number {
    let size = 0;
    for (const line of this.#lines.values()) size += line.size;
    return size;
  }

  get isEmpty(): boolean {
    return this.#lines.size === 0;
  }

  namespaces(): IterableIterator<string> {
    return this.#lines.keys();
  }

  add(key: string): void {
    const namespace = namespaceOf(key);
    const line = this.#lines.get(namespace) ?? new Line();
    line.add(key);
    this.#lines.set(namespace, line);
  }

  delete(key: string): void {
    const namespace = namespaceOf(key);
    const line = this.#lines.get(namespace);
    line?.delete(key);
    if (line?.size === 0) this.#lines.delete(namespace);
  }

  /** Takes a name of this namespace, which then goes to the end, if it has more. */
  take(namespace: string): string | undefined {
    const line = this.#lines.get(namespace);
    const key = line?.take();
    this.#lines.delete(namespace);
    if (line !== undefined && line.size > 0) this.#lines.set(namespace, line);
    return key;
  }

  clear(): void {
    this.#lines.clear();
  }
}

/**
 * Holds waiting names, running names, and timers for names that failed. Namespaces take turns,
 * those that used little time first. No namespace gets all workers, and those that used far more
 * than others share a quarter of them, or less while others have work. Slow runs do not hold a
 * worker, but their namespaces get no further workers while together they have as many runs as
 * there are workers. So many or slow names in some namespaces do not delay the others.
 */
export class Queue {
  readonly #options: QueueOptions;
  readonly #waiting = new Waiting();
  /** Names whose work can wait, such as a report. */
  readonly #last = new Waiting();
  #turns = 0;
  readonly #running = new Set<string>();
  /** How many of the running names are in each namespace. */
  readonly #runs = new Map<string, number>();
  /** Running names that have been running for long, the longest first. */
  readonly #overdue = new Set<string>();
  /** The overdue names that no longer hold a worker. */
  readonly #slow = new Set<string>();
  /** Added while running, to be run again afterwards. */
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Milliseconds of workers, by namespace. */
  readonly #used = new Usage(() => performance.now());
  /** When a name of a namespace that is not busy last started to run. */
  #othersAtMs = Number.NEGATIVE_INFINITY;
  #started = false;
  #stopped = false;
  #onIdle: (() => void) | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Queues `key` now, even if it is backing off. */
  add(key: string): void {
    if (this.#stopped) return;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    if (this.#running.has(key)) {
      this.#dirty.add(key);
    } else {
      this.#last.delete(key);
      this.#waiting.add(key);
    }
    this.#fill();
  }

  /** Retries all failed names now, because the cause is gone. */
  retryNow(): void {
    for (const key of [...this.#timers.keys()]) if (this.#failures.has(key)) this.add(key);
  }

  /** Names waiting or running. */
  get depth(): number {
    return this.#running.size + this.#waiting.size + this.#last.size;
  }

  /** Whether names wait whose work cannot. */
  get isBusy(): boolean {
    return !this.#waiting.isEmpty;
  }

  /** Whether a name that `isOne` accepts is running. */
  isRunning(isOne: (key: string) => boolean): boolean {
    return [...this.#running].some(isOne);
  }

  start(): void {
    this.#started = true;
    this.#fill();
  }

  /** Starts no run until `start` is called again; added names wait. */
  pause(): void {
    this.#started = false;
  }

  /** Accepts no more names; resolves when the current runs have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    this.#last.clear();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    if (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
  }

  #fill(): void {
    if (!this.#started || this.#stopped) return;
    const { workers } = this.#options;
    for (const key of this.#overdue) if (this.#slow.size < workers) this.#slow.add(key);
    while (this.#running.size - this.#slow.size < workers) {
      const key = this.#next();
      if (key === undefined) return;
      this.#running.add(key);
      this.#count(key, 1);
      void this.#run(key);
    }
  }

  #next(): string | undefined {
    const lines = [this.#waiting, this.#last];
    if (this.#turns++ % TURNS_UNTIL_LAST === 0) lines.reverse();
    for (const line of lines) {
      const key = this.#take(line);
      if (key !== undefined) return key;
    }
    return undefined;
  }

  #take(waiting: Waiting): string | undefined {
    if (waiting.isEmpty) return undefined;
    const { workers } = this.#options;
    const most = Math.max(1, workers - Math.max(1, Math.floor(workers * RESERVED)));
    const slow = new Set([...this.#overdue].map(namespaceOf));
    let ofSlow = 0;
    for (const namespace of slow) ofSlow += this.#runs.get(namespace) ?? 0;
    const hasOthers = performance.now() - this.#othersAtMs < BESIDE_OTHERS_MS;
    const share = hasOthers ? BUSY_SHARE_BESIDE_OTHERS : BUSY_SHARE;
    const forBusy = Math.max(1, Math.floor(workers * share));
    const busyMs = this.#used.busyFrom();
    const mayBusy = this.#runsAbove(busyMs) < forBusy;
    let found: { namespace: string; used: number } | undefined;
    let compared = 0;
    for (const namespace of waiting.namespaces()) {
      if (ofSlow >= workers && slow.has(namespace)) continue;
      if ((this.#runs.get(namespace) ?? 0) >= most) continue;
      const used = this.#used.of(namespace);
      if (used > busyMs && !mayBusy) continue;
      if (found === undefined || used < found.used) found = { namespace, used };
      if (used === 0 || ++compared >= MAX_COMPARED) break;
    }
    if (found === undefined) return undefined;
    if (found.used <= busyMs) this.#othersAtMs = performance.now();
    return waiting.take(found.namespace);
  }

  /** How many runs the namespaces have that used more than `ms`. */
  #runsAbove(ms: number): number {
    let runs = 0;
    for (const [namespace, count] of this.#runs) {
      if (this.#used.of(namespace) > ms) runs += count;
    }
    return runs;
  }

  #count(key: string, change: 1 | -1): void {
    const namespace = namespaceOf(key);
    const busy = (this.#runs.get(namespace) ?? 0) + change;
    if (busy === 0) this.#runs.delete(namespace);
    else this.#runs.set(namespace, busy);
  }

  async #run(key: string): Promise<void> {
    const startedMs = performance.now();
    const timer = setTimeout(() => {
      this.#overdue.add(key);
      this.#fill();
    }, SLOW_MS);
    let outcome: Outcome;
    try {
      outcome = await this.#options.reconcile(key);
    } catch (error) {
      this.#options.onError(key, error);
      outcome = { kind: "retry", afterMs: this.#options.retryAfterMs?.(error) ?? 0 };
    }
    const tookMs = performance.now() - startedMs;
    this.#used.add(namespaceOf(key), tookMs);
    this.#options.onOutcome(key, outcome.kind, tookMs);
    clearTimeout(timer);
    for (const keys of [this.#running, this.#overdue, this.#slow]) keys.delete(key);
    this.#count(key, -1);
    const dirty = this.#dirty.delete(key);
    if (outcome.kind === "retry") {
      this.#retry(key, outcome.afterMs ?? 0, dirty);
    } else {
      this.#failures.delete(key);
      if (dirty) this.add(key);
      else if (outcome.kind === "later") this.#addAfter(key, outcome.afterMs);
      else if (outcome.kind === "last" && !this.#stopped) this.#last.add(key);
    }
    if (this.#running.size === 0) this.#onIdle?.();
    this.#fill();
  }

  #retry(key: string, afterMs: number, changed: boolean): void {
    if (this.#stopped) return;
    const failures = changed ? 1 : (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const jitter = 0.8 + Math.random() * 0.4;
    this.#addAfter(key, Math.max(backoffMs(failures) * jitter, afterMs));
  }

  #addAfter(key: string, delayMs: number): void {
    if (this.#stopped) return;
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        this.add(key);
      }, delayMs),
    );
  }
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

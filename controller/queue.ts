// Owns: names to reconcile: one at a time each, many at once, backed off, never given up.
// Does not own: what reconciling means.

/** What a reconcile says of its name. */
export type Outcome =
  /** Nothing left to do until something changes. */
  | { readonly kind: "done" }
  /** Nothing failed, but it is to be looked at again after a while. */
  | { readonly kind: "later"; readonly afterMs: number }
  /** Failed in a way that only a change can mend; the change will add the name again. */
  | { readonly kind: "terminal" }
  /** Failed in a way that may pass: again, later and later. `afterMs`: not before that. */
  | { readonly kind: "retry"; readonly afterMs?: number };

export interface QueueOptions {
  readonly workers: number;
  readonly reconcile: (key: string) => Promise<Outcome>;
  /** Called after each run: `failed` where `reconcile` threw, which is retried. */
  readonly onOutcome: (key: string, outcome: Outcome["kind"], tookMs: number) => void;
  readonly onError: (key: string, error: unknown) => void;
}

const BACKOFF_MIN_MS = 100;
const BACKOFF_MAX_MS = 300_000;

/** Delay before try number `failures + 1`, without jitter. */
export function backoffMs(failures: number): number {
  return Math.min(BACKOFF_MIN_MS * 2 ** Math.min(failures - 1, 20), BACKOFF_MAX_MS);
}

/** A set of names waiting, of names running, and of timers for those that failed. */
export class Queue {
  readonly #options: QueueOptions;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  /** Added while running: run again afterwards. */
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #started = false;
  #stopped = false;
  #onIdle: (() => void) | undefined;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** Asks for `key` to be reconciled now; a waiting back-off is cut short. */
  add(key: string): void {
    if (this.#stopped) return;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    if (this.#running.has(key)) this.#dirty.add(key);
    else this.#waiting.add(key);
    this.#fill();
  }

  /** Names waiting or running. */
  get depth(): number {
    return this.#waiting.size + this.#running.size;
  }

  start(): void {
    this.#started = true;
    this.#fill();
  }

  /** Begins nothing new until started again; what is added waits. */
  pause(): void {
    this.#started = false;
  }

  /** Takes no more work; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
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
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.workers) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const startedMs = performance.now();
    let outcome: Outcome;
    try {
      outcome = await this.#options.reconcile(key);
    } catch (error) {
      this.#options.onError(key, error);
      outcome = { kind: "retry" };
    }
    this.#options.onOutcome(key, outcome.kind, performance.now() - startedMs);
    this.#running.delete(key);
    const dirty = this.#dirty.delete(key);
    if (outcome.kind === "retry") {
      this.#retry(key, outcome.afterMs ?? 0, dirty);
    } else {
      this.#failures.delete(key);
      if (dirty) this.add(key);
      else if (outcome.kind === "later") this.#addAfter(key, outcome.afterMs);
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

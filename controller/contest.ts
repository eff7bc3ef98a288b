// Slows down the controller's repairs of a Secret that others keep changing.
// SPEC.md, "Drift".

/** The first disturbances, which are answered without a delay. */
const ANSWERED_AT_ONCE = 5;
const MIN_DELAY_MS = 1_000;
/** Longest delay between two repairs of a Secret that others change after each repair. */
const MAX_REPAIR_DELAY_MS = 300_000;
/** Longest delay between two checks of a Secret in which others change only what is theirs. */
const MAX_CHECK_DELAY_MS = 5_000;
/** A name is forgotten after this long without a disturbance, or after twice its last delay. */
const MIN_QUIET_MS = 60_000;

interface Disturbances {
  disturbed: number;
  repaired: number;
  lastMs: number;
  delayMs: number;
}

/** Counts disturbances by name. Times are milliseconds of a monotonic clock. */
export class Contest {
  readonly #records = new Map<string, Disturbances>();

  /** How long to wait before the next answer; 0 if none is needed. */
  waitMs(name: string, nowMs: number): number {
    const record = this.#current(name, nowMs);
    return record === undefined ? 0 : Math.max(0, record.lastMs + record.delayMs - nowMs);
  }

  /** Records that a disturbance was answered. `repaired`: the Secret had to be changed back. */
  answered(name: string, nowMs: number, repaired: boolean): void {
    const record = this.#current(name, nowMs) ?? {
      disturbed: 0,
      repaired: 0,
      lastMs: nowMs,
      delayMs: 0,
    };
    record.disturbed++;
    if (repaired) record.repaired++;
    record.lastMs = nowMs;
    if (record.disturbed >= ANSWERED_AT_ONCE) {
      const most = record.repaired >= ANSWERED_AT_ONCE ? MAX_REPAIR_DELAY_MS : MAX_CHECK_DELAY_MS;
      record.delayMs = Math.min(Math.max(2 * record.delayMs, MIN_DELAY_MS), most);
    }
    this.#records.set(name, record);
  }

  /** Whether someone keeps undoing our repairs. */
  isContested(name: string, nowMs: number): boolean {
    return (this.#current(name, nowMs)?.repaired ?? 0) >= ANSWERED_AT_ONCE;
  }

  /** Milliseconds until `name` is forgotten if it is not disturbed again; 0 if it is unknown. */
  quietInMs(name: string, nowMs: number): number {
    const record = this.#current(name, nowMs);
    return record === undefined ? 0 : record.lastMs + quietMs(record) - nowMs;
  }

  /** The number of contested names. */
  contestedCount(nowMs: number): number {
    return [...this.#records.keys()].filter((name) => this.isContested(name, nowMs)).length;
  }

  forget(name: string): void {
    this.#records.delete(name);
  }

  #current(name: string, nowMs: number): Disturbances | undefined {
    const record = this.#records.get(name);
    if (record !== undefined && nowMs - record.lastMs >= quietMs(record)) {
      this.#records.delete(name);
      return undefined;
    }
    return record;
  }
}

function quietMs({ delayMs }: Disturbances): number {
  return Math.max(MIN_QUIET_MS, 2 * delayMs);
}

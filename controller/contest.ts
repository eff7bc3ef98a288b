// How often one name may be disturbed by others before we answer ever more slowly.
// SPEC.md, "Drift".

/** So many disturbances are answered at once. */
const FREE = 5;
const MIN_DELAY_MS = 1_000;
/** Between two times that we put a Secret back, which the other side changes again each time. */
const MAX_FIGHT_DELAY_MS = 300_000;
/** Between two looks at a Secret of which others keep changing what is theirs to change. */
const MAX_LOOK_DELAY_MS = 5_000;
/** A name that was left in peace for so long starts anew; at least twice its last delay. */
const MIN_QUIET_MS = 60_000;

interface Record {
  disturbed: number;
  repaired: number;
  lastMs: number;
  delayMs: number;
}

/** Counts disturbances by name. Times are milliseconds of any steady clock. */
export class Contest {
  readonly #records = new Map<string, Record>();

  /** How long an answer has to wait; 0 where it may be given now. */
  waitMs(name: string, nowMs: number): number {
    const record = this.#current(name, nowMs);
    return record === undefined ? 0 : Math.max(0, record.lastMs + record.delayMs - nowMs);
  }

  /** A disturbance was answered; `repaired` where the Secret had to be put back. */
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
    if (record.disturbed >= FREE) {
      const most = record.repaired >= FREE ? MAX_FIGHT_DELAY_MS : MAX_LOOK_DELAY_MS;
      record.delayMs = Math.min(Math.max(2 * record.delayMs, MIN_DELAY_MS), most);
    }
    this.#records.set(name, record);
  }

  /** Whether someone keeps undoing what we do. */
  isFought(name: string, nowMs: number): boolean {
    return (this.#current(name, nowMs)?.repaired ?? 0) >= FREE;
  }

  /** Milliseconds until `name` is forgotten if nothing more happens; 0 where it is not known. */
  quietInMs(name: string, nowMs: number): number {
    const record = this.#current(name, nowMs);
    return record === undefined ? 0 : record.lastMs + quietMs(record) - nowMs;
  }

  /** Names that are being fought over. */
  fought(nowMs: number): number {
    return [...this.#records.keys()].filter((name) => this.isFought(name, nowMs)).length;
  }

  forget(name: string): void {
    this.#records.delete(name);
  }

  #current(name: string, nowMs: number): Record | undefined {
    const record = this.#records.get(name);
    if (record !== undefined && nowMs - record.lastMs >= quietMs(record)) {
      this.#records.delete(name);
      return undefined;
    }
    return record;
  }
}

function quietMs({ delayMs }: Record): number {
  return Math.max(MIN_QUIET_MS, 2 * delayMs);
}

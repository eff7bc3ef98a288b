// Limits the concurrent work for all clients, and shares it fairly between them.
// SPEC.md, "HTTP".

import type { Caller } from "./caller.ts";
import { Usage } from "./usage.ts";

/** A request that may pass gates many times. */
export interface Ticket extends Caller {
  /** When it arrived. If several may give way, the latest does. */
  readonly since?: number;
  /**
   * How long its turns are expected to take. That counts as already used, so that quick requests
   * come first.
   */
  readonly expectedMs?: number;
  /** Takes it out of the queue. */
  readonly signal?: AbortSignal;
}

/** The queue is full, and the request gave way to others. */
export class GateFull extends Error {}

interface Waiting {
  readonly ticket: Ticket;
  readonly go: (isBusy: boolean) => void;
  readonly refuse: (error: Error) => void;
}

/** The least that a turn counts as, in milliseconds. */
const SHORTEST_TURN_MS = 1;
/** Others count as having work if one of their pieces began this recently. */
const BESIDE_OTHERS_MS = 5_000;

interface GateOptions {
  /**
   * While others have work, busy addresses, which recently used far more than the average, run one
   * piece at a time, and only for this part of the time. By default, all addresses are equal.
   */
  readonly busyShare?: number | undefined;
  /** Addresses that recently used more than this are busy, instead of far more than the average. */
  readonly busyFromMs?: number | undefined;
  /** Work of another gate's addresses that are not busy counts as others' work here, too. */
  readonly beside?: Gate | undefined;
}

/**
 * Runs at most `atOnce` pieces of work concurrently, with at most `waiting` more in a queue. The
 * address that recently used the least time comes first, and among its clients the one that used
 * the least. If the queue is full, whoever has the most in it gives way to whoever has less.
 */
export class Gate {
  #free: number;
  readonly #limit: number;
  readonly #clock: () => number;
  readonly #queue: Waiting[] = [];
  readonly #addresses: Usage;
  readonly #clients: Usage;
  readonly #options: GateOptions;
  /** How many pieces run that were busy addresses' when they began. */
  #ofBusy = 0;
  /** Until then, busy addresses pause. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  /** When a piece of an address that is not busy last began. */
  #othersAtMs = Number.NEGATIVE_INFINITY;

  /** `clock`: milliseconds of a monotonic clock. */
  constructor(atOnce: number, waiting: number, clock: () => number, options: GateOptions = {}) {
    this.#options = options;
    this.#free = atOnce;
    this.#limit = waiting;
    this.#clock = clock;
    this.#addresses = new Usage(clock);
    this.#clients = new Usage(clock);
  }

  /**
   * Runs `work` when its turn comes.
   * @throws GateFull, the reason of the ticket's signal, or what `work` throws
   */
  async run<T>(ticket: Ticket, work: () => Promise<T>): Promise<T> {
    ticket.signal?.throwIfAborted();
    const mayBegin = this.#free > 0 && this.#mayBegin(ticket, this.#busyFrom());
    const isBusy = mayBegin ? this.#begin(ticket) : await this.#turnOf(ticket);
    const startedMs = this.#clock();
    this.#count(ticket, SHORTEST_TURN_MS);
    try {
      return await work();
    } finally {
      const tookMs = this.#clock() - startedMs;
      this.#count(ticket, Math.max(0, tookMs - SHORTEST_TURN_MS));
      if (isBusy) this.#endOfBusy(tookMs);
      this.#free++;
      this.#fill();
    }
  }

  #busyFrom(): number {
    return this.#options.busyFromMs ?? this.#addresses.busyFrom();
  }

  #mayBegin({ address }: Ticket, busyFrom: number): boolean {
    const { busyShare, beside } = this.#options;
    if (busyShare === undefined || this.#addresses.of(address) <= busyFrom) return true;
    const nowMs = this.#clock();
    const elsewhereAtMs = beside === undefined ? Number.NEGATIVE_INFINITY : beside.#othersAtMs;
    if (nowMs - Math.max(this.#othersAtMs, elsewhereAtMs) >= BESIDE_OTHERS_MS) return true;
    return this.#ofBusy === 0 && nowMs >= this.#pausedUntilMs;
  }

  /** Returns whether it counts as work of a busy address. */
  #begin({ address }: Ticket): boolean {
    const isBusy = this.#addresses.of(address) > this.#busyFrom();
    this.#free--;
    if (isBusy) this.#ofBusy++;
    else this.#othersAtMs = this.#clock();
    return isBusy;
  }

  #endOfBusy(tookMs: number): void {
    this.#ofBusy--;
    const pauseMs = tookMs / (this.#options.busyShare ?? 1) - tookMs;
    if (pauseMs <= 0) return;
    this.#pausedUntilMs = this.#clock() + pauseMs;
    this.#fillAfterPause();
  }

  #fillAfterPause(): void {
    const leftMs = this.#pausedUntilMs - this.#clock();
    if (leftMs <= 0) {
      this.#fill();
      return;
    }
    // Looks again, as a timer may fire a little early.
    setTimeout(() => {
      this.#fillAfterPause();
    }, leftMs).unref();
  }

  #fill(): void {
    while (this.#free > 0) {
      const next = this.#takeNext();
      if (next === undefined) return;
      next.go(this.#begin(next.ticket));
    }
  }

  /** Refuses everything that this client has in the queue. */
  refuse({ address, client }: Caller): void {
    for (const each of [...this.#queue]) {
      if (each.ticket.address === address && each.ticket.client === client) this.#drop(each);
    }
  }

  #turnOf(ticket: Ticket): Promise<boolean> {
    return new Promise<boolean>((resolve, reject) => {
      const { signal } = ticket;
      const leave = (): void => {
        this.#remove(waiting);
        reject(signal?.reason as Error);
      };
      const waiting: Waiting = {
        ticket,
        go: (isBusy) => {
          signal?.removeEventListener("abort", leave);
          resolve(isBusy);
        },
        refuse: (error) => {
          signal?.removeEventListener("abort", leave);
          reject(error);
        },
      };
      signal?.addEventListener("abort", leave);
      this.#queue.push(waiting);
      if (this.#queue.length > this.#limit) this.#dropOne();
    });
  }

  /**
   * Drops the latest request of the client with the most waiting requests, at the address with the
   * most.
   */
  #dropOne(): void {
    const queue = [...this.#queue];
    queue.sort((a, b) => (a.ticket.since ?? 0) - (b.ticket.since ?? 0));
    const address = mostFrequent(queue.map(({ ticket }) => ticket.address));
    const ofAddress = queue.filter(({ ticket }) => ticket.address === address);
    const client = mostFrequent(ofAddress.map(({ ticket }) => ticket.client));
    const dropped = ofAddress.findLast(({ ticket }) => ticket.client === client);
    if (dropped !== undefined) this.#drop(dropped);
  }

  #drop(waiting: Waiting): void {
    this.#remove(waiting);
    waiting.refuse(new GateFull());
  }

  #remove(waiting: Waiting): void {
    const at = this.#queue.indexOf(waiting);
    if (at >= 0) this.#queue.splice(at, 1);
  }

  #takeNext(): Waiting | undefined {
    const expected = ({ ticket }: Waiting): number => ticket.expectedMs ?? 0;
    const busyFrom = this.#busyFrom();
    const first = least(
      this.#queue.filter(({ ticket }) => this.#mayBegin(ticket, busyFrom)),
      (each) => this.#addresses.of(each.ticket.address) + expected(each),
    );
    const ofAddress = this.#queue.filter(({ ticket }) => ticket.address === first?.ticket.address);
    const next = least(
      ofAddress,
      (each) => this.#clients.of(clientKey(each.ticket)) + expected(each),
    );
    if (next !== undefined) this.#remove(next);
    return next;
  }

  #count(ticket: Ticket, ms: number): void {
    this.#addresses.add(ticket.address, ms);
    this.#clients.add(clientKey(ticket), ms);
  }
}

function clientKey({ address, client }: Caller): string {
  return `${address} ${client}`;
}

/** The one with the least; the first of several. */
function least(
  queue: readonly Waiting[],
  amountOf: (waiting: Waiting) => number,
): Waiting | undefined {
  let found: { waiting: Waiting; amount: number } | undefined;
  for (const waiting of queue) {
    const amount = amountOf(waiting);
    if (found === undefined || amount < found.amount) found = { waiting, amount };
  }
  return found?.waiting;
}

/** The text that occurs most often; the last of several. */
function mostFrequent(texts: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return [...counts].findLast(([, count]) => count === most)?.[0];
}

// Limits the work that is done at once for all clients, and is fair to them.
// SPEC.md, "HTTP".

/** Who asks. Many clients may share an address, and a client may claim any name. */
export interface Caller {
  readonly address: string;
  readonly client: string;
}

interface Waiting {
  readonly caller: Caller;
  /** `passes`: whether its turn has come; false where it gave way to another. */
  readonly go: (passes: boolean) => void;
}

/**
 * Runs at most `atOnce` pieces of work concurrently, with at most `waiting` more in a queue. Addresses
 * take turns, and so do the clients of an address. Where the queue is full, whoever has the most in it
 * gives way to whoever has less.
 */
export class Gate {
  #free: number;
  readonly #limit: number;
  readonly #queue: Waiting[] = [];
  /** The turn in which an address or a client was served last; only of those that wait. */
  readonly #served = new Map<string, number>();
  #turn = 0;

  constructor(atOnce: number, waiting: number) {
    this.#free = atOnce;
    this.#limit = waiting;
  }

  /** Runs `work` when its turn comes; undefined if the queue is full. */
  async run<T>(caller: Caller, work: () => Promise<T>): Promise<T | undefined> {
    if (this.#free > 0) {
      this.#free--;
    } else {
      const passes = await new Promise<boolean>((go) => {
        this.#queue.push({ caller, go });
        if (this.#queue.length > this.#limit) this.#dropOne();
      });
      if (!passes) return undefined;
    }
    try {
      return await work();
    } finally {
      const next = this.#takeNext();
      if (next === undefined) this.#free++;
      else next.go(true);
    }
  }

  /** Drops the newest of the client that has the most waiting, of the address that has. */
  #dropOne(): void {
    const address = mostFrequent(this.#queue.map(({ caller }) => caller.address));
    const ofAddress = this.#queue.filter(({ caller }) => caller.address === address);
    const client = mostFrequent(ofAddress.map(({ caller }) => caller.client));
    const dropped = ofAddress.findLast(({ caller }) => caller.client === client);
    if (dropped === undefined) return;
    this.#queue.splice(this.#queue.indexOf(dropped), 1);
    dropped.go(false);
  }

  #takeNext(): Waiting | undefined {
    const turnOf = (key: string): number => this.#served.get(key) ?? 0;
    const [first, ...others] = this.#queue;
    if (first === undefined) return undefined;
    let next = first;
    for (const each of others) {
      const byAddress = turnOf(addressKey(each)) - turnOf(addressKey(next));
      const byClient = turnOf(clientKey(each)) - turnOf(clientKey(next));
      if (byAddress < 0 || (byAddress === 0 && byClient < 0)) next = each;
    }
    this.#queue.splice(this.#queue.indexOf(next), 1);
    this.#served.set(addressKey(next), ++this.#turn);
    this.#served.set(clientKey(next), this.#turn);
    const waiting = new Set(this.#queue.flatMap((each) => [addressKey(each), clientKey(each)]));
    for (const key of this.#served.keys()) if (!waiting.has(key)) this.#served.delete(key);
    return next;
  }
}

function addressKey({ caller }: Waiting): string {
  return caller.address;
}

function clientKey({ caller }: Waiting): string {
  return `${caller.address} ${caller.client}`;
}

/** The text that occurs most often; of several, the one that came last. */
function mostFrequent(texts: readonly string[]): string | undefined {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return [...counts].findLast(([, count]) => count === most)?.[0];
}

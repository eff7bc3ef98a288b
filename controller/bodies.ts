// Reads the bodies of requests, and limits the memory that they use: each body, each address, and
// all together.
// SPEC.md, "HTTP".

import type { IncomingMessage } from "node:http";
import type { Caller } from "./caller.ts";
import { GrowingBytes } from "./growingbytes.ts";

interface Pool {
  readonly perAddress: number;
  readonly total: number;
}

export interface BodyLimits {
  readonly perBody: number;
  /**
   * Bodies of at most `small` bytes have a separate memory limit, so that large ones cannot crowd
   * them out.
   */
  readonly small: number;
  readonly pools: { readonly small: Pool; readonly large: Pool };
}

export class BodyTooLarge extends Error {}
/** The memory for bodies is used up, by this client, by its address or by all. */
export class TooManyBodies extends Error {}
/** The client went away, or did not send its body in time. */
export class BodyCutOff extends Error {}

/** While a body is parsed and answered, up to this many copies of it exist. */
const COPIES = 3;

class Held {
  readonly caller: Caller;
  readonly #giveUp = new AbortController();
  /** Room for what has arrived. */
  room = 0;
  isArriving = true;

  constructor(caller: Caller) {
    this.caller = caller;
  }

  get bytes(): number {
    return this.isArriving ? this.room : this.room * COPIES;
  }

  get signal(): AbortSignal {
    return this.#giveUp.signal;
  }

  giveUp(error: Error): void {
    this.#giveUp.abort(error);
  }
}

export class Bodies {
  readonly #limits: BodyLimits;
  /** The oldest body comes first. */
  readonly #held = new Set<Held>();

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /**
   * Reads a body and passes it to `use`, in a buffer of its own; its bytes count until that has
   * ended. `onBytes` is called with the number of bytes that have arrived whenever there are more.
   * `signal` aborts, with one of the errors below, if the client goes away or the body has to give
   * way; `use` must then end soon.
   *
   * Above a limit, one body gives way: it belongs to the address that holds the most, or that is
   * above its own limit, and there to the client that holds the most. Among its bodies, it is the
   * oldest that is still arriving, or else the newest. So a client that holds less than others is
   * not refused because of them, and bodies that never end or wait for a long time do not block
   * others.
   * @throws BodyTooLarge, TooManyBodies, BodyCutOff, or what `use` throws
   */
  async hold<T>(
    request: IncomingMessage,
    caller: Caller,
    onBytes: (length: number) => void,
    use: (body: Uint8Array<ArrayBuffer>, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (Number(request.headers["content-length"] ?? 0) > this.#limits.perBody) {
      throw new BodyTooLarge();
    }
    const held = new Held(caller);
    const cutOff = (): void => {
      held.giveUp(new BodyCutOff());
    };
    // The request emits `close` once its body has arrived, even if the client is still connected.
    request.socket.once("close", cutOff);
    this.#held.add(held);
    try {
      const body = await this.#read(request, held, onBytes);
      held.isArriving = false;
      this.#grow(held, body.length);
      return await use(body, held.signal);
    } finally {
      request.socket.off("close", cutOff);
      this.#held.delete(held);
    }
  }

  #read(
    request: IncomingMessage,
    held: Held,
    onBytes: (length: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    let bytes = new GrowingBytes();
    const onData = (chunk: Uint8Array): void => {
      const needed = bytes.length + chunk.length;
      if (needed > this.#limits.perBody) throw new BodyTooLarge();
      const room = GrowingBytes.roomFor(needed);
      if (room > held.room) this.#grow(held, room);
      bytes.add(chunk);
      onBytes(needed);
    };
    return new Promise((resolve, reject) => {
      const stop = (error: Error): void => {
        request.removeAllListeners("data");
        request.pause();
        bytes = new GrowingBytes();
        reject(error);
      };
      const { signal } = held;
      const giveUp = (): void => {
        stop(signal.reason as Error);
      };
      signal.addEventListener("abort", giveUp);
      request.on("data", (chunk: Uint8Array) => {
        try {
          onData(chunk);
        } catch (error) {
          stop(error as Error);
        }
      });
      request.once("end", () => {
        signal.removeEventListener("abort", giveUp);
        resolve(bytes.take());
      });
      request.once("error", () => {
        stop(new BodyCutOff());
      });
      request.once("close", () => {
        if (!request.complete) stop(new BodyCutOff());
      });
    });
  }

  /** @throws TooManyBodies if `held` itself must give way */
  #grow(held: Held, room: number): void {
    held.room = room;
    for (;;) {
      const victim = this.#victimFor(held);
      if (victim === undefined) return;
      this.#held.delete(victim);
      if (victim === held) throw new TooManyBodies();
      victim.giveUp(new TooManyBodies());
    }
  }

  /** The body that must give way; undefined if there is room for all. */
  #victimFor(growing: Held): Held | undefined {
    const { small, pools } = this.#limits;
    const isSmall = (held: Held): boolean => held.room <= small;
    const pool = isSmall(growing) ? pools.small : pools.large;
    const bodies = [...this.#held].filter((each) => isSmall(each) === isSmall(growing));
    const addresses = sums(bodies, ({ address }) => address);
    const isAbove = (addresses.get(growing.caller.address) ?? 0) > pool.perAddress;
    const all = [...addresses.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (!isAbove && all <= pool.total) return undefined;
    const address = isAbove ? growing.caller.address : largest(addresses);
    const ofAddress = bodies.filter(({ caller }) => caller.address === address);
    const client = largest(sums(ofAddress, (caller) => caller.client));
    const ofClient = ofAddress.filter(({ caller }) => caller.client === client);
    // A body that has not started holds nothing.
    const holding = ofClient.filter(({ room }) => room > 0);
    return holding.find(({ isArriving }) => isArriving) ?? holding.at(-1);
  }
}

function sums(bodies: readonly Held[], nameOf: (caller: Caller) => string): Map<string, number> {
  const found = new Map<string, number>();
  for (const { caller, bytes } of bodies) {
    const name = nameOf(caller);
    found.set(name, (found.get(name) ?? 0) + bytes);
  }
  return found;
}

/** The name with the largest amount; the first of several. */
function largest(amounts: ReadonlyMap<string, number>): string | undefined {
  let found: string | undefined;
  let most = 0;
  for (const [name, amount] of amounts) if (amount > most) [found, most] = [name, amount];
  return found;
}

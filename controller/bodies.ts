// Reads the bodies of requests, and limits the memory that they use: each, of an address, and in all.
// SPEC.md, "HTTP".

import type { IncomingMessage } from "node:http";

export interface BodyLimits {
  readonly perBody: number;
  readonly perAddress: number;
  readonly total: number;
}

export class BodyTooLarge extends Error {}
/** The memory for bodies is used up, by this address or by all. */
export class TooManyBodies extends Error {}
/** The client went away, or did not send its body in time. */
export class BodyCutOff extends Error {}

/** Bytes that a body gets at first. A body gets twice as many each time that they do not suffice. */
const FIRST_BYTES = 4096;

interface Held {
  readonly address: string;
  bytes: number;
  /** Ends the reading of a body; null once the body has arrived. */
  giveUp: ((error: Error) => void) | null;
}

export class Bodies {
  readonly #limits: BodyLimits;
  /** The oldest body comes first. */
  readonly #held = new Set<Held>();

  constructor(limits: BodyLimits) {
    this.#limits = limits;
  }

  /**
   * Reads a body and passes it to `use`; its bytes count until that has ended. `onBytes` is told how
   * many bytes have arrived, whenever more have.
   *
   * Above a limit, the oldest body that is still arriving is given up: of the address, or in all of
   * the address that holds the most. So bodies that never end cannot keep others out.
   * @throws BodyTooLarge, TooManyBodies, BodyCutOff, or what `use` throws
   */
  async hold<T>(
    request: IncomingMessage,
    address: string,
    onBytes: (length: number) => void,
    use: (body: Uint8Array) => Promise<T>,
  ): Promise<T> {
    if (Number(request.headers["content-length"] ?? 0) > this.#limits.perBody) {
      throw new BodyTooLarge();
    }
    const held: Held = { address, bytes: 0, giveUp: null };
    this.#held.add(held);
    try {
      const body = await this.#read(request, held, onBytes);
      held.giveUp = null;
      return await use(body);
    } finally {
      this.#held.delete(held);
    }
  }

  #read(
    request: IncomingMessage,
    held: Held,
    onBytes: (length: number) => void,
  ): Promise<Uint8Array> {
    // Copied: a chunk of one byte would keep the whole buffer that it was received in.
    let buffer = new Uint8Array(0);
    let length = 0;
    const onData = (chunk: Uint8Array): void => {
      const needed = length + chunk.length;
      if (needed > this.#limits.perBody) throw new BodyTooLarge();
      if (needed > buffer.length) {
        const size = Math.max(FIRST_BYTES, 2 ** Math.ceil(Math.log2(needed)));
        this.#grow(held, size);
        const larger = new Uint8Array(size);
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(chunk, length);
      length = needed;
      onBytes(length);
    };
    return new Promise<Uint8Array>((resolve, reject) => {
      const stop = (error: Error): void => {
        request.removeAllListeners("data");
        request.pause();
        buffer = new Uint8Array(0);
        reject(error);
      };
      held.giveUp = stop;
      request.on("data", (chunk: Uint8Array) => {
        try {
          onData(chunk);
        } catch (error) {
          stop(error as Error);
        }
      });
      request.once("end", () => {
        resolve(buffer.slice(0, length));
      });
      request.once("error", () => {
        stop(new BodyCutOff());
      });
      request.once("close", () => {
        if (!request.complete) stop(new BodyCutOff());
      });
    });
  }

  /** @throws TooManyBodies if `held` itself must give way, or nothing else can */
  #grow(held: Held, bytes: number): void {
    held.bytes = bytes;
    const { perAddress, total } = this.#limits;
    while (this.#bytesOf(held.address) > perAddress) this.#giveUpOneOf(held.address, held);
    for (;;) {
      const sums = new Map<string, number>();
      let all = 0;
      for (const each of this.#held) {
        sums.set(each.address, (sums.get(each.address) ?? 0) + each.bytes);
        all += each.bytes;
      }
      if (all <= total) return;
      const [largest] = [...sums].sort(([, a], [, b]) => b - a);
      this.#giveUpOneOf(largest?.[0] ?? held.address, held);
    }
  }

  #bytesOf(address: string): number {
    let sum = 0;
    for (const each of this.#held) if (each.address === address) sum += each.bytes;
    return sum;
  }

  #giveUpOneOf(address: string, growing: Held): void {
    for (const each of this.#held) {
      // One that has not begun holds nothing.
      if (each.address !== address || each.giveUp === null || each.bytes === 0) continue;
      if (each === growing) break;
      this.#held.delete(each);
      each.giveUp(new TooManyBodies());
      return;
    }
    throw new TooManyBodies();
  }
}

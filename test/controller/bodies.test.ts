// The memory that bodies of requests may use.
// SPEC.md, "HTTP".
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  Bodies,
  BodyCutOff,
  type BodyLimits,
  BodyTooLarge,
  TooManyBodies,
} from "../../controller/bodies.ts";

const KIB = 1024;
const LIMITS: BodyLimits = {
  perBody: 64 * KIB,
  small: 4 * KIB,
  pools: {
    small: { perAddress: 8 * KIB, total: 16 * KIB },
    large: { perAddress: 128 * KIB, total: 192 * KIB },
  },
};
/** Room for two bodies that have arrived, which count three times. */
const WIDE: BodyLimits = {
  ...LIMITS,
  pools: { ...LIMITS.pools, large: { perAddress: 384 * KIB, total: 384 * KIB } },
};

class Upload extends PassThrough {
  readonly headers: Record<string, string> = {};
  readonly socket = new EventEmitter();
  complete = false;

  /** Sends `bytes`, and waits until they were read. */
  async send(bytes: number): Promise<void> {
    await new Promise((resolve) => this.write(Buffer.alloc(bytes, "x"), resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }

  finish(): void {
    this.complete = true;
    this.end();
  }
}

function begin(bodies: Bodies, address: string, client = "") {
  const upload = new Upload();
  let charged = 0;
  let outcome: unknown = "arriving";
  let use = (): void => undefined;
  const used = new Promise<void>((resolve) => {
    use = resolve;
  });
  const ended = bodies
    .hold(
      upload as unknown as IncomingMessage,
      { address, client },
      (length) => {
        charged = length;
      },
      async (body, signal) => {
        outcome = body.length;
        const cut = new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reject(signal.reason as Error);
          });
        });
        await Promise.race([used, cut]);
      },
    )
    .catch((error: unknown) => {
      outcome = (error as object).constructor;
    });
  return { upload, charged: () => charged, outcome: () => outcome, use, ended };
}

type Begun = ReturnType<typeof begin>;

describe("a body", () => {
  it("arrives as it was sent, in pieces of any size, and its bytes are told", async () => {
    const bodies = new Bodies(LIMITS);
    const upload = new Upload();
    const seen: number[] = [];
    const text = "0123456789".repeat(1000);
    const held = bodies.hold(
      upload as unknown as IncomingMessage,
      { address: "a", client: "" },
      (length) => seen.push(length),
      (body) => Promise.resolve([Buffer.from(body).toString(), body.buffer.byteLength]),
    );
    for (let at = 0; at < text.length; at += 7) upload.write(text.slice(at, at + 7));
    upload.finish();
    expect(await held).toEqual([text, text.length]);
    expect(seen.at(-1)).toBe(text.length);
  });

  it("of too many bytes is refused, by what it says and by what it is", async () => {
    const bodies = new Bodies(LIMITS);
    const large = begin(bodies, "a");
    await large.upload.send(64 * KIB);
    expect(large.outcome()).toBe("arriving");
    await large.upload.send(1);
    await large.ended;
    expect(large.outcome()).toBe(BodyTooLarge);
    const upload = new Upload();
    upload.headers["content-length"] = String(64 * KIB + 1);
    const held = bodies.hold(
      upload as unknown as IncomingMessage,
      { address: "a", client: "" },
      () => undefined,
      () => Promise.resolve(),
    );
    await expect(held).rejects.toThrow(BodyTooLarge);
  });

  it("that breaks off is an end", async () => {
    const { upload, outcome, ended } = begin(new Bodies(LIMITS), "a");
    await upload.send(10);
    upload.destroy();
    await ended;
    expect(outcome()).toBe(BodyCutOff);
  });
});

describe("above the limit", () => {
  it("of an address, the oldest that is still arriving gives way", async () => {
    const bodies = new Bodies(LIMITS);
    const slow = [begin(bodies, "a"), begin(bodies, "a")];
    for (const { upload } of slow) await upload.send(64 * KIB);
    const other = begin(bodies, "b");
    await other.upload.send(64 * KIB);
    const honest = begin(bodies, "a");
    await honest.upload.send(8 * KIB);
    honest.upload.finish();
    await slow[0]?.ended;
    expect([...slow, other].map(({ outcome }) => outcome())).toEqual([
      TooManyBodies,
      "arriving",
      "arriving",
    ]);
    honest.use();
    await honest.ended;
    expect(honest.outcome()).toBe(8 * KIB);
  });

  it("in all, one of the address that holds the most gives way", async () => {
    const bodies = new Bodies(LIMITS);
    const modest = begin(bodies, "b");
    await modest.upload.send(32 * KIB);
    const greedy = [begin(bodies, "a"), begin(bodies, "a")];
    for (const { upload } of greedy) await upload.send(64 * KIB);
    const third = begin(bodies, "c");
    await third.upload.send(64 * KIB);
    expect(modest.outcome()).toBe("arriving");
    expect(greedy[0]?.outcome()).toBe(TooManyBodies);
    expect(third.outcome()).toBe("arriving");
  });

  /** Two large bodies of one client that have arrived, and fill the address's memory. */
  async function filled(): Promise<{ bodies: Bodies; first: Begun; second: Begun }> {
    const bodies = new Bodies(WIDE);
    const [first, second] = [begin(bodies, "a", "greedy"), begin(bodies, "a", "greedy")];
    for (const { upload } of [first, second]) {
      await upload.send(64 * KIB);
      upload.finish();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([first.outcome(), second.outcome()]).toEqual([64 * KIB, 64 * KIB]);
    return { bodies, first, second };
  }

  it("a client's next body is refused, while its others wait", async () => {
    const { bodies, first, second } = await filled();
    const late = begin(bodies, "a", "greedy");
    await late.upload.send(8 * KIB);
    await late.ended;
    expect(late.outcome()).toBe(TooManyBodies);
    for (const { use } of [first, second]) use();
    await Promise.all([first, second].map(({ ended }) => ended));
    const next = begin(bodies, "a", "greedy");
    await next.upload.send(8 * KIB);
    expect([next.outcome(), next.charged()]).toEqual(["arriving", 8 * KIB]);
  });

  it.each([
    ["a", "modest"],
    ["b", ""],
  ])("bodies that wait give way to those of address %s, client %j", async (address, client) => {
    const { bodies, first, second } = await filled();
    const honest = begin(bodies, address, client);
    await honest.upload.send(8 * KIB);
    await second.ended;
    expect([honest, first, second].map(({ outcome }) => outcome())).toEqual([
      "arriving",
      64 * KIB,
      TooManyBodies,
    ]);
  });

  it("small bodies have memory of their own", async () => {
    const { bodies, first, second } = await filled();
    const small = begin(bodies, "a", "greedy");
    await small.upload.send(1 * KIB);
    small.upload.finish();
    await new Promise((resolve) => setImmediate(resolve));
    expect([small, first, second].map(({ outcome }) => outcome())).toEqual([
      1 * KIB,
      64 * KIB,
      64 * KIB,
    ]);
  });

  it("ends the use of a body whose client goes away", async () => {
    const { first } = await filled();
    first.upload.socket.emit("close");
    await first.ended;
    expect(first.outcome()).toBe(BodyCutOff);
  });
});

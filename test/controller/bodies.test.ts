// The memory that bodies of requests may use.
// SPEC.md, "HTTP".
import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { Bodies, BodyCutOff, BodyTooLarge, TooManyBodies } from "../../controller/bodies.ts";

const KIB = 1024;
const LIMITS = { perBody: 64 * KIB, perAddress: 128 * KIB, total: 192 * KIB };

class Upload extends PassThrough {
  readonly headers: Record<string, string> = {};
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

function begin(bodies: Bodies, address: string) {
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
      address,
      (length) => {
        charged = length;
      },
      async (body) => {
        outcome = body.length;
        await used;
      },
    )
    .catch((error: unknown) => {
      outcome = (error as object).constructor;
    });
  return { upload, charged: () => charged, outcome: () => outcome, use, ended };
}

describe("a body", () => {
  it("arrives as it was sent, in pieces of any size, and its bytes are told", async () => {
    const bodies = new Bodies(LIMITS);
    const upload = new Upload();
    const seen: number[] = [];
    const text = "0123456789".repeat(1000);
    const held = bodies.hold(
      upload as unknown as IncomingMessage,
      "a",
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
      "a",
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
    await honest.upload.send(10);
    honest.upload.finish();
    await slow[0]?.ended;
    expect([...slow, other].map(({ outcome }) => outcome())).toEqual([
      TooManyBodies,
      "arriving",
      "arriving",
    ]);
    honest.use();
    await honest.ended;
    expect(honest.outcome()).toBe(10);
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

  it("a body that is in use stays, and a new one is refused", async () => {
    const bodies = new Bodies(LIMITS);
    const inUse = [begin(bodies, "a"), begin(bodies, "a")];
    for (const { upload } of inUse) {
      await upload.send(64 * KIB);
      upload.finish();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const late = begin(bodies, "a");
    await late.upload.send(1);
    await late.ended;
    expect(late.outcome()).toBe(TooManyBodies);
    for (const { use } of inUse) use();
    await Promise.all(inUse.map(({ ended }) => ended));
    const next = begin(bodies, "a");
    await next.upload.send(1);
    expect([next.outcome(), next.charged()]).toEqual(["arriving", 1]);
  });
});

// Bytes that arrive in parts: all of them, in order, whatever the parts are.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GrowingBytes } from "../../controller/growingbytes.ts";

const SIZES = [0, 1, 3, 4095, 4096, 4097, 32_767, 32_768, 65_536, 70_000];

describe("growing bytes", () => {
  it("are what was added, in order, and take no more room than they say", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...SIZES), { maxLength: 12 }), (sizes) => {
        const bytes = new GrowingBytes();
        const parts = sizes.map((size, index) => Buffer.alloc(size, index + 1));
        for (const part of parts) bytes.add(part);
        const all = Buffer.concat(parts);
        expect(bytes.length).toBe(all.length);
        expect(GrowingBytes.roomFor(all.length)).toBeGreaterThanOrEqual(all.length);
        const taken = bytes.take();
        expect(all.equals(taken)).toBe(true);
        expect(taken.buffer.byteLength).toBe(all.length);
        expect([bytes.length, bytes.take().length]).toEqual([0, 0]);
      }),
    );
  });

  it("keep no large buffer for a small part of it", () => {
    const large = Buffer.alloc(1024 * 1024, 1);
    const bytes = new GrowingBytes();
    bytes.add(large.subarray(0, 40_000));
    // A part that was kept as it is would change with its buffer.
    large.fill(2);
    expect(bytes.take().every((byte) => byte === 1)).toBe(true);
  });
});

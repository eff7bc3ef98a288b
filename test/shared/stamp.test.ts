// Proofs that a stamp says which key each value is under, and that a bad one says nothing.
// SPEC.md, "Stamps".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatStamp, parseStamp } from "../../shared/sealing/stamp.ts";

const A = `SHA256:${"a".repeat(43)}`;
const B = `SHA256:${"b".repeat(43)}`;
const C = `SHA256:${"c".repeat(43)}`;

const item = fc.stringMatching(/^[-._a-zA-Z0-9]{1,12}$/);
const fingerprint = fc.stringMatching(/^SHA256:[A-Za-z0-9+/]{43}$/);

describe("a stamp", () => {
  test("names the key that most values share once, and no value under it", () => {
    expect(formatStamp(new Map([["x", A]]))).toBe(A);
    expect(
      formatStamp(
        new Map([
          ["z", B],
          ["x", A],
          ["y", A],
          ["b", C],
        ]),
      ),
    ).toBe(`${A}; b=${C}; z=${B}`);
  });

  test("does not change when a value is added under the shared key", () => {
    const before = new Map([
      ["x", A],
      ["y", A],
      ["z", B],
    ]);
    expect(formatStamp(new Map([...before, ["more", A]]))).toBe(formatStamp(before));
  });

  test("does not hang on the order of the values", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(item, fingerprint)), (entries) => {
        const stamp = new Map(entries);
        const turned = new Map([...stamp].reverse());
        expect(formatStamp(turned)).toBe(formatStamp(stamp));
      }),
    );
    // Equally many under two keys: the lower fingerprint is the shared one.
    expect(
      formatStamp(
        new Map([
          ["x", B],
          ["y", A],
        ]),
      ),
    ).toBe(`${A}; x=${B}`);
  });

  test("reads back as it was written", () => {
    const stamps = fc.array(fc.tuple(item, fc.oneof(fc.constantFrom(A, B, C), fingerprint)));
    fc.assert(
      fc.property(stamps, (entries) => {
        const stamp = new Map(entries);
        expect(new Map(parseStamp(formatStamp(stamp), stamp.keys()))).toEqual(stamp);
      }),
    );
  });

  test.each([
    [undefined, {}],
    ["", {}],
    ["nonsense", {}],
    [A.slice(0, -1), {}],
    [`md5:${A}`, {}],
    [A, { x: A, y: A }],
    [` ${A} ;;`, { x: A, y: A }],
    [`${A}; x=nonsense`, { y: A }],
    [`nonsense; x=${B}`, { x: B }],
    [`${A};x=${B};z=${C}`, { x: B, y: A }],
    [`${A}; =${B}`, { x: A, y: A }],
    [`${A}; __proto__=${B}`, { x: A, y: A }],
  ])("%j is taken for %j", (text, expected) => {
    expect(Object.fromEntries(parseStamp(text, ["x", "y"]))).toEqual(expected);
  });

  test("of any text says nothing but fingerprints of the values asked for", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), (text) => {
        for (const [name, said] of parseStamp(text, ["x", "__proto__"])) {
          expect(["x", "__proto__"]).toContain(name);
          expect(said).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
        }
      }),
    );
  });
});

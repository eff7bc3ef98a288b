// Proofs about SealedSecrets as values: what is taken and refused, and merging.
// SPEC.md, "SealedSecrets".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SignetError } from "../../shared/errors.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { seal } from "../../shared/sealing/seal.ts";
import {
  formatSealedSecret,
  merge,
  parseSealedSecret,
  type SealedSecret,
  stampOf,
} from "../../shared/sealing/sealedsecret.ts";
import { SEALED_FOR_ANNOTATION, STAMP_ANNOTATION } from "../../shared/sealing/stamp.ts";
import { openValues, unseal } from "../../shared/sealing/unseal.ts";
import { errorOf, keyringOf } from "../vectors/fixtures.ts";
import {
  bytes,
  first,
  FIRST,
  legacySealed,
  named,
  render,
  second,
  SECOND,
  SECRET,
  throughText,
  withData,
} from "./samples.ts";

describe("merging", () => {
  test("adds and replaces values, labels, annotations and templates, and nothing else", async () => {
    const target = await seal(withData({ a: "1", b: "2" }), first.certificate);
    const update = await seal(
      {
        ...withData({ b: "3", c: "4" }),
        type: "other",
        immutable: false,
        metadata: {
          ...SECRET.metadata,
          labels: { added: "l" },
          annotations: { note: "new", added: "a" },
          rest: {},
        },
      },
      second.certificate,
    );
    const merged = merge(target, update);
    const { secret } = await unseal(throughText(merged), keyringOf(["first", "second"]), {
      render,
    });
    expect(Object.fromEntries(secret.data)).toEqual({
      a: bytes("1"),
      b: bytes("3"),
      c: bytes("4"),
    });
    expect(secret.type).toBe("Opaque");
    expect(secret.immutable).toBe(true);
    expect(secret.metadata.labels).toEqual({ app: "db", added: "l" });
    expect(secret.metadata.annotations).toEqual({ note: "new", added: "a" });
    expect(secret.metadata.rest).toEqual({ finalizers: ["a.example/hold"] });
    expect(merged.encryptedData.get("a")).toBe(target.encryptedData.get("a"));
    expect(Object.fromEntries(stampOf(merged))).toEqual({ a: FIRST, b: SECOND, c: SECOND });
  });

  test("is refused for another name, namespace or scope", async () => {
    const target = await seal(SECRET, first.certificate);
    for (const other of [
      await seal(named("demo", "else"), first.certificate),
      await seal(named("other", "db"), first.certificate),
      await seal(SECRET, first.certificate, "namespace-wide"),
      await seal(SECRET, first.certificate, "cluster-wide"),
    ]) {
      const error = await errorOf(() => merge(target, other));
      expect(error.code).toBe("secret-invalid");
      expect(error.message).toContain("strict demo/db");
    }
  });

  test("between names is allowed where the scope binds to none", async () => {
    for (const scope of ["namespace-wide", "cluster-wide"] as const) {
      const target = await seal(withData({ a: "1" }), first.certificate, scope);
      const update = await seal(
        named("demo", "else", withData({ b: "2" })),
        first.certificate,
        scope,
      );
      const merged = merge(target, update);
      expect(merged.metadata.name).toBe("db");
      const { values } = await openValues(merged, keyringOf(["first"]));
      expect([...values.keys()]).toEqual(["a", "b"]);
    }
  });

  test("claims no key for values whose key is not known", async () => {
    const target = await seal(withData({ a: "1", b: "2" }), first.certificate);
    const unstamped = (sealed: SealedSecret): SealedSecret => ({
      ...sealed,
      metadata: { ...sealed.metadata, annotations: {} },
    });
    const update = unstamped(await seal(withData({ b: "3" }), second.certificate));
    // The old stamp says that b is under the first key, which is no longer so.
    expect(merge(target, update).metadata.annotations).toEqual({
      [SEALED_FOR_ANNOTATION]: "strict demo/db",
      [STAMP_ANNOTATION]: `; a=${FIRST}`,
    });
    expect(merge(unstamped(target), target).metadata.annotations).toEqual({
      [STAMP_ANNOTATION]: FIRST,
    });
  });

  test("is refused for the legacy form, which would be left half in each", async () => {
    const target = await seal(SECRET, first.certificate);
    const legacy = await legacySealed("{}");
    for (const [into, from] of [
      [legacy, target],
      [target, legacy],
    ] as const) {
      expect((await errorOf(() => merge(into, from))).code).toBe("sealedsecret-invalid");
    }
  });
});

describe("any object", () => {
  const text = fc.oneof(fc.base64String(), fc.string());
  const nearly = fc.record(
    {
      apiVersion: fc.oneof(fc.constant("bitnami.com/v1alpha1"), fc.jsonValue()),
      kind: fc.oneof(fc.constant("SealedSecret"), fc.jsonValue()),
      metadata: fc.oneof(
        fc.record(
          {
            name: fc.constantFrom("db", "", "../x"),
            namespace: fc.constantFrom("demo", ""),
            annotations: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
          },
          { requiredKeys: [] },
        ),
        fc.jsonValue(),
      ),
      spec: fc.oneof(
        fc.record(
          {
            encryptedData: fc.oneof(fc.dictionary(fc.constantFrom("a", "b", "c d"), text)),
            data: fc.oneof(text, fc.jsonValue()),
            template: fc.oneof(
              fc.record(
                {
                  data: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
                  metadata: fc.jsonValue(),
                  type: fc.jsonValue(),
                  immutable: fc.jsonValue(),
                },
                { requiredKeys: [] },
              ),
              fc.jsonValue(),
            ),
          },
          { requiredKeys: [] },
        ),
        fc.jsonValue(),
      ),
    },
    { requiredKeys: [] },
  );

  test("is a SealedSecret or a SignetError, and unseals or is a SignetError", async () => {
    const keyring = keyringOf(["first"]);
    await fc.assert(
      fc.asyncProperty(nearly, async (value) => {
        try {
          const sealed = parseSealedSecret(value as { [key: string]: Json });
          formatSealedSecret(sealed);
          await unseal(sealed, keyring, { render });
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("that is taken reads back as it was written", () => {
    let taken = 0;
    fc.assert(
      fc.property(nearly, (value) => {
        let sealed: SealedSecret;
        try {
          sealed = parseSealedSecret(value as { [key: string]: Json });
        } catch {
          return;
        }
        taken++;
        expect(throughText(sealed)).toEqual(sealed);
      }),
      { numRuns: 1000 },
    );
    expect(taken).toBeGreaterThan(10);
  });
});

// Proofs that scopes, their annotations and their labels belong together.
// SPEC.md, "Scopes".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  labelBytes,
  scopeAnnotations,
  scopeOf,
  SCOPES,
  withScope,
} from "../../shared/sealing/scope.ts";

const NAMESPACE_WIDE = "sealedsecrets.bitnami.com/namespace-wide";
const CLUSTER_WIDE = "sealedsecrets.bitnami.com/cluster-wide";
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("annotations", () => {
  test.each([
    [{}, "strict"],
    [{ other: "true" }, "strict"],
    [{ [NAMESPACE_WIDE]: "true" }, "namespace-wide"],
    [{ [CLUSTER_WIDE]: "true" }, "cluster-wide"],
    [{ [CLUSTER_WIDE]: "true", [NAMESPACE_WIDE]: "true" }, "cluster-wide"],
    [{ [CLUSTER_WIDE]: "false", [NAMESPACE_WIDE]: "true" }, "namespace-wide"],
    [{ [CLUSTER_WIDE]: "True" }, "strict"],
    [{ [CLUSTER_WIDE]: " true" }, "strict"],
    [{ [NAMESPACE_WIDE]: "1" }, "strict"],
    [{ [NAMESPACE_WIDE]: "" }, "strict"],
  ])("%j ask for %s", (annotations, scope) => {
    expect(scopeOf(annotations as Record<string, string>)).toBe(scope);
  });

  test.each(SCOPES)("those for %s ask for it, whatever was there before", (scope) => {
    expect(scopeOf(scopeAnnotations(scope))).toBe(scope);
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.oneof(fc.constantFrom(CLUSTER_WIDE, NAMESPACE_WIDE), fc.string()),
          fc.oneof(fc.constant("true"), fc.string()),
        ),
        (before) => {
          const after = withScope(before, scope);
          expect(scopeOf(after)).toBe(scope);
          for (const [name, value] of Object.entries(before)) {
            const ours = name === CLUSTER_WIDE || name === NAMESPACE_WIDE;
            if (!ours) expect(Object.getOwnPropertyDescriptor(after, name)?.value).toBe(value);
          }
        },
      ),
    );
  });
});

describe("labels", () => {
  test("say the namespace and the name, the namespace, or nothing", () => {
    expect(text(labelBytes("strict", "demo", "db"))).toBe("demo/db");
    expect(text(labelBytes("namespace-wide", "demo", "db"))).toBe("demo");
    expect(labelBytes("cluster-wide", "demo", "db")).toHaveLength(0);
  });

  test("differ for any two places that a scope keeps apart", () => {
    const name = fc.stringMatching(/^[a-z0-9][-a-z0-9]{0,5}$/);
    fc.assert(
      fc.property(name, name, name, name, (namespaceA, nameA, namespaceB, nameB) => {
        const strict = text(labelBytes("strict", namespaceA, nameA));
        const same = namespaceA === namespaceB && nameA === nameB;
        expect(strict === text(labelBytes("strict", namespaceB, nameB))).toBe(same);
        expect(strict).not.toBe(text(labelBytes("namespace-wide", namespaceB, nameB)));
      }),
    );
  });
});

// Proofs that scopes, their annotations and their labels belong together.
// SPEC.md, "Scopes".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CLUSTER_WIDE_ANNOTATION,
  labelBytes,
  NAMESPACE_WIDE_ANNOTATION,
  scopeAnnotations,
  scopeOf,
  SCOPES,
  withScope,
} from "../../shared/sealing/scope.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("annotations", () => {
  test.each([
    [{}, "strict"],
    [{ other: "true" }, "strict"],
    [{ [NAMESPACE_WIDE_ANNOTATION]: "true" }, "namespace-wide"],
    [{ [CLUSTER_WIDE_ANNOTATION]: "true" }, "cluster-wide"],
    [{ [CLUSTER_WIDE_ANNOTATION]: "true", [NAMESPACE_WIDE_ANNOTATION]: "true" }, "cluster-wide"],
    [{ [CLUSTER_WIDE_ANNOTATION]: "false", [NAMESPACE_WIDE_ANNOTATION]: "true" }, "namespace-wide"],
    [{ [CLUSTER_WIDE_ANNOTATION]: "True" }, "strict"],
    [{ [CLUSTER_WIDE_ANNOTATION]: " true" }, "strict"],
    [{ [NAMESPACE_WIDE_ANNOTATION]: "1" }, "strict"],
    [{ [NAMESPACE_WIDE_ANNOTATION]: "" }, "strict"],
  ])("%j ask for %s", (annotations, scope) => {
    expect(scopeOf(annotations as Record<string, string>)).toBe(scope);
  });

  test.each(SCOPES)("those for %s ask for it, whatever was there before", (scope) => {
    expect(scopeOf(scopeAnnotations(scope))).toBe(scope);
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.oneof(
            fc.constantFrom(CLUSTER_WIDE_ANNOTATION, NAMESPACE_WIDE_ANNOTATION),
            fc.string(),
          ),
          fc.oneof(fc.constant("true"), fc.string()),
        ),
        (before) => {
          const after = withScope(before, scope);
          expect(scopeOf(after)).toBe(scope);
          for (const [name, value] of Object.entries(before)) {
            const ours = name === CLUSTER_WIDE_ANNOTATION || name === NAMESPACE_WIDE_ANNOTATION;
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

// Proofs that scopes, their annotations and their labels belong together.
// SPEC.md, "Scopes".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bindsNamespace,
  labelBytes,
  SCOPE_NAMES,
  scopeAnnotations,
  scopeFault,
  scopeOf,
  SCOPES,
  SELECTOR_ANNOTATION,
  selectorIn,
  selectorScope,
  withScope,
} from "../../shared/sealing/scope.ts";

const NAMESPACE_WIDE = "sealedsecrets.bitnami.com/namespace-wide";
const CLUSTER_WIDE = "sealedsecrets.bitnami.com/cluster-wide";
const OURS = [CLUSTER_WIDE, NAMESPACE_WIDE, SELECTOR_ANNOTATION];
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
    [{ [SELECTOR_ANNOTATION]: "team=a" }, "selector team=a"],
    [{ [SELECTOR_ANNOTATION]: "" }, "selector "],
    [{ [SELECTOR_ANNOTATION]: "team=a", [NAMESPACE_WIDE]: "true" }, "selector team=a"],
    [{ [SELECTOR_ANNOTATION]: "team=a", [CLUSTER_WIDE]: "true" }, "cluster-wide"],
  ])("%j ask for %s", (annotations, scope) => {
    expect(scopeOf(annotations as Record<string, string>)).toBe(scope);
  });

  test.each([...SCOPES, "selector team=a"] as const)(
    "those for %s ask for it, whatever was there before",
    (scope) => {
      expect(scopeOf(scopeAnnotations(scope))).toBe(scope);
      fc.assert(
        fc.property(
          fc.dictionary(
            fc.oneof(fc.constantFrom(...OURS), fc.string()),
            fc.oneof(fc.constant("true"), fc.string()),
          ),
          (before) => {
            const after = withScope(before, scope);
            expect(scopeOf(after)).toBe(scope);
            for (const [name, value] of Object.entries(before)) {
              if (!OURS.includes(name))
                expect(Object.getOwnPropertyDescriptor(after, name)?.value).toBe(value);
            }
          },
        ),
      );
    },
  );
});

describe("labels", () => {
  test("say the namespace and the name, the namespace, or nothing", () => {
    expect(text(labelBytes("strict", "demo", "db"))).toBe("demo/db");
    expect(text(labelBytes("namespace-wide", "demo", "db"))).toBe("demo");
    expect(labelBytes("cluster-wide", "demo", "db")).toHaveLength(0);
  });

  test("of a selector are FF and its scope, wherever the value is", () => {
    const label = labelBytes("selector team=a", "demo", "db");
    expect(label[0]).toBe(0xff);
    expect(text(label.slice(1))).toBe("kube-signet/selector team=a");
    expect(labelBytes("selector team=a", "other", "else")).toEqual(label);
    expect(labelBytes("selector team=b", "demo", "db")).not.toEqual(label);
  });

  test("of other scopes never begin as that of a selector, whatever the names are", () => {
    const any = fc.oneof(fc.string({ unit: "binary" }), fc.constant("\u00ffkube-signet"));
    fc.assert(
      fc.property(fc.constantFrom(...SCOPES), any, any, (scope, namespace, name) => {
        expect(labelBytes(scope, namespace, name).includes(0xff)).toBe(false);
      }),
    );
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

describe("a selector", () => {
  test("is a scope in its canonical spelling, and of no namespace", () => {
    const scope = selectorScope("tier in (web), team==a");
    expect(scope).toBe("selector team=a,tier=web");
    expect(selectorIn(scope)).toBe("team=a,tier=web");
    expect(bindsNamespace(scope)).toBe(false);
    expect(SCOPES.map((each) => [selectorIn(each), bindsNamespace(each)])).toEqual([
      [null, true],
      [null, true],
      [null, false],
    ]);
    expect(SCOPE_NAMES).toEqual(["strict", "namespace-wide", "selector", "cluster-wide"]);
  });

  test.each([
    ["", "the selector is empty"],
    [
      "team!=a",
      "the selector asks for no label, so it matches every namespace that nobody labelled",
    ],
    ["!team", "the selector asks for no label, so it matches every namespace that nobody labelled"],
  ])("of every namespace is refused: %j", (given, words) => {
    expect(() => selectorScope(given)).toThrow(words);
  });

  test.each([
    [{}, null],
    [{ [SELECTOR_ANNOTATION]: "team=a" }, null],
    [{ [SELECTOR_ANNOTATION]: "team in (a)" }, 'must be spelled "team=a"'],
    [{ [SELECTOR_ANNOTATION]: " team=a" }, 'must be spelled "team=a"'],
    [{ [SELECTOR_ANNOTATION]: "" }, "is empty"],
    [
      { [SELECTOR_ANNOTATION]: "team=a", [CLUSTER_WIDE]: "true" },
      `is beside ${CLUSTER_WIDE}, which says another scope`,
    ],
    [
      { [SELECTOR_ANNOTATION]: "team=a", [NAMESPACE_WIDE]: "true" },
      `is beside ${NAMESPACE_WIDE}, which says another scope`,
    ],
    [{ [SELECTOR_ANNOTATION]: "team=a", [NAMESPACE_WIDE]: "false" }, null],
  ])("in %j has the fault %s", (annotations, fault) => {
    expect(scopeFault(annotations as Record<string, string>)).toBe(fault);
  });

  test("may have any spelling before it is sealed", () => {
    expect(scopeFault({ [SELECTOR_ANNOTATION]: "team in (a)" }, "any")).toBeNull();
    expect(scopeFault({ [SELECTOR_ANNOTATION]: "" }, "any")).toBe("is empty");
  });
});

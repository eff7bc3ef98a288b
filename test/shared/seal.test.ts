// Proofs about sealing and re-sealing, and what each leaves be.
// SPEC.md, "SealedSecrets".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Keyring } from "../../shared/keys/keyring.ts";
import { labelBytes, scopeAnnotations, scopeOf, SCOPES } from "../../shared/sealing/scope.ts";
import { reseal, seal } from "../../shared/sealing/seal.ts";
import {
  formatSealedSecret,
  merge,
  type SealedSecret,
  stampOf,
} from "../../shared/sealing/sealedsecret.ts";
import { isItemName, parseSecret } from "../../shared/kubernetes/secret.ts";
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

describe("sealing", () => {
  const item = fc.stringMatching(/^[-._a-zA-Z0-9]{1,12}$/).filter(isItemName);

  test.each(SCOPES)("and unsealing gives the same Secret, through text: %s", async (scope) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(item, fc.uint8Array({ maxLength: 200 })), { maxLength: 4 }),
        fc.dictionary(fc.string(), fc.string()),
        async (entries, labels) => {
          const secret = {
            ...SECRET,
            data: new Map(entries),
            metadata: { ...SECRET.metadata, labels },
          };
          const sealed = throughText(await seal(secret, first.certificate, scope));
          const unsealed = await unseal(sealed, keyringOf(["first", "second"]), { render });
          const annotations = { note: "n", ...scopeAnnotations(scope) };
          expect(unsealed.secret).toEqual({
            ...secret,
            data: new Map([...secret.data].sort(([a], [b]) => (a < b ? -1 : 1))),
            metadata: { ...secret.metadata, annotations },
          });
          expect([...unsealed.stamp.keys()].sort()).toEqual([...secret.data.keys()].sort());
          expect(JSON.stringify(formatSealedSecret(sealed))).not.toContain("hunter2");
        },
      ),
      { numRuns: 25 },
    );
  });

  test("takes the scope that the annotations ask for, unless another is given", async () => {
    const metadata = { ...SECRET.metadata, annotations: scopeAnnotations("cluster-wide") };
    const wide = { ...SECRET, metadata };
    expect(scopeOf((await seal(wide, first.certificate)).metadata.annotations)).toBe(
      "cluster-wide",
    );
    const narrowed = await seal(wide, first.certificate, "strict");
    expect(scopeOf(narrowed.metadata.annotations)).toBe("strict");
    expect(scopeOf(narrowed.template.metadata.annotations)).toBe("strict");
  });

  test("stamps the values with the key, and copies nothing else to the SealedSecret", async () => {
    const sealed = await seal(SECRET, first.certificate);
    expect(sealed.metadata).toEqual({
      name: "db",
      namespace: "demo",
      labels: {},
      annotations: { [SEALED_FOR_ANNOTATION]: "strict demo/db", [STAMP_ANNOTATION]: FIRST },
      rest: {},
    });
    expect(Object.fromEntries(stampOf(sealed))).toEqual({ password: FIRST, user: FIRST });
  });

  test("leaves behind what a cluster added, and annotations that quote the Secret", async () => {
    const live = parseSecret({
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name: "db",
        namespace: "demo",
        uid: "u",
        resourceVersion: "1",
        generation: 1,
        selfLink: "/x",
        creationTimestamp: "2026-01-01T00:00:00Z",
        deletionTimestamp: "2026-01-01T00:00:00Z",
        deletionGracePeriodSeconds: 0,
        ownerReferences: [],
        managedFields: [],
        finalizers: ["a.example/hold"],
        annotations: {
          "kubectl.kubernetes.io/last-applied-configuration": '{"stringData":{"a":"hunter2"}}',
          "kubecfg.ksonnet.io/last-applied-configuration": "hunter2",
          "example.org/last-applied-configuration": "hunter2",
          note: "n",
        },
      },
      stringData: { a: "hunter2" },
    });
    const sealed = await seal(live, first.certificate);
    expect(sealed.template.metadata).toEqual({
      name: "db",
      namespace: "demo",
      labels: {},
      annotations: { note: "n" },
      rest: { finalizers: ["a.example/hold"] },
    });
    expect(JSON.stringify(formatSealedSecret(sealed))).not.toContain("hunter2");
  });

  test("needs the name, and the namespace that its scope binds to", async () => {
    const noName = await errorOf(() => seal(named("demo", ""), first.certificate));
    expect(noName.code).toBe("secret-invalid");
    expect(noName.message).toBe("missing metadata.name in input Secret");
    for (const scope of ["strict", "namespace-wide"] as const) {
      const error = await errorOf(() => seal(named("", "db"), first.certificate, scope));
      expect(error.message).toBe("secret must declare a namespace");
    }
    const wide = await seal(named("", "db"), first.certificate, "cluster-wide");
    expect(wide.metadata.namespace).toBe("");
  });
});

describe("re-sealing", () => {
  const both = keyringOf(["first", "second"]);

  test("changes only values that are not under the newest key", async () => {
    const mixed = merge(
      await seal(withData({ a: "1", b: "2" }), first.certificate),
      await seal(withData({ c: "3" }), second.certificate),
    );
    const after = await reseal(mixed, both);
    expect(after.encryptedData.get("a")).not.toBe(mixed.encryptedData.get("a"));
    expect(after.encryptedData.get("b")).not.toBe(mixed.encryptedData.get("b"));
    expect(after.encryptedData.get("c")).toBe(mixed.encryptedData.get("c"));
    expect(after.metadata.annotations[STAMP_ANNOTATION]).toBe(SECOND);
    const { values } = await openValues(after, keyringOf(["second"]));
    expect(Object.fromEntries(values)).toEqual({ a: bytes("1"), b: bytes("2"), c: bytes("3") });
  });

  test("done twice changes nothing the second time", async () => {
    const once = await reseal(await seal(SECRET, first.certificate), both);
    const twice = await reseal(once, both);
    expect(formatSealedSecret(twice)).toEqual(formatSealedSecret(once));
  });

  test("keeps name, scope, annotations and templates, unrendered", async () => {
    for (const scope of SCOPES) {
      const sealed = await seal(SECRET, first.certificate, scope);
      const before: SealedSecret = {
        ...sealed,
        metadata: {
          ...sealed.metadata,
          labels: { mine: "l" },
          annotations: { ...sealed.metadata.annotations, mine: "a" },
        },
        template: {
          ...sealed.template,
          data: new Map([["url", "{{ .user }}:{{ .password }}"]]),
          // Nothing that a template says may widen what is sealed anew.
          metadata: {
            ...sealed.template.metadata,
            annotations: scopeAnnotations("cluster-wide"),
            name: "attacker",
            namespace: "kube-system",
          },
        },
      };
      const after = await reseal(before, both);
      expect(after.template).toEqual(before.template);
      const annotations = { ...before.metadata.annotations, [STAMP_ANNOTATION]: SECOND };
      expect(after.metadata).toEqual({ ...before.metadata, annotations });
      expect(scopeOf(after.metadata.annotations)).toBe(scope);
      const label = labelBytes(scope, "demo", "db");
      const { values } = await openValues(
        { ...after, metadata: sealed.metadata },
        keyringOf(["second"]),
      );
      expect(new TextDecoder().decode(label)).toBe(
        { strict: "demo/db", "namespace-wide": "demo", "cluster-wide": "" }[scope],
      );
      expect(values.get("password")).toEqual(bytes("hunter2"));
    }
  });

  test("changes nothing at all where one value does not open", async () => {
    const sealed = await seal(SECRET, first.certificate);
    const broken = { ...sealed, encryptedData: new Map([...sealed.encryptedData, ["z", "AQ=="]]) };
    const error = await errorOf(() => reseal(broken, both));
    expect(error.code).toBe("decrypt-failed");
    expect(error.message).toBe("no key could decrypt secret (z)");
  });

  test("needs a key that can seal", async () => {
    const bare = new Keyring([{ ...first, certificate: null }]);
    const error = await errorOf(async () => reseal(await seal(SECRET, first.certificate), bare));
    expect(error.code).toBe("key-invalid");
  });

  test("of the legacy form keeps its content under the newest key", async () => {
    const content = '{"metadata":{},"data":{"a":"MQ=="}}';
    const before = await legacySealed(content);
    const after = throughText(await reseal(before, both));
    expect(after.legacyData).not.toEqual(before.legacyData);
    const { secret } = await unseal(after, keyringOf(["second"]), { render });
    expect(secret.data.get("a")).toEqual(bytes("1"));
    expect((await reseal(after, both)).legacyData).toEqual(after.legacyData);
  });
});

// Owns: proofs about SealedSecrets as values: seal, unseal, merge, re-seal, and what each leaves be.
// Does not own: single manifests with a name (vectors.test.ts), templates (template.test.ts).
// SPEC.md, "SealedSecrets".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64 } from "../../shared/base64.ts";
import { encryptValue, envelopeBytes, importPublicKey } from "../../shared/envelope.ts";
import { SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keyring.ts";
import type { Json } from "../../shared/manifest.ts";
import { labelBytes, SCOPES, scopeAnnotations, scopeOf } from "../../shared/scope.ts";
import {
  formatSealedSecret,
  merge,
  openValues,
  parseSealedSecret,
  type RenderTemplate,
  reseal,
  seal,
  type SealedSecret,
  stampOf,
  unseal,
} from "../../shared/sealedsecret.ts";
import { isItemName, type JsonObject, parseSecret, type Secret } from "../../shared/secret.ts";
import { SEALED_FOR_ANNOTATION, STAMP_ANNOTATION } from "../../shared/stamp.ts";
import { errorOf, keyringOf, testKey, toldBy } from "../vectors/fixtures.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const render: RenderTemplate = () => bytes("rendered");
const first = testKey("first");
const second = testKey("second");
const FIRST = first.certificate.fingerprint;
const SECOND = second.certificate.fingerprint;

const SECRET = parseSecret({
  apiVersion: "v1",
  kind: "Secret",
  metadata: {
    name: "db",
    namespace: "demo",
    labels: { app: "db" },
    annotations: { note: "n" },
    finalizers: ["a.example/hold"],
  },
  type: "Opaque",
  immutable: true,
  stringData: { password: "hunter2", user: "admin" },
});

function named(namespace: string, name: string, secret: Secret = SECRET): Secret {
  return { ...secret, metadata: { ...secret.metadata, namespace, name } };
}

function withData(data: Readonly<Record<string, string>>): Secret {
  return {
    ...SECRET,
    data: new Map(Object.entries(data).map(([item, text]) => [item, bytes(text)])),
  };
}

const throughText = (sealed: SealedSecret): SealedSecret =>
  parseSealedSecret(JSON.parse(JSON.stringify(formatSealedSecret(sealed))) as JsonObject);

const legacySealed = async (plaintext: string): Promise<SealedSecret> => {
  const publicKey = await importPublicKey(first.certificate.spki);
  const label = labelBytes("strict", "demo", "db");
  const data = encodeBase64(envelopeBytes(await encryptValue(publicKey, bytes(plaintext), label)));
  return parseSealedSecret({
    apiVersion: "bitnami.com/v1alpha1",
    kind: "SealedSecret",
    metadata: { name: "db", namespace: "demo" },
    spec: { data },
  });
};

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

describe("unsealing", () => {
  test("of a value that was moved fails in every way that its scope forbids", async () => {
    const keyring = keyringOf(["first"]);
    const moves: [string, string][] = [
      ["demo", "else"],
      ["other", "db"],
      ["other", "else"],
    ];
    const allowed = { strict: 0, "namespace-wide": 1, "cluster-wide": 3 };
    for (const scope of SCOPES) {
      const sealed = await seal(SECRET, first.certificate, scope);
      let opened = 0;
      for (const [namespace, name] of moves) {
        const moved = { ...sealed, metadata: { ...sealed.metadata, namespace, name } };
        const result = await unseal(moved, keyring, { render }).catch((error: unknown) => error);
        if (result instanceof SignetError) expect(result.code).toBe("decrypt-failed");
        else opened++;
      }
      expect(opened).toBe(allowed[scope]);
    }
  });

  test("with an annotation that asks for another scope fails", async () => {
    for (const from of SCOPES) {
      const sealed = await seal(SECRET, first.certificate, from);
      for (const to of SCOPES.filter((scope) => scope !== from)) {
        const changed = {
          ...sealed,
          metadata: { ...sealed.metadata, annotations: scopeAnnotations(to) },
        };
        const error = await errorOf(() => unseal(changed, keyringOf(["first"]), { render }));
        expect(error.message).toBe("no key could decrypt secret (password, user)");
      }
    }
  });

  test("says the same of every way in which a value does not open", async () => {
    const sealed = await seal(SECRET, first.certificate);
    const texts = ["", "hunter2", "AQA=", ...sealed.encryptedData.values()];
    const told = new Set<string>();
    for (const text of texts.slice(0, 3)) {
      const broken = { ...sealed, encryptedData: new Map([["password", text]]) };
      told.add(toldBy(await errorOf(() => unseal(broken, keyringOf(["first"]), { render }))));
    }
    const onePart = { ...sealed, encryptedData: new Map([["password", texts[3] ?? ""]]) };
    told.add(toldBy(await errorOf(() => unseal(onePart, keyringOf(["stranger"]), { render }))));
    told.add(toldBy(await errorOf(() => unseal(onePart, new Keyring(), { render }))));
    expect(told.size).toBe(1);
  });

  test("reports under which key each value is, whatever the stamp says", async () => {
    const one = await seal(withData({ a: "1" }), first.certificate);
    const other = await seal(withData({ b: "2" }), second.certificate);
    const mixed = merge(one, other);
    const lying = {
      ...mixed,
      metadata: { ...mixed.metadata, annotations: { [STAMP_ANNOTATION]: SECOND } },
    };
    for (const sealed of [mixed, lying]) {
      const { stamp } = await unseal(sealed, keyringOf(["first", "second"]), { render });
      expect(Object.fromEntries(stamp)).toEqual({ a: FIRST, b: SECOND });
    }
  });

  test("hands templates all values, and puts the name of the item to their errors", async () => {
    const sealed = await seal(withData({ a: "1", b: "2" }), first.certificate);
    const template = {
      ...sealed.template,
      data: new Map([
        ["a", "not rendered"],
        ["c", "source of c"],
      ]),
    };
    const seen: string[] = [];
    const { secret } = await unseal({ ...sealed, template }, keyringOf(["first"]), {
      render: (source, values) => {
        seen.push(source, ...[...values].map(([name, value]) => `${name}=${value.length}`));
        return bytes("x");
      },
    });
    expect(seen).toEqual(["source of c", "a=1", "b=1", "c=11"]);
    expect([...secret.data.keys()]).toEqual(["a", "b", "c"]);
    expect(secret.data.get("a")).toEqual(bytes("1"));
    const error = await errorOf(() =>
      unseal({ ...sealed, template }, keyringOf(["first"]), {
        render: () => {
          throw new SignetError("template-failed", "line 1: bad");
        },
      }),
    );
    expect(error.place.field).toBe("spec.template.data.c");
  });

  test("of the legacy form is refused where it is not accepted", async () => {
    const legacy = await legacySealed('{"metadata":{},"data":{"a":"MQ=="}}');
    const keyring = keyringOf(["first"]);
    const { secret, stamp } = await unseal(legacy, keyring, { render });
    expect(secret.metadata.name).toBe("db");
    expect(secret.data.get("a")).toEqual(bytes("1"));
    expect([...stamp.keys()]).toEqual(["spec.data"]);
    const error = await errorOf(() => unseal(legacy, keyring, { render, acceptLegacy: false }));
    expect(error.code).toBe("sealedsecret-invalid");
  });

  test("of a legacy form with nonsense inside says nothing of it", async () => {
    const insides = fc.oneof(
      fc.string().map((text) => `CANARY${text}`),
      fc.jsonValue().map((value) => JSON.stringify({ data: { CANARY: value } })),
      fc.jsonValue().map((value) => JSON.stringify({ metadata: value, type: "CANARY" })),
      fc.jsonValue().map((value) => JSON.stringify(value)),
    );
    const keyring = keyringOf(["first"]);
    await fc.assert(
      fc.asyncProperty(insides, async (inside) => {
        try {
          await unseal(await legacySealed(inside), keyring, { render });
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          expect(toldBy(error).replace("data.CANARY", "")).not.toContain("CANARY");
        }
      }),
      { numRuns: 150 },
    );
  });
});

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

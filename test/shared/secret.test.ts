// Proofs about Secrets as values: what is taken, what is refused, what is written.
// SPEC.md, "Secrets".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64 } from "../../shared/base64.ts";
import { SignetError } from "../../shared/errors.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import {
  describeObject,
  type JsonObject,
  objectsOf,
  parseMetadata,
} from "../../shared/kubernetes/object.ts";
import { formatSecret, isItemName, parseSecret } from "../../shared/kubernetes/secret.ts";
import { errorOf } from "../vectors/fixtures.ts";

const BASE = { apiVersion: "v1", kind: "Secret", metadata: { name: "db", namespace: "demo" } };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Objects that look like a Secret in some places and not in others. */
const nearlySecret = fc.record(
  {
    apiVersion: fc.oneof(fc.constant("v1"), fc.jsonValue()),
    kind: fc.oneof(fc.constantFrom("Secret", "List", "SecretList"), fc.jsonValue()),
    metadata: fc.oneof(
      fc.record(
        {
          name: fc.oneof(fc.constant("db"), fc.jsonValue()),
          namespace: fc.oneof(fc.constant("demo"), fc.jsonValue()),
          labels: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
          annotations: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
        },
        { requiredKeys: [] },
      ),
      fc.jsonValue(),
    ),
    type: fc.oneof(fc.string(), fc.jsonValue()),
    immutable: fc.oneof(fc.boolean(), fc.jsonValue()),
    data: fc.oneof(fc.dictionary(fc.string(), fc.base64String()), fc.jsonValue()),
    stringData: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
    items: fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue()),
  },
  { requiredKeys: [] },
);

describe("any object", () => {
  test("is a Secret or a SignetError", () => {
    const boundary = fc.oneof(nearlySecret, fc.jsonValue());
    fc.assert(
      fc.property(boundary, (value) => {
        try {
          for (const object of objectsOf({ value: value as Json })) {
            const secret = parseSecret(object);
            expect(typeof secret.metadata.name).toBe("string");
            expect([...secret.data.keys()].every(isItemName)).toBe(true);
          }
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("that is refused is not quoted, neither its values nor what stands in their place", () => {
    // Long enough that no message has it by chance.
    const marked = fc.string({ maxLength: 10 }).map((text) => `CANARY${text}`);
    const value = fc.oneof(marked, fc.array(marked), fc.dictionary(marked, marked));
    const values = fc.oneof(
      fc.dictionary(fc.oneof(fc.constantFrom("a", "b c"), marked), value, { minKeys: 1 }),
      value,
    );
    fc.assert(
      fc.property(values, values, (data, stringData) => {
        // Names that are valid may be told; these are not, or there are none.
        const object = { ...BASE, data, stringData } as unknown as JsonObject;
        try {
          parseSecret(object);
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          const { field = "" } = error.place;
          const name = field.replace(/^(data|stringData)\.?/, "");
          expect(`${error.message} ${error.hint ?? ""}`).not.toContain("CANARY");
          expect(name === "" || isItemName(name)).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a Secret", () => {
  test("reads back as it was written", () => {
    const item = fc.stringMatching(/^[-._a-zA-Z0-9]{1,12}$/).filter(isItemName);
    const texts = fc.dictionary(fc.string(), fc.string());
    fc.assert(
      fc.property(
        fc.array(fc.tuple(item, fc.uint8Array({ maxLength: 50 })), { maxLength: 5 }),
        texts,
        texts,
        fc.option(fc.boolean(), { nil: undefined }),
        fc.constantFrom("", "Opaque", "kubernetes.io/tls"),
        (data, labels, annotations, immutable, type) => {
          const metadata = { name: "db", namespace: "demo", labels, annotations, rest: {} };
          const secret = { metadata, type, immutable, data: new Map(data) };
          const read = parseSecret(formatSecret(secret));
          expect(read.data).toEqual(secret.data);
          expect({ ...read, data: 0 }).toEqual({ ...secret, data: 0 });
        },
      ),
    );
  });

  test("is written with its fields and items in order, and none that is empty", () => {
    const metadata = { name: "db", namespace: "", labels: {}, annotations: {}, rest: {} };
    const data = new Map([
      ["b", bytes("2")],
      ["a", bytes("1")],
    ]);
    const secret = { metadata, type: "", immutable: undefined, data };
    expect(JSON.stringify(formatSecret(secret))).toBe(
      '{"apiVersion":"v1","data":{"a":"MQ==","b":"Mg=="},"kind":"Secret","metadata":{"name":"db"}}',
    );
    expect(formatSecret({ ...secret, data: new Map() })).toEqual({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "db" },
    });
  });

  test("keeps other metadata as it came, in order", () => {
    const metadata = { ...BASE.metadata, uid: "u", finalizers: ["a/b"], generateName: "x" };
    const { rest } = parseSecret({ ...BASE, metadata }).metadata;
    expect(rest).toEqual({ uid: "u", finalizers: ["a/b"], generateName: "x" });
  });

  test("takes names that are dangerous to JavaScript as names like any other", () => {
    const secret = JSON.parse(
      '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","labels":{"__proto__":"x"}},' +
        '"stringData":{"__proto__":"a","constructor":"b","toString":"c"}}',
    ) as JsonObject;
    const read = parseSecret(secret);
    expect([...read.data.keys()].sort()).toEqual(["__proto__", "constructor", "toString"]);
    const written = formatSecret(read);
    expect(Object.keys(written["data"] as object)).toContain("__proto__");
    expect(JSON.stringify(written["metadata"])).toContain('"__proto__":"x"');
  });

  test("may hold 1 MiB and not one byte more", async () => {
    const mebibyte = encodeBase64(new Uint8Array(1024 * 1024));
    expect(parseSecret({ ...BASE, data: { a: mebibyte } }).data.get("a")).toHaveLength(1 << 20);
    const error = await errorOf(() => {
      parseSecret({ ...BASE, data: { a: mebibyte }, stringData: { b: "x" } });
    });
    expect(error).toMatchObject({ code: "secret-invalid", place: { field: "data" } });
  });

  test.each([
    ["data", { data: ["a"] }, "must be a mapping"],
    ["data.a", { data: { a: 1 } }, "must be text, but is a number to Kubernetes"],
    ["data.a", { data: { a: {} } }, "must be text, but is a mapping or a list"],
    ["data.a", { data: { a: "%" } }, "is not valid base64"],
    ["stringData.a", { stringData: { a: true } }, "must be text, but is a boolean to Kubernetes"],
    ["stringData", { stringData: { a: "", "b c": "" } }, "the name of item 2 is invalid"],
    ["type", { type: 1 }, "must be text"],
    ["immutable", { immutable: "true" }, "must be true or false"],
    ["metadata", { metadata: [] }, "must be a mapping"],
    ["metadata.name", { metadata: { name: "A" } }, "is not a valid Kubernetes name"],
    ["metadata.labels", { metadata: { labels: { a: 1 } } }, "must map text to text"],
    ["metadata.annotations", { metadata: { annotations: "x" } }, "must map text to text"],
  ])("with a fault says where: %s in %j", async (field, fault, message) => {
    const error = await errorOf(() => parseSecret({ ...BASE, ...fault }));
    expect(error.code).toBe("secret-invalid");
    expect(error.place).toEqual({ field });
    expect(error.message).toContain(message);
  });

  test.each([
    [{}, "object without a kind"],
    [{ kind: "ConfigMap", apiVersion: "v1" }, "ConfigMap (v1)"],
    [{ ...BASE, apiVersion: "v2" }, 'Secret (v2) "demo/db"'],
    [{ kind: 7, metadata: "x" }, "object of an unknown kind"],
    [{ ...BASE, kind: "hunter2 hunter2" }, 'object of an unknown kind (v1) "demo/db"'],
    [{ ...BASE, apiVersion: "v1\nMIIEow", metadata: { name: "hunter2\n" } }, "Secret"],
  ])("is not %j, which is named", async (object, name) => {
    expect(describeObject(object)).toBe(name);
    const error = await errorOf(() => parseSecret(object));
    expect(error.code).toBe("wrong-kind");
    expect(error.message).toBe(`expected a Secret (v1), found ${name}`);
  });
});

describe("names", () => {
  test.each(["a", "A-b_c.d", ".a", "...".slice(0, 1) + "x", "a..b", "x".repeat(253)])(
    "%j may name an item",
    (name) => {
      expect(isItemName(name)).toBe(true);
    },
  );

  test.each(["", ".", "..", "..a", "a/b", "a b", "ä", "a\n", "x".repeat(254)])(
    "%j may not name an item",
    (name) => {
      expect(isItemName(name)).toBe(false);
    },
  );

  test.each(["a", "0", "a-b.c-d", "a".repeat(253)])("%j may name an object", (name) => {
    expect(parseMetadata({ name }, "secret-invalid").name).toBe(name);
  });

  test.each(["A", "-a", "a-", "a..b", ".a", "a.", "a/b", "../a", "a\n", "a".repeat(254), 7, ["a"]])(
    "%j may not name an object",
    async (name) => {
      const error = await errorOf(() => parseMetadata({ name }, "secret-invalid"));
      expect(error.place.field).toBe("metadata.name");
    },
  );

  test.each(["a.b", "a".repeat(64), "A"])("%j may not name a namespace", async (namespace) => {
    const error = await errorOf(() =>
      parseMetadata({ namespace }, "sealedsecret-invalid", { path: "m" }),
    );
    expect(error.place.field).toBe("m.namespace");
  });
});

describe("a document", () => {
  test("is itself, or the items of a list, nested or typed", () => {
    const secret = { ...BASE };
    expect(objectsOf({ value: secret })).toEqual([secret]);
    expect(objectsOf({ value: { kind: "List", apiVersion: "v1", items: [secret] } })).toEqual([
      secret,
    ]);
    const nested = { kind: "List", items: [{ kind: "List", items: [secret, secret] }, secret] };
    expect(objectsOf({ value: nested })).toHaveLength(3);
    const items = [{ metadata: secret.metadata }];
    const typed = { kind: "SecretList", apiVersion: "v1", items };
    expect(objectsOf({ value: typed })).toEqual([secret]);
    expect(objectsOf({ value: { kind: "List", items: null } })).toEqual([]);
    expect(objectsOf({ value: { kind: "ConfigMapList", items: [1] } })).toHaveLength(1);
  });

  test.each<[Json, string]>([
    ["text", "wrong-kind"],
    [[], "wrong-kind"],
    [null, "wrong-kind"],
    [{ kind: "List", items: "x" }, "manifest-syntax"],
    [{ kind: "List", items: [1] }, "wrong-kind"],
  ])("%j is none", async (value, code) => {
    expect((await errorOf(() => objectsOf({ value }))).code).toBe(code);
  });
});

// Proofs about opening SealedSecrets with the keys held.
// SPEC.md, "SealedSecrets".

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { scopeAnnotations, SCOPES } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { merge } from "../../shared/sealing/sealedsecret.ts";
import { STAMP_ANNOTATION } from "../../shared/sealing/stamp.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import { errorOf, keyringOf, toldBy } from "../vectors/fixtures.ts";
import {
  bytes,
  first,
  FIRST,
  legacySealed,
  render,
  second,
  SECOND,
  SECRET,
  withData,
} from "./samples.ts";

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

  test("hands the renderer all values, and the templates that no value replaces", async () => {
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
      render: (templates, values, namespace) => {
        seen.push(...[...templates].flat(), namespace);
        seen.push(...[...values].map(([name, value]) => `${name}=${value.length}`));
        return new Map([["c", bytes("x")]]);
      },
    });
    expect(seen).toEqual(["c", "source of c", "demo", "a=1", "b=1", "c=11"]);
    expect([...secret.data.keys()]).toEqual(["a", "b", "c"]);
    expect(secret.data.get("a")).toEqual(bytes("1"));
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

// What the page does, without its elements: settings, sealing for clusters, changes of sealed files.
// test/interop/page.test.ts shows the page itself in a browser.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { factsOf, type KnownCluster, readCluster } from "../../page/certificates.ts";
import { valuesOf } from "../../page/itemvalues.ts";
import { type NewSecret, sealNew } from "../../page/newsecret.ts";
import { changedText, clusterOf, sealedSecretsIn } from "../../page/sealedtext.ts";
import { readSettings } from "../../page/settings.ts";
import { sealingPage } from "../../shared/sealingpage.ts";
import { openValues } from "../../shared/sealing/unseal.ts";
import { errorOf, keyringOf, testKey } from "../vectors/fixtures.ts";

const NOW = new Date();
const ITEMS = [["password", { from: "text", text: "hunter2" }]] as const;

const known = (name: string, key: "first" | "second"): Promise<KnownCluster> =>
  readCluster({ name, certificates: testKey(key).certificate.pem });

function secret(more: Partial<NewSecret> = {}): NewSecret {
  return {
    namespace: "shop",
    name: "db",
    type: "",
    scope: "strict",
    items: ITEMS,
    ownValues: false,
    ...more,
  };
}

/** The values of a manifest, by item. */
async function open(text: string): Promise<Record<string, string>> {
  const [place] = sealedSecretsIn("db.yaml", text);
  if (place === undefined) throw new Error("nothing is sealed");
  const { values } = await openValues(place.sealed, keyringOf(["first", "second"]), 10);
  return Object.fromEntries(
    [...values].map(([item, value]) => [item, Buffer.from(value).toString()]),
  );
}

async function sealed(more: Partial<NewSecret> = {}): Promise<string> {
  const [result] = await sealNew(secret(more), [await known("prod", "first")], NOW);
  return result?.text ?? "";
}

describe("settings in a page", () => {
  const HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>\u2028\u2029&lt;",
    "$&$'$`",
    '"SETTINGS"',
  ];

  it.each(HOSTILE)("are read as they were written, and end no element: %j", (name) => {
    const settings = { clusters: [{ name, certificates: name }], newFile: name };
    const page = sealingPage(settings);
    const json = page.slice(page.indexOf(">") + 1, page.lastIndexOf("</script>"));
    expect(json).not.toMatch(/[<>]/);
    expect(readSettings(json)).toEqual(settings);
  });

  it.each(["", "null", "[]", '{"clusters": 1}', '{"clusters": [1, {"name": 2}], "scope": []}'])(
    "that are damaged are left out: %j",
    (json) => {
      expect(readSettings(json)).toEqual({ clusters: [] });
    },
  );
});

describe("a new Secret", () => {
  it("is sealed for each cluster under its own key, and both open", async () => {
    const clusters = [await known("prod", "first"), await known("dev", "second")];
    const results = await sealNew(
      secret({ newFile: "{cluster}/{namespace}/{name}.yaml" }),
      clusters,
      NOW,
    );
    expect(results.map(({ path, fileName }) => [path, fileName])).toEqual([
      ["prod/shop/db.yaml", "prod-db.yaml"],
      ["dev/shop/db.yaml", "dev-db.yaml"],
    ]);
    for (const [index, { text, fingerprint }] of results.entries()) {
      expect(fingerprint).toBe(clusters[index]?.certificate.fingerprint);
      expect(text).not.toContain("hunter2");
      expect(await open(text)).toEqual({ password: "hunter2" });
    }
  });

  it("has a random value of its own in each cluster, if that is asked for", async () => {
    const clusters = [await known("prod", "first"), await known("dev", "second")];
    const items = [["token", { from: "generated", length: 40 }]] as const;
    for (const ownValues of [true, false]) {
      const [one, other] = await sealNew(secret({ items, ownValues }), clusters, NOW);
      const values = [await open(one?.text ?? ""), await open(other?.text ?? "")];
      expect(values[0]?.["token"]).toMatch(/^[A-Za-z0-9]{40}$/);
      expect(values[0]?.["token"] === values[1]?.["token"]).toBe(!ownValues);
    }
  });

  it.each(["shop", ""])("is sealed for namespaces by their labels, in %j", async (namespace) => {
    const scope = "selector team in (a,b)";
    const text = await sealed({ scope, namespace });
    expect(text).toContain("    kube-signet/namespace-selector: team in (a,b)\n");
    expect(await open(text)).toEqual({ password: "hunter2" });
    const [place] = sealedSecretsIn("db.yaml", text);
    if (place === undefined) throw new Error("nothing is sealed");
    const set = valuesOf([["token", { from: "text", text: "hunter3" }]]);
    const changes = { set, unset: [], rename: new Map<string, string>() };
    const changed = await changedText(place, changes, await known("prod", "first"), NOW, undefined);
    expect(await open(changed.text)).toEqual({ password: "hunter2", token: "hunter3" });
  });

  it("has the bytes of a file as they are", async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const text = await sealed({ items: [["blob", { from: "file", bytes }]] });
    const [place] = sealedSecretsIn("db.yaml", text);
    if (place === undefined) throw new Error("nothing is sealed");
    const { values } = await openValues(place.sealed, keyringOf(["first"]), 10);
    expect(values.get("blob")).toEqual(bytes);
    expect(bytes[1], "the file's own bytes stay, to be sealed again").toBe(1);
  });

  it.each([
    ["no item", { items: [] }, /no item/],
    ["no namespace", { namespace: "" }, /namespace/],
    ["a name that Kubernetes refuses", { name: "Db" }, /not a valid Kubernetes name/],
    ["a value in place of a name", { items: [["hunter2 !", ITEMS[0][1]]] }, /name of an item/],
    ["an item twice", { items: [ITEMS[0], ITEMS[0]] }, /appears twice/],
    ["a type without its items", { type: "kubernetes.io/tls" }, /tls\.crt/],
    [
      "more than 1 MiB",
      { items: [["a", { from: "file", bytes: new Uint8Array(1024 * 1024 + 1) }]] },
      /1 MiB/,
    ],
  ] as [string, Partial<NewSecret>, RegExp][])("is refused with %s", async (_, more, message) => {
    const cluster = await known("prod", "first");
    const error = await errorOf(() => sealNew(secret(more), [cluster], NOW));
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("hunter2");
  });

  it("is refused without a cluster, and under an expired certificate", async () => {
    expect((await errorOf(() => sealNew(secret(), [], NOW))).message).toContain("cluster");
    const certificates = readFileSync("test/fixtures/expired-cert.pem", "utf8");
    const old = await readCluster({ name: "old", certificates });
    expect((await errorOf(() => sealNew(secret(), [old], NOW))).code).toBe("certificate-expired");
  });
});

describe("a sealed file", () => {
  const COMMENTED = (text: string): string =>
    text.replace("---\n", "# ours: do not touch\n").replace("  name: db", '  name: "db"   # kept');

  it("keeps every line but that of the value that is replaced", async () => {
    const before = COMMENTED(await sealed());
    const [place] = sealedSecretsIn("db.yaml", before);
    if (place === undefined) throw new Error("nothing is sealed");
    const set = valuesOf([["password", { from: "text", text: "another" }]]);
    const cluster = await known("prod", "first");
    const { text, summary } = await changedText(place, { set }, cluster, NOW);
    const lines = [before, text].map((each) => each.split("\n"));
    const changed = lines[0]?.filter((line, index) => line !== lines[1]?.[index]);
    expect(changed).toEqual([expect.stringContaining("password: ")]);
    expect(summary).toBe("1 line changed, all others kept");
    expect(await open(text)).toEqual({ password: "another" });
  });

  it("has an item renamed, removed and added, without the values of others", async () => {
    const items = [...ITEMS, ["user", { from: "text", text: "me" }]] as NewSecret["items"];
    const before = await sealed({ items });
    const [place] = sealedSecretsIn("db.yaml", before);
    if (place === undefined) throw new Error("nothing is sealed");
    const rename = new Map([["password", "pass"]]);
    const { text } = await changedText(place, { rename, unset: ["user"] }, null, NOW);
    expect(await open(text)).toEqual({ pass: "hunter2" });
    const [next] = sealedSecretsIn("db.yaml", text);
    if (next === undefined) throw new Error("nothing is sealed");
    const set = valuesOf([["port", { from: "text", text: "5432" }]]);
    const added = await changedText(next, { set }, await known("prod", "first"), NOW);
    expect(await open(added.text)).toEqual({ pass: "hunter2", port: "5432" });
  });

  it("is known as that of the cluster whose key its stamp names", async () => {
    const clusters = [await known("dev", "second"), await known("prod", "first")];
    const [place] = sealedSecretsIn("db.yaml", await sealed());
    if (place === undefined) throw new Error("nothing is sealed");
    expect(clusterOf(place, clusters)?.name).toBe("prod");
    expect(clusterOf(place, clusters.slice(0, 1))).toBeNull();
  });

  it.each([
    ["", "holds no SealedSecret"],
    ["kind: ConfigMap\napiVersion: v1", "holds no SealedSecret"],
    ["a: [", /./],
    [`a: ${"x".repeat(5_000_000)}`, "the file is too large"],
    [`a: ${"[".repeat(5_000)}`, /./],
  ])("that is none is refused", async (text, message) => {
    const error = await errorOf(() => sealedSecretsIn("db.yaml", text));
    expect(error.place.file).toBe("db.yaml");
    expect(error.message).toMatch(message);
  });

  it("is refused where nothing changes, nothing would be left, or a name is taken", async () => {
    const [place] = sealedSecretsIn("db.yaml", await sealed());
    if (place === undefined) throw new Error("nothing is sealed");
    for (const [changes, message] of [
      [{}, "nothing to change"],
      [{ unset: ["password"] }, "no items would be left"],
      [{ rename: new Map([["password", "not a name"]]) }, "name of an item"],
      [{ set: valuesOf(ITEMS) }, "choose the cluster"],
    ] as const) {
      const error = await errorOf(() => changedText(place, changes, null, NOW));
      expect(error.message).toContain(message);
    }
  });
});

describe("a certificate", () => {
  it("is shown with its validity, age and algorithm", async () => {
    const { certificate } = await known("prod", "first");
    const day = 24 * 3600 * 1000;
    const at = (date: Date, days: number): string =>
      factsOf(certificate, new Date(date.getTime() + days * day)).state;
    expect(at(certificate.notBefore, 1)).toBe("valid");
    expect(at(certificate.notAfter, -5)).toBe("ends-soon");
    expect(at(certificate.notAfter, 1)).toBe("expired");
    expect(at(certificate.notBefore, -1)).toBe("not-yet");
    expect(factsOf(certificate, NOW).algorithm).toMatch(/^RSA \d{4}/);
  });

  it("that is not one is refused, and so are texts without end", async () => {
    for (const certificates of [
      "",
      "hunter2",
      "-----BEGIN CERTIFICATE-----\n",
      "x".repeat(3_000_000),
    ]) {
      const error = await errorOf(() => readCluster({ name: "prod", certificates }));
      expect(error.code).toBe("certificate-invalid");
    }
  });
});

// The decision about a Secret, as a table; no cluster and no files.
import { describe, expect, it } from "vitest";
import { decide, type Decision, SECRET_LABEL, withOwner } from "../../controller/decide.ts";
import { sourceOf } from "../../controller/reconcile.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import type { Secret } from "../../shared/kubernetes/secret.ts";

const SEALED: JsonObject = { metadata: { name: "db", namespace: "demo", uid: "owner-uid" } };
const OWNER = {
  apiVersion: "bitnami.com/v1alpha1",
  kind: "SealedSecret",
  name: "db",
  uid: "owner-uid",
  controller: true,
};
const DEPLOYMENT = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  name: "db",
  uid: "other-uid",
  controller: true,
};

interface Shape {
  data?: Record<string, string>;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  owners?: JsonObject[];
  type?: string;
  immutable?: boolean;
  rest?: JsonObject;
}

function secret({
  data = { a: "1" },
  labels,
  annotations,
  owners,
  type,
  immutable,
  rest,
}: Shape): Secret {
  return {
    metadata: {
      name: "db",
      namespace: "demo",
      labels: labels ?? {},
      annotations: annotations ?? {},
      rest: {
        uid: "secret-uid",
        resourceVersion: "1",
        ...(owners === undefined ? {} : { ownerReferences: owners }),
        ...rest,
      },
    },
    type: type ?? "Opaque",
    immutable,
    data: new Map(Object.entries(data).map(([item, text]) => [item, Buffer.from(text)])),
  };
}

/** What a SealedSecret asks for. */
function desired(shape: Shape = {}): Secret {
  return withOwner({ ...secret(shape), type: shape.type ?? "" }, SEALED);
}

const OURS = { labels: { [SECRET_LABEL]: "owned" }, owners: [OWNER] };

function reasonOf(decision: Decision): string {
  return decision.act === "refuse" ? decision.verdict.reason : decision.act;
}

function written(decision: Decision): Secret {
  if (decision.act !== "replace") throw new Error(`expected replace, got ${reasonOf(decision)}`);
  return decision.secret;
}

describe("what is done about a Secret", () => {
  it.each<[string, Shape, Shape | null, string]>([
    ["creates one that is not there", {}, null, "create"],
    ["keeps one that is as it should be", {}, OURS, "keep"],
    ["keeps the type that the server filled in", {}, { ...OURS, type: "Opaque" }, "keep"],
    ["replaces one with another value", { data: { a: "2" } }, OURS, "replace"],
    ["replaces one with an item too many", {}, { ...OURS, data: { a: "1", b: "2" } }, "replace"],
    ["replaces one that lost its label", {}, { owners: [OWNER] }, "replace"],
    ["replaces one that lost its owner", {}, { labels: OURS.labels }, "replace"],
    ["makes one immutable", { immutable: true }, OURS, "replace"],
    ["keeps others' labels", {}, { ...OURS, labels: { ...OURS.labels, x: "1" } }, "keep"],
    ["refuses someone else's", {}, {}, "NotManaged"],
    ["refuses another controller's", {}, { owners: [DEPLOYMENT] }, "NotManaged"],
    [
      "refuses another controller's with our label",
      {},
      { owners: [DEPLOYMENT], labels: OURS.labels },
      "NotManaged",
    ],
    [
      "refuses one owned by a SealedSecret of another name",
      {},
      { owners: [{ ...OWNER, name: "other" }] },
      "NotManaged",
    ],
    [
      "takes one over that says managed",
      {},
      { annotations: { "sealedsecrets.bitnami.com/managed": "true" } },
      "replace",
    ],
    [
      "does not take managed for an answer unless it is the text true",
      {},
      { annotations: { "sealedsecrets.bitnami.com/managed": "yes" } },
      "NotManaged",
    ],
    [
      "adopts one of an earlier SealedSecret of its name",
      {},
      { ...OURS, owners: [{ ...OWNER, uid: "earlier" }] },
      "replace",
    ],
    ["refuses a change of type", { type: "kubernetes.io/tls" }, OURS, "TypeChanged"],
    [
      "refuses other content for an immutable one",
      { data: { a: "2" }, immutable: true },
      { ...OURS, immutable: true },
      "Immutable",
    ],
    ["refuses to thaw an immutable one", {}, { ...OURS, immutable: true }, "Immutable"],
    [
      "replaces the labels of an immutable one",
      { immutable: true, labels: { x: "1" } },
      { ...OURS, immutable: true },
      "replace",
    ],
  ])("%s", (_name, asked, found, expected) => {
    const existing = found === null ? null : secret(found);
    expect(reasonOf(decide(desired(asked), existing))).toBe(expected);
  });

  it("knows its own Secret by uid when every mark was taken off", () => {
    const stripped = secret({ data: { a: "evil" } });
    expect(reasonOf(decide(desired(), stripped, { uid: "secret-uid", patched: false }))).toBe(
      "replace",
    );
    expect(reasonOf(decide(desired(), stripped, { uid: "another", patched: false }))).toBe(
      "NotManaged",
    );
    const patched = { uid: "secret-uid", patched: true };
    expect(reasonOf(decide(desired(), stripped, patched))).toBe("NotManaged");
  });

  const left = { uid: "secret-uid", patched: false };

  it.each<[string, Shape, Shape, string]>([
    [
      "another under our marks, of another type",
      {},
      { rest: { uid: "new" }, type: "x/y" },
      "recreate",
    ],
    ["the same one, handed over with another type", {}, { type: "x/y" }, "keep"],
    ["one that was made immutable", {}, { immutable: true, data: { a: "2" } }, "recreate"],
    ["one that is as it should be", {}, {}, "keep"],
  ])(
    "after drift deletes and creates only what no update can mend: %s",
    (_name, asked, found, act) => {
      const existing = secret({ ...OURS, ...found });
      expect(reasonOf(decide(desired(asked), existing, left, true))).toBe(act);
    },
  );

  it("deletes nothing where the declaration changed, or the Secret was handed to us", () => {
    const managed = { annotations: { "sealedsecrets.bitnami.com/managed": "true" } };
    const theirs = secret({ ...managed, type: "x/y", immutable: true, rest: { uid: "new" } });
    expect(reasonOf(decide(desired({ data: { a: "2" } }), theirs, left, true))).toBe("Immutable");
    const frozen = secret({ ...OURS, immutable: true });
    expect(reasonOf(decide(desired({ data: { a: "2" } }), frozen, left, false))).toBe("Immutable");
    const typed = secret({ ...OURS, type: "x/y", rest: { uid: "new" } });
    expect(reasonOf(decide(desired({ type: "a/b" }), typed, left, false))).toBe("TypeChanged");
  });

  it.each<[string, JsonObject[], string[]]>([
    [
      "the manager of the field that differs",
      [
        { manager: "signet-controller", time: "2026-01-01T00:00:00Z", fieldsV1: {} },
        { manager: "editor", time: "2026-01-02T00:00:00Z", fieldsV1: { "f:data": { "f:a": {} } } },
        { manager: "labeller", time: "2026-01-03T00:00:00Z", fieldsV1: { "f:metadata": {} } },
      ],
      ["editor"],
    ],
    [
      "the last writer, where a field is gone that nobody has any more",
      [
        { manager: "signet-controller", time: "2026-01-01T00:00:00Z", fieldsV1: {} },
        { manager: "remover", time: "2026-01-02T00:00:00Z", fieldsV1: { "f:type": {} } },
      ],
      ["remover"],
    ],
    [
      "nobody, where the books end with us",
      [
        { manager: "earlier", time: "2026-01-01T00:00:00Z", fieldsV1: { "f:type": {} } },
        { manager: "controller", time: "2026-01-02T00:00:00Z", fieldsV1: {} },
      ],
      [],
    ],
    [
      "a name without its control characters",
      [
        {
          manager: "a\u001b[31m\nb",
          time: "2026-01-02T00:00:00Z",
          fieldsV1: { "f:data": { "f:a": {} } },
        },
      ],
      ["a?[31m?b"],
    ],
  ])("names who changed it: %s", (_what, managedFields, by) => {
    const existing = secret({ ...OURS, data: { a: "evil" }, rest: { managedFields } });
    const decision = decide(desired(), existing, left, true);
    expect(decision).toMatchObject({
      act: "replace",
      drift: { change: "changed", fields: ["data.a"], by },
    });
  });

  it("removes the labels that it or the original set, and no others", () => {
    const managedFields = [
      {
        manager: "controller",
        fieldsV1: { "f:metadata": { "f:labels": { ".": {}, "f:old": {} } } },
      },
      {
        manager: "signet-controller",
        fieldsV1: { "f:metadata": { "f:annotations": { "f:note": {} } } },
      },
      { manager: "kubectl", fieldsV1: { "f:metadata": { "f:labels": { "f:theirs": {} } } } },
    ];
    const existing = secret({
      ...OURS,
      labels: { ...OURS.labels, old: "1", theirs: "1" },
      annotations: { note: "1", kept: "1" },
      rest: { managedFields },
    });
    const { metadata } = written(decide(desired(), existing));
    expect(metadata.labels).toEqual({ [SECRET_LABEL]: "owned", theirs: "1" });
    expect(metadata.annotations).toEqual({ kept: "1" });
  });

  it("keeps other owners, and takes the place of its own former self", () => {
    const gone = { ...OWNER, uid: "earlier" };
    const bystander = { ...DEPLOYMENT, controller: false };
    const existing = secret({ ...OURS, owners: [gone, bystander] });
    expect(written(decide(desired(), existing)).metadata.rest["ownerReferences"]).toEqual([
      bystander,
      OWNER,
    ]);
  });

  it("adds to a Secret that says patch, and cannot make it its own", () => {
    const patch = { "sealedsecrets.bitnami.com/patch": "true" };
    const existing = secret({ data: { own: "1", both: "old" }, annotations: patch, type: "x/y" });
    const asked = desired({
      data: { both: "new", ours: "2" },
      annotations: { "sealedsecrets.bitnami.com/managed": "true", note: "1" },
    });
    const merged = written(decide(asked, existing));
    expect(
      Object.fromEntries([...merged.data].map(([k, v]) => [k, Buffer.from(v).toString()])),
    ).toEqual({ own: "1", both: "new", ours: "2" });
    expect(merged.type).toBe("x/y");
    expect(merged.metadata.annotations).toEqual({ ...patch, note: "1" });
    expect(merged.metadata.labels).toEqual({ [SECRET_LABEL]: "patched" });
    expect(merged.metadata.rest["ownerReferences"]).toBeUndefined();
    expect(reasonOf(decide(asked, merged))).toBe("keep");
  });

  it("writes the resourceVersion that it saw, so that a later edit is not overwritten", () => {
    const merged = written(decide(desired({ data: { a: "2" } }), secret(OURS)));
    expect(merged.metadata.rest).toMatchObject({ uid: "secret-uid", resourceVersion: "1" });
  });
});

describe("the source of a Secret", () => {
  const object: JsonObject = {
    metadata: { name: "db", namespace: "demo", uid: "u", resourceVersion: "1" },
    spec: { encryptedData: { a: "AgB" } },
  };
  const withMetadata = (more: JsonObject): JsonObject => ({
    ...object,
    metadata: { ...(object["metadata"] as JsonObject), ...more },
  });

  it("is the same for what leads to the same Secret", () => {
    expect(sourceOf(withMetadata({ resourceVersion: "2", labels: { x: "1" } }))).toBe(
      sourceOf(object),
    );
  });

  it.each<[string, JsonObject]>([
    ["another value", { ...object, spec: { encryptedData: { a: "AgC" } } }],
    [
      "another scope",
      withMetadata({ annotations: { "sealedsecrets.bitnami.com/cluster-wide": "true" } }),
    ],
    ["another owner", withMetadata({ uid: "v" })],
  ])("differs for %s", (_what, other) => {
    expect(sourceOf(other)).not.toBe(sourceOf(object));
  });
});

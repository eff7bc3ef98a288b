// The decision about a Secret, as a table; no cluster and no files.
import { describe, expect, it } from "vitest";
import {
  decide,
  type Decision,
  isPatched,
  MADE_FROM_ANNOTATION,
  SECRET_LABEL,
  withOwner,
} from "../../controller/decide.ts";
import { sourceOf } from "../../controller/sourceof.ts";
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

const MARKS = {
  labels: { [SECRET_LABEL]: "owned" },
  annotations: { [MADE_FROM_ANNOTATION]: "owner-uid" },
};
const OURS = { ...MARKS, owners: [OWNER] };
const allowedTypes = new Set<string>();

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
    ["replaces one that lost its owner", {}, MARKS, "replace"],
    ["refuses a copy that has our label alone", {}, { labels: MARKS.labels }, "NotManaged"],
    [
      "refuses one that was kept from an earlier SealedSecret of its name",
      {},
      { ...MARKS, annotations: { [MADE_FROM_ANNOTATION]: "earlier" } },
      "NotManaged",
    ],
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
    expect(reasonOf(decide(desired(asked), existing, { allowedTypes }))).toBe(expected);
  });

  it("knows its own Secret by uid when every mark was taken off", () => {
    const stripped = secret({ data: { a: "evil" } });
    const reason = (uid: string, patched: boolean): string =>
      reasonOf(decide(desired(), stripped, { allowedTypes, left: { uid, patched } }));
    expect(reason("secret-uid", false)).toBe("replace");
    expect(reason("another", false)).toBe("NotManaged");
    expect(reason("secret-uid", true)).toBe("NotManaged");
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
      expect(
        reasonOf(decide(desired(asked), existing, { allowedTypes, left, drifted: true })),
      ).toBe(act);
    },
  );

  it("deletes nothing where the declaration changed, or the Secret was handed to us", () => {
    const managed = { annotations: { "sealedsecrets.bitnami.com/managed": "true" } };
    const theirs = secret({ ...managed, type: "x/y", immutable: true, rest: { uid: "new" } });
    expect(
      reasonOf(
        decide(desired({ data: { a: "2" } }), theirs, { allowedTypes, left, drifted: true }),
      ),
    ).toBe("Immutable");
    const frozen = secret({ ...OURS, immutable: true });
    expect(reasonOf(decide(desired({ data: { a: "2" } }), frozen, { allowedTypes, left }))).toBe(
      "Immutable",
    );
    const typed = secret({ ...OURS, type: "x/y", rest: { uid: "new" } });
    expect(reasonOf(decide(desired({ type: "a/b" }), typed, { allowedTypes, left }))).toBe(
      "TypeChanged",
    );
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
    const decision = decide(desired(), existing, { allowedTypes, left, drifted: true });
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
      annotations: { ...OURS.annotations, note: "1", kept: "1" },
      rest: { managedFields },
    });
    const { metadata } = written(decide(desired(), existing, { allowedTypes }));
    expect(metadata.labels).toEqual({ [SECRET_LABEL]: "owned", theirs: "1" });
    expect(metadata.annotations).toEqual({ ...OURS.annotations, kept: "1" });
  });

  it("keeps other owners, and takes the place of its own former self", () => {
    const gone = { ...OWNER, uid: "earlier" };
    const bystander = { ...DEPLOYMENT, controller: false };
    const existing = secret({ ...OURS, owners: [gone, bystander] });
    expect(
      written(decide(desired(), existing, { allowedTypes })).metadata.rest["ownerReferences"],
    ).toEqual([bystander, OWNER]);
  });

  it("adds to a Secret that says patch, and cannot make it its own", () => {
    const patch = { "sealedsecrets.bitnami.com/patch": "true" };
    const existing = secret({ data: { own: "1", both: "old" }, annotations: patch, type: "x/y" });
    const asked = desired({
      data: { both: "new", ours: "2" },
      annotations: { "sealedsecrets.bitnami.com/managed": "true", note: "1" },
    });
    const merged = written(decide(asked, existing, { allowedTypes }));
    expect(
      Object.fromEntries([...merged.data].map(([k, v]) => [k, Buffer.from(v).toString()])),
    ).toEqual({ own: "1", both: "new", ours: "2" });
    expect(merged.type).toBe("x/y");
    expect(merged.metadata.annotations).toEqual({ ...patch, note: "1" });
    expect(merged.metadata.labels).toEqual({ [SECRET_LABEL]: "patched" });
    expect(merged.metadata.rest["ownerReferences"]).toBeUndefined();
    expect(reasonOf(decide(asked, merged, { allowedTypes }))).toBe("keep");
  });

  describe("that says managed and patch", () => {
    const both = {
      "sealedsecrets.bitnami.com/patch": "true",
      "sealedsecrets.bitnami.com/managed": "true",
    };
    const texts = (merged: Secret): unknown =>
      Object.fromEntries([...merged.data].map(([k, v]) => [k, Buffer.from(v).toString()]));

    it("becomes ours and keeps its items, now and later", () => {
      const existing = secret({ data: { own: "1", both: "old" }, annotations: both });
      const taken = written(
        decide(desired({ data: { both: "new", ours: "2" } }), existing, { allowedTypes }),
      );
      expect(texts(taken)).toEqual({ own: "1", both: "new", ours: "2" });
      expect(taken.metadata.rest["ownerReferences"]).toEqual([OWNER]);
      expect(isPatched(taken)).toBe(false);
      const later = decide(desired({ data: { both: "3" } }), taken, { allowedTypes });
      expect(texts(written(later))).toEqual({ own: "1", both: "3", ours: "2" });
    });

    it("and was taken over by the original keeps its items", () => {
      const existing = secret({ data: { own: "1" }, annotations: both, owners: [OWNER] });
      const merged = written(decide(desired({ data: { ours: "2" } }), existing, { allowedTypes }));
      expect(texts(merged)).toEqual({ own: "1", ours: "2" });
    });

    it("loses items that are not declared where we made it", () => {
      const existing = secret({
        ...OURS,
        data: { own: "1" },
        annotations: { ...OURS.annotations, ...both },
      });
      const merged = written(
        decide(desired({ data: { ours: "2" }, annotations: both }), existing, { allowedTypes }),
      );
      expect(texts(merged)).toEqual({ ours: "2" });
    });
  });

  it("writes the resourceVersion that it saw, so that a later edit is not overwritten", () => {
    const merged = written(decide(desired({ data: { a: "2" } }), secret(OURS), { allowedTypes }));
    expect(merged.metadata.rest).toMatchObject({ uid: "secret-uid", resourceVersion: "1" });
  });
});

describe("a Secret on which something in the cluster acts", () => {
  const TOKEN = "kubernetes.io/service-account-token";
  const HELM = "helm.sh/release.v1";
  const patch = { "sealedsecrets.bitnami.com/patch": "true" };
  const managed = { "sealedsecrets.bitnami.com/managed": "true" };
  const release = { data: { release: "x" }, labels: { owner: "helm" } };

  it.each<[string, Shape, Shape | null, string]>([
    ["a service account's token", { type: TOKEN }, null, TOKEN],
    [
      "a bootstrap token",
      { type: "bootstrap.kubernetes.io/token" },
      null,
      "bootstrap.kubernetes.io/token",
    ],
    ["a Helm release", { type: HELM }, null, HELM],
    ["a Helm release by its label", release, null, HELM],
    ["one that was made before", { type: TOKEN }, { ...OURS, type: TOKEN }, TOKEN],
    ["one whose type only the existing Secret has", {}, { ...OURS, type: TOKEN }, TOKEN],
    ["one that its owner hands over", {}, { annotations: managed, type: TOKEN }, TOKEN],
    ["one that its owner lets us add to", {}, { annotations: patch, type: TOKEN }, TOKEN],
    [
      "one that becomes a Helm release by what is added",
      { labels: { owner: "helm" } },
      { annotations: patch, data: { release: "x" } },
      HELM,
    ],
  ])("is not written unless that is allowed: %s", (_what, asked, found, type) => {
    const existing = found === null ? null : secret(found);
    const decision = decide(desired(asked), existing, { allowedTypes });
    expect(decision).toMatchObject({
      act: "refuse",
      verdict: { synced: false, reason: "TypeNotAllowed", next: "wait" },
    });
    const { message } = (decision as { verdict: { message: string } }).verdict;
    expect(message).toContain(`--allow-secret-types=${type}`);
    const allowed = decide(desired(asked), existing, { allowedTypes: new Set([type]) });
    expect(reasonOf(allowed)).not.toBe("TypeNotAllowed");
  });

  it("is a Helm release by its name as well", () => {
    const asked = desired();
    const named = { ...asked, metadata: { ...asked.metadata, name: "sh.helm.release.v1.web.v1" } };
    expect(reasonOf(decide(named, null, { allowedTypes }))).toBe("TypeNotAllowed");
  });

  it.each<[string, Shape]>([
    ["a certificate", { type: "kubernetes.io/tls" }],
    ["a registry's password", { type: "kubernetes.io/dockerconfigjson" }],
    ["a type of someone's own", { type: "example.org/service-account-token" }],
    ["a label that Helm would need an item for", { labels: { owner: "helm" } }],
    ["the annotation of a token", { annotations: { "kubernetes.io/service-account.name": "x" } }],
  ])("is none: %s", (_what, asked) => {
    expect(reasonOf(decide(desired(asked), null, { allowedTypes }))).toBe("create");
  });
});

it("our mark is the SealedSecret's uid, whatever the template says, and never on others' Secrets", () => {
  const annotations = { [MADE_FROM_ANNOTATION]: "forged" };
  expect(desired({ annotations }).metadata.annotations).toEqual(OURS.annotations);
  const patch = { "sealedsecrets.bitnami.com/patch": "true" };
  const existing = secret({ annotations: patch, data: { own: "1" } });
  const merged = written(decide(desired({ annotations }), existing, { allowedTypes }));
  expect(merged.metadata.annotations).toEqual(patch);
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

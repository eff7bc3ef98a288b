// Owns: the chart's ValidatingAdmissionPolicies in a real API server: each case, each action, and that the
// controller and Helm go on with their work under them.
// Does not own: the cases (test/policies/cases.ts), the other engines (test/interop/policies.test.ts).
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderObjects } from "../interop/helm.ts";
import { partPath } from "../parts/parts.ts";
import {
  caseTitle,
  POLICY_NAMESPACE,
  POLICY_NAMESPACES,
  POLICY_VALUES,
  type PolicyCase,
  policyCases,
} from "../policies/cases.ts";
import {
  type Answer,
  type ControlPlane,
  type KubeObject,
  MERGE,
  startControlPlane,
} from "./controlplane.ts";
import { certificateOf, SEALED_SECRETS, sealed, untilData } from "./objects.ts";
import { runToEnd } from "./program.ts";
import { installSignet, type RunningController, startSignet } from "./signet.ts";

const CASES = await policyCases();
/** The names under which the API server tells which of the policies refused. */
const POLICIES = ["plaintext-secrets", "scopes", "key-size"].map((name) => `signet-${name}`);
const ENGINE = { "policies.engine": "ValidatingAdmissionPolicy" };

let plane: ControlPlane;
let controller: RunningController;

const policies = (values: object): KubeObject[] =>
  (renderObjects({ ...ENGINE, ...values }, POLICY_NAMESPACE) as KubeObject[]).filter(({ kind }) =>
    kind?.startsWith("ValidatingAdmissionPolicy"),
  );

/** Applies them, and waits until the API server acts upon them. */
async function enforce(values: object): Promise<void> {
  for (const policy of policies(values)) await plane.apply(policy);
  await probeUntil((answer) => answer.status !== 201 || answer.warnings !== "");
}

async function lift(values: object): Promise<void> {
  for (const policy of policies(values)) await plane.request("DELETE", await plane.pathOf(policy));
  await probeUntil((answer) => answer.status === 201 && answer.warnings === "");
}

async function probeUntil(holds: (answer: Answer) => boolean): Promise<void> {
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "probe" } };
  await plane.waitFor("the policies to be in force, or lifted", async () =>
    holds(await plane.request("POST", "/api/v1/namespaces/shop/secrets?dryRun=All", secret)),
  );
}

function collectionOf({ kind, metadata }: PolicyCase["object"]): string {
  const { namespace } = metadata;
  return kind === "Secret"
    ? `/api/v1/namespaces/${namespace}/secrets`
    : `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets`;
}

/** Sent by its user, who may do everything as far as roles go. */
async function send({ object, old, user }: PolicyCase): Promise<Answer> {
  const groups = [...(user?.groups ?? []), "system:masters"];
  const options = { as: { user: user?.name ?? "", groups } };
  const collection = collectionOf(object);
  if (old === undefined) return plane.request("POST", collection, object, options);
  const path = `${collection}/${object.metadata.name}`;
  const { resourceVersion } = (await plane.request("GET", path)).body.metadata ?? {};
  const metadata = { ...object.metadata, resourceVersion };
  return plane.request("PUT", path, { ...object, metadata }, options);
}

beforeAll(async () => {
  plane = await startControlPlane({ auditLog: true });
  for (const [name, labels] of Object.entries(POLICY_NAMESPACES)) {
    await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }
  await installSignet(plane, { namespace: POLICY_NAMESPACE });
  for (const { old } of CASES) {
    if (old === undefined) continue;
    expect((await plane.request("POST", collectionOf(old), old)).status).toBe(201);
  }
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

describe("ValidatingAdmissionPolicies that deny", { concurrent: false }, () => {
  beforeAll(async () => {
    await enforce(POLICY_VALUES);
  });

  it.each(CASES.map((each) => [caseTitle(each), each] as const))("%s", async (_, each) => {
    const { status, body } = await send(each);
    if (each.refusedBy === undefined) {
      expect(body.message).toBeUndefined();
      expect(status).toBe(each.old === undefined ? 201 : 200);
      return;
    }
    expect(status).toBe(403);
    const refusing = POLICIES.filter((name) => body.message?.includes(`'${name}'`));
    expect(refusing).toEqual([`signet-${each.refusedBy}`]);
    expect(body.message).toContain(each.says ?? "");
    expect(body.message).not.toMatch(/hunter2|aHVudGVyMg/);
  });

  it("have a case for each that refuses, and pass and refuse alike", () => {
    const refused = CASES.map(({ refusedBy }) => refusedBy).filter((name) => name !== undefined);
    expect(new Set(refused).size).toBe(POLICIES.length);
    expect(CASES.length - refused.length).toBeGreaterThan(15);
  });

  it("let the controller make its key, unseal, repair and make anew", async () => {
    controller = await startSignet(plane, {
      namespace: POLICY_NAMESPACE,
      flags: ["--key-size=3072"],
    });
    const certificate = await certificateOf(controller);
    const stringData = { password: "plain-1" };
    const object = { namespace: "wide", name: "db", stringData };
    await plane.apply(await sealed(certificate, object));
    await untilData(plane, "wide", "db", stringData);
    const path = "/api/v1/namespaces/wide/secrets/db";
    expect((await plane.request("PATCH", path, { stringData: { a: "b" } }, MERGE)).status).toBe(
      403,
    );
    expect((await plane.request("DELETE", path)).status).toBe(200);
    await untilData(plane, "wide", "db", stringData);
  });

  it("let Helm keep its releases", async () => {
    const chart = mkdtempSync(join(tmpdir(), "policies-"));
    try {
      const helm = [partPath("helm"), "--kubeconfig", await plane.kubeconfig()];
      const created = await runToEnd([partPath("helm"), "create", join(chart, "app")]);
      expect(created.stderr).toBe("");
      const values = ["--set=replicaCount=0", "--namespace=shop"];
      const installed = await runToEnd([...helm, "install", "app", join(chart, "app"), ...values]);
      expect([installed.status, installed.stderr]).toEqual([0, ""]);
    } finally {
      rmSync(chart, { recursive: true });
    }
  });

  it("are gone with the value", async () => {
    await lift(POLICY_VALUES);
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "plain" } };
    expect((await plane.request("POST", "/api/v1/namespaces/shop/secrets", secret)).status).toBe(
      201,
    );
  });
});

describe("ValidatingAdmissionPolicies that do not deny", { concurrent: false }, () => {
  const plain = (name: string): Promise<Answer> =>
    plane.request("POST", "/api/v1/namespaces/shop/secrets", {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name },
    });

  it("warn", async () => {
    const values = { "policies.action": "Warn" };
    await enforce(values);
    const { status, warnings } = await plain("warned");
    expect(status).toBe(201);
    expect(warnings).toContain("signet-plaintext-secrets");
    await lift(values);
  });

  it("record", async () => {
    for (const policy of policies({ "policies.action": "Audit" })) await plane.apply(policy);
    const recorded = await plane.waitFor("a record", async () => {
      const { status, warnings } = await plain(`recorded-${Date.now()}`);
      expect([status, warnings]).toEqual([201, ""]);
      const events = await plane.auditEvents();
      const last = events.findLast(({ objectRef }) => objectRef?.resource === "secrets");
      return last?.annotations?.["validation.policy.admission.k8s.io/validation_failure"];
    });
    expect(recorded).toContain("signet-plaintext-secrets");
  });

  it("leave plaintext Secrets to namespaces that are not served", async () => {
    const values = { namespaces: ["narrow"], "policies.minimumKeyBits": 0 };
    for (const policy of policies(values)) await plane.apply(policy);
    const create = async (namespace: string): Promise<number> => {
      const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "other" } };
      const path = `/api/v1/namespaces/${namespace}/secrets?dryRun=All`;
      return (await plane.request("POST", path, secret)).status;
    };
    await plane.waitFor("the policies", async () => (await create("narrow")) === 403);
    expect(await create("shop")).toBe(201);
  });

  it("are not there where nothing is to be refused", () => {
    const values = {
      "policies.plaintextSecrets.refuse": false,
      "policies.scopes.refuse": false,
      "policies.minimumKeyBits": 0,
    };
    expect(policies(values)).toEqual([]);
  });
});

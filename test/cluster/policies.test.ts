// The chart's ValidatingAdmissionPolicies in a real API server: each case, each action, and that
// the controller and Helm go on with their work under them.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMarkdown } from "../cli/markdown.ts";
import { asOptions, CHART } from "../interop/helm.ts";
import { partPath } from "../parts/parts.ts";
import {
  caseTitle,
  POLICY_NAMESPACE,
  POLICY_NAMESPACES,
  POLICY_VALUES,
  type PolicyCase,
  policyCases,
  type PolicyObject,
} from "../policies/cases.ts";
import { type Answer, type ControlPlane, MERGE, startControlPlane } from "./controlplane.ts";
import { certificateOf, sealed, SEALED_SECRETS, untilData } from "./objects.ts";
import { runToEnd } from "./program.ts";
import { type RunningController, startSignet } from "./signet.ts";

const THIS = "test/cluster/policies.test.ts";
const CASES = await policyCases();
/** The names under which the API server tells which of the policies refused. */
const POLICIES = ["plaintext-secrets", "scopes", "key-size", "hybrid"].map(
  (name) => `signet-${name}`,
);
const ENGINE = { "policies.engine": "ValidatingAdmissionPolicy" };

let plane: ControlPlane;
let controller: RunningController | undefined;

/** Runs Helm as an administrator. */
async function helm(args: readonly string[]): Promise<void> {
  const command = [partPath("helm"), "--kubeconfig", await plane.kubeconfig(), ...args];
  const { status, stderr } = await runToEnd(command);
  expect([status, stderr]).toEqual([0, ""]);
}

/** Upgrades the release to these values and no others. */
function upgrade(values: object): Promise<void> {
  const place = ["signet", CHART, "--namespace", POLICY_NAMESPACE];
  return helm(["upgrade", "--install", ...place, "--reset-values", ...asOptions(values)]);
}

/** What each of the policies refuses with the values of the cases, one request for each. */
const PROBES = POLICIES.map((name) => {
  const found = CASES.find(
    ({ refusedBy, old }) => `signet-${refusedBy ?? ""}` === name && old === undefined,
  );
  if (found === undefined) throw new Error(`no case for ${name}`);
  return found.object;
});

async function probe(object: PolicyObject): Promise<Answer> {
  return plane.request("POST", `${collectionOf(object)}?dryRun=All`, object);
}

/** The API server reads policies once a second. */
async function untilEnforced(probes = PROBES): Promise<void> {
  await plane.waitFor("the policies to be in force", async () => {
    const answers = await Promise.all(probes.map(probe));
    return answers.every(({ status, warnings }) => status === 403 || warnings !== "");
  });
}

async function untilLifted(): Promise<void> {
  await plane.waitFor("the policies to be lifted", async () => {
    const answers = await Promise.all(PROBES.map(probe));
    return answers.every(({ status, warnings }) => status === 201 && warnings === "");
  });
}

function collectionOf({ kind, metadata }: PolicyObject): string {
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
  await upgrade({});
  for (const { old } of CASES) {
    if (old === undefined) continue;
    expect((await plane.request("POST", collectionOf(old), old)).status).toBe(201);
  }
});

afterAll(async () => {
  await controller?.stop();
  await plane.stop();
});

describe("ValidatingAdmissionPolicies", { concurrent: false }, () => {
  beforeAll(async () => {
    await upgrade({ ...ENGINE, ...POLICY_VALUES });
    await untilEnforced();
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
    expect(each.says).toBeDefined();
    expect(body.message).toContain(each.says);
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

  it("let Helm keep the releases of others", async () => {
    const folder = mkdtempSync(join(tmpdir(), "policies-"));
    try {
      const app = join(folder, "app");
      await helm(["create", app]);
      await helm(["install", "app", app, "--set=replicaCount=0", "--namespace=shop"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("leave namespaces alone that are not served", async () => {
    await upgrade({ ...ENGINE, ...POLICY_VALUES, namespaces: ["strict"] });
    const place = (namespace: string): Promise<Answer[]> =>
      Promise.all(
        PROBES.map((object) => probe({ ...object, metadata: { ...object.metadata, namespace } })),
      );
    const statuses = async (namespace: string): Promise<number[]> =>
      (await place(namespace)).map(({ status }) => status);
    await plane.waitFor("the policies", async () =>
      (await statuses("narrow")).every((status) => status === 201),
    );
    // The last is for one namespace only.
    expect(await statuses("strict")).toEqual([403, 403, 403, 201]);
  });

  it("let everything through, and record it, by the command for the night", async () => {
    await upgrade({ ...ENGINE, ...POLICY_VALUES });
    await untilEnforced();
    const page = readMarkdown(readFileSync("docs/policies.md", "utf8"));
    const block = page.blocks.find(({ mark }) => mark?.kind === "test" && mark.file === THIS);
    const [command = "", ...others] = block?.lines ?? [];
    expect(others).toEqual([]);
    const words = command.replace("kube-system", POLICY_NAMESPACE).split(" ");
    expect(words.shift()).toBe("helm");
    await helm(words);
    await untilLifted();
    const events = await plane.auditEvents();
    const recorded = events.map(
      ({ annotations = {} }) =>
        annotations["validation.policy.admission.k8s.io/validation_failure"],
    );
    for (const name of POLICIES) expect(recorded.join()).toContain(name);
  });

  it("warn, where that is asked for", async () => {
    await upgrade({ ...ENGINE, ...POLICY_VALUES, "policies.action": "Warn" });
    await plane.waitFor("warnings", async () => {
      const answers = await Promise.all(PROBES.map(probe));
      expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201]);
      return answers.every(({ warnings }, i) => warnings.includes(POLICIES[i] ?? "none"));
    });
  });

  it("are gone with the value", async () => {
    await upgrade({});
    await untilLifted();
    const path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    const { body } = await plane.request("GET", path);
    expect(body.items).toEqual([]);
  });
});

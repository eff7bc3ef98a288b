// Values that are sealed for labels of namespaces, on a real API server with the chart's rights: where
// they open, that changes of labels are followed, and what a tenant gains by writing them.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { sealingIn } from "../../shared/keys/kinds.ts";
import { matchesLabels, parseLabelSelector } from "../../shared/kubernetes/labelselector.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import {
  certificateOf,
  readSecret,
  sealed,
  SEALED_SECRETS,
  untilData,
  untilJudged,
  untilVerdict,
} from "./objects.ts";
import { kubeseal, startOriginal } from "./original.ts";
import { addTenant, installSignet, type RunningController, startSignet } from "./signet.ts";

const ANNOTATION = "kube-signet/namespace-selector";
const FLAGS = ["--key-size=2048", "--hybrid-keys"];

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  controller = await start();
  certificate = await certificateOf(controller);
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

/** With the Node of the image, which opens post-quantum values. */
function start(...flags: string[]): Promise<RunningController> {
  return startSignet(plane, { node: partPath("node26"), flags: [...FLAGS, ...flags] });
}

let made = 0;
async function namespaceWith(labels: Record<string, string>): Promise<string> {
  const name = `ns${++made}`;
  await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  return name;
}

async function label(namespace: string, labels: Record<string, string | null>): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}`;
  const { status } = await plane.request("PATCH", path, { metadata: { labels } }, MERGE);
  expect(status).toBe(200);
}

function forTeam(namespace: string, value: string, scope: Scope = "selector team=a") {
  return sealed(certificate, { namespace, name: "db", stringData: { value }, scope });
}

describe("a value for labels", () => {
  it("opens in each namespace that has them, from one text, with RSA and post-quantum alike", async () => {
    const [one, two, other] = [
      await namespaceWith({ team: "a" }),
      await namespaceWith({ team: "a", tier: "web" }),
      await namespaceWith({ team: "b" }),
    ];
    const hybrid = await forTeam(one, "plain-1");
    expect(JSON.stringify(hybrid.spec)).toContain('"PQ1');
    const key = parseCertificate(certificate);
    const secret = parseSecret({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { namespace: one, name: "rsa" },
      stringData: { value: "plain-2" },
    });
    const rsa = formatSealedSecret(await seal(secret, sealingIn(key, "rsa"), "selector team=a"));
    expect(JSON.stringify(rsa["spec"])).not.toContain('"PQ1');
    for (const namespace of [one, two, other]) {
      for (const object of [hybrid, rsa as KubeObject]) {
        await plane.apply({ ...object, metadata: { ...object.metadata, namespace } });
      }
    }
    for (const namespace of [one, two]) {
      await untilData(plane, namespace, "db", { value: "plain-1" });
      await untilData(plane, namespace, "rsa", { value: "plain-2" });
    }
    const { synced } = await untilVerdict(plane, other, "db", "NamespaceNotSelected");
    expect(synced?.message).toBe(
      `the labels of namespace ${other} do not match "team=a", which the values are sealed for`,
    );
    expect(await readSecret(plane, other, "db")).toBeUndefined();
  });

  it("follows the labels", async () => {
    const namespace = await namespaceWith({});
    await plane.apply(await forTeam(namespace, "plain-1"));
    await untilVerdict(plane, namespace, "db", "NamespaceNotSelected");
    await label(namespace, { team: "a" });
    const before = await untilData(plane, namespace, "db", { value: "plain-1" });

    // It stays, and neither a new value nor a repair reaches it.
    await label(namespace, { team: null });
    await plane.apply(await forTeam(namespace, "plain-2"));
    const { synced } = await untilVerdict(plane, namespace, "db", "NamespaceNotSelected");
    expect(synced?.message).toContain("stays as it is and gets no new values");
    expect(await readSecret(plane, namespace, "db")).toEqual(before);
    await plane.request("DELETE", `/api/v1/namespaces/${namespace}/secrets/db`);
    await untilVerdict(plane, namespace, "db", "NamespaceNotSelected");
    expect(await readSecret(plane, namespace, "db")).toBeUndefined();

    await label(namespace, { team: "a" });
    await untilData(plane, namespace, "db", { value: "plain-2" });
  });

  it("opens by the name that the API server gives a namespace as a label, which nobody can take or give", async () => {
    const [mine, theirs] = [await namespaceWith({}), await namespaceWith({})];
    const scope: Scope = `selector kubernetes.io/metadata.name=${mine}`;
    const object = await forTeam(mine, "plain-1", scope);
    for (const namespace of [mine, theirs]) {
      await plane.apply({ ...object, metadata: { ...object.metadata, namespace } });
    }
    await untilData(plane, mine, "db", { value: "plain-1" });
    const patch = { metadata: { labels: { "kubernetes.io/metadata.name": mine } } };
    await plane.request("PATCH", `/api/v1/namespaces/${theirs}`, patch, MERGE);
    await untilVerdict(plane, theirs, "db", "NamespaceNotSelected");
    const { body } = await plane.request("GET", `/api/v1/namespaces/${theirs}`);
    expect(body.metadata?.labels?.["kubernetes.io/metadata.name"]).toBe(theirs);
  });
});

it("opens nothing for a tenant, whatever is written on it", async () => {
  const victim = await namespaceWith({ team: "a" });
  const namespace = await namespaceWith({ team: "b", owner: "tenant" });
  const token = await addTenant(plane, {
    namespace,
    name: "tenant",
    rules: [
      { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["*"] },
      { apiGroups: [""], resources: ["secrets", "namespaces"], verbs: ["*"] },
    ],
  });
  const object = await forTeam(victim, "plain-1");
  const wide = "sealedsecrets.bitnami.com/cluster-wide";
  const own = `kubernetes.io/metadata.name=${namespace}`;
  const tries: Record<string, Record<string, string>> = {
    "as-it-is": { [ANNOTATION]: "team=a" },
    "own-label": { [ANNOTATION]: "team=b" },
    "own-name": { [ANNOTATION]: own },
    both: { [ANNOTATION]: "team in (a,b)" },
    respelled: { [ANNOTATION]: "team in (a)" },
    empty: { [ANNOTATION]: "" },
    negative: { [ANNOTATION]: "team!=c" },
    none: {},
    wide: { [wide]: "true" },
    "wide-and-selector": { [wide]: "true", [ANNOTATION]: "team=a" },
    spaces: { [ANNOTATION]: "team=a " },
    mark: { [ANNOTATION]: "\u00fe" },
  };
  for (const [name, annotations] of Object.entries(tries)) {
    const metadata = { name, namespace, annotations };
    const template = { metadata: { annotations: { [ANNOTATION]: "team=b" } } };
    const spec = { ...(object.spec as object), template };
    const path = `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets`;
    const answer = await plane.request("POST", path, { ...object, metadata, spec }, { token });
    expect([name, answer.status]).toEqual([name, 201]);
  }
  for (const name of Object.keys(tries)) {
    const { status } = await untilJudged(plane, namespace, name);
    expect([name, status]).toEqual([name, "False"]);
    expect(await readSecret(plane, namespace, name)).toBeUndefined();
  }
});

it("matches as the API server matches, in the canonical spelling and in any", async () => {
  const names: string[] = [];
  const all: Record<string, string>[] = [{}, { team: "a" }, { team: "b", x: "" }, { x: "1" }];
  for (const labels of all) names.push(await namespaceWith({ ...labels, matched: "yes" }));
  for (const text of [
    "team=a",
    "team==a",
    "team!=a",
    "team in (a,b)",
    "team in (b , a)",
    "team notin (a)",
    "team",
    "!team",
    "x=",
    "x in (,1)",
    "x notin (1),team",
    "team in (a),x",
  ]) {
    const canonical = parseLabelSelector(text);
    const ours = names.filter((_name, at) => matchesLabels(canonical, all[at] ?? {}));
    for (const spelling of [text, canonical.text]) {
      const query = new URLSearchParams({ labelSelector: `matched,${spelling}` });
      const { body } = await plane.request("GET", `/api/v1/namespaces?${query.toString()}`);
      const { items } = body as unknown as { items: KubeObject[] };
      const found = items.map(({ metadata }) => metadata?.name).sort();
      expect([spelling, found]).toEqual([spelling, [...ours].sort()]);
    }
  }
});

it("is closed to the original", async () => {
  const namespace = await namespaceWith({ team: "a" });
  const keys = "/api/v1/namespaces/kube-system/secrets?labelSelector=";
  const { body } = await plane.request(
    "GET",
    `${keys}sealedsecrets.bitnami.com/sealed-secrets-key=active`,
  );
  const [key] = (body as unknown as { items: { data: Record<string, string> }[] }).items;
  const file = join(plane.directory, "tls.key");
  await writeFile(file, Buffer.from(key?.data["tls.key"] ?? "", "base64"));
  const object = await forTeam(namespace, "plain-1");
  const { status, stderr } = await kubeseal(
    ["--recovery-unseal", `--recovery-private-key=${file}`],
    { stdin: JSON.stringify(object) },
  );
  expect(status).not.toBe(0);
  expect(stderr).toContain("no key could decrypt secret");

  await controller.stop();
  const original = await startOriginal(plane, { flags: ["--key-size=2048"] });
  try {
    await plane.apply(object);
    const { message } = await plane.waitFor("the original's verdict", async () => {
      const path = `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/db`;
      const { status: seen } = (await plane.request("GET", path)).body as {
        status?: { conditions?: { message?: string }[] };
      };
      return seen?.conditions?.[0];
    });
    expect(message).toContain("no key could decrypt secret");
    expect(await readSecret(plane, namespace, "db")).toBeUndefined();
  } finally {
    await original.stop();
    controller = await start();
  }
  await untilData(plane, namespace, "db", { value: "plain-1" });
});

it("says so where it may not read the labels, and where it is turned off", async () => {
  await controller.stop();
  const namespace = await namespaceWith({ team: "a" });
  controller = await start("--selector-scope=false");
  await plane.apply(await forTeam(namespace, "plain-1"));
  const { synced } = await untilVerdict(plane, namespace, "db", "NamespaceUnknown");
  expect(synced?.message).toContain("--selector-scope=false");
  expect(await readSecret(plane, namespace, "db")).toBeUndefined();

  // In listed namespaces it gets each by name, which the chart grants there and not here.
  await controller.stop();
  controller = await start("--all-namespaces=false", `--additional-namespaces=${namespace}`);
  await plane.waitFor("the refusal", async () => {
    const now = await untilVerdict(plane, namespace, "db", "NamespaceUnknown");
    return now.synced?.message?.endsWith("permission to get namespaces") === true;
  });
  const apiGroup = "rbac.authorization.k8s.io";
  const metadata = { name: "namespace-labels", namespace };
  const rules = [{ apiGroups: [""], resources: ["namespaces"], verbs: ["get"] }];
  await plane.apply({ apiVersion: `${apiGroup}/v1`, kind: "Role", metadata, rules });
  await plane.apply({
    apiVersion: `${apiGroup}/v1`,
    kind: "RoleBinding",
    metadata,
    roleRef: { apiGroup, kind: "Role", name: metadata.name },
    subjects: [{ kind: "ServiceAccount", name: "signet-controller", namespace: "kube-system" }],
  });
  await untilData(plane, namespace, "db", { value: "plain-1" });
});

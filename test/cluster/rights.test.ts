// That each right the chart grants is needed: every verb on every resource is found used, by the
// very role that grants it, in the audit log of a real API server; and that no right is missed.
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterEach, expect, it } from "vitest";
import type { Scope } from "../../shared/sealing/scope.ts";
import { renderObjects } from "../interop/helm.ts";
import { partPath } from "../parts/parts.ts";
import {
  type AuditEvent,
  type ControlPlane,
  type KubeObject,
  MERGE,
  startControlPlane,
} from "./controlplane.ts";
import {
  certificateOf,
  eventsOf,
  readSecret,
  ROLLOUTS,
  sealed,
  SEALED_SECRETS,
  untilData,
  untilVerdict,
} from "./objects.ts";
import { runToEnd } from "./program.ts";
import { addAccount, exposeController, type RunningController, startSignet } from "./signet.ts";

const NAMESPACE = "kube-system";
const ACCOUNT = "signet-controller";
const SERVICE = "sealed-secrets-controller";

let plane: ControlPlane;

afterEach(async () => {
  await plane.stop();
});

interface Rule {
  readonly apiGroups?: string[];
  readonly resources?: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

interface Binding extends KubeObject {
  readonly roleRef: { kind: string; name: string };
  readonly subjects: { kind: string; name: string }[];
}

/** `ClusterRole NAME` or `Role NAMESPACE/NAME`, then verb, group/resource and what name it is bound to. */
function grants(objects: KubeObject[], subject: string): string[] {
  const bindings = objects.filter(({ kind }) => kind?.endsWith("Binding")) as Binding[];
  return bindings
    .filter(({ subjects }) => subjects.some(({ name }) => name === subject))
    .flatMap(({ roleRef, metadata }) => {
      const at = metadata?.namespace;
      const role = objects.find(
        (each) =>
          each.kind === roleRef.kind &&
          each.metadata?.name === roleRef.name &&
          each.metadata.namespace === (roleRef.kind === "Role" ? at : undefined),
      );
      const named = `${roleRef.kind} ${at === undefined ? "" : `${at}/`}${roleRef.name}`;
      return ((role?.rules ?? []) as Rule[]).flatMap((rule) => expand(rule, named));
    })
    .sort();
}

function expand(rule: Rule, named: string): string[] {
  const { apiGroups = [], resources = [], resourceNames = [""], verbs } = rule;
  return apiGroups.flatMap((group) =>
    resources.flatMap((resource) =>
      resourceNames.flatMap((name) =>
        verbs.map((verb) => [named, verb, `${group}/${resource}`, name].join(" ").trimEnd()),
      ),
    ),
  );
}

/** The same of what was let through: the API server tells which binding it was. */
function uses(events: AuditEvent[], names: ReadonlySet<string>): Set<string> {
  const used = new Set<string>();
  for (const { verb, objectRef = {}, responseStatus, annotations = {} } of events) {
    const { apiGroup = "", resource = "", subresource, namespace = "", name = "" } = objectRef;
    const reason = annotations["authorization.k8s.io/reason"] ?? "";
    const [, kind = "", role = ""] = / of (ClusterRole|Role) "([^"]+)"/.exec(reason) ?? [];
    const code = responseStatus?.code ?? 0;
    if (kind === "" || code < 200 || code > 299) continue;
    const named = `${kind} ${kind === "Role" ? `${namespace}/` : ""}${role}`;
    const what = `${apiGroup}/${resource}${subresource === undefined ? "" : `/${subresource}`}`;
    used.add([named, verb, what].join(" "));
    if (names.has(name)) used.add([named, verb, what, name].join(" "));
  }
  return used;
}

const userOf = (account: string): string => `system:serviceaccount:${NAMESPACE}:${account}`;

async function auditOf(user: string): Promise<AuditEvent[]> {
  return (await plane.auditEvents()).filter((event) => event.user.username === user);
}

/** Each right used, none missed. */
async function expectExact(objects: KubeObject[], subject: string, user: string): Promise<void> {
  const granted = grants(objects, subject);
  expect(granted.length).toBeGreaterThan(0);
  // A right that is granted twice would be superfluous once.
  expect(new Set(granted).size).toBe(granted.length);
  const events = await auditOf(user);
  const names = new Set(
    (objects.flatMap(({ rules }) => rules ?? []) as Rule[]).flatMap(
      ({ resourceNames }) => resourceNames ?? [],
    ),
  );
  const used = uses(events, names);
  expect(granted.filter((right) => !used.has(right))).toEqual([]);
  const refused = events.filter(({ responseStatus }) => responseStatus?.code === 403);
  expect(refused.map(({ verb, requestURI }) => `${verb} ${requestURI}`)).toEqual([]);
}

/** Installs what the chart renders to, less what runs, and starts the controller with its flags. */
async function install(
  values: object,
): Promise<{ objects: KubeObject[]; controller: RunningController; flags: string[] }> {
  plane = await startControlPlane({ auditLog: true });
  for (const name of ["shop", "billing", "shared"]) {
    const metadata = { name, labels: { team: "a" } };
    await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata });
  }
  const objects = renderObjects(values) as KubeObject[];
  for (const object of objects) if (object.kind !== "Deployment") await plane.apply(object);
  const deployment = objects.find(({ kind }) => kind === "Deployment");
  const { template } = deployment?.spec as {
    template: { spec: { containers: { args: string[] }[] } };
  };
  const args = template.spec.containers[0]?.args ?? [];
  const flags = [...args.filter((arg) => !arg.startsWith("--listen-")), "--key-size=2048"];
  return { objects, controller: await startSignet(plane, { flags }), flags };
}

/** Everything that a controller does for a SealedSecret: made, changed, put back, put in place anew. */
async function live(
  controller: RunningController,
  namespace: string,
  { byLabels: opensByLabels = true } = {},
): Promise<KubeObject> {
  const certificate = await certificateOf(controller);
  const declared = { namespace, name: "db", stringData: { password: "one" } };
  const path = `/api/v1/namespaces/${namespace}/secrets/db`;
  await plane.apply(await sealed(certificate, declared));
  await untilVerdict(plane, namespace, "db", "Unsealed");
  // By the labels of the namespace, which it has to read.
  const own = "selector kubernetes.io/metadata.name=" + namespace;
  const stringData = { token: "one" };
  const byLabels = { namespace, name: "by-labels", stringData, scope: own as Scope };
  if (opensByLabels) {
    await plane.apply(await sealed(certificate, byLabels));
    await untilData(plane, namespace, "by-labels", stringData);
  }
  const object = await sealed(certificate, { ...declared, stringData: { password: "two" } });
  await plane.apply(object);
  await untilData(plane, namespace, "db", { password: "two" });

  // What an update can undo, and what it cannot.
  const edit = { stringData: { password: "edited" } };
  expect((await plane.request("PATCH", path, edit, MERGE)).status).toBe(200);
  await untilData(plane, namespace, "db", { password: "two" });
  const before = (await readSecret(plane, namespace, "db"))?.metadata?.uid;
  await plane.request("PATCH", path, { immutable: true, ...edit }, MERGE);
  await plane.waitFor("the Secret in its place", async () => {
    const secret = await readSecret(plane, namespace, "db");
    return secret !== undefined && secret.metadata?.uid !== before && secret.immutable !== true;
  });
  await untilData(plane, namespace, "db", { password: "two" });
  await plane.request("DELETE", path);
  await untilData(plane, namespace, "db", { password: "two" });
  await plane.waitFor("an Event", async () => {
    return (await eventsOf(plane, namespace, "db")).some((event) => event.includes("Drift"));
  });
  return object;
}

/** The published certificates that nobody can update are put in place anew. */
async function republished(): Promise<void> {
  const path = `/api/v1/namespaces/${NAMESPACE}/configmaps/${SERVICE}-certificates`;
  const published = async (): Promise<KubeObject | undefined> => {
    const { body } = await plane.request("GET", path);
    const mark = body.metadata?.annotations?.["kube-signet/published-as"];
    return mark !== undefined && mark === body.metadata?.uid ? body : undefined;
  };
  const before = await plane.waitFor("the certificates", published);
  await plane.request("PATCH", path, { immutable: true, data: { "cert.pem": "edited" } }, MERGE);
  await plane.waitFor("the certificates in their place", async () => {
    const uid = (await published())?.metadata?.uid;
    return uid !== undefined && uid !== before.metadata?.uid;
  });
}

/** A second replica finds the Lease that the first keeps. */
async function elected(flags: string[]): Promise<void> {
  const second = await startSignet(plane, { flags, env: { POD_NAME: "signet-1" } });
  await plane.waitFor("the Lease to be renewed", async () => {
    const events = await auditOf(userOf(ACCOUNT));
    return events.some(({ verb, objectRef }) => {
      return verb === "update" && objectRef?.resource === "leases";
    });
  });
  await second.stop();
}

const WORKLOADS = {
  Deployment: "/apis/apps/v1/namespaces/shop/deployments/app",
  StatefulSet: "/apis/apps/v1/namespaces/shop/statefulsets/app",
  DaemonSet: "/apis/apps/v1/namespaces/shop/daemonsets/app",
  Rollout: "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/app",
};

/** It reads a Secret that is somebody's, and asks for restarts because of it. */
function workloadOf(kind: string, path: string): KubeObject {
  const labels = { app: "app" };
  const envFrom = [{ secretRef: { name: BYSTANDER } }];
  const containers = [{ name: "main", image: "none", envFrom }];
  return {
    apiVersion: path.split("/").slice(2, 4).join("/"),
    kind,
    metadata: {
      ...{ name: "app", namespace: "shop" },
      annotations: { "kube-signet/restart-on": `db,login,${BYSTANDER}` },
    },
    spec: {
      ...(kind === "StatefulSet" ? { serviceName: "app" } : {}),
      ...(kind === "DaemonSet" ? {} : { replicas: 0 }),
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers } },
    },
  };
}

async function annotated(path: string, name: string): Promise<void> {
  await plane.waitFor(`${name} on ${path}`, async () => {
    const { body } = await plane.request("GET", path);
    return body.metadata?.annotations?.[name] !== undefined;
  });
}

/** Waits until a workload is restarted, while those before it have their pods replaced. */
async function restartedOf(path: string): Promise<void> {
  await plane.waitFor(`a restart of ${path}`, async () => {
    for (const each of Object.values(WORKLOADS)) await saysReplaced(each);
    const { body } = await plane.request("GET", path);
    return body.metadata?.annotations?.["kube-signet/restarted"] !== undefined;
  });
}

async function saysReplaced(path: string): Promise<void> {
  const { body } = await plane.request("GET", path);
  const { restartAt } = (body["spec"] ?? {}) as { restartAt?: string };
  const status = path.includes("daemonsets")
    ? {
        ...{ currentNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 },
        desiredNumberScheduled: 0,
        observedGeneration: body.metadata?.generation,
      }
    : path.includes("rollouts")
      ? { restartedAt: restartAt }
      : { replicas: 0, observedGeneration: body.metadata?.generation };
  await plane.request("PATCH", `${path}/status`, { status }, MERGE);
}

it("cluster-wide, with tokens: every right is used, and none is missed", async () => {
  const { objects, controller, flags } = await install({ requireToken: true });
  try {
    const object = await live(controller, "shop");
    await elected(flags);
    await republished();
    const ask = async (route: string, account: string): Promise<number> => {
      const authorization = `Bearer ${await plane.serviceAccountToken("shop", account)}`;
      const init = { method: "POST", headers: { authorization }, body: JSON.stringify(object) };
      return (await fetch(`${controller.url}${route}`, init)).status;
    };
    const metadata = { name: "stranger", namespace: "shop" };
    await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
    await addAccount(plane, { namespace: "shop", name: "client", role: "signet-client" });
    for (const route of ["/v1/verify", "/v1/rotate"]) {
      expect(await ask(route, "stranger")).toBe(403);
      await plane.waitFor(route, async () => (await ask(route, "client")) === 200);
    }
    await expectExact(objects, ACCOUNT, userOf(ACCOUNT));
  } finally {
    await controller.stop();
  }
});

it("in namespaces with a label: every right is used, and none is missed", async () => {
  const { objects, controller, flags } = await install({ namespaceSelector: "team=a" });
  try {
    await live(controller, "shop");
    await elected(flags);
    await republished();
    await expectExact(objects, ACCOUNT, userOf(ACCOUNT));
  } finally {
    await controller.stop();
  }
});

const BYSTANDER = "bystander";

async function somebodys(namespace: string, name: string): Promise<KubeObject> {
  const metadata = { name, namespace };
  return plane.apply({ apiVersion: "v1", kind: "Secret", metadata, stringData: { a: "b" } });
}

/** A delivery that is made, changed, put back, refused where somebody has the name, and deleted. */
async function delivered(certificate: string): Promise<void> {
  const annotations = { "kube-signet/deliver-to": "team=a" };
  const declared = { namespace: "shared", name: "login", annotations };
  const path = `${SEALED_SECRETS}/namespaces/shared/sealedsecrets/login`;
  const delivery = "/api/v1/namespaces/shop/secrets/login";
  const theirs = await somebodys("billing", "login");
  for (const value of ["one", "two"]) {
    const stringData = { value };
    const scope = "cluster-wide";
    await plane.apply(await sealed(certificate, { ...declared, stringData, scope }));
    await untilData(plane, "shop", "login", stringData);
  }
  await plane.request("PATCH", delivery, { stringData: { value: "evil" } }, MERGE);
  await untilData(plane, "shop", "login", { value: "two" });
  await plane.request("DELETE", delivery);
  await untilData(plane, "shop", "login", { value: "two" });
  expect((await plane.request("DELETE", path)).status).toBe(200);
  await plane.waitFor("the delivery to be deleted", async () => {
    return (await readSecret(plane, "shop", "login")) === undefined;
  });
  const { metadata } = (await readSecret(plane, "billing", "login")) ?? {};
  expect(metadata?.resourceVersion).toBe(theirs.metadata?.resourceVersion);
}

/**
 * The controller read and wrote no Secrets but these and its keys, and listed none without a label of
 * its own. `own`: as `NAMESPACE/NAME`.
 */
async function expectOnly(own: readonly string[]): Promise<void> {
  const strange: string[] = [];
  for (const { verb, objectRef = {}, requestURI } of await auditOf(userOf(ACCOUNT))) {
    const { resource, namespace = "", name } = objectRef;
    if (resource !== "secrets") continue;
    const isKey =
      namespace === NAMESPACE && (name === undefined || name.startsWith("sealed-secrets-key"));
    // Where an object is created, the address has no name.
    const isOwn =
      name === undefined
        ? verb === "create" && own.some((each) => each.startsWith(`${namespace}/`))
        : own.includes(`${namespace}/${name}`);
    const selects = new URL(requestURI, plane.url).searchParams.get("labelSelector");
    const isListed = ["list", "watch"].includes(verb) && selects === "kube-signet/secret";
    if (!isKey && !isOwn && !isListed) strange.push(`${verb} ${requestURI}`);
  }
  expect(strange).toEqual([]);
}

it("with deliveries and restarts: every right is used, none is missed, and no Secret but ours", async () => {
  const { objects, controller, flags } = await install({
    selectorScope: false,
    deliverFrom: ["shared"],
    "restarts.enabled": true,
    "restarts.holdOff": "0s",
  });
  let second = controller;
  try {
    // What the controller looks for at its start.
    await plane.apply(ROLLOUTS);
    await controller.stop();
    second = await startSignet(plane, { flags });
    for (const namespace of ["shop", "billing", "shared"]) await somebodys(namespace, BYSTANDER);
    await live(second, "shop", { byLabels: false });
    for (const [kind, path] of Object.entries(WORKLOADS)) {
      await plane.apply(workloadOf(kind, path));
      await annotated(path, "kube-signet/restart-seen");
    }
    const declared = { namespace: "shop", name: "db", stringData: { password: "three" } };
    await plane.apply(await sealed(await certificateOf(second), declared));
    for (const path of Object.values(WORKLOADS)) await restartedOf(path);
    await delivered(await certificateOf(second));
    await elected(flags);
    await republished();
    await expectExact(objects, ACCOUNT, userOf(ACCOUNT));
    // Whose the one in billing is can only be told from itself.
    await expectOnly(["shop/db", "shop/login", "shared/login", "billing/login"]);
  } finally {
    await second.stop();
  }
});

it("in some namespaces: every right is used in each of them, and none is missed", async () => {
  const { objects, controller, flags } = await install({ namespaces: ["shop", "billing"] });
  try {
    for (const namespace of ["shop", "billing", NAMESPACE]) await live(controller, namespace);
    await elected(flags);
    await republished();
    await expectExact(objects, ACCOUNT, userOf(ACCOUNT));
  } finally {
    await controller.stop();
  }
});

it("of people, through the API server: every right is used by a way that clients take", async () => {
  const { objects, controller } = await install({});
  try {
    await exposeController(plane, {
      service: SERVICE,
      namespace: NAMESPACE,
      port: controller.port,
    });
    const metadata = { name: "developer", namespace: NAMESPACE };
    await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata });
    const token = await plane.serviceAccountToken(NAMESPACE, "developer");
    const KUBECONFIG = await plane.kubeconfig({ token });
    const object = await sealed(await certificateOf(controller), {
      namespace: "shop",
      name: "db",
      stringData: { a: "b" },
    });
    const signet = [process.execPath, resolve("dist/signet.cjs"), "cert", "fetch"];
    for (const command of [signet, [partPath("kubeseal"), "--fetch-cert"]]) {
      const { status, stdout, stderr } = await runToEnd(command, { env: { KUBECONFIG } });
      expect([status, stderr, stdout]).toEqual([0, expect.any(String), expect.any(String)]);
      expect(stdout).toContain("BEGIN CERTIFICATE");
    }
    const services = `/api/v1/namespaces/${NAMESPACE}/services`;
    const verify = `${services}/http:${SERVICE}:http/proxy/v1/verify`;
    expect((await plane.request("POST", verify, object, { token })).status).toBe(200);
    // Why the role names no other form.
    for (const name of [SERVICE, `http:${SERVICE}:`]) {
      const short = `${services}/${name}/proxy/v1/cert.pem`;
      expect((await plane.request("GET", short)).status).toBe(503);
    }
    await expectExact(objects, "system:authenticated", userOf("developer"));
  } finally {
    await controller.stop();
  }
});

it("of the backup: it lists the sealing keys from inside the cluster, and asks for nothing more", async () => {
  const identity = await generateX25519Identity();
  const values = {
    "backup.enabled": true,
    "backup.recipients": [await identityToRecipient(identity)],
    "backup.keep": 2,
  };
  const { objects, controller } = await install(values);
  await controller.stop();
  const account = "signet-backup";
  const job = objects.find(({ kind }) => kind === "CronJob")?.spec as {
    jobTemplate: { spec: { template: { spec: { containers: { args: string[] }[] } } } };
  };
  const volume = mkdtempSync(join(tmpdir(), "backup-"));
  const args = job.jobTemplate.spec.template.spec.containers[0]?.args.map((arg) =>
    arg.replace("--output=/backup/", `--output=${volume}/`),
  );

  // As in a pod: credentials in the one folder, the API server by two variables, no kubeconfig.
  const credentials = mkdtempSync(join(tmpdir(), "account-"));
  writeFileSync(join(credentials, "token"), await plane.serviceAccountToken(NAMESPACE, account));
  writeFileSync(join(credentials, "ca.crt"), plane.certificateAuthority);
  writeFileSync(join(credentials, "namespace"), NAMESPACE);
  const at = "/var/run/secrets/kubernetes.io/serviceaccount";
  const inPod = `mkdir -p ${at} && mount --bind "$0" ${at} && exec "$@"`;
  const command = ["unshare", "-m", "sh", "-c", inPod, credentials];
  const env = {
    KUBERNETES_SERVICE_HOST: plane.host,
    KUBERNETES_SERVICE_PORT: String(plane.port),
    HOME: "/nowhere",
  };
  writeFileSync(join(volume, "sealing-keys-20200101T000000Z.age"), "the oldest");
  writeFileSync(join(volume, "sealing-keys-20210101T000000Z.age"), "an old one");
  writeFileSync(join(volume, "sealing-keys-2019.age"), "someone else's");
  const { status, stdout, stderr } = await runToEnd(
    [...command, process.execPath, resolve("dist/signet.cjs"), ...(args ?? [])],
    { env },
  );
  expect(status, stdout + stderr).toBe(0);
  const files = readdirSync(volume).sort();
  expect(files).toEqual([
    "sealing-keys-2019.age",
    "sealing-keys-20210101T000000Z.age",
    expect.stringMatching(/^sealing-keys-20[2-9]\d{5}T\d{6}Z\.age$/),
  ]);
  expect(readFileSync(join(volume, files[2] ?? ""), "utf8")).toContain("BEGIN AGE ENCRYPTED FILE");
  await expectExact(objects, account, userOf(account));
});

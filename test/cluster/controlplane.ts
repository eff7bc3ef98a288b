// A real etcd, kube-apiserver and (unless unwanted) kube-controller-manager in a temporary folder:
// starting, restarting, asking, counting calls, removing.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import type { OutgoingHttpHeaders } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { partPath } from "../parts/parts.ts";
import {
  freePort,
  PATIENCE_MS,
  type Program,
  startProgram,
  untilReady,
  waitFor,
} from "./program.ts";

/** As much of any object, list or Status as the tests read. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata?: {
    name?: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    generation?: number;
    creationTimestamp?: string;
    deletionTimestamp?: string;
    continue?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    finalizers?: string[];
    ownerReferences?: {
      apiVersion: string;
      kind: string;
      name: string;
      uid: string;
      controller?: boolean;
      blockOwnerDeletion?: boolean;
    }[];
    [field: string]: unknown;
  };
  type?: string;
  data?: Record<string, string>;
  stringData?: Record<string, string>;
  items?: KubeObject[];
  message?: string;
  reason?: string;
  code?: number;
  [field: string]: unknown;
}

export interface Answer {
  status: number;
  /** The JSON answer; an empty object where the answer is not JSON. */
  body: KubeObject;
  text: string;
  /** What the API server warns of, as kubectl would show it. */
  warnings: string;
}

export interface RequestOptions {
  /** Bearer token; the administrator's where left out, none where null. */
  token?: string | null;
  contentType?: string;
  /** Whom the administrator acts as. */
  as?: Identity;
}

interface Identity {
  readonly user: string;
  readonly groups: readonly string[];
}

/** Of a PATCH that says only what is to change (RFC 7386). */
export const MERGE: RequestOptions = { contentType: "application/merge-patch+json" };

/** One call as the API server recorded it, at its latest stage. */
export interface AuditEvent {
  auditID: string;
  stage: string;
  verb: string;
  requestURI: string;
  user: { username: string; extra?: Record<string, string[]> };
  userAgent?: string;
  objectRef?: {
    apiGroup?: string;
    resource?: string;
    namespace?: string;
    name?: string;
    subresource?: string;
  };
  /** Which binding of which role let it through, among others. */
  annotations?: Record<string, string>;
  responseStatus?: { code: number };
  stageTimestamp: string;
}

export interface ControlPlane {
  /** `https://127.0.0.1:PORT` */
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** PEM certificates that clients trust. */
  readonly certificateAuthority: string;
  readonly adminToken: string;
  /** Temporary folder, removed by `stop`. */
  readonly directory: string;
  request: (
    method: string,
    path: string,
    body?: unknown,
    options?: RequestOptions,
  ) => Promise<Answer>;
  /** The object's URL path; its kind is looked up in the API server. */
  pathOf: (object: KubeObject) => Promise<string>;
  /** Server-side apply, forced; waits until a CRD is served. @throws Error unless it succeeds. */
  apply: (object: KubeObject) => Promise<KubeObject>;
  waitFor: typeof waitFor;
  /** Writes a kubeconfig file and returns its path. */
  kubeconfig: (user?: { token?: string; namespace?: string }) => Promise<string>;
  /** A token of an existing service account, by TokenRequest. */
  serviceAccountToken: (namespace: string, name: string) => Promise<string>;
  /** Kills (or, with SIGTERM, drains) the API server; its data stay. */
  stopApiServer: (signal?: NodeJS.Signals) => Promise<void>;
  /** Same port, same data. */
  startApiServer: () => Promise<void>;
  /** Freezes the API server: connections stay open and nothing answers. Resolves when it stands. */
  pauseApiServer: () => Promise<void>;
  resumeApiServer: () => void;
  stopEtcd: (signal?: NodeJS.Signals) => Promise<void>;
  startEtcd: () => Promise<void>;
  /** Every call so far, the oldest first; needs `auditLog: true`. */
  auditEvents: () => Promise<AuditEvent[]>;
  stop: () => Promise<void>;
}

export interface ControlPlaneOptions {
  /** Parent folder of the temporary folder; the system's where left out. */
  directory?: string;
  /** Garbage collection, namespace deletion and default service accounts; true where left out. */
  controllerManager?: boolean;
  auditLog?: boolean;
  /** More flags for kube-apiserver. */
  apiServerFlags?: string[];
  /** For a cluster with real nodes: all controllers, a scheduler, and what kubelets and pods need. */
  nodes?: {
    /** Of this machine, where nodes and pods reach the API server. */
    address: string;
    /** Who may come with which token, as in kube-apiserver's token file. */
    users: readonly string[];
  };
}

const LOOPBACK = "127.0.0.1";
/** Where an API server is in most clusters, by what its rules for networks say. */
const API_SERVER_PORT = 6443;

const AUDIT_POLICY = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  rules: [{ level: "Metadata" }],
};

const CONTROLLERS =
  "garbage-collector-controller,namespace-controller,serviceaccount-controller," +
  "clusterrole-aggregation-controller,serviceaccount-token-controller";

/** Settings that depend on whether there is a kubelet, whose Pods have service accounts. */
function apiServerFlagsFor(nodes: ControlPlaneOptions["nodes"]): string[] {
  if (nodes === undefined) {
    return [
      // Never connected to: the host has no route inside the bed's namespace.
      ...["--advertise-address=198.51.100.1", "--endpoint-reconciler-type=none"],
      "--authorization-mode=RBAC",
      // There is no kubelet: Pods here need no service account.
      "--disable-admission-plugins=ServiceAccount",
    ];
  }
  return [
    `--advertise-address=${nodes.address}`,
    ...["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"],
    // The names of nodes are in no DNS.
    ...["--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP"],
    // A Pod leaves a node that is lost at once, and not after five minutes.
    ...["--default-not-ready-toleration-seconds=2", "--default-unreachable-toleration-seconds=2"],
  ];
}

interface Call {
  host: string;
  port: number;
  agent: Agent;
  method: string;
  path: string;
  token: string | null;
  contentType: string;
  body: unknown;
  as: Identity | undefined;
}

function call(call: Call): Promise<Answer> {
  const { host, port, agent, method, path, token, contentType, body, as } = call;
  const headers: OutgoingHttpHeaders = { accept: "application/json" };
  if (as !== undefined) {
    headers["impersonate-user"] = as.user;
    headers["impersonate-group"] = [...as.groups];
  }
  if (token !== null) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = contentType;
  return new Promise((done, fail) => {
    const options = { host, port, path, method, agent, headers, timeout: PATIENCE_MS };
    const request = httpsRequest(options, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", fail);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const isJson = (response.headers["content-type"] ?? "").startsWith("application/json");
        const parsed = isJson ? (JSON.parse(text) as KubeObject) : {};
        const { warning = "" } = response.headers;
        done({ status: response.statusCode ?? 0, body: parsed, text, warnings: warning });
      });
    });
    request.on("timeout", () => request.destroy(new Error(`no answer to ${method} ${path}`)));
    request.on("error", fail);
    request.end(typeof body === "string" || body === undefined ? body : JSON.stringify(body));
  });
}

function kubeconfigText(url: string, ca: string, token: string, namespace: string): string {
  return `apiVersion: v1
kind: Config
current-context: test
clusters:
  - name: test
    cluster:
      server: ${url}
      certificate-authority-data: ${Buffer.from(ca).toString("base64")}
users:
  - name: test
    user:
      token: ${token}
contexts:
  - name: test
    context:
      cluster: test
      user: test
      namespace: ${namespace}
`;
}

/** Starts a control plane; it is ready, and empty, when this resolves. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const directory = await mkdtemp(join(options.directory ?? tmpdir(), "kube-signet-plane-"));
  const removeDirectory = (): void => {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once("exit", removeDirectory);

  const file = (name: string): string => join(directory, name);
  const adminToken = randomBytes(16).toString("hex");
  // RSA in PKCS #1, the form that the API server takes for both signing and checking tokens.
  const { privateKey: serviceAccountKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  await mkdir(file("certificates"));
  await writeFile(file("service-account.key"), serviceAccountKey, { mode: 0o600 });
  const users = [`${adminToken},admin,admin,system:masters`, ...(options.nodes?.users ?? [])];
  await writeFile(file("tokens.csv"), `${users.join("\n")}\n`, { mode: 0o600 });
  await writeFile(file("audit-policy.json"), JSON.stringify(AUDIT_POLICY));

  const host = options.nodes?.address ?? LOOPBACK;
  const port = options.nodes === undefined ? await freePort(LOOPBACK) : API_SERVER_PORT;
  const [etcdPort, peerPort] = [await freePort(LOOPBACK), await freePort(LOOPBACK)];
  const url = `https://${host}:${port}`;
  const etcdUrl = `http://${LOOPBACK}:${etcdPort}`;
  const peerUrl = `http://${LOOPBACK}:${peerPort}`;
  let etcd: Program | undefined;
  let apiServer: Program | undefined;
  let controllerManager: Program | undefined;
  let scheduler: Program | undefined;
  let agent = new Agent({ keepAlive: true });

  const request: ControlPlane["request"] = (method, path, body, request = {}) => {
    const token = request.token === undefined ? adminToken : request.token;
    const contentType = request.contentType ?? "application/json";
    return call({ host, port, agent, method, path, token, contentType, body, as: request.as });
  };

  const startEtcd = async (): Promise<void> => {
    const program = startProgram([
      partPath("etcd"),
      ...["--name=test", `--data-dir=${file("etcd")}`, "--unsafe-no-fsync", "--log-level=warn"],
      ...[`--listen-client-urls=${etcdUrl}`, `--advertise-client-urls=${etcdUrl}`],
      ...[`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`],
      `--initial-cluster=test=${peerUrl}`,
    ]);
    etcd = program;
    const probe = async (): Promise<boolean> => (await fetch(`${etcdUrl}/health`)).ok;
    await untilReady("etcd", program, probe);
  };

  const startApiServer = async (): Promise<void> => {
    const audit = [
      `--audit-policy-file=${file("audit-policy.json")}`,
      `--audit-log-path=${file("audit.log")}`,
      "--audit-log-mode=blocking",
    ];
    const program = startProgram([
      partPath("kube-apiserver"),
      ...[`--etcd-servers=${etcdUrl}`, `--cert-dir=${file("certificates")}`],
      ...[`--bind-address=${host}`, `--secure-port=${port}`],
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${file("service-account.key")}`,
      `--service-account-signing-key-file=${file("service-account.key")}`,
      `--token-auth-file=${file("tokens.csv")}`,
      "--service-cluster-ip-range=10.0.0.0/24",
      ...apiServerFlagsFor(options.nodes),
      ...(options.auditLog === true ? audit : []),
      ...(options.apiServerFlags ?? []),
    ]);
    apiServer = program;
    const probe = async (): Promise<boolean> => {
      const ca = await readFile(file("certificates/apiserver.crt"), "utf8");
      agent.destroy();
      agent = new Agent({ keepAlive: true, ca });
      return (await request("GET", "/readyz")).status === 200;
    };
    await untilReady("kube-apiserver", program, probe);
  };

  const stopApiServer = async (signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
    await apiServer?.stop(signal);
    agent.destroy();
  };

  const kubeconfig: ControlPlane["kubeconfig"] = async (user = {}) => {
    const path = file(`kubeconfig-${randomBytes(4).toString("hex")}`);
    const ca = await readFile(file("certificates/apiserver.crt"), "utf8");
    const { token = adminToken, namespace = "default" } = user;
    await writeFile(path, kubeconfigText(url, ca, token, namespace), { mode: 0o600 });
    return path;
  };

  const stop = async (): Promise<void> => {
    agent.destroy();
    for (const program of [scheduler, controllerManager, apiServer, etcd])
      await program?.stop("SIGKILL");
    process.removeListener("exit", removeDirectory);
    removeDirectory();
  };

  const startControllerManager = async (): Promise<void> => {
    const all = [
      `--root-ca-file=${file("certificates/apiserver.crt")}`,
      // A node that says nothing for that long is lost; one of a busy machine may take its time.
      ...["--node-monitor-period=1s", "--node-monitor-grace-period=40s"],
    ];
    const program = startProgram([
      partPath("kube-controller-manager"),
      `--kubeconfig=${await kubeconfig()}`,
      ...(options.nodes === undefined ? [`--controllers=${CONTROLLERS}`] : all),
      ...["--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=false"],
      `--service-account-private-key-file=${file("service-account.key")}`,
    ]);
    controllerManager = program;
    // Its first visible work: every namespace gets its default service account.
    const path = "/api/v1/namespaces/default/serviceaccounts/default";
    const probe = async (): Promise<boolean> => (await request("GET", path)).status === 200;
    await untilReady("kube-controller-manager", program, probe);
  };

  const startScheduler = async (): Promise<void> => {
    scheduler = startProgram([
      ...[partPath("kube-scheduler"), `--kubeconfig=${await kubeconfig()}`],
      ...["--leader-elect=false", "--secure-port=0"],
    ]);
  };

  const resources = new Map<string, { name: string; namespaced: boolean }>();
  const resourceOf = async (apiVersion: string, kind: string) => {
    const key = `${apiVersion}/${kind}`;
    const known = resources.get(key);
    if (known !== undefined) return known;
    const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const { body } = await request("GET", root);
    const list = (body.resources ?? []) as { name: string; kind: string; namespaced: boolean }[];
    const found = list.find((entry) => entry.kind === kind && !entry.name.includes("/"));
    if (found !== undefined) resources.set(key, found);
    return found;
  };

  const pathOf: ControlPlane["pathOf"] = async ({ apiVersion = "", kind = "", metadata = {} }) => {
    const { name, namespace } = metadata;
    if (name === undefined) throw new Error(`this ${kind} has no name`);
    const resource = await resourceOf(apiVersion, kind);
    if (resource === undefined) throw new Error(`the API server serves no ${apiVersion} ${kind}`);
    const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
    const scope = resource.namespaced ? `/namespaces/${namespace ?? "default"}` : "";
    return `${root}${scope}/${resource.name}/${name}`;
  };

  /** A CRD is established some moments before its resource is listed and answers. */
  const crdServed = (crd: KubeObject): Promise<unknown> => {
    const { group, names, versions } = crd.spec as {
      group: string;
      names: { kind: string; plural: string };
      versions: { name: string; served: boolean }[];
    };
    return waitFor(`the CRD ${names.plural}.${group}`, async () => {
      for (const { name, served } of versions) {
        if (!served) continue;
        if ((await resourceOf(`${group}/${name}`, names.kind)) === undefined) return false;
        const list = await request("GET", `/apis/${group}/${name}/${names.plural}?limit=1`);
        if (list.status !== 200) return false;
      }
      return true;
    });
  };

  const apply: ControlPlane["apply"] = async (object) => {
    const path = await pathOf(object);
    const contentType = "application/apply-patch+yaml";
    const query = "fieldManager=test-bed&force=true";
    const answer = await request("PATCH", `${path}?${query}`, object, { contentType });
    if (answer.status !== 200 && answer.status !== 201) {
      throw new Error(`applying ${path}: ${answer.status} ${answer.text}`);
    }
    if (object.kind === "CustomResourceDefinition") await crdServed(object);
    return answer.body;
  };

  try {
    await startEtcd();
    await startApiServer();
    // Post-start hooks create it; tests and controllers need it.
    await waitFor("the namespace default", async () => {
      return (await request("GET", "/api/v1/namespaces/default")).status === 200;
    });
    if (options.controllerManager ?? true) await startControllerManager();
    if (options.nodes !== undefined) await startScheduler();
  } catch (error) {
    await stop();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the control plane did not start: ${reason}`, { cause: error });
  }

  return {
    url,
    host,
    port,
    certificateAuthority: await readFile(file("certificates/apiserver.crt"), "utf8"),
    adminToken,
    directory,
    request,
    pathOf,
    apply,
    waitFor,
    kubeconfig,
    serviceAccountToken: async (namespace, name) => {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
      const wish = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
      const answer = await request("POST", path, wish);
      const token = (answer.body.status as { token?: string } | undefined)?.token;
      if (token === undefined) throw new Error(`no token from ${path}: ${answer.text}`);
      return token;
    },
    stopApiServer,
    startApiServer,
    pauseApiServer: async () => {
      await apiServer?.freeze();
    },
    resumeApiServer: () => apiServer?.kill("SIGCONT"),
    stopEtcd: async (signal = "SIGKILL") => {
      await etcd?.stop(signal);
    },
    startEtcd,
    auditEvents: async () => {
      const text = await readFile(file("audit.log"), "utf8");
      const latest = new Map<string, AuditEvent>();
      // The last line may be half written.
      for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
        if (line === "") continue;
        const event = JSON.parse(line) as AuditEvent;
        latest.set(event.auditID, event);
      }
      return [...latest.values()];
    },
    stop,
  };
}

// The chart and the image on real nodes: who the pods are, what a kubelet does for them, what becomes
// of a Secret in an application, and what clients notice of it all.
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KubeObject, MERGE } from "../cluster/controlplane.ts";
import { readSecret, sealed, untilData, untilVerdict } from "../cluster/objects.ts";
import { runToEnd } from "../cluster/program.ts";
import { addAccount, addTenant } from "../cluster/signet.ts";
import { RECIPIENT } from "../interop/helm.ts";
import { type RealCluster, startRealCluster } from "./cluster.ts";
import { controllerImage } from "./images.ts";
import { type Load, serviceUrl, startLoad } from "./load.ts";
import {
  CERTIFICATE,
  evaluate,
  isReady,
  NAMESPACE,
  type Pod,
  podsOf,
  scriptPod,
  untilReadyPods,
  untilSettled,
} from "./pods.ts";

const SHOP = "shop";
const LEASE = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/signet-controller`;
const PROXIERS = `/apis/rbac.authorization.k8s.io/v1/namespaces/${NAMESPACE}/rolebindings/sealed-secrets-controller-service-proxier`;

const MAY_NOT = { namespace: SHOP, name: "may-not" };

const image = await controllerImage();
let cluster: RealCluster;
let certificate = "";

async function declare(name: string, stringData: Record<string, string>): Promise<void> {
  await cluster.plane.apply(await sealed(certificate, { namespace: SHOP, name, stringData }));
}

/** Seals a value, and waits for its Secret: the controller works. */
async function works(value: string): Promise<void> {
  await declare("probe", { value });
  await untilData(cluster.plane, SHOP, "probe", { value });
}

async function leader(): Promise<string> {
  return cluster.plane.waitFor("a leader", async () => {
    const { body } = await cluster.plane.request("GET", LEASE);
    return (body as { spec?: { holderIdentity?: string } }).spec?.holderIdentity;
  });
}

async function anyPod(): Promise<Pod> {
  const [pod] = await podsOf(cluster);
  if (pod === undefined) throw new Error("there is no pod");
  return pod;
}

const BACKUPS = "/run/backups";

/** A disk of the first node, and a claim on it. */
async function makeVolume(): Promise<void> {
  const { plane, nodes } = cluster;
  await onFirstNode("mkdir", BACKUPS);
  const common = {
    storageClassName: "",
    accessModes: ["ReadWriteOnce"],
    volumeMode: "Filesystem",
  };
  const host = { key: "kubernetes.io/hostname", operator: "In", values: [nodes[0]?.name] };
  await plane.apply({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "backups" },
    spec: {
      ...common,
      capacity: { storage: "1Gi" },
      local: { path: BACKUPS },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [host] }] } },
      claimRef: { name: "backups", namespace: NAMESPACE },
    },
  });
  await plane.apply({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "backups", namespace: NAMESPACE },
    spec: { ...common, volumeName: "backups", resources: { requests: { storage: "1Gi" } } },
  });
}

/** What a command on the first node prints. */
async function onFirstNode(...command: string[]): Promise<string> {
  const { status, stdout, stderr } = await runToEnd(cluster.nodes[0]?.inside(command) ?? []);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

beforeAll(async () => {
  cluster = await startRealCluster({ nodes: 2, images: [image], auditLog: true });
  const { plane, helm } = cluster;
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  for (const name of [NAMESPACE, SHOP, "shared"]) {
    await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }
  for (const [index, { name }] of cluster.nodes.entries()) {
    const zone = { metadata: { labels: { "topology.kubernetes.io/zone": `zone-${index}` } } };
    await plane.request("PATCH", `/api/v1/nodes/${name}`, zone, MERGE);
  }
  await makeVolume();
  const backup = ["enabled=true", `recipients={${RECIPIENT}}`, "storage.existingClaim=backups"];
  const keySize = "--set=extraArgs={--key-size=2048}";
  const reach = ["deliverFrom={shared}", "restarts.enabled=true", "restarts.holdOff=1s"];
  const install = ["install", "signet", "charts/signet", `--namespace=${NAMESPACE}`];
  const sets = [...backup.map((value) => `backup.${value}`), ...reach].map((set) => `--set=${set}`);
  await helm(...install, ...sets, keySize, "--wait", "--timeout=600s");
  certificate = (await plane.request("GET", CERTIFICATE)).text;
});

afterAll(async () => {
  await cluster.stop();
});

describe("the pods", () => {
  it("are let in where only restricted ones are, one on each node", async () => {
    const pods = await untilReadyPods(cluster, 2);
    expect(pods.map(({ spec }) => spec.nodeName).sort()).toEqual(["node-1", "node-2"]);
    expect(certificate).toContain("BEGIN CERTIFICATE");
  });

  it("are nobody, may nothing and write nowhere", async () => {
    const { metadata } = await anyPod();
    const script = `const fs = require("node:fs");
      console.log(fs.readFileSync("/proc/1/status", "utf8"));
      for (const file of ["/a", "/tmp/a", "/opt/kube-signet/a"]) {
        try { fs.writeFileSync(file, ""); console.log("written"); } catch ({ code }) { console.log(code); }
      }
      console.log("HOME", process.env.HOME);`;
    const status = await evaluate(cluster, metadata.name, script);
    expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
    expect(status).toMatch(/^Gid:\t65532\t65532\t65532\t65532$/m);
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, "m"));
    }
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect(status).toMatch(/\nEROFS\nEROFS\nEROFS\nHOME \/nonexistent\n$/);
  });

  it("have no shell", async () => {
    const { metadata } = await anyPod();
    const shell = ["exec", "--namespace", NAMESPACE, metadata.name, "--", "sh", "-c", "true"];
    await expect(cluster.kubectl(shell)).rejects.toThrow(/"sh": executable file not found/);
  });

  it("tell kubectl logs that they are ready when they are, and no value", async () => {
    await declare("told", { password: "hunter2-in-no-log" });
    await untilVerdict(cluster.plane, SHOP, "told", "Unsealed");
    const name = await leader();
    const log = await cluster.kubectl(["logs", "--namespace", NAMESPACE, name]);
    expect(log).toContain("shop/told");
    expect(log).not.toContain("hunter2");
  });
});

describe("an application", () => {
  const script = `const fs = require("node:fs");
    let last = "";
    const look = () => {
      const now = fs.readFileSync("/secret/password", "utf8");
      if (now !== last) console.log("file " + now + ", variable " + process.env.PASSWORD);
      last = now;
    };
    look();
    setInterval(look, 100);`;
  const logs = (): Promise<string> => cluster.kubectl(["logs", "--namespace", SHOP, "app"]);

  it("reads the Secret as a file and a variable, and sees a new value in the file", async () => {
    const { plane } = cluster;
    await declare("db", { password: "one" });
    const secret = { name: "secret", secret: { secretName: "db" } };
    const mount = { name: "secret", mountPath: "/secret", readOnly: true };
    const from = { secretKeyRef: { name: "db", key: "password" } };
    const container = { env: [{ name: "PASSWORD", valueFrom: from }], volumeMounts: [mount] };
    const place = { namespace: SHOP, name: "app", image: image.name };
    await plane.apply(scriptPod({ ...place, script, container, spec: { volumes: [secret] } }));
    await plane.waitFor("the value", async () => (await logs()).includes("file one, variable one"));
    await declare("db", { password: "two" });
    await plane.waitFor("the new one", async () =>
      (await logs()).includes("file two, variable one"),
    );
    await cluster.kubectl(["delete", "pod", "--namespace", SHOP, "app"]);
  });
});

describe("a Deployment that asks for restarts", () => {
  /** What `web` reads: its own Secret, and one that is delivered. */
  const script = `console.log(process.env.OWN + " and " + process.env.LOGIN);
    process.on("SIGTERM", () => process.exit(0));
    setInterval(() => undefined, 1e6);`;
  const path = `/apis/apps/v1/namespaces/${SHOP}/deployments/web`;

  async function deliver(value: string): Promise<void> {
    const annotations = { "kube-signet/deliver-to": `kubernetes.io/metadata.name=${SHOP}` };
    const declared = { namespace: "shared", name: "login", stringData: { value }, annotations };
    await cluster.plane.apply(await sealed(certificate, { ...declared, scope: "cluster-wide" }));
  }

  /** Waits until `web` has one pod that is ready and read these values, and says what it is then. */
  async function untilRead(values: string): Promise<Record<string, string>> {
    const { plane, kubectl } = cluster;
    await plane.waitFor(`a pod that read "${values}"`, async () => {
      const [pod, ...others] = await podsOf(cluster, "app=web", SHOP);
      if (pod === undefined || others.length > 0 || !isReady(pod)) return false;
      return (await kubectl(["logs", "--namespace", SHOP, pod.metadata.name])).trim() === values;
    });
    return (await plane.request("GET", path)).body.metadata?.annotations ?? {};
  }

  function web(): KubeObject {
    const variable = (name: string, secret: string) => ({
      name,
      valueFrom: { secretKeyRef: { name: secret, key: "value" } },
    });
    const container = { env: [variable("OWN", "own"), variable("LOGIN", "login")] };
    const place = { namespace: SHOP, name: "web", image: image.name };
    const labels = { app: "web" };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: {
        ...{ name: "web", namespace: SHOP },
        annotations: { "kube-signet/restart-on": "*" },
      },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: scriptPod({ ...place, script, container }).spec },
      },
    };
  }

  it("has its pod replaced for a new value, its own or a delivered one, and for nothing else", async () => {
    const { plane } = cluster;
    const revision = "deployment.kubernetes.io/revision";
    await declare("own", { value: "one" });
    await deliver("uno");
    await plane.apply(web());
    expect((await untilRead("one and uno"))[revision]).toBe("1");
    await plane.waitFor("what the pod has seen", async () => {
      const { body } = await plane.request("GET", path);
      return body.metadata?.annotations?.["kube-signet/restart-seen"];
    });

    await declare("own", { value: "two" });
    expect((await untilRead("two and uno"))[revision]).toBe("2");

    // Sealed again, so that every byte of it differs.
    await declare("own", { value: "two" });
    await untilVerdict(plane, SHOP, "own", "Unsealed");
    await deliver("dos");
    const annotations = await untilRead("two and dos");
    expect(annotations[revision]).toBe("3");
    expect(annotations["kube-signet/restarted"]).toMatch(/^\S+Z login$/);
    await cluster.kubectl(["delete", "deployment", "--namespace", SHOP, "web"]);
  });
});

describe("the backup", () => {
  async function runJob(name: string): Promise<void> {
    const job = ["job", name, "--from=cronjob/signet-backup", `--namespace=${NAMESPACE}`];
    await cluster.kubectl(["create", ...job]);
    const done = ["--for=condition=complete", "--timeout=600s", `job/${name}`];
    await cluster.kubectl(["wait", ...done, `--namespace=${NAMESPACE}`]);
  }

  it("is written to its volume for its user alone, and stays so when it is mounted again", async () => {
    await runJob("first");
    await runJob("second");
    const files = await onFirstNode("find", BACKUPS, "-type", "f", "-printf", "%m %U %p\\n");
    const lines = files.trim().split("\n");
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      const [, file = ""] = /^600 65532 (\S+)$/.exec(line) ?? [];
      expect(file, line).not.toBe("");
      expect(await onFirstNode("head", "-1", file)).toBe("-----BEGIN AGE ENCRYPTED FILE-----\n");
    }
  });
});

describe("a new token of the service account", () => {
  /** The number by which the API server knows a token. */
  const numberOf = (token: string): string => {
    const [, claims = ""] = token.split(".");
    return (JSON.parse(Buffer.from(claims, "base64url").toString()) as { jti: string }).jti;
  };
  const tokenOf = async (pod: string): Promise<string> => {
    const file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    const script = `process.stdout.write(require("node:fs").readFileSync("${file}", "utf8"))`;
    return numberOf(await evaluate(cluster, pod, script));
  };

  it("is what the controller comes with from then on, and it runs on", async () => {
    const { plane, nodes } = cluster;
    const name = await leader();
    const { spec } = (await podsOf(cluster)).find(({ metadata }) => metadata.name === name) ?? {};
    const host = nodes.find((each) => each.name === spec?.nodeName);
    const before = await tokenOf(name);
    // A kubelet forgets the tokens that it fetched, and fetches others.
    await host?.stopAgents();
    await host?.startAgents();
    const after = await plane.waitFor("another token", async () => {
      const now = await tokenOf(name);
      return now !== before && now;
    });
    await works("with the new token");
    await plane.waitFor("a request with it", async () => {
      const events = await plane.auditEvents();
      return events.some(({ user }) =>
        user.extra?.["authentication.kubernetes.io/credential-id"]?.includes(`JTI=${after}`),
      );
    });
    const pods = await untilReadyPods(cluster, 2);
    expect(pods.map(({ metadata }) => metadata.name)).toContain(name);
  });
});

describe("clients of the Service, all the while", () => {
  let load: Load;

  beforeAll(async () => {
    // On the node that stays.
    load = await startLoad(cluster, { namespace: SHOP, image: image.name, node: "node-2" });
  });

  it("notice nothing of a rolling update", async () => {
    const before = await load.tally();
    const target = ["deployment/signet-controller", "--namespace", NAMESPACE];
    await cluster.kubectl(["rollout", "restart", ...target]);
    await cluster.kubectl(["rollout", "status", ...target, "--timeout=600s"]);
    await untilReadyPods(cluster, 2);
    await works("after the update");
    const after = await load.tally();
    expect(after.failures).toEqual([]);
    expect(after.answers).toBeGreaterThan(before.answers + 100);
  });

  it("notice nothing when the node of a replica is drained, one replica after another", async () => {
    const drain = ["drain", "node-1", "--force", "--ignore-daemonsets", "--timeout=600s"];
    await cluster.kubectl(drain);
    const pods = await untilReadyPods(cluster, 2);
    expect(pods.map(({ spec }) => spec.nodeName)).toEqual(["node-2", "node-2"]);
    await works("after the drain");
    await cluster.kubectl(["uncordon", "node-1"]);
    expect((await load.tally()).failures).toEqual([]);
  });

  it("are never left without a replica by evictions", async () => {
    // Both at once: the budget lets one go.
    const pods = await podsOf(cluster);
    const answers = await Promise.all(
      pods.map(({ metadata }) =>
        cluster.plane.request(
          "POST",
          `/api/v1/namespaces/${NAMESPACE}/pods/${metadata.name}/eviction`,
          {
            apiVersion: "policy/v1",
            kind: "Eviction",
            metadata: { name: metadata.name, namespace: NAMESPACE },
          },
        ),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 429]);
    const after = await untilReadyPods(cluster, 2);
    expect(after.map(({ spec }) => spec.nodeName).sort()).toEqual(["node-1", "node-2"]);
    await works("after the eviction");
    const { failures, answers: count } = await load.stop();
    expect(failures).toEqual([]);
    console.log(`${count} requests of clients, none refused or failed`);
  });
});

describe("a person without permission for the service proxy", () => {
  it("gets the report on keys, and a value checked, by a port-forward of a kubelet", async () => {
    const { plane } = cluster;
    const rule = (resources: string[], ...verbs: string[]) => ({
      apiGroups: [""],
      resources,
      verbs,
    });
    const rules = [
      rule(["services"], "get"),
      rule(["pods"], "list"),
      rule(["pods/portforward"], "get", "create"),
    ];
    const token = await addTenant(plane, { namespace: NAMESPACE, name: "forward", rules });
    // As where serviceProxier.subjects is empty; the next upgrade of the release restores it.
    expect((await plane.request("DELETE", PROXIERS)).status).toBe(200);
    const env = { KUBECONFIG: await plane.kubeconfig({ token }) };
    const signet = (program: string, args: string[], stdin = "") =>
      runToEnd([process.execPath, resolve(`dist/${program}.cjs`), ...args], { stdin, env });
    const keys = await signet("signet", ["keys", "--json", "-v"]);
    expect(keys.stderr).toContain("the controller answers by the port-forward");
    expect(JSON.parse(keys.stdout)).toMatchObject({ keys: [{ state: "sealing" }] });
    const declared = { namespace: SHOP, name: "x", stringData: { a: "b" } };
    const valid = await signet(
      "kubeseal",
      ["--validate"],
      JSON.stringify(await sealed(certificate, declared)),
    );
    expect(valid).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});

describe("where a token is required", () => {
  it("clients inside of the cluster are asked who they are", async () => {
    const { plane, helm } = cluster;
    const reuse = [`--namespace=${NAMESPACE}`, "--reuse-values", "--wait", "--timeout=600s"];
    await helm("upgrade", "signet", "charts/signet", ...reuse, "--set=requireToken=true");
    // A pod of before answers until it has ended, and asks for no token.
    await untilSettled(cluster);
    await addAccount(plane, { namespace: SHOP, name: "may", role: "signet-client" });
    await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: MAY_NOT });
    const object = await sealed(certificate, {
      namespace: SHOP,
      name: "x",
      stringData: { a: "b" },
    });
    const tokens = [
      "",
      await plane.serviceAccountToken(SHOP, MAY_NOT.name),
      await plane.serviceAccountToken(SHOP, "may"),
    ];
    const url = await serviceUrl(cluster);
    const script = `(async () => {
      for (const token of ${JSON.stringify(tokens)}) {
        const headers = { "content-type": "application/json", authorization: "Bearer " + token };
        if (token === "") delete headers.authorization;
        const body = ${JSON.stringify(JSON.stringify(object))};
        const { status } = await fetch("${url}/v1/verify", { method: "POST", headers, body });
        console.log(status);
      }
    })();`;
    const { metadata } = await anyPod();
    // A binding counts a moment later, and a Service leads to ended pods for a moment longer.
    await plane.waitFor("the binding to count", async () => {
      expect(await evaluate(cluster, metadata.name, script)).toBe("401\n403\n200\n");
      return true;
    });
  });
});

describe("a controller that hangs", () => {
  it("is left by clients, and started again by its kubelet", async () => {
    const { plane, nodes } = cluster;
    const hung = await anyPod();
    const name = hung.metadata.name;
    const stop = ["pkill", "-STOP", "--full", "signet-controller"];
    const host = nodes.find((node) => node.name === hung.spec.nodeName);
    expect((await runToEnd(host?.inside(stop) ?? [])).status).toBe(0);
    const seen = async (probe: (pod: Pod) => boolean): Promise<boolean> =>
      (await podsOf(cluster)).some((pod) => pod.metadata.name === name && probe(pod));
    await plane.waitFor("readiness to end", () => seen((pod) => !isReady(pod)));
    // By the other one.
    await plane.waitFor("the other one to answer", async () => {
      return (await plane.request("GET", CERTIFICATE)).text === certificate;
    });
    const restarted = ({ status }: Pod): boolean =>
      (status.containerStatuses?.[0]?.restartCount ?? 0) === 1;
    await plane.waitFor("a new start", () => seen((pod) => restarted(pod) && isReady(pod)));
    await works("after the new start");
  });
});

describe("a container that needs more memory than it may", () => {
  it("is killed, comes back, and nothing is lost", async () => {
    const { plane } = cluster;
    const name = await leader();
    const before = await readSecret(plane, SHOP, "db");
    // The kernel chooses the largest, which is to be process 1: what fills the memory beside it is many.
    const script = `require("node:fs").writeFileSync("/proc/1/oom_score_adj", "1000");
      const { spawn } = require("node:child_process");
      const filler = "const taken = Buffer.alloc(20 << 20, 1); setInterval(() => taken.length, 1e6)";
      setInterval(() => spawn(process.execPath, ["--eval", filler]), 100);`;
    await evaluate(cluster, name, script).catch(() => undefined);
    await plane.waitFor("the restart", async () => {
      const pod = (await podsOf(cluster)).find(({ metadata }) => metadata.name === name);
      const [container] = pod?.status.containerStatuses ?? [];
      const reason = container?.lastState.terminated?.reason;
      return reason === "OOMKilled" && pod !== undefined && isReady(pod);
    });
    await works("after the kill");
    expect((await readSecret(plane, SHOP, "db"))?.data).toEqual(before?.data);
  });
});

describe("a node that is lost", () => {
  it("loses nobody but itself: the other replica leads, serves, and gets company", async () => {
    const { plane, nodes } = cluster;
    const name = await leader();
    const { spec } = (await podsOf(cluster)).find((pod) => pod.metadata.name === name) ?? {};
    const lost = nodes.find((node) => node.name === spec?.nodeName);
    await lost?.crash();
    const crashedMs = performance.now();
    await works("after the loss");
    const tookMs = Math.round(performance.now() - crashedMs);
    console.log(`a Secret was made ${tookMs} ms after the leader's node was lost`);
    expect(await leader()).not.toBe(name);
    const rest = await plane.waitFor("another replica", async () => {
      const pods = (await podsOf(cluster)).filter(isReady);
      const alive = pods.filter((pod) => pod.spec.nodeName !== lost?.name);
      return alive.length === 2 && alive;
    });
    expect(rest.map(({ metadata }) => metadata.name)).not.toContain(name);
    await plane.waitFor("the other one to answer", async () => {
      return (await plane.request("GET", CERTIFICATE)).text === certificate;
    });
  });
});

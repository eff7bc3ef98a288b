// What the chart renders to, asked of the real Helm.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { loadAll } from "js-yaml";
import { describe, expect, test } from "vitest";
import { generated, readEntries } from "../../charts/generate.ts";
import { partPath } from "../parts/parts.ts";
import { CHART, MATRIX, RECIPIENT, refusal as refused, refusalOf, renderObjects } from "./helm.ts";

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly rules?: Rule[];
  readonly subjects?: { kind: string; name: string; namespace?: string }[];
  readonly spec?: {
    readonly template?: {
      readonly spec: {
        readonly serviceAccountName: string;
        readonly containers: { readonly image: string; readonly args: string[] }[];
      };
    };
  };
}

const manifests = (yaml: string): Manifest[] =>
  loadAll(yaml).filter((document) => document !== null) as Manifest[];

function render(...options: string[]): Manifest[] {
  const args = ["template", "signet", CHART, "--namespace", "kube-system", ...options];
  return manifests(execFileSync(partPath("helm"), args, { encoding: "utf8" }));
}

/** Helm's words when it refuses to render with these options. */
function refusal(...options: string[]): string {
  const { status, stderr } = refused(...options);
  expect(status, options.join(" ")).toBe(1);
  return stderr;
}

const ofKind = (kind: string, all: Manifest[]): Manifest[] =>
  all.filter((manifest) => manifest.kind === kind);

const identity = ({ kind, metadata }: Manifest): string =>
  `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;

function args(all: Manifest[]): string[] {
  return ofKind("Deployment", all)[0]?.spec?.template?.spec.containers[0]?.args ?? [];
}

function image(all: Manifest[]): string | undefined {
  return ofKind("Deployment", all)[0]?.spec?.template?.spec.containers[0]?.image;
}

test("passes helm lint, strictly", () => {
  const told = execFileSync(partPath("helm"), ["lint", "--strict", CHART], { encoding: "utf8" });
  expect(told).toContain("1 chart(s) linted, 0 chart(s) failed");
});

test("deploy/signet.yaml is what the chart renders to", () => {
  const fresh = render();
  expect(fresh.map(identity)).toHaveLength(17);
  expect(manifests(readFileSync("deploy/signet.yaml", "utf8")), "run `npm run chart`").toEqual(
    fresh,
  );
  // The definition is a template: who includes definitions gets it once, and who does not as well.
  expect(render("--include-crds")).toEqual(fresh);
});

describe("values.yaml", () => {
  test("is what README.md and values.schema.json are made from", async () => {
    for (const { path, text } of await generated()) {
      expect(readFileSync(path, "utf8"), `${path} lags behind: run \`npm run chart\``).toBe(text);
    }
  });

  test("says something of each value, and what it says reads as a sentence", () => {
    const entries = readEntries(readFileSync(`${CHART}/values.yaml`, "utf8"));
    expect(entries.length).toBeGreaterThan(90);
    for (const { path, description } of entries) {
      expect(description, path.join(".")).toMatch(/^[A-Z0-9"<].*[.\])]$/);
    }
  });

  test("without a word on a value, or on its type, cannot be read", () => {
    expect(() => readEntries("# A group.\na:\n  b: 1\n")).toThrow("a.b has no comment");
    expect(() => readEntries("# A number, or not.\na: null\n")).toThrow("a needs a line");
    expect(() => readEntries("# A name.\n# @schema nmae\na: b\n")).toThrow("no schema is named");
  });
});

describe("rights", () => {
  const RECONCILE: Rule[] = [
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["list", "watch"] },
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets/status"], verbs: ["update"] },
    {
      apiGroups: [""],
      resources: ["secrets"],
      verbs: ["get", "list", "watch", "create", "update", "delete"],
    },
    { apiGroups: [""], resources: ["events"], verbs: ["create"] },
  ];
  const namespacesTo = (...verbs: string[]): Rule => ({
    apiGroups: [""],
    resources: ["namespaces"],
    verbs,
  });

  test("are these in every namespace by default", () => {
    const all = render();
    expect(ofKind("ClusterRole", all).map(({ rules }) => rules)).toEqual([
      [...RECONCILE, namespacesTo("list", "watch")],
    ]);
    const without = render("--set", "selectorScope=false");
    expect(ofKind("ClusterRole", without).map(({ rules }) => rules)).toEqual([RECONCILE]);
    expect(args(all)).not.toContain("--selector-scope=false");
    expect(args(without)).toContain("--selector-scope=false");
    const delivering = render("--set", "selectorScope=false,deliverFrom={shared,infra}");
    expect(ofKind("ClusterRole", delivering).map(({ rules }) => rules)).toEqual(
      ofKind("ClusterRole", all).map(({ rules }) => rules),
    );
    expect(args(delivering)).toContain("--deliver-from=shared,infra");
    expect(args(all).filter((arg) => arg.startsWith("--deliver-from"))).toEqual([]);
    expect(ofKind("Role", all).map(identity)).toEqual([
      "Role kube-system/sealed-secrets-controller-certificates",
      "Role kube-system/sealed-secrets-controller-certificates-reader",
      "Role kube-system/signet-lease",
      "Role kube-system/sealed-secrets-controller-service-proxier",
    ]);
  });

  test("grant no permission for workloads unless they are to be restarted", () => {
    const verbs = ["get", "list", "watch", "patch"];
    const workloads = [
      { apiGroups: ["apps"], resources: ["deployments", "statefulsets", "daemonsets"], verbs },
      { apiGroups: ["argoproj.io"], resources: ["rollouts"], verbs },
    ];
    const on = ["--set", "restarts.enabled=true", "--set", "restarts.holdOff=5m"];
    const all = render(...on);
    expect(ofKind("ClusterRole", all).map(({ rules }) => rules)).toEqual([
      [...RECONCILE, ...workloads, namespacesTo("list", "watch")],
    ]);
    expect(args(all)).toContain("--restart-workloads");
    expect(args(all)).toContain("--restart-hold-off=5m");
    const listed = render(...on, "--set", "namespaces={shop}");
    expect(listed.filter(({ kind }) => kind.startsWith("Cluster"))).toEqual([]);
    const role = ofKind("Role", listed).find((each) => identity(each).includes("shop/"));
    expect(role?.rules).toEqual([...RECONCILE, ...workloads, namespacesTo("get")]);
    expect(JSON.stringify(render())).not.toMatch(/deployments|restart-workloads/);
  });

  test("are nothing cluster-wide where namespaces are listed", () => {
    const all = render("--set", "namespaces={shop,billing}");
    expect(all.filter(({ kind }) => kind.startsWith("Cluster"))).toEqual([]);
    const roles = ofKind("Role", all).filter(({ metadata }) =>
      metadata.name.endsWith("-controller"),
    );
    expect(roles.map(identity)).toEqual([
      "Role billing/signet-controller",
      "Role kube-system/signet-controller",
      "Role shop/signet-controller",
    ]);
    for (const { rules } of roles) expect(rules).toEqual([...RECONCILE, namespacesTo("get")]);
    expect(args(all)).toContain("--all-namespaces=false");
    expect(args(all)).toContain("--additional-namespaces=shop,billing");
  });

  test("never include to delete but Secrets and one ConfigMap one by one, and go to the account that the pod runs as", () => {
    for (const options of [[], ["--set", "namespaces={shop}"], ["--set", "fullnameOverride=x"]]) {
      const all = render(...options);
      const rules = all.flatMap((manifest) => manifest.rules ?? []);
      expect(rules.length).toBeGreaterThan(5);
      for (const { apiGroups, resources, resourceNames, verbs } of rules) {
        expect([...apiGroups, ...resources, ...verbs]).not.toContain("*");
        expect(verbs).not.toContain("deletecollection");
        if (!verbs.includes("delete")) continue;
        // A ConfigMap by its name alone.
        if (resources.includes("configmaps")) expect(resourceNames).toHaveLength(1);
        else expect([apiGroups, resources]).toEqual([[""], ["secrets"]]);
      }
      const { name, namespace } = ofKind("ServiceAccount", all)[0]?.metadata ?? {};
      const pod = ofKind("Deployment", all)[0]?.spec?.template?.spec;
      expect(pod?.serviceAccountName).toBe(name);
      const subjects = all
        .flatMap((manifest) => manifest.subjects ?? [])
        .filter(({ kind }) => kind === "ServiceAccount");
      expect(subjects.length).toBeGreaterThan(1);
      for (const subject of subjects) {
        expect(subject).toEqual({ kind: "ServiceAccount", name, namespace });
      }
    }
  });

  test("are left to others where rbac.create is false", () => {
    const all = render("--set", "rbac.create=false");
    expect(all.map(({ kind }) => kind)).toEqual([
      "PodDisruptionBudget",
      "ServiceAccount",
      "ConfigMap",
      "CustomResourceDefinition",
      "Service",
      "Service",
      "Deployment",
    ]);
  });
});

describe("flags and image", () => {
  test("spell large and negative numbers as the controller reads them", () => {
    // As from a values file: floats to Helm, which prints them as 1e+08 where it is not told how.
    const all = render("--set-json", 'kubeClient={"qps":-1,"burst":100000000}');
    expect(args(all)).toContain("--kubeclient-qps=-1");
    expect(args(all)).toContain("--kubeclient-burst=100000000");
  });

  test("leave to the controller what is not set", () => {
    expect(args(render())).toEqual([
      "--listen-addr=:8080",
      "--listen-metrics-addr=:8081",
      "--listen-health-addr=:8082",
      "--leader-elect-lease-name=signet-controller",
      "--key-prefix=sealed-secrets-key",
      "--key-renew-period=720h",
      "--certificates-configmap=sealed-secrets-controller-certificates",
      "--log-level=INFO",
      "--log-format=text",
      "--shutdown-delay=5s",
    ]);
  });

  test("are for as many replicas as asked for, and one gets no budget that it could not keep", () => {
    const replicas = (all: Manifest[]) =>
      ofKind("Deployment", all)[0]?.spec as { replicas?: number } | undefined;
    expect(replicas(render())?.replicas).toBe(2);
    expect(ofKind("PodDisruptionBudget", render())).toHaveLength(1);
    const single = render("--set", "replicas=1");
    expect(replicas(single)?.replicas).toBe(1);
    expect(ofKind("PodDisruptionBudget", single)).toEqual([]);
  });

  test("choose namespaces by list or by label, not both", () => {
    const all = render("--set", "namespaceSelector=team in (a\\,b)");
    expect(args(all)).toContain("--namespace-selector=team in (a,b)");
    expect(refusal("--set", "namespaceSelector=a=b,namespaces={x}")).toContain("not both");
  });

  test("serve the page where it is asked for, also by the Ingress", () => {
    const all = render(
      "--set",
      "page.enabled=true,page.clusterName=prod,ingress.enabled=true,ingress.hosts={seal.example.org}",
    );
    expect(args(all)).toContain("--page");
    expect(args(all)).toContain("--page-cluster=prod");
    const [ingress] = ofKind("Ingress", all) as unknown as {
      spec: { rules: { http: { paths: { path: string }[] } }[] };
    }[];
    const paths = ingress?.spec.rules[0]?.http.paths.map(({ path }) => path);
    expect(paths).toEqual(["/v1/cert.pem", "/"]);
  });

  test("can turn key renewal off", () => {
    expect(args(render("--set", "sealingKeys.renewPeriod=0"))).toContain("--key-renew-period=0");
  });

  test("name the image by version, by tag or by content", () => {
    const digest = `sha256:${"a".repeat(64)}`;
    const name = "docker.io/kube-signet/signet-controller";
    expect(image(render())).toMatch(/^docker\.io\/kube-signet\/signet-controller:\d+\.\d+\.\d+$/);
    expect(image(render("--set", "image.tag=edge"))).toBe(`${name}:edge`);
    expect(image(render("--set", `image.tag=edge,image.digest=${digest}`))).toBe(
      `${name}@${digest}`,
    );
  });

  test("the image is of this package's version by default", () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect(image(render())?.split(":")[1]).toBe(version);
  });
});

test.each([
  ["namspaces={a}", "'namspaces' not allowed"],
  ["image.tagg=1", "'tagg' not allowed"],
  ["namespaces={Shop}", "/namespaces/0"],
  ["namespaces={a,a}", "/namespaces"],
  ["sealingKeys.renewPeriod=30d", "/sealingKeys/renewPeriod"],
  ["sealingKeys.prefix=Keys_", "/sealingKeys/prefix"],
  ["log.level=info", "/log/level"],
  ["service.port=0", "/service/port"],
  ["service.name=" + "a".repeat(56), "/service/name"],
  ["image.digest=sha256:abc", "/image/digest"],
  ["kubeClient.qps=fast", "/kubeClient/qps"],
  ["networkPolicy.metricsFrom[0].pods=a", "/networkPolicy/metricsFrom/0"],
  ["networkPolicy.egress.apiServerPorts=null", "apiServerPorts"],
  ["ingress.hosts={https://a.example.org}", "/ingress/hosts/0"],
  ["ingress.tls[0].secret=a", "/ingress/tls/0"],
  ["ingress.path=/", "'path' not allowed"],
  ["backup.recipients={AGE-SECRET-KEY-1}", "/backup/recipients/0"],
  ["backup.keep=-1", "/backup/keep"],
  ["backup.storage.size=much", "/backup/storage/size"],
  ["metrics.serviceMonitor.interval=soon", "/metrics/serviceMonitor/interval"],
  ["commonLabels.a=1", "/commonLabels/a"],
  ["containerPorts.http=0", "/containerPorts/http"],
  ["dnsPolicy=None", "/dnsPolicy"],
  ["policies.engine=OPA", "/policies/engine"],
  ["policies.action=Refuse", "/policies/action"],
  ["policies.scopes.widest=namespace", "/policies/scopes/widest"],
  ["policies.minimumKeyBits=2047", "/policies/minimumKeyBits"],
  ["policies.plaintextSecrets.namespaces={Kube}", "/policies/plaintextSecrets/namespaces/0"],
  ["crds=null", "missing property 'crds'"],
])("the schema refuses %s", (value, words) => {
  expect(refusal("--set", value)).toContain(words);
});

test("the schema accepts what Helm adds where the chart is a dependency", () => {
  expect(render("--set", "global.any=thing")).toEqual(render());
});

test.each([
  [{ "ingress.enabled": true }, "ingress.hosts is needed"],
  [{ "backup.enabled": true }, "backup.recipients is needed"],
  [
    { "backup.enabled": true, "recovery.recipients": [RECIPIENT], "recovery.quorum": 2 },
    "backup.recipients is needed where recovery.quorum is set",
  ],
  [{ "serviceAccount.create": false }, "serviceAccount.name is needed"],
  [
    { "policies.engine": "Kyverno", namespaceSelector: "a=b" },
    "policies.plaintextSecrets.refuse must be false",
  ],
])("what %j lacks is asked for by name", (values, words) => {
  const { status, stderr } = refusalOf(values);
  expect(status).toBe(1);
  expect(stderr).toContain(words);
});

interface PodSpec {
  readonly serviceAccountName: string;
  readonly automountServiceAccountToken: boolean;
  readonly priorityClassName?: string;
  readonly affinity?: object;
  readonly topologySpreadConstraints?: { readonly topologyKey: string }[];
  readonly volumes?: object[];
  readonly hostNetwork?: boolean;
  readonly dnsPolicy?: string;
  readonly containers: {
    readonly command: string[];
    readonly args: string[];
    readonly ports?: { readonly name: string; readonly containerPort: number }[];
    readonly securityContext: object;
    readonly resources?: { readonly requests?: object; readonly limits?: object };
  }[];
}

/** Of a Deployment or CronJob. */
function podOf(object: unknown): {
  metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
  spec: PodSpec;
} {
  const { spec } = object as {
    spec: { template?: unknown; jobTemplate?: { spec: { template: unknown } } };
  };
  return (spec.template ?? spec.jobTemplate?.spec.template) as ReturnType<typeof podOf>;
}

const objectOf = (kind: string, values: object): Manifest => {
  const [object, ...others] = ofKind(kind, renderObjects(values) as Manifest[]);
  expect([kind, others]).toEqual([kind, []]);
  if (object === undefined) throw new Error(`no ${kind}`);
  return object;
};

describe.each(Object.entries(MATRIX))("with %s", (_what, values) => {
  const all = renderObjects(values) as Manifest[];

  test("each object has the labels that find it, and is there once", () => {
    expect(new Set(all.map(identity)).size).toBe(all.length);
    for (const { metadata } of all) {
      expect(metadata.labels).toMatchObject({
        "app.kubernetes.io/instance": "signet",
        "app.kubernetes.io/managed-by": "Helm",
      });
      const { commonLabels = {}, commonAnnotations = {} } = values as Record<string, object>;
      expect(metadata.labels).toMatchObject(commonLabels);
      expect(metadata.annotations ?? {}).toMatchObject(commonAnnotations);
    }
  });

  test("no pod may gain rights, write to its file system or eat the node's memory", () => {
    for (const workload of all.filter(({ kind }) => ["Deployment", "CronJob"].includes(kind))) {
      const { spec } = podOf(workload);
      expect(spec.automountServiceAccountToken).toBe(true);
      for (const { securityContext, resources } of spec.containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        expect(resources?.limits).toHaveProperty("memory");
        expect(resources?.requests).toHaveProperty("cpu");
      }
    }
    for (const account of ofKind("ServiceAccount", all)) {
      expect(account).toHaveProperty("automountServiceAccountToken", false);
    }
  });

  test("Services, policy and Ingress lead to ports that are there", () => {
    const pod = podOf(ofKind("Deployment", all)[0]);
    const ports = new Map(
      pod.spec.containers[0]?.ports?.map(({ name, containerPort }) => [name, containerPort]),
    );
    const services = ofKind("Service", all) as unknown as {
      metadata: { name: string };
      spec: {
        selector: Record<string, string>;
        ports: { name: string; targetPort: string }[];
      };
    }[];
    expect(services).toHaveLength(2);
    for (const { spec } of services) {
      for (const { targetPort } of spec.ports) expect([...ports.keys()]).toContain(targetPort);
      expect(pod.metadata.labels).toMatchObject(spec.selector);
    }
    for (const policy of ofKind("NetworkPolicy", all)) {
      const { spec } = policy as unknown as {
        spec: { ingress: { ports: { port: number }[] }[]; podSelector: { matchLabels: object } };
      };
      expect(pod.metadata.labels).toMatchObject(spec.podSelector.matchLabels);
      for (const rule of spec.ingress) {
        for (const { port } of rule.ports) expect([...ports.values()]).toContain(port);
      }
    }
    for (const ingress of ofKind("Ingress", all)) {
      const { spec } = ingress as unknown as {
        spec: { rules: { http: { paths: Record<string, unknown>[] } }[] };
      };
      const [service] = services;
      const port = { name: service?.spec.ports[0]?.name };
      const backend = { service: { name: service?.metadata.name, port } };
      const served = args(all).includes("--page") ? ["/v1/cert.pem", "/"] : ["/v1/cert.pem"];
      const paths = served.map((path) => ({ path, pathType: "Exact", backend }));
      for (const { http } of spec.rules) expect(http.paths).toEqual(paths);
    }
  });
});

describe("the definition", () => {
  test("is updated by Helm and never deleted, whatever else is said of it", () => {
    const { metadata } = objectOf("CustomResourceDefinition", {
      "crds.annotations": { "helm.sh/resource-policy": "delete", a: "b" },
    });
    expect(metadata.annotations).toEqual({ "helm.sh/resource-policy": "keep", a: "b" });
  });

  test("is left to others where crds.create is false", () => {
    const all = renderObjects({ "crds.create": false }) as Manifest[];
    expect(ofKind("CustomResourceDefinition", all)).toEqual([]);
  });
});

test("the Service is named as both kubeseal and signet look for it", () => {
  const names = ofKind("Service", render()).map(identity);
  expect(names[0]).toBe("Service kube-system/sealed-secrets-controller");
});

describe("replicas", () => {
  const pod = (values: object): PodSpec => podOf(objectOf("Deployment", values)).spec;

  test("keep away from each other, over nodes and zones, where there is more than one", () => {
    expect(JSON.stringify(pod({}).affinity)).toContain("kubernetes.io/hostname");
    expect(pod({}).topologySpreadConstraints?.map(({ topologyKey }) => topologyKey)).toEqual([
      "topology.kubernetes.io/zone",
    ]);
    const single = pod({ replicas: 1 });
    expect([single.affinity, single.topologySpreadConstraints]).toEqual([undefined, undefined]);
  });

  test("are placed as asked for", () => {
    const affinity = { nodeAffinity: {} };
    expect(pod({ affinity }).affinity).toEqual(affinity);
  });

  test("write nowhere: no volume is there to write to", () => {
    expect(pod({}).volumes).toBeUndefined();
  });

  test("on the node's network still resolve the cluster's names", () => {
    expect(pod({ hostNetwork: true })).toMatchObject({
      hostNetwork: true,
      dnsPolicy: "ClusterFirstWithHostNet",
    });
    expect(pod({}).dnsPolicy).toBeUndefined();
  });
});

describe("the network policy", () => {
  interface Policy {
    readonly spec: {
      readonly policyTypes: string[];
      readonly ingress: { readonly ports: { port: number }[]; readonly from?: object[] }[];
      readonly egress?: { readonly ports: { port: number; protocol: string }[]; to?: object[] }[];
    };
  }
  const policy = (values: object): Policy["spec"] =>
    (
      objectOf("NetworkPolicy", {
        "networkPolicy.enabled": true,
        ...values,
      }) as unknown as Policy
    ).spec;

  test("is about the container's port, whatever the Service's is", () => {
    const { ingress } = policy({ "service.port": 80, "containerPorts.http": 9080 });
    expect(ingress).toEqual([{ ports: [{ protocol: "TCP", port: 9080 }] }]);
  });

  test("lets in for the metrics only who is listed", () => {
    const from = [{ podSelector: { matchLabels: { app: "prometheus" } } }];
    const { ingress } = policy({ "networkPolicy.metricsFrom": from });
    expect(ingress[1]).toEqual({ ports: [{ protocol: "TCP", port: 8081 }], from });
  });

  test("lets out to the API server and DNS, or everywhere", () => {
    const { policyTypes, egress } = policy({});
    expect(policyTypes).toEqual(["Ingress", "Egress"]);
    expect(egress?.flatMap(({ ports }) => ports.map(({ port }) => port))).toEqual([
      443, 6443, 53, 53,
    ]);
    const open = policy({ "networkPolicy.egress.enabled": false });
    expect([open.policyTypes, open.egress]).toEqual([["Ingress"], undefined]);
  });
});

describe("the backup", () => {
  const values = { "backup.enabled": true, "backup.recipients": [RECIPIENT] };

  test("needs no shell, and says everything to signet", () => {
    const [container] = podOf(objectOf("CronJob", values)).spec.containers;
    expect([container?.command, container?.args]).toEqual([
      ["signet"],
      [
        "keys",
        "backup",
        "--controller-namespace=kube-system",
        `--recipient=${RECIPIENT}`,
        "--output=/backup/sealing-keys-{date}.age",
        "--keep=90",
      ],
    ]);
  });

  test("may list Secrets in the release's namespace and nothing else, by an account of its own", () => {
    const all = renderObjects(values) as Manifest[];
    const role = ofKind("Role", all).find(({ metadata }) => metadata.name === "signet-backup");
    expect(role?.rules).toEqual([{ apiGroups: [""], resources: ["secrets"], verbs: ["list"] }]);
    expect(role?.metadata.namespace).toBe("kube-system");
    const bound = all.filter((each) => each.subjects?.some(({ name }) => name === "signet-backup"));
    expect(bound.map(identity)).toEqual(["RoleBinding kube-system/signet-backup"]);
    const job = podOf(ofKind("CronJob", all)[0]);
    expect(job.spec.serviceAccountName).toBe("signet-backup");
    // The controller's Services, budget and policy are not about it.
    expect(job.metadata.labels["app.kubernetes.io/component"]).toBe("backup");
  });

  test("keeps its copies when the chart is removed", () => {
    const { metadata } = objectOf("PersistentVolumeClaim", values);
    expect(metadata.annotations).toEqual({ "helm.sh/resource-policy": "keep" });
  });
});

test("the way from the original's values names each group of them", () => {
  const words = readFileSync("docs/migration-values.md", "utf8");
  const missing = ORIGINAL_VALUES.filter((value) => !words.includes(`\`${value}\``));
  expect(missing).toEqual([]);
});

/** Of the original's chart, version 2.18.5. */
const ORIGINAL_VALUES = [
  ...["kubeVersion", "nameOverride", "fullnameOverride", "namespace", "extraDeploy"],
  ...["commonAnnotations", "commonLabels", "image.registry", "image.repository", "image.tag"],
  ...["image.pullPolicy", "image.pullSecrets", "revisionHistoryLimit", "createController"],
  ...["secretName", "updateStatus", "skipRecreate", "keyrenewperiod", "keyttl", "keycutofftime"],
  ...["rateLimit", "rateLimitBurst", "additionalNamespaces", "privateKeyAnnotations"],
  ...["privateKeyLabels", "logInfoStdout", "logLevel", "logFormat", "maxRetries"],
  ...["watchForSecrets", "kubeClientQPS", "kubeClientBurst", "command", "args"],
  ...["livenessProbe", "readinessProbe", "startupProbe", "customLivenessProbe"],
  ...["customReadinessProbe", "customStartupProbe", "resources", "podSecurityContext"],
  ...["containerSecurityContext", "podLabels", "podAnnotations", "priorityClassName"],
  ...["runtimeClassName", "affinity", "nodeSelector", "tolerations", "additionalVolumes"],
  ...["additionalVolumeMounts", "hostNetwork", "containerPorts", "hostPorts", "dnsPolicy"],
  ...["service.type", "service.loadBalancerClass", "service.port", "service.nodePort"],
  ...["service.annotations", "service.labels", "ingress.enabled", "ingress.pathType"],
  ...["ingress.apiVersion", "ingress.ingressClassName", "ingress.hostname", "ingress.path"],
  ...["ingress.annotations", "ingress.tls", "ingress.selfSigned", "ingress.extraHosts"],
  ...["ingress.extraPaths", "ingress.extraTls", "ingress.secrets", "networkPolicy.enabled"],
  ...["networkPolicy.egress.enabled", "networkPolicy.egress.kubeapiCidr"],
  ...["networkPolicy.egress.kubeapiPort", "serviceAccount.create", "serviceAccount.name"],
  ...["serviceAccount.annotations", "serviceAccount.labels", "rbac.create", "rbac.clusterRole"],
  ...["rbac.clusterRoleName", "rbac.namespacedRoles", "rbac.namespacedRolesName", "rbac.labels"],
  ...["rbac.pspEnabled", "rbac.serviceProxier.create", "rbac.serviceProxier.bind"],
  ...["rbac.serviceProxier.subjects", "metrics.serviceMonitor.enabled"],
  ...["metrics.serviceMonitor.namespace", "metrics.serviceMonitor.labels"],
  ...["metrics.serviceMonitor.annotations", "metrics.serviceMonitor.interval"],
  ...["metrics.serviceMonitor.scrapeTimeout", "metrics.serviceMonitor.honorLabels"],
  ...["metrics.serviceMonitor.metricRelabelings", "metrics.serviceMonitor.relabelings"],
  ...["metrics.dashboards.create", "metrics.dashboards.labels", "metrics.dashboards.annotations"],
  ...["metrics.dashboards.namespace", "metrics.service.type", "metrics.service.loadBalancerClass"],
  ...["metrics.service.port", "metrics.service.nodePort", "metrics.service.annotations"],
  ...["metrics.service.labels", "pdb.create", "pdb.minAvailable", "pdb.maxUnavailable"],
];

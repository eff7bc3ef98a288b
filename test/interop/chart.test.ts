// Owns: what the chart renders to, asked of the real Helm. Does not own: that a cluster takes it and
// that its rights suffice (test/cluster/).

import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { loadAll } from "js-yaml";
import { describe, expect, test } from "vitest";
import { partPath } from "../parts/parts.ts";

const CHART = "charts/signet";

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
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
  const args = ["template", "signet", CHART, ...options];
  const { status, stderr } = spawnSync(partPath("helm"), args, { encoding: "utf8" });
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
  expect(() => execFileSync(partPath("helm"), ["lint", "--strict", CHART])).not.toThrow();
});

test("deploy/signet.yaml is what the chart renders to", () => {
  const fresh = render("--include-crds");
  expect(fresh.map(identity)).toHaveLength(14);
  expect(
    manifests(readFileSync("deploy/signet.yaml", "utf8")),
    "render it anew: see charts/signet/README.md",
  ).toEqual(fresh);
});

describe("rights", () => {
  const RECONCILE: Rule[] = [
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets/status"], verbs: ["update"] },
    {
      apiGroups: [""],
      resources: ["secrets"],
      verbs: ["get", "list", "watch", "create", "update", "delete"],
    },
    { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
  ];

  test("are these in every namespace by default", () => {
    const all = render();
    expect(ofKind("ClusterRole", all).map(({ rules }) => rules)).toEqual([RECONCILE]);
    expect(ofKind("Role", all).map(identity)).toEqual([
      "Role kube-system/signet-keys",
      "Role kube-system/signet-lease",
      "Role kube-system/sealed-secrets-controller-service-proxier",
    ]);
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
    for (const { rules } of roles) expect(rules).toEqual(RECONCILE);
    expect(args(all)).toContain("--all-namespaces=false");
    expect(args(all)).toContain("--additional-namespaces=shop,billing");
  });

  test("never include to delete but Secrets one by one, and go to the account that the pod runs as", () => {
    for (const options of [[], ["--set", "namespaces={shop}"], ["--set", "fullnameOverride=x"]]) {
      const all = render(...options);
      const rules = all.flatMap((manifest) => manifest.rules ?? []);
      expect(rules.length).toBeGreaterThan(6);
      for (const { apiGroups, resources, verbs } of rules) {
        expect([...apiGroups, ...resources, ...verbs]).not.toContain("*");
        expect(verbs).not.toContain("deletecollection");
        if (verbs.includes("delete")) expect([apiGroups, resources]).toEqual([[""], ["secrets"]]);
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
      "--leader-elect-lease-name=signet-controller",
      "--key-prefix=sealed-secrets-key",
      "--key-renew-period=720h",
      "--log-level=INFO",
      "--log-format=text",
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
])("the schema refuses %s", (value, words) => {
  expect(refusal("--set", value)).toContain(words);
});

test("the schema accepts what Helm adds where the chart is a dependency", () => {
  expect(render("--set", "global.any=thing").length).toBeGreaterThan(0);
});

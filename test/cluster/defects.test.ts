// Defects of the Go original that no other test speaks of, one test each; and our program in the
// original's place, with the original's definition, rights and arguments. docs/compatibility.md).
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import {
  certificateOf,
  metricOf,
  readSecret,
  sealed,
  SEALED_SECRETS,
  untilData,
  untilVerdict,
} from "./objects.ts";
import { installOriginalCrd, startOriginal } from "./original.ts";
import { type ProxiedCall, startProxiedPlane } from "./proxy.ts";
import {
  ensureNamespace,
  type RunningController,
  signetManifest,
  startCluster,
  startSignet,
} from "./signet.ts";

const FLAGS = ["--key-size=2048", "--leader-elect=false"];
const SCOPE = "sealedsecrets.bitnami.com/cluster-wide";

describe("unlike the original, the controller", () => {
  let plane: ControlPlane;
  let controller: RunningController;
  let certificate: string;

  beforeAll(async () => {
    ({ plane, controller } = await startCluster({ flags: FLAGS, namespaces: ["demo"] }));
    certificate = await certificateOf(controller);
  });

  afterAll(async () => {
    await controller.stop();
    await plane.stop();
  });

  const pathOf = (kind: "secrets" | "sealedsecrets", name: string): string =>
    `${kind === "secrets" ? "/api/v1" : SEALED_SECRETS}/namespaces/demo/${kind}/${name}`;

  async function declare(name: string, more: Record<string, unknown> = {}): Promise<KubeObject> {
    const declared = { namespace: "demo", name, stringData: { a: "plain-1" }, ...more };
    return plane.apply(await sealed(certificate, declared));
  }

  const theirs = (name: string, annotations = {}, immutable = false): KubeObject => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "demo", annotations },
    immutable,
    stringData: { own: "plain-own" },
  });

  it("follows a change of the scope's annotation alone", async () => {
    const object = await sealed(certificate, {
      ...{ namespace: "demo", name: "scoped", stringData: { a: "plain-1" } },
      scope: "cluster-wide",
    });
    const { metadata } = object;
    await plane.apply({ ...object, metadata: { name: "scoped", namespace: "demo" } });
    await untilVerdict(plane, "demo", "scoped", "DecryptFailed");
    expect(metadata?.annotations?.[SCOPE]).toBe("true");
    const patch = { metadata: { annotations: { [SCOPE]: "true" } } };
    await plane.request("PATCH", pathOf("sealedsecrets", "scoped"), patch, MERGE);
    await untilData(plane, "demo", "scoped", { a: "plain-1" });
    await untilVerdict(plane, "demo", "scoped", "Unsealed");
  });

  it("publishes another reason under the same generation", async () => {
    await plane.apply(theirs("reasons"));
    await declare("reasons");
    const first = await untilVerdict(plane, "demo", "reasons", "NotManaged");
    await plane.request("DELETE", pathOf("secrets", "reasons"));
    await plane.apply(theirs("reasons", { "sealedsecrets.bitnami.com/managed": "true" }, true));
    const second = await untilVerdict(plane, "demo", "reasons", "Immutable");
    expect(second.generation).toBe(first.generation);
    expect(second.synced?.message).not.toBe(first.synced?.message);
  });

  it("writes a Secret without a type once", async () => {
    await declare("untyped");
    await untilVerdict(plane, "demo", "untyped", "Unsealed");
    const before = (await readSecret(plane, "demo", "untyped"))?.metadata?.resourceVersion;
    const looks = (): Promise<number> => metricOf(controller, "unseal_requests_total");
    const looksBefore = await looks();
    const patch = { metadata: { annotations: { touched: "1" } } };
    await plane.request("PATCH", pathOf("sealedsecrets", "untyped"), patch, MERGE);
    await plane.waitFor("another look", async () => (await looks()) > looksBefore);
    await untilVerdict(plane, "demo", "untyped", "Unsealed");
    const secret = await readSecret(plane, "demo", "untyped");
    expect(secret?.["type"]).toBe("Opaque");
    expect(secret?.metadata?.resourceVersion).toBe(before);
  });

  it("answers probes before it has reached the API server, and says that it is not ready", async () => {
    const proxy = await startProxiedPlane(plane, { before: () => Promise.resolve("drop") });
    const second = await startSignet(proxy.plane, { flags: FLAGS, waitFor: "alive" });
    try {
      const readiness = await fetch(`${second.url}/readyz`);
      expect(readiness.status).toBe(503);
      expect((await fetch(`${second.url}/v1/cert.pem`)).status).toBe(500);
    } finally {
      await second.stop();
      await proxy.stop();
    }
  });

  it("is ready although a namespace that it is to look after is missing, and takes it in later", async () => {
    const flags = [...FLAGS, "--additional-namespaces=not-yet,demo"];
    const second = await startSignet(plane, { flags });
    try {
      await controller.stop();
      await ensureNamespace(plane, "not-yet");
      const object = { namespace: "not-yet", name: "late", stringData: { a: "plain-1" } };
      await plane.apply(await sealed(certificate, object));
      await untilData(plane, "not-yet", "late", { a: "plain-1" });
    } finally {
      await second.stop();
      controller = await startSignet(plane, { flags: FLAGS });
    }
  });

  it("lists no Secrets but its own, and of those no data; and sealing keys", async () => {
    const calls: ProxiedCall[] = [];
    const proxy = await startProxiedPlane(plane, {
      before: (call) => {
        calls.push(call);
        return Promise.resolve("pass");
      },
    });
    await plane.apply(theirs("private"));
    const second = await startSignet(proxy.plane, { flags: FLAGS });
    try {
      await declare("listed");
      await untilVerdict(plane, "demo", "listed", "Unsealed");
    } finally {
      await second.stop();
      await proxy.stop();
    }
    const lists = calls.filter(({ path, isWrite }) => !isWrite && /\/secrets(\?|$)/.test(path));
    const own = lists.filter(({ path }) => path.startsWith("/api/v1/secrets"));
    const keys = lists.filter(({ path }) => path.includes("/namespaces/kube-system/"));
    expect(own.length).toBeGreaterThan(1);
    expect(keys.length).toBeGreaterThan(1);
    expect(own.length + keys.length).toBe(lists.length);
    for (const { path, accept } of own) {
      expect(decodeURIComponent(path)).toContain("labelSelector=kube-signet/secret");
      expect(accept).toContain("as=PartialObjectMetadata");
    }
    for (const { path } of keys) {
      expect(decodeURIComponent(path)).toMatch(
        /labelSelector=(sealedsecrets\.bitnami\.com\/sealed-secrets-key|kube-signet\/sealing-key)|fieldSelector=metadata\.name=/,
      );
    }
    // What is read by its name is what a SealedSecret declares.
    const named = calls.filter(({ path }) => path.endsWith("/secrets/private"));
    expect(named).toEqual([]);
  });

  it("names no SealedSecret in its metrics when asked to", async () => {
    const flags = [...FLAGS, "--metrics-omit-secret-labels"];
    const second = await startSignet(plane, { flags });
    try {
      await declare("unnamed-in-metrics");
      await untilVerdict(plane, "demo", "unnamed-in-metrics", "Unsealed");
      const named = async ({ metricsUrl }: RunningController): Promise<boolean> =>
        (await (await fetch(`${metricsUrl}/metrics`)).text()).includes("unnamed-in-metrics");
      expect([await named(controller), await named(second)]).toEqual([true, false]);
    } finally {
      await second.stop();
    }
  });

  it("deletes no Secret for lack of a SealedSecret, whatever --old-gc-behavior says", async () => {
    const second = await startSignet(plane, { flags: [...FLAGS, "--old-gc-behavior"] });
    try {
      await controller.stop();
      await plane.apply(theirs("kept"));
      await declare("kept");
      await untilVerdict(plane, "demo", "kept", "NotManaged");
      await plane.request("DELETE", pathOf("sealedsecrets", "kept"));
      await declare("after");
      await untilVerdict(plane, "demo", "after", "Unsealed");
      expect(await readSecret(plane, "demo", "kept")).toBeDefined();
    } finally {
      await second.stop();
      controller = await startSignet(plane, { flags: FLAGS });
    }
  });
});

describe("in the original's place", () => {
  /** As the original's chart and its plain manifests grant them. */
  const CLUSTER_RULES = [
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["bitnami.com"], resources: ["sealedsecrets/status"], verbs: ["update"] },
    {
      apiGroups: [""],
      resources: ["secrets"],
      verbs: ["get", "list", "create", "update", "delete", "watch"],
    },
    { apiGroups: [""], resources: ["events"], verbs: ["create", "patch"] },
    { apiGroups: [""], resources: ["namespaces"], verbs: ["get"] },
  ];
  const KEY_RULES = [
    {
      apiGroups: [""],
      resources: ["secrets"],
      resourceNames: ["sealed-secrets-key"],
      verbs: ["get"],
    },
    { apiGroups: [""], resources: ["secrets"], verbs: ["create", "list"] },
  ];
  const ARGUMENTS = [
    ...["--update-status", "--key-prefix", "sealed-secrets-key", "--key-size=2048"],
    ...["--rotate-period", "720h", "--max-unseal-retries=5", "--watch-for-secrets=true"],
    ...["--rate-limit=2", "--rate-limit-burst=2", "--old-gc-behavior=false"],
    ...["--log-info-stdout", "--log-level=INFO", "--log-format=json"],
    ...["--privatekey-labels=team=a", "--kubeclient-qps=20", "--kubeclient-burst=40"],
  ];
  const RBAC = "rbac.authorization.k8s.io";

  async function grant(plane: ControlPlane): Promise<void> {
    const namespace = "kube-system";
    const account = (await signetManifest()).find(({ kind }) => kind === "ServiceAccount");
    const name = account?.metadata?.name ?? "";
    await plane.apply({ apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } });
    const subjects = [{ kind: "ServiceAccount", name, namespace }];
    for (const [kind, rules] of [
      ["ClusterRole", CLUSTER_RULES],
      ["Role", KEY_RULES],
    ] as const) {
      const metadata = { name: "originals", ...(kind === "Role" && { namespace }) };
      const roleRef = { apiGroup: RBAC, kind, name: "originals" };
      const apiVersion = `${RBAC}/v1`;
      await plane.apply({ apiVersion, kind, metadata, rules });
      await plane.apply({ apiVersion, kind: `${kind}Binding`, metadata, roleRef, subjects });
    }
  }

  it("with its definition, rights and arguments: takes over, follows changes, repairs drift", async () => {
    const plane = await startControlPlane();
    try {
      await installOriginalCrd(plane);
      await ensureNamespace(plane, "demo");
      const original = await startOriginal(plane, { flags: ["--key-size=2048"] });
      const certificate = await certificateOf(original);
      const declare = async (name: string, a: string): Promise<void> => {
        const object = { namespace: "demo", name, stringData: { a } };
        await plane.apply(await sealed(certificate, object));
      };
      await declare("before", "plain-1");
      await untilData(plane, "demo", "before", { a: "plain-1" });
      await original.stop();

      await grant(plane);
      const controller = await startSignet(plane, { flags: ARGUMENTS });
      try {
        // It waits for a Lease to which it has no right, and then works alone.
        await declare("after", "plain-2");
        await untilData(plane, "demo", "after", { a: "plain-2" });
        await declare("before", "plain-3");
        await untilData(plane, "demo", "before", { a: "plain-3" });
        for (const name of ["before", "after"]) {
          await untilVerdict(plane, "demo", name, "Unsealed");
          const path = `/api/v1/namespaces/demo/secrets/${name}`;
          await plane.request("PATCH", path, { stringData: { a: "evil" } }, MERGE);
        }
        await untilData(plane, "demo", "before", { a: "plain-3" });
        await untilData(plane, "demo", "after", { a: "plain-2" });
        expect(await certificateOf(controller)).toBe(certificate);
      } finally {
        await controller.stop();
      }
    } finally {
      await plane.stop();
    }
  });
});

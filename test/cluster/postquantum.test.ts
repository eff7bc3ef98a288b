// A repository of 200 SealedSecrets for two clusters moves to post-quantum one cluster after the
// other, cannot slip back by accident, and goes back to RSA on purpose. At every stage each Secret in
// its cluster is as it was. docs/post-quantum.md tells the same to a person.
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { sealingIn } from "../../shared/keys/kinds.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { formatManifests, parseManifests } from "../../shared/manifest/manifest.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { partPath } from "../parts/parts.ts";
import {
  type Answer,
  type ControlPlane,
  type KubeObject,
  startControlPlane,
} from "./controlplane.ts";
import { makeRepository, type Repository } from "./gitops.ts";
import { inLanes } from "./lanes.ts";
import { metricOf, SEALED_SECRETS, untilData } from "./objects.ts";
import { startOriginal } from "./original.ts";
import {
  chartObjects,
  ensureNamespace,
  exposeController,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const CLUSTERS = ["dev", "prod"] as const;
type ClusterName = (typeof CLUSTERS)[number];
const SECRETS_EACH = 100;
const ITEMS = ["password", "user"];
const VALUES_EACH = SECRETS_EACH * ITEMS.length;
const LANES = 8;
const SHOP = `${SEALED_SECRETS}/namespaces/shop/sealedsecrets`;
const SERVICE = { service: "sealed-secrets-controller", namespace: "kube-system" };
const RSA_ONLY = ["--key-size=2048"];
const WITH_HYBRID = [...RSA_ONLY, "--hybrid-keys"];

const planes = new Map<ClusterName, ControlPlane>();
const controllers = new Map<ClusterName, RunningController>();
let repository: Repository;

function planeOf(cluster: ClusterName): ControlPlane {
  const plane = planes.get(cluster);
  if (plane === undefined) throw new Error(`no control plane of ${cluster}`);
  return plane;
}

/** Starts a cluster's controller, instead of the one that runs, on a Node that has ML-KEM. */
async function runController(cluster: ClusterName, flags: string[]): Promise<void> {
  await controllers.get(cluster)?.stop();
  const plane = planeOf(cluster);
  const controller = await startSignet(plane, { flags, node: partPath("node24") });
  controllers.set(cluster, controller);
  await exposeController(plane, { ...SERVICE, port: controller.port });
}

async function startClusterOf(cluster: ClusterName): Promise<void> {
  const plane = await startControlPlane();
  planes.set(cluster, plane);
  await installSignet(plane);
  await ensureNamespace(plane, "shop");
  await runController(cluster, RSA_ONLY);
}

/** The kubeconfig of a cluster, in which its context has the name of the cluster. */
async function kubeconfigOf(cluster: ClusterName): Promise<string> {
  const text = await readFile(await planeOf(cluster).kubeconfig(), "utf8");
  return text.replaceAll(/\btest$/gm, cluster);
}

const nameOf = (index: number): string => `secret-${index}`;
const valuesOf = (cluster: ClusterName, index: number): Record<string, string> =>
  Object.fromEntries(ITEMS.map((item) => [item, `${item} of ${cluster} ${index}`]));

async function writePlain(cluster: ClusterName): Promise<void> {
  const folder = join(repository.folder, "plain", cluster);
  await mkdir(folder, { recursive: true });
  for (let index = 0; index < SECRETS_EACH; index++) {
    const name = nameOf(index);
    const stringData = valuesOf(cluster, index);
    const metadata = { name, namespace: "shop" };
    const secret = { apiVersion: "v1", kind: "Secret", metadata, stringData };
    await writeFile(join(folder, `${name}.yaml`), formatManifests([secret], "yaml"));
  }
}

/** Applies each file of a cluster's folder, as a GitOps agent does, and waits until all is opened. */
async function sync(cluster: ClusterName): Promise<void> {
  const plane = planeOf(cluster);
  const folder = join(repository.folder, cluster, "shop");
  await inLanes(LANES, await readdir(folder), async (file) => {
    for (const { value } of parseManifests(await readFile(join(folder, file), "utf8"))) {
      await plane.apply(value as KubeObject);
    }
  });
  await untilSynced(cluster);
}

interface Listed {
  readonly metadata: { readonly name: string; readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

async function untilSynced(cluster: ClusterName): Promise<void> {
  await planeOf(cluster).waitFor(`every SealedSecret of ${cluster} to be synced`, async () => {
    const { body } = await planeOf(cluster).request("GET", SHOP);
    const items = (body.items ?? []) as unknown as Listed[];
    const done = items.filter(
      ({ metadata, status }) =>
        status?.observedGeneration === metadata.generation &&
        status.conditions?.some(({ type, status: is }) => type === "Synced" && is === "True"),
    );
    return items.length > 0 && done.length === items.length;
  });
}

/** The values of every Secret in a cluster, by name. */
async function secretsIn(cluster: ClusterName): Promise<Map<string, Record<string, string>>> {
  const { body } = await planeOf(cluster).request("GET", "/api/v1/namespaces/shop/secrets");
  return new Map(
    (body.items ?? []).map(({ metadata, data = {} }) => [
      metadata?.name ?? "",
      Object.fromEntries(
        Object.entries(data).map(([item, text]) => [item, Buffer.from(text, "base64").toString()]),
      ),
    ]),
  );
}

async function expectRight(): Promise<void> {
  for (const cluster of CLUSTERS) {
    const found = await secretsIn(cluster);
    const expected = Array.from({ length: SECRETS_EACH }, (_, index): [string, object] => [
      nameOf(index),
      valuesOf(cluster, index),
    ]);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
  }
}

interface Counts {
  readonly hybrid: number;
  readonly rsa: number;
}

/** What `signet status` counts for each cluster. */
async function counts(): Promise<Record<ClusterName, Counts>> {
  const { stdout } = await repository.attempt("signet status --json");
  const { clusters } = JSON.parse(stdout) as {
    clusters: { cluster: ClusterName; algorithms: Counts }[];
  };
  return Object.fromEntries(
    clusters.map(({ cluster, algorithms }) => [cluster, algorithms]),
  ) as Record<ClusterName, Counts>;
}

const allRsa = { hybrid: 0, rsa: VALUES_EACH };
const allHybrid = { hybrid: VALUES_EACH, rsa: 0 };

async function untilCounted(cluster: ClusterName, expected: Counts): Promise<void> {
  await planeOf(cluster).waitFor(`the metric of ${cluster}`, async () => {
    const controller = controllers.get(cluster);
    if (controller === undefined) return false;
    const [hybrid, rsa] = [
      await metricOf(controller, "values", { algorithm: "hybrid" }),
      await metricOf(controller, "values", { algorithm: "rsa" }),
    ];
    return hybrid === expected.hybrid && rsa === expected.rsa;
  });
}

/** The policy that the chart has for a cluster which requires hybrid values, or not any more. */
async function setPolicy(cluster: ClusterName, required: boolean): Promise<void> {
  const plane = planeOf(cluster);
  const values = [
    "policies.engine=ValidatingAdmissionPolicy",
    "policies.hybrid.require=true",
    "policies.hybrid.namespaces={shop}",
  ];
  const objects = chartObjects("policies-admission.yaml", ...values);
  for (const object of objects) {
    if (required) {
      await plane.apply(object);
      continue;
    }
    const path = `/apis/admissionregistration.k8s.io/v1/${(object.kind ?? "")
      .replace(/y$/, "ies")
      .replace(/g$/, "gs")
      .toLowerCase()}/${object.metadata?.name ?? ""}`;
    expect((await plane.request("DELETE", path)).status).toBe(200);
  }
  await plane.waitFor(`the policy of ${cluster}`, async () => {
    const { status } = await postSlipBack(cluster, "?dryRun=All");
    return (status === 403) === required;
  });
}

/** Applies a value that the original's kubeseal might have sealed. */
async function postSlipBack(cluster: ClusterName, query = ""): Promise<Answer> {
  const pem = await readFile(join(repository.folder, "certificates", `${cluster}.pem`), "utf8");
  const metadata = { namespace: "shop", name: "slipped" };
  const secret = parseSecret({
    apiVersion: "v1",
    kind: "Secret",
    metadata,
    stringData: { a: "1" },
  });
  const object = formatSealedSecret(await seal(secret, sealingIn(parseCertificate(pem), "rsa")));
  return planeOf(cluster).request("POST", `${SHOP}${query}`, object);
}

beforeAll(async () => {
  await Promise.all(CLUSTERS.map(startClusterOf));
  repository = await makeRepository({ KUBECONFIG: "dev.kubeconfig:prod.kubeconfig" });
  for (const cluster of CLUSTERS) {
    const text = await kubeconfigOf(cluster);
    await writeFile(join(repository.folder, `${cluster}.kubeconfig`), text, { mode: 0o600 });
    await writePlain(cluster);
  }
  await repository.sh("printf '*.kubeconfig\\nplain/\\n' > .gitignore");
});

afterAll(async () => {
  for (const controller of controllers.values()) await controller.stop();
  for (const plane of planes.values()) await plane.stop();
  await repository.remove();
});

// One story: each part goes on where the one before it ended.
describe("a repository for two clusters", { concurrent: false }, () => {
  it("has 200 SealedSecrets under RSA", async () => {
    await repository.sh("signet init --cluster dev=dev --cluster prod=prod");
    for (const cluster of CLUSTERS) {
      await mkdir(join(repository.folder, cluster, "shop"), { recursive: true });
      await repository.sh(`signet seal plain/${cluster} -w ${cluster}/shop --cluster ${cluster}`);
    }
    await repository.commit("two clusters");
    await Promise.all(CLUSTERS.map(sync));
    await expectRight();
    expect(await counts()).toEqual({ dev: allRsa, prod: allRsa });
  });

  it("gets certificates with a second key, and nothing else changes", async () => {
    await Promise.all(CLUSTERS.map((cluster) => runController(cluster, WITH_HYBRID)));
    for (const cluster of CLUSTERS)
      await repository.sh(`signet keys rotate --cluster ${cluster} --context ${cluster}`);
    await repository.sh("signet cert refresh");
    await repository.commit("certificates with a second key");
    expect(await repository.sh("git status --short dev prod")).toBe("");
    expect(await counts()).toEqual({ dev: allRsa, prod: allRsa });
    await expectRight();
  });

  it("moves dev, through its controller, while prod stays", async () => {
    await repository.sh("signet reseal dev --algorithm hybrid");
    expect(await counts()).toEqual({ dev: allHybrid, prod: allRsa });
    await repository.commit("dev is hybrid");
    await sync("dev");
    await untilCounted("dev", allHybrid);
    await untilCounted("prod", allRsa);
    await expectRight();
  });

  it("refuses in CI, and by admission, that dev slips back", async () => {
    await repository.sh(
      "printf 'require: [{algorithm: hybrid, files: dev}]\\n' >> signet.yaml && signet verify",
    );
    await setPolicy("dev", true);
    await repository.commit("dev stays hybrid");
    const line = "signet seal --algorithm rsa plain/dev/secret-7.yaml";
    await repository.sh(`${line} -w dev/shop/secret-7.yaml`);
    const { status, stdout } = await repository.attempt("signet verify");
    expect(status).toBe(3);
    const found = stdout.split("\n").filter((each) => each.endsWith("[not-hybrid]"));
    expect(found.map((each) => each.split(":")[0])).toEqual(
      ITEMS.map(() => "dev/shop/secret-7.yaml"),
    );
    await repository.sh("git checkout -q -- dev && signet verify");
    const refused = await postSlipBack("dev");
    expect([refused.status, refused.text]).toEqual([
      403,
      expect.stringContaining("sealed with RSA, and must be hybrid: a"),
    ]);
    expect((await postSlipBack("prod", "?dryRun=All")).status).toBe(201);
    await sync("dev");
    await expectRight();
  });

  it("moves prod, too, one file first, and then requires hybrid everywhere", async () => {
    await repository.sh("signet reseal prod/shop/secret-0.yaml --algorithm hybrid");
    const one = { hybrid: ITEMS.length, rsa: VALUES_EACH - ITEMS.length };
    expect(await counts()).toEqual({ dev: allHybrid, prod: one });
    expect((await repository.attempt("signet verify --require hybrid")).status).toBe(3);
    await repository.sh("signet reseal prod --algorithm hybrid");
    expect(await counts()).toEqual({ dev: allHybrid, prod: allHybrid });
    await repository.sh(
      "sed -i 's/^require:.*/require: hybrid/' signet.yaml && signet verify --live",
    );
    await repository.commit("all is hybrid");
    await sync("prod");
    await setPolicy("prod", true);
    await untilCounted("prod", allHybrid);
    await expectRight();
    const { stdout } = await repository.attempt("signet log --algorithm rsa --json");
    const { values } = JSON.parse(stdout) as { values: unknown[] };
    expect(values).toHaveLength(2 * VALUES_EACH);
  });

  it("goes back to RSA in the order of the guide", async () => {
    for (const cluster of CLUSTERS) await setPolicy(cluster, false);
    await repository.sh("sed -i '/^require:/d' signet.yaml");
    await repository.sh("signet reseal --algorithm rsa && signet verify --live");
    expect(await counts()).toEqual({ dev: allRsa, prod: allRsa });
    await repository.commit("back to RSA");
    await Promise.all(CLUSTERS.map(sync));
    for (const cluster of CLUSTERS) await untilCounted(cluster, allRsa);
    await expectRight();
  });

  it("has a certificate of one key again only if somebody says so", async () => {
    for (const cluster of CLUSTERS) {
      await runController(cluster, RSA_ONLY);
      await repository.sh(`signet keys rotate --cluster ${cluster} --context ${cluster}`);
    }
    const refused = await repository.attempt("signet cert refresh");
    expect([refused.status, refused.stderr]).toEqual([
      1,
      expect.stringContaining("has no post-quantum key, but an earlier one has"),
    ]);
    await repository.sh("signet cert refresh --allow-rsa-only && signet reseal --algorithm rsa");
    await repository.commit("keys of one half");
    await Promise.all(CLUSTERS.map(sync));
    await expectRight();
  });

  it("is one that the original's controller opens all of", async () => {
    const plane = planeOf("dev");
    await controllers.get("dev")?.stop();
    await plane.request("DELETE", "/api/v1/namespaces/shop/secrets");
    const flags = [...RSA_ONLY, "--kubeclient-qps=-1"];
    controllers.set("dev", await startOriginal(plane, { flags }));
    await untilData(plane, "shop", nameOf(0), valuesOf("dev", 0));
    await plane.waitFor("the original to open all", async () => {
      return (await secretsIn("dev")).size === SECRETS_EACH;
    });
    await expectRight();
  });
});

// That a real API server takes what the chart renders to, under Pod Security's "restricted"
// profile, and what Helm does with the SealedSecret definition from install to uninstall.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { partPath } from "../parts/parts.ts";
import { CHART, MATRIX, renderObjects } from "../interop/helm.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import { installOriginalCrd } from "./original.ts";
import { type Finished, runToEnd } from "./program.ts";

const NAMESPACE = "sealing";
const CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/sealedsecrets.bitnami.com";

let plane: ControlPlane;

beforeAll(async () => {
  plane = await startControlPlane();
  for (const name of [NAMESPACE, "shop", "billing"]) {
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    await plane.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  }
  for (const kind of ["ServiceMonitor", "PrometheusRule"]) await plane.apply(standIn(kind));
  await plane.apply({
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name: "important" },
    value: 1000,
  });
  await plane.apply({
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "sandbox" },
    handler: "runsc",
  });
});

afterAll(async () => {
  await plane.stop();
});

/** As much of the Prometheus operator's definitions as it takes to accept any object. */
function standIn(kind: string): KubeObject {
  const plural = `${kind.toLowerCase()}s`;
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: "monitoring.coreos.com",
      scope: "Namespaced",
      names: { kind, plural },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
}

/** A field that does not exist is an error, as well as a warning, of any kind. */
const DRY_RUN = "dryRun=All&fieldValidation=Strict";

const render = (values: object): KubeObject[] => renderObjects(values, NAMESPACE) as KubeObject[];

interface Template {
  readonly metadata: KubeObject["metadata"];
  readonly spec: object;
}

/** The pods that a Deployment or a CronJob would make. */
function podsOf(objects: KubeObject[]): KubeObject[] {
  return objects.flatMap(({ kind, spec }) => {
    const { template, jobTemplate } = (spec ?? {}) as {
      template?: Template;
      jobTemplate?: { spec: { template: Template } };
    };
    const made = kind === "Deployment" ? template : jobTemplate?.spec.template;
    if (made === undefined) return [];
    const metadata = { ...made.metadata, name: "pod", namespace: NAMESPACE };
    return [{ apiVersion: "v1", kind: "Pod", metadata, spec: made.spec }];
  });
}

const createPod = (pod: KubeObject) =>
  plane.request("POST", `/api/v1/namespaces/${NAMESPACE}/pods?${DRY_RUN}`, pod);

describe.each(Object.entries(MATRIX))("with %s", (_what, values) => {
  const objects = render(values);

  it("the API server would take every object, and know each of its fields", async () => {
    expect(objects.length).toBeGreaterThan(5);
    for (const object of objects) {
      const path = `${await plane.pathOf(object)}?${DRY_RUN}&fieldManager=test&force=true`;
      const contentType = "application/apply-patch+yaml";
      const { status, text } = await plane.request("PATCH", path, object, { contentType });
      expect([path, status], text).toEqual([path, expect.toSatisfy((code) => code < 300)]);
    }
  });

  it("each of its pods is let in where only restricted ones are", async () => {
    const pods = podsOf(objects);
    expect(pods.length).toBeGreaterThan(0);
    for (const pod of pods) {
      const { status, text } = await createPod(pod);
      expect(status, text).toBe(201);
    }
  });
});

it("pods that ask for more are kept out, so that the above means something", async () => {
  const values = [
    { hostNetwork: true },
    { containerSecurityContext: { allowPrivilegeEscalation: true } },
  ];
  for (const [pod] of values.map((each) => podsOf(render(each)))) {
    const { status, text } = await createPod(pod ?? {});
    expect(status).toBe(403);
    expect(text).toContain("restricted");
  }
});

describe("the definition, in the hands of Helm", () => {
  const home = mkdtempSync(join(tmpdir(), "helm-"));

  async function helm(...args: string[]): Promise<Finished> {
    const env = { KUBECONFIG: await plane.kubeconfig({ namespace: NAMESPACE }), HOME: home };
    return runToEnd([partPath("helm"), ...args], { env });
  }

  async function succeeds(...args: string[]): Promise<void> {
    const { status, stdout, stderr } = await helm(...args);
    expect(status, `helm ${args.join(" ")}\n${stdout}${stderr}`).toBe(0);
  }

  const columns = async (): Promise<string[]> => {
    const { body } = await plane.request("GET", CRD);
    const { versions } = body.spec as {
      versions: { additionalPrinterColumns: { name: string }[] }[];
    };
    return versions[0]?.additionalPrinterColumns.map(({ name }) => name) ?? [];
  };

  const install = ["install", "signet", CHART];

  it("is refused where it is another's, left alone where told to, and taken over where handed over", async () => {
    await installOriginalCrd(plane);
    expect(await columns()).not.toContain("Ready");
    const object = {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: { name: "kept", namespace: "shop" },
      spec: { encryptedData: { a: "AgA=" } },
    };
    await plane.apply(object);
    const refused = await helm(...install);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain("invalid ownership metadata");

    await succeeds(...install, "--set=crds.create=false");
    expect(await columns()).not.toContain("Ready");
    await succeeds("uninstall", "signet");

    // As in the chart's README.
    const handOver = {
      metadata: {
        labels: { "app.kubernetes.io/managed-by": "Helm" },
        annotations: {
          "meta.helm.sh/release-name": "signet",
          "meta.helm.sh/release-namespace": NAMESPACE,
        },
      },
    };
    expect((await plane.request("PATCH", CRD, handOver, MERGE)).status).toBe(200);
    await succeeds(...install, "--force-conflicts");
    expect(await columns()).toContain("Ready");
    expect((await plane.request("GET", await plane.pathOf(object))).status).toBe(200);
  });

  it("is updated by an upgrade", async () => {
    const before = await plane.request("GET", CRD);
    await succeeds("upgrade", "signet", CHART, "--set-string=crds.annotations.turn=2");
    const { body } = await plane.request("GET", CRD);
    expect(body.metadata?.annotations).toMatchObject({ turn: "2" });
    expect(body.metadata?.uid).toBe(before.body.metadata?.uid);
  });

  it("outlives crds.create=false and an uninstall, and is found again by the next install", async () => {
    const { body } = await plane.request("GET", CRD);
    await succeeds("upgrade", "signet", CHART, "--set=crds.create=false");
    expect((await plane.request("GET", CRD)).status).toBe(200);
    await succeeds("uninstall", "signet");
    await succeeds(...install);
    const again = await plane.request("GET", CRD);
    expect(again.body.metadata?.uid).toBe(body.metadata?.uid);
    const kept = `/apis/bitnami.com/v1alpha1/namespaces/shop/sealedsecrets/kept`;
    expect((await plane.request("GET", kept)).status).toBe(200);
  });
});

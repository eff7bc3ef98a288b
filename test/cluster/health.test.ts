// How tools read a SealedSecret's status: Argo CD's own script, Flux's kstatus, kubectl.
// SPEC.md, "Status".
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { partPath } from "../parts/parts.ts";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { certificateOf, sealed, SEALED_SECRETS, untilVerdict } from "./objects.ts";
import { kubectl } from "./original.ts";
import { type RunningController, startCluster, startSignet } from "./signet.ts";

const FLAGS = ["--key-size=2048"];

let plane: ControlPlane;
let kubeconfig: string;
let controller: RunningController;
let certificate: string;
let count = 0;
let name: string;

beforeAll(async () => {
  ({ plane, controller, kubeconfig } = await startCluster({ flags: FLAGS, namespaces: ["demo"] }));
  certificate = await certificateOf(controller);
});

beforeEach(() => {
  name = `health-${++count}`;
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

function judged(program: string, args: string[], object: KubeObject): string {
  const input = `${JSON.stringify(object)}\n`;
  const answer = execFileSync(program, args, { input, encoding: "utf8" });
  return (JSON.parse(answer) as { status: string }).status;
}

const path = (): string => `${SEALED_SECRETS}/namespaces/demo/sealedsecrets/${name}`;

async function live(): Promise<KubeObject> {
  return (await plane.request("GET", path())).body;
}

/** What Argo CD and Flux say of the object as it is now. */
async function health(object?: KubeObject): Promise<[string, string]> {
  const found = object ?? (await live());
  return [
    judged(partPath("argo-oracle"), [partPath("argo-health")], found),
    judged(partPath("kstatus-oracle"), [], found),
  ];
}

async function declare(value = "1"): Promise<void> {
  await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData: { value } }));
}

/** Declares what no key opens. */
async function damage(): Promise<void> {
  const object = await sealed(certificate, {
    namespace: "demo",
    name: "other",
    stringData: { a: "1" },
  });
  await plane.apply({ ...object, metadata: { name, namespace: "demo" } });
}

async function pause(work: () => Promise<void>): Promise<void> {
  await controller.stop();
  try {
    await work();
  } finally {
    controller = await startSignet(plane, { flags: FLAGS });
  }
}

describe("a SealedSecret is", () => {
  it("in progress until the controller has seen it, then healthy", async () => {
    await pause(async () => {
      await declare();
      // kstatus takes what has no status for done; Flux's own docs ask for a Ready condition there.
      expect((await health())[0]).toBe("Progressing");
    });
    await untilVerdict(plane, "demo", name, "Unsealed");
    expect(await health()).toEqual(["Healthy", "Current"]);
  });

  it("in progress for Flux while an update waits, and healthy after it", async () => {
    await declare();
    await untilVerdict(plane, "demo", name, "Unsealed");
    await pause(async () => {
      await declare("2");
      expect((await health())[1]).toBe("InProgress");
    });
    await untilVerdict(plane, "demo", name, "Unsealed");
    expect(await health()).toEqual(["Healthy", "Current"]);
  });

  it("failed where only a change mends it, and healthy once it is mended", async () => {
    await damage();
    await untilVerdict(plane, "demo", name, "DecryptFailed");
    expect(await health()).toEqual(["Degraded", "Failed"]);
    await declare();
    await untilVerdict(plane, "demo", name, "Unsealed");
    expect(await health()).toEqual(["Healthy", "Current"]);
  });

  it("degraded and in progress where time may mend it: a Secret in the way", async () => {
    const theirs = { apiVersion: "v1", kind: "Secret", metadata: { name, namespace: "demo" } };
    await plane.apply(theirs);
    await declare();
    await untilVerdict(plane, "demo", name, "NotManaged");
    expect(await health()).toEqual(["Degraded", "InProgress"]);
    await plane.request("DELETE", `/api/v1/namespaces/demo/secrets/${name}`);
    await untilVerdict(plane, "demo", name, "Unsealed");
    expect(await health()).toEqual(["Healthy", "Current"]);
  });

  it("terminating while it is deleted", async () => {
    await declare();
    await untilVerdict(plane, "demo", name, "Unsealed");
    await plane.request("PATCH", path(), { metadata: { finalizers: ["example.com/wait"] } }, MERGE);
    await plane.request("DELETE", path());
    expect((await health())[1]).toBe("Terminating");
    await plane.request("PATCH", path(), { metadata: { finalizers: null } }, MERGE);
  });
});

describe("kubectl", () => {
  it.each(["Ready", "Synced"])("waits for %s, also over an update", async (condition) => {
    const wait = (): Promise<{ status: number }> =>
      kubectl(
        [
          "wait",
          `--for=condition=${condition}`,
          "--timeout=180s",
          "-n",
          "demo",
          `sealedsecret/${name}`,
        ],
        { kubeconfig },
      );
    await declare();
    expect((await wait()).status).toBe(0);
    await damage();
    await untilVerdict(plane, "demo", name, "DecryptFailed");
    const waiting = wait();
    await declare("2");
    expect((await waiting).status).toBe(0);
  });

  it("lists what an operator wants to see", async () => {
    await damage();
    await untilVerdict(plane, "demo", name, "DecryptFailed");
    const { stdout } = await kubectl(["get", "sealedsecrets", "-n", "demo", name], { kubeconfig });
    const [head = "", line = ""] = stdout.split("\n");
    expect(head).toMatch(/^NAME +STATUS +SYNCED +REASON +AGE$/);
    expect(line).toContain("no key could decrypt secret (a)");
    expect(line).toMatch(/False +DecryptFailed +\d+s$/);
  });
});

describe("metrics", () => {
  it("exist by every name that the dashboard, the alerts and the manual use", async () => {
    const text = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
    const exported = new Set(
      [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, metric]) => metric ?? ""),
    );
    const used = [
      "charts/signet/dashboards/signet.json",
      "charts/signet/rules.yaml",
      "docs/monitoring.md",
    ]
      .flatMap((file) => [...readFileSync(file, "utf8").matchAll(/sealed_secrets_controller_\w+/g)])
      .map(([metric]) => metric.replace(/_(bucket|sum|count)$/, ""));
    expect(used.length).toBeGreaterThan(20);
    expect([...new Set(used)].filter((metric) => !exported.has(metric))).toEqual([]);
  });
});

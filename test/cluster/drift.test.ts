// What becomes of edits and deletions that others make to our Secrets.
// SPEC.md, "Drift".
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import {
  certificateOf,
  eventsOf,
  metricOf,
  readSecret,
  sealed,
  SEALED_SECRETS,
  untilData,
  untilVerdict,
} from "./objects.ts";
import { type RunningController, startCluster, startSignet } from "./signet.ts";
import { slowness } from "./slowness.ts";

const FLAGS = ["--key-size=2048"];
const NAMESPACE = "demo";
const STRING_DATA = { password: "declared" };

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
let count = 0;
let name: string;

beforeAll(async () => {
  ({ plane, controller } = await startCluster({ flags: FLAGS, namespaces: [NAMESPACE] }));
  certificate = await certificateOf(controller);
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

beforeEach(() => {
  name = `drift-${++count}`;
});

const secretPath = (): string => `/api/v1/namespaces/${NAMESPACE}/secrets/${name}`;

/** Declares a SealedSecret and waits until it is in sync. */
async function declare(more: Partial<Parameters<typeof sealed>[1]> = {}): Promise<KubeObject> {
  const declared = { namespace: NAMESPACE, name, stringData: STRING_DATA, ...more };
  await plane.apply(await sealed(certificate, declared));
  await untilVerdict(plane, NAMESPACE, name, "Unsealed");
  const secret = await readSecret(plane, NAMESPACE, name);
  if (secret === undefined) throw new Error("there is no Secret");
  return secret;
}

/** Edits the Secret as `kubectl` would. */
async function edit(patch: unknown, manager = "kubectl-edit"): Promise<void> {
  const path = `${secretPath()}?fieldManager=${manager}`;
  expect((await plane.request("PATCH", path, patch, MERGE)).status).toBe(200);
}

/** Waits until the Secret is as `probe` wants it; the time that it took. */
async function untilSecret(probe: (secret: KubeObject | undefined) => boolean): Promise<number> {
  const startedMs = performance.now();
  await plane.waitFor("the Secret to be put back", async () => {
    return probe(await readSecret(plane, NAMESPACE, name));
  });
  return performance.now() - startedMs;
}

async function driftEvents(): Promise<string[]> {
  const events = await eventsOf(plane, NAMESPACE, name);
  return events.filter((event) => event.includes("DriftCorrected"));
}

async function untilDriftEvent(): Promise<string> {
  return plane.waitFor("the Event", async () => (await driftEvents())[0]);
}

describe("an edit of our Secret is put back", () => {
  it.each<[string, unknown, string]>([
    ["a value", { stringData: { password: "evil" } }, "data.password"],
    ["an item more", { stringData: { extra: "evil" } }, "data.extra"],
    ["an item less", { data: { password: null } }, "data.password"],
    ["a label of ours", { metadata: { labels: { app: "evil" } } }, "metadata.labels.app"],
    ["a label of ours gone", { metadata: { labels: { app: null } } }, "metadata.labels.app"],
    ["an annotation", { metadata: { annotations: { note: "x" } } }, "metadata.annotations.note"],
    ["the owner gone", { metadata: { ownerReferences: [] } }, "metadata.ownerReferences"],
    [
      "all marks and the value",
      {
        metadata: { labels: null, annotations: null, ownerReferences: [] },
        stringData: { password: "evil" },
      },
      "data.password",
    ],
    ["made immutable", { immutable: true, stringData: { x: "1" } }, "immutable"],
  ])("%s", async (_what, patch, field) => {
    const before = await declare({ labels: { app: "shop" }, annotations: { note: "kept" } });
    await edit(patch);
    const tookMs = await untilSecret(
      (secret) =>
        JSON.stringify([secret?.data, secret?.metadata?.labels, secret?.metadata?.annotations]) ===
          JSON.stringify([before.data, before.metadata?.labels, before.metadata?.annotations]) &&
        secret?.metadata?.ownerReferences?.length === 1 &&
        secret.immutable === undefined,
    );
    // Within a second, where the machine is not busy with other things.
    expect(tookMs).toBeLessThan(5_000 * (await slowness()));
    const event = await untilDriftEvent();
    expect(event).toContain("changed");
    expect(event).toContain(field);
    expect(event).not.toContain("evil");
  });

  it("with the name of who did it, in Event and log, and a count", async () => {
    const counted = (): Promise<number> =>
      metricOf(controller, "drift_corrected_total", { namespace: NAMESPACE, change: "changed" });
    await declare();
    const before = await counted();
    await edit({ stringData: { password: "evil" } }, "some-operator");
    await untilData(plane, NAMESPACE, name, STRING_DATA);
    expect(await untilDriftEvent()).toBe(
      "Normal DriftCorrected the Secret was changed by some-operator (data.password) and has been restored",
    );
    // What was asked a moment ago is answered again.
    await plane.waitFor("the count", async () => (await counted()) === before + 1);
    // What it writes comes through a pipe, a moment later.
    const line = await plane.waitFor("the line in the log", () =>
      Promise.resolve(
        controller
          .logs()
          .split("\n")
          .find(
            (text) => text.includes("drift reverted") && text.includes(`${NAMESPACE}/${name} `),
          ),
      ),
    );
    expect(line).toContain("by=some-operator");
    expect(line).toContain("fields=data.password");
    expect(controller.logs()).not.toContain("evil");
  });

  it("when the Secret was deleted", async () => {
    await declare();
    expect((await plane.request("DELETE", secretPath())).status).toBe(200);
    await untilData(plane, NAMESPACE, name, STRING_DATA);
    expect(await untilDriftEvent()).toContain("was deleted and has been restored");
  });

  it("when it was replaced by one of another type under our marks", async () => {
    const before = await declare();
    // While the controller looks away: or it would put ours back before theirs is there.
    await controller.stop();
    expect((await plane.request("DELETE", secretPath())).status).toBe(200);
    const { labels, ownerReferences } = before.metadata ?? {};
    const evil = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace: NAMESPACE, labels, ownerReferences },
      type: "evil/type",
      stringData: { password: "evil" },
      immutable: true,
    };
    const path = `/api/v1/namespaces/${NAMESPACE}/secrets`;
    expect((await plane.request("POST", path, evil)).status).toBe(201);
    controller = await startSignet(plane, { flags: FLAGS });
    const secret = await untilData(plane, NAMESPACE, name, STRING_DATA);
    expect(secret["type"]).toBe("Opaque");
    expect(await untilDriftEvent()).toContain("type");
    const { synced } = await untilVerdict(plane, NAMESPACE, name, "Unsealed");
    expect(synced?.status).toBe("True");
  });

  it("and what is not ours stays: labels, annotations, finalizers, other owners", async () => {
    await declare();
    const owner = {
      apiVersion: "v1",
      kind: "ConfigMap",
      name: "x",
      uid: "0d4e3a2c-0000-4000-8000-000000000000",
    };
    const secret = await readSecret(plane, NAMESPACE, name);
    const ours = secret?.metadata?.ownerReferences?.[0];
    await edit({
      metadata: {
        labels: { theirs: "1" },
        annotations: { theirs: "1" },
        finalizers: ["example.com/theirs"],
        ownerReferences: [ours, owner],
      },
      stringData: { password: "evil" },
    });
    const after = await untilData(plane, NAMESPACE, name, STRING_DATA);
    expect(after.metadata).toMatchObject({
      labels: { theirs: "1" },
      annotations: { theirs: "1" },
      finalizers: ["example.com/theirs"],
    });
    expect(after.metadata?.ownerReferences).toHaveLength(2);
    await edit({ metadata: { finalizers: null } });
  });
});

describe("drift that is not to be put back", () => {
  it("stays by annotation, is told, and ends with the annotation", async () => {
    await declare();
    const path = `${SEALED_SECRETS}/namespaces/${NAMESPACE}/sealedsecrets/${name}`;
    const annotate = (value: string | null) =>
      plane.request(
        "PATCH",
        path,
        { metadata: { annotations: { "kube-signet/drift": value } } },
        MERGE,
      );
    await annotate("ignore");
    await edit({ stringData: { password: "by hand" } });
    const seen = await untilVerdict(plane, NAMESPACE, name, "DriftIgnored");
    expect(seen.synced).toMatchObject({ status: "True" });
    expect((await readSecret(plane, NAMESPACE, name))?.data).toEqual({
      password: Buffer.from("by hand").toString("base64"),
    });
    // What is declared anew is written all the same.
    await annotate(null);
    await untilData(plane, NAMESPACE, name, STRING_DATA);
    await untilVerdict(plane, NAMESPACE, name, "Unsealed");
  });

  it("stays by flag", async () => {
    await declare();
    await controller.stop();
    controller = await startSignet(plane, { flags: [...FLAGS, "--repair-drift=false"] });
    expect((await plane.request("DELETE", secretPath())).status).toBe(200);
    await untilVerdict(plane, NAMESPACE, name, "DriftIgnored");
    expect(await readSecret(plane, NAMESPACE, name)).toBeUndefined();
    await controller.stop();
    controller = await startSignet(plane, { flags: FLAGS });
    await untilData(plane, NAMESPACE, name, STRING_DATA);
  });
});

describe("a fight with another controller", () => {
  it("is slowed down, reported, and won in the end", async () => {
    await declare();
    const fight = new AbortController();
    let edits = 0;
    const opponent = (async () => {
      while (!fight.signal.aborted) {
        const secret = await readSecret(plane, NAMESPACE, name);
        const theirs = Buffer.from("theirs").toString("base64");
        if (secret?.data?.["password"] !== theirs) {
          await edit({ stringData: { password: "theirs" } }, "opponent");
          edits++;
        }
        await new Promise((done) => setTimeout(done, 20));
      }
    })();
    const seen = await untilVerdict(plane, NAMESPACE, name, "DriftContested");
    expect(seen.synced).toMatchObject({ status: "False" });
    expect(seen.synced?.message).toContain("opponent keeps changing the Secret");
    expect(await metricOf(controller, "contested")).toBe(1);
    const before = edits;
    await new Promise((done) => setTimeout(done, 7_000));
    // 1 s, 2 s, 4 s apart and so on: 2 or 3 more in 7 s, where there had been 50 a second.
    expect(edits - before).toBeLessThanOrEqual(4);
    fight.abort();
    await opponent;
    await untilData(plane, NAMESPACE, name, STRING_DATA);
    const events = await eventsOf(plane, NAMESPACE, name);
    expect(events.filter((event) => event.includes("DriftContested")).length).toBeGreaterThan(0);
    expect(events.length).toBeLessThan(20);
  });
});

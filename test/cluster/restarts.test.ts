// Restarts of workloads on a real API server, with the rights that the chart grants for them: for
// which changes, in which order, after an absence, and beside the engines of GitOps agents. There are
// no nodes: the test says in a workload's status that its pods were replaced.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import {
  type Agent,
  askEngine,
  type EngineMode,
  makeRepository,
  type Repository,
  startAgent,
} from "./gitops.ts";
import { certificateOf, eventsOf, ROLLOUTS, sealed, untilData, untilJudged } from "./objects.ts";
import {
  chartObjects,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const FLAGS = ["--key-size=2048", "--restart-workloads", "--restart-hold-off=1s"];
const KINDS = {
  Deployment: "/apis/apps/v1/namespaces/NS/deployments",
  StatefulSet: "/apis/apps/v1/namespaces/NS/statefulsets",
  DaemonSet: "/apis/apps/v1/namespaces/NS/daemonsets",
  Rollout: "/apis/argoproj.io/v1alpha1/namespaces/NS/rollouts",
} as const;
type Kind = keyof typeof KINDS;

let plane: ControlPlane;
let controller: RunningController;
let certificate: string;
let isOver = false;
let replacing: Promise<void>;

const start = (): Promise<RunningController> => startSignet(plane, { flags: FLAGS });

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  for (const object of chartObjects("rbac-reconcile.yaml", "restarts.enabled=true")) {
    await plane.apply(object);
  }
  for (const name of ["shop", "kinds", "other", "gitops"]) await ensureNamespace(plane, name);
  controller = await start();
  certificate = await certificateOf(controller);
  replacing = replaceAllPods("other", "gitops");
});

afterAll(async () => {
  isOver = true;
  await replacing;
  await controller.stop();
  await plane.stop();
});

interface Place {
  readonly kind?: Kind;
  readonly namespace: string;
  readonly name: string;
}

const pathOf = ({ kind = "Deployment", namespace, name }: Place): string =>
  `${KINDS[kind].replace("NS", namespace)}/${name}`;

async function read(place: Place): Promise<KubeObject> {
  const { status, body } = await plane.request("GET", pathOf(place));
  expect(status).toBe(200);
  return body;
}

/** The manifest of a workload without pods, as somebody declares it. */
function workload({ kind = "Deployment", namespace, name }: Place, restartOn: string): KubeObject {
  const labels = { app: name };
  const container = {
    name: "main",
    image: "none",
    envFrom: [{ secretRef: { name: "db" } }],
  };
  return {
    apiVersion: kind === "Rollout" ? "argoproj.io/v1alpha1" : "apps/v1",
    kind,
    metadata: { namespace, name, annotations: { "kube-signet/restart-on": restartOn } },
    spec: {
      ...(kind === "DaemonSet" ? {} : { replicas: 0 }),
      ...(kind === "StatefulSet" ? { serviceName: name } : {}),
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [container] } },
    },
  };
}

async function seal(namespace: string, name: string, value: string): Promise<KubeObject> {
  return sealed(certificate, { namespace, name, stringData: { value } });
}

async function declare(namespace: string, name: string, value: string): Promise<void> {
  await plane.apply(await seal(namespace, name, value));
  await untilData(plane, namespace, name, { value });
}

const annotationsOf = (object: KubeObject): Record<string, string> =>
  object.metadata?.annotations ?? {};

/** What pods are made from: if it changes, they are replaced. */
const templateOf = ({ spec }: KubeObject): unknown => (spec as { template: unknown }).template;

/** When the pods were asked to be replaced; undefined if never. */
function restartedAt(object: KubeObject): string | undefined {
  const { template, restartAt } = object["spec"] as { template: KubeObject; restartAt?: string };
  return restartAt ?? annotationsOf(template)["kube-signet/restarted-at"];
}

/** What the cluster does when pods were replaced. */
async function replacePods(place: Place): Promise<void> {
  const { metadata, spec } = await read(place);
  const { restartAt } = spec as { restartAt?: string };
  const status = {
    observedGeneration: place.kind === "Rollout" ? "1" : metadata?.generation,
    ...(place.kind === "DaemonSet"
      ? { currentNumberScheduled: 0, numberMisscheduled: 0, numberReady: 0 }
      : { replicas: 0 }),
    ...(place.kind === "DaemonSet" ? { desiredNumberScheduled: 0 } : {}),
    ...(restartAt === undefined ? {} : { restartedAt: restartAt }),
  };
  const answer = await plane.request("PATCH", `${pathOf(place)}/status`, { status }, MERGE);
  expect(answer.status).toBe(200);
}

/** As a cluster with nodes does, for all Deployments of these namespaces. */
async function replaceAllPods(...namespaces: string[]): Promise<void> {
  while (!isOver) {
    for (const namespace of namespaces) {
      const { body } = await plane.request("GET", KINDS.Deployment.replace("NS", namespace));
      for (const { metadata, status } of body.items ?? []) {
        const { observedGeneration } = (status ?? {}) as { observedGeneration?: number };
        if (observedGeneration === metadata?.generation) continue;
        await replacePods({ namespace, name: metadata?.name ?? "" });
      }
    }
    await sleep(200);
  }
}

async function untilSeen(place: Place): Promise<string> {
  return plane.waitFor(`a record of ${place.name}`, async () => {
    return annotationsOf(await read(place))["kube-signet/restart-seen"];
  });
}

async function untilRestarted(place: Place, before?: string): Promise<string> {
  return plane.waitFor(`a restart of ${place.name}`, async () => {
    const at = restartedAt(await read(place));
    return at === before ? undefined : at;
  });
}

let marks = 0;

/**
 * Waits until a workload that was declared now is restarted for a change: whatever the controller was
 * to do because of what came before is done by then.
 */
async function untilLaterChangeIsDone(): Promise<void> {
  const name = `mark${++marks}`;
  const place = { namespace: "other", name };
  await declare("other", name, "one");
  await plane.apply(workload(place, name));
  await untilSeen(place);
  await declare("other", name, "two");
  await untilRestarted(place);
}

const WEB = { namespace: "shop", name: "web" };

describe("a workload", { concurrent: false }, () => {
  it("is restarted when a value changed: the pod template, the workload and an Event say so", async () => {
    await declare("shop", "db", "one");
    await plane.apply(workload(WEB, "db"));
    await untilSeen(WEB);
    await replacePods(WEB);
    expect(restartedAt(await read(WEB))).toBeUndefined();

    await declare("shop", "db", "two");
    const at = await untilRestarted(WEB);
    const after = await read(WEB);
    expect(annotationsOf(after)["kube-signet/restarted"]).toBe(`${at} db`);
    expect(JSON.stringify(after)).not.toMatch(/two|dHdv/);
    await plane.waitFor("the Event", async () => {
      const events = await eventsOf(plane, "shop", "web");
      return events.includes("Normal Restarted restarted, because values changed in Secret db");
    });
    await replacePods(WEB);
    const metrics = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
    expect(metrics).toContain(
      'sealed_secrets_controller_workload_restarts_total{namespace="shop",kind="Deployment"} 1',
    );
  });

  it("is not restarted for the same value: sealed again, edited and reverted, deleted and restored", async () => {
    const template = templateOf(await read(WEB));
    const secret = "/api/v1/namespaces/shop/secrets/db";
    const version = async (): Promise<string | undefined> =>
      (await plane.request("GET", secret)).body.metadata?.resourceVersion;

    const before = await version();
    await plane.apply(await seal("shop", "db", "two"));
    await untilJudged(plane, "shop", "db");
    await plane.request("PATCH", secret, { stringData: { value: "edited" } }, MERGE);
    await untilData(plane, "shop", "db", { value: "two" });
    await plane.request("DELETE", secret);
    await untilData(plane, "shop", "db", { value: "two" });
    expect(await version()).not.toBe(before);
    await untilLaterChangeIsDone();
    expect(templateOf(await read(WEB))).toEqual(template);
  });

  it("is not restarted when the sealing key is renewed; the record is then of the new key", async () => {
    const template = templateOf(await read(WEB));
    const before = await untilSeen(WEB);
    controller.kill("SIGUSR1");
    const now = await plane.waitFor("a record by the new key", async () => {
      const seen = await untilSeen(WEB);
      return seen === before ? undefined : seen;
    });
    expect(now).toMatch(/^db=[^.,=]{12}\.[\w-]{43}$/);
    certificate = await certificateOf(controller);
    await untilLaterChangeIsDone();
    expect(templateOf(await read(WEB))).toEqual(template);
  });

  it("is left alone when the controller starts again", async () => {
    await controller.stop();
    const before = (await read(WEB)).metadata?.resourceVersion;
    controller = await start();
    await untilLaterChangeIsDone();
    expect((await read(WEB)).metadata?.resourceVersion).toBe(before);
  });

  it("is restarted afterwards when the value changed while the controller was away", async () => {
    const before = restartedAt(await read(WEB));
    await controller.stop();
    await plane.apply(await seal("shop", "db", "three"));
    controller = await start();
    await untilData(plane, "shop", "db", { value: "three" });
    await untilRestarted(WEB, before);
    await replacePods(WEB);
  });

  it("is restarted when the Secret changed, but the controller ended before it could", async () => {
    const before = restartedAt(await read(WEB));
    await declare("shop", "db", "four");
    controller.kill("SIGKILL");
    await controller.exited;
    expect(restartedAt(await read(WEB))).toBe(before);
    controller = await start();
    await untilRestarted(WEB, before);
    await replacePods(WEB);
  });
});

describe("workloads of every kind", { concurrent: false }, () => {
  const places = (Object.keys(KINDS) as Kind[]).map((kind): Required<Place> => {
    return { kind, namespace: "kinds", name: kind.toLowerCase() };
  });

  it("are restarted one after the other, Argo Rollouts among them", async () => {
    // Until here there was no definition of them, which is no error.
    expect(controller.logs()).not.toContain("rollouts");
    await controller.stop();
    await plane.apply(ROLLOUTS);
    await declareKinds();
    controller = await start();
    for (const place of places) await untilSeen(place);
    await declare("kinds", "db", "two");

    const left = new Set(places);
    while (left.size > 0) {
      const next = await plane.waitFor("the next restart", async () => {
        for (const place of left) {
          if (restartedAt(await read(place)) !== undefined) return place;
        }
        return undefined;
      });
      // Others wait as long as its pods are not replaced, however long that takes.
      if (left.size === places.length) await untilLaterChangeIsDone();
      for (const place of left) {
        expect(restartedAt(await read(place)) !== undefined, place.kind).toBe(place === next);
      }
      left.delete(next);
      await replacePods(next);
    }
    const rollout = await read({ kind: "Rollout", namespace: "kinds", name: "rollout" });
    expect(JSON.stringify(templateOf(rollout))).not.toContain("restarted");
  });

  async function declareKinds(): Promise<void> {
    await plane.apply(await seal("kinds", "db", "one"));
    // By the references of the pod template.
    for (const place of places) await plane.apply(workload(place, "*"));
  }
});

describe("agents of GitOps", { concurrent: false }, () => {
  const APP = { namespace: "gitops", name: "app" };
  let repository: Repository;
  let agent: Agent;

  beforeAll(async () => {
    repository = await makeRepository({});
    await commit("one");
    agent = await startAgent(plane, repository, "app");
    await untilSeen(APP);
  });

  afterAll(async () => {
    await agent.stop();
    await repository.remove();
  });

  async function commit(value: string): Promise<void> {
    await repository.sh("mkdir -p app");
    const objects = { sealed: await seal("gitops", "db", value), app: workload(APP, "db") };
    for (const [name, object] of Object.entries(objects)) {
      await repository.sh(`cat > app/${name}.json`, JSON.stringify(object));
    }
    await repository.commit(`value ${value}`);
  }

  /** What Argo CD's engine says of each sync since: whether live objects differ from Git. */
  const differences = (from: number): string[] =>
    [
      ...agent
        .logs()
        .slice(from)
        .matchAll(/skipHooks=(true|false)\s+started=false/g),
    ].map(([, skips]) => (skips === "true" ? "in sync" : "differs"));

  it("Argo CD's engine delivers the change, sees no drift in the restart, and does not revert it", async () => {
    await agent.sync();
    await commit("two");
    await agent.sync();
    await untilData(plane, "gitops", "db", { value: "two" });
    const at = await untilRestarted(APP);
    const before = await read(APP);
    const from = agent.logs().length;
    await agent.sync();
    const told = await plane.waitFor("the engine's comparison", () => {
      const found = differences(from);
      return Promise.resolve(found.length > 0 ? found : undefined);
    });
    expect(told).toEqual(["in sync"]);
    await untilLaterChangeIsDone();
    const after = await read(APP);
    expect([templateOf(after), restartedAt(after)]).toEqual([templateOf(before), at]);
    expect(annotationsOf(after)).toEqual(annotationsOf(before));
  });
});

describe("the engines of Argo CD and Flux", { concurrent: false }, () => {
  const ENGINES = {
    Flux: "kustomize-apply",
    "Argo CD": "argo-sync",
    "Argo CD with ServerSideApply": "argo-sync server-side",
  } as const satisfies Record<string, EngineMode>;
  type Engine = keyof typeof ENGINES;
  const NAMES = Object.keys(ENGINES) as Engine[];
  /** All the ways in which these agents compare an object with Git. */
  const COMPARISONS: [Engine, EngineMode, string][] = [
    ["Flux", "kustomize-diff", "unchanged"],
    ["Flux", "helm-diff", "none"],
    ["Argo CD", "argo-diff", "unchanged"],
    ["Argo CD", "argo-diff server-side", "unchanged"],
    ["Argo CD with ServerSideApply", "argo-diff structured", "unchanged"],
    ["Argo CD with ServerSideApply", "argo-diff server-side", "unchanged"],
  ];
  const namespaceOf = (engine: Engine): string => `engine-${NAMES.indexOf(engine)}`;
  const places = (engine: Engine): Required<Place>[] =>
    (["Deployment", "StatefulSet", "DaemonSet"] as const).map((kind) => {
      return { kind, namespace: namespaceOf(engine), name: kind.toLowerCase() };
    });
  const manifests = (engine: Engine) => places(engine).map((place) => workload(place, "db"));
  const ask = (engine: Engine, mode: EngineMode) => askEngine(plane, mode, manifests(engine));
  const ofAll = (says: string) => ({ Deployment: says, StatefulSet: says, DaemonSet: says });
  const readAll = (engine: Engine) => Promise.all(places(engine).map(read));

  async function untilAllRestarted(engine: Engine): Promise<void> {
    for (const left = new Set(places(engine)); left.size > 0;) {
      const next = await plane.waitFor(`a restart in ${namespaceOf(engine)}`, async () => {
        for (const place of left) {
          if (restartedAt(await read(place)) !== undefined) return place;
        }
        return undefined;
      });
      left.delete(next);
      await replacePods(next);
    }
  }

  async function begin(engine: Engine): Promise<void> {
    const namespace = namespaceOf(engine);
    await ensureNamespace(plane, namespace);
    await declare(namespace, "db", "one");
    await ask(engine, ENGINES[engine]);
    for (const place of places(engine)) await untilSeen(place);
    await declare(namespace, "db", "two");
    await untilAllRestarted(engine);
  }

  beforeAll(async () => {
    await Promise.all(NAMES.map(begin));
  });

  it.each(COMPARISONS)("of %s see no drift in a restart, by %s", async (engine, mode, none) => {
    expect(await ask(engine, mode)).toEqual(ofAll(none));
  });

  it.each(NAMES)(
    "of %s neither revert a restart by a further sync, nor cause one",
    async (engine) => {
      const before = await readAll(engine);
      const done = await ask(engine, ENGINES[engine]);
      expect(done).toEqual(ofAll(engine === "Flux" ? "unchanged" : "Synced"));
      await untilLaterChangeIsDone();
      const after = await readAll(engine);
      expect(after.map(annotationsOf)).toEqual(before.map(annotationsOf));
      expect(after.map(({ spec }) => spec)).toEqual(before.map(({ spec }) => spec));
      const generations = (of: KubeObject[]) => of.map(({ metadata }) => metadata?.generation);
      expect(generations(after)).toEqual(generations(before));
    },
  );

  it("see what somebody else changed, and revert that alone", async () => {
    for (const engine of NAMES) {
      const before = await readAll(engine);
      const image = "/spec/template/spec/containers/0/image";
      for (const place of places(engine)) {
        const patch = [{ op: "replace", path: image, value: "other" }];
        const contentType = "application/json-patch+json";
        const { status } = await plane.request("PATCH", pathOf(place), patch, { contentType });
        expect(status).toBe(200);
      }
      for (const [of, mode, none] of COMPARISONS) {
        if (of !== engine) continue;
        for (const said of Object.values(await ask(engine, mode))) expect(said).not.toBe(none);
      }
      await ask(engine, ENGINES[engine]);
      const after = await readAll(engine);
      expect(after.map(({ spec }) => spec)).toEqual(before.map(({ spec }) => spec));
    }
  });

  it("take restart and record away if they replace objects, and the next look is a first one", async () => {
    const engine = "Argo CD";
    await ask(engine, "argo-sync replace");
    for (const place of places(engine)) {
      await untilSeen(place);
      expect(restartedAt(await read(place))).toBeUndefined();
    }
  });
});

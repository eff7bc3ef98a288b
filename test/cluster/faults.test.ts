// What is left of the cluster's state after kills, outages and restarts.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, MERGE, startControlPlane } from "./controlplane.ts";
import {
  chartObjects,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";
import { certificateOf, eventsOf, readSecret, sealed, untilData, untilVerdict } from "./objects.ts";
import { type ProxiedCall, startProxiedPlane } from "./proxy.ts";

const FLAGS = ["--key-size=2048"];

let plane: ControlPlane;
let certificate: string;

beforeAll(async () => {
  plane = await startControlPlane({ auditLog: true });
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
  const controller = await startSignet(plane, { flags: FLAGS });
  certificate = await certificateOf(controller);
  await controller.stop();
});

afterAll(async () => {
  await plane.stop();
});

async function metric(controller: RunningController, name: string): Promise<number> {
  const text = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return Number(line?.split(" ")[1] ?? Number.NaN);
}

describe("a controller killed", () => {
  it.each([
    [1, "before"],
    [1, "after"],
    [2, "before"],
    [2, "after"],
    [3, "before"],
    [3, "after"],
  ] as const)(
    "at write %i, %s it is done, leaves nothing that the next does not mend",
    async (nth, when) => {
      const name = `killed-${when}-${nth}`;
      const stringData = { a: `value-${nth}` };
      let writes = 0;
      let victim: RunningController | undefined;
      const hook = async ({ isWrite }: ProxiedCall): Promise<"pass" | "drop"> => {
        if (!isWrite || victim === undefined || ++writes !== nth) return "pass";
        victim.kill("SIGKILL");
        await victim.exited;
        return "drop";
      };
      const proxied = await startProxiedPlane(plane, { [when]: hook });
      try {
        victim = await startSignet(proxied.plane, { flags: FLAGS });
        await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
        expect(await victim.exited).toBe("SIGKILL");
      } finally {
        await proxied.stop();
      }
      const next = await startSignet(plane, { flags: FLAGS });
      try {
        await untilData(plane, "demo", name, stringData);
        const seen = await untilVerdict(plane, "demo", name, "Unsealed");
        expect(seen.synced?.status).toBe("True");
        const secret = await readSecret(plane, "demo", name);
        expect(secret?.metadata?.ownerReferences).toHaveLength(1);
        expect((await eventsOf(plane, "demo", name)).length).toBeLessThanOrEqual(2);
      } finally {
        await next.stop();
      }
    },
  );
});

describe("a restart", () => {
  it("with all in sync opens nothing and writes nothing", async () => {
    const names = ["r1", "r2", "r3"];
    const first = await startSignet(plane, { flags: FLAGS });
    for (const name of names) {
      const stringData = { a: name };
      await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
      await untilVerdict(plane, "demo", name, "Unsealed");
    }
    await first.stop();
    const writesBefore = (await controllerWrites()).length;
    const second = await startSignet(plane, { flags: FLAGS });
    try {
      await plane.waitFor("all to be looked at", async () => {
        const requests = await metric(second, "sealed_secrets_controller_unseal_requests_total");
        return requests >= names.length && (await queueDepth(second)) === 0;
      });
      expect(await metric(second, "sealed_secrets_controller_unsealed_objects_total")).toBe(0);
      expect((await controllerWrites()).slice(writesBefore)).toEqual([]);
    } finally {
      await second.stop();
    }
  });

  it("finds what was changed, deleted and declared meanwhile", async () => {
    const first = await startSignet(plane, { flags: FLAGS });
    for (const name of ["edited", "deleted", "redeclared"]) {
      const stringData = { a: name };
      await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
      await untilVerdict(plane, "demo", name, "Unsealed");
    }
    await first.stop();
    const secrets = "/api/v1/namespaces/demo/secrets";
    await plane.request("PATCH", `${secrets}/edited`, { stringData: { a: "evil" } }, MERGE);
    await plane.request("DELETE", `${secrets}/deleted`);
    const redeclared = { namespace: "demo", name: "redeclared", stringData: { a: "new" } };
    await plane.apply(await sealed(certificate, redeclared));
    const second = await startSignet(plane, { flags: FLAGS });
    try {
      await untilData(plane, "demo", "edited", { a: "edited" });
      await untilData(plane, "demo", "deleted", { a: "deleted" });
      await untilData(plane, "demo", "redeclared", { a: "new" });
    } finally {
      await second.stop();
    }
  });

  async function queueDepth(controller: RunningController): Promise<number> {
    return metric(controller, "sealed_secrets_controller_queue_depth");
  }

  async function controllerWrites(): Promise<string[]> {
    return (await plane.auditEvents())
      .filter(({ user, verb, requestURI }) => {
        const isWrite = !["get", "list", "watch"].includes(verb);
        return user.username.includes("signet") && isWrite && !requestURI.includes("/leases/");
      })
      .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
  }
});

describe("a controller told to look after some", () => {
  it("namespaces leaves the others alone", async () => {
    await ensureNamespace(plane, "some");
    await ensureNamespace(plane, "other");
    const flags = [...FLAGS, "--all-namespaces=false", "--additional-namespaces=some"];
    const controller = await startSignet(plane, { flags });
    try {
      const stringData = { a: "1" };
      for (const namespace of ["other", "some"]) {
        await plane.apply(await sealed(certificate, { namespace, name: "n", stringData }));
      }
      await untilVerdict(plane, "some", "n", "Unsealed");
      await plane.request("DELETE", "/api/v1/namespaces/some/secrets/n");
      await untilData(plane, "some", "n", stringData);
      expect(await readSecret(plane, "other", "n")).toBeUndefined();
    } finally {
      await controller.stop();
    }
  });

  it("namespaces by their labels takes them in and out as the labels change", async () => {
    await ensureNamespace(plane, "by-label");
    await ensureNamespace(plane, "unlabelled");
    for (const object of chartObjects("rbac-reconcile.yaml", "namespaceSelector=sealed=yes")) {
      await plane.apply(object);
    }
    const label = (value: string | null) =>
      plane.request(
        "PATCH",
        "/api/v1/namespaces/by-label",
        { metadata: { labels: { sealed: value } } },
        MERGE,
      );
    const flags = [...FLAGS, "--namespace-selector=sealed=yes"];
    const controller = await startSignet(plane, { flags });
    try {
      const stringData = { a: "1" };
      for (const namespace of ["unlabelled", "by-label"]) {
        await plane.apply(await sealed(certificate, { namespace, name: "n", stringData }));
      }
      await label("yes");
      await untilVerdict(plane, "by-label", "n", "Unsealed");
      await label(null);
      await plane.waitFor("the label to be seen", async () => {
        const metrics = await (await fetch(`${controller.metricsUrl}/metrics`)).text();
        return !metrics.includes('namespace="by-label"');
      });
      await plane.request("DELETE", "/api/v1/namespaces/by-label/secrets/n");
      const other = { namespace: "by-label", name: "later", stringData };
      await plane.apply(await sealed(certificate, other));
      await label("yes");
      await untilData(plane, "by-label", "n", stringData);
      await untilVerdict(plane, "by-label", "later", "Unsealed");
      expect(await readSecret(plane, "unlabelled", "n")).toBeUndefined();
    } finally {
      await controller.stop();
    }
  });

  it("labels leaves the others alone", async () => {
    const flags = [...FLAGS, "--label-selector=mine=yes"];
    const controller = await startSignet(plane, { flags });
    try {
      for (const name of ["unlabelled", "labelled"]) {
        const stringData = { a: "1" };
        const object = await sealed(certificate, { namespace: "demo", name, stringData });
        const labels = name === "labelled" ? { mine: "yes" } : {};
        await plane.apply({ ...object, metadata: { ...object.metadata, labels } });
      }
      await untilVerdict(plane, "demo", "labelled", "Unsealed");
      expect(await readSecret(plane, "demo", "unlabelled")).toBeUndefined();
    } finally {
      await controller.stop();
    }
  });
});

describe("an API server that goes away", () => {
  it("is waited for: what is declared after it is back becomes Secrets", async () => {
    const controller = await startSignet(plane, { flags: FLAGS });
    try {
      const before = { namespace: "demo", name: "outage", stringData: { a: "before" } };
      await plane.apply(await sealed(certificate, before));
      await untilVerdict(plane, "demo", "outage", "Unsealed");
      await plane.stopApiServer("SIGKILL");
      await new Promise((done) => setTimeout(done, 1_000));
      await plane.startApiServer();
      await plane.apply(await sealed(certificate, { ...before, stringData: { a: "after" } }));
      await untilData(plane, "demo", "outage", { a: "after" });
      await plane.request("DELETE", "/api/v1/namespaces/demo/secrets/outage");
      await untilData(plane, "demo", "outage", { a: "after" });
    } finally {
      await controller.stop();
    }
  });

  it("in the middle of work loses nothing", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `mid-${index}`);
    for (const name of names) {
      const stringData = { a: name };
      await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
    }
    let writes = 0;
    let restarted: Promise<void> | undefined;
    const proxied = await startProxiedPlane(plane, {
      before: ({ isWrite }) => {
        if (isWrite && ++writes === 30) {
          restarted = plane.stopApiServer("SIGKILL").then(() => plane.startApiServer());
        }
        return Promise.resolve("pass");
      },
    });
    const controller = await startSignet(proxied.plane, { flags: FLAGS });
    try {
      await plane.waitFor("the outage", () => restarted !== undefined);
      await restarted;
      for (const name of names) {
        await untilData(plane, "demo", name, { a: name });
        await untilVerdict(plane, "demo", name, "Unsealed");
      }
    } finally {
      await controller.stop();
      await proxied.stop();
    }
  });
});

// The watch is a connection of its own: it may tell of what came after a write before the write is
// answered. What it told must not be forgotten for the older answer.
describe("an answer that comes late", () => {
  const DATA = { value: "declared" };
  const secretPath = (name: string): string => `/api/v1/namespaces/demo/secrets/${name}`;
  const edited = { data: { value: Buffer.from("edited").toString("base64") } };

  it.each([
    {
      what: "of the status, when something else has been declared",
      name: "late-declared",
      held: ({ path }: ProxiedCall) => path.includes("sealedsecrets/late-declared/status"),
      meanwhile: async (name: string) =>
        plane.apply(
          await sealed(certificate, { namespace: "demo", name, stringData: { value: "newer" } }),
        ),
      expected: { value: "newer" },
    },
    {
      what: "of the status, when the Secret has been edited",
      name: "late-status-edited",
      held: ({ path }: ProxiedCall) => path.includes("sealedsecrets/late-status-edited/status"),
      meanwhile: (name: string) => plane.request("PATCH", secretPath(name), edited, MERGE),
      expected: DATA,
    },
    {
      what: "of the Secret, when it has been edited",
      name: "late-edited",
      held: ({ method, path }: ProxiedCall) => method === "POST" && path.includes("/secrets"),
      meanwhile: (name: string) => plane.request("PATCH", secretPath(name), edited, MERGE),
      expected: DATA,
    },
    {
      what: "of the Secret, when it has been deleted",
      name: "late-deleted",
      held: ({ method, path }: ProxiedCall) => method === "POST" && path.includes("/secrets"),
      meanwhile: (name: string) => plane.request("DELETE", secretPath(name)),
      expected: DATA,
    },
  ])("$what, does not hide it", async ({ name, held, meanwhile, expected }) => {
    let armed = false;
    let reach: () => void = () => undefined;
    let release: () => void = () => undefined;
    const reached = new Promise<void>((done) => (reach = done));
    const released = new Promise<void>((done) => (release = done));
    const proxied = await startProxiedPlane(plane, {
      after: async (call) => {
        if (armed && call.isWrite && held(call)) {
          armed = false;
          reach();
          await released;
        }
        return "pass";
      },
    });
    const controller = await startSignet(proxied.plane, { flags: FLAGS });
    try {
      armed = true;
      await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData: DATA }));
      await reached;
      await meanwhile(name);
      // Time for the watch to tell of it.
      await new Promise((done) => setTimeout(done, 500));
      release();
      await untilData(plane, "demo", name, expected);
      expect((await untilVerdict(plane, "demo", name, "Unsealed")).synced?.status).toBe("True");
    } finally {
      release();
      await controller.stop();
      await proxied.stop();
    }
  });
});

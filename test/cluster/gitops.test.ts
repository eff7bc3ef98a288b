// The flow from a pushed commit to a Secret and back, with Argo CD's engine on a real control
// plane: the example of examples/monorepo by the commands of its README, edits by hand, pruning,
// races.
import { cpSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ControlPlane, type KubeObject, MERGE } from "./controlplane.ts";
import { type Agent, makeRepository, type Repository, startAgent } from "./gitops.ts";
import { readSecret, SEALED_SECRETS, untilVerdict } from "./objects.ts";
import { partPath } from "../parts/parts.ts";
import { kubectl } from "./original.ts";
import { type RunningController, startCluster } from "./signet.ts";
import { slowness } from "./slowness.ts";

const SYNC_AGAIN_MS = 10_000;
const EXAMPLE = "examples/monorepo";
const DB = "/api/v1/namespaces/shop/secrets/db";
const SEALED_DB = `${SEALED_SECRETS}/namespaces/shop/sealedsecrets/db`;

let plane: ControlPlane;
let kubeconfig: string;
let controller: RunningController;
let repository: Repository;
let agent: Agent;

/** The shell blocks of the example's README, in their order. */
const BLOCKS = [...readFileSync(`${EXAMPLE}/README.md`, "utf8").matchAll(/^```\n([\s\S]*?)^```$/gm)]
  .map(([, text = ""]) => text)
  .filter((text) => /^(signet|git|printf) /.test(text));

async function run(block: number): Promise<void> {
  const text = BLOCKS[block];
  if (text === undefined) throw new Error(`the README has no block ${block}`);
  await repository.sh(`set -e\n${text}`);
}

beforeAll(async () => {
  ({ plane, controller, kubeconfig } = await startCluster());
  repository = await makeRepository({ KUBECONFIG: "kubeconfig" });
  cpSync(EXAMPLE, repository.folder, { recursive: true });
  // Three names for the one cluster that there is.
  const text = readFileSync(kubeconfig, "utf8");
  const [head = "", context = ""] = text.split("contexts:\n");
  const contexts = ["dev", "staging", "prod"].map((name) => context.replace("test", name));
  await repository.sh("cat > kubeconfig", `${head}contexts:\n${contexts.join("")}`);
  await repository.sh("echo kubeconfig > .gitignore");
  await run(0);
  await run(1);
  // The bare engine mistakes what has no namespace; Argo CD does not.
  await repository.sh(`"${partPath("kubectl")}" --context=prod apply -f prod/namespaces`);
  const rolledOut = rollOut();
  agent = await startAgent(plane, repository, "prod/shop");
  await rolledOut;
});

/** There are no nodes: the engine waits for the Deployment, which somebody has to say is available. */
async function rollOut(): Promise<void> {
  const path = "/apis/apps/v1/namespaces/shop/deployments/shop";
  const { body } = await plane.waitFor("the Deployment", async () => {
    const answer = await plane.request("GET", path);
    return answer.status === 200 ? answer : undefined;
  });
  const { replicas } = body["spec"] as { replicas: number };
  const status = {
    observedGeneration: body.metadata?.generation,
    ...{ replicas, updatedReplicas: replicas, readyReplicas: replicas },
    availableReplicas: replicas,
  };
  await plane.request("PATCH", `${path}/status`, { status }, MERGE);
}

afterAll(async () => {
  await agent.stop();
  await controller.stop();
  await plane.stop();
  await repository.remove();
});

async function values(): Promise<Record<string, string>> {
  const { data = {} } = (await readSecret(plane, "shop", "db")) ?? {};
  return Object.fromEntries(
    Object.entries(data).map(([item, value]) => [item, Buffer.from(value, "base64").toString()]),
  );
}

const until = (
  what: string,
  holds: (now: Record<string, string>) => boolean,
): Promise<Record<string, string>> =>
  plane.waitFor(what, async () => {
    const now = await values();
    return holds(now) ? now : undefined;
  });

/** The bare engine does not try again by itself, as Argo CD does, after a failed or a needless sync. */
const syncUntil: typeof until = (what, holds) =>
  plane.waitFor(what, async () => {
    await agent.sync();
    const deadlineMs = performance.now() + SYNC_AGAIN_MS;
    for (;;) {
      const now = await values();
      if (holds(now)) return now;
      if (performance.now() > deadlineMs) return undefined;
      await sleep(50);
    }
  });

describe("a config repository", { concurrent: false }, () => {
  it("has a block for each step", () => {
    expect(BLOCKS).toHaveLength(4);
  });

  it("a developer's commit becomes a Secret, in its namespace, beside what uses it", async () => {
    const now = await until("the Secret", ({ password }) => password !== undefined);
    expect(Object.keys(now).sort()).toEqual(["password", "username"]);
    expect([now["password"]?.length, now["username"]]).toEqual([40, "shop"]);
    const deployment = await plane.request("GET", "/apis/apps/v1/namespaces/shop/deployments/shop");
    expect(deployment.status).toBe(200);
  });

  it("each cluster has a password of its own", async () => {
    const lines = await repository.sh("grep -h password: */shop/db.sealed.yaml");
    expect(new Set(lines.trim().split("\n")).size).toBe(3);
  });

  let first = "";

  it("a second commit changes one line, and one value of the Secret", async () => {
    const before = await values();
    first = before["password"] ?? "";
    await run(2);
    expect(await repository.sh("git show --numstat --format=")).toBe(
      "1\t1\tprod/shop/db.sealed.yaml\n",
    );
    const now = await syncUntil("another password", ({ password }) => password !== first);
    expect(now["username"]).toBe("shop");
  });

  it("an edit of the Secret is put back by the controller, without the agent", async () => {
    const declared = await values();
    const tampered = { stringData: { password: "hunter2", more: "x" } };
    await plane.request("PATCH", DB, tampered, MERGE);
    expect(await until("the declared values", (now) => !("more" in now))).toEqual(declared);
    await plane.request("DELETE", DB);
    expect(await until("the Secret again", ({ password }) => password !== undefined)).toEqual(
      declared,
    );
  });

  it("an edit of the SealedSecret is put back by the agent, and the Secret follows", async () => {
    const declared = await values();
    const taken = { spec: { encryptedData: { username: null } } };
    await plane.request("PATCH", SEALED_DB, taken, MERGE);
    await until("the Secret without it", (now) => !("username" in now));
    expect(await syncUntil("the Secret with it", (now) => "username" in now)).toEqual(declared);
  });

  it("git revert rolls back", async () => {
    await run(3);
    await syncUntil("the first password", ({ password }) => password === first);
  });

  it("tells how long it takes from push to Secret", async () => {
    const times: number[] = [];
    for (let commit = 0; commit < 5; commit++) {
      const before = (await values())["password"];
      await repository.sh("signet set prod/shop/db.sealed.yaml --generate password");
      await repository.sh(`git commit -qam "password ${commit}"`);
      const pushed = performance.now();
      await repository.sh("git push -q");
      await syncUntil("the new password", ({ password }) => password !== before);
      times.push(performance.now() - pushed);
    }
    const [, , median = 0] = times.sort((a, b) => a - b);
    process.stdout.write(`from push to Secret: median ${Math.round(median)} ms of 5\n`);
    expect(median).toBeLessThan(5_000 * (await slowness()));
  });

  it("pruning removes the SealedSecret and its Secret", async () => {
    await repository.sh(
      "git rm -q prod/shop/db.sealed.yaml && git commit -qm remove && git push -q",
    );
    // Garbage collection learns of a new kind within half a minute.
    await syncUntil("no Secret", (now) => Object.keys(now).length === 0);
    // The agent deletes in the foreground, so the SealedSecret goes after its Secret.
    await plane.waitFor("no SealedSecret", async () => {
      return (await plane.request("GET", SEALED_DB)).status === 404;
    });
    await repository.sh("git revert --no-edit HEAD && git push -q");
    await syncUntil("the Secret again", ({ password }) => password !== undefined);
  });
});

/** How agents replace an object, each in its way, and again before anything has settled. */
const WAYS: [string, (text: string) => Promise<unknown>][] = [
  [
    "kubectl replace --force, as Argo CD does for Replace=true and Force=true",
    (stdin) => kubectl(["replace", "--force", "--filename=-"], { kubeconfig, stdin }),
  ],
  ["kubectl replace", (stdin) => kubectl(["replace", "--filename=-"], { kubeconfig, stdin })],
  [
    "a deletion and a creation in a row",
    async (text) => {
      await plane.request("DELETE", SEALED_DB);
      const answer = await plane.request(
        "POST",
        `${SEALED_SECRETS}/namespaces/shop/sealedsecrets`,
        JSON.parse(text),
      );
      expect(answer.status).toBe(201);
    },
  ],
  [
    "a deletion in the foreground, and a creation when it is gone",
    async (text) => {
      await plane.request("DELETE", `${SEALED_DB}?propagationPolicy=Foreground`);
      await plane.waitFor("it to be gone", async () => {
        return (await plane.request("GET", SEALED_DB)).status === 404;
      });
      const path = `${SEALED_SECRETS}/namespaces/shop/sealedsecrets`;
      await plane.request("POST", path, JSON.parse(text));
    },
  ],
];

describe("races of the agent (#1599 of the original)", { concurrent: false }, () => {
  it.each(WAYS)("%s ends well", async (_, replace) => {
    const { body } = await plane.request("GET", SEALED_DB);
    const { name, namespace, annotations, labels } = body.metadata ?? {};
    const declared: KubeObject = {
      apiVersion: "bitnami.com/v1alpha1",
      kind: "SealedSecret",
      metadata: {
        ...{ name: name ?? "", namespace: namespace ?? "" },
        ...(annotations === undefined ? {} : { annotations }),
        ...(labels === undefined ? {} : { labels }),
      },
      spec: body["spec"],
    };
    const expected = await values();
    const text = JSON.stringify(declared);
    for (let round = 0; round < 8; round++) {
      await replace(text);
      await sleep(round * 40);
    }
    await untilVerdict(plane, "shop", "db", "Unsealed");
    // Whatever the garbage collector still has to say to the old one's Secret.
    await sleep(3_000);
    expect(await until("the Secret to stand", ({ password }) => password !== undefined)).toEqual(
      expected,
    );
    const owner = (await readSecret(plane, "shop", "db"))?.metadata?.ownerReferences?.[0]?.uid;
    expect(owner).toBe((await plane.request("GET", SEALED_DB)).body.metadata?.uid);
    expect((await untilVerdict(plane, "shop", "db", "Unsealed")).ready?.status).toBe("True");
  });
});

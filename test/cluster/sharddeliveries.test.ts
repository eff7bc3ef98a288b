// Deliveries of replicas that share the SealedSecrets, some of which are killed: what one delivers lies
// in namespaces of others, and the cluster must end exactly as declared.
// SPEC.md, "Shards".
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { randomNumbers } from "./churn.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { DeliveryChurn, HOMES } from "./deliverychurn.ts";
import { certificateOf, metricOf } from "./objects.ts";
import { installSignet, type RunningController, startSignet } from "./signet.ts";

/** With four, the two namespaces that deliver are in different shards. */
const SHARDS = 4;
const KILLS = Number(process.env["SHARD_KILLS"] ?? 3);
const SEED = Number(process.env["CHAOS_SEED"] ?? Date.now() % 1_000_000);

let plane: ControlPlane;
let started = 0;
let running: RunningController[] = [];

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
});

afterAll(async () => {
  await Promise.all(running.map((replica) => replica.stop()));
  await plane.stop();
});

async function start(): Promise<void> {
  const flags = ["--key-size=2048", "--leader-elect-lease-duration=4s", `--shards=${SHARDS}`];
  const replica = await startSignet(plane, {
    flags: [...flags, `--deliver-from=${HOMES.join(",")}`],
    env: { POD_NAME: `replica-${++started}` },
  });
  running.push(replica);
}

async function untilHeld(): Promise<void> {
  await plane.waitFor("all shards to be held", async () => {
    const held = await Promise.all(running.map((replica) => metricOf(replica, "shards")));
    return held.reduce((sum, each) => sum + each, 0) === SHARDS && !held.includes(0);
  });
}

it(`three replicas, of which ${KILLS} are killed during churn, leave the cluster as declared`, async () => {
  console.log(`the seed of this run is ${SEED}; CHAOS_SEED repeats it, SHARD_KILLS makes more`);
  const random = randomNumbers(SEED);
  for (let replica = 0; replica < 3; replica++) await start();
  await untilHeld();
  const certificate = await certificateOf(running[0] as RunningController);
  const churn = new DeliveryChurn(plane, certificate, random, { namespaces: 8 });
  await churn.begin();
  await churn.settled();
  const stopping = new AbortController();
  const churning = churn.run(stopping.signal, 50);
  for (let kill = 0; kill < KILLS; kill++) {
    const victim = running[Math.floor(random() * running.length)];
    victim?.kill("SIGKILL");
    running = running.filter((replica) => replica !== victim);
    await pause(random() * 6_000);
    await start();
    await untilHeld();
  }
  stopping.abort();
  await churning;
  await churn.settled();
  await pause(5_000);
  expect(await churn.wrong()).toEqual([]);
  expect(churn.changes).toBeGreaterThan(10 * KILLS);
});

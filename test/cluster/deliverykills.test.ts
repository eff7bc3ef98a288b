// Deliveries while everything that they depend on changes and the controller is killed again and again:
// the cluster must end exactly as declared, and nobody's own Secret may be touched.
// SPEC.md, "Deliveries".
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { randomNumbers } from "./churn.ts";
import { type ControlPlane, startControlPlane } from "./controlplane.ts";
import { DeliveryChurn, HOMES } from "./deliverychurn.ts";
import { certificateOf } from "./objects.ts";
import { installSignet, type RunningController, startSignet } from "./signet.ts";

const FLAGS = ["--key-size=2048", `--deliver-from=${HOMES.join(",")}`];
const KILLS = Number(process.env["DELIVERY_KILLS"] ?? 8);
const SEED = Number(process.env["CHAOS_SEED"] ?? Date.now() % 1_000_000);
/** The longest that a controller is left alone. It takes about half of that to be ready. */
const LIFE_MS = 2_500;

let plane: ControlPlane;
let controller: RunningController;

beforeAll(async () => {
  plane = await startControlPlane();
  await installSignet(plane);
  controller = await startSignet(plane, { flags: FLAGS });
});

afterAll(async () => {
  await controller.stop();
  await plane.stop();
});

it(`a controller that is killed ${KILLS} times during churn leaves the cluster as declared`, async () => {
  console.log(`the seed of this run is ${SEED}; CHAOS_SEED repeats it, DELIVERY_KILLS makes more`);
  const startedMs = performance.now();
  const certificate = await certificateOf(controller);
  const options = { namespaces: 12 };
  const churn = new DeliveryChurn(plane, certificate, randomNumbers(SEED), options);
  await churn.begin();
  await churn.settled();

  const random = randomNumbers(SEED + 1);
  const stopping = new AbortController();
  const churning = churn.run(stopping.signal, 20);
  for (let kill = 0; kill < KILLS; kill++) {
    await pause(random() * LIFE_MS);
    controller.kill("SIGKILL");
    await controller.exited;
    // What happens while none runs.
    await pause(random() * 300);
    controller = await startSignet(plane, { flags: FLAGS, waitFor: "alive" });
  }
  await pause(LIFE_MS);
  stopping.abort();
  await churning;
  const settlingMs = performance.now();
  await churn.settled();
  const settledMs = performance.now();
  // It stays so.
  await pause(5_000);
  expect(await churn.wrong()).toEqual([]);
  console.log(
    `${KILLS} kills and ${churn.changes} changes in ` +
      `${Math.round((settlingMs - startedMs) / 1000)} s, settled after ` +
      `${Math.round(settledMs - settlingMs)} ms: ` +
      [...churn.done].map(([what, count]) => `${what} ${count}`).join(", "),
  );
  expect(churn.changes).toBeGreaterThan(10 * KILLS);
});

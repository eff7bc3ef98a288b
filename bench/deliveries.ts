// What deliveries cost the controller itself: 500 namespaces and 50 SealedSecrets that are delivered to
// all of them, over a world in memory. Run it by itself: `node build.mjs --run bench/deliveries.ts`.
import { performance } from "node:perf_hooks";
import { Deliveries } from "../controller/deliveries.ts";
import { deliveryIn, DeliveryPlan } from "../controller/deliveryplan.ts";
import { createLog } from "../controller/log.ts";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { readKeyFile } from "../shared/keys/keyfile.ts";
import { Keyring } from "../shared/keys/keyring.ts";
import { parseSecret } from "../shared/kubernetes/secret.ts";
import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { seal } from "../shared/sealing/seal.ts";
import { formatSealedSecret } from "../shared/sealing/sealedsecret.ts";
import { MemoryWorld } from "../test/controller/memoryworld.ts";
import { benchKey } from "./measure.ts";

const NAMESPACES = 500;
const SOURCES = 50;

const pair = await benchKey();
const certificate = parseCertificate(pair.certificatePem);
const keyring = new Keyring(
  readKeyFile(pair.privateKeyPem, "key").map((key) => ({ ...key, certificate })),
);

async function source(index: number, value: string): Promise<JsonObject> {
  const annotations = { "kube-signet/deliver-to": "team" };
  const metadata = { name: `login-${index}`, namespace: "shared", annotations };
  const secret = parseSecret({ apiVersion: "v1", kind: "Secret", metadata, stringData: { value } });
  const sealed = await seal(secret, certificate, "cluster-wide");
  const object = formatSealedSecret(sealed);
  return { ...object, metadata: { ...metadataOf(object), uid: `uid-${index}` } };
}

const world = new MemoryWorld();
const queue = new Set<string>();
let unsealed = 0;
let runs = 0;
const clock = (): number => performance.now();
const plan = new DeliveryPlan({
  from: new Set(["shared"]),
  own: "signet",
  onWork: (name) => queue.add(name),
  clock,
});
world.plan = plan;
const deliveries = new Deliveries({
  world,
  plan,
  keyring: keyring,
  render: () => new Map<string, Uint8Array>(),
  acceptLegacy: true,
  allowedTypes: new Set(),
  repair: { changed: true, deleted: true },
  log: createLog("ERROR", "text", () => undefined),
  clock,
  onUnseal: () => unsealed++,
  onReport: () => undefined,
  onVerdict: () => undefined,
  onRepair: () => undefined,
  onRemoval: () => undefined,
});

async function measure(what: string, change: () => Promise<void> | void): Promise<void> {
  world.calls.length = 0;
  [unsealed, runs] = [0, 0];
  const startedMs = performance.now();
  await change();
  let rounds = 0;
  while (queue.size > 0) {
    const names = [...queue];
    queue.clear();
    for (const name of names) {
      runs++;
      const outcome = await (deliveryIn(name) === null
        ? deliveries.sweep(name)
        : deliveries.reconcile(name));
      if (outcome?.kind === "later") queue.add(name);
    }
    if (++rounds > 1 && queue.size > 0) await new Promise((go) => setTimeout(go, 500));
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const calls = new Map<string, number>();
  for (const call of world.calls) {
    const [kind = ""] = call.split(" ");
    calls.set(kind, (calls.get(kind) ?? 0) + 1);
  }
  const mb = Math.round(process.memoryUsage().rss / 1e6);
  const counted = [...calls].map(([kind, count]) => `${count} ${kind}`).join(", ");
  process.stdout.write(
    `${what}: ${seconds} s, ${runs} runs, ${unsealed} openings, ${mb} MB, calls: ${counted || "none"}\n`,
  );
}

for (let index = 0; index < NAMESPACES; index++) world.namespace(`ns-${index}`, { team: "a" });
const objects = await Promise.all(
  Array.from({ length: SOURCES }, (_, index) => source(index, "a")),
);
const changed = await Promise.all(
  Array.from({ length: SOURCES }, (_, index) => source(index, "b")),
);
world.onChange = (key) => {
  // Like the controller, checks what a Secret's marks say.
  if (world.delivered(key) !== null) queue.add(key);
};
await measure("made", () => {
  for (const object of objects) world.put("sealed", object);
});
await measure("in sync", () => {
  for (const name of plan.names()) queue.add(name);
});
await measure("all values changed", () => {
  for (const object of changed) world.put("sealed", object);
});
await measure("after a start", () => {
  deliveries.forgetAll();
  for (const name of plan.names()) queue.add(name);
});
await measure("one namespace relabelled", () => {
  world.namespace("ns-0", {});
});
await measure("all sources deleted", () => {
  for (let index = 0; index < SOURCES; index++) world.remove("sealed", `shared/login-${index}`);
});

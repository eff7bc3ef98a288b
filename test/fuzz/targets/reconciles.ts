// The reconciler over a world in memory, with hostile SealedSecrets and hostile Secrets in the way.

import { createLog } from "../../../controller/log.ts";
import { Reconciler } from "../../../controller/reconcile.ts";
import { currentVerdict } from "../../../controller/status.ts";
import { WorldError } from "../../../controller/world.ts";
import {
  asObject,
  type JsonObject,
  metadataOf,
  objectsOf,
} from "../../../shared/kubernetes/object.ts";
import { parseManifests } from "../../../shared/manifest/manifest.ts";
import { parseSealedSecret } from "../../../shared/sealing/sealedsecret.ts";
import { renderTemplates } from "../../../shared/template/template.ts";
import { MemoryWorld } from "../../controller/memoryworld.ts";
import { mutateManifest } from "../mutate.ts";
import { keyring, sealedObjects, SEALED_WORDS, seedsOf } from "../material.ts";
import { attempt, CANARY, checkUntold, Find, type Target, textOf } from "../target.ts";

const KEY = "demo/db";
const STRANGER = "demo/stranger";

/** What the API server takes: it sets name and namespace itself, and the CRD asks for these shapes. */
function asServed(object: JsonObject): JsonObject | null {
  const spec = asObject(object["spec"] ?? null);
  const { labels, annotations, ...rest } = metadataOf(object);
  const texts = (value: unknown): JsonObject => {
    const entries = Object.entries(asObject((value ?? null) as JsonObject) ?? {});
    return Object.fromEntries(entries.filter(([, text]) => typeof text === "string"));
  };
  if (spec === null) return null;
  const metadata = {
    ...rest,
    name: "db",
    namespace: "demo",
    uid: "owner-uid",
    generation: 1,
    labels: texts(labels),
    annotations: texts(annotations),
  };
  return { ...object, apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", metadata, spec };
}

async function check(object: JsonObject, inTheWay: boolean): Promise<void> {
  const world = new MemoryWorld();
  const lines: string[] = [];
  const verdicts: string[] = [];
  const clock = (): number => performance.now();
  const reconciler = new Reconciler({
    world,
    keyring: keyring(),
    render: (items, values) => renderTemplates(items, values, { clock }),
    acceptLegacy: true,
    keyPlace: { namespace: "signet", prefix: "sealed-secrets-key" },
    allowedTypes: new Set(),
    updateStatus: true,
    repair: { changed: true, deleted: true },
    log: createLog("DEBUG", "text", (line) => lines.push(line)),
    now: () => new Date(),
    clock,
    onVerdict: (_key, { reason, message }) => verdicts.push(reason, message),
  });
  const foreign = (name: string): JsonObject => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: "demo" },
    type: "Opaque",
    data: { theirs: btoa("theirs") },
  });
  const stranger = JSON.stringify(world.put("secrets", foreign("stranger")));
  const own = inTheWay ? JSON.stringify(world.put("secrets", foreign("db"))) : undefined;
  world.put("sealed", object);
  for (let each = 0; each < 3; each++) {
    try {
      await reconciler.reconcile(KEY);
    } catch (error) {
      if (!(error instanceof WorldError)) throw error;
    }
    if (world.sealed.get(KEY) === undefined) throw new Find("the SealedSecret is gone");
    if (each === 1) reconciler.forgetAll();
  }
  if (metadataOf(object)["deletionTimestamp"] === undefined) {
    if (verdicts.length === 0 && currentVerdict(object) === undefined) throw new Find("no verdict");
  }
  if (JSON.stringify(world.secrets.get(STRANGER)) !== stranger)
    throw new Find("a stranger's Secret");
  if (own !== undefined && JSON.stringify(world.secrets.get(KEY)) !== own) {
    throw new Find("a Secret that somebody else made was changed");
  }
  const names = [...world.secrets.keys()].filter((key) => key !== STRANGER && key !== KEY);
  if (names.length > 0) throw new Find(`a Secret of another name: ${names.join()}`);
  // The API server refuses an object that its status makes too large.
  if (verdicts.some((text) => text.length > 5000)) throw new Find("a message without an end");
  if (world.calls.length > 30) throw new Find(`${world.calls.length} calls`);
  const told = JSON.stringify([lines, verdicts, world.statuses, world.events]);
  if (!JSON.stringify(object).includes(CANARY)) checkUntold(told, "status, Events or log");
}

export const reconciles: Target = {
  name: "reconciles",
  seeds: async () => {
    const objects = await sealedObjects();
    const withStatus = objects.map((object) => ({
      ...object,
      status: {
        observedGeneration: 1,
        conditions: [{ type: "Synced", status: "True", reason: "Unsealed", message: "done" }],
        secret: { uid: "uid-1", resourceVersion: "1", source: "x", patched: false },
      },
    }));
    return seedsOf([...objects, ...withStatus].map((object) => JSON.stringify(object)));
  },
  generate: (random, seeds) => mutateManifest(random, seeds, SEALED_WORDS),
  short: 50,
  run: async (input) => {
    const read = await attempt(() => parseManifests(textOf(input)).flatMap(objectsOf));
    if ("errors" in read) return;
    for (const each of read.value.slice(0, 3)) {
      const object = asServed(each);
      if (object === null) continue;
      const parsed = await attempt(() => parseSealedSecret(object));
      // Only its owner may allow adding to someone else's Secret, and no owner did.
      await check(object, true);
      if ("value" in parsed) await check(object, false);
    }
  },
};

// A controller that is killed between any two writes of making, wrapping, wrapping again, unwrapping and
// publishing keys: whichever write was the last, nothing seals that cannot be recovered, and no key is lost.
// SPEC.md, "Wrapped keys", "Recovery".
import { setTimeout as pause } from "node:timers/promises";
import { armor, Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { KEY_LABEL, readKeyFile, RENEW_ANNOTATION } from "../../shared/keys/keyfile.ts";
import { WRAPPED_KEY_LABEL, WRAPPING_ANNOTATION } from "../../shared/keys/wrappedkey.ts";
import { type ControlPlane, type KubeObject, MERGE, startControlPlane } from "./controlplane.ts";
import { type RunningService, startKmsPlugin } from "./keyservices.ts";
import { certificateOf, metricOf, sealed, untilData } from "./objects.ts";
import { startProxiedPlane } from "./proxy.ts";
import {
  chartObjects,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const NAMESPACE = "/api/v1/namespaces/kube-system";
const RECOVERY_LABEL = "kube-signet/recovery";
const LABELS = [KEY_LABEL, WRAPPED_KEY_LABEL];
/** What keys are made of. Leases, Events and SealedSecrets are other tests' work. */
const OF_KEYS = /\/namespaces\/kube-system\/(secrets|configmaps)\b/;
/** More writes than any of these takes. */
const MANY = 40;
/** So long without a write of keys, and the work is done. */
const QUIET_MS = 1_500;

let plane: ControlPlane;
let service: RunningService;
const holders: { identity: string; recipient: string }[] = [];
let count = 0;

beforeAll(async () => {
  for (let index = 0; index < 2; index++) {
    const identity = await generateX25519Identity();
    holders.push({ identity, recipient: await identityToRecipient(identity) });
  }
  service = await startKmsPlugin();
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
  const recipients = `recovery.recipients={${holders[0]?.recipient ?? ""}}`;
  for (const role of chartObjects("rbac-recovery.yaml", recipients)) await plane.apply(role);
});

afterAll(async () => {
  await plane.stop();
  await service.stop();
});

const recoverable = (holder = 0): string =>
  `--recovery-recipients=${holders[holder]?.recipient ?? ""}`;

function start(on: ControlPlane, flags: string[]): Promise<RunningController> {
  return startSignet(on, { flags: ["--key-size=2048", ...flags], waitFor: "alive" });
}

async function untilServed(controller: RunningController): Promise<void> {
  await plane.waitFor(
    "the controller to be ready",
    async () => (await fetch(`${controller.url}/readyz`)).ok,
  );
}

async function list(kind: string, label: string): Promise<KubeObject[]> {
  const { body } = await plane.request("GET", `${NAMESPACE}/${kind}?labelSelector=${label}`);
  return body.items ?? [];
}

async function keySecrets(): Promise<KubeObject[]> {
  return (await Promise.all(LABELS.map((label) => list("secrets", label)))).flat();
}

const fingerprintOf = ({ data }: KubeObject): string =>
  parseCertificate(Buffer.from(data?.["tls.crt"] ?? "", "base64").toString()).fingerprint;

/** Fingerprints of the keys that one of the recipients gets out of what is published. */
async function recovered(): Promise<Set<string>> {
  const found = new Set<string>();
  for (const { data } of await list("configmaps", RECOVERY_LABEL)) {
    for (const { identity } of holders) {
      const decrypter = new Decrypter();
      decrypter.addIdentity(identity);
      const file = armor.decode(data?.["key.age"] ?? "");
      const text = await decrypter.decrypt(file, "text").catch(() => null);
      if (text === null) continue;
      for (const { fingerprint } of readKeyFile(text, "key.age")) found.add(fingerprint);
    }
  }
  return found;
}

/** Keys and their files, as they can be put there again. */
type State = readonly (readonly [string, KubeObject])[];

async function saved(): Promise<State> {
  const secrets = (await keySecrets()).map((each) => ["secrets", each] as const);
  const files = await list("configmaps", RECOVERY_LABEL);
  return [...secrets, ...files.map((each) => ["configmaps", each] as const)].map(
    ([kind, { metadata = {}, ...rest }]) => {
      const { name, labels, annotations } = metadata;
      return [kind, { ...rest, metadata: { name, labels, annotations } } as KubeObject];
    },
  );
}

async function putBack(state: State): Promise<void> {
  for (const label of LABELS) {
    await plane.request("DELETE", `${NAMESPACE}/secrets?labelSelector=${label}`);
  }
  await plane.request("DELETE", `${NAMESPACE}/configmaps?labelSelector=${RECOVERY_LABEL}`);
  for (const [kind, object] of state) {
    const { status, text } = await plane.request("POST", `${NAMESPACE}/${kind}`, object);
    expect([status, text]).toEqual([201, expect.anything()]);
  }
}

/** The state that a controller with these flags comes to from nothing. */
async function stateAfter(flags: string[], keys: number): Promise<State> {
  await putBack([]);
  const controller = await start(plane, flags);
  await untilServed(controller);
  for (let made = 1; made < keys; made++) {
    await annotate(RENEW_ANNOTATION, "now");
    await plane.waitFor("a renewal", async () => (await keySecrets()).length > made);
  }
  await plane.waitFor("all to be recoverable", async () => {
    const isMarked = (await keySecrets()).some(
      ({ metadata }) => metadata?.annotations?.["kube-signet/sealing-since"] !== undefined,
    );
    return isMarked && (await metricOf(controller, "recovery_missing")) === 0;
  });
  await controller.stop();
  return saved();
}

/** Asks the controller for something by each of its keys. */
async function annotate(annotation: string, value: string): Promise<void> {
  for (const { metadata } of await keySecrets()) {
    const path = `${NAMESPACE}/secrets/${metadata?.name ?? ""}`;
    const annotations = { [annotation]: value };
    const { status } = await plane.request("PATCH", path, { metadata: { annotations } }, MERGE);
    expect(status).toBe(200);
  }
}

interface Work {
  readonly flags: string[];
  /** Puts the cluster before the work. */
  readonly prepare: () => Promise<void>;
  readonly isDone: () => Promise<boolean>;
}

/**
 * Does the work until its write of this number was answered by the API server, and kills the
 * controller before it hears of that; before its first write where it is 0. Returns false if the work
 * was done with fewer writes.
 */
async function killedAfter(writes: number, work: Work): Promise<boolean> {
  let seen = 0;
  let lastMs = performance.now();
  let started: (controller: RunningController) => void = () => undefined;
  const victim = new Promise<RunningController>((done) => {
    started = done;
  });
  const isOfKeys = ({ isWrite, path }: { isWrite: boolean; path: string }): boolean =>
    isWrite && OF_KEYS.test(path);
  const kill = async (): Promise<"drop"> => {
    const controller = await victim;
    controller.kill("SIGKILL");
    await controller.exited;
    return "drop";
  };
  const proxy = await startProxiedPlane(plane, {
    before: (call) => {
      if (!isOfKeys(call)) return Promise.resolve("pass");
      lastMs = performance.now();
      // None follows the one that was the last.
      if (seen >= writes) return kill();
      seen++;
      return Promise.resolve("pass");
    },
    after: (call) =>
      isOfKeys(call) && seen >= writes && writes > 0 ? kill() : Promise.resolve("pass"),
  });
  try {
    const controller = await start(proxy.plane, work.flags);
    started(controller);
    const ended = new AbortController();
    void controller.exited.then(() => {
      ended.abort();
    });
    while (!ended.signal.aborted) {
      if ((await work.isDone()) && performance.now() - lastMs > QUIET_MS) {
        await controller.stop();
        return seen >= writes;
      }
      await pause(50);
    }
    return true;
  } finally {
    await proxy.stop();
  }
}

/** Kills the controller after each write of the work in turn, and looks at what is left each time. */
async function survives(work: Work): Promise<void> {
  for (let writes = 0; ; writes++) {
    expect(writes).toBeLessThan(MANY);
    await work.prepare();
    const before = await keySecrets();
    const wasKilled = await killedAfter(writes, work);
    const left = await keySecrets();
    const held = new Set(left.map(fingerprintOf));
    const open = await recovered();
    for (const fingerprint of held) expect(open, `after write ${writes}`).toContain(fingerprint);
    for (const each of before) expect(held, `after write ${writes}`).toContain(fingerprintOf(each));
    // A key that never was may have left its files.
    expect(open.size - held.size).toBeLessThanOrEqual(1);

    const next = await start(plane, work.flags);
    try {
      await untilServed(next);
      await plane.waitFor(`the work to be done after write ${writes}`, async () => {
        return (await work.isDone()) && (await metricOf(next, "recovery_missing")) === 0;
      });
      const all = (await keySecrets()).map(fingerprintOf);
      expect(new Set(all).size, "each key is stored once").toBe(all.length);
      expect(await metricOf(next, "sealing_keys", { state: "malformed" })).toBe(0);
      const certificates = before.map(({ data }) =>
        Buffer.from(data?.["tls.crt"] ?? "", "base64").toString(),
      );
      for (const certificate of [...certificates, await certificateOf(next)]) {
        const name = `kill-${++count}`;
        const stringData = { value: name };
        await plane.apply(await sealed(certificate, { namespace: "demo", name, stringData }));
        await untilData(plane, "demo", name, { value: name });
      }
    } finally {
      await next.stop();
    }
    if (!wasKilled) {
      console.log(`${writes - 1} writes, killed after each of them`);
      return;
    }
  }
}

const noneWith = async (label: string): Promise<boolean> =>
  (await list("secrets", label)).length === 0;

const noneAsked = async (): Promise<boolean> =>
  (await keySecrets()).every(
    ({ metadata }) => metadata?.annotations?.[WRAPPING_ANNOTATION] === undefined,
  );

/** Of one that seals, which the controller notes once it is done with a new key. */
const sealsOne = async (keys: number): Promise<boolean> => {
  const all = await keySecrets();
  const marked = all.filter(
    ({ metadata }) => metadata?.annotations?.["kube-signet/sealing-since"] !== undefined,
  );
  return all.length >= keys && marked.length === 1;
};

describe("a controller that is killed after any write", () => {
  it("of a first key, and of its recovery files", async () => {
    await survives({
      flags: [recoverable()],
      prepare: () => putBack([]),
      isDone: () => sealsOne(1),
    });
  });

  it("of a renewal with wrapped keys", async () => {
    const flags = [...service.flags, recoverable()];
    const state = await stateAfter(flags, 1);
    await survives({
      flags,
      prepare: async () => {
        await putBack(state);
        await annotate(RENEW_ANNOTATION, "now");
      },
      isDone: () => sealsOne(2),
    });
  });

  it("of wrapping a key that lay in plain text, and of the new key in its place", async () => {
    const plain = await stateAfter([recoverable()], 1);
    await survives({
      flags: [...service.flags, recoverable()],
      prepare: async () => {
        await putBack(plain);
        await annotate(WRAPPING_ANNOTATION, "wrap");
      },
      isDone: async () => (await noneWith(KEY_LABEL)) && (await sealsOne(2)),
    });
  });

  it("of wrapping keys again, and of storing them in plain text", async () => {
    const flags = [...service.flags, recoverable()];
    const wrapped = await stateAfter(flags, 2);
    await survives({
      flags,
      prepare: async () => {
        await putBack(wrapped);
        await annotate(WRAPPING_ANNOTATION, "rewrap");
      },
      isDone: noneAsked,
    });
    await survives({
      flags: [...flags, "--kms-mode=leave"],
      prepare: async () => {
        await putBack(wrapped);
        await annotate(WRAPPING_ANNOTATION, "unwrap");
      },
      isDone: () => noneWith(WRAPPED_KEY_LABEL),
    });
  });

  it("of encrypting keys for other recipients", async () => {
    const state = await stateAfter([recoverable()], 2);
    const { recipient = "" } = holders[1] ?? {};
    await survives({
      flags: [recoverable(1)],
      prepare: () => putBack(state),
      isDone: async () => {
        const files = await list("configmaps", RECOVERY_LABEL);
        return files.every(({ metadata }) =>
          metadata?.annotations?.["kube-signet/recovery-for"]?.includes(recipient),
        );
      },
    });
  });
});

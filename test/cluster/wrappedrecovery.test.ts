// Keys that a key service wraps and that recovery recipients hold, together on a real control plane:
// what a dump of it opens.
// SPEC.md, "Wrapped keys", "Recovery".
import { createPrivateKey } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { armor, Decrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CONFIRMED_ANNOTATION, KEY_LABEL, readKeyFile } from "../../shared/keys/keyfile.ts";
import { WRAPPED_KEY_LABEL } from "../../shared/keys/wrappedkey.ts";
import { type ControlPlane, type KubeObject, startControlPlane } from "./controlplane.ts";
import { type RunningService, startKmsPlugin } from "./keyservices.ts";
import { certificateOf, eventsOf, sealed, untilData } from "./objects.ts";
import {
  chartObjects,
  ensureNamespace,
  installSignet,
  type RunningController,
  startSignet,
} from "./signet.ts";

const NAMESPACE = "/api/v1/namespaces/kube-system";

let plane: ControlPlane;
let service: RunningService;
let identity: string;
let recipient: string;

beforeAll(async () => {
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  service = await startKmsPlugin();
  plane = await startControlPlane();
  await installSignet(plane);
  await ensureNamespace(plane, "demo");
  for (const role of chartObjects("rbac-recovery.yaml", `recovery.recipients={${recipient}}`)) {
    await plane.apply(role);
  }
});

afterAll(async () => {
  await plane.stop();
  await service.stop();
});

/** Recipients are enough: no backup has to be confirmed beside them. */
function start(of: ControlPlane, more: string[] = []): Promise<RunningController> {
  const flags = ["--key-size=2048", ...service.flags, `--recovery-recipients=${recipient}`];
  return startSignet(of, { flags: [...flags, ...more], env: { ...service.env } });
}

async function list(path: string): Promise<KubeObject[]> {
  return (await plane.request("GET", `${NAMESPACE}/${path}`)).body.items ?? [];
}

/** Fingerprints of the keys that are stored, as their Secrets say. */
async function stored(label?: string): Promise<string[]> {
  const labels = label === undefined ? [KEY_LABEL, WRAPPED_KEY_LABEL] : [label];
  const lists = await Promise.all(labels.map((each) => list(`secrets?labelSelector=${each}`)));
  return lists
    .flat()
    .map(({ metadata }) => metadata?.annotations?.[CONFIRMED_ANNOTATION] ?? "no annotation");
}

/** Key Secrets in plain text by fingerprint, as the recipient gets them out of what is published. */
async function recovered(): Promise<Map<string, string>> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  const found = new Map<string, string>();
  for (const { data } of await list("configmaps?labelSelector=kube-signet/recovery")) {
    const text = await decrypter.decrypt(armor.decode(data?.["key.age"] ?? ""), "text");
    for (const { fingerprint } of readKeyFile(text, "key.age")) found.set(fingerprint, text);
  }
  return found;
}

/** What the private key is made of, as it may appear in a dump. */
function piecesOf(secret: string): string[] {
  const [, base64 = ""] = /tls\.key: (\S+)/.exec(secret) ?? [];
  const pem = Buffer.from(base64, "base64").toString();
  const { d, p, q } = createPrivateKey(pem).export({ format: "jwk" });
  const numbers = [d, p, q].map((each) => Buffer.from(each ?? "", "base64url").subarray(8, 40));
  const lines = pem.split("\n").filter((line) => line.length === 64);
  return [
    ...lines,
    ...numbers.flatMap((bytes) => [bytes.toString("latin1"), bytes.toString("hex")]),
    // A text of base64 looks otherwise by where it begins.
    ...[0, 1, 2].map((skipped) => base64.slice(80 + skipped, 140)),
    ...[0, 1, 2].map((skipped) =>
      Buffer.from(pem.slice(100 + skipped, 148 + skipped)).toString("base64"),
    ),
  ];
}

describe("a dump of the controller's namespace and of etcd", () => {
  it("opens no value: no Secret, ConfigMap, Event or status of it has a part of a key", async () => {
    const fresh = await startControlPlane();
    const shared = plane;
    try {
      await installSignet(fresh);
      await ensureNamespace(fresh, "demo");
      for (const role of chartObjects("rbac-recovery.yaml", `recovery.recipients={${recipient}}`)) {
        await fresh.apply(role);
      }
      const controller = await start(fresh);
      plane = fresh;
      const certificate = await certificateOf(controller);
      const manifest = { namespace: "demo", name: "db", stringData: { value: "hunter2" } };
      await fresh.apply(await sealed(certificate, manifest));
      await untilData(fresh, "demo", "db", { value: "hunter2" });
      controller.kill("SIGUSR1");
      await fresh.waitFor("a renewal", async () => (await stored()).length === 2);
      await fresh.waitFor("an Event", async () => (await eventsOf(fresh, "demo", "db")).length > 0);
      const keys = await recovered();
      expect([...keys.keys()].sort()).toEqual((await stored(WRAPPED_KEY_LABEL)).sort());
      const dump: string[] = [];
      for (const kind of ["secrets", "configmaps", "events"]) {
        dump.push(JSON.stringify(await list(kind)));
      }
      const path = "/apis/bitnami.com/v1alpha1/sealedsecrets";
      dump.push(JSON.stringify((await fresh.request("GET", path)).body));
      await controller.stop();
      expect(controller.logs()).not.toMatch(/PRIVATE KEY|AGE-SECRET-KEY/);
      dump.push(controller.logs());
      await fresh.stopEtcd("SIGTERM");
      const folder = join(fresh.directory, "etcd");
      for (const file of await readdir(folder, { recursive: true, withFileTypes: true })) {
        if (file.isFile()) dump.push(await readFile(join(file.parentPath, file.name), "latin1"));
      }
      const all = dump.join("\n");
      // It is all there: the Secrets that were made lie in it as they do in any cluster.
      expect(all).toContain("hunter2");
      expect(all).toContain("BEGIN AGE ENCRYPTED FILE");
      for (const [fingerprint, text] of keys) {
        expect(all).toContain(fingerprint);
        const pieces = piecesOf(text);
        expect(pieces.length).toBeGreaterThan(20);
        expect(pieces.filter((piece) => piece.length < 24)).toEqual([]);
        expect(pieces.filter((piece) => all.includes(piece))).toEqual([]);
      }
      expect(all).not.toMatch(
        /PRIVATE KEY|UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW|AGE-SECRET-KEY/,
      );
    } finally {
      plane = shared;
      await fresh.stop();
    }
  });
});

// Recovery files over a real socket: written before a key seals, kept as they should be, and what
// happens where they cannot be.
// SPEC.md, "Recovery".
import { Decrypter, armor, generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterKeys } from "../../controller/clusterkeys.ts";
import { createLog } from "../../controller/log.ts";
import { RecoveryConfigMaps } from "../../controller/recoveryconfigmaps.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import {
  CONFIRMED_ANNOTATION,
  formatKeySecret,
  readKeyFile,
  readKeySecret,
} from "../../shared/keys/keyfile.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import type { KeyService } from "../../shared/keys/keyservice.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import type { RecoveryPolicy } from "../../shared/keys/recoverynames.ts";
// Loaded on demand by what is tested, which would take of the time that a wait has.
import "../../shared/keys/recoveryfiles.ts";
import { WRAPPED_ITEM, WRAPPING_ANNOTATION } from "../../shared/keys/wrappedkey.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";
import { MemoryKeyService } from "./memorykeyservice.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

const NAMESPACE = "/api/v1/namespaces/signet";
const SECRETS = `${NAMESPACE}/secrets`;
const CONFIG_MAPS = `${NAMESPACE}/configmaps`;
const NOW = new Date("2026-11-24T12:00:00Z");
const DAY_MS = 86_400_000;
/** Small, for speed: nothing is sealed here. */
const BITS = 1024;

let server: ApiServer;
let stop: AbortController;
let identity: string;
let policy: RecoveryPolicy;
const running: ClusterKeys[] = [];

beforeEach(async () => {
  identity = await generateX25519Identity();
  policy = { recipients: [await identityToRecipient(identity)], quorum: null };
  stopClocks(NOW);
  server = await startApiServer();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  for (const keys of running.splice(0)) keys.follow();
  vi.useRealTimers();
  await server.close();
});

interface Replica {
  readonly keys: ClusterKeys;
  readonly keyring: Keyring;
  readonly recovery: RecoveryConfigMaps;
  readonly messages: () => string[];
}

async function replica(
  who: RecoveryPolicy = policy,
  keyService: KeyService | null = null,
): Promise<Replica> {
  const client = server.client();
  const keyring = new Keyring();
  const lines: string[] = [];
  const log = createLog("INFO", "json", (line) => lines.push(line));
  const guard = (): void => undefined;
  const now = (): Date => new Date();
  const recovery = new RecoveryConfigMaps("signet", who, {
    client,
    log,
    now,
    clock: () => Date.now(),
    guard,
    readSecret: (name) => keys.plainSecretOf(name),
    onChange: () => {
      keys.recoveryChanged();
    },
  });
  const keys: ClusterKeys = new ClusterKeys(
    {
      namespace: "signet",
      prefix: "sealed-secrets-key",
      leaseName: "signet-controller",
      bits: BITS,
      hybrid: false,
      validForMs: 10 * DAY_MS,
      commonName: "",
      order: "CertNotBefore",
      labels: {},
      annotations: {},
      renewal: { renewAfterMs: DAY_MS, cutoff: null },
      wrapping: "wrap",
    },
    {
      client,
      keyring,
      recovery,
      keyService,
      log,
      now,
      clock: () => Date.now(),
      guard,
      leaseUid: () => "",
      ledBefore: () => false,
      sealedBefore: () => undefined,
      onSealingKeyChange: () => undefined,
      onChange: () => undefined,
    },
  );
  running.push(keys);
  await keys.start(stop.signal);
  const messages = (): string[] =>
    lines
      .map((line) => (JSON.parse(line) as { msg: string }).msg)
      .filter((message) => !message.startsWith("sealing key is shorter"));
  return { keys, keyring, recovery, messages };
}

/** A key Secret in the cluster, of `ageMs`. */
async function stored(name: string, ageMs: number, marks: JsonObject = {}): Promise<string> {
  const notBefore = new Date(NOW.getTime() - ageMs);
  const pair = await createSealingKey({ bits: BITS, notBefore, validForMs: 10 * DAY_MS });
  const { fingerprint } = parseCertificate(pair.certificatePem);
  const secret = formatKeySecret(pair, { name });
  const annotations = { [CONFIRMED_ANNOTATION]: fingerprint, ...marks };
  const creationTimestamp = notBefore.toISOString();
  server.put(`${SECRETS}/${name}`, {
    ...secret,
    metadata: { ...metadataOf(secret), creationTimestamp, annotations },
  });
  return fingerprint;
}

const configMaps = (): [string, JsonObject][] =>
  [...server.objects].filter(([path]) => path.startsWith(CONFIG_MAPS));

const filesIn = (object: JsonObject | undefined): Record<string, string> =>
  asObject(object?.["data"] ?? null) as Record<string, string>;

async function opened(file: string | undefined, by = identity): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(by);
  return decrypter.decrypt(armor.decode(file ?? ""), "text");
}

const events = (): string[] =>
  server.seen
    .filter(({ method, path }) => method === "POST" && path === `${NAMESPACE}/events`)
    .map(({ body }) => JSON.stringify(body["reason"]).replaceAll('"', ""))
    .filter((reason) => reason.startsWith("Recovery"));

describe("a new sealing key", () => {
  it("is encrypted for its recipients before it is stored, and the file holds it whole", async () => {
    const { keys, keyring, recovery } = await replica();
    keys.lead();
    await until(() => keyring.newest !== null);
    const posts = server.seen.filter(({ method }) => method === "POST").map(({ path }) => path);
    expect(posts.slice(0, 2)).toEqual([CONFIG_MAPS, SECRETS]);
    const [[, configMap] = []] = configMaps();
    const text = await opened(filesIn(configMap)["key.age"]);
    const [key] = readKeyFile(text, "key.age");
    expect([key?.fingerprint, key?.name]).toEqual([
      keyring.newest?.fingerprint,
      keyring.newest?.name,
    ]);
    expect(key?.certificate?.pem).toBe(keyring.newest?.certificate.pem);
    expect(JSON.stringify(configMap)).not.toMatch(/PRIVATE KEY|tls\.key/);
    expect(recovery.missing(keyring.keys)).toBe(0);
    expect(await recovery.report(keyring.keys)).toEqual({
      keys: [{ fingerprint: key?.fingerprint, files: filesIn(configMap) }],
    });
  });

  it("that cannot be stored is tried again: there are not more files with each try", async () => {
    server.always("POST", SECRETS, refuse(403, "Forbidden"));
    const { keys, keyring } = await replica();
    keys.lead();
    const tries = (): number =>
      server.seen.filter(({ method, path }) => method === "POST" && path === SECRETS).length;
    await until(() => tries() === 1);
    for (let count = 2; count <= 4; count++) {
      await vi.advanceTimersByTimeAsync(5_000);
      await until(() => tries() === count);
    }
    expect(configMaps()).toHaveLength(1);
    server.always("POST", SECRETS, undefined);
    await vi.advanceTimersByTimeAsync(5_000);
    await until(() => keyring.newest !== null);
    expect(configMaps()).toHaveLength(1);
  });

  it("whose files someone changes before it seals is followed by no other one", async () => {
    const { keys, keyring, recovery } = await replica();
    keys.lead();
    await until(() => keyring.newest !== null);
    const before = keyring.newest?.fingerprint;
    await until(() => JSON.stringify([...server.objects]).includes("kube-signet/sealing-since"));
    server.once("POST", SECRETS, (response, { body }) => {
      void (async () => {
        const secret = parseSecret({ ...body, apiVersion: "v1", kind: "Secret" });
        const key = readKeySecret(secret);
        const [path, object] = configMaps().at(-1) ?? ["", {}];
        server.always("PUT", path, refuse(403, "Forbidden"));
        server.put(path, { ...object, data: {} });
        await until(() => !recovery.isRecoverable(key));
        const stored = server.put(`${SECRETS}/${secret.metadata.name}`, body);
        response.writeHead(201).end(JSON.stringify(stored));
      })();
    });
    await vi.advanceTimersByTimeAsync(DAY_MS);
    await until(() => keyring.keys.length === 2);
    expect(recovery.missing(keyring.keys)).toBe(1);
    const tries = (): number =>
      server.seen.filter(({ method, path }) => method === "PUT" && path.startsWith(CONFIG_MAPS))
        .length;
    for (let round = 0; round < 6; round++) {
      const tried = tries();
      await vi.advanceTimersByTimeAsync(3_600_000);
      await until(() => tries() > tried);
    }
    expect([keyring.keys.length, keyring.newest?.fingerprint]).toEqual([2, before]);
    for (const [path] of configMaps()) server.always("PUT", path, undefined);
    await vi.advanceTimersByTimeAsync(600_000);
    await until(() => keyring.newest?.fingerprint !== before);
    expect(keyring.keys).toHaveLength(2);
  });

  it("is not made where its files cannot be published, and the key before it seals on", async () => {
    const first = await replica();
    first.keys.lead();
    await until(() => first.keyring.newest !== null);
    const before = first.keyring.newest?.fingerprint;
    server.always("POST", CONFIG_MAPS, refuse(403, "Forbidden"));
    await vi.advanceTimersByTimeAsync(DAY_MS);
    await until(() => first.recovery.missing(first.keyring.keys) > 0);
    expect(first.messages()).toContain("sealing key could not be created, retrying");
    expect(first.keyring.newest?.fingerprint).toBe(before);
    expect([...server.objects.keys()].filter((path) => path.startsWith(SECRETS))).toHaveLength(1);
    server.always("POST", CONFIG_MAPS, undefined);
    await vi.advanceTimersByTimeAsync(60_000);
    await until(() => first.keyring.newest?.fingerprint !== before);
    expect(first.recovery.missing(first.keyring.keys)).toBe(0);
    expect(configMaps()).toHaveLength(2);
  });
});

describe("a key that was there before", () => {
  it("goes on sealing where recipients are named later, and is encrypted for them", async () => {
    const fingerprint = await stored("old", DAY_MS / 2);
    const { keys, keyring, recovery } = await replica();
    expect(keyring.newest?.fingerprint).toBe(fingerprint);
    keys.lead();
    await until(() => recovery.missing(keyring.keys) === 0);
    expect(keyring.newest?.fingerprint).toBe(fingerprint);
    await until(() => events().includes("RecoveryFilesPublished"));
  });

  it("goes on sealing where the controller may not even read ConfigMaps", async () => {
    const fingerprint = await stored("old", DAY_MS / 2);
    server.always("GET", CONFIG_MAPS, refuse(403, "Forbidden"));
    server.always("POST", CONFIG_MAPS, refuse(403, "Forbidden"));
    const started = replica();
    await until(() => server.seen.some(({ path }) => path === CONFIG_MAPS));
    await vi.advanceTimersByTimeAsync(10_000);
    const { keys, keyring, recovery } = await started;
    keys.lead();
    await until(() => recovery.missing(keyring.keys) === 1);
    expect(keyring.newest?.fingerprint).toBe(fingerprint);
  });

  it("does not seal before it is recoverable where a person puts in a newer one", async () => {
    const old = await stored("old", DAY_MS / 2);
    const { keys, keyring, recovery, messages } = await replica();
    keys.lead();
    await until(() => recovery.missing(keyring.keys) === 0);
    server.always("POST", CONFIG_MAPS, refuse(500, "InternalError"));
    const put = await stored("put", DAY_MS / 4);
    await until(() =>
      messages().includes("sealing key could not be encrypted for its recovery recipients"),
    );
    expect([keyring.keys.length, keyring.newest?.fingerprint]).toEqual([2, old]);
    server.always("POST", CONFIG_MAPS, undefined);
    await vi.advanceTimersByTimeAsync(30_000);
    await until(() => keyring.newest?.fingerprint === put);
  });
});

describe("recovery files", () => {
  async function published(): Promise<Replica & { path: string }> {
    await stored("key", DAY_MS / 2);
    const made = await replica();
    made.keys.lead();
    await until(() => made.recovery.missing(made.keyring.keys) === 0);
    const path = configMaps()[0]?.[0] ?? "";
    return { ...made, path };
  }

  it.each<[string, (path: string, object: JsonObject) => void]>([
    [
      "deleted",
      (path) => {
        server.remove(path);
      },
    ],
    [
      "replaced by a file for someone else",
      (path, object) => {
        server.put(path, { ...object, data: { "key.age": "-----BEGIN AGE ENCRYPTED FILE-----" } });
      },
    ],
    [
      "said to be for someone else",
      (path, object) => {
        const metadata = metadataOf(object);
        const annotations = { ...asObject(metadata["annotations"] ?? null), x: "y" };
        const forged = { ...annotations, "kube-signet/recovery-for": '{"recipients":[]}' };
        server.put(path, { ...object, metadata: { ...metadata, annotations: forged } });
      },
    ],
  ])("that were %s are put right, and that is told", async (_what, change) => {
    const { keyring, recovery, path } = await published();
    const before = events().length;
    change(path, server.objects.get(path) ?? {});
    await until(() => events().length > before);
    await until(() => recovery.missing(keyring.keys) === 0);
    const [text] = Object.values(filesIn(server.objects.get(path)));
    expect(await opened(text)).toContain("tls.key");
  });

  it("that someone edits again and again are put right ever more slowly", async () => {
    const { keyring, recovery, path } = await published();
    const before = events().length;
    const puts = (): number =>
      server.seen.filter((seen) => seen.method === "PUT" && seen.path === path).length;
    for (let second = 0; second < 600; second++) {
      server.put(path, { ...server.objects.get(path), data: { "key.age": `edit ${second}` } });
      await vi.advanceTimersByTimeAsync(1_000);
    }
    expect(puts()).toBeGreaterThan(4);
    expect(puts()).toBeLessThan(16);
    expect(events().length - before).toBeLessThan(16);
    expect(recovery.missing(keyring.keys)).toBe(1);
    await vi.advanceTimersByTimeAsync(300_000);
    await until(() => recovery.missing(keyring.keys) === 0);
  });

  it("that someone made immutable are replaced", async () => {
    const { keyring, recovery, path } = await published();
    const object = server.objects.get(path) ?? {};
    server.always("PUT", path, refuse(422, "Invalid"));
    server.put(path, { ...object, immutable: true, data: { "key.age": "for someone else" } });
    await until(() => server.seen.some(({ method }) => method === "DELETE"));
    await until(() => recovery.missing(keyring.keys) === 0);
    expect(await opened(filesIn(server.objects.get(path))["key.age"])).toContain("tls.key");
  });

  it("that were changed are not handed out, whenever that was", async () => {
    const { keyring, recovery, path } = await published();
    const object = server.objects.get(path) ?? {};
    server.always("PUT", path, refuse(403, "Forbidden"));
    server.unheard(() => {
      server.put(path, { ...object, data: { "key.age": "for someone else" } });
    });
    expect(await recovery.report(keyring.keys)).toEqual({ keys: [] });
  });

  it("are not written again by a replica that starts later", async () => {
    const { path } = await published();
    const before = server.objects.get(path);
    const later = await replica();
    later.keys.lead();
    await until(() => later.messages().length > 0);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.objects.get(path)).toBe(before);
  });

  it("are written again for other recipients, and no more for one who left", async () => {
    const { path, keys } = await published();
    keys.follow();
    const other = await generateX25519Identity();
    const later = await replica({ recipients: [await identityToRecipient(other)], quorum: null });
    expect(later.recovery.missing(later.keyring.keys)).toBe(1);
    later.keys.lead();
    await until(() => events().includes("RecoveryRecipientsChanged"));
    const file = filesIn(server.objects.get(path))["key.age"];
    expect(await opened(file, other)).toContain("tls.key");
    await expect(opened(file)).rejects.toThrow();
  });
});

describe("keys that a key service wraps", () => {
  const items = (path: string): string[] =>
    Object.keys(asObject(server.objects.get(path)?.["data"] ?? null) ?? {}).sort();
  const secrets = (): string[] =>
    [...server.objects.keys()].filter((path) => path.startsWith(SECRETS));
  const textOf = (fingerprint: string | undefined): Promise<string> => {
    const found = configMaps().find(([, { metadata }]) => {
      const { "kube-signet/fingerprint": of } =
        asObject(asObject(metadata ?? null)?.["annotations"] ?? null) ?? {};
      return of === fingerprint;
    });
    return opened(filesIn(found?.[1])["key.age"]);
  };
  /** The recovery file holds the key in plain: it opens without the service. */
  async function expectWhole(fingerprint: string | undefined): Promise<void> {
    const [key] = readKeyFile(await textOf(fingerprint), "key.age");
    expect(key?.fingerprint).toBe(fingerprint);
    expect(key?.halves).not.toEqual([]);
  }

  it("are published before they are stored, and their files open without the service", async () => {
    const service = new MemoryKeyService();
    const { keys, keyring, recovery } = await replica(policy, service);
    keys.lead();
    await until(() => keyring.newest !== null);
    const posts = server.seen.filter(({ method }) => method === "POST").map(({ path }) => path);
    expect(posts.slice(0, 2)).toEqual([CONFIG_MAPS, SECRETS]);
    expect(secrets().map(items)).toEqual([["tls.crt", WRAPPED_ITEM]]);
    service.isAway = true;
    await expectWhole(keyring.newest?.fingerprint);
    expect(recovery.missing(keyring.keys)).toBe(0);
  });

  it("are not made while the service is away, and nothing is published for them", async () => {
    const service = new MemoryKeyService();
    service.isAway = true;
    const { keys, messages } = await replica(policy, service);
    keys.lead();
    await until(() => messages().includes("sealing key could not be created, retrying"));
    expect([...configMaps(), ...secrets()]).toEqual([]);
  });

  it("are encrypted for other recipients by a replica that opened them itself", async () => {
    const service = new MemoryKeyService();
    const first = await replica(policy, service);
    first.keys.lead();
    await until(() => first.keyring.newest !== null);
    const fingerprint = first.keyring.newest?.fingerprint;
    first.keys.follow();
    const former = identity;
    identity = await generateX25519Identity();
    const others = { recipients: [await identityToRecipient(identity)], quorum: null };
    const later = await replica(others, service);
    later.keys.lead();
    await until(() => events().includes("RecoveryRecipientsChanged"));
    await expectWhole(fingerprint);
    const [[, configMap] = []] = configMaps();
    await expect(opened(filesIn(configMap)["key.age"], former)).rejects.toThrow();
    expect(later.keyring.newest?.fingerprint).toBe(fingerprint);
  });

  it("of which one lay in plain before stay recoverable while it is wrapped", async () => {
    const old = await stored("old", DAY_MS / 2, { [WRAPPING_ANNOTATION]: "wrap" });
    const service = new MemoryKeyService();
    const { keys, keyring, recovery } = await replica(policy, service);
    keys.lead();
    await until(
      () => secrets().length === 2 && secrets().every((path) => items(path).length === 2),
    );
    await until(() => secrets().every((path) => items(path).includes(WRAPPED_ITEM)));
    await until(() => recovery.missing(keyring.keys) === 0);
    expect(keyring.keys).toHaveLength(2);
    // A key that ever lay in plain text does not go on sealing.
    expect(keyring.newest?.fingerprint).not.toBe(old);
    for (const { fingerprint } of keyring.keys) await expectWhole(fingerprint);
    // Its files are written again from the wrapped form, too.
    const before = events().length;
    const [first = ""] = configMaps().map(([path]) => path);
    server.remove(first);
    await until(() => events().length > before);
    await until(() => recovery.missing(keyring.keys) === 0);
    for (const { fingerprint } of keyring.keys) await expectWhole(fingerprint);
  });
});

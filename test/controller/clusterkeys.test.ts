// The cluster's sealing keys over a real socket: reading, creating, renewing, on a stopped clock.
// SPEC.md, "Sealing keys and certificates", "Renewal".
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterKeys, keyName, type KeyOptions } from "../../controller/clusterkeys.ts";
import { SEALING_SINCE_ANNOTATION } from "../../controller/keychanges.ts";
import { checkHybridKeys } from "../../controller/usablehalves.ts";
import { createLog } from "../../controller/log.ts";
import { nativePrimitives } from "../../shared/hpke/chosenprimitives.ts";
import { ApiError } from "../../host/kubernetes/apiclient.ts";
import {
  CONFIRMED_ANNOTATION,
  formatKeySecret,
  KEY_LABEL,
  readKeySecret,
  RENEW_ANNOTATION,
  RESTORED_ANNOTATION,
} from "../../shared/keys/keyfile.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { kindsOf } from "../../shared/keys/sealingkey.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

const SECRETS = "/api/v1/namespaces/signet/secrets";
const PREFIX = "sealed-secrets-key";
const NOW = new Date("2026-11-24T12:00:00Z");
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Small, for speed: nothing is sealed here. */
const BITS = 1024;

let server: ApiServer;
let stop: AbortController;
beforeEach(async () => {
  stopClocks(NOW);
  server = await startApiServer();
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  for (const { keys } of replicas.splice(0)) keys.follow();
  vi.useRealTimers();
  await server.close();
});

interface Replica {
  readonly keys: ClusterKeys;
  readonly keyring: Keyring;
  readonly lines: string[];
  /** Of the keys here, all of which are short. */
  readonly shortKeyLines: string[];
  /** Why another key seals, for each change. */
  readonly reasons: readonly string[];
  /** How far the wall clock is ahead of the other. */
  readonly ahead: { wall: number };
  /** Since the keys that there were have been read. */
  readonly changes: () => number;
}

const replicas: Replica[] = [];

/** Whether the replicas that are made from now on are not the first. */
let ledBefore = false;
/** What the Lease tells these. */
let sealedBefore: string | undefined;
afterEach(() => {
  ledBefore = false;
  sealedBefore = undefined;
});

/** A replica that has read the keys that there are. */
async function replica(
  options: Partial<KeyOptions> = {},
  guard: () => void = () => undefined,
): Promise<Replica> {
  const isLater = ledBefore;
  const recorded = sealedBefore;
  const keyring = new Keyring();
  const lines: string[] = [];
  const shortKeyLines: string[] = [];
  const ahead = { wall: 0 };
  const reasons: string[] = [];
  let changes = 0;
  const all: KeyOptions = {
    namespace: "signet",
    prefix: PREFIX,
    leaseName: "signet-controller",
    bits: BITS,
    hybrid: false,
    validForMs: 10 * DAY_MS,
    commonName: "",
    order: "CertNotBefore",
    labels: {},
    annotations: {},
    renewal: { renewAfterMs: 0, cutoff: null },
    wrapping: "wrap",
    ...options,
  };
  const keys = new ClusterKeys(all, {
    client: server.client(),
    keyring,
    keyService: null,
    log: createLog("INFO", "json", (line) => {
      (line.includes("sealing key is shorter than") ? shortKeyLines : lines).push(line);
    }),
    now: () => new Date(Date.now() + ahead.wall),
    clock: () => Date.now(),
    guard,
    leaseUid: () => "",
    ledBefore: () => isLater,
    sealedBefore: () => recorded,
    onSealingKeyChange: (reason) => reasons.push(reason),
    onChange: () => changes++,
  });
  const made = { keys, keyring, lines, shortKeyLines, ahead, reasons, changes: () => changes };
  replicas.push(made);
  await keys.start(stop.signal);
  changes = 0;
  return made;
}

/** A confirmed key Secret of `ageMs`, in the cluster. */
async function stored(name: string, ageMs: number, metadata: JsonObject = {}): Promise<JsonObject> {
  const notBefore = new Date(NOW.getTime() - ageMs);
  const pair = await createSealingKey({ bits: BITS, notBefore, validForMs: 10 * DAY_MS });
  const { fingerprint } = parseCertificate(pair.certificatePem);
  const annotations = {
    [CONFIRMED_ANNOTATION]: fingerprint,
    ...asObject(metadata["annotations"] ?? {}),
  };
  const secret = formatKeySecret(pair, { name });
  return server.put(`${SECRETS}/${name}`, {
    ...secret,
    metadata: { ...metadataOf(secret), ...metadata, annotations },
  });
}

const names = (): string[] =>
  [...server.objects.keys()]
    .filter((path) => path.startsWith(SECRETS))
    .map((path) => path.slice(SECRETS.length + 1));
const messages = (lines: readonly string[]): string[] =>
  lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
const posts = (): number =>
  server.seen.filter(({ method, path }) => method === "POST" && path === SECRETS).length;

/** Lets time pass in steps that the keys look in, with all the work of each step done. */
async function pass(totalMs: number, stepMs: number): Promise<void> {
  for (let passed = 0; passed < totalMs; passed += stepMs) {
    await vi.advanceTimersByTimeAsync(stepMs);
    await until(() => vi.getTimerCount() > 0);
  }
}

describe("the first key", () => {
  it("is made by a follower too, once, where nobody can be elected", async () => {
    const followers = [await replica(), await replica()];
    for (const { keys } of followers) keys.createFirst();
    await until(() => followers.every(({ keyring }) => keyring.newest !== null));
    expect(new Set(followers.map(({ keyring }) => keyring.newest?.fingerprint)).size).toBe(1);
    expect(names()).toHaveLength(1);
    for (const { keys } of followers) keys.createFirst();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(names()).toHaveLength(1);
  });

  let leads = true;

  it("is made by the leader alone, stored, and then held", async () => {
    const { keys, keyring, lines, changes } = await replica({
      labels: { team: "a", [KEY_LABEL]: "mine" },
      annotations: { note: "n" },
      commonName: "signet.example",
    });
    await vi.advanceTimersByTimeAsync(DAY_MS);
    expect([posts(), keyring.keys.length, changes()]).toEqual([0, 0, 0]);
    keys.lead();
    await until(() => keyring.newest !== null);
    const name = keyName(PREFIX, null);
    expect(names()).toEqual([name]);
    expect(server.objects.get(`${SECRETS}/${name}`)).toMatchObject({
      type: "kubernetes.io/tls",
      metadata: { labels: { team: "a", [KEY_LABEL]: "active" }, annotations: { note: "n" } },
    });
    expect(server.seen.find(({ method }) => method === "POST")?.query).toEqual({
      fieldManager: "signet-controller",
    });
    const { certificate } = keyring.newest ?? {};
    expect([certificate?.notBefore, certificate?.notAfter]).toEqual([
      new Date(NOW.getTime() + DAY_MS),
      new Date(NOW.getTime() + 11 * DAY_MS),
    ]);
    expect(changes()).toBe(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      msg: "sealing key created",
      secret: `signet/${name}`,
      fingerprint: certificate?.fingerprint,
    });
    // Our own event of the watch is no news.
    await pass(90_000, 30_000);
    expect([posts(), changes(), messages(lines).slice(1)]).toEqual([
      1,
      1,
      ["the first sealing key"],
    ]);
  });

  it.each<[string, () => void, () => void]>([
    [
      "that cannot be stored",
      () => {
        server.always("POST", SECRETS, refuse(500, "InternalError"));
      },
      () => {
        server.always("POST", SECRETS, undefined);
      },
    ],
    [
      "that may not be stored, since the replica does not lead any more",
      () => {
        leads = false;
      },
      () => {
        leads = true;
      },
    ],
  ])("%s is not held, and tried again five seconds later", async (_what, hinder, allow) => {
    hinder();
    const { keys, keyring, lines } = await replica({}, () => {
      if (!leads) throw new ApiError(0, "NotLeader", "follows");
    });
    keys.lead();
    await until(() => lines.length === 1);
    expect(messages(lines)).toEqual(["sealing key could not be created, retrying"]);
    expect([keyring.keys.length, names()]).toEqual([0, []]);
    allow();
    await vi.advanceTimersByTimeAsync(4_999);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await until(() => keyring.newest !== null);
    expect(names()).toEqual([keyName(PREFIX, null)]);
  });

  it("has one name for all, so that of replicas which all lead one makes it", async () => {
    const both = [await replica(), await replica()];
    for (const { keys } of both) keys.lead();
    await until(() => both.every(({ keyring }) => keyring.newest !== null));
    const [fingerprint, other] = both.map(({ keyring }) => keyring.newest?.certificate.fingerprint);
    expect(fingerprint).toBe(other);
    await until(() => posts() === 2);
    await pass(60_000, 30_000);
    expect([posts(), names()]).toEqual([2, [keyName(PREFIX, null)]]);
  });

  it("takes another name where a retired key has the first", async () => {
    const taken = keyName(PREFIX, null);
    await stored(taken, DAY_MS, { labels: { [KEY_LABEL]: "retired" } });
    const { keys, keyring } = await replica();
    expect(keyring.keys).toEqual([]);
    keys.lead();
    await until(() => keyring.newest !== null);
    expect(names()).toEqual([taken, keyName(PREFIX, null, 1)]);
    expect(keyring.newest?.name).toBe(keyName(PREFIX, null, 1));
  });
});

describe("the next key", () => {
  it("gets a name of chance where somebody took all that follow from the key before", async () => {
    await stored("old", DAY_MS);
    const { keys, keyring } = await replica();
    const old = keyring.newest;
    const taken = Array.from({ length: 100 }, (_, attempt) => keyName(PREFIX, old, attempt));
    for (const name of taken) server.put(`${SECRETS}/${name}`, { metadata: { name } });
    keys.lead();
    keys.request();
    await until(() => keyring.newest !== old && keyring.newest !== null);
    expect(taken).not.toContain(keyring.newest?.name);
    expect(keyring.newest?.name).toMatch(/^sealed-secrets-key[a-z0-9]{16}$/);
  });

  it("is made when the newest has the age for it, not before, and older ones stay", async () => {
    await stored("old", 29 * DAY_MS);
    const { keys, keyring } = await replica({
      renewal: { renewAfterMs: 30 * DAY_MS, cutoff: null },
    });
    expect(keys.renewalAt).toEqual(new Date(NOW.getTime() + DAY_MS));
    keys.lead();
    await pass(DAY_MS - HOUR_MS, HOUR_MS);
    expect(posts()).toBe(0);
    await vi.advanceTimersByTimeAsync(HOUR_MS);
    await until(() => keyring.keys.length === 2);
    expect(keyring.keys.map(({ name }) => name)).toEqual([keyring.newest?.name, "old"]);
    expect(keys.renewalAt).toEqual(new Date(NOW.getTime() + 31 * DAY_MS));
    await pass(DAY_MS, HOUR_MS);
    expect(posts()).toBe(1);
  });

  it("is made at the cutoff, once", async () => {
    const cutoff = new Date(NOW.getTime() + 2 * HOUR_MS);
    await stored("old", DAY_MS);
    const { keys, keyring } = await replica({ renewal: { renewAfterMs: 0, cutoff } });
    keys.lead();
    await pass(2 * HOUR_MS - 60_000, 60_000);
    expect([posts(), keys.renewalAt]).toEqual([0, cutoff]);
    await vi.advanceTimersByTimeAsync(60_000);
    await until(() => keyring.keys.length === 2);
    expect(keys.renewalAt).toBeNull();
    await pass(DAY_MS, HOUR_MS);
    expect(posts()).toBe(1);
  });

  it("does not follow within the hour, whatever the wall clock says", async () => {
    await stored("old", DAY_MS);
    const { keys, keyring, ahead } = await replica({
      renewal: { renewAfterMs: 30 * DAY_MS, cutoff: null },
    });
    keys.lead();
    ahead.wall = 40 * DAY_MS;
    await vi.advanceTimersByTimeAsync(30_000);
    await until(() => keyring.keys.length === 2);
    ahead.wall = 80 * DAY_MS;
    await pass(HOUR_MS - 30_000, 30_000);
    expect(posts()).toBe(1);
    await vi.advanceTimersByTimeAsync(30_000);
    await until(() => keyring.keys.length === 3);
  });

  it("is made at once when asked for, newer than one of the same second", async () => {
    await stored("old", 0);
    const { keys, keyring } = await replica();
    keys.lead();
    keys.request();
    // Asked for twice before it is there, it is one.
    keys.request();
    await until(() => keyring.keys.length === 2);
    expect(keyring.newest?.certificate.notBefore).toEqual(new Date(NOW.getTime() + 1_000));
    await pass(60_000, 30_000);
    expect(posts()).toBe(1);
  });

  it("is the leader's to make, also when asked for", async () => {
    await stored("old", 0);
    const { keys, lines } = await replica();
    keys.request();
    keys.lead();
    await pass(60_000, 30_000);
    expect([posts(), messages(lines)]).toEqual([
      0,
      [
        "new sealing key requested, but this replica is a follower: ask the leader",
        "the active sealing key changed",
      ],
    ]);
  });

  it("is asked for by an annotation on the newest, and by none on another", async () => {
    const annotations = { [RENEW_ANNOTATION]: "now" };
    await stored("older", 2 * DAY_MS, { annotations });
    const old = await stored("old", DAY_MS);
    const { keys, keyring } = await replica();
    keys.lead();
    await pass(60_000, 30_000);
    expect(posts()).toBe(0);
    const all = { ...(metadataOf(old)["annotations"] as JsonObject), ...annotations };
    server.put(`${SECRETS}/old`, { ...old, metadata: { ...metadataOf(old), annotations: all } });
    await until(() => keyring.keys.length === 3);
    await pass(60_000, 30_000);
    expect(posts()).toBe(1);
  });

  it("replaces one that is marked compromised, which still opens", async () => {
    const old = await stored("old", DAY_MS);
    const { keys, keyring, changes } = await replica();
    keys.lead();
    const labels = { [KEY_LABEL]: "compromised" };
    server.put(`${SECRETS}/old`, { ...old, metadata: { ...metadataOf(old), labels } });
    await until(() => keyring.keys.length === 2);
    expect(keyring.keys.map(({ name, compromised }) => [name, compromised])).toEqual([
      [keyring.newest?.name, false],
      ["old", true],
    ]);
    // The mark, and the successor.
    expect(changes()).toBe(2);
  });
});

describe("the keys that are held", () => {
  it("are those with the label, and the one from before there was a label", async () => {
    await stored("labelled", DAY_MS);
    await stored(PREFIX, 2 * DAY_MS, { labels: {} });
    await stored("unlabelled", DAY_MS, { labels: {} });
    await stored("retired", DAY_MS, { labels: { [KEY_LABEL]: "retired" } });
    const { keyring } = await replica();
    expect(keyring.keys.map(({ name }) => name)).toEqual(["labelled", PREFIX]);
  });

  it("follow what others make and delete, also while this replica does not lead", async () => {
    await stored("old", DAY_MS - HOUR_MS);
    const { keys, keyring } = await replica({
      renewal: { renewAfterMs: DAY_MS, cutoff: null },
    });
    keys.lead();
    keys.follow();
    await until(() => server.watches.size === 2);
    await stored("other", 0);
    await until(() => keyring.newest?.name === "other");
    server.remove(`${SECRETS}/old`);
    await until(() => keyring.keys.length === 1);
    await vi.advanceTimersByTimeAsync(30 * DAY_MS);
    expect(names()).toEqual(["other"]);
  });

  it("do not count one that cannot be used, which is reported and read again when it changes", async () => {
    const good = await stored("good", DAY_MS);
    const data = { "tls.crt": "", "tls.key": Buffer.from("hunter2").toString("base64") };
    const bad = await stored("bad", 0);
    server.put(`${SECRETS}/bad`, { ...bad, data });
    const { keys, keyring, lines } = await replica();
    expect([keyring.keys.map(({ name }) => name), keys.malformed]).toEqual([["good"], 1]);
    expect(lines.length).toBe(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "ERROR",
      msg: "sealing key Secret is malformed, skipped",
      secret: "signet/bad",
      field: "tls.key",
    });
    expect(lines[0]).not.toContain("hunter2");
    server.put(`${SECRETS}/bad`, bad);
    await until(() => keyring.newest?.name === "bad");
    expect(keys.malformed).toBe(0);
    expect(keyring.keys.map(({ name }) => name)).toEqual(["bad", metadataOf(good)["name"]]);
  });

  it("cause one warning where they are too short, and are used all the same", async () => {
    const old = await stored("old", DAY_MS);
    const { keyring, shortKeyLines } = await replica();
    expect(shortKeyLines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { level: "WARN", name: "old", bits: BITS, fingerprint: keyring.newest?.fingerprint },
    ]);
    const labels = { [KEY_LABEL]: "compromised" };
    server.put(`${SECRETS}/old`, { ...old, metadata: { ...metadataOf(old), labels } });
    await until(() => keyring.newest === null);
    const pair = await createSealingKey({ bits: 2048, notBefore: NOW, validForMs: DAY_MS });
    server.put(`${SECRETS}/long`, formatKeySecret(pair, { name: "long" }));
    await until(() => keyring.keys.length === 2);
    expect(shortKeyLines.length).toBe(1);
  });

  it("have a post-quantum half where that is asked for, idle where Node cannot open with it", async () => {
    const { keys, keyring, lines } = await replica({ hybrid: true });
    keys.lead();
    await until(() => keyring.newest !== null);
    const [path = ""] = [...server.objects.keys()].filter((each) => each.startsWith(SECRETS));
    const stored = parseSecret(server.objects.get(path) as JsonObject);
    const inSecret = readKeySecret(stored);
    expect(kindsOf(inSecret)).toEqual(["rsa", "hybrid"]);
    expect(inSecret.certificate?.kinds).toEqual(["hybrid", "rsa"]);
    const isNative = nativePrimitives() !== undefined;
    const { newest } = keyring;
    expect(newest && kindsOf(newest)).toEqual(isNative ? ["rsa", "hybrid"] : ["rsa"]);
    expect(newest?.certificate.kinds).toEqual(isNative ? ["hybrid", "rsa"] : ["rsa"]);
    expect(newest?.certificate.pem).toBe(inSecret.certificate?.pem);
    const idle = messages(lines).filter((line) => line.includes("is not used"));
    expect(idle).toHaveLength(isNative ? 0 : 1);
    const check = (): void => {
      checkHybridKeys(true);
    };
    if (isNative) check();
    else expect(check).toThrow(/^--hybrid-keys requires Node 24\.7 or newer/);
    checkHybridKeys(false);
  });

  it("are ordered by the age of their Secrets where that is asked for", async () => {
    const created = (hour: string): JsonObject => ({
      creationTimestamp: `2026-11-24T${hour}:00:00Z`,
    });
    await stored("a", DAY_MS, created("01"));
    await stored("b", 2 * DAY_MS, created("02"));
    const byCertificate = await replica();
    const bySecret = await replica({ order: "SecretCreationTimestamp" });
    expect([byCertificate, bySecret].map(({ keyring }) => keyring.newest?.name)).toEqual([
      "a",
      "b",
    ]);
  });
});

describe("a change of the sealing key while no replica led", () => {
  const since = (day: number): JsonObject => ({
    annotations: { [SEALING_SINCE_ANNOTATION]: `2026-01-0${day}T00:00:00.000Z` },
  });

  it.each([
    ["later than", since(9)],
    ["earlier than", since(1)],
    ["in place of none on", {}],
  ])("is told, though somebody marked the new key %s the former", async (_what, mark) => {
    await stored("former", DAY_MS, since(5));
    await stored("new", 0, mark);
    const { keys, keyring, reasons } = await replica();
    keys.lead();
    await until(() => reasons.length === 1);
    expect([keyring.newest?.name, reasons]).toEqual(["new", ["confirmed"]]);
  });

  it("is told where the former key is gone, and with it the mark", async () => {
    await stored("older", DAY_MS);
    ledBefore = true;
    const { keys, reasons } = await replica();
    keys.lead();
    await until(() => reasons.length === 1);
    expect(reasons).toEqual(["removed"]);
  });
});

describe("the key that the Lease says sealed before", () => {
  const gone = `SHA256:${"g".repeat(43)}`;
  const marked = { annotations: { [SEALING_SINCE_ANNOTATION]: "2026-01-09T00:00:00.000Z" } };
  beforeEach(() => {
    ledBefore = true;
  });

  it("tells of a change although it is gone, and the new key is marked as if it had sealed", async () => {
    await stored("planted", 0, marked);
    sealedBefore = gone;
    const { keys, keyring, reasons, lines } = await replica();
    keys.lead();
    await until(() => reasons.length === 1);
    expect(reasons).toEqual(["removed"]);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "WARN", before: gone });
    await until(() => keys.sealingKey === keyring.newest?.fingerprint);
    keys.follow();
    expect(keys.sealingKey).toBeUndefined();
  });

  it("makes no alarm where no mark may be written", async () => {
    await stored("own", DAY_MS);
    server.always("PUT", `${SECRETS}/own`, refuse(403, "Forbidden"));
    const first = await replica();
    sealedBefore = first.keyring.newest?.fingerprint;
    const { keys, reasons, lines } = await replica();
    keys.lead();
    await until(() => lines.length === 1);
    await pass(60_000, 30_000);
    expect([messages(lines), reasons]).toEqual([
      ["no permission to annotate key Secrets: grant get and update on secrets, and restart"],
      [],
    ]);
  });

  it("does not hide a change that a mark tells of", async () => {
    await stored("former", DAY_MS, marked);
    await stored("new", 0, marked);
    const first = await replica();
    sealedBefore = first.keyring.newest?.fingerprint;
    const { keys, reasons } = await replica();
    keys.lead();
    await until(() => reasons.length === 1);
    expect(reasons).toEqual(["confirmed"]);
  });
});

describe("a key that nobody vouched for", () => {
  const unconfirmed = { annotations: { [CONFIRMED_ANNOTATION]: "SHA256:of-another-key" } };

  it("only opens, however new it is, until it is confirmed; all of that is told", async () => {
    await stored("own", DAY_MS);
    const { keys, keyring, lines, reasons } = await replica();
    keys.lead();
    await until(() => reasons.length === 1);
    const planted = await stored("planted", -400_000 * DAY_MS, unconfirmed);
    await until(() => messages(lines).length === 2);
    expect(keyring.keys.map((key) => [key.name, keyring.stateOf(key)])).toEqual([
      ["planted", "unconfirmed"],
      ["own", "sealing"],
    ]);
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({
      level: "WARN",
      secret: "signet/planted",
      hint: "signet keys adopt planted",
    });
    const fingerprint = keyring.keys[0]?.fingerprint ?? "";
    server.put(`${SECRETS}/planted`, {
      ...planted,
      metadata: { ...metadataOf(planted), annotations: { [CONFIRMED_ANNOTATION]: fingerprint } },
    });
    await until(() => reasons.length === 2);
    expect([keyring.newest?.name, ...reasons]).toEqual(["planted", "first", "confirmed"]);
    const since = (name: string): unknown =>
      asObject(metadataOf(server.objects.get(`${SECRETS}/${name}`) ?? {})["annotations"] ?? null)?.[
        SEALING_SINCE_ANNOTATION
      ];
    await until(() => since("own") === undefined && since("planted") !== undefined);
    await pass(60_000, 30_000);
    server.remove(`${SECRETS}/planted`);
    await until(() => reasons.length === 3);
    expect([keyring.newest?.name, reasons[2]]).toEqual(["own", "removed"]);
  });

  it("does not keep the controller from making its own", async () => {
    const key = await stored("old", DAY_MS);
    await stored("planted", 0, unconfirmed);
    const { keys, keyring, reasons } = await replica();
    keys.lead();
    server.put(`${SECRETS}/old`, {
      ...key,
      metadata: { ...metadataOf(key), labels: { [KEY_LABEL]: "compromised" } },
    });
    await until(() => keyring.newest !== null && reasons.length > 0);
    expect(keyring.newest?.name).toBe(keyName(PREFIX, keyring.keys[1] ?? null));
  });

  it("of the future is neither the newest nor a reason to renew no more", async () => {
    const creationTimestamp = NOW.toISOString();
    await stored("future", -400_000 * DAY_MS, { creationTimestamp });
    const { keyring, keys } = await replica({ renewal: { renewAfterMs: DAY_MS, cutoff: null } });
    expect(keyring.newest?.orderedAt).toEqual(NOW);
    expect(keys.renewalAt).toEqual(new Date(NOW.getTime() + DAY_MS));
  });
});

describe("the key of an earlier controller", () => {
  const NAME = "sealed-secrets-keyabcde";
  const LEASE = "/apis/coordination.k8s.io/v1/namespaces/signet/leases/signet-controller";
  const writtenBy = (manager: string): JsonObject[] => [
    { manager, fieldsV1: { "f:data": { ".": {}, "f:tls.key": {} } } },
  ];
  /** As the original makes it. */
  const bare = {
    annotations: { [CONFIRMED_ANNOTATION]: undefined as unknown as string },
    generateName: PREFIX,
    managedFields: writtenBy("controller"),
  };

  const annotationOf = (name: string): unknown => {
    const { annotations = null } = metadataOf(server.objects.get(`${SECRETS}/${name}`) ?? {});
    return asObject(annotations)?.[CONFIRMED_ANNOTATION];
  };

  /** The states after this replica has led: where nothing is inherited, it made a key of its own. */
  async function statesOnceLed({ keys, keyring, reasons }: Replica): Promise<string[]> {
    keys.lead();
    await until(() => reasons.length === 1);
    return keyring.keys.map((key) => `${key.name} ${keyring.stateOf(key)}`).sort();
  }

  it.each<[string, JsonObject]>([
    ["the original", bare],
    [
      "a person",
      { ...bare, generateName: undefined as never, managedFields: writtenBy("kubectl") },
    ],
  ])("goes on sealing if it is the only one, and %s made it", async (_who, metadata) => {
    await stored(NAME, 2 * DAY_MS, metadata);
    const first = await replica();
    // A follower seals with it as well, and leaves the confirmation to the leader.
    expect([first.keyring.newest?.name, annotationOf(NAME)]).toEqual([NAME, undefined]);
    expect(await statesOnceLed(first)).toEqual([`${NAME} sealing`]);
    expect([posts(), first.reasons, annotationOf(NAME)]).toEqual([
      0,
      ["first"],
      first.keyring.newest?.fingerprint,
    ]);
    expect(messages(first.lines)).toEqual([
      "took over the sealing key of an earlier controller",
      "the active sealing key changed",
    ]);
  });

  it("from before there was a label goes on sealing as well", async () => {
    await stored(PREFIX, 3 * DAY_MS, {
      ...bare,
      labels: {},
      managedFields: writtenBy("kubectl"),
    });
    expect(await statesOnceLed(await replica())).toEqual([`${PREFIX} sealing`]);
  });

  it.each<[string, JsonObject]>([
    ["another", { labels: { [KEY_LABEL]: "active" } }],
    ["one that is compromised", { labels: { [KEY_LABEL]: "compromised" } }],
    ["one that is out of use", { labels: { [KEY_LABEL]: "retired" } }],
    ["one with an empty label", { labels: { [KEY_LABEL]: "" } }],
    ["one from before there was a label", { name: PREFIX, labels: {} }],
  ])("opens only where there is %s", async (_what, metadata) => {
    await stored(NAME, 2 * DAY_MS, bare);
    const name = (metadata["name"] as string | undefined) ?? "sealed-secrets-keyfghij";
    await stored(name, -400_000 * DAY_MS, { ...bare, ...metadata });
    const first = await replica();
    expect(first.keyring.newest).toBeNull();
    const states = await statesOnceLed(first);
    expect(states).toContain(`${NAME} unconfirmed`);
    expect(states.filter((state) => state.endsWith(" sealing"))).toEqual([
      `${first.keyring.newest?.name ?? ""} sealing`,
    ]);
    expect([NAME, name]).not.toContain(first.keyring.newest?.name);
    expect([annotationOf(NAME), annotationOf(name)]).toEqual([undefined, undefined]);
    expect(first.reasons).toEqual(["created"]);
  });

  it("opens only where there is a key Secret that cannot be read", async () => {
    await stored(NAME, 2 * DAY_MS, bare);
    const metadata = { name: "broken", labels: { [KEY_LABEL]: "active" } };
    server.put(`${SECRETS}/broken`, { metadata, data: { "tls.key": "" } });
    expect(await statesOnceLed(await replica())).toContain(`${NAME} unconfirmed`);
  });

  it.each<[string, JsonObject]>([
    ["owned", { ownerReferences: [{ apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret" }] }],
    [
      "annotated",
      { annotations: { "sealedsecrets.bitnami.com/skip-set-owner-references": "true" } },
    ],
    ["marked", { annotations: { [CONFIRMED_ANNOTATION]: "" } }],
    ["restored", { annotations: { [RESTORED_ANNOTATION]: "SHA256:x" } }],
    ["misnamed", { generateName: "sealed-secrets-key" }],
    ["named", { generateName: undefined as never }],
    ["of nobody", { managedFields: undefined as never }],
    ["of nobody's data", { managedFields: [{ manager: "kubectl-label", fieldsV1: {} }] }],
    ["compromised", { labels: { [KEY_LABEL]: "compromised" } }],
  ])("is not one that is %s", async (what, metadata) => {
    const name = what === "misnamed" ? "sealed-secrets-key-of-a-tenant" : NAME;
    await stored(name, 0, {
      ...bare,
      ...metadata,
      ...{ annotations: { ...bare.annotations, ...(metadata["annotations"] as JsonObject) } },
    });
    const first = await replica();
    await statesOnceLed(first);
    expect([first.reasons, first.keyring.keys.length]).toEqual([["created"], 2]);
    expect(first.keyring.newest?.name).not.toBe(name);
    expect(messages(first.lines)).toContain(
      "no sealing key was taken over: existing keys open values but do not seal",
    );
  });

  it("no longer seals once a person takes the confirmation back", async () => {
    const original = await stored(NAME, 2 * DAY_MS, bare);
    const { keys, keyring, reasons } = await replica();
    keys.lead();
    await until(() => reasons.length === 1 && Boolean(annotationOf(NAME)));
    await pass(60_000, 30_000);
    server.put(`${SECRETS}/${NAME}`, original);
    await until(() => reasons.length === 2);
    expect([keyring.newest?.name === NAME, annotationOf(NAME)]).toEqual([false, undefined]);
  });

  it("no longer seals for a follower once the leader has decided otherwise", async () => {
    await stored(NAME, 2 * DAY_MS, bare);
    const { keyring } = await replica();
    expect(keyring.newest?.name).toBe(NAME);
    await stored("by-the-leader", DAY_MS);
    await until(() => keyring.newest?.name === "by-the-leader");
    server.remove(`${SECRETS}/by-the-leader`);
    await until(() => keyring.keys.length === 1);
    expect(keyring.newest).toBeNull();
  });

  it("seals also where the rights to confirm it are missing, as with the original's", async () => {
    await stored(NAME, 2 * DAY_MS, bare);
    server.always("PUT", `${SECRETS}/${NAME}`, refuse(403, "Forbidden"));
    server.always("GET", LEASE, refuse(403, "Forbidden"));
    const { keys, keyring, lines } = await replica();
    keys.lead();
    await until(() => lines.length === 3);
    await pass(90_000, 30_000);
    expect([keyring.newest?.name, posts(), messages(lines)]).toEqual([
      NAME,
      0,
      [
        "took over the sealing key of an earlier controller",
        "no permission to annotate key Secrets: grant get and update on secrets, and restart",
        "the active sealing key changed",
      ],
    ]);
  });

  it("is none where this controller led before, although every confirmed key was deleted", async () => {
    await stored(NAME, 2 * DAY_MS, bare);
    server.put(LEASE, { metadata: { name: "signet-controller", namespace: "signet" } });
    expect(await statesOnceLed(await replica())).toContain(`${NAME} unconfirmed`);
  });

  it("is judged only once it is known whether this controller led before", async () => {
    await stored(NAME, 2 * DAY_MS, bare);
    server.put(LEASE, { metadata: { name: "signet-controller", namespace: "signet" } });
    server.once("GET", LEASE, refuse(500, "InternalError"));
    const asked = (): number => server.seen.filter(({ path }) => path === LEASE).length;
    const starting = replica();
    await until(() => asked() === 1 && vi.getTimerCount() > 0);
    await vi.advanceTimersByTimeAsync(1_000);
    const { keyring, lines } = await starting;
    expect([keyring.newest, asked(), messages(lines)[0]]).toEqual([
      null,
      2,
      "existing sealing keys could not be checked, retrying",
    ]);
  });

  it("is none while another was ever confirmed, also one that is out of use", async () => {
    await stored(NAME, 2 * DAY_MS, bare);
    await stored("own", DAY_MS, { labels: { [KEY_LABEL]: "retired" } });
    expect(await statesOnceLed(await replica())).toContain(`${NAME} unconfirmed`);
  });
});

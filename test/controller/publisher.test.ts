// The published certificates over a real socket: written once, kept right, and left alone by others.
// SPEC.md, "Published certificates".
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLog } from "../../controller/log.ts";
import { Publisher } from "../../controller/publisher.ts";
import { ApiError } from "../../host/kubernetes/apiclient.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { readPublished } from "../../shared/keys/publishedcertificates.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { type ApiServer, refuse, startApiServer } from "./apiserver.ts";
import { stopClocks, until } from "./waiting.ts";

vi.mock("node:timers/promises", async () => ({ setTimeout: (await import("./waiting.ts")).sleep }));

const PLACE = { namespace: "signet", name: "s-certificates" };
const PATH = "/api/v1/namespaces/signet/configmaps";
const OBJECT = `${PATH}/s-certificates`;
const NOW = new Date("2026-11-24T12:00:00Z");

let server: ApiServer;
let stop: AbortController;
let publishers: Publisher[];
let lines: string[];
beforeEach(async () => {
  stopClocks(NOW);
  server = await startApiServer();
  stop = new AbortController();
  [publishers, lines] = [[], []];
});
afterEach(async () => {
  stop.abort();
  for (const publisher of publishers) publisher.follow();
  vi.useRealTimers();
  await server.close();
});

async function key(name: string, ageMs: number, more: Partial<SealingKey> = {}) {
  const notBefore = new Date(NOW.getTime() - ageMs);
  const pair = await createSealingKey({ bits: 1024, validForMs: 1e12, commonName: "", notBefore });
  const certificate = parseCertificate(pair.certificatePem);
  return {
    name,
    fingerprint: certificate.fingerprint,
    certificate,
    createdAt: notBefore,
    orderedAt: notBefore,
    compromised: false,
    confirmed: true,
    ...more,
  } as unknown as SealingKey;
}

/** A publisher of these keys that watches. */
function publisher(keyring: Keyring, guard: () => void = () => undefined): Publisher {
  const made = new Publisher(PLACE, {
    client: server.client(),
    keyring,
    log: createLog("INFO", "json", (line) => lines.push(line)),
    clock: () => Date.now(),
    guard,
  });
  publishers.push(made);
  void made.run(stop.signal);
  return made;
}

const live = (): JsonObject | undefined => server.objects.get(OBJECT);
const published = (): { current: string; former: string } => readPublished(live() ?? {});
const isPublished = (): boolean => {
  try {
    return published().current !== "";
  } catch {
    return false;
  }
};
const writes = (): string[] =>
  server.seen.filter(({ method }) => method !== "GET").map(({ method }) => method);

describe("the leader", () => {
  it("publishes the certificate that seals, and those of former keys, newest first", async () => {
    const [newest, old, oldest] = [await key("c", 1), await key("b", 2), await key("a", 3)];
    const unconfirmed = await key("u", 0, { confirmed: false });
    const compromised = await key("x", 4, { compromised: true });
    publisher(new Keyring([oldest, newest, old, unconfirmed, compromised])).lead();
    await until(isPublished);
    const pem = ({ certificate }: SealingKey): string => certificate?.pem ?? "";
    expect(published()).toEqual({
      current: pem(newest),
      former: pem(old) + pem(oldest) + pem(compromised),
    });
    expect(writes()).toEqual(["POST", "PUT"]);
  });

  it("fills the empty one of the chart, and keeps what others say of it", async () => {
    const metadata = { labels: { app: "signet" }, annotations: { note: "theirs" } };
    server.put(OBJECT, { metadata });
    publisher(new Keyring([await key("a", 1)])).lead();
    await until(isPublished);
    const { labels, annotations } = metadataOf(live() ?? {});
    expect(labels).toEqual({ app: "signet" });
    expect(asObject(annotations ?? null)).toMatchObject({ note: "theirs" });
    expect(writes()).toEqual(["PUT"]);
  });

  it("follows the keys, and writes nothing where nothing changed", async () => {
    const keyring = new Keyring([await key("a", 2)]);
    const made = publisher(keyring);
    made.lead();
    await until(isPublished);
    const before = writes().length;
    made.look();
    made.look();
    const newest = await key("b", 1);
    keyring.replace([...keyring.keys, newest]);
    made.look();
    await until(() => published().current === newest.certificate?.pem);
    expect(writes()).toHaveLength(before + 1);
  });

  it("reverts edits, and deletions", async () => {
    publisher(new Keyring([await key("a", 1)])).lead();
    await until(isPublished);
    const { current } = published();
    const edits: JsonObject[] = [
      { data: { "cert.pem": "another" } },
      { binaryData: { "cert.pem": "YQ==" } },
      { immutable: true, data: {} },
    ];
    for (const edit of edits) {
      // So that it is none who keeps editing.
      await vi.advanceTimersByTimeAsync(60_000);
      server.put(OBJECT, { ...live(), ...edit });
      await until(() => isPublished() && live()?.["immutable"] !== true);
      await until(() => published().current === current && live()?.["binaryData"] === undefined);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    server.remove(OBJECT);
    await until(isPublished);
    expect(published().current).toBe(current);
  });

  it("answers someone who keeps editing ever more slowly", async () => {
    publisher(new Keyring([await key("a", 1)])).lead();
    await until(isPublished);
    for (let round = 0; round < 3; round++) {
      server.put(OBJECT, { ...live(), data: {} });
      await until(isPublished);
    }
    const before = writes().length;
    server.put(OBJECT, { ...live(), data: {} });
    await until(() => [...server.watches].length === 1);
    expect([writes().length, isPublished()]).toEqual([before, false]);
    await vi.advanceTimersByTimeAsync(1_000);
    await until(isPublished);
  });
});

it("a follower writes nothing, nor does a leader that was replaced", async () => {
  const keyring = new Keyring([await key("a", 1)]);
  publisher(keyring);
  const replaced = publisher(keyring, () => {
    throw new ApiError(0, "NotLeader", "this replica is no longer the leader");
  });
  replaced.lead();
  await until(() => lines.some((line) => line.includes("no longer the leader")));
  expect(live()).toBeUndefined();
});

it("without permission it says so once, and publishes when it is granted", async () => {
  server.always("GET", PATH, refuse(403, "Forbidden"));
  publisher(new Keyring([await key("a", 1)])).lead();
  await until(() => lines.length > 0);
  await vi.advanceTimersByTimeAsync(60_000);
  await until(() => server.seen.length > 1);
  server.always("GET", PATH, undefined);
  server.once("POST", PATH, refuse(403, "Forbidden"));
  await vi.advanceTimersByTimeAsync(60_000);
  await until(() => writes().length === 1);
  expect(lines.filter((line) => line.includes("no permission to publish"))).toHaveLength(1);
  await until(() => vi.getTimerCount() > 0);
  await vi.advanceTimersByTimeAsync(60_000);
  await until(isPublished);
});

describe("a reader", () => {
  const data = { "cert.pem": "PEM" };
  it.each<[string, JsonObject, string]>([
    ["one that is empty", { metadata: { uid: "1" } }, "has not published a certificate"],
    ["one without a mark", { metadata: { uid: "1" }, data }, "has not published a certificate"],
    [
      "a copy",
      { metadata: { uid: "1", annotations: { "kube-signet/published-as": "2" } }, data },
      "a copy",
    ],
    [
      "a copy without a UID",
      { metadata: { annotations: { "kube-signet/published-as": "2" } }, data },
      "a copy",
    ],
  ])("takes nothing from %s", (_, object, message) => {
    expect(() => readPublished(object)).toThrow(message);
  });
});

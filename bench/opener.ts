// A process that measures how fast our keyring opens values with the Node that runs it.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { readKeyFile, readKeySecret } from "../shared/keys/keyfile.ts";
import type { SealingKeyPair } from "../shared/keys/keypair.ts";
import { Keyring } from "../shared/keys/keyring.ts";
import type { KeyService } from "../shared/keys/keyservice.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import {
  formatWrappedKeySecret,
  openWrappedKey,
  plainSecret,
  readWrappedKey,
  wrapKey,
} from "../shared/keys/wrappedkey.ts";
import { parseSecret } from "../shared/kubernetes/secret.ts";
import { parseSealedSecret, type SealedSecret } from "../shared/sealing/sealedsecret.ts";
import { unseal } from "../shared/sealing/unseal.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";

/** The content of the process's input file. */
export interface OpenerWork {
  readonly keys: readonly SealingKeyPair[];
  readonly cases: readonly OpenerCase[];
  readonly rounds: number;
}

interface OpenerCase {
  readonly name: string;
  /** The number of keys in the keyring. */
  readonly keys: number;
  readonly sealed: readonly JsonObject[];
  /** How long to open the values repeatedly; 0 to open them only once. */
  readonly forMs: number;
  /** Whether the keys come out of wrapped key Secrets, as the controller reads them. */
  readonly wrapped?: boolean;
}

/** Values opened in each round: per second by the clock, and per second of the processor. */
interface Rates {
  readonly perSecond: number[];
  readonly perCpuSecond: number[];
}

/** By case. The process prints it as JSON. */
export type OpenerResult = Record<string, Rates>;

/** The controller's default: four per core. */
const AT_ONCE = 4 * availableParallelism();

/** Measures the cases alternately, each with a keyring that has already used every key. */
export async function runOpener(file: string): Promise<OpenerResult> {
  const work = JSON.parse(readFileSync(file, "utf8")) as OpenerWork;
  const plain = work.keys.flatMap(({ privateKeyPem, certificatePem }, index) =>
    readKeyFile(privateKeyPem, `key-${index}`).map((key) => ({
      ...key,
      certificate: parseCertificate(certificatePem),
      orderedAt: new Date(index),
    })),
  );
  const most = Math.max(0, ...work.cases.map(({ keys, wrapped }) => (wrapped === true ? keys : 0)));
  const wrapped = await Promise.all(work.keys.slice(0, most).map(unwrapped));
  const prepared = work.cases.map((each) => ({
    ...each,
    keyring: new Keyring((each.wrapped === true ? wrapped : plain).slice(0, each.keys)),
    sealed: each.sealed.map((object) => parseSealedSecret(object)),
  }));
  // Make the keyring import each key. The stamped cases contain values for every key.
  for (const { keyring, keys } of prepared) {
    const all = prepared.find((each) => each.keys === keys)?.sealed ?? [];
    await openAll(keyring, all, 0);
  }
  const rates: OpenerResult = {};
  for (let round = 0; round < work.rounds; round++) {
    for (const { name, keyring, sealed, forMs } of prepared) {
      const all = (rates[name] ??= { perSecond: [], perCpuSecond: [] });
      const cpu = process.cpuUsage();
      const startedMs = performance.now();
      const opened = await openAll(keyring, sealed, forMs);
      const { user, system } = process.cpuUsage(cpu);
      all.perSecond.push((opened * 1000) / (performance.now() - startedMs));
      all.perCpuSecond.push((opened * 1_000_000) / (user + system));
    }
  }
  return rates;
}

/** A key that went through a wrapped key Secret. The service is in this process: it is asked once. */
async function unwrapped(pair: SealingKeyPair, index: number): Promise<SealingKey> {
  const service: KeyService = {
    provider: "kmsv2",
    describe: () => "in memory",
    wrap: (dataKey) => Promise.resolve({ key: "bench", ciphertext: Uint8Array.from(dataKey) }),
    unwrap: ({ ciphertext }) => Promise.resolve(Uint8Array.from(ciphertext)),
  };
  const metadata = { name: `key-${index}`, namespace: "kube-system" };
  const { fingerprint } = parseCertificate(pair.certificatePem);
  const context = { ...metadata, fingerprint };
  const moment = { since: new Date(), created: new Date(index * 1000) };
  const wrapped = await wrapKey(pair.privateKeyPem, context, service, moment);
  const secret = parseSecret(
    formatWrappedKeySecret(
      { certificatePem: pair.certificatePem, wrapped },
      metadata,
      "active",
      {},
      {},
    ),
  );
  const read = readWrappedKey(secret);
  return readKeySecret(plainSecret(secret, read, await openWrappedKey(read, context, service)));
}

/** Opens all values at least once, and repeatedly for `forMs`. Returns how many were opened. */
async function openAll(
  keyring: Keyring,
  sealed: readonly SealedSecret[],
  forMs: number,
): Promise<number> {
  let next = 0;
  let opened = 0;
  const render = (): Map<string, Uint8Array> => new Map();
  const started = performance.now();
  const work = async (): Promise<void> => {
    while (next < sealed.length || performance.now() - started < forMs) {
      const object = sealed[next++ % sealed.length];
      if (object === undefined) return;
      const { secret } = await unseal(object, keyring, { render });
      opened += secret.data.size;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return opened;
}

// Loads and watches the sealing keys in the cluster, creates the first one, and renews them.
// SPEC.md, "Sealing keys and certificates", "Renewal".

import { createHash, randomBytes } from "node:crypto";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { createSealingKey } from "../shared/keys/keypair.ts";
import { SignetError } from "../shared/errors.ts";
import {
  CONFIRMED_ANNOTATION,
  formatKeySecret,
  HELD_KEY_LABELS,
  KEY_LABEL,
  type KeyOrder,
  readKeySecret,
  RENEW_ANNOTATION,
} from "../shared/keys/keyfile.ts";
import { type Keyring, nextNotBefore } from "../shared/keys/keyring.ts";
import { kindsOf, maySeal, type SealingKey } from "../shared/keys/sealingkey.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { parseSecret } from "../shared/kubernetes/secret.ts";
import { Cache, objectKey, text } from "./cache.ts";
import { FIELD_MANAGER } from "./decide.ts";
import { ApiError } from "../host/kubernetes/apiclient.ts";
import { KeyAnnotations } from "./keyannotations.ts";
import { KeyChanges, type KeyChangesWiring, SEALING_SINCE_ANNOTATION } from "./keychanges.ts";
import type { RecoveryConfigMaps } from "./recoveryconfigmaps.ts";
import { ShortKeys } from "./shortkeys.ts";
import { TakeOver } from "./takeover.ts";
import { UsableHalves } from "./usablehalves.ts";

export interface KeyOptions {
  /** The namespace of the key Secrets. */
  readonly namespace: string;
  /** Prefix of a new key Secret's name; also the full name of the single key used before 2019. */
  readonly prefix: string;
  /** The name of the Lease by which replicas elect their leader. */
  readonly leaseName: string;
  /** Size of the RSA modulus of a new key, in bits. */
  readonly bits: number;
  /** Whether a new key has a post-quantum half. */
  readonly hybrid: boolean;
  readonly validForMs: number;
  readonly commonName: string;
  readonly order: KeyOrder;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly renewal: RenewalOptions;
}

interface RenewalOptions {
  /** Age of the newest key at which the controller creates the next one; 0 for never. */
  readonly renewAfterMs: number;
  /** The time at which the controller replaces the newest key, if it is older; null for never. */
  readonly cutoff: Date | null;
}

export interface KeysWiring extends KeyChangesWiring {
  readonly keyring: Keyring;
  /** Undefined where no recovery recipients are named. */
  readonly recovery?: RecoveryConfigMaps | undefined;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Called after the set of keys has changed. */
  readonly onChange: () => void;
}

/** A key Secret after parsing. */
interface Found {
  /** Null if the Secret is malformed. */
  readonly key: SealingKey | null;
  /** Whether the renew annotation is set. */
  readonly renew: boolean;
  readonly sealingSince: string;
}

/** Maximum time between two checks, because timers do not notice when the system clock is set. */
const LOOK_MS = 30_000;
const RETRY_MS = 5_000;
/** Minimum time between keys created due to age or cutoff, even if clocks in the cluster differ. */
const MIN_APART_MS = 3_600_000;
/** The alphabet of generated names in Kubernetes, without vowels so that no words appear. */
const NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const NAME_TRIES = 20;
const RANDOM_LENGTH = 16;

/**
 * Returns the milliseconds until `newest` is due for renewal: 0 for now, Infinity for never.
 * @internal for its test
 */
export function keyDueInMs(
  newest: SealingKey | null,
  now: Date,
  { renewAfterMs, cutoff }: RenewalOptions,
): number {
  if (newest === null) return 0;
  const since = newest.orderedAt.getTime();
  const byAge = renewAfterMs > 0 ? since + renewAfterMs : Infinity;
  const byCutoff = cutoff !== null && since < cutoff.getTime() ? cutoff.getTime() : Infinity;
  return Math.max(0, Math.min(byAge, byCutoff) - now.getTime());
}

/**
 * Returns the name of the key Secret that follows `predecessor`. Replicas that create a key at the
 * same time choose the same name, so the API server accepts only the first. `attempt`: increment it
 * if the name is taken.
 * @internal for its test
 */
export function keyName(prefix: string, predecessor: SealingKey | null, attempt = 0): string {
  const fingerprint = predecessor?.fingerprint ?? "first";
  const hash = createHash("sha256").update(`${prefix} ${fingerprint} ${attempt}`).digest();
  return prefix + letters(hash.subarray(0, 5));
}

function letters(bytes: Uint8Array): string {
  return [...bytes].map((byte) => NAME_ALPHABET[byte % NAME_ALPHABET.length]).join("");
}

/** Keeps the keyring in sync with the cluster's key Secrets, and creates keys on the leader. */
export class ClusterKeys {
  readonly #options: KeyOptions;
  readonly #wiring: KeysWiring;
  readonly #labelled: Cache<Found>;
  /** The single key used before 2019, which has no label. */
  readonly #legacy: Cache<Found>;
  readonly #changes: KeyChanges;
  readonly #takeOver: TakeOver;
  readonly #shortKeys: ShortKeys;
  readonly #halves: UsableHalves;
  #held = "";
  #loaded = false;
  #leading = false;
  #createsFirst = false;
  #requested = false;
  /** A look is under way; `again`: the keys changed since it began. */
  #working = false;
  #again = false;
  #createdAtMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KeyOptions, wiring: KeysWiring) {
    this.#options = options;
    this.#wiring = wiring;
    const annotations = new KeyAnnotations(options.namespace, wiring);
    this.#changes = new KeyChanges(options.namespace, wiring, annotations);
    this.#takeOver = new TakeOver(options, wiring, annotations);
    this.#shortKeys = new ShortKeys(wiring.log);
    this.#halves = new UsableHalves(wiring.log);
    const { client, log } = wiring;
    const cacheOptions = {
      keep: (object: JsonObject) => this.#read(object),
      onChange: () => {
        this.#refill();
      },
      log,
    };
    const labelSelector = `${KEY_LABEL} in (${HELD_KEY_LABELS.join(",")})`;
    this.#labelled = new Cache(client, { path: this.#path, labelSelector }, cacheOptions);
    const fieldSelector = `metadata.name=${options.prefix}`;
    const unlabelled = { labelSelector: `!${KEY_LABEL}`, fieldSelector };
    this.#legacy = new Cache(client, { path: this.#path, ...unlabelled }, cacheOptions);
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#options.namespace}/secrets`;
  }

  /** Resolves when all existing keys have been read. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#labelled.start(signal),
      this.#legacy.start(signal),
      this.#wiring.recovery?.start(signal),
    ]);
    if (signal.aborted) return;
    await this.#takeOver.judge(this.#heldKeys(), signal);
    this.#loaded = true;
    this.#refill();
  }

  /** Starts to create keys: the first one, and a new one whenever renewal is due. */
  lead(): void {
    this.#leading = true;
    this.#changes.forget();
    this.#look();
  }

  /**
   * Creates a key if none seals, although this replica may not lead: without a Lease, nobody leads for
   * a while. Replicas choose the same name for it, so only one of their keys is stored.
   */
  createFirst(): void {
    this.#createsFirst = true;
    this.#look();
  }

  /** Stops creating keys, and continues to watch the keys that other replicas create. */
  follow(): void {
    this.#leading = false;
    clearTimeout(this.#timer);
  }

  /** Creates a new key now. If this replica is a follower, only logs a warning. */
  request(): void {
    if (!this.#leading) {
      this.#wiring.log.warn(
        "asked for a new sealing key, but this replica follows: ask the leader",
      );
      return;
    }
    this.#requested = true;
    this.#look();
  }

  /** The fingerprint of the key that seals, once this leader has reported it; else undefined. */
  get sealingKey(): string | undefined {
    return this.#leading ? this.#changes.sealing : undefined;
  }

  /** Number of malformed key Secrets. */
  get malformed(): number {
    return this.#found().filter(({ key }) => key === null).length;
  }

  /** When the next renewal is due; null for never. */
  get renewalAt(): Date | null {
    const now = this.#wiring.now();
    const dueInMs = keyDueInMs(this.#wiring.keyring.newest, now, this.#options.renewal);
    return Number.isFinite(dueInMs) ? new Date(now.getTime() + dueInMs) : null;
  }

  #found(): Found[] {
    const found = this.#candidates().map((each) =>
      each.key !== null && this.#takeOver.inherits(each.key)
        ? { ...each, key: { ...each.key, confirmed: true } }
        : each,
    );
    return withRecovery(found, this.#wiring.recovery);
  }

  /** The key Secrets as they say of themselves. */
  #candidates(): Found[] {
    return [...this.#labelled.values(), ...this.#legacy.values()];
  }

  /** The keys of these Secrets, as they say of themselves. */
  #heldKeys(): SealingKey[] {
    return this.#candidates().flatMap(({ key }) => (key === null ? [] : [key]));
  }

  /** To be called when the recovery files may have changed. */
  recoveryChanged(): void {
    this.#refill();
  }

  #refill(): void {
    if (!this.#loaded) return;
    this.#takeOver.settle(this.#heldKeys());
    const keys = this.#found().flatMap(({ key }) =>
      key === null ? [] : [this.#halves.usable(key)],
    );
    const held = JSON.stringify(
      keys.map((key) => {
        const { name, fingerprint, certificate, orderedAt, compromised, confirmed } = key;
        const states = [orderedAt, compromised, confirmed, key.awaitsRecovery ?? false];
        return [name, fingerprint, kindsOf(key), certificate?.pem ?? "", ...states];
      }),
    );
    if (held !== this.#held) {
      this.#held = held;
      this.#wiring.keyring.replace(keys);
      this.#shortKeys.tell(keys);
      this.#wiring.onChange();
    }
    this.#look();
  }

  /** Creates a key if one is due, tells which key seals, and schedules the next check. */
  #look(): void {
    clearTimeout(this.#timer);
    if (this.#wiring.keyring.newest !== null) this.#createsFirst = false;
    if (!this.#mayCreate || !this.#loaded) return;
    this.#again = this.#working;
    if (this.#working) return;
    const dueInMs = this.#dueInMs();
    this.#working = true;
    (dueInMs > 0 ? this.#keep() : this.#create()).then(
      () => {
        this.#working = false;
        if (dueInMs <= 0) this.#requested = false;
        if (dueInMs > 0 && !this.#again) this.#lookIn(Math.min(dueInMs, LOOK_MS));
        else this.#look();
      },
      (error: unknown) => {
        this.#working = false;
        const what =
          dueInMs > 0 ? "sealing key could not be marked" : "sealing key could not be made";
        this.#wiring.log.error(`${what}, trying again`, {
          error: (error as Error).message,
          inMs: RETRY_MS,
        });
        this.#lookIn(RETRY_MS);
      },
    );
  }

  /** Keeps the recovery files, and tells which key seals. */
  async #keep(): Promise<void> {
    const { recovery } = this.#wiring;
    // Again at the next look where it failed, which it tells.
    if (this.#leading) await recovery?.keep(this.#heldKeys());
    await this.#tellChanges();
  }

  async #tellChanges(): Promise<void> {
    const { newest } = this.#wiring.keyring;
    if (newest === null) return;
    const found = this.#found().flatMap(({ key, sealingSince }) =>
      key === null ? [] : [{ key, sealingSince }],
    );
    await this.#takeOver.confirm(this.#heldKeys());
    await this.#changes.look(newest, found);
  }

  #lookIn(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#mayCreate) return;
    this.#timer = setTimeout(() => {
      this.#look();
    }, delayMs);
    this.#timer.unref();
  }

  get #mayCreate(): boolean {
    return this.#leading || this.#createsFirst;
  }

  #dueInMs(): number {
    const { keyring, now, clock } = this.#wiring;
    const { renewal } = this.#options;
    const { newest } = keyring;
    if (newest === null || this.#requested) return 0;
    const asked = this.#found().some(({ key, renew }) => renew && key?.name === newest.name);
    if (asked) return 0;
    const apartMs = Math.min(renewal.renewAfterMs || MIN_APART_MS, MIN_APART_MS);
    const earliestMs = this.#createdAtMs + apartMs - clock();
    return Math.max(keyDueInMs(newest, now(), renewal), earliestMs);
  }

  /** Creates a key and stores it. Adds it to the keyring only after the API server accepts it. */
  async #create(): Promise<void> {
    const { client, keyring, log, now, clock, recovery } = this.#wiring;
    const { namespace, prefix, bits, hybrid, validForMs, commonName, labels, annotations } =
      this.#options;
    const predecessor = keyring.keys[0] ?? null;
    const notBefore = nextNotBefore(predecessor, now());
    const kinds = hybrid ? [HYBRID] : [];
    const pair = await createSealingKey({ bits, validForMs, commonName, notBefore, kinds });
    const { fingerprint } = parseCertificate(pair.certificatePem);
    const confirmed = { ...annotations, [CONFIRMED_ANNOTATION]: fingerprint };
    const guard = this.#leading ? this.#wiring.guard : undefined;
    let isPublished = recovery === undefined;
    for (let attempt = 0; attempt <= NAME_TRIES; attempt++) {
      // Whoever may create Secrets here can take every name that follows from a fingerprint.
      const name =
        attempt < NAME_TRIES
          ? keyName(prefix, predecessor, attempt)
          : prefix + letters(randomBytes(RANDOM_LENGTH));
      const body = formatKeySecret(pair, { name, namespace }, labels, confirmed);
      if (!isPublished) {
        // Before it is stored: from then on any replica may seal with it.
        await recovery?.publish(readKeySecret(parseSecret(body)), body, guard);
        isPublished = true;
      }
      try {
        await this.#take(name, async () =>
          this.#read(
            await client.call("POST", this.#path, {
              query: { fieldManager: FIELD_MANAGER },
              body,
              ...(guard === undefined ? {} : { guard }),
            }),
          ),
        );
        this.#createdAtMs = clock();
        this.#changes.created(fingerprint);
        log.info("sealing key created", { secret: `${namespace}/${name}`, fingerprint });
        return;
      } catch (error) {
        if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
      }
      // Either another replica was faster, or the name belongs to a key that no longer seals.
      const key = await this.#take(name, async () => {
        const there = await client.call("GET", `${this.#path}/${name}`);
        const label = asObject(metadataOf(there)["labels"] ?? null)?.[KEY_LABEL];
        return label === "active" ? this.#read(there) : undefined;
      });
      if (key !== null && keyring.newest?.fingerprint === key.fingerprint) {
        return;
      }
    }
    throw new Error("no name is free for a new sealing key");
  }

  async #take(name: string, call: () => Promise<Found | undefined>): Promise<SealingKey | null> {
    const found = await this.#labelled.observe(`${this.#options.namespace}/${name}`, call);
    this.#refill();
    return found?.key ?? null;
  }

  /** Parses a key Secret. Logs a malformed one, which does not affect the other keys. */
  #read(object: JsonObject): Found {
    const annotations = asObject(metadataOf(object)["annotations"] ?? null) ?? {};
    const renew = text(annotations[RENEW_ANNOTATION]) !== "";
    const sealingSince = text(annotations[SEALING_SINCE_ANNOTATION]);
    try {
      const secret = parseSecret({ apiVersion: "v1", kind: "Secret", ...object });
      return { key: readKeySecret(secret, this.#options.order), renew, sealingSince };
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      this.#wiring.log.error("sealing key Secret is malformed, skipped", {
        secret: objectKey(object),
        error: error.message,
        field: error.place.field,
      });
      return { key: null, renew, sealingSince };
    }
  }
}

/**
 * Holds keys back from sealing until they are recoverable, except one that seals already, and except
 * where no key is recoverable yet: naming recipients must not stop a running cluster.
 */
function withRecovery(
  found: readonly Found[],
  recovery: Pick<RecoveryConfigMaps, "isRecoverable"> | undefined,
): Found[] {
  if (recovery === undefined) return [...found];
  const isFree = ({ key, sealingSince }: Found): boolean =>
    key !== null && maySeal(key) && (sealingSince !== "" || recovery.isRecoverable(key));
  if (!found.some(isFree)) return [...found];
  return found.map((each) =>
    each.key === null || isFree(each)
      ? each
      : { ...each, key: { ...each.key, awaitsRecovery: true } },
  );
}

// Loads and watches the sealing keys in the cluster, creates the first one, and renews them.
// SPEC.md, "Sealing keys and certificates", "Renewal".

import { createHash, randomBytes } from "node:crypto";
import { parseCertificate } from "../shared/keys/certificate.ts";
import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { createSealingKey, type SealingKeyPair } from "../shared/keys/keypair.ts";
import {
  CONFIRMED_ANNOTATION,
  formatKeySecret,
  KEY_LABEL,
  type KeyOrder,
  readKeySecret,
} from "../shared/keys/keyfile.ts";
import { type Keyring, nextNotBefore } from "../shared/keys/keyring.ts";
import type { KeyService } from "../shared/keys/keyservice.ts";
import { kindsOf, maySeal, type SealingKey } from "../shared/keys/sealingkey.ts";
import {
  formatWrappedKeySecret,
  isWrapped,
  plainSecret,
  WRAPPED_KEY_LABEL,
  type WrappedKey,
  wrapKey,
} from "../shared/keys/wrappedkey.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { formatSecret, parseSecret } from "../shared/kubernetes/secret.ts";
import { FIELD_MANAGER } from "./decide.ts";
import { ApiError } from "../host/kubernetes/apiclient.ts";
import { type FoundKey, FoundKeys } from "./foundkeys.ts";
import { KeyAnnotations } from "./keyannotations.ts";
import { KeyChanges, type KeyChangesWiring } from "./keychanges.ts";
import { KeyWrapping, type WrappingMode } from "./keywrapping.ts";
import type { RecoveryConfigMaps } from "./recoveryconfigmaps.ts";
import { ShortKeys } from "./shortkeys.ts";
import { TakeOver } from "./takeover.ts";
import { UsableHalves } from "./usablehalves.ts";
import { faultOf, WrappedKeys } from "./wrappedkeys.ts";

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
  /** How the key service is used, if there is one. */
  readonly wrapping: WrappingMode;
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
  /** Where keys are wrapped; null if nowhere. */
  readonly keyService: KeyService | null;
  /** Tells this cluster from others; "" without a Lease. */
  readonly leaseUid: () => string;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Called after the set of keys has changed. */
  readonly onChange: () => void;
}

/** Maximum time between two checks, because timers do not notice when the system clock is set. */
const LOOK_MS = 30_000;
const RETRY_MS = 5_000;
/** How long to retry storing a key before creating another one. */
const PENDING_MS = 3_600_000;
/**
 * Minimum time between keys created because of age or cutoff, in case clocks in the cluster differ.
 */
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
 * if the name is taken. `leaseUid`: keeps the first keys of two clusters from having one name, as a
 * wrapped key can be restored under its own name only.
 * @internal for its test
 */
export function keyName(
  prefix: string,
  predecessor: SealingKey | null,
  attempt = 0,
  leaseUid = "",
): string {
  const former = predecessor?.fingerprint ?? `first${leaseUid}`;
  const hash = createHash("sha256").update(`${prefix} ${former} ${attempt}`).digest();
  return prefix + letters(hash.subarray(0, 5));
}

function letters(bytes: Uint8Array): string {
  return [...bytes].map((byte) => NAME_ALPHABET[byte % NAME_ALPHABET.length]).join("");
}

/** A key that was made, and whose Secret is not known to be stored. */
interface PendingKey {
  readonly pair: SealingKeyPair;
  /** Of the key that it replaces; undefined if it is the first. */
  readonly predecessor: string | undefined;
  readonly madeAtMs: number;
}

/** Keeps the keyring in sync with the cluster's key Secrets, and creates keys on the leader. */
export class ClusterKeys {
  readonly #options: KeyOptions;
  readonly #wiring: KeysWiring;
  readonly #secrets: FoundKeys;
  readonly #wrappedKeys: WrappedKeys;
  readonly #wrapping: KeyWrapping;
  readonly #changes: KeyChanges;
  readonly #takeOver: TakeOver;
  readonly #shortKeys: ShortKeys;
  readonly #halves: UsableHalves;
  /** Called when a key Secret, or what is known about it, has changed. */
  #noticed: (() => void) | undefined;
  #held = "";
  #loaded = false;
  #leading = false;
  #createsFirst = false;
  #requested = false;
  /** A check is running; `again`: the keys changed since it started. */
  #working = false;
  #again = false;
  #createdAtMs = -Infinity;
  #pending: PendingKey | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KeyOptions, wiring: KeysWiring) {
    this.#options = options;
    this.#wiring = wiring;
    const annotations = new KeyAnnotations(options.namespace, wiring);
    this.#changes = new KeyChanges(options.namespace, wiring, annotations);
    this.#takeOver = new TakeOver(options, wiring, annotations);
    this.#shortKeys = new ShortKeys(wiring.log);
    this.#halves = new UsableHalves(wiring.log);
    const { client, log, keyring, keyService: service } = wiring;
    const onChange = (): void => {
      this.#noticed?.();
      this.#refill();
    };
    this.#wrappedKeys = new WrappedKeys({ service, log, onChange });
    const inUse = (fingerprint: string): SealingKey | undefined =>
      keyring.keys.find((key) => key.fingerprint === fingerprint);
    const wrappedKeys = this.#wrappedKeys;
    this.#secrets = new FoundKeys(options, { client, log, wrappedKeys, inUse, onChange });
    this.#wrapping = new KeyWrapping(options, { ...wiring, wrappedKeys });
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#options.namespace}/secrets`;
  }

  /** Resolves when all existing keys have been read. */
  async start(signal: AbortSignal): Promise<void> {
    this.#wrappedKeys.start(signal);
    await Promise.all([this.#secrets.start(signal), this.#wiring.recovery?.start(signal)]);
    await this.#untilOpen(signal);
    if (signal.aborted) return;
    await this.#takeOver.judge(this.#heldKeys(), signal);
    this.#loaded = true;
    this.#refill();
  }

  /**
   * Waits for wrapped keys: without them, an older key would seal, and values would not open. Waits
   * for unconfirmed ones only if this controller's own service has to answer.
   */
  async #untilOpen(signal: AbortSignal): Promise<void> {
    let told = 0;
    const goOn = (): void => this.#noticed?.();
    signal.addEventListener("abort", goOn, { once: true });
    for (;;) {
      const [first, ...others] = this.#secrets.all().filter((found) => isAwaited(found));
      if (first === undefined || signal.aborted) break;
      if (told !== others.length + 1 && first.waiting?.for === "settings") {
        told = others.length + 1;
        this.#wiring.log.error("wrapped sealing keys cannot be opened: not ready until they are", {
          keys: told,
          secret: `${this.#options.namespace}/${first.secret?.metadata.name ?? ""}`,
          error: first.waiting.reason,
        });
      }
      await new Promise<void>((resolve) => {
        this.#noticed = resolve;
      });
    }
    this.#noticed = undefined;
    signal.removeEventListener("abort", goOn);
  }

  /** Starts to create keys: the first one, and a new one whenever renewal is due. */
  lead(): void {
    this.#leading = true;
    this.#changes.forget();
    this.#look();
  }

  /**
   * Creates a key if none seals, even if this replica may not lead: without a Lease, no replica
   * leads for a while. Replicas choose the same name for it, so only one of their keys is stored.
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
        "new sealing key requested, but this replica is a follower: ask the leader",
      );
      return;
    }
    this.#requested = true;
    this.#look();
  }

  /**
   * The fingerprint of the current sealing key, once this leader has reported it; undefined before.
   */
  get sealingKey(): string | undefined {
    return this.#leading ? this.#changes.sealing : undefined;
  }

  /** Number of malformed key Secrets. */
  get malformed(): number {
    return this.#found().filter(({ key, waiting }) => key === null && waiting === undefined).length;
  }

  /** Number of wrapped keys that wait for the key service, or for another one. */
  get waiting(): number {
    return this.#found().filter(({ waiting }) => waiting !== undefined).length;
  }

  /** How each key is stored in its Secret, by the Secret's name; only wrapped ones. */
  get wrapped(): ReadonlyMap<string, WrappedKey> {
    const names = new Map<string, WrappedKey>();
    for (const { secret, wrapped } of this.#secrets.all()) {
      if (wrapped !== undefined) names.set(secret?.metadata.name ?? "", wrapped);
    }
    return names;
  }

  /** When the next renewal is due; null for never. */
  get renewalAt(): Date | null {
    const now = this.#wiring.now();
    const dueInMs = keyDueInMs(this.#wiring.keyring.newest, now, this.#options.renewal);
    return Number.isFinite(dueInMs) ? new Date(now.getTime() + dueInMs) : null;
  }

  #found(): FoundKey[] {
    const found = this.#secrets
      .all()
      .map((each) =>
        each.key !== null && this.#takeOver.inherits(each.key)
          ? { ...each, key: { ...each.key, confirmed: true } }
          : each,
      );
    return withRecovery(found, this.#wiring.recovery);
  }

  /** The keys of these Secrets, with the state that the Secrets claim. */
  #heldKeys(): SealingKey[] {
    return this.#secrets.all().flatMap(({ key }) => (key === null ? [] : [key]));
  }

  /** Call this when the recovery files may have changed. */
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

  /** Creates a key if one is due, reports which key seals, and schedules the next check. */
  #look(): void {
    clearTimeout(this.#timer);
    if (this.#wiring.keyring.newest !== null) this.#createsFirst = false;
    if (!this.#mayCreate || !this.#loaded) return;
    this.#again = this.#working;
    if (this.#working) return;
    const dueInMs = this.#dueInMs();
    this.#working = true;
    (dueInMs > 0 ? this.#keep() : this.#create()).then(
      (againInMs) => {
        this.#working = false;
        if (dueInMs <= 0) this.#requested = false;
        if (dueInMs > 0 && !this.#again) this.#lookIn(Math.min(dueInMs, againInMs, LOOK_MS));
        else this.#look();
      },
      (error: unknown) => {
        this.#working = false;
        const what =
          dueInMs > 0 ? "sealing key could not be annotated" : "sealing key could not be created";
        this.#wiring.log.error(`${what}, retrying`, {
          error: (error as Error).message,
          inMs: RETRY_MS,
        });
        this.#lookIn(RETRY_MS);
      },
    );
  }

  /**
   * Keeps the recovery files up to date, and reports which key seals. Returns the milliseconds after
   * which to do so again.
   */
  async #keep(): Promise<number> {
    const { recovery } = this.#wiring;
    // If it failed, which it logs, the next check retries.
    const againInMs = this.#leading ? await recovery?.keep(this.#heldKeys()) : undefined;
    await this.#tellChanges();
    return againInMs ?? Infinity;
  }

  async #tellChanges(): Promise<void> {
    const { newest } = this.#wiring.keyring;
    if (newest === null) return;
    const found = this.#found().flatMap(({ key, sealingSince }) =>
      key === null ? [] : [{ key, sealingSince }],
    );
    await this.#takeOver.confirm(this.#heldKeys());
    await this.#changes.look(newest, found);
    await this.#wrapping.look(this.#found());
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
    const found = this.#found();
    // A key that is about to be opened may seal.
    if (newest === null && found.some((each) => isAwaited(each))) return RETRY_MS;
    if (newest === null || this.#requested) return 0;
    const current = found.find(({ key }) => key?.name === newest.name);
    if (current !== undefined && current.renew !== "") return 0;
    // Another key would not seal either, as long as someone keeps spoiling the recovery files.
    if (found.some(({ key }) => key !== null && followsOnceRecoverable(key, newest)))
      return RETRY_MS;
    const apartMs = Math.min(renewal.renewAfterMs || MIN_APART_MS, MIN_APART_MS);
    const earliestMs = this.#createdAtMs + apartMs - clock();
    // A key that was ever stored in plain text may be in a backup of etcd.
    const isExposed = this.#wraps && current?.wrapped === undefined;
    return Math.max(isExposed ? 0 : keyDueInMs(newest, now(), renewal), earliestMs);
  }

  get #wraps(): boolean {
    return this.#wiring.keyService !== null && this.#options.wrapping === "wrap";
  }

  /** Creates a key and stores it. Adds it to the keyring only after the API server accepts it. */
  async #create(): Promise<number> {
    const { client, keyring, log, clock } = this.#wiring;
    const { namespace, prefix } = this.#options;
    await this.#checkService();
    const predecessor = keyring.keys[0] ?? null;
    const pair = await this.#newPair(predecessor);
    const { fingerprint } = parseCertificate(pair.certificatePem);
    const guard = this.#leading ? this.#wiring.guard : undefined;
    let isPublished = false;
    for (let attempt = 0; attempt <= NAME_TRIES; attempt++) {
      // Anyone who may create Secrets here can take every name that is derived from a fingerprint.
      const name =
        attempt < NAME_TRIES
          ? keyName(prefix, predecessor, attempt, this.#wiring.leaseUid())
          : prefix + letters(randomBytes(RANDOM_LENGTH));
      if (!isPublished) await this.#publish(pair, name, guard);
      isPublished = true;
      const body = await this.#secretOf(pair, name, fingerprint);
      try {
        await this.#take(name, () =>
          client.call("POST", this.#path, {
            query: { fieldManager: FIELD_MANAGER },
            body,
            ...(guard === undefined ? {} : { guard }),
          }),
        );
        this.#pending = undefined;
        this.#createdAtMs = clock();
        this.#changes.created(fingerprint);
        log.info("sealing key created", { secret: `${namespace}/${name}`, fingerprint });
        return 0;
      } catch (error) {
        if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
      }
      // Either another replica was faster, or the name belongs to a key that no longer seals.
      const found = await this.#take(name, async () => {
        const there = await client.call("GET", `${this.#path}/${name}`);
        const labels = asObject(metadataOf(there)["labels"] ?? null);
        const label = this.#wraps ? WRAPPED_KEY_LABEL : KEY_LABEL;
        return labels?.[label] === "active" ? there : undefined;
      });
      if (found !== null && isAwaited(found)) throw new Error(`waiting for ${name} to be opened`);
      if (found?.key != null && keyring.newest?.fingerprint === found.key.fingerprint) {
        this.#pending = undefined;
        return 0;
      }
    }
    throw new Error("every candidate name for the new sealing key is taken");
  }

  /**
   * Returns the key pair of the next key. A pair that could not be stored is used again, because its
   * recovery files may already be published, and they stay.
   */
  async #newPair(predecessor: SealingKey | null): Promise<SealingKeyPair> {
    const { now, clock } = this.#wiring;
    const { bits, hybrid, validForMs, commonName } = this.#options;
    const before = predecessor?.fingerprint;
    const pending = this.#pending;
    const isFresh = pending !== undefined && clock() - pending.madeAtMs < PENDING_MS;
    if (isFresh && pending.predecessor === before) return pending.pair;
    const notBefore = nextNotBefore(predecessor, now());
    const kinds = hybrid ? [HYBRID] : [];
    const pair = await createSealingKey({ bits, validForMs, commonName, notBefore, kinds });
    this.#pending = { pair, predecessor: before, madeAtMs: clock() };
    return pair;
  }

  /**
   * Called before a key is created, which takes seconds. @throws Error if the key service does not
   * work
   */
  async #checkService(): Promise<void> {
    const { keyService } = this.#wiring;
    if (!this.#wraps || keyService === null) return;
    const fault = await faultOf(keyService);
    if (fault !== null) throw new Error(fault);
  }

  /**
   * Publishes the recovery files of a new key before it is stored: from then on any replica may seal
   * with it.
   */
  async #publish(pair: SealingKeyPair, name: string, guard?: () => void): Promise<void> {
    const { recovery } = this.#wiring;
    if (recovery === undefined) return;
    const { namespace, labels } = this.#options;
    const plain = formatKeySecret(pair, { name, namespace }, labels);
    await recovery.publish(readKeySecret(parseSecret(plain)), plain, guard);
  }

  /**
   * The Secret of a key, with the private key in plain text however it is stored.
   * @throws ApiError; Error if it is wrapped and has not been opened
   */
  async plainSecretOf(name: string): Promise<JsonObject> {
    const stored = await this.#wiring.client.call("GET", `${this.#path}/${name}`);
    const secret = parseSecret({ apiVersion: "v1", kind: "Secret", ...stored });
    if (!isWrapped(secret)) return stored;
    const opening = this.#wrappedKeys.look(secret);
    if (!("pem" in opening)) throw new Error("it is wrapped, and has not been opened");
    return formatSecret(plainSecret(secret, opening.wrapped, opening.pem));
  }

  /** The Secret of a new key, wrapped if keys are to be wrapped. @throws SignetError */
  async #secretOf(pair: SealingKeyPair, name: string, fingerprint: string): Promise<JsonObject> {
    const { namespace, labels, annotations } = this.#options;
    const { keyService, now } = this.#wiring;
    const confirmed = { ...annotations, [CONFIRMED_ANNOTATION]: fingerprint };
    if (!this.#wraps || keyService === null) {
      return formatKeySecret(pair, { name, namespace }, labels, confirmed);
    }
    const moment = { since: now(), created: now() };
    const { privateKeyPem, certificatePem } = pair;
    const context = { namespace, name, fingerprint };
    const wrapped = await wrapKey(privateKeyPem, context, keyService, moment);
    const body = formatWrappedKeySecret(
      { certificatePem, wrapped },
      { name, namespace },
      "active",
      labels,
      confirmed,
    );
    this.#wrappedKeys.remember(parseSecret(body), privateKeyPem);
    return body;
  }

  async #take(name: string, call: () => Promise<JsonObject | undefined>): Promise<FoundKey | null> {
    const found = await this.#secrets.take(name, this.#wraps ? "wrapped" : "plain", call);
    this.#refill();
    return found;
  }
}

/**
 * Prevents keys from sealing until they are recoverable, except a key that already seals, and
 * except if no key is recoverable yet: adding recipients must not stop a running cluster.
 */
function withRecovery(
  found: readonly FoundKey[],
  recovery: Pick<RecoveryConfigMaps, "isRecoverable"> | undefined,
): FoundKey[] {
  if (recovery === undefined) return [...found];
  const isFree = ({ key, sealingSince }: FoundKey): boolean =>
    key !== null && maySeal(key) && (sealingSince !== "" || recovery.isRecoverable(key));
  if (!found.some(isFree)) return [...found];
  return found.map((each) =>
    each.key === null || isFree(each)
      ? each
      : { ...each, key: { ...each.key, awaitsRecovery: true } },
  );
}

/** Whether a key would seal in place of `newest` if it were recoverable. */
function followsOnceRecoverable(key: SealingKey, newest: SealingKey): boolean {
  const isHeldBack = key.awaitsRecovery === true && maySeal({ ...key, awaitsRecovery: false });
  return isHeldBack && key.orderedAt > newest.orderedAt;
}

/** Whether a wrapped key has to be open before another one may seal in its place. */
function isAwaited({ key, waiting, wrapped, confirmed }: FoundKey): boolean {
  if (key !== null || waiting === undefined) return false;
  return waiting.for === "service" || confirmed === wrapped?.fingerprint;
}

// Owns: sealing keys in the cluster: load, watch, create the first, renew by age.
// Does not own: their forms (shared/keyfile.ts), which opens what (shared/keyring.ts).
// SPEC.md, "Sealing keys and certificates".

import { createSealingKey } from "../shared/certificate.ts";
import { SignetError } from "../shared/errors.ts";
import { formatKeySecret, KEY_LABEL, type KeyOrder, readKeySecret } from "../shared/keyfile.ts";
import { type Keyring, nextNotBefore, type SealingKey } from "../shared/keyring.ts";
import { type JsonObject, parseSecret } from "../shared/secret.ts";
import { Cache, objectKey } from "./cache.ts";
import { FIELD_MANAGER } from "./decide.ts";
import { ApiError, type KubernetesClient } from "./kubernetes.ts";
import type { Log } from "./log.ts";

export interface KeyOptions {
  /** Where the key Secrets are. */
  readonly namespace: string;
  /** Start of a new key Secret's name; also the whole name of the single key before 2019. */
  readonly prefix: string;
  readonly bits: number;
  readonly validForMs: number;
  readonly commonName: string;
  readonly order: KeyOrder;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Age of the newest key at which another one is made; 0 for never. */
  readonly renewAfterMs: number;
}

export interface KeysWiring {
  readonly client: KubernetesClient;
  readonly keyring: Keyring;
  readonly log: Log;
  readonly now: () => Date;
  /** Called when the set of keys has changed. */
  readonly onChange: () => void;
}

/** setTimeout takes 31 bits; a longer wait is cut into pieces. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const RENEW_RETRY_MS = 60_000;

/** Keeps `keyring` as the cluster's key Secrets say. */
export class ClusterKeys {
  readonly #options: KeyOptions;
  readonly #wiring: KeysWiring;
  readonly #cache: Cache<SealingKey | null>;
  #legacy: SealingKey | null = null;
  #loaded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KeyOptions, wiring: KeysWiring) {
    this.#options = options;
    this.#wiring = wiring;
    this.#cache = new Cache(
      wiring.client,
      { path: this.#path, labelSelector: `${KEY_LABEL}=active` },
      {
        keep: (object) => this.#read(object),
        onChange: () => {
          if (this.#loaded) this.#refill();
        },
        log: wiring.log,
      },
    );
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#options.namespace}/secrets`;
  }

  /** Resolves when the keyring is filled, with a first key made where there was none. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#cache.start(signal);
    // Told to stop before the keys were listed: that none are known does not mean that there are none.
    if (signal.aborted) return;
    this.#legacy = await this.#readLegacy();
    this.#loaded = true;
    this.#refill();
    if (this.#wiring.keyring.newest === null) await this.create();
    this.#scheduleRenewal(signal);
  }

  /** Key Secrets that cannot be used. */
  get malformed(): number {
    return [...this.#cache.values()].filter((key) => key === null).length;
  }

  /** When the next key is due; null for never. */
  get renewalAt(): Date | null {
    const { renewAfterMs } = this.#options;
    const { newest } = this.#wiring.keyring;
    if (renewAfterMs <= 0 || newest === null) return null;
    return new Date(newest.orderedAt.getTime() + renewAfterMs);
  }

  /** Makes a key, stores it, and holds it at once. */
  async create(): Promise<void> {
    const { client, keyring, log, now } = this.#wiring;
    const { prefix, bits, validForMs, commonName, labels, annotations } = this.#options;
    const notBefore = nextNotBefore(keyring.newest, now());
    const pair = await createSealingKey({ bits, validForMs, commonName, notBefore });
    const { namespace } = this.#options;
    const manifest = formatKeySecret(
      pair,
      { generateName: prefix, namespace },
      labels,
      annotations,
    );
    const stored = await client.call("POST", this.#path, {
      query: { fieldManager: FIELD_MANAGER },
      body: manifest,
    });
    const key = this.#read(stored);
    this.#cache.observe(objectKey(stored), key);
    this.#refill();
    log.info("sealing key created", {
      secret: objectKey(stored),
      fingerprint: key?.privateKey.fingerprint,
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #refill(): void {
    const keys = [...this.#cache.values(), this.#legacy].filter((key) => key !== null);
    this.#wiring.keyring.replace(keys);
    this.#wiring.onChange();
  }

  /** Null for a key Secret that cannot be used: it is reported, and the others still serve. */
  #read(object: JsonObject): SealingKey | null {
    try {
      return readKeySecret(
        parseSecret({ apiVersion: "v1", kind: "Secret", ...object }),
        this.#options.order,
      );
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      this.#wiring.log.error("sealing key Secret is malformed, skipped", {
        secret: objectKey(object),
        error: error.message,
        field: error.place.field,
      });
      return null;
    }
  }

  async #readLegacy(): Promise<SealingKey | null> {
    try {
      const found = await this.#wiring.client.call("GET", `${this.#path}/${this.#options.prefix}`);
      return this.#read(found);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  #scheduleRenewal(signal: AbortSignal): void {
    const { renewAfterMs } = this.#options;
    if (renewAfterMs <= 0) return;
    const newest = this.#wiring.keyring.newest;
    const ageMs = newest === null ? Infinity : +this.#wiring.now() - +newest.orderedAt;
    const waitMs = Math.max(0, renewAfterMs - ageMs);
    this.#wait(waitMs, signal, async () => {
      // Another program may have made one meanwhile.
      const current = this.#wiring.keyring.newest;
      const due = current === null || +this.#wiring.now() - +current.orderedAt >= renewAfterMs;
      if (due) await this.create();
    });
  }

  #wait(waitMs: number, signal: AbortSignal, renew: () => Promise<void>): void {
    if (signal.aborted) return;
    const piece = Math.min(waitMs, LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      if (waitMs > piece) {
        this.#wait(waitMs - piece, signal, renew);
        return;
      }
      renew().then(
        () => {
          this.#scheduleRenewal(signal);
        },
        (error: unknown) => {
          this.#wiring.log.error("sealing key could not be renewed, trying again", {
            error: (error as Error).message,
            inMs: RENEW_RETRY_MS,
          });
          this.#wait(RENEW_RETRY_MS, signal, renew);
        },
      );
    }, piece);
    this.#timer.unref();
  }
}

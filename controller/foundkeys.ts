// Reads and watches the key Secrets of the cluster, plain and wrapped ones, and opens them if
// possible.
// SPEC.md, "Sealing keys and certificates", "Wrapped keys".

import { SignetError } from "../shared/errors.ts";
import {
  CONFIRMED_ANNOTATION,
  HELD_KEY_LABELS,
  KEY_LABEL,
  type KeyOrder,
  readKeySecret,
  RENEW_ANNOTATION,
} from "../shared/keys/keyfile.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import {
  isWrapped,
  plainSecret,
  WRAPPED_KEY_LABEL,
  WRAPPING_ANNOTATION,
  type WrappedKey,
} from "../shared/keys/wrappedkey.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
import type { KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { Cache, objectKey } from "./cache.ts";
import { SEALING_SINCE_ANNOTATION } from "./keychanges.ts";
import type { Log } from "./log.ts";
import type { Waiting, WrappedKeys } from "./wrappedkeys.ts";

/** A key Secret after parsing. */
export interface FoundKey {
  /** Null if the Secret is malformed, or holds a wrapped key that is not open. */
  readonly key: SealingKey | null;
  /** The wrapped form; undefined for a plain key. */
  readonly wrapped: WrappedKey | undefined;
  /** Why a wrapped key is not open yet; undefined if it is, or was refused. */
  readonly waiting: Waiting | undefined;
  /** The text of each annotation that the controller acts on, or empty. */
  readonly renew: string;
  readonly sealingSince: string;
  readonly wrapping: string;
  /** What the Secret claims about itself, unchecked. */
  readonly confirmed: string;
  /** Undefined if the Secret itself is malformed. */
  readonly secret: Secret | undefined;
}

interface FoundKeysOptions {
  readonly namespace: string;
  /** The name of the single key used before 2019, which has no label. */
  readonly prefix: string;
  readonly order: KeyOrder;
}

interface FoundKeysWiring {
  readonly client: KubernetesClient;
  readonly log: Log;
  readonly wrappedKeys: WrappedKeys;
  /** The key with this fingerprint that is currently in use. */
  readonly inUse: (fingerprint: string) => SealingKey | undefined;
  readonly onChange: () => void;
}

/** A Secret as the cache keeps it. */
interface Stored {
  readonly secret: Secret | undefined;
  /** Of a plain key; null if it is malformed. */
  readonly key: SealingKey | null;
}

export class FoundKeys {
  readonly #options: FoundKeysOptions;
  readonly #wiring: FoundKeysWiring;
  readonly #labelled: Cache<Stored>;
  readonly #legacy: Cache<Stored>;
  readonly #wrapped: Cache<Stored>;
  /** Keys of wrapped Secrets that are open; null if the decrypted text is not a key. */
  readonly #opened = new WeakMap<Secret, SealingKey | null>();

  constructor(options: FoundKeysOptions, wiring: FoundKeysWiring) {
    this.#options = options;
    this.#wiring = wiring;
    const { client, log, onChange } = wiring;
    const path = `/api/v1/namespaces/${options.namespace}/secrets`;
    const plain = {
      keep: (object: JsonObject) => this.#read(object, (secret) => this.#readPlain(secret)),
      onChange,
      log,
    };
    const wrapped = {
      keep: (object: JsonObject) =>
        this.#read(object, (secret) => {
          this.#wiring.wrappedKeys.look(secret);
          return null;
        }),
      onChange: () => {
        this.#wiring.wrappedKeys.keepOnly(this.#wrappedSecrets());
        onChange();
      },
      log,
    };
    const held = `in (${HELD_KEY_LABELS.join(",")})`;
    this.#labelled = new Cache(client, { path, labelSelector: `${KEY_LABEL} ${held}` }, plain);
    const fieldSelector = `metadata.name=${options.prefix}`;
    const unlabelled = { labelSelector: `!${KEY_LABEL}`, fieldSelector };
    this.#legacy = new Cache(client, { path, ...unlabelled }, plain);
    const labelSelector = `${WRAPPED_KEY_LABEL} ${held}`;
    this.#wrapped = new Cache(client, { path, labelSelector }, wrapped);
  }

  /** Resolves when all key Secrets have been read. */
  async start(signal: AbortSignal): Promise<void> {
    const caches = [this.#labelled, this.#legacy, this.#wrapped];
    await Promise.all(caches.map((cache) => cache.start(signal)));
  }

  all(): FoundKey[] {
    const plain = [...this.#labelled.values(), ...this.#legacy.values()];
    return [
      ...plain.map(({ key, secret }) => ({ ...factsOf(secret), key, ...PLAIN })),
      ...[...this.#wrapped.values()].map((stored) => this.#resolved(stored)),
    ];
  }

  /**
   * Stores the key Secret of this name that `call` returns, before the watch reports it, and
   * returns it; null if `call` returns undefined.
   */
  async take(
    name: string,
    kind: "plain" | "wrapped",
    call: () => Promise<JsonObject | undefined>,
  ): Promise<FoundKey | null> {
    const cache = kind === "wrapped" ? this.#wrapped : this.#labelled;
    const stored = await cache.observe(`${this.#options.namespace}/${name}`, async () => {
      const object = await call();
      if (object === undefined) return undefined;
      return this.#read(object, (secret) => {
        if (kind === "plain") return this.#readPlain(secret);
        this.#wiring.wrappedKeys.look(secret);
        return null;
      });
    });
    if (stored === undefined) return null;
    return kind === "wrapped"
      ? this.#resolved(stored)
      : { ...factsOf(stored.secret), key: stored.key, ...PLAIN };
  }

  #wrappedSecrets(): Secret[] {
    const secrets = [...this.#wrapped.values()].map(({ secret }) => secret);
    return secrets.filter((secret) => secret !== undefined);
  }

  #readPlain(secret: Secret): SealingKey {
    return readKeySecret(secret, this.#options.order);
  }

  /** Parses a key Secret. Logs a malformed one, which does not affect the other keys. */
  #read(object: JsonObject, readKey: (secret: Secret) => SealingKey | null): Stored {
    let secret: Secret | undefined;
    try {
      secret = parseSecret({ apiVersion: "v1", kind: "Secret", ...object });
      const key = readKey(secret);
      // The content of a plain one is read again when it is needed.
      return { secret: isWrapped(secret) ? secret : { ...secret, data: new Map() }, key };
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      this.#tellMalformed(objectKey(object), error);
      return { secret: undefined, key: null };
    }
  }

  #tellMalformed(secret: string, error: SignetError): void {
    const { message, place } = error;
    this.#wiring.log.error("sealing key Secret is malformed, skipped", {
      secret,
      error: message,
      field: place.field,
    });
  }

  #resolved({ secret }: Stored): FoundKey {
    const nothing = { ...factsOf(secret), key: null, wrapped: undefined, waiting: undefined };
    if (secret === undefined) return nothing;
    const opening = this.#wiring.wrappedKeys.look(secret);
    const { wrapped } = opening;
    if ("pem" in opening) return { ...nothing, wrapped, key: this.#keyOf(secret, opening) };
    if ("refused" in opening) return { ...nothing, wrapped };
    // A key that was plain or wrapped differently until now continues to open values meanwhile.
    const held = this.#wiring.inUse(wrapped.fingerprint);
    if (held === undefined) return { ...nothing, wrapped, waiting: opening.waiting };
    const { name, labels, annotations } = secret.metadata;
    const key = {
      ...held,
      name,
      compromised: labels[WRAPPED_KEY_LABEL] === "compromised",
      confirmed: annotations[CONFIRMED_ANNOTATION] === wrapped.fingerprint,
    };
    return { ...nothing, wrapped, waiting: opening.waiting, key };
  }

  #keyOf(
    secret: Secret,
    { pem, wrapped }: { readonly pem: string; readonly wrapped: WrappedKey },
  ): SealingKey | null {
    const known = this.#opened.get(secret);
    if (known !== undefined) return known;
    let key: SealingKey | null = null;
    try {
      key = readKeySecret(plainSecret(secret, wrapped, pem), this.#options.order);
      if (key.fingerprint !== wrapped.fingerprint) {
        throw new SignetError("key-invalid", "the wrapped key does not match its fingerprint");
      }
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      key = null;
      const { namespace, name } = secret.metadata;
      this.#tellMalformed(`${namespace}/${name}`, error);
    }
    this.#opened.set(secret, key);
    return key;
  }
}

const PLAIN = { wrapped: undefined, waiting: undefined };

function factsOf(secret: Secret | undefined) {
  const annotations = secret?.metadata.annotations ?? {};
  return {
    secret,
    renew: annotations[RENEW_ANNOTATION] ?? "",
    sealingSince: annotations[SEALING_SINCE_ANNOTATION] ?? "",
    wrapping: annotations[WRAPPING_ANNOTATION] ?? "",
    confirmed: annotations[CONFIRMED_ANNOTATION] ?? "",
  };
}

// Keeps the recovery files of the sealing keys in ConfigMaps next to them. A key is encrypted for
// its recovery recipients before it seals, and again when they change or someone edits the files.
// SPEC.md, "Recovery".

import { createHash } from "node:crypto";
import { KEY_LABEL, readKeySecret } from "../shared/keys/keyfile.ts";
import { MAX_RECOVERY_CHARACTERS, type RecoveryPolicy } from "../shared/keys/recoverynames.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import {
  annotationsOf,
  asObject,
  type JsonObject,
  metadataOf,
} from "../shared/kubernetes/object.ts";
import { parseSecret } from "../shared/kubernetes/secret.ts";
import type { Json } from "../shared/manifest/manifest.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { Cache, text } from "./cache.ts";
import { Contest } from "./contest.ts";
import { FIELD_MANAGER } from "./decide.ts";
import { formatEvent, logLostEvent } from "./events.ts";
import type { Log } from "./log.ts";
import type { Event } from "./world.ts";

const LABEL = "kube-signet/recovery";
const FINGERPRINT_ANNOTATION = "kube-signet/fingerprint";
/** The recipients of the files, as JSON. */
const POLICY_ANNOTATION = "kube-signet/recovery-for";
/** Proves that a holder of the key wrote the files, and for which recipients. */
const TAG_ANNOTATION = "kube-signet/recovery-tag";
/** How long the start waits for the first list. */
const START_MS = 10_000;
const RETRY_MS = 5_000;
/** The recipients as JSON: 32 post-quantum ones have 63,000. */
const MAX_POLICY_CHARACTERS = 128 * 1024;
const MAX_TAG_CHARACTERS = 256;
const FETCHES_AT_ONCE = 8;

interface RecoveryWiring {
  readonly client: KubernetesClient;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Throws if this replica may not write. */
  readonly guard: () => void;
  /** The Secret of a key, with the private key in plain text. @throws ApiError */
  readonly readSecret: (name: string) => Promise<JsonObject>;
  /** Called after a ConfigMap has changed. */
  readonly onChange: () => void;
}

/**
 * The part of a ConfigMap that is kept; anyone may have written it. Not its files, because strangers
 * can create many ConfigMaps.
 */
interface Kept {
  /** A hash of the files. */
  readonly digest: string;
  readonly policy: string;
  readonly tag: string;
}

/** The ConfigMaps of one namespace. */
export class RecoveryConfigMaps {
  readonly #namespace: string;
  readonly #policy: RecoveryPolicy;
  readonly #wiring: RecoveryWiring;
  readonly #cache: Cache<Kept>;
  /** Whether the files of a ConfigMap belong to a key; cached, because it takes a hash of them. */
  readonly #genuine = new WeakMap<Kept, { readonly of: string; readonly is: boolean }>();
  readonly #contest = new Contest();
  /** The recovery files of the latest key could not be published. */
  #hasFailed = false;

  constructor(namespace: string, policy: RecoveryPolicy, wiring: RecoveryWiring) {
    this.#namespace = namespace;
    this.#policy = policy;
    this.#wiring = wiring;
    const { client, log, onChange } = wiring;
    const collection = { path: this.#path, labelSelector: LABEL };
    this.#cache = new Cache(client, collection, { keep, onChange, log });
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#namespace}/configmaps`;
  }

  /**
   * Resolves when all ConfigMaps have been read, or after a short time: without permission to read
   * them, existing keys must still work.
   */
  async start(signal: AbortSignal): Promise<void> {
    const limit = new Promise<void>((resolve) => {
      setTimeout(resolve, START_MS).unref();
    });
    await Promise.race([this.#cache.start(signal), limit]);
  }

  /**
   * Whether someone can recover the key: its files are published exactly as a holder of the key
   * wrote them.
   */
  isRecoverable(key: SealingKey): boolean {
    return this.#filesOf(key) !== undefined;
  }

  /** How many keys, including one about to be created, are not encrypted for all recipients. */
  missing(keys: readonly SealingKey[]): number {
    return keys.filter((key) => !this.#isCurrent(key)).length + (this.#hasFailed ? 1 : 0);
  }

  /**
   * The response of `GET /v1/recovery`. It contains nothing secret: the files are ciphertext.
   * @throws ApiError
   */
  async report(keys: readonly SealingKey[]): Promise<Json> {
    const reported = new Map<string, Readonly<Record<string, string>>>();
    const waiting = keys.filter((key) => this.isRecoverable(key)).values();
    const worker = async (): Promise<void> => {
      for (const key of waiting) {
        const files = await this.#fetch(key);
        if (files !== null) reported.set(key.fingerprint, files);
      }
    };
    await Promise.all(Array.from({ length: FETCHES_AT_ONCE }, worker));
    return {
      keys: keys.flatMap(({ fingerprint }) => {
        const files = reported.get(fingerprint);
        return files === undefined ? [] : [{ fingerprint, files }];
      }),
    };
  }

  /** The files of a key as they are now; null if they are not as a holder of the key wrote them. */
  async #fetch(key: SealingKey): Promise<Readonly<Record<string, string>> | null> {
    const path = `${this.#path}/${configMapName(key.fingerprint)}`;
    try {
      const object = await this.#wiring.client.call("GET", path);
      return isGenuine(key, keep(object)) ? filesIn(object) : null;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  /**
   * Publishes the files of a key that is about to be stored. `secret`: its Secret. `guard`: as for the
   * Secret. @throws ApiError if they could not be written: the key must not seal
   */
  async publish(key: SealingKey, secret: JsonObject, guard?: () => void): Promise<void> {
    try {
      await this.#write(key, secret, guard);
      this.#hasFailed = false;
    } catch (error) {
      this.#hasFailed = true;
      const reason = (error as Error).message;
      throw new Error(`its recovery files could not be published: ${reason}`, { cause: error });
    }
  }

  /**
   * Encrypts keys again if their files are missing, were changed by someone, or are for other
   * recipients, with increasing delays if someone keeps changing them. To be called by the leader.
   * Returns the milliseconds after which to call it again; Infinity if nothing is left to do.
   */
  async keep(keys: readonly SealingKey[]): Promise<number> {
    const { clock, log, readSecret, guard } = this.#wiring;
    let againInMs = Infinity;
    for (const key of keys) {
      if (this.#isCurrent(key)) continue;
      const id = this.#keyOf(key);
      const waitMs = this.#contest.waitMs(id, clock());
      if (waitMs > 0) {
        againInMs = Math.min(againInMs, waitMs);
        continue;
      }
      const before = this.#cache.get(id);
      const isOurs = this.#filesOf(key) !== undefined;
      try {
        const secret = await readSecret(key.name);
        const parsed = parseSecret({ apiVersion: "v1", kind: "Secret", ...secret });
        if (readKeySecret(parsed).fingerprint !== key.fingerprint) {
          throw new Error("its Secret now contains another key");
        }
        this.#contest.answered(id, clock(), true);
        const written = await this.#write(key, secret, guard);
        await this.#tell(key, written, before, isOurs);
      } catch (error) {
        againInMs = Math.min(againInMs, RETRY_MS);
        const { name, fingerprint } = key;
        const reason = (error as Error).message;
        log.error("sealing key could not be encrypted for its recovery recipients", {
          secret: `${this.#namespace}/${name}`,
          fingerprint,
          error: reason,
        });
      }
    }
    return againInMs;
  }

  #filesOf(key: SealingKey): Kept | undefined {
    const kept = this.#cache.get(this.#keyOf(key));
    if (kept === undefined) return undefined;
    let known = this.#genuine.get(kept);
    if (known?.of !== key.fingerprint) {
      known = { of: key.fingerprint, is: isGenuine(key, kept) };
      this.#genuine.set(kept, known);
    }
    return known.is ? kept : undefined;
  }

  #isCurrent(key: SealingKey): boolean {
    return this.#filesOf(key)?.policy === policyText(this.#policy);
  }

  #keyOf({ fingerprint }: SealingKey): string {
    return `${this.#namespace}/${configMapName(fingerprint)}`;
  }

  /** Returns the ConfigMap as it was stored. @throws ApiError, SignetError */
  async #write(key: SealingKey, secret: JsonObject, guard?: () => void): Promise<JsonObject> {
    const { recoveryFilesOf } = await import("../shared/keys/recoveryfiles.ts");
    const files = await recoveryFilesOf(declared(secret), key.fingerprint, this.#policy);
    if (Object.values(files).some((file) => file.length > MAX_RECOVERY_CHARACTERS)) {
      throw new Error("its Secret is too long for a recovery file");
    }
    const name = configMapName(key.fingerprint);
    const policy = policyText(this.#policy);
    const body = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        name,
        namespace: this.#namespace,
        labels: { [LABEL]: "files" },
        annotations: {
          [FINGERPRINT_ANNOTATION]: key.fingerprint,
          [POLICY_ANNOTATION]: policy,
          [TAG_ANNOTATION]: tagOf(key, policy, digestOf(files)) ?? "",
        },
      },
      data: files,
    };
    let stored: JsonObject = {};
    await this.#cache.observe(`${this.#namespace}/${name}`, async () => {
      stored = await this.#put(name, body, guard);
      return keep(stored);
    });
    return stored;
  }

  async #put(name: string, body: JsonObject, guard?: () => void): Promise<JsonObject> {
    const { client } = this.#wiring;
    const request = { query: { fieldManager: FIELD_MANAGER }, ...(guard ? { guard } : {}) };
    try {
      return await client.call("POST", this.#path, { ...request, body });
    } catch (error) {
      if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
    }
    const path = `${this.#path}/${name}`;
    const there = await client.call("GET", path);
    const { resourceVersion = "", uid = "" } = metadataOf(there);
    if (there["immutable"] === true) {
      // Someone made it so: only another one can take its place.
      const preconditions = { uid, resourceVersion };
      const options = { apiVersion: "v1", kind: "DeleteOptions", preconditions };
      await client.call("DELETE", path, { ...request, body: options });
      return client.call("POST", this.#path, { ...request, body });
    }
    const metadata = { ...metadataOf(body), resourceVersion };
    return client.call("PUT", path, { ...request, body: { ...body, metadata } });
  }

  /** Reports why the files of a key were written again. */
  async #tell(
    { fingerprint, name }: SealingKey,
    written: JsonObject,
    before: Kept | undefined,
    isOurs: boolean,
  ): Promise<void> {
    const { client, log, now, guard } = this.#wiring;
    const { recipients, quorum } = this.#policy;
    const who = `${quorum === null ? "any" : quorum} of ${recipients.length} recovery recipients`;
    const [type, reason, words]: [Event["type"], string, string] =
      before === undefined
        ? ["Normal", "RecoveryFilesPublished", `can be recovered by ${who}`]
        : isOurs
          ? ["Normal", "RecoveryRecipientsChanged", `can now be recovered by ${who}`]
          : [
              "Warning",
              "RecoveryFilesChanged",
              "had recovery files that someone changed; they have been restored",
            ];
    const message = `key ${fingerprint} ${words}`;
    log[type === "Normal" ? "info" : "warn"]("recovery files of a sealing key written", {
      secret: `${this.#namespace}/${name}`,
      fingerprint,
      reason,
    });
    try {
      await client.call("POST", `/api/v1/namespaces/${this.#namespace}/events`, {
        query: { fieldManager: FIELD_MANAGER },
        guard,
        body: formatEvent(
          { ...written, apiVersion: "v1", kind: "ConfigMap" },
          { type, reason, message },
          now(),
        ),
      });
    } catch (error) {
      logLostEvent(log, name, error);
    }
  }
}

function policyText({ recipients, quorum }: RecoveryPolicy): string {
  return JSON.stringify({ quorum, recipients: [...recipients].sort() });
}

/** Undefined for a key that cannot create tags. */
function tagOf(
  { halves, fingerprint }: SealingKey,
  policy: string,
  digest: string,
): string | undefined {
  const message = JSON.stringify(["recovery", fingerprint, policy, digest]);
  return halves.find(({ tag }) => tag !== undefined)?.tag?.(message);
}

function isGenuine(key: SealingKey, { policy, digest, tag: given }: Kept): boolean {
  const tag = tagOf(key, policy, digest);
  return tag !== undefined && tag === given;
}

function digestOf(files: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("base64url");
}

/** A fingerprint contains characters that names cannot have. */
function configMapName(fingerprint: string): string {
  const bytes = Buffer.from(fingerprint.slice("SHA256:".length), "base64");
  return `signet-recovery-${bytes.toString("hex")}`;
}

function keep(object: JsonObject): Kept {
  const annotations = annotationsOf(object);
  const policy = text(annotations[POLICY_ANNOTATION]);
  return {
    digest: digestOf(filesIn(object)),
    policy: policy.length <= MAX_POLICY_CHARACTERS ? policy : "",
    tag: text(annotations[TAG_ANNOTATION]).slice(0, MAX_TAG_CHARACTERS),
  };
}

function filesIn(object: JsonObject): Record<string, string> {
  const files: Record<string, string> = {};
  for (const [name, value] of Object.entries(asObject(object["data"] ?? null) ?? {})) {
    // Text that is too long is not ours, and the tag will not match without it.
    files[name] = text(value).length <= MAX_RECOVERY_CHARACTERS ? text(value) : "";
  }
  return files;
}

/** The parts of a key Secret that are needed to recover it. */
function declared(secret: JsonObject): JsonObject {
  const { name = "", namespace } = metadataOf(secret);
  const data = asObject(secret["data"] ?? null) ?? {};
  const kept = ["tls.crt", "tls.key"].filter((item) => Object.hasOwn(data, item));
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { [KEY_LABEL]: "active" },
    },
    type: secret["type"] ?? "kubernetes.io/tls",
    data: Object.fromEntries(kept.map((item) => [item, data[item] ?? ""])),
  };
}

// Owns: a cluster as the world of the reconciler: the watched SealedSecrets and Secrets, the writes.
// Does not own: decisions (reconcile.ts), the connection (kubernetes.ts), keys (keys.ts).

import type { Json } from "../shared/manifest.ts";
import { asObject, formatSecret, type JsonObject, type Secret } from "../shared/secret.ts";
import { Cache, text } from "./cache.ts";
import { ApiError, type KubernetesClient } from "./kubernetes.ts";
import type { Log } from "./log.ts";
import {
  FIELD_MANAGER,
  metadataOf,
  SECRET_LABEL,
  type SecretMark,
  type World,
} from "./reconcile.ts";
import type { Status, Verdict } from "./status.ts";

const SEALED_SECRETS = "/apis/bitnami.com/v1alpha1";
/** The name that the original's Events carry, which dashboards and alerts filter by. */
const EVENT_COMPONENT = "sealed-secrets";
const MAX_EVENT_MESSAGE = 1024;

export interface ClusterOptions {
  readonly client: KubernetesClient;
  /** Undefined: all of them. */
  readonly namespaces: readonly string[] | undefined;
  /** Narrows the SealedSecrets that are looked after. */
  readonly labelSelector: string | undefined;
  /** Called with the `namespace/name` of whatever may need a reconcile. */
  readonly onChange: (key: string) => void;
  readonly log: Log;
  readonly now: () => Date;
}

/** The watched part of a cluster. */
export class ClusterWorld implements World {
  readonly #options: ClusterOptions;
  readonly #sealedSecrets: Cache<JsonObject>[] = [];
  readonly #secrets: Cache<SecretMark>[] = [];

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { client, log, labelSelector } = options;
    for (const path of scopedPaths(options.namespaces)) {
      const sealedSecrets = new Cache(
        client,
        {
          path: `${SEALED_SECRETS}${path}/sealedsecrets`,
          ...(labelSelector === undefined ? {} : { labelSelector }),
        },
        { keep: withoutManagedFields, onChange: options.onChange, log },
      );
      const secrets = new Cache(
        client,
        { path: `/api/v1${path}/secrets`, labelSelector: SECRET_LABEL, metadataOnly: true },
        { keep: markOfObject, onChange: options.onChange, log },
      );
      this.#sealedSecrets.push(sealedSecrets);
      this.#secrets.push(secrets);
    }
  }

  /** Resolves when everything has been listed once. Secrets first: a known mark saves a write. */
  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#secrets.map((cache) => cache.start(signal)));
    await Promise.all(this.#sealedSecrets.map((cache) => cache.start(signal)));
  }

  sealedSecret(key: string): JsonObject | undefined {
    return find(this.#sealedSecrets, key);
  }

  secretMark(key: string): SecretMark | undefined {
    return find(this.#secrets, key);
  }

  async readSecret(key: string): Promise<JsonObject | null> {
    try {
      return await this.#options.client.call("GET", secretPath(key));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  async createSecret(key: string, secret: Secret): Promise<SecretMark> {
    const path = secretPath(key).replace(/\/[^/]*$/, "");
    return this.#write("POST", path, key, secret);
  }

  async replaceSecret(key: string, secret: Secret): Promise<SecretMark> {
    return this.#write("PUT", secretPath(key), key, secret);
  }

  async #write(method: string, path: string, key: string, secret: Secret): Promise<SecretMark> {
    const written = await this.#options.client.call(method, path, {
      query: { fieldManager: FIELD_MANAGER },
      body: formatSecret(secret),
      // The answer without the content: we have it.
      accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    });
    const mark = markOfObject(written);
    const [namespace = ""] = key.split("/");
    this.#cacheOf(this.#secrets, namespace)?.observe(key, mark);
    return mark;
  }

  async writeStatus(key: string, sealed: JsonObject, status: Status): Promise<void> {
    const [namespace = "", name = ""] = key.split("/");
    const written = await this.#options.client.call(
      "PATCH",
      `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/${name}/status`,
      {
        query: { fieldManager: FIELD_MANAGER },
        // The uid makes the server refuse what was meant for an earlier object of this name.
        body: { metadata: { uid: metadataOf(sealed)["uid"] ?? "" }, status: { ...status } as Json },
        contentType: "application/merge-patch+json",
      },
    );
    this.#cacheOf(this.#sealedSecrets, namespace)?.observe(key, withoutManagedFields(written));
  }

  async recordEvent(sealed: JsonObject, verdict: Verdict): Promise<void> {
    const { name, namespace, uid, resourceVersion } = metadataOf(sealed);
    const now = this.#options.now().toISOString();
    const seconds = `${now.slice(0, 19)}Z`;
    const message = verdict.event.message;
    await this.#options.client.call("POST", `/api/v1/namespaces/${text(namespace)}/events`, {
      query: { fieldManager: FIELD_MANAGER },
      body: {
        apiVersion: "v1",
        kind: "Event",
        metadata: { generateName: `${text(name).slice(0, 200)}.`, namespace: text(namespace) },
        involvedObject: {
          apiVersion: text(sealed["apiVersion"]),
          kind: text(sealed["kind"]),
          name: text(name),
          namespace: text(namespace),
          uid: text(uid),
          resourceVersion: text(resourceVersion),
        },
        type: verdict.synced ? "Normal" : "Warning",
        reason: verdict.event.reason,
        message:
          message.length > MAX_EVENT_MESSAGE
            ? `${message.slice(0, MAX_EVENT_MESSAGE - 1)}…`
            : message,
        source: { component: EVENT_COMPONENT },
        firstTimestamp: seconds,
        lastTimestamp: seconds,
        count: 1,
        reportingComponent: EVENT_COMPONENT,
        reportingInstance: FIELD_MANAGER,
      },
    });
  }

  #cacheOf<T>(caches: readonly Cache<T>[], namespace: string): Cache<T> | undefined {
    const { namespaces } = this.#options;
    return caches[namespaces === undefined ? 0 : namespaces.indexOf(namespace)];
  }
}

function scopedPaths(namespaces: readonly string[] | undefined): string[] {
  return namespaces?.map((namespace) => `/namespaces/${namespace}`) ?? [""];
}

function secretPath(key: string): string {
  const [namespace = "", name = ""] = key.split("/");
  return `/api/v1/namespaces/${namespace}/secrets/${name}`;
}

function find<T>(caches: readonly Cache<T>[], key: string): T | undefined {
  for (const cache of caches) {
    const object = cache.get(key);
    if (object !== undefined) return object;
  }
  return undefined;
}

function markOfObject(object: JsonObject): SecretMark {
  const { uid, resourceVersion } = metadataOf(object);
  return { uid: text(uid), resourceVersion: text(resourceVersion) };
}

function withoutManagedFields(object: JsonObject): JsonObject {
  const { managedFields: _books, ...metadata } = asObject(object["metadata"] ?? null) ?? {};
  // Lists leave these two out of their items.
  return { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", ...object, metadata };
}

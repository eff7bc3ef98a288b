// A cluster as the reconciler's world: watches SealedSecrets and Secrets, and writes Secrets.

import { formatSecret, type Secret } from "../shared/kubernetes/secret.ts";
import { asObject, type JsonObject, metadataOf, objectsIn } from "../shared/kubernetes/object.ts";
import { Cache, METADATA_ONLY, objectKey, text } from "./cache.ts";
import { ApiError, type CallOptions, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { deliveredOf } from "./delivered.ts";
import type { DeliveryPlan } from "./deliveryplan.ts";
import { Definition } from "./definition.ts";
import { formatEvent } from "./events.ts";
import { Keeper, type Kept, observedIn, type Pending, pendingIn, summaryIn } from "./kept.ts";
import type { Log } from "./log.ts";
import { type Observed, observedOf } from "./observed.ts";
import { NamespaceLabels } from "./namespacelabels.ts";
import type { SecretMark } from "./record.ts";
import { RateLimit } from "./ratelimit.ts";
import { Resting } from "./resting.ts";
import { isBeingDeleted } from "./sourceof.ts";
import type { Summary } from "./summary.ts";
import { FIELD_MANAGER, isAllOurs, SECRET_LABEL } from "./decide.ts";
import {
  type Delivered,
  type DeliveryWorld,
  type Event,
  type Labels,
  type NamespaceFacts,
  type SourceNow,
  WorldError,
} from "./world.ts";

const SEALED_SECRETS = "/apis/bitnami.com/v1alpha1";

/**
 * Events about the SealedSecrets of a namespace, per second, and the burst. etcd keeps each Event
 * for an hour, so someone who keeps changing SealedSecrets could fill it. The status contains the
 * same information.
 */
const EVENT_RATE = 1 / 5;
const EVENT_BURST = 100;

export interface ClusterOptions {
  readonly client: KubernetesClient;
  /** Undefined for all namespaces. */
  readonly namespaces: readonly string[] | undefined;
  /** Selects SealedSecrets by label. */
  readonly labelSelector: string | undefined;
  /** Selects namespaces by label. */
  readonly namespaceSelector: string | undefined;
  /** Whether values that are sealed for labels of namespaces may be opened. */
  readonly selectorScope: boolean;
  /** Learns what deliveries depend on. */
  readonly plan: DeliveryPlan;
  /** Throws if this replica may not write for this name of the queue. */
  readonly guard: (work: string) => void;
  /** Called with the `namespace/name` of a SealedSecret that may need a reconcile. */
  readonly onChange: (key: string) => void;
  readonly log: Log;
  readonly now: () => Date;
}

/** The watched part of a cluster. */
export class ClusterWorld implements DeliveryWorld {
  readonly #options: ClusterOptions;
  readonly #keeper: Keeper;
  readonly #events = new RateLimit(EVENT_RATE, EVENT_BURST);
  readonly #sealedSecrets: Cache<Kept>[] = [];
  readonly #secrets: Cache<Marked>[] = [];
  /** Secrets that we wrote and that have no label of ours, so that the watch does not report them. */
  readonly #unwatched = new Set<string>();
  readonly #labels: NamespaceLabels;
  readonly #definition: Definition;
  #isHeld = false;
  /** SealedSecrets that depend on the labels of their namespace, by namespace. */
  readonly #bySelector = new Map<string, Set<string>>();

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { client, log, labelSelector, namespaceSelector, plan } = options;
    this.#keeper = new Keeper(undefined, (namespace) => plan.isListed(namespace));
    this.#definition = new Definition(client, () => performance.now());
    this.#labels = new NamespaceLabels({
      client,
      selector: namespaceSelector,
      mayList: options.namespaces === undefined || namespaceSelector !== undefined,
      onChange: (namespace, facts) => {
        plan.observeNamespace(namespace, facts);
        const keys =
          namespaceSelector === undefined
            ? (this.#bySelector.get(namespace) ?? [])
            : this.#keysIn(namespace);
        for (const key of keys) options.onChange(key);
      },
      log,
    });
    for (const path of scopedPaths(options.namespaces)) {
      const sealedSecrets = new Cache(
        client,
        {
          path: `${SEALED_SECRETS}${path}/sealedsecrets`,
          ...(labelSelector === undefined ? {} : { labelSelector }),
        },
        {
          keep: (object, key) => this.#keeper.keep(withoutManagedFields(object), key),
          onChange: options.onChange,
          onFailure: (error) => {
            if (error instanceof ApiError && error.status === 404) this.#definition.missed();
          },
          onStored: (key, stored, before) => {
            this.#keeper.count(stored, before);
            this.#index(key, pendingIn(stored), pendingIn(before));
            plan.observeSource(key, pendingIn(stored)?.delivery ?? null);
          },
          log,
        },
      );
      const secrets = new Cache(
        client,
        { path: `/api/v1${path}/secrets`, labelSelector: SECRET_LABEL, metadataOnly: true },
        {
          keep: markedOf,
          onChange: (key) => {
            options.onChange(key);
            plan.observeSecret(key);
          },
          onStored: (key, stored, before) => {
            plan.indexSecret(key, stored?.delivered ?? null, before?.delivered ?? null);
          },
          log,
        },
      );
      this.#sealedSecrets.push(sealedSecrets);
      this.#secrets.push(secrets);
    }
  }

  /** Resolves after the first lists: to decide anything before them could mean a needless write. */
  async start(signal: AbortSignal): Promise<void> {
    if (this.#options.plan.isOn) this.#labels.need();
    await this.#labels.start(signal);
    // At the same time: while one page is worked on, the API server makes the next of the other.
    const caches = [...this.#secrets, ...this.#sealedSecrets];
    await Promise.all(caches.map((cache) => cache.start(signal)));
    // Some of these may need labels.
    await this.#labels.start(signal);
  }

  #index(key: string, stored: Pending | undefined, before: Pending | undefined): void {
    if (stored?.hasSelector !== true && before?.hasSelector !== true) return;
    const namespace = namespaceOf(key);
    const keys = this.#bySelector.get(namespace) ?? new Set();
    if (stored?.hasSelector === true) keys.add(key);
    else keys.delete(key);
    if (keys.size === 0) this.#bySelector.delete(namespace);
    else this.#bySelector.set(namespace, keys);
    if (this.#options.selectorScope) this.#labels.need();
  }

  async namespaceLabels(namespace: string, time: "seen" | "now"): Promise<Labels> {
    if (!this.#options.selectorScope) {
      throw new WorldError("refused", "the controller runs with --selector-scope=false");
    }
    try {
      return await (time === "now"
        ? this.#labels.current(namespace)
        : this.#labels.seen(namespace));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 403) throw worldErrorOf(error, "GET");
      const { permission } = this.#labels;
      throw new WorldError("refused", `${error.message}; it takes permission to ${permission}`);
    }
  }

  get labelsPollMs(): number | undefined {
    return this.#labels.pollMs;
  }

  async sealedSecret(key: string): Promise<Observed | undefined> {
    const namespace = namespaceOf(key);
    if (!this.#isSelected(namespace)) return undefined;
    const kept = this.#cacheOf(this.#sealedSecrets, namespace).get(key);
    if (kept === undefined) {
      if (this.#unwatched.delete(key)) this.#cacheOf(this.#secrets, namespace).forget(key);
      return undefined;
    }
    return observedIn(kept) ?? this.#readSealedSecret(key);
  }

  /** Reads it with a list of one, because the controller has no permission to get SealedSecrets. */
  async #readSealedSecret(key: string): Promise<Observed | undefined> {
    const [namespace = "", name = ""] = key.split("/");
    const path = `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets`;
    const { items } = await this.#call("GET", path, {
      query: { fieldSelector: `metadata.name=${name}` },
    });
    const [object] = objectsIn(items);
    return object === undefined ? undefined : observedOf(withoutManagedFields(object));
  }

  async sourceNow(key: string): Promise<SourceNow> {
    let found: Observed | undefined;
    try {
      found = await this.#readSealedSecret(key);
    } catch (error) {
      const unknownForMs = await this.#heldMs();
      if (unknownForMs > 0) return { unknownForMs };
      throw error;
    }
    if (found !== undefined && !isBeingDeleted(found.object)) return found;
    // With its definition, what a finalizer holds is being deleted, and not gone.
    const unknownForMs = await this.#heldMs();
    return unknownForMs > 0 ? { unknownForMs } : found;
  }

  /** How long nothing counts as deleted. Logs the beginning of such a time, not each Secret in it. */
  async #heldMs(): Promise<number> {
    const heldMs = await this.#definition.heldMs();
    if (heldMs > 0 && !this.#isHeld) {
      this.#options.log.warn(
        "the definition of SealedSecrets is or was missing, so none counts as deleted yet",
        { forMs: Math.round(heldMs) },
      );
    }
    this.#isHeld = heldMs > 0;
    return heldMs;
  }

  resting(key: string): Resting | undefined {
    const namespace = namespaceOf(key);
    if (!this.#isSelected(namespace)) return undefined;
    const kept = this.#cacheOf(this.#sealedSecrets, namespace).get(key);
    return kept instanceof Resting ? kept : undefined;
  }

  secretMark(key: string): SecretMark | undefined {
    const marked = this.#cacheOf(this.#secrets, namespaceOf(key)).get(key);
    return marked === undefined ? undefined : markOf(marked);
  }

  isAllOurs(key: string): boolean {
    return this.#cacheOf(this.#secrets, namespaceOf(key)).get(key)?.isAllOurs === true;
  }

  delivered(key: string): Delivered | null {
    return this.#cacheOf(this.#secrets, namespaceOf(key)).get(key)?.delivered ?? null;
  }

  async namespaceSince(
    namespace: string,
    sinceMs: number | null,
  ): Promise<NamespaceFacts | undefined> {
    try {
      if (sinceMs === null) return await this.#labels.read(namespace);
      return (await this.#labels.since(sinceMs)).get(namespace);
    } catch (error) {
      throw error instanceof ApiError ? worldErrorOf(error, "GET") : error;
    }
  }

  /** Every selected SealedSecret, as last seen. */
  *sealedSecrets(): Generator<Summary> {
    for (const [, kept] of this.#selected()) yield summaryIn(kept);
  }

  /** Keys of all selected SealedSecrets. */
  *keys(): Generator<string> {
    for (const [key] of this.#selected()) yield key;
  }

  *#selected(): Generator<[string, Kept]> {
    for (const cache of this.#sealedSecrets) {
      for (const entry of cache.entries()) if (this.#isSelected(namespaceOf(entry[0]))) yield entry;
    }
  }

  #isSelected(namespace: string): boolean {
    return this.#labels.isSelected(namespace);
  }

  #keysIn(namespace: string): string[] {
    const keys = this.#sealedSecrets.flatMap((cache) => [...cache.keys()]);
    return keys.filter((key) => namespaceOf(key) === namespace);
  }

  async readSecret(key: string): Promise<JsonObject | null> {
    try {
      return await this.#options.client.call("GET", secretPath(key));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404) return null;
      throw worldErrorOf(error, "GET");
    }
  }

  async createSecret(key: string, secret: Secret, work: string): Promise<SecretMark> {
    const path = secretPath(key).replace(/\/[^/]*$/, "");
    return this.#write("POST", path, key, secret, work);
  }

  async replaceSecret(key: string, secret: Secret, work: string): Promise<SecretMark> {
    return this.#write("PUT", secretPath(key), key, secret, work);
  }

  #guardOf(work: string): () => void {
    return () => {
      this.#options.guard(work);
    };
  }

  async #write(
    method: string,
    path: string,
    key: string,
    secret: Secret,
    work: string,
  ): Promise<SecretMark> {
    let isWatched = false;
    const send = async (): Promise<Marked> => {
      const written = await this.#call(method, path, {
        query: { fieldManager: FIELD_MANAGER },
        body: formatSecret(secret),
        accept: METADATA_ONLY,
        guard: this.#guardOf(work),
      });
      isWatched = SECRET_LABEL in (asObject(metadataOf(written)["labels"] ?? null) ?? {});
      if (isWatched) this.#unwatched.delete(key);
      else this.#unwatched.add(key);
      return markedOf(written);
    };
    const cache = this.#cacheOf(this.#secrets, namespaceOf(key));
    const versionOf = ({ resourceVersion }: Marked): string | undefined =>
      isWatched ? resourceVersion : undefined;
    return markOf(await cache.observe(key, send, versionOf));
  }

  async deleteSecret(key: string, mark: SecretMark, work: string): Promise<void> {
    const { uid, resourceVersion } = mark;
    await this.#call("DELETE", secretPath(key), {
      body: { preconditions: { uid, resourceVersion } },
      guard: this.#guardOf(work),
    });
  }

  async writeStatus(key: string, sealed: JsonObject, status: JsonObject): Promise<void> {
    const cache = this.#cacheOf(this.#sealedSecrets, namespaceOf(key));
    let version: string | undefined;
    const send = async (): Promise<Kept> => {
      // The server rejects it if the version in the metadata is out of date, and ignores the spec.
      const written = await this.#call("PUT", `${sealedSecretPath(key)}/status`, {
        query: { fieldManager: FIELD_MANAGER },
        body: { ...sealed, spec: { encryptedData: {} }, status },
        guard: this.#guardOf(key),
      });
      version = text(metadataOf(written)["resourceVersion"]) || undefined;
      // The definition of the original prunes fields of the status that we sent.
      return this.#keeper.keep(withoutManagedFields(written), key);
    };
    await cache.observe(key, send, () => version);
  }

  /** `guard`: by default that of the work on a SealedSecret. */
  async recordEvent(object: JsonObject, event: Event, guard?: () => void): Promise<void> {
    const namespace = text(metadataOf(object)["namespace"]);
    if (!this.#events.take(namespace, performance.now()).allowed) return;
    await this.#call("POST", `/api/v1/namespaces/${namespace}/events`, {
      query: { fieldManager: FIELD_MANAGER },
      guard: guard ?? this.#guardOf(objectKey(object)),
      body: formatEvent(object, event, this.#options.now()),
    });
  }

  /** @throws WorldError */
  async #call(method: string, path: string, options: CallOptions = {}): Promise<JsonObject> {
    try {
      return await this.#options.client.call(method, path, options);
    } catch (error) {
      throw error instanceof ApiError ? worldErrorOf(error, method) : error;
    }
  }

  #cacheOf<T>(caches: readonly Cache<T>[], namespace: string): Cache<T> {
    const { namespaces } = this.#options;
    const cache = caches[namespaces === undefined ? 0 : namespaces.indexOf(namespace)];
    if (cache === undefined) throw new Error(`namespace ${namespace} is not watched`);
    return cache;
  }
}

function worldErrorOf(
  { status, reason, message, retryAfterMs, invalidFields }: ApiError,
  method: string,
): WorldError {
  // The object was deleted after we last saw it: as with a conflict, the next look finds out.
  const isGone = status === 404 && (method === "PUT" || method === "DELETE");
  const passes = isGone || status === 0 || status === 409 || status === 429 || status >= 500;
  const failure =
    reason === "AlreadyExists"
      ? "exists"
      : passes
        ? "transient"
        : // An admission policy that refuses an object names no field.
          status === 422 && invalidFields > 0
          ? "invalid"
          : "refused";
  return new WorldError(failure, message, retryAfterMs);
}

function scopedPaths(namespaces: readonly string[] | undefined): string[] {
  return namespaces?.map((namespace) => `/namespaces/${namespace}`) ?? [""];
}

function secretPath(key: string): string {
  const [namespace = "", name = ""] = key.split("/");
  return `/api/v1/namespaces/${namespace}/secrets/${name}`;
}

function sealedSecretPath(key: string): string {
  const [namespace = "", name = ""] = key.split("/");
  return `${SEALED_SECRETS}/namespaces/${namespace}/sealedsecrets/${name}`;
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

/** A Secret that has our label, without its content. */
interface Marked extends SecretMark {
  readonly isAllOurs: boolean;
  readonly delivered: Delivered | null;
}

function markedOf(object: JsonObject): Marked {
  const { uid, resourceVersion } = metadataOf(object);
  return {
    uid: text(uid),
    resourceVersion: text(resourceVersion),
    isAllOurs: isAllOurs(object),
    delivered: deliveredOf(object),
  };
}

function markOf({ uid, resourceVersion }: Marked): SecretMark {
  return { uid, resourceVersion };
}

function withoutManagedFields(object: JsonObject): JsonObject {
  const { managedFields: _dropped, ...metadata } = metadataOf(object);
  // The items of a list lack these two fields.
  return { apiVersion: "bitnami.com/v1alpha1", kind: "SealedSecret", ...object, metadata };
}

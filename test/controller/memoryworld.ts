// A world in memory for the reconciler: objects with versions, failures on demand, a record of all.
// SPEC.md, "Reconciling".
import { FIELD_MANAGER, isAllOurs, SECRET_LABEL } from "../../controller/decide.ts";
import { deliveredOf } from "../../controller/delivered.ts";
import { DeliveryPlan, deliverySourceOf } from "../../controller/deliveryplan.ts";
import { Keeper } from "../../controller/kept.ts";
import { type Observed, observedOf } from "../../controller/observed.ts";
import type { SecretMark } from "../../controller/record.ts";
import { Resting } from "../../controller/resting.ts";
import {
  type Delivered,
  type Event,
  type Labels,
  type NamespaceFacts,
  type DeliveryWorld,
  type SourceNow,
  WorldError,
  type WorldFailure,
} from "../../controller/world.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { formatSecret, type Secret } from "../../shared/kubernetes/secret.ts";

type Call = "labels" | "read" | "source" | "create" | "replace" | "delete" | "status" | "event";

/** Keeps the promises that world.ts makes. Like a cluster, it watches labelled Secrets only. */
export class MemoryWorld implements DeliveryWorld {
  readonly sealed = new Map<string, JsonObject>();
  readonly secrets = new Map<string, JsonObject>();
  /** Every call in order, such as `create demo/db`, and whether it failed. */
  readonly calls: string[] = [];
  readonly statuses: JsonObject[] = [];
  readonly events: Event[] = [];
  /** What happens between the reconciler's decision to make a call and the call itself, once. */
  readonly meanwhile = new Map<Call, () => void>();
  /** Labels by namespace. */
  readonly labels = new Map<string, Labels>();
  /** Labels that no watch told of yet. */
  readonly newLabels = new Map<string, Labels>();
  labelsPollMs: number | undefined = undefined;
  /** How long nobody can tell whether a SealedSecret was deleted. */
  unknownForMs = 0;
  /** Whether managed fields say whose the fields of a Secret are, as in a cluster. */
  managesFields = false;
  /** Other facts of namespaces. */
  readonly facts = new Map<string, Partial<NamespaceFacts>>();
  /** Learns of all changes at once, if there is one. */
  plan: DeliveryPlan | undefined = undefined;
  /** Called with the name of each object that changes. */
  onChange: ((key: string) => void) | undefined = undefined;
  #version = 0;
  readonly #keeper = new Keeper(undefined, (namespace) => this.plan?.isListed(namespace) ?? false);

  /** The next call of this kind fails. */
  fail(call: Call, failure: WorldFailure, message = "out of order", retryAfterMs?: number): void {
    this.meanwhile.set(call, () => {
      throw new WorldError(failure, message, retryAfterMs);
    });
  }

  /** What someone else writes: a new version. A Secret without a uid gets one. */
  put(kind: "sealed" | "secrets", object: JsonObject): JsonObject {
    const metadata = metadataOf(object);
    const resourceVersion = String(++this.#version);
    const uid = metadata["uid"] ?? `uid-${resourceVersion}`;
    const stored = { ...object, metadata: { ...metadata, uid, resourceVersion } };
    this.#store(kind, `${metadata["namespace"] as string}/${metadata["name"] as string}`, stored);
    return stored;
  }

  /** What someone else deletes. */
  remove(kind: "sealed" | "secrets", key: string): void {
    this.#store(kind, key, undefined);
  }

  /** A namespace that is made or changed. */
  namespace(name: string, labels: Labels, facts: Partial<NamespaceFacts> = {}): void {
    this.labels.set(name, labels);
    this.facts.set(name, facts);
    this.plan?.observeNamespace(name, this.#factsOf(name, labels));
  }

  /** Tells a plan that is new of everything. */
  replay(): void {
    for (const [name, labels] of this.labels) {
      this.plan?.observeNamespace(name, this.#factsOf(name, labels));
    }
    for (const key of this.secrets.keys()) this.plan?.indexSecret(key, this.delivered(key), null);
    for (const [key, object] of this.sealed) {
      this.onChange?.(key);
      this.plan?.observeSource(key, deliverySourceOf(observedOf(object)));
    }
  }

  #store(kind: "sealed" | "secrets", key: string, object: JsonObject | undefined): void {
    const before = this.delivered(key);
    this.onChange?.(key);
    if (object === undefined) this[kind].delete(key);
    else this[kind].set(key, object);
    if (kind === "sealed") {
      const source = object === undefined ? null : deliverySourceOf(observedOf(object));
      this.plan?.observeSource(key, source);
    } else {
      this.plan?.indexSecret(key, this.delivered(key), before);
      this.plan?.observeSecret(key);
    }
  }

  #factsOf(name: string, labels: Labels): NamespaceFacts {
    return { labels, accepts: undefined, isEnding: false, ...this.facts.get(name) };
  }

  delivered(key: string): Delivered | null {
    return deliveredOf(this.secrets.get(key) ?? {});
  }

  sourceNow(key: string): Promise<SourceNow> {
    return this.#call("source", key, () => {
      if (this.unknownForMs > 0) return { unknownForMs: this.unknownForMs };
      const sealed = this.sealed.get(key);
      return sealed === undefined ? undefined : observedOf(sealed);
    });
  }

  namespaceSince(name: string): Promise<NamespaceFacts | undefined> {
    return this.#call("labels", `${name} now`, () => {
      const labels = this.newLabels.get(name) ?? this.labels.get(name);
      return labels === undefined ? undefined : this.#factsOf(name, labels);
    });
  }

  sealedSecret(key: string): Promise<Observed | undefined> {
    const sealed = this.sealed.get(key);
    return Promise.resolve(sealed === undefined ? undefined : observedOf(sealed));
  }

  resting(key: string): Resting | undefined {
    const object = this.sealed.get(key);
    const kept = object === undefined ? undefined : this.#keeper.keep(object, key);
    return kept instanceof Resting ? kept : undefined;
  }

  secretMark(key: string): SecretMark | undefined {
    const secret = this.secrets.get(key);
    const labels = asObject(metadataOf(secret ?? {})["labels"] ?? null) ?? {};
    return secret === undefined || labels[SECRET_LABEL] === undefined ? undefined : markIn(secret);
  }

  isAllOurs(key: string): boolean {
    return isAllOurs(this.secrets.get(key) ?? {});
  }

  #managed(secret: JsonObject, before: JsonObject = {}): JsonObject {
    if (!this.managesFields) return secret;
    const { managedFields = [{ manager: FIELD_MANAGER, operation: "Update" }] } =
      metadataOf(before);
    return { ...secret, metadata: { ...metadataOf(secret), managedFields } };
  }

  namespaceLabels(namespace: string, time: "seen" | "now"): Promise<Labels> {
    return this.#call("labels", `${namespace} ${time}`, () => {
      const seen = this.labels.get(namespace) ?? {};
      return time === "now" ? (this.newLabels.get(namespace) ?? seen) : seen;
    });
  }

  readSecret(key: string): Promise<JsonObject | null> {
    return this.#call("read", key, () => this.secrets.get(key) ?? null);
  }

  createSecret(key: string, secret: Secret): Promise<SecretMark> {
    return this.#call("create", key, () => {
      if (this.secrets.has(key)) throw new WorldError("exists", "there is one");
      // The server's default.
      const made = { type: "Opaque", ...formatSecret(secret) };
      return markIn(this.put("secrets", this.#managed(made)));
    });
  }

  replaceSecret(key: string, secret: Secret): Promise<SecretMark> {
    return this.#call("replace", key, () => {
      const { rest } = secret.metadata;
      this.#expect(this.secrets, key, rest["uid"], rest["resourceVersion"]);
      const made = this.#managed(formatSecret(secret), this.secrets.get(key));
      return markIn(this.put("secrets", made));
    });
  }

  deleteSecret(key: string, { uid, resourceVersion }: SecretMark): Promise<void> {
    return this.#call("delete", key, () => {
      this.#expect(this.secrets, key, uid, resourceVersion);
      const secret = this.secrets.get(key) ?? {};
      const { finalizers, deletionTimestamp, ...metadata } = metadataOf(secret);
      if (finalizers === undefined) {
        this.remove("secrets", key);
      } else if (deletionTimestamp === undefined) {
        // Like the server, which changes nothing where an object is being deleted already.
        const held = { ...metadata, finalizers, deletionTimestamp: "2026-11-24T12:00:00Z" };
        this.put("secrets", { ...secret, metadata: held });
      }
    });
  }

  writeStatus(key: string, sealed: JsonObject, status: JsonObject): Promise<void> {
    return this.#call("status", key, () => {
      const { uid, resourceVersion } = metadataOf(sealed);
      this.#expect(this.sealed, key, uid, resourceVersion);
      this.statuses.push(status);
      // Like the server, it takes nothing but the status.
      this.put("sealed", { ...this.sealed.get(key), status });
    });
  }

  recordEvent(sealed: JsonObject, event: Event): Promise<void> {
    return this.#call("event", metadataOf(sealed)["name"] as string, () => {
      this.events.push(event);
    });
  }

  async #call<T>(call: Call, key: string, work: () => T): Promise<T> {
    // An answer never comes within the call.
    await Promise.resolve();
    const first = this.meanwhile.get(call);
    this.meanwhile.delete(call);
    try {
      first?.();
      const result = work();
      this.calls.push(`${call} ${key}`);
      return result;
    } catch (error) {
      this.calls.push(`${call} ${key}: ${(error as WorldError).failure}`);
      throw error;
    }
  }

  #expect(
    objects: ReadonlyMap<string, JsonObject>,
    key: string,
    uid: unknown,
    resourceVersion: unknown,
  ): void {
    const found = metadataOf(objects.get(key) ?? {});
    if (found["uid"] !== uid || found["resourceVersion"] !== resourceVersion) {
      throw new WorldError("transient", "it is no longer the one");
    }
  }
}

/** No SealedSecret is delivered anywhere. */
export const NO_DELIVERIES = new DeliveryPlan({
  from: new Set(),
  own: "kube-system",
  onWork: () => undefined,
  clock: () => 0,
});

function markIn(object: JsonObject): SecretMark {
  const { uid, resourceVersion } = metadataOf(object);
  return { uid: uid as string, resourceVersion: resourceVersion as string };
}

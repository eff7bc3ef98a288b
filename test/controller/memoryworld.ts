// A world in memory for the reconciler: objects with versions, failures on demand, a record of all.
// SPEC.md, "Reconciling".
import { SECRET_LABEL } from "../../controller/decide.ts";
import { type Observed, observedOf } from "../../controller/observed.ts";
import {
  type Event,
  type Labels,
  type SecretMark,
  type World,
  WorldError,
  type WorldFailure,
} from "../../controller/world.ts";
import { asObject, type JsonObject, metadataOf } from "../../shared/kubernetes/object.ts";
import { formatSecret, type Secret } from "../../shared/kubernetes/secret.ts";

type Call = "labels" | "read" | "create" | "replace" | "delete" | "status" | "event";

/** Keeps the promises that world.ts makes. Like a cluster, it watches labelled Secrets only. */
export class MemoryWorld implements World {
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
  #version = 0;

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
    this[kind].set(`${metadata["namespace"] as string}/${metadata["name"] as string}`, stored);
    return stored;
  }

  sealedSecret(key: string): Promise<Observed | undefined> {
    const sealed = this.sealed.get(key);
    return Promise.resolve(sealed === undefined ? undefined : observedOf(sealed));
  }

  secretMark(key: string): SecretMark | undefined {
    const secret = this.secrets.get(key);
    const labels = asObject(metadataOf(secret ?? {})["labels"] ?? null) ?? {};
    return secret === undefined || labels[SECRET_LABEL] === undefined ? undefined : markIn(secret);
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
      return markIn(this.put("secrets", { type: "Opaque", ...formatSecret(secret) }));
    });
  }

  replaceSecret(key: string, secret: Secret): Promise<SecretMark> {
    return this.#call("replace", key, () => {
      const { rest } = secret.metadata;
      this.#expect(this.secrets, key, rest["uid"], rest["resourceVersion"]);
      return markIn(this.put("secrets", formatSecret(secret)));
    });
  }

  deleteSecret(key: string, { uid, resourceVersion }: SecretMark): Promise<void> {
    return this.#call("delete", key, () => {
      this.#expect(this.secrets, key, uid, resourceVersion);
      this.secrets.delete(key);
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

function markIn(object: JsonObject): SecretMark {
  const { uid, resourceVersion } = metadataOf(object);
  return { uid: uid as string, resourceVersion: resourceVersion as string };
}

// Decides whether the key of an earlier controller may continue to seal when this one first starts.
// SPEC.md, "Confirmed keys".

import { setTimeout as sleep } from "node:timers/promises";
import {
  annotationsOf,
  asObject,
  type JsonObject,
  metadataOf,
  objectsIn,
} from "../shared/kubernetes/object.ts";
import { CONFIRMED_ANNOTATION, KEY_LABEL } from "../shared/keys/keyfile.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import { hasWrappedLabel, WRAPPED_KEY_LABEL } from "../shared/keys/wrappedkey.ts";
import { ApiError } from "../host/kubernetes/apiclient.ts";
import { eachPage } from "../host/kubernetes/paging.ts";
import { refersToSealedSecret } from "./decide.ts";
import type { KeyAnnotations, KeyAnnotationsWiring } from "./keyannotations.ts";

/**
 * Annotations of the original that a Secret gets only from the template of a SealedSecret, and our
 * own, such as the one on a key that was restored from a backup.
 */
const STRANGE_ANNOTATION = /^(sealedsecrets\.bitnami\.com|kube-signet)\//;

/** The field manager of the Go original. */
const ORIGINAL_MANAGER = "controller";

/** Returns why a key Secret may not be the work of the original or of a person; null if it may. */
function doubtAbout(secret: JsonObject): string | null {
  const { annotations = null, managedFields, ownerReferences } = metadataOf(secret);
  if (hasWrappedLabel(secret)) return "it has the label of a wrapped key";
  if (objectsIn(ownerReferences).some(refersToSealedSecret)) return "a SealedSecret owns it";
  const strange = Object.keys(asObject(annotations) ?? {}).find((name) =>
    STRANGE_ANNOTATION.test(name),
  );
  if (strange !== undefined) return `it has the annotation ${strange}`;
  const writers = objectsIn(managedFields)
    .filter(({ fieldsV1 }) => asObject(asObject(fieldsV1 ?? null)?.["f:data"] ?? null) !== null)
    .map(({ manager }) => manager);
  if (writers.length === 0) return "its managed fields do not say who wrote it";
  // The original lets the API server choose the names of its keys. Anything else that it writes
  // comes from SealedSecrets.
  return writers.includes(ORIGINAL_MANAGER) && !isNameGenerated(secret)
    ? "a controller wrote it, but its name was not generated"
    : null;
}

/** Characters that the API server appends to a `generateName`. */
const GENERATED_LENGTH = 5;

/** A template may carry any `generateName`, so it has to fit the name. */
function isNameGenerated(secret: JsonObject): boolean {
  const { name, generateName } = metadataOf(secret);
  if (typeof name !== "string" || typeof generateName !== "string") return false;
  return name.startsWith(generateName) && name.length === generateName.length + GENERATED_LENGTH;
}

/** Where to look for traces of an earlier controller. */
interface TakeOverPlace {
  readonly namespace: string;
  /** The name of the single key Secret used before 2019, which has no label. */
  readonly prefix: string;
  /** The Lease of this controller: it outlives the controller, and all of its keys. */
  readonly leaseName: string;
}

const RETRY_MS = 1_000;

/**
 * The key of an earlier controller that may seal, decided once at the start. It must be the only
 * key Secret: the original lets a SealedSecret create a key Secret, but creates its own key before
 * it handles the first SealedSecret.
 */
export class TakeOver {
  readonly #place: TakeOverPlace;
  readonly #wiring: KeyAnnotationsWiring;
  readonly #annotations: KeyAnnotations;
  /** The fingerprint of the key that may seal although its Secret has no confirmation yet. */
  #inherited: string | null = null;

  constructor(place: TakeOverPlace, wiring: KeyAnnotationsWiring, annotations: KeyAnnotations) {
    this.#place = place;
    this.#wiring = wiring;
    this.#annotations = annotations;
  }

  /** Whether a key may seal although its Secret has no confirmation yet. */
  inherits({ fingerprint, confirmed }: SealingKey): boolean {
    return !confirmed && fingerprint === this.#inherited;
  }

  /** Decides about the keys that are held. Failures are retried until `signal` aborts. */
  async judge(held: readonly SealingKey[], signal: AbortSignal): Promise<void> {
    const [key] = held;
    if (key === undefined || held.some(({ confirmed }) => confirmed)) return;
    const { log } = this.#wiring;
    while (!signal.aborted) {
      try {
        const reason = await this.#reasonAgainst(key);
        if (reason === null) {
          const { fingerprint, name } = key;
          const secret = `${this.#place.namespace}/${name}`;
          this.#inherited = fingerprint;
          log.warn("took over the sealing key of an earlier controller", { secret, fingerprint });
        } else {
          const message =
            "no sealing key was taken over: existing keys open values but do not seal";
          log.warn(message, { reason });
        }
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        log.warn("existing sealing keys could not be checked, retrying", { error: error.message });
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * Forgets the decision once any confirmation is stored. From then on only annotations count, so
   * that a person can revoke one, and all replicas agree.
   */
  settle(held: readonly SealingKey[]): void {
    if (held.some(({ confirmed }) => confirmed)) this.#inherited = null;
  }

  /** Stores the decision. To be called by the leader. @throws ApiError; call it again */
  async confirm(held: readonly SealingKey[]): Promise<void> {
    const key = held.find((each) => this.inherits(each));
    if (key === undefined) return;
    await this.#annotations.set(key.name, CONFIRMED_ANNOTATION, key.fingerprint);
  }

  /** Why `key`, which is held, must not seal; null if it may. @throws ApiError */
  async #reasonAgainst(key: SealingKey): Promise<string | null> {
    const secrets = await this.#keySecrets();
    if (secrets.some(isConfirmed) || (await this.#hasLease())) {
      return "this controller has already run here";
    }
    const [secret, ...others] = secrets;
    if (others.length > 0) return `there are ${secrets.length} key Secrets`;
    // It was replaced since it was read, so its fingerprint is not known.
    if (secret === undefined || metadataOf(secret)["name"] !== key.name)
      return "it no longer exists";
    return key.compromised ? "it is marked as compromised" : doubtAbout(secret);
  }

  /** All key Secrets, in use or not, well-formed or not. */
  async #keySecrets(): Promise<JsonObject[]> {
    const { namespace, prefix } = this.#place;
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    const unlabelled = { labelSelector: `!${KEY_LABEL}`, fieldSelector: `metadata.name=${prefix}` };
    const found: JsonObject[] = [];
    const labelled = [KEY_LABEL, WRAPPED_KEY_LABEL].map((labelSelector) => ({ labelSelector }));
    for (const query of [...labelled, unlabelled]) {
      await eachPage(
        (page) => this.#wiring.client.unparsed("GET", path, { query: { ...query, ...page } }),
        ({ items }) => found.push(...objectsIn(items)),
      );
    }
    return found;
  }

  /**
   * Whether a replica of this controller ever led here. Someone may have deleted every confirmed
   * key since.
   */
  async #hasLease(): Promise<boolean> {
    const { namespace, leaseName } = this.#place;
    const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${leaseName}`;
    try {
      await this.#wiring.client.call("GET", path);
      return true;
    } catch (error) {
      // A deployment of the original grants no permission for Leases, so there is none.
      if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return false;
      throw error;
    }
  }
}

function isConfirmed(secret: JsonObject): boolean {
  return CONFIRMED_ANNOTATION in annotationsOf(secret);
}

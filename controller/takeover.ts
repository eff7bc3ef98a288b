// Which keys of an earlier controller may go on sealing when this one starts for the first time.
// SPEC.md, "Confirmed keys".

import { setTimeout as sleep } from "node:timers/promises";
import { asObject, type JsonObject, metadataOf, objectsIn } from "../shared/kubernetes/object.ts";
import { CONFIRMED_ANNOTATION, KEY_LABEL } from "../shared/keys/keyfile.ts";
import type { SealingKey } from "../shared/keys/sealingkey.ts";
import { ApiError } from "../host/kubernetes/apiclient.ts";
import { pagesOf } from "../host/kubernetes/paging.ts";
import { refersToSealedSecret, SECRET_LABEL } from "./decide.ts";
import type { KeyAnnotations, KeyAnnotationsWiring } from "./keyannotations.ts";

/** How far clocks of one cluster may differ. */
const CLOCKS_DIFFER_MS = 300_000;

/**
 * Annotations of the original that a Secret gets only through the template of a SealedSecret, and
 * our own.
 */
const STRANGE_ANNOTATION = /^(sealedsecrets\.bitnami\.com|kube-signet)\//;

/** The field manager of the Go original. */
const ORIGINAL_MANAGER = "controller";

/**
 * Returns why a key Secret may have been made from a SealedSecret, or null if nothing tells. The Go
 * original lets a SealedSecret carry the label of a key, so whoever may create SealedSecrets in its
 * namespace can have it make a key Secret.
 */
export function doubtAbout(secret: JsonObject, key: SealingKey, now: Date): string | null {
  const { annotations = null, labels = null, managedFields, ownerReferences } = metadataOf(secret);
  if (objectsIn(ownerReferences).some(refersToSealedSecret)) return "a SealedSecret owns it";
  // An orphaned Secret keeps the label, which is on all that we make from SealedSecrets.
  if (SECRET_LABEL in (asObject(labels) ?? {})) return "it was made from a SealedSecret";
  const strange = Object.keys(asObject(annotations) ?? {}).find((name) =>
    STRANGE_ANNOTATION.test(name),
  );
  if (strange !== undefined) return "it has an annotation that Secrets from SealedSecrets have";
  const soon = now.getTime() + CLOCKS_DIFFER_MS;
  if ((key.certificate?.notBefore.getTime() ?? 0) > soon) return "its certificate is of the future";
  // The original lets the API server choose the names of its keys. What else it writes comes from
  // SealedSecrets.
  const isOfOriginal = objectsIn(managedFields).some(
    ({ manager, fieldsV1 }) =>
      manager === ORIGINAL_MANAGER && asObject(asObject(fieldsV1 ?? null)?.["f:data"] ?? null),
  );
  if (isOfOriginal && !isNameGenerated(secret)) {
    return "a controller wrote it under a name that was given";
  }
  return null;
}

/** Characters that the API server appends to a `generateName`. */
const GENERATED_LENGTH = 5;

/** A template may carry any `generateName`, so it has to fit the name. */
function isNameGenerated(secret: JsonObject): boolean {
  const { name, generateName } = metadataOf(secret);
  if (typeof name !== "string" || typeof generateName !== "string") return false;
  return name.startsWith(generateName) && name.length === generateName.length + GENERATED_LENGTH;
}

/** A key Secret, judged by itself. */
interface Candidate {
  /** Null if the Secret is malformed. */
  readonly key: SealingKey | null;
  /** See `doubtAbout`. */
  readonly doubt: string | null;
}

const RETRY_MS = 1_000;

/** The keys of an earlier controller that may seal, decided once at the start. */
export class TakeOver {
  readonly #namespace: string;
  readonly #wiring: KeyAnnotationsWiring;
  readonly #annotations: KeyAnnotations;
  readonly #inherited = new Set<string>();

  constructor(namespace: string, wiring: KeyAnnotationsWiring, annotations: KeyAnnotations) {
    this.#namespace = namespace;
    this.#wiring = wiring;
    this.#annotations = annotations;
  }

  /** Whether a key may seal although its Secret has no confirmation yet. */
  inherits({ fingerprint, confirmed }: SealingKey): boolean {
    return !confirmed && this.#inherited.has(fingerprint);
  }

  /**
   * Decides about the keys that are there. Unless no key Secret was ever confirmed, none may seal
   * without a confirmation. Failures are retried until `signal` aborts.
   */
  async judge(candidates: readonly Candidate[], signal: AbortSignal): Promise<void> {
    if (candidates.length === 0 || candidates.some(({ key }) => key?.confirmed === true)) return;
    while (!signal.aborted) {
      try {
        if (!(await this.#wasConfirmed())) await this.#inheritFrom(candidates);
        return;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.#wiring.log.warn("sealing keys could not be judged, trying again", {
          error: error.message,
        });
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * Notes which confirmations are written down. From then on the annotation alone counts, so that a
   * person can take it back.
   */
  settle(candidates: readonly Candidate[]): void {
    for (const { key } of candidates) {
      if (key?.confirmed === true) this.#inherited.delete(key.fingerprint);
    }
  }

  /**
   * Writes down what was decided, for the key in the Secret `sealing` first: after a kill between
   * two writes no key is taken over any more, and an older one would seal. To be called by the
   * leader. @throws ApiError; call it again
   */
  async confirm(candidates: readonly Candidate[], sealing: string): Promise<void> {
    const isFirst = ({ key }: Candidate): number => Number(key?.name === sealing);
    for (const { key } of [...candidates].sort((a, b) => isFirst(b) - isFirst(a))) {
      if (key === null || !this.inherits(key)) continue;
      await this.#annotations.set(key.name, CONFIRMED_ANNOTATION, key.fingerprint);
    }
  }

  async #inheritFrom(candidates: readonly Candidate[]): Promise<void> {
    const { log } = this.#wiring;
    for (const { key, doubt } of candidates) {
      if (key === null || key.compromised) continue;
      const { name, fingerprint } = key;
      const told = { secret: `${this.#namespace}/${name}`, fingerprint };
      const reason = doubt ?? (await this.#sealedSecretOf(name));
      if (reason === null) {
        this.#inherited.add(fingerprint);
        log.warn("sealing key of an earlier controller taken over", told);
      } else {
        const hint = `signet keys adopt ${name}`;
        const message = "sealing key found, and not taken over: it opens values and seals none";
        log.warn(message, { ...told, reason, hint });
      }
    }
  }

  /** Whether any key Secret, in use or not, has a confirmation. */
  async #wasConfirmed(): Promise<boolean> {
    const path = `/api/v1/namespaces/${this.#namespace}/secrets`;
    for await (const { items } of pagesOf((page) =>
      this.#wiring.client.call("GET", path, { query: { labelSelector: KEY_LABEL, ...page } }),
    )) {
      const annotations = objectsIn(items).map((secret) => metadataOf(secret)["annotations"]);
      if (annotations.some((each) => CONFIRMED_ANNOTATION in (asObject(each ?? null) ?? {}))) {
        return true;
      }
    }
    return false;
  }

  /** Why a key may have been made from a SealedSecret that is still there. */
  async #sealedSecretOf(name: string): Promise<string | null> {
    const path = `/apis/bitnami.com/v1alpha1/namespaces/${this.#namespace}/sealedsecrets`;
    const query = { fieldSelector: `metadata.name=${name}`, limit: "1" };
    const { items } = await this.#wiring.client.call("GET", path, { query });
    return objectsIn(items).length === 0 ? null : "there is a SealedSecret of its name";
  }
}

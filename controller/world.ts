// The interface through which the reconciler reads and writes objects, and its errors.
// SPEC.md, "Reconciling".

import type { JsonObject } from "../shared/kubernetes/object.ts";
import type { Observed } from "./observed.ts";
import type { SecretMark } from "./record.ts";
import type { Resting } from "./resting.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";

/** What a Secret says of its delivery. Anyone may have written it. */
export interface Delivered {
  /** `NAMESPACE/NAME` of the SealedSecret. */
  readonly from: string;
  readonly source: string;
  readonly tag: string;
}

/** What deliveries need to know of a namespace. */
export interface NamespaceFacts {
  readonly labels: Labels;
  /** Its annotation `kube-signet/accept-deliveries`; undefined if it is absent. */
  readonly accepts: string | undefined;
  /** It is being deleted. */
  readonly isEnding: boolean;
}

/** Labels of an object, by key. */
export type Labels = Readonly<Record<string, string>>;

/**
 * Why a call to a world failed.
 * - `exists`: a Secret of that name already exists.
 * - `transient`: a retry may succeed, such as after a conflict or when a server is back.
 * - `refused`: the call is rejected, and a retry succeeds only after someone else changed something.
 * - `invalid`: the call is rejected because of the Secret's content, and so would be each retry.
 */
export type WorldFailure = "exists" | "transient" | "refused" | "invalid";

/** The only error that the calls of a world throw on purpose. */
export class WorldError extends Error {
  override readonly name = "WorldError";
  readonly failure: WorldFailure;
  /** How long the server asks the caller to wait; undefined if it does not say. */
  readonly retryAfterMs: number | undefined;

  /** `message` must not contain any part of a Secret. */
  constructor(failure: WorldFailure, message: string, retryAfterMs?: number) {
    super(message);
    this.failure = failure;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The source of SealedSecrets and the destination of Secrets: a cluster, or folders. A `key`
 * parameter is the `NAMESPACE/NAME` of an object, and `work` the queue's name of the work that a
 * Secret is written for: where replicas share the work, it says whose write it is.
 */
export interface World {
  /** Returns the last observed version of a SealedSecret, or a later one; undefined if there is none. */
  sealedSecret(key: string): Promise<Observed | undefined>;
  /** What is known of a SealedSecret in sync, without reading it; undefined if it must be read. */
  resting(key: string): Resting | undefined;
  /** Returns the last observed version of a Secret that the controller manages. */
  secretMark(key: string): SecretMark | undefined;
  /**
   * Whether everything in the last observed version of a Secret is from this controller, so that
   * replacing it as a whole, unread, takes nothing from anybody. False if the world cannot tell.
   */
  isAllOurs(key: string): boolean;
  /**
   * Returns the labels of a namespace, as last observed or as they are now.
   * @throws WorldError refused if the world cannot know them
   */
  namespaceLabels(namespace: string, time: "seen" | "now"): Promise<Labels>;
  /**
   * How long labels of namespaces may change before the world asks for a reconcile of what depends on
   * them; undefined if it asks at once.
   */
  readonly labelsPollMs: number | undefined;
  /** Reads the current Secret, no matter who owns it. Returns null if there is none. */
  readSecret(key: string): Promise<JsonObject | null>;
  /** @throws WorldError exists if the Secret already exists */
  createSecret(key: string, secret: Secret, work: string): Promise<SecretMark>;
  /** @throws WorldError transient if the Secret is not the version in `secret.metadata.rest` */
  replaceSecret(key: string, secret: Secret, work: string): Promise<SecretMark>;
  /** @throws WorldError transient if the Secret is not the version in `mark` */
  deleteSecret(key: string, mark: SecretMark, work: string): Promise<void>;
  /** @throws WorldError transient if `sealed` is not the latest version */
  writeStatus(key: string, sealed: JsonObject, status: JsonObject): Promise<void>;
  recordEvent(sealed: JsonObject, event: Event): Promise<void>;
}

/**
 * A SealedSecret as it is; undefined if it was deleted. Or how long nobody can tell whether one that is not
 * there was deleted.
 */
export type SourceNow = Observed | undefined | { readonly unknownForMs: number };

/** What deliveries need besides: a cluster with all of its namespaces. */
export interface DeliveryWorld extends World {
  /** What the marks of a Secret say, as last observed; null if they say nothing of a delivery. */
  delivered(key: string): Delivered | null;
  /** Reads a SealedSecret as it is now. @throws WorldError */
  sourceNow(key: string): Promise<SourceNow>;
  /**
   * Returns a namespace as it was at some moment after `sinceMs` of the world's clock, or as it is now
   * for null; undefined if there was none. @throws WorldError
   */
  namespaceSince(namespace: string, sinceMs: number | null): Promise<NamespaceFacts | undefined>;
}

/** A Kubernetes Event: `reason` is a documented constant, `message` a sentence. */
export interface Event {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

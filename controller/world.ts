// What the reconciler sees of the world around it, and how that world fails.
// SPEC.md, "Reconciling".

import type { JsonObject } from "../shared/kubernetes/object.ts";
import type { Secret } from "../shared/kubernetes/secret.ts";

/** One state of a Secret, without its content. */
export interface SecretMark {
  readonly uid: string;
  readonly resourceVersion: string;
}

/**
 * Why a world did not do what it was asked: there is a Secret of that name; it may work later, such
 * as after a conflict or while a server is away; or it is refused for good.
 */
export type WorldFailure = "exists" | "transient" | "refused";

/** The only error that a world's reads and writes throw on purpose. */
export class WorldError extends Error {
  override readonly name = "WorldError";
  readonly failure: WorldFailure;
  /** How long the world asks to be left alone; undefined where it does not say. */
  readonly retryAfterMs: number | undefined;

  /** `message` carries no part of a Secret. */
  constructor(failure: WorldFailure, message: string, retryAfterMs?: number) {
    super(message);
    this.failure = failure;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Where SealedSecrets come from and Secrets go: a cluster, or folders. */
export interface World {
  /** The SealedSecret as last seen. */
  sealedSecret(key: string): JsonObject | undefined;
  /** The state of a Secret that we look after, as last seen. */
  secretMark(key: string): SecretMark | undefined;
  /** The Secret as it is now, whoever made it. */
  readSecret(key: string): Promise<JsonObject | null>;
  /** @throws WorldError exists where there is one */
  createSecret(key: string, secret: Secret): Promise<SecretMark>;
  /** @throws WorldError transient where it is no longer the one in `secret.metadata.rest` */
  replaceSecret(key: string, secret: Secret): Promise<SecretMark>;
  /** @throws WorldError transient where it is no longer the one of `mark` */
  deleteSecret(key: string, mark: SecretMark): Promise<void>;
  /** @throws WorldError transient where `sealed` is no longer the newest */
  writeStatus(key: string, sealed: JsonObject, status: JsonObject): Promise<void>;
  recordEvent(sealed: JsonObject, event: Event): Promise<void>;
}

/** News for people: a reason that is a documented constant, and a sentence. */
export interface Event {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

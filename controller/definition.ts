// Whether the definition of SealedSecrets is there, so that one that is not found was deleted by itself.
// SPEC.md, "Deliveries".

import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { objectsIn } from "../shared/kubernetes/object.ts";
import { API_VERSION } from "../shared/sealing/sealedsecret.ts";
import { WorldError } from "./world.ts";

/** One look is enough for many SealedSecrets. */
const FRESH_MS = 1_000;
/**
 * How long nothing counts as gone after the definition was seen to be missing: who deletes it by mistake
 * creates it again, and then applies the SealedSecrets.
 */
const HOLD_MS = 600_000;

export class Definition {
  readonly #client: KubernetesClient;
  readonly #clock: () => number;
  #look: { readonly atMs: number; readonly result: Promise<boolean> } | undefined;
  #missedAtMs = Number.NEGATIVE_INFINITY;

  /** `clock`: milliseconds of a monotonic clock. */
  constructor(client: KubernetesClient, clock: () => number) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Call this when SealedSecrets could not be listed, because the server knows none. */
  missed(): void {
    this.#missedAtMs = this.#clock();
  }

  /**
   * Call this before a SealedSecret that was not found counts as deleted. Returns for how many milliseconds
   * it does not, because the definition is missing, is being deleted, or was until shortly; else 0.
   * @throws WorldError if the server does not say
   */
  async heldMs(): Promise<number> {
    const nowMs = this.#clock();
    if (this.#look === undefined || nowMs - this.#look.atMs > FRESH_MS) {
      this.#look = { atMs: nowMs, result: this.#isThere() };
    }
    try {
      if (!(await this.#look.result)) this.missed();
    } catch (error) {
      this.#look = undefined;
      throw error;
    }
    return Math.max(0, this.#missedAtMs + HOLD_MS - this.#clock());
  }

  /** While a definition is being deleted, its objects can be listed, and not created. */
  async #isThere(): Promise<boolean> {
    try {
      const { resources } = await this.#client.call("GET", `/apis/${API_VERSION}`);
      const found = objectsIn(resources).find(({ name }) => name === "sealedsecrets");
      return Array.isArray(found?.["verbs"]) && found["verbs"].includes("create");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Everyone may read it, unless a cluster is set up otherwise.
      if (error.status === 403) return true;
      if (error.status === 404) return false;
      throw new WorldError("transient", error.message, error.retryAfterMs);
    }
  }
}

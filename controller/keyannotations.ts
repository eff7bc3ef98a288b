// Writes our annotations of key Secrets.
// SPEC.md, "Confirmed keys".

import { asObject, metadataOf } from "../shared/kubernetes/object.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { FIELD_MANAGER } from "./decide.ts";
import type { Log } from "./log.ts";

export interface KeyAnnotationsWiring {
  readonly client: KubernetesClient;
  readonly log: Log;
  /** Throws if this replica may not write. */
  readonly guard: () => void;
}

/** The annotations of the key Secrets in one namespace. */
export class KeyAnnotations {
  readonly #namespace: string;
  readonly #wiring: KeyAnnotationsWiring;
  #isForbidden = false;

  constructor(namespace: string, wiring: KeyAnnotationsWiring) {
    this.#namespace = namespace;
    this.#wiring = wiring;
  }

  /**
   * Sets an annotation of a Secret, or removes it if `value` is null. Changes nothing else, even if
   * someone else writes the Secret at the same time. Does nothing if the Secret is gone, or if the
   * controller may not write it, as in a deployment with fewer rights than the chart grants.
   * @throws ApiError for any other failure
   */
  async set(name: string, annotation: string, value: string | null): Promise<void> {
    const { client, guard } = this.#wiring;
    if (this.#isForbidden) return;
    const path = `/api/v1/namespaces/${this.#namespace}/secrets/${name}`;
    try {
      const secret = await client.call("GET", path);
      const metadata = metadataOf(secret);
      const { [annotation]: _, ...others } = asObject(metadata["annotations"] ?? null) ?? {};
      const annotations = value === null ? others : { ...others, [annotation]: value };
      // The resource version in it makes the server refuse the write after any other.
      await client.call("PUT", path, {
        query: { fieldManager: FIELD_MANAGER },
        body: { ...secret, metadata: { ...metadata, annotations } },
        guard,
      });
    } catch (error) {
      if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 404))
        throw error;
      if (error.status === 404) return;
      this.#isForbidden = true;
      this.#wiring.log.warn(
        "no permission to annotate key Secrets: grant get and update on secrets, and restart",
        { namespace: this.#namespace },
      );
    }
  }
}

// Publishes the certificates in a ConfigMap, for clients that cannot reach the controller.
// SPEC.md, "Published certificates".

import { setTimeout as sleep } from "node:timers/promises";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import type { Keyring } from "../shared/keys/keyring.ts";
import { type PublishedCertificates, withPublished } from "../shared/keys/publishedcertificates.ts";
import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { Cache } from "./cache.ts";
import { Contest } from "./contest.ts";
import { FIELD_MANAGER } from "./decide.ts";
import type { Log } from "./log.ts";

export interface PublisherWiring {
  readonly client: KubernetesClient;
  readonly keyring: Keyring;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Throws if this replica may not write. */
  readonly guard: () => void;
}

export interface PublishedPlace {
  readonly namespace: string;
  readonly name: string;
}

const RETRY_MS = 5_000;
const CONFLICT_MS = 500;
/** How often to check whether a missing permission was granted. */
const FORBIDDEN_MS = 60_000;
/** An object holds 1 MiB, and a certificate takes 2 kB. */
const MAX_FORMER = 200;

/** Keeps the ConfigMap as it should be while this replica leads. */
export class Publisher {
  readonly #place: PublishedPlace;
  readonly #wiring: PublisherWiring;
  readonly #found: Cache<JsonObject>;
  readonly #contest = new Contest();
  /** The result of our last write, which the watch may not have reported yet. */
  #written: JsonObject | undefined;
  #isSynced = false;
  #isLeading = false;
  #isForbidden = false;
  #isWriting = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(place: PublishedPlace, wiring: PublisherWiring) {
    this.#place = place;
    this.#wiring = wiring;
    const { client, log } = wiring;
    const fieldSelector = `metadata.name=${place.name}`;
    const onChange = (_key: string, object: JsonObject | undefined): void => {
      if (object === undefined) this.#written = undefined;
      this.look();
    };
    const options = { keep: (object: JsonObject) => object, onChange, log };
    this.#found = new Cache(client, { path: this.#path, fieldSelector }, options);
  }

  get #path(): string {
    return `/api/v1/namespaces/${this.#place.namespace}/configmaps`;
  }

  get #key(): string {
    return `${this.#place.namespace}/${this.#place.name}`;
  }

  /** Watches the ConfigMap until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!(await this.#mayRead())) {
      await sleep(FORBIDDEN_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
    }
    await this.#found.start(signal);
    this.#isSynced = !signal.aborted;
    this.look();
  }

  lead(): void {
    this.#isLeading = true;
    this.look();
  }

  follow(): void {
    this.#isLeading = false;
    clearTimeout(this.#timer);
  }

  /** Call this when the keys have changed. Corrects the ConfigMap if needed. */
  look(): void {
    clearTimeout(this.#timer);
    const certificates = certificatesOf(this.#wiring.keyring);
    if (!this.#isLeading || !this.#isSynced || certificates === null) return;
    // The check is repeated when the current write ends.
    if (this.#isWriting || this.#isRight(certificates)) return;
    const waitMs = this.#contest.waitMs(this.#key, this.#wiring.clock());
    if (waitMs > 0) {
      this.#lookIn(waitMs);
      return;
    }
    this.#isWriting = true;
    this.#write(certificates).then(
      () => {
        this.#isWriting = false;
        this.#isForbidden = false;
        this.look();
      },
      (error: unknown) => {
        this.#isWriting = false;
        this.#failed(error);
      },
    );
  }

  /** False without permission; the watch meets and logs any other failure. */
  async #mayRead(): Promise<boolean> {
    try {
      const query = { fieldSelector: `metadata.name=${this.#place.name}`, limit: "1" };
      await this.#wiring.client.call("GET", this.#path, { query });
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) {
        this.#tellForbidden();
        return false;
      }
    }
    return true;
  }

  get #live(): JsonObject | undefined {
    const seen = this.#found.get(this.#key);
    if (this.#written === undefined || seen === undefined) return seen ?? this.#written;
    return versionOf(this.#written) > versionOf(seen) ? this.#written : seen;
  }

  #isRight(certificates: PublishedCertificates): boolean {
    const live = this.#live;
    return live !== undefined && withPublished(live, certificates) === live;
  }

  async #write(certificates: PublishedCertificates): Promise<void> {
    const { client, guard, clock, log } = this.#wiring;
    const { name, namespace } = this.#place;
    const path = `${this.#path}/${name}`;
    const live = this.#live;
    const query = { fieldManager: FIELD_MANAGER };
    this.#contest.answered(this.#key, clock(), true);
    if (live !== undefined && live["immutable"] !== true) {
      const body = { ...withPublished(live, certificates), apiVersion: "v1", kind: "ConfigMap" };
      this.#written = await client.call("PUT", path, { query, body, guard });
      log.info("certificates published", { configMap: this.#key });
      return;
    }
    const { labels = null, uid = null } = metadataOf(live ?? {});
    if (live !== undefined) {
      const body = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } };
      await client.call("DELETE", path, { body, guard });
    }
    const metadata = { name, namespace, ...(labels === null ? {} : { labels }) };
    // Empty for now, because the UID is known only at the next write.
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata };
    this.#written = await client.call("POST", this.#path, { query, body, guard });
  }

  #failed(error: unknown): void {
    const { status, message } = error as Partial<ApiError>;
    if (status === 403) {
      this.#tellForbidden();
      this.#lookIn(FORBIDDEN_MS);
      return;
    }
    // Someone else wrote it; the watch will report the change.
    if (status === 409) {
      this.#lookIn(CONFLICT_MS);
      return;
    }
    this.#wiring.log.warn("certificates could not be published, retrying", {
      configMap: this.#key,
      error: message,
      inMs: RETRY_MS,
    });
    this.#lookIn(RETRY_MS);
  }

  #tellForbidden(): void {
    if (this.#isForbidden) return;
    this.#isForbidden = true;
    this.#wiring.log.warn(
      "no permission to publish the certificates: clients need the service proxy; grant create on " +
        "configmaps, and list, watch, update and delete on this one",
      { configMap: this.#key },
    );
  }

  #lookIn(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#isLeading) return;
    this.#timer = setTimeout(() => {
      this.look();
    }, delayMs);
    this.#timer.unref();
  }
}

/** The resource versions of an object are increasing numbers. */
function versionOf(object: JsonObject): number {
  return Number(metadataOf(object)["resourceVersion"]);
}

/** The certificates to publish. Null while no key seals. Unconfirmed keys are omitted. */
export function certificatesOf({ newest, keys }: Keyring): PublishedCertificates | null {
  if (newest === null) return null;
  const former = keys.flatMap(({ fingerprint, confirmed, certificate }) =>
    confirmed && certificate !== null && fingerprint !== newest.fingerprint
      ? [certificate.pem]
      : [],
  );
  return { current: newest.certificate.pem, former: former.slice(0, MAX_FORMER).join("") };
}

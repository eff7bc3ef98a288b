// Hashes of the data of Secrets, in memory: each version is read once.
// docs/decisions/2026-11-restarts.md

import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { digestOf } from "./restartrules.ts";
import type { SecretMark } from "./record.ts";

/** Secrets that are remembered. Beyond that, the one that was read first is read again. */
const MAX_REMEMBERED = 10_000;

interface SecretDigestsWiring {
  /** The last observed version of a Secret that the controller manages. */
  readonly secretMark: (key: string) => SecretMark | undefined;
  /** Whether the data of that version counts: nobody else changed it. */
  readonly isSettled: (key: string, mark: SecretMark) => Promise<boolean>;
  readonly readSecret: (key: string) => Promise<JsonObject | null>;
}

/** Knows what data the Secrets of the controller have. */
export class SecretDigests {
  readonly #wiring: SecretDigestsWiring;
  readonly #known = new Map<string, { readonly version: string; readonly digest: string }>();

  constructor(wiring: SecretDigestsWiring) {
    this.#wiring = wiring;
  }

  /**
   * The hash of the data of a Secret, `NAMESPACE/NAME`. Undefined if it is not one of ours, or if
   * somebody changed it and the controller has not answered yet.
   * @throws WorldError if it cannot be read
   */
  async of(key: string): Promise<string | undefined> {
    const mark = this.#wiring.secretMark(key);
    if (mark === undefined) {
      this.#known.delete(key);
      return undefined;
    }
    const version = `${mark.uid} ${mark.resourceVersion}`;
    const known = this.#known.get(key);
    if (known?.version === version) return known.digest;
    if (!(await this.#wiring.isSettled(key, mark))) return undefined;
    const secret = await this.#wiring.readSecret(key);
    const { uid, resourceVersion } = metadataOf(secret ?? {});
    // Somebody was faster than the watch.
    if (secret === null || version !== `${uid as string} ${resourceVersion as string}`) {
      return undefined;
    }
    const digest = digestOf(secret);
    this.#known.set(key, { version, digest });
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_REMEMBERED && oldest !== undefined) this.#known.delete(oldest);
    return digest;
  }
}

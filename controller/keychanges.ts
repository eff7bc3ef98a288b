// Reports to operators which key seals, since when and why, and which keys are waiting for
// confirmation.
// SPEC.md, "Confirmed keys".

import type { SealingKey } from "../shared/keys/sealingkey.ts";
import type { KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { FIELD_MANAGER } from "./decide.ts";
import { formatEvent, logLostEvent } from "./events.ts";
import type { KeyAnnotations } from "./keyannotations.ts";
import type { Log } from "./log.ts";

/** An annotation that the leader keeps on the current sealing key: when it started to seal. */
export const SEALING_SINCE_ANNOTATION = "kube-signet/sealing-since";

/**
 * Why the sealing key changed.
 * - `first`: no replica led before. `created`: the controller made the key, because none could seal
 *   or the previous key was due for renewal.
 * - `removed`, `compromised`: the previous key is gone, or is marked as compromised.
 * - `unconfirmed`: the confirmation of the previous key was revoked.
 * - `confirmed`: a person confirmed the key, or added it together with its confirmation.
 */
export const CHANGE_REASONS = [
  "first",
  "created",
  "removed",
  "compromised",
  "unconfirmed",
  "confirmed",
] as const;
type ChangeReason = (typeof CHANGE_REASONS)[number];

/** The facts about a key Secret that matter here. */
export interface WatchedKey {
  readonly key: SealingKey;
  /** The value of SEALING_SINCE_ANNOTATION, or empty. */
  readonly sealingSince: string;
}

export interface KeyChangesWiring {
  readonly client: KubernetesClient;
  readonly log: Log;
  readonly now: () => Date;
  /** Throws if this replica may not write. */
  readonly guard: () => void;
  /** Whether a replica led before this one. */
  readonly ledBefore: () => boolean;
  /** The fingerprint of the key that sealed under the previous leader; undefined if unknown. */
  readonly sealedBefore: () => string | undefined;
  /** Called for each change of the key that seals. */
  readonly onSealingKeyChange: (reason: ChangeReason) => void;
}

/** To be used on the leader only. */
export class KeyChanges {
  readonly #namespace: string;
  readonly #wiring: KeyChangesWiring;
  /** Unconfirmed keys that were already reported, as `FINGERPRINT SECRET`. */
  readonly #waiting = new Set<string>();
  /** Fingerprints of the keys that this process created, and that have not sealed yet. */
  readonly #created = new Set<string>();
  /** The fingerprint of the key that sealed at the last check. */
  #sealing: string | undefined;
  readonly #annotations: KeyAnnotations;

  constructor(namespace: string, wiring: KeyChangesWiring, annotations: KeyAnnotations) {
    this.#namespace = namespace;
    this.#wiring = wiring;
    this.#annotations = annotations;
  }

  /** Call for each key that this process creates. */
  created(fingerprint: string): void {
    this.#created.add(fingerprint);
  }

  /** Forgets what this process saw, because another replica may have led meanwhile. */
  forget(): void {
    this.#sealing = undefined;
  }

  /** The fingerprint of the key that sealed at the last check; undefined before the first check. */
  get sealing(): string | undefined {
    return this.#sealing;
  }

  /**
   * Compares the current sealing key with the previous one, and reports a change and unconfirmed
   * keys.
   * @throws ApiError if the annotation of the key that seals cannot be written; call it again
   */
  async look(sealing: SealingKey, found: readonly WatchedKey[]): Promise<void> {
    for (const { key } of found) await this.#tellOfWaiting(key);
    const { fingerprint, name } = sealing;
    const marked = found
      .filter(({ sealingSince }) => sealingSince !== "")
      .sort((a, b) => (a.sealingSince < b.sealingSince ? 1 : -1));
    // Anyone who adds a key can also annotate it and delete the former one, but not write the
    // Lease. Only the leader removes annotations. So any trace of another key proves a change.
    const witnesses = [this.#wiring.sealedBefore(), ...marked.map(({ key }) => key.fingerprint)];
    const known = witnesses.filter((witness) => witness !== undefined);
    const before = this.#sealing ?? known.find((each) => each !== fingerprint) ?? known[0];
    if (before !== fingerprint) await this.#tellOfChange(sealing, before, found);
    this.#sealing = fingerprint;
    for (const { key } of marked) {
      if (key.name !== name) await this.#annotations.set(key.name, SEALING_SINCE_ANNOTATION, null);
    }
    if (!marked.some(({ key }) => key.name === name)) {
      const now = this.#wiring.now().toISOString();
      await this.#annotations.set(name, SEALING_SINCE_ANNOTATION, now);
    }
  }

  async #tellOfChange(
    { fingerprint, name }: SealingKey,
    before: string | undefined,
    found: readonly WatchedKey[],
  ): Promise<void> {
    const reason = this.#reason(fingerprint, before, found);
    const { log, onSealingKeyChange } = this.#wiring;
    const fields = { secret: `${this.#namespace}/${name}`, fingerprint, before, reason };
    // A new installation is expected to create its own key.
    if (before === undefined && reason === "created") log.info("the first sealing key", fields);
    else log.warn("the active sealing key changed", fields);
    onSealingKeyChange(reason);
    const words = before === undefined ? "" : `, replacing ${before}`;
    await this.#recordEvent(name, {
      type: "Normal",
      reason: "SealingKeyChanged",
      message: `new values are now sealed with this key, ${fingerprint}${words} (${reason})`,
    });
  }

  #reason(
    fingerprint: string,
    before: string | undefined,
    found: readonly WatchedKey[],
  ): ChangeReason {
    if (this.#created.delete(fingerprint)) return "created";
    if (before === undefined) return this.#wiring.ledBefore() ? "removed" : "first";
    const former = found.find(({ key }) => key.fingerprint === before);
    if (former === undefined) return "removed";
    if (former.key.compromised) return "compromised";
    return former.key.confirmed ? "confirmed" : "unconfirmed";
  }

  async #tellOfWaiting({ confirmed, certificate, fingerprint, name }: SealingKey): Promise<void> {
    const id = `${fingerprint} ${name}`;
    if (confirmed || certificate === null) {
      this.#waiting.delete(id);
      return;
    }
    if (this.#waiting.has(id)) return;
    this.#waiting.add(id);
    const hint = `signet keys adopt ${name}`;
    this.#wiring.log.warn("sealing key is not confirmed: it opens values but does not seal", {
      secret: `${this.#namespace}/${name}`,
      fingerprint,
      hint,
    });
    await this.#recordEvent(name, {
      type: "Warning",
      reason: "SealingKeyUnconfirmed",
      message: `key ${fingerprint} opens values but does not seal until \`${hint}\` confirms it`,
    });
  }

  async #recordEvent(name: string, event: Parameters<typeof formatEvent>[1]): Promise<void> {
    const { client, guard, log, now } = this.#wiring;
    try {
      const { metadata = {} } = await client.call("GET", this.#path(name));
      const secret = { apiVersion: "v1", kind: "Secret", metadata };
      await client.call("POST", `/api/v1/namespaces/${this.#namespace}/events`, {
        query: { fieldManager: FIELD_MANAGER },
        guard,
        body: formatEvent(secret, event, now()),
      });
    } catch (error) {
      logLostEvent(log, name, error);
    }
  }

  #path(name: string): string {
    return `/api/v1/namespaces/${this.#namespace}/secrets/${name}`;
  }
}

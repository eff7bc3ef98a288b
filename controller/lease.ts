// Elects one leader among the replicas, with a Lease.
// SPEC.md, "Replicas".

import { setTimeout as sleep } from "node:timers/promises";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import type { Log } from "./log.ts";
import { FINGERPRINT } from "../shared/sealing/stamp.ts";
import { text } from "./cache.ts";

export interface LeaseOptions {
  readonly namespace: string;
  readonly name: string;
  /** Identifies this replica; no other running replica may have the same. */
  readonly identity: string;
  /** Another replica may take over from a leader that has not renewed for this long. */
  readonly durationMs: number;
}

export interface LeaseWiring {
  readonly client: KubernetesClient;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** The fingerprint of the key that seals, once this replica has reported it; else undefined. */
  readonly sealingKey: () => string | undefined;
  readonly onLead: () => void;
  readonly onFollow: () => void;
  /**
   * Called when the permission to use the Lease turns out to be missing, before the replica works
   * without an election.
   */
  readonly onForbidden: () => void;
}

/** An annotation of the Lease: the fingerprint of the key that seals, for the next leader. */
const SEALING_KEY_ANNOTATION = "kube-signet/sealing-key";

/** How many times per duration a leader renews the Lease and a follower checks it. */
const CHECKS_PER_DURATION = 4;
/** A leader stops this fraction of the duration early, because clocks run at different speeds. */
const MARGIN = 0.1;
/** After this long without permission to use the Lease, the replica works without an election. */
const FORBIDDEN_MS = 15_000;

/**
 * What a replica does, given the Lease that it sees.
 * @internal for its test
 */
export function leaseStep(seen: {
  readonly holder: string;
  readonly identity: string;
  /** How long the Lease has been at the same version. */
  readonly unchangedMs: number;
  readonly durationMs: number;
}): "renew" | "acquire" | "wait" {
  if (seen.holder === seen.identity) return "renew";
  return seen.holder === "" || seen.unchangedMs >= seen.durationMs ? "acquire" : "wait";
}

/**
 * Takes part in the election until it is stopped. As in client-go, a follower trusts no other
 * machine's clock, only how long it has seen the Lease unchanged.
 */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #wiring: LeaseWiring;
  #record: JsonObject | undefined;
  #seenAtMs = 0;
  /** Checked against both clocks: one stops while a machine sleeps, the other can be set. */
  #heldUntil: { readonly clockMs: number; readonly wallMs: number } | undefined;
  #forbiddenSinceMs: number | undefined;
  #withoutElection = false;
  #leading = false;

  constructor(options: LeaseOptions, wiring: LeaseWiring) {
    this.#options = options;
    this.#wiring = wiring;
  }

  /** Whether this replica may write. */
  get held(): boolean {
    if (this.#withoutElection) return true;
    const { clock, now } = this.#wiring;
    const until = this.#heldUntil;
    return until !== undefined && clock() < until.clockMs && now().getTime() < until.wallMs;
  }

  /** Whether a replica led before the present one. */
  get ledBefore(): boolean {
    const { leaseTransitions = 0 } = asObject(this.#record?.["spec"] ?? null) ?? {};
    return Number(leaseTransitions) > 1;
  }

  /** Of the Lease, which every replica of this cluster sees and no other cluster has; "" without one. */
  get uid(): string {
    return text(metadataOf(this.#record ?? {})["uid"]);
  }

  /** When a replica first led here; undefined without a Lease. The API server sets it. */
  get createdAt(): Date | undefined {
    const created = Date.parse(text(metadataOf(this.#record ?? {})["creationTimestamp"]));
    return Number.isNaN(created) ? undefined : new Date(created);
  }

  /** The fingerprint of the key that last sealed under a leader; undefined if no leader recorded it. */
  get sealedBefore(): string | undefined {
    const { annotations = null } = metadataOf(this.#record ?? {});
    const recorded = text(asObject(annotations)?.[SEALING_KEY_ANNOTATION]);
    return FINGERPRINT.test(recorded) ? recorded : undefined;
  }

  /** Call right before a write is sent. @throws ApiError NotLeader if this replica may not write */
  readonly guard = (): void => {
    if (!this.held) throw new ApiError(0, "NotLeader", "this replica is no longer the leader");
  };

  /** Runs until `signal` aborts, then releases the Lease. */
  async run(signal: AbortSignal): Promise<void> {
    const checkMs = this.#options.durationMs / CHECKS_PER_DURATION;
    while (!signal.aborted) {
      await this.#check();
      this.#notify();
      await sleep(checkMs * (0.9 + Math.random() * 0.2), undefined, { signal }).catch(() => {
        // The signal aborted.
      });
    }
    await this.#release();
  }

  #notify(): void {
    if (this.held === this.#leading) return;
    this.#leading = this.held;
    const { log, onLead, onFollow } = this.#wiring;
    log.info(this.#leading ? "this replica is the leader" : "this replica is a follower", {
      identity: this.#options.identity,
      holder: this.#holder,
    });
    if (this.#leading) onLead();
    else onFollow();
  }

  get #holder(): string {
    return text(asObject(this.#record?.["spec"] ?? null)?.["holderIdentity"]);
  }

  /** Checks the Lease, and renews or acquires it. After a failed call, the next check retries. */
  async #check(): Promise<void> {
    const { identity, durationMs } = this.#options;
    const { clock, log } = this.#wiring;
    try {
      // A leader does not read the Lease: if it changed since our last write, renewing conflicts.
      if (this.#record === undefined || this.#holder !== identity) await this.#read();
      const step =
        this.#record === undefined
          ? "acquire"
          : leaseStep({
              holder: this.#holder,
              identity,
              unchangedMs: clock() - this.#seenAtMs,
              durationMs,
            });
      if (step !== "wait") await this.#write(identity);
      this.#forbiddenSinceMs = undefined;
      if (this.#withoutElection) {
        this.#withoutElection = false;
        log.info("permission to use the Lease was granted: leader election enabled");
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Another replica was faster, or the Lease was deleted: read it again.
      if (error.status === 409 || error.status === 404) this.#record = undefined;
      else if (error.status === 403) this.#forbidden();
      else log.warn("lease could not be renewed", { error: error.message });
    }
  }

  async #read(): Promise<void> {
    try {
      this.#remember(await this.#call("GET", `/${this.#options.name}`));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      this.#record = undefined;
    }
  }

  #remember(record: JsonObject): void {
    const version = metadataOf(record)["resourceVersion"];
    const known = this.#record === undefined ? undefined : metadataOf(this.#record);
    if (version !== known?.["resourceVersion"]) this.#seenAtMs = this.#wiring.clock();
    this.#record = record;
  }

  async #write(holder: string): Promise<void> {
    const { name, durationMs } = this.#options;
    const { clock, now } = this.#wiring;
    const spec = asObject(this.#record?.["spec"] ?? null) ?? {};
    const sent = { clockMs: clock(), wallMs: now().getTime() };
    const time = `${new Date(sent.wallMs).toISOString().slice(0, -1)}000Z`;
    const turns = Number(spec["leaseTransitions"] ?? 0);
    const taken = holder !== "" && holder !== spec["holderIdentity"];
    const body: JsonObject = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: this.#metadata(),
      spec: {
        ...spec,
        holderIdentity: holder,
        leaseDurationSeconds: Math.ceil(durationMs / 1000),
        renewTime: time,
        ...(taken ? { acquireTime: time, leaseTransitions: turns + 1 } : {}),
      },
    };
    this.#remember(
      this.#record === undefined
        ? await this.#call("POST", "", body)
        : await this.#call("PUT", `/${name}`, body),
    );
    const usableMs = durationMs * (1 - MARGIN);
    this.#heldUntil =
      holder === ""
        ? undefined
        : { clockMs: sent.clockMs + usableMs, wallMs: sent.wallMs + usableMs };
  }

  #metadata(): JsonObject {
    const { name, namespace } = this.#options;
    const metadata = this.#record === undefined ? { name, namespace } : metadataOf(this.#record);
    const sealing = this.#wiring.sealingKey();
    if (sealing === undefined) return metadata;
    const others = asObject(metadata["annotations"] ?? null) ?? {};
    return { ...metadata, annotations: { ...others, [SEALING_KEY_ANNOTATION]: sealing } };
  }

  async #call(method: string, path: string, body?: JsonObject): Promise<JsonObject> {
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
    return this.#wiring.client.call(method, leases + path, {
      ...(body === undefined ? {} : { body }),
      urgent: true,
      timeoutMs: this.#options.durationMs / 2,
    });
  }

  /** A deployment of the original grants no Lease permissions, and runs a single replica. */
  #forbidden(): void {
    const nowMs = this.#wiring.clock();
    if (this.#forbiddenSinceMs === undefined) this.#wiring.onForbidden();
    this.#forbiddenSinceMs ??= nowMs;
    if (this.#withoutElection || nowMs - this.#forbiddenSinceMs < FORBIDDEN_MS) return;
    this.#withoutElection = true;
    this.#wiring.log.warn(
      "no permission to use a Lease: running without leader election, so run " +
        "only one replica, or grant get, create and update on leases in coordination.k8s.io",
      { namespace: this.#options.namespace },
    );
  }

  async #release(): Promise<void> {
    if (!this.held || this.#withoutElection || this.#record === undefined) return;
    this.#heldUntil = undefined;
    await this.#write("").catch(() => undefined);
  }
}

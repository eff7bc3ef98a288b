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
  /**
   * For replicas that share the work. Without permission to use the Lease, the replica waits. One that
   * stops never sets the Lease free: it hands it over to the replica that this returns, and with
   * undefined lets it run out.
   */
  readonly successor?: () => string | undefined;
}

export interface LeaseWiring {
  readonly client: Pick<KubernetesClient, "call">;
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

/** A moment, by both clocks: one stops while a machine sleeps, the other can be set. */
interface Moment {
  readonly clockMs: number;
  readonly wallMs: number;
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
  /** When our last renewal was sent; undefined if this replica does not hold the Lease. */
  #renewedAt: Moment | undefined;
  /** When the last call that returned the present record was sent. */
  #knownAt: Moment | undefined;
  /** A moment before the present record was written; undefined if none is known. */
  #writtenAfter: Moment | undefined;
  #forbiddenSinceMs: number | undefined;
  #withoutElection = false;
  #leading = false;

  constructor(options: LeaseOptions, wiring: LeaseWiring) {
    this.#options = options;
    this.#wiring = wiring;
  }

  /** Whether this replica may write. */
  get held(): boolean {
    return this.#withoutElection || this.#isRecent(this.#renewedAt);
  }

  /**
   * Whether one of the replicas that `isOne` names certainly holds the Lease now, so that no other
   * replica can: it was seen to write the Lease so recently that nobody may have taken over since.
   */
  isHeldBy(isOne: (identity: string) => boolean): boolean {
    if (this.held) return isOne(this.#options.identity);
    return isOne(this.#holder) && this.#isRecent(this.#writtenAfter);
  }

  /** The replica that holds the Lease, as far as this one knows; "" if it is free. */
  get liveHolder(): string {
    const { durationMs } = this.#options;
    return this.#wiring.clock() - this.#seenAtMs < durationMs ? this.#holder : "";
  }

  #isRecent(moment: Moment | undefined): boolean {
    const { clock, now } = this.#wiring;
    const forMs = this.#options.durationMs * (1 - MARGIN);
    if (moment === undefined) return false;
    return clock() < moment.clockMs + forMs && now().getTime() < moment.wallMs + forMs;
  }

  #moment(): Moment {
    return { clockMs: this.#wiring.clock(), wallMs: this.#wiring.now().getTime() };
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
    while (!signal.aborted) {
      await this.check();
      this.#notify();
      await untilNextCheck(this.#options.durationMs, signal);
    }
    const { successor = () => "" } = this.#options;
    const next = successor();
    if (next !== undefined) await this.release(next);
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

  /**
   * Checks the Lease, renews it, and acquires it if it is free and `mayAcquire`. After a failed call,
   * the next check retries.
   */
  async check(mayAcquire = true): Promise<void> {
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
      if (step === "renew" || (step === "acquire" && mayAcquire)) await this.#write(identity);
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
    const before = this.#record === undefined ? undefined : this.#knownAt;
    const sent = this.#moment();
    try {
      const record = await this.#call("GET", `/${this.#options.name}`);
      // The version that was known was replaced after the call that returned it was sent.
      if (this.#remember(record)) this.#writtenAfter = before;
      this.#knownAt = sent;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      this.#record = undefined;
    }
  }

  /** Returns whether the version is new. */
  #remember(record: JsonObject): boolean {
    const version = metadataOf(record)["resourceVersion"];
    const known = this.#record === undefined ? undefined : metadataOf(this.#record);
    const isNew = version !== known?.["resourceVersion"];
    if (isNew) this.#seenAtMs = this.#wiring.clock();
    this.#record = record;
    return isNew;
  }

  async #write(holder: string): Promise<void> {
    const { name, durationMs, identity } = this.#options;
    const spec = asObject(this.#record?.["spec"] ?? null) ?? {};
    const sent = this.#moment();
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
    this.#renewedAt = holder === identity ? sent : undefined;
    this.#knownAt = sent;
    this.#writtenAfter = sent;
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
    const isFirst = this.#forbiddenSinceMs === undefined;
    if (isFirst) this.#wiring.onForbidden();
    this.#forbiddenSinceMs ??= nowMs;
    if (this.#options.successor !== undefined) {
      if (isFirst) {
        this.#wiring.log.error(
          "no permission to use a Lease: with --shards, this replica waits for it; grant get, create " +
            "and update on leases in coordination.k8s.io",
          { namespace: this.#options.namespace, lease: this.#options.name },
        );
      }
      return;
    }
    if (this.#withoutElection || nowMs - this.#forbiddenSinceMs < FORBIDDEN_MS) return;
    this.#withoutElection = true;
    this.#wiring.log.warn(
      "no permission to use a Lease: running without leader election, so run " +
        "only one replica, or grant get, create and update on leases in coordination.k8s.io",
      { namespace: this.#options.namespace },
    );
  }

  /** Sets the Lease free, or hands it over to the replica `to`. A failure has no effect. */
  async release(to = ""): Promise<void> {
    if (!this.held || this.#withoutElection || this.#record === undefined) return;
    this.#renewedAt = undefined;
    await this.#write(to).catch(() => undefined);
  }
}

/** Resolves when a Lease of this duration is to be checked again, or when `signal` aborts. */
export async function untilNextCheck(durationMs: number, signal: AbortSignal): Promise<void> {
  const checkMs = durationMs / CHECKS_PER_DURATION;
  await sleep(checkMs * (0.9 + Math.random() * 0.2), undefined, { signal }).catch(() => {
    // The signal aborted.
  });
}

// One leader among replicas: the Lease, when it is taken, and whether it is still held.
// SPEC.md, "Replicas".

import { setTimeout as sleep } from "node:timers/promises";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import type { Log } from "./log.ts";
import { text } from "./cache.ts";

export interface LeaseOptions {
  readonly namespace: string;
  readonly name: string;
  /** Of this replica; no other living one may have the same. */
  readonly identity: string;
  /** A leader that has not renewed for so long may be replaced. */
  readonly durationMs: number;
}

export interface LeaseWiring {
  readonly client: KubernetesClient;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a clock that never jumps. */
  readonly clock: () => number;
  readonly onLead: () => void;
  readonly onFollow: () => void;
}

/** How often a leader renews and a follower looks, as a part of the lease's duration. */
const LOOKS = 4;
/** A leader stops this part of the duration before others may take over: clocks run unevenly. */
const MARGIN = 0.1;
/** Without the right to a Lease for so long, we take it that nobody granted any. */
const FORBIDDEN_MS = 15_000;

/**
 * What a replica does about the Lease that it sees.
 * @internal for its test
 */
export function leaseStep(seen: {
  readonly holder: string;
  readonly identity: string;
  /** How long we have been looking at this very record. */
  readonly unchangedMs: number;
  readonly durationMs: number;
}): "renew" | "acquire" | "wait" {
  if (seen.holder === seen.identity) return "renew";
  return seen.holder === "" || seen.unchangedMs >= seen.durationMs ? "acquire" : "wait";
}

/**
 * Takes part in the election until told to stop. The rules are client-go's: who waits trusts no
 * other machine's clock, only how long it has seen the record unchanged.
 */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #wiring: LeaseWiring;
  #record: JsonObject | undefined;
  #seenAtMs = 0;
  /** Both clocks have to agree: one stands still while a machine sleeps, the other may be set. */
  #heldUntil: { readonly clockMs: number; readonly wallMs: number } | undefined;
  #forbiddenSinceMs: number | undefined;
  #alone = false;
  #leading = false;

  constructor(options: LeaseOptions, wiring: LeaseWiring) {
    this.#options = options;
    this.#wiring = wiring;
  }

  /** Whether we may write. */
  get held(): boolean {
    if (this.#alone) return true;
    const { clock, now } = this.#wiring;
    const until = this.#heldUntil;
    return until !== undefined && clock() < until.clockMs && now().getTime() < until.wallMs;
  }

  /** To be called right before a write is sent. @throws ApiError NotLeader where we may not */
  readonly guard = (): void => {
    if (!this.held) throw new ApiError(0, "NotLeader", "this replica does not lead any more");
  };

  /** Runs until `signal` aborts; then gives the Lease back. */
  async run(signal: AbortSignal): Promise<void> {
    const lookMs = this.#options.durationMs / LOOKS;
    while (!signal.aborted) {
      await this.#look();
      this.#turn();
      await sleep(lookMs * (0.9 + Math.random() * 0.2), undefined, { signal }).catch(() => {
        // Told to stop.
      });
    }
    await this.#release();
  }

  #turn(): void {
    if (this.held === this.#leading) return;
    this.#leading = this.held;
    const { log, onLead, onFollow } = this.#wiring;
    log.info(this.#leading ? "this replica leads" : "this replica follows", {
      identity: this.#options.identity,
      holder: this.#holder,
    });
    if (this.#leading) onLead();
    else onFollow();
  }

  get #holder(): string {
    return text(asObject(this.#record?.["spec"] ?? null)?.["holderIdentity"]);
  }

  /** One look at the Lease, and what follows from it. Never throws: the next look tries again. */
  async #look(): Promise<void> {
    const { identity, durationMs } = this.#options;
    const { clock, log } = this.#wiring;
    try {
      // While we lead, our own last write is what is there: a conflict tells if it is not.
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
      if (this.#alone) {
        this.#alone = false;
        log.info("the right to a Lease is granted: electing a leader from now on");
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // Someone was quicker, or the record is gone: look anew.
      if (error.status === 409 || error.status === 404) this.#record = undefined;
      else if (error.status === 403) this.#forbidden();
      else log.warn("lease could not be renewed", { error: error.message });
    }
  }

  async #read(): Promise<void> {
    try {
      this.#see(await this.#call("GET", `/${this.#options.name}`));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
      this.#record = undefined;
    }
  }

  #see(record: JsonObject): void {
    const version = metadataOf(record)["resourceVersion"];
    const known = this.#record === undefined ? undefined : metadataOf(this.#record);
    if (version !== known?.["resourceVersion"]) this.#seenAtMs = this.#wiring.clock();
    this.#record = record;
  }

  async #write(holder: string): Promise<void> {
    const { name, namespace, durationMs } = this.#options;
    const { clock, now } = this.#wiring;
    const spec = asObject(this.#record?.["spec"] ?? null) ?? {};
    const sent = { clockMs: clock(), wallMs: now().getTime() };
    const time = `${new Date(sent.wallMs).toISOString().slice(0, -1)}000Z`;
    const turns = Number(spec["leaseTransitions"] ?? 0);
    const taken = holder !== "" && holder !== spec["holderIdentity"];
    const body: JsonObject = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: this.#record === undefined ? { name, namespace } : metadataOf(this.#record),
      spec: {
        ...spec,
        holderIdentity: holder,
        leaseDurationSeconds: Math.ceil(durationMs / 1000),
        renewTime: time,
        ...(taken ? { acquireTime: time, leaseTransitions: turns + 1 } : {}),
      },
    };
    this.#see(
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

  async #call(method: string, path: string, body?: JsonObject): Promise<JsonObject> {
    const leases = `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
    return this.#wiring.client.call(method, leases + path, {
      ...(body === undefined ? {} : { body }),
      urgent: true,
      timeoutMs: this.#options.durationMs / 2,
    });
  }

  /** Swapped in under rights that know of no Lease, there is one replica, as there was before. */
  #forbidden(): void {
    const nowMs = this.#wiring.clock();
    this.#forbiddenSinceMs ??= nowMs;
    if (this.#alone || nowMs - this.#forbiddenSinceMs < FORBIDDEN_MS) return;
    this.#alone = true;
    this.#wiring.log.warn(
      "no right to a Lease: working without an election, so run one replica only, or grant get, " +
        "create and update of leases in coordination.k8s.io",
      { namespace: this.#options.namespace },
    );
  }

  async #release(): Promise<void> {
    if (!this.held || this.#alone || this.#record === undefined) return;
    this.#heldUntil = undefined;
    await this.#write("").catch(() => undefined);
  }
}

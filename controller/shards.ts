// Shares the SealedSecrets among replicas: each namespace belongs to one of a number of shards, and
// each shard to the replica that holds its Lease.
// SPEC.md, "Shards".

import { createHash } from "node:crypto";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { Lease, untilNextCheck } from "./lease.ts";
import type { Log } from "./log.ts";

/** The shard, from 0, that a namespace belongs to. All replicas, of all versions, must agree. */
export function shardOf(namespace: string, count: number): number {
  return createHash("sha256").update(namespace).digest().readUInt32BE() % count;
}

/** How a replica is named in the Leases. The name of a pod has no slash. */
export function sharingIdentity(identity: string, count: number): string {
  return `${identity}/${count}`;
}

/** What a replica sees of the others. */
interface View {
  readonly identity: string;
  /** The replica that holds each shard; "" for a shard that is free. */
  readonly holders: readonly string[];
  /** A replica that waits for its first shard; "" for none. */
  readonly waiting: string;
}

type Step = "take" | "give" | "wait" | "stay";

/**
 * What a replica does, given how the shards are spread: take a free one, give one away, or wait for
 * its first one. A replica gives only if another has two fewer, so that no shard moves back and forth.
 * @internal for its test
 */
export function nextStep({ identity, holders, waiting }: View): Step {
  const counts = new Map<string, number>();
  for (const holder of [waiting, ...holders]) counts.set(holder, 0);
  for (const holder of holders) counts.set(holder, (counts.get(holder) ?? 0) + 1);
  const mine = counts.get(identity) ?? 0;
  counts.delete(identity);
  counts.delete("");
  const fewest = Math.min(...counts.values());
  if (holders.includes("")) return mine <= fewest ? "take" : "stay";
  if (mine === 0) return "wait";
  // Of several that have the most, one gives.
  const others = [...counts];
  const isFirst = others.every(([other, has]) => has < mine || (has === mine && other > identity));
  return isFirst && mine >= fewest + 2 ? "give" : "stay";
}

interface ShardsOptions {
  /** How many shards there are. */
  readonly count: number;
  /** The namespace of the Leases. */
  readonly namespace: string;
  /** The name of the main Lease, from which the names of the others are derived. */
  readonly leaseName: string;
  /** Of this replica, as `sharingIdentity` returns it. */
  readonly identity: string;
  readonly durationMs: number;
}

interface ShardsWiring {
  readonly client: Pick<KubernetesClient, "call">;
  readonly log: Log;
  readonly now: () => Date;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  readonly main: Pick<Lease, "isHeldBy">;
  /** Whether this replica can do the work of another shard. */
  readonly isReady: () => boolean;
  /** Whether a run for this shard has not ended yet. */
  readonly isBusy: (shard: number) => boolean;
  /** Called when this replica may work on a shard: another one may have written before. */
  readonly onGain: (shard: number) => void;
  /** Called when this replica no longer works on a shard. */
  readonly onLose: (shard: number) => void;
}

interface Shard {
  readonly lease: Lease;
  /** Whether this replica works on the shard: `onGain` was called for it, and `onLose` was not since. */
  isOurs: boolean;
  /** To be released as soon as no run for it is under way; no other run starts. */
  isLeaving: boolean;
}

/**
 * Takes part in sharing until it is stopped. The holder of the main Lease says, in its identity, into
 * how many shards the namespaces are divided: while it is a replica with another number, or one that
 * shares nothing, this replica writes nothing.
 */
export class Shards {
  readonly #options: ShardsOptions;
  readonly #wiring: ShardsWiring;
  readonly #shards: readonly Shard[];
  /** Held by a replica without a shard, so that the others see it. */
  readonly #waiting: Lease;

  constructor(options: ShardsOptions, wiring: ShardsWiring) {
    this.#options = options;
    this.#wiring = wiring;
    const { count, leaseName } = options;
    this.#shards = Array.from({ length: count }, (_, index) => ({
      lease: this.#lease(`${leaseName}-shard-${index + 1}-of-${count}`),
      isOurs: false,
      isLeaving: false,
    }));
    this.#waiting = this.#lease(`${leaseName}-waiting-of-${count}`);
  }

  /** The number of shards that this replica works on. */
  get held(): number {
    return this.#shards.filter((shard) => shard.isOurs && this.#mayWrite(shard)).length;
  }

  /**
   * Whether this replica works on the SealedSecrets of a namespace. It goes on while a renewal is late,
   * when its writes fail and are tried again: what changes meanwhile must not be missed.
   */
  holds(namespace: string): boolean {
    const shard = this.#shards[shardOf(namespace, this.#options.count)];
    return shard !== undefined && shard.isOurs && !shard.isLeaving;
  }

  /**
   * Call right before a write for a SealedSecret of a namespace is sent.
   * @throws ApiError NotLeader if this replica may not write
   */
  guard(namespace: string): void {
    const shard = this.#shards[shardOf(namespace, this.#options.count)];
    if (shard !== undefined && this.#mayWrite(shard)) return;
    throw new ApiError(0, "NotLeader", "this replica no longer holds the shard of the namespace");
  }

  /** Another replica that takes part, to which the main Lease can be handed over. */
  peer(): string | undefined {
    const seen = [...this.#shards.map(({ lease }) => lease), this.#waiting];
    const others = seen.map(({ liveHolder }) => liveHolder);
    return others.find((holder) => holder !== "" && holder !== this.#options.identity);
  }

  /** Runs until `signal` aborts, then releases all shards. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#step();
      await untilNextCheck(this.#options.durationMs, signal);
    }
    const leases = [...this.#shards.map(({ lease }) => lease), this.#waiting];
    await Promise.all(leases.map((lease) => lease.release()));
  }

  async #step(): Promise<void> {
    const leases = [...this.#shards.map(({ lease }) => lease), this.#waiting];
    await Promise.all(leases.map((lease) => lease.check(false)));
    this.#notice();
    const isLeaving = this.#shards.some((shard) => shard.isLeaving);
    if (!isLeaving && this.#isShared && this.#wiring.isReady()) await this.#balance();
    await this.#leave();
    this.#notice();
  }

  /** Whether the holder of the main Lease divides the namespaces as this replica does. */
  get #isShared(): boolean {
    return this.#wiring.main.isHeldBy((holder) => holder.endsWith(`/${this.#options.count}`));
  }

  #mayWrite({ lease }: Shard): boolean {
    return lease.held && this.#isShared;
  }

  async #balance(): Promise<void> {
    while (this.#next() === "take" && (await this.#take()));
    const step = this.#next();
    if (step === "wait") await this.#waiting.check();
    else await this.#waiting.release();
    if (step !== "give") return;
    const given = this.#shards.findLast(({ lease }) => lease.held);
    if (given !== undefined) given.isLeaving = true;
  }

  #next(): Step {
    return nextStep({
      identity: this.#options.identity,
      holders: this.#shards.map(({ lease }) => lease.liveHolder),
      waiting: this.#waiting.liveHolder,
    });
  }

  /** Returns whether there was a free shard that this replica got. */
  async #take(): Promise<boolean> {
    for (const { lease } of this.#shards) {
      if (lease.liveHolder !== "") continue;
      await lease.check();
      if (lease.held) return true;
    }
    return false;
  }

  async #leave(): Promise<void> {
    for (const [index, shard] of this.#shards.entries()) {
      if (!shard.isLeaving || this.#wiring.isBusy(index)) continue;
      await shard.lease.release();
      shard.isLeaving = false;
    }
  }

  /** Passes on which shards were gained or lost. */
  #notice(): void {
    const { log, onGain, onLose } = this.#wiring;
    for (const [index, shard] of this.#shards.entries()) {
      const mayWrite = this.#mayWrite(shard);
      if (mayWrite === shard.isOurs) continue;
      shard.isOurs = mayWrite;
      log.info(mayWrite ? "this replica works on a shard" : "this replica left a shard", {
        shard: index + 1,
        of: this.#options.count,
      });
      if (mayWrite) onGain(index);
      else onLose(index);
    }
  }

  #lease(name: string): Lease {
    const { namespace, identity, durationMs } = this.#options;
    const { client, log, now, clock } = this.#wiring;
    const none = (): void => undefined;
    return new Lease(
      { namespace, name, identity, durationMs, successor: () => "" },
      {
        client,
        log: {
          ...log,
          warn: (message, fields) => {
            log.warn(message, { ...fields, lease: name });
          },
        },
        now,
        clock,
        sealingKey: () => undefined,
        onLead: none,
        onFollow: none,
        onForbidden: none,
      },
    );
  }
}

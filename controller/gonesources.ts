// SealedSecrets that are gone while Secrets of theirs are left: since when, and one look for all of them.
// SPEC.md, "Deliveries".

import type { DeliveryPlan } from "./deliveryplan.ts";
import type { Observed } from "./observed.ts";
import { isBeingDeleted } from "./sourceof.ts";
import type { DeliveryWorld, SourceNow } from "./world.ts";

/**
 * A SealedSecret that is gone or being deleted must be so for this long. One that is replaced is back by
 * then, and what its definition takes along can be distinguished from what somebody deleted.
 */
const GONE_MS = 3_000;
/** One look at a SealedSecret that stayed gone for that long serves all Secrets that ask meanwhile. */
const FRESH_MS = 1_000;
/** Where it is unknown what is gone, how soon to look again at the latest. */
const UNKNOWN_MS = 60_000;

interface Gone {
  readonly sinceMs: number;
  /** The last look that began after it had been gone for long enough. */
  look?: { readonly atMs: number; readonly now: Promise<SourceNow> };
}

export class GoneSources {
  readonly #world: Pick<DeliveryWorld, "sourceNow">;
  readonly #plan: DeliveryPlan;
  readonly #clock: () => number;
  readonly #gone = new Map<string, Gone>();

  /** `clock`: milliseconds of a monotonic clock. */
  constructor(world: Pick<DeliveryWorld, "sourceNow">, plan: DeliveryPlan, clock: () => number) {
    this.#world = world;
    this.#plan = plan;
    this.#clock = clock;
  }

  /** How many are remembered: at most as many as there are SealedSecrets with delivered Secrets. */
  get size(): number {
    return this.#gone.size;
  }

  forget(from: string): void {
    this.#gone.delete(from);
  }

  /**
   * Returns a SealedSecret as it is now; undefined if it has been gone for long enough to count. Or when
   * to ask again. @throws WorldError
   */
  async look(
    from: string,
  ): Promise<{ readonly waitMs: number } | { readonly source: Observed | undefined }> {
    const stillMs = this.#waitMs(from);
    if (stillMs > 0) return { waitMs: stillMs };
    const now = await this.#now(from);
    if (now !== undefined && "unknownForMs" in now) {
      return { waitMs: Math.min(now.unknownForMs, UNKNOWN_MS) };
    }
    if (now !== undefined && !isBeingDeleted(now.object)) {
      this.forget(from);
      return { source: now };
    }
    this.#add(from);
    const waitMs = this.#waitMs(from);
    return waitMs > 0 ? { waitMs } : { source: undefined };
  }

  #now(from: string): Promise<SourceNow> {
    const gone = this.#gone.get(from);
    if (gone === undefined) return this.#world.sourceNow(from);
    const atMs = this.#clock();
    if (gone.look === undefined || atMs - gone.look.atMs > FRESH_MS) {
      const look = { atMs, now: this.#world.sourceNow(from) };
      gone.look = look;
      look.now.catch(() => {
        if (gone.look === look) delete gone.look;
      });
    }
    return gone.look.now;
  }

  #add(from: string): void {
    if (this.#gone.has(from)) return;
    // Those whose Secrets are all deleted are not asked for again.
    if (this.#gone.size >= this.#plan.origins) {
      for (const each of this.#gone.keys()) if (!this.#plan.isOrigin(each)) this.forget(each);
    }
    this.#gone.set(from, { sinceMs: this.#clock() });
  }

  /** How long it must still stay gone before that counts; 0 if it was not found gone yet. */
  #waitMs(from: string): number {
    const sinceMs = this.#gone.get(from)?.sinceMs;
    return sinceMs === undefined ? 0 : sinceMs + GONE_MS - this.#clock();
  }
}

// Keeps one Secret as it is declared: whether it drifted, how fast to answer that, and the write.
// SPEC.md, "Reconciling" and "Drift".

import { SignetError } from "../shared/errors.ts";
import { parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
import { Contest } from "./contest.ts";
import { decide, isPatched, markOf, type Ownership } from "./decide.ts";
import { type KeyPlace, keyMarkOf } from "./keymarks.ts";
import { isSameMark, type Left, type SecretMark } from "./record.ts";
import { isBeingDeleted } from "./sourceof.ts";
import { type Drift, type Verdict, verdicts } from "./verdict.ts";
import { type World, WorldError } from "./world.ts";

export interface UpkeepOptions {
  readonly world: World;
  /**
   * Where sealing keys are stored, which no SealedSecret may create; undefined without a cluster.
   */
  readonly keyPlace?: KeyPlace;
  /** Types of Secrets to create even though something in the cluster acts on them. */
  readonly allowedTypes: ReadonlySet<string>;
  /**
   * The largest Secret that the world accepts, as the total of its values in bytes; undefined: no
   * limit.
   */
  readonly maxSecretBytes?: number;
  /** Which changes by others are reverted, unless the SealedSecret forbids it. */
  readonly repair: { readonly changed: boolean; readonly deleted: boolean };
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
}

/** A Secret to keep. */
interface Target {
  /** What disturbances are counted for: the queue's name of the work. */
  readonly name: string;
  /** The `NAMESPACE/NAME` of the Secret. */
  readonly secret: string;
  /** The Secret as last observed. */
  readonly mark: SecretMark | undefined;
  /** Our last write of it; null if it is not known. */
  readonly left: Left | null;
  /** What the Secret is to be made from, as `left.source` says it. */
  readonly source: string;
  readonly ignoresDrift: boolean;
  /** Who owns the Secret that exists; by default what its owner reference and marks say. */
  readonly ownership?: (existing: Secret) => Ownership;
  /** `left` was not seen after our write, so a version that differs tells nothing. */
  readonly isUnsure?: boolean;
}

/** What is to be done about a Secret, by what was observed. */
type Need =
  | {
      readonly act: "none";
      readonly mark: SecretMark;
      readonly left: Left;
      readonly isContested: boolean;
    }
  | { readonly act: "ignore"; readonly change: Drift["change"] }
  | { readonly act: "wait"; readonly ms: number }
  /** `drifted`: others changed it, and the source is the same. */
  | { readonly act: "write"; readonly drifted: boolean };

/** The result for one Secret. */
export interface Upkept {
  readonly verdict: Verdict;
  /** The Secret as it is now; undefined if it is not in sync. */
  readonly mark?: SecretMark;
  /** We added to a Secret that someone else owns. */
  readonly patched?: boolean;
  readonly wrote: boolean;
  /** The changes by others that were reverted. */
  readonly drift?: Drift | undefined;
}

export class Upkeep {
  readonly #options: UpkeepOptions;
  readonly #contest = new Contest();

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** The number of Secrets that someone else keeps changing. */
  get contested(): number {
    return this.#contest.contestedCount(this.#options.clock());
  }

  isContested(name: string): boolean {
    return this.#contest.isContested(name, this.#options.clock());
  }

  /** Milliseconds until a contest is over if nobody changes the Secret again. */
  quietInMs(name: string): number {
    return this.#contest.quietInMs(name, this.#options.clock());
  }

  forget(name: string): void {
    this.#contest.forget(name);
  }

  needOf({ name, mark, left, source, ignoresDrift }: Target): Need {
    const { repair, clock } = this.#options;
    const sameSource = left?.source === source;
    if (sameSource && mark !== undefined && isSameMark(mark, left)) {
      return { act: "none", mark, left, isContested: this.isContested(name) };
    }
    if (!sameSource) return { act: "write", drifted: false };
    const change = mark === undefined ? "deleted" : "changed";
    if (ignoresDrift || !repair[change]) return { act: "ignore", change };
    const waitMs = this.#contest.waitMs(name, clock());
    return waitMs > 0 ? { act: "wait", ms: waitMs } : { act: "write", drifted: true };
  }

  /**
   * Makes the Secret as desired. The result has `drift` if that reverted changes by others.
   * @throws WorldError if the world changed meanwhile or is unreachable
   */
  async write(target: Target, desired: Secret, drifted: boolean): Promise<Upkept> {
    const keyMark = keyMarkOf(desired.metadata, this.#options.keyPlace);
    if (keyMark !== null) return { verdict: verdicts.keySecret(keyMark), wrote: false };
    const excess = sizeError(desired, this.#options.maxSecretBytes);
    if (excess !== null) return { verdict: verdicts.unsealFailed(excess), wrote: false };
    try {
      const done = await this.#write(target, desired, drifted);
      return drifted ? this.#answered(target, done) : done;
    } catch (error) {
      // The world changed after we read it, or is unreachable: a retry follows, so no verdict yet.
      const isFinal = error instanceof WorldError && ["refused", "invalid"].includes(error.failure);
      if (!isFinal) throw error;
      return { verdict: verdicts.writeFailed(error), wrote: false };
    }
  }

  /** Counts the disturbance that was answered. */
  #answered({ name, isUnsure = false }: Target, done: Upkept): Upkept {
    const nowMs = this.#options.clock();
    if (isUnsure && done.drift === undefined) return done;
    this.#contest.answered(name, nowMs, done.drift !== undefined);
    if (done.drift === undefined) return done;
    const verdict = this.#contest.isContested(name, nowMs)
      ? verdicts.contested(done.drift.by)
      : verdicts.repaired(done.drift);
    return { ...done, verdict };
  }

  /**
   * Replaces the version that this controller left, without reading it; null if that version may have
   * something of others in it, or cannot be replaced. A changed value then costs one call.
   */
  async #replaceUnread(target: Target, desired: Secret): Promise<Upkept | null> {
    const { world } = this.#options;
    const { name, secret: key, left, isUnsure = false } = target;
    const { rest } = desired.metadata;
    if (left === null || left.patched || isUnsure || rest["finalizers"] !== undefined) return null;
    if (!isSameMark(world.secretMark(key), left) || !world.isAllOurs(key)) return null;
    const { uid, resourceVersion } = left;
    const metadata = { ...desired.metadata, rest: { ...rest, uid, resourceVersion } };
    try {
      const after = await world.replaceSecret(key, { ...desired, metadata }, name);
      // The API server makes no new version of what is the same.
      const wrote = after.resourceVersion !== resourceVersion;
      return { verdict: verdicts.unsealed(), mark: after, patched: false, wrote };
    } catch (error) {
      // Such as another type, or what is immutable: what to do about that depends on what is there.
      if (error instanceof WorldError && error.failure === "invalid") return null;
      throw error;
    }
  }

  async #write(target: Target, desired: Secret, drifted: boolean): Promise<Upkept> {
    const { world, allowedTypes } = this.#options;
    const { name, secret: key, left, ownership } = target;
    const refused = (verdict: Verdict): Upkept => ({ verdict, wrote: false });
    const written = (mark: SecretMark, drift: Drift, secret = desired): Upkept => ({
      verdict: verdicts.unsealed(),
      mark,
      patched: isPatched(secret),
      wrote: true,
      ...(drifted ? { drift } : {}),
    });
    const create = async (): Promise<Upkept> =>
      written(await world.createSecret(key, desired, name), {
        change: "deleted",
        fields: [],
        by: [],
      });

    const first = decide(desired, null, { allowedTypes });
    if (first.act === "refuse") return refused(first.verdict);
    const unread = drifted ? null : await this.#replaceUnread(target, desired);
    if (unread !== null) return unread;
    const watched = world.secretMark(key) !== undefined;
    // We do not watch a Secret of someone else, who may have removed our label or deleted the
    // Secret.
    const wasTheirs = drifted && left?.patched === true;
    if (!watched && !wasTheirs) {
      try {
        return await create();
      } catch (error) {
        if (!(error instanceof WorldError) || error.failure !== "exists") throw error;
      }
    }
    const found = await world.readSecret(key);
    if (found === null && wasTheirs) return refused(verdicts.ownerDeleted(desired.metadata.name));
    const existing = found === null ? null : parseSecret(found);
    const keyMark = existing && keyMarkOf(existing.metadata, this.#options.keyPlace);
    if (keyMark !== null) return { verdict: verdicts.keySecret(keyMark), wrote: false };
    const decision = decide(desired, existing, { left, drifted, allowedTypes, ownership });
    switch (decision.act) {
      case "create":
        return create();
      case "replace": {
        const mark = await world.replaceSecret(key, decision.secret, name);
        return written(mark, decision.drift, decision.secret);
      }
      case "recreate": {
        // A finalizer holds it, so it cannot be created again yet.
        if (found !== null && isBeingDeleted(found)) {
          return refused(verdicts.heldByFinalizer(desired.metadata.name));
        }
        await world.deleteSecret(key, markOf(decision.secret), name);
        return written(await world.createSecret(key, desired, name), decision.drift);
      }
      case "keep":
        return {
          verdict: verdicts.unsealed(),
          mark: markOf(decision.secret),
          patched: isPatched(decision.secret),
          wrote: false,
        };
      case "refuse": {
        // No event reports the deletion of a Secret that we do not watch, so retry.
        const next = watched ? decision.verdict.next : "retry";
        return refused({ ...decision.verdict, next });
      }
    }
  }
}

/** Why a world would refuse the Secret; null if it is small enough. */
function sizeError({ data }: Secret, maxBytes = Infinity): SignetError | null {
  let bytes = 0;
  for (const value of data.values()) bytes += value.length;
  return bytes <= maxBytes
    ? null
    : new SignetError("secret-invalid", `the Secret would exceed ${maxBytes} bytes`);
}

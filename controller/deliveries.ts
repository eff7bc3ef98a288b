// Delivers Secrets to the namespaces that their SealedSecrets ask for, and deletes those that are no
// longer wanted. A delivery is one more kind of target of the core that keeps a Secret as declared.
// SPEC.md, "Deliveries".

import { matchesLabels } from "../shared/kubernetes/labelselector.ts";
import type { JsonObject } from "../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
import { API_VERSION, KIND } from "../shared/sealing/sealedsecret.ts";
import { deliveryOwnership, markOf } from "./decide.ts";
import { deliveredOf, deliveredSecret, isCurrent, isFromUs } from "./delivered.ts";
import {
  deliveryIn,
  deliveryName,
  type DeliveryPlan,
  type DeliverySource,
  deliverySourceOf,
  homeOf,
  nameOf,
} from "./deliveryplan.ts";
import type { DeliveryReport } from "./deliveryreport.ts";
import type { OpenerOptions } from "./opener.ts";
import { OpenedSources } from "./openedsources.ts";
import { logLostEvent } from "./events.ts";
import { GoneSources } from "./gonesources.ts";
import type { Observed } from "./observed.ts";
import { later, type Outcome } from "./queue.ts";
import type { Left, SecretMark } from "./record.ts";
import { selectionRefusal } from "./selection.ts";
import { isBeingDeleted } from "./sourceof.ts";
import { Upkeep, type UpkeepOptions, type Upkept } from "./upkeep.ts";
import { type Drift, type Verdict, verdicts } from "./verdict.ts";
import { type DeliveryWorld, type NamespaceFacts, WorldError } from "./world.ts";

export interface DeliveriesOptions extends OpenerOptions, UpkeepOptions {
  readonly world: DeliveryWorld;
  readonly plan: DeliveryPlan;
  /** Whether this replica delivers the SealedSecrets of a namespace; by default of all. */
  readonly holds?: (namespace: string) => boolean;
  /** Called with the `NAMESPACE/NAME` of a SealedSecret whose status is to tell something else. */
  readonly onReport: (from: string) => void;
  /** Called for each verdict that is new or that follows a write. */
  readonly onVerdict: (name: string, verdict: Verdict) => void;
  /** Called after a change by others was reverted. `key`: of the Secret. */
  readonly onRepair: (key: string, drift: Drift) => void;
  /** Called after a Secret that is no longer wanted was deleted. */
  readonly onRemoval: (key: string, from: string, why: string) => void;
}

/** Of a Secret that another process wrote: no version is this one. */
const UNKNOWN_VERSION = "";
/** How soon to check again where the cluster contradicts the caches. */
const LOOK_AGAIN_MS = 5_000;

export class Deliveries {
  readonly #options: DeliveriesOptions;
  readonly #upkeep: Upkeep;
  readonly #opened: OpenedSources;
  /** The inputs of each delivery's last run, and the result. */
  readonly #settled = new Map<string, { readonly seen: string; readonly failed: boolean }>();
  /** Our last writes of Secrets, by delivery. */
  readonly #left = new Map<string, Left>();
  /** The last verdict of each delivery, by source and namespace. */
  readonly #verdicts = new Map<string, Map<string, Verdict>>();
  readonly #gone: GoneSources;

  constructor(options: DeliveriesOptions) {
    this.#options = options;
    this.#upkeep = new Upkeep(options);
    this.#opened = new OpenedSources(options, options.world);
    this.#gone = new GoneSources(options.world, options.plan, options.clock);
  }

  /** The number of delivered Secrets that someone else keeps changing. */
  get contested(): number {
    return this.#upkeep.contested;
  }

  /** How many deliveries this replica makes, by what became of them. */
  counts(): { delivered: number; failed: number; waiting: number } {
    const counts = { delivered: 0, failed: 0, waiting: 0 };
    for (const from of this.#options.plan.sources) {
      if (!this.#holds(from)) continue;
      const { wanted, delivered, failed } = this.#tally(from);
      counts.delivered += delivered;
      counts.failed += failed.length;
      counts.waiting += wanted - delivered - failed.length;
    }
    return counts;
  }

  /**
   * Whether the data of this version of a Secret counts as what was delivered: the controller left it
   * so, or changes by others are not reverted.
   */
  isSettled(key: string, mark: SecretMark): boolean {
    const from = this.#options.world.delivered(key)?.from ?? "";
    const to = homeOf(key);
    if (!this.#options.plan.wants(from, to)) return false;
    if (!this.#holds(from)) return this.#isDelivered(key, from);
    const left = this.#left.get(deliveryName(from, to));
    if (left === undefined || left.uid !== mark.uid) return false;
    const isIgnored = this.#options.plan.sourceOf(from)?.ignoresDrift === true;
    return isIgnored || left.resourceVersion === mark.resourceVersion;
  }

  /**
   * Whether another replica made this Secret from the SealedSecret as it is. Only that replica knows
   * whether somebody changed it since.
   */
  #isDelivered(key: string, from: string): boolean {
    const version = this.#versionOf(this.#options.plan.sourceOf(from));
    return version !== null && this.#leftBefore(key, from, version)?.source === version;
  }

  #holds(from: string): boolean {
    return this.#options.holds?.(homeOf(from)) ?? true;
  }

  /** What a delivery is made from; null without a key, as there is no tag. */
  #versionOf(source: DeliverySource | undefined): string | null {
    const { newest } = this.#options.keyring;
    if (source === undefined || newest === null) return null;
    return `${source.source} ${newest.fingerprint}`;
  }

  /** What the status of a SealedSecret is to say; null if it asks for no delivery. */
  reportOf(from: string, object: JsonObject): DeliveryReport | null {
    const { plan } = this.#options;
    const asked = deliverySourceOf({ object, excess: null });
    if (asked === null) return null;
    const home = homeOf(from);
    const fault = plan.isListed(home)
      ? asked.fault
      : `namespace ${home} is not one of --deliver-from, so its Secrets are not delivered`;
    if (fault !== null) return { fault, wanted: 0, delivered: 0, failed: [] };
    return this.#tally(from);
  }

  #tally(from: string): DeliveryReport {
    const known = this.#verdicts.get(from);
    const targets = this.#options.plan.targetsOf(from);
    const found = targets.map((namespace) => ({ namespace, verdict: known?.get(namespace) }));
    const failed = found.flatMap(({ namespace, verdict }) =>
      verdict === undefined || verdict.synced ? [] : [{ namespace, verdict }],
    );
    failed.sort((a, b) => (a.namespace < b.namespace ? -1 : 1));
    const delivered = found.filter(({ verdict }) => verdict?.synced === true).length;
    return { fault: null, wanted: targets.length, delivered, failed };
  }

  /** Makes failed deliveries run again, because another sealing key may fix them. */
  forgetFailures(): void {
    this.#opened.clear();
    for (const [name, { failed }] of this.#settled) if (failed) this.#settled.delete(name);
  }

  /** Makes every delivery run again, because another replica may have written meanwhile. */
  forgetAll(): void {
    this.#opened.clear();
    this.#settled.clear();
    this.#left.clear();
  }

  /** Forgets the deliveries of the SealedSecrets that `isOne` accepts: another replica makes them. */
  forgetOf(isOne: (from: string) => boolean): void {
    for (const memory of [this.#settled, this.#left]) {
      for (const name of memory.keys()) {
        if (isOne(deliveryIn(name)?.from ?? "")) memory.delete(name);
      }
    }
    for (const from of this.#verdicts.keys()) {
      if (!isOne(from)) continue;
      this.#verdicts.delete(from);
      this.#opened.forget(from);
    }
  }

  /** Brings one delivery in sync. `name`: as the plan names it. @throws WorldError */
  async reconcile(name: string): Promise<Outcome> {
    const { from, to } = deliveryIn(name) ?? { from: "", to: "" };
    try {
      return await this.#reconcile(name, from, to);
    } catch (error) {
      // It is tried again. A delivery that never had a result fails meanwhile; another one keeps it.
      const isFirst = this.#verdicts.get(from)?.has(to) !== true;
      if (error instanceof WorldError && isFirst) {
        this.#keepVerdict(from, to, verdicts.writeFailed(error));
        this.#options.onReport(from);
      }
      throw error;
    }
  }

  async #reconcile(name: string, from: string, to: string): Promise<Outcome> {
    const { world, plan, keyring } = this.#options;
    const source = plan.sourceOf(from);
    if (source === undefined || !plan.wants(from, to)) {
      this.#forget(name, from, to);
      return { kind: "done" };
    }
    const version = this.#versionOf(source);
    // Another key makes everything run again.
    if (source.fault !== null || version === null) return { kind: "terminal" };
    const secret = `${to}/${nameOf(from)}`;
    const mark = world.secretMark(secret);
    const refusal =
      source.scope === null ? null : await selectionRefusal(secret, source.scope, world, "seen");
    const seen = JSON.stringify([version, mark, source.ignoresDrift, refusal?.reason]);
    const settled = this.#settled.get(name);
    if (settled?.seen === seen) return { kind: settled.failed ? "terminal" : "done" };

    const known = this.#left.get(name);
    const left = known ?? this.#leftBefore(secret, from, version);
    const target = {
      name,
      secret,
      mark,
      left,
      source: version,
      ignoresDrift: source.ignoresDrift,
      isUnsure: known === undefined || known.resourceVersion === UNKNOWN_VERSION,
      ownership: (existing: Secret) => {
        const { rest, ...named } = existing.metadata;
        const found = deliveredOf({ metadata: { ...rest, ...named } });
        const isTrue = found !== null && isFromUs(found, to, keyring);
        const isOurs = isTrue && found.from === from;
        return deliveryOwnership(existing, { isOurs, isOthers: isTrue && !isOurs }, left);
      },
    };
    const result =
      refusal === null
        ? await this.#bringInSync(from, to, source, target)
        : { verdict: refusal, wrote: false };
    if ("kind" in result) return result;
    const { verdict, mark: written } = result;
    if (written !== undefined) {
      this.#left.set(name, { ...written, source: version, patched: false });
    } else if (left !== null && source.ignoresDrift && verdict.synced) {
      // Whatever it is now is its value, which a restart of workloads must know after a start too.
      this.#left.set(name, left);
    }
    this.#tell(name, from, to, result);
    if (verdict.next === "retry") {
      const { retryAfterMs: afterMs } = result;
      return { kind: "retry", ...(afterMs === undefined ? {} : { afterMs }) };
    }
    if (verdict.reason === "DriftContested") return later(this.#upkeep.quietInMs(name));
    const then = JSON.stringify([version, written ?? mark, source.ignoresDrift, refusal?.reason]);
    this.#settled.set(name, { seen: then, failed: !verdict.synced });
    return { kind: verdict.synced ? "done" : "terminal" };
  }

  /** Our last write of a Secret according to its marks, where this process did not make it. */
  #leftBefore(secret: string, from: string, version: string): Left | null {
    const { world, keyring } = this.#options;
    const delivered = world.delivered(secret);
    const uid = world.secretMark(secret)?.uid;
    if (delivered?.from !== from || uid === undefined) return null;
    const to = homeOf(secret);
    if (!isFromUs(delivered, to, keyring)) return null;
    const isSame = version.startsWith(`${delivered.source} `) && isCurrent(delivered, to, keyring);
    const source = isSame ? version : "";
    return { uid, resourceVersion: UNKNOWN_VERSION, source, patched: false };
  }

  async #bringInSync(
    from: string,
    to: string,
    source: DeliverySource,
    target: Parameters<Upkeep["write"]>[0],
  ): Promise<(Upkept & { readonly retryAfterMs?: number }) | Outcome> {
    const { plan, keyring, world } = this.#options;
    const need = this.#upkeep.needOf(target);
    switch (need.act) {
      case "none": {
        const before = this.#verdicts.get(from)?.get(to);
        const contested = before?.reason === "DriftContested" ? before : verdicts.contested([]);
        const verdict = need.isContested ? contested : verdicts.unsealed();
        return { verdict, mark: need.mark, wrote: false };
      }
      case "ignore": {
        // Without a record of the version that we wrote, it may as well be that one.
        const isSame = target.isUnsure === true && need.change === "changed";
        const verdict = isSame ? verdicts.unsealed() : verdicts.driftIgnored(need.change);
        return { verdict, wrote: false };
      }
      case "wait":
        return later(need.ms);
      case "write":
        break;
    }
    // What was watched may be older than the values: a label that was taken away before they were
    // changed must count.
    let facts = await world.namespaceSince(to, plan.sinceMs(from));
    // Or newer: a namespace that was made or labelled after the values.
    if (!isOpen(plan, from, to, source, facts)) facts = await world.namespaceSince(to, null);
    if (!isOpen(plan, from, to, source, facts)) return later(LOOK_AGAIN_MS);
    const opened = await this.#opened.get(from, source.source);
    if (opened === null) return { kind: "retry" };
    if ("verdict" in opened) return { ...opened, wrote: false };
    const place = { from, source: source.source, namespace: to };
    const desired = deliveredSecret(opened.secret, place, keyring);
    return this.#upkeep.write(target, desired, need.drifted);
  }

  /** Keeps the verdict for the status, and reports it if it is new. */
  #tell(name: string, from: string, to: string, { verdict, wrote, drift }: Upkept): void {
    const { onVerdict, onRepair, onReport } = this.#options;
    const before = this.#keepVerdict(from, to, verdict);
    const isNew = before?.reason !== verdict.reason || before.message !== verdict.message;
    // One that was found in sync after a start is no news.
    if (wrote || (isNew && !(before === undefined && verdict.synced))) onVerdict(name, verdict);
    if (drift !== undefined) {
      onRepair(`${to}/${nameOf(from)}`, drift);
      this.#recordEvent(from, { ...verdict, event: inNamespace(to, verdict) });
    }
    if (isNew) onReport(from);
  }

  /** Returns the verdict before. */
  #keepVerdict(from: string, to: string, verdict: Verdict): Verdict | undefined {
    const known = this.#verdicts.get(from) ?? new Map<string, Verdict>();
    const before = known.get(to);
    this.#verdicts.set(from, known.set(to, verdict));
    return before;
  }

  #recordEvent(from: string, { synced, event }: Pick<Verdict, "synced" | "event">): void {
    const { world, plan, log } = this.#options;
    const uid = plan.sourceOf(from)?.uid ?? "";
    const metadata = { namespace: homeOf(from), name: nameOf(from), uid };
    const object = { apiVersion: API_VERSION, kind: KIND, metadata };
    const type = synced ? "Normal" : "Warning";
    world.recordEvent(object, { type, ...event }).catch((error: unknown) => {
      logLostEvent(log, from, error);
    });
  }

  #forget(name: string, from: string, to: string): void {
    this.#settled.delete(name);
    this.#left.delete(name);
    this.#upkeep.forget(name);
    const known = this.#verdicts.get(from);
    if (known?.delete(to) === true) this.#options.onReport(from);
    if (known === undefined || known.size === 0) {
      this.#verdicts.delete(from);
      this.#opened.forget(from);
    }
  }

  /**
   * Deletes a delivered Secret that is no longer wanted. What was observed only raises the question: the
   * Secret, its SealedSecret and its namespace are read again, and the Secret is deleted in the version
   * that was read. What cannot be read is not gone. `key`: the `NAMESPACE/NAME` of any Secret. Returns
   * when to look again; null if a change will tell.
   * @throws WorldError
   */
  async sweep(key: string): Promise<Outcome | null> {
    const { world, plan, keyring, onRemoval } = this.#options;
    if (!plan.isOn) return null;
    const observed = world.delivered(key);
    const to = homeOf(key);
    if (observed === null || !this.#holds(observed.from)) return null;
    const { from } = observed;
    if (plan.wants(from, to)) {
      this.#gone.forget(from);
      return null;
    }
    if (!isFromUs(observed, to, keyring)) return null;
    const looked = await this.#gone.look(from);
    if ("waitMs" in looked) return later(looked.waitMs);
    const source = looked.source === undefined ? null : deliverySourceOf(looked.source);
    const why = await this.#whyUnwanted(from, to, looked.source, source);
    if (why === null) return null;

    const found = await world.readSecret(key);
    const delivered = found === null ? null : deliveredOf(found);
    if (found === null || delivered?.from !== from) return null;
    if (!isFromUs(delivered, to, keyring)) return null;
    // It was deleted before, and a finalizer holds it: do not count and report it again.
    if (isBeingDeleted(found)) return null;
    // It may have been delivered again since the SealedSecret was read.
    if (plan.wants(from, to)) return null;
    await world.deleteSecret(key, markOf(parseSecret(found)), deliveryName(from, to));
    onRemoval(key, from, why);
    if (source !== null) {
      const message = `the Secret in namespace ${to} was deleted: ${why}`;
      this.#recordEvent(from, { synced: true, event: { reason: "DeliveryRemoved", message } });
    }
    return null;
  }

  /** Null if the Secret is to stay. `source`: what the SealedSecret asks for. @throws WorldError */
  async #whyUnwanted(
    from: string,
    to: string,
    sealed: Observed | undefined,
    source: DeliverySource | null,
  ): Promise<string | null> {
    if (sealed === undefined) return "its SealedSecret is gone";
    if (source === null) return "its SealedSecret asks for no delivery";
    // A selector that cannot be read may be meant to match.
    if (source.selector === null) return null;
    const { world, plan } = this.#options;
    const facts = await world.namespaceSince(to, null);
    if (facts === undefined || facts.isEnding) return null;
    if (plan.isWanted(source, from, to, facts)) return null;
    return "its namespace does not match, or refuses deliveries";
  }
}

/** Whether the values may be opened for a namespace, and are wanted there. */
function isOpen(
  plan: DeliveryPlan,
  from: string,
  to: string,
  source: DeliverySource,
  facts: NamespaceFacts | undefined,
): boolean {
  if (facts === undefined || !plan.isWanted(source, from, to, facts)) return false;
  return source.scope === null || matchesLabels(source.scope, facts.labels);
}

function inNamespace(to: string, { event }: Verdict): Verdict["event"] {
  return { ...event, message: `in namespace ${to}: ${event.message}` };
}

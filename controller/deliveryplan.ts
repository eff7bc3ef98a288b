// Which SealedSecrets are delivered to which namespaces, by what was last observed, and what there is
// to look at after a change of either, or of a delivered Secret. It reads and writes nothing.
// SPEC.md, "Deliveries".

import {
  type LabelSelector,
  matchesLabels,
  SelectorFault,
} from "../shared/kubernetes/labelselector.ts";
import { annotationsOf, metadataOf } from "../shared/kubernetes/object.ts";
import { deliveryFault, deliverySelector } from "../shared/sealing/delivery.ts";
import type { Annotations } from "../shared/sealing/scope.ts";
import type { Observed } from "./observed.ts";
import { selectorOf } from "./selection.ts";
import { ignoresDrift, isBeingDeleted, sourceOf } from "./sourceof.ts";
import type { Delivered, NamespaceFacts } from "./world.ts";

/** What deliveries need to know of a SealedSecret that asks for some. */
export interface DeliverySource {
  /** Null if the namespaces that it asks for are unknown. */
  readonly selector: LabelSelector | null;
  /** Why it is delivered nowhere; null if it is delivered. What was delivered before stays. */
  readonly fault: string | null;
  /** The selector of its scope, which namespaces must match besides; null for cluster-wide. */
  readonly scope: LabelSelector | null;
  readonly uid: string;
  /** What its Secret is made from. */
  readonly source: string;
  readonly ignoresDrift: boolean;
}

/** Returns what a SealedSecret asks for; null if it asks for no delivery, or is being deleted. */
export function deliverySourceOf({ object, excess }: Observed): DeliverySource | null {
  if (isBeingDeleted(object)) return null;
  const { uid } = metadataOf(object);
  const id = typeof uid === "string" ? uid : "";
  if (excess !== null) {
    // Its annotations are not read, so what it asks for is not known.
    const fault = excess.message;
    return { selector: null, fault, scope: null, uid: id, source: "", ignoresDrift: false };
  }
  const annotations = annotationsOf(object) as Annotations;
  let selector: LabelSelector | null = null;
  try {
    selector = deliverySelector(annotations);
    if (selector === null) return null;
  } catch (error) {
    if (!(error instanceof SelectorFault)) throw error;
  }
  return {
    selector,
    fault: deliveryFault(annotations),
    scope: selectorOf(object),
    uid: id,
    source: sourceOf(object),
    ignoresDrift: ignoresDrift(object),
  };
}

/** A queue name: the delivery of the SealedSecret `from` (`NAMESPACE/NAME`) to a namespace. */
export function deliveryName(from: string, to: string): string {
  return `${from}>${to}`;
}

/** Returns the parts of a queue name that `deliveryName` made; null for any other name. */
export function deliveryIn(name: string): { from: string; to: string } | null {
  const at = name.indexOf(">");
  return at === -1 ? null : { from: name.slice(0, at), to: name.slice(at + 1) };
}

/** The `NAMESPACE/NAME` of the Secret that is worked on under a name of the queue. */
export function secretOf(name: string): string {
  const delivery = deliveryIn(name);
  return delivery === null ? name : `${delivery.to}/${nameOf(delivery.from)}`;
}

/** Namespaces of the cluster itself. Like the controller's own, they get what they ask for only. */
const SYSTEM_PREFIX = "kube-";

/** Whether a SealedSecret of the namespace `home` is to be delivered to the namespace `to`. */
function wants(
  { selector }: DeliverySource,
  home: string,
  { to, facts, own }: { readonly to: string; readonly facts: NamespaceFacts; readonly own: string },
): boolean {
  if (selector === null || to === home || facts.isEnding) return false;
  const isReserved = to === own || to.startsWith(SYSTEM_PREFIX);
  if (facts.accepts === undefined ? isReserved : facts.accepts !== "true") return false;
  return matchesLabels(selector, facts.labels);
}

interface PlanOptions {
  /** The namespaces whose SealedSecrets may be delivered. */
  readonly from: ReadonlySet<string>;
  /** The controller's own namespace. */
  readonly own: string;
  /** Called with names for the queue: deliveries, and Secrets that may not be wanted any more. */
  readonly onWork: (name: string) => void;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
}

/** What was last observed, and which deliveries follow. */
export class DeliveryPlan {
  readonly #options: PlanOptions;
  readonly #sources = new Map<
    string,
    { readonly source: DeliverySource; readonly sinceMs: number }
  >();
  readonly #namespaces = new Map<string, NamespaceFacts>();
  /** Sources by the name that their Secrets have. */
  readonly #byName = new Map<string, Set<string>>();
  /** Delivered Secrets by the SealedSecret that they say they are from, and by namespace. */
  readonly #bySource = new Map<string, Set<string>>();
  readonly #byNamespace = new Map<string, Set<string>>();

  constructor(options: PlanOptions) {
    this.#options = options;
  }

  /** Whether any SealedSecret may be delivered. */
  get isOn(): boolean {
    return this.#options.from.size > 0;
  }

  /** Whether the SealedSecrets of a namespace may be delivered. */
  isListed(namespace: string): boolean {
    return this.#options.from.has(namespace);
  }

  sourceOf(from: string): DeliverySource | undefined {
    return this.#sources.get(from)?.source;
  }

  /** Since when the source has been as it is, by the clock. */
  sinceMs(from: string): number {
    return this.#sources.get(from)?.sinceMs ?? this.#options.clock();
  }

  factsOf(namespace: string): NamespaceFacts | undefined {
    return this.#namespaces.get(namespace);
  }

  /** Whether a namespace is to have the Secret of a SealedSecret, whether or not that can be done. */
  wants(from: string, to: string): boolean {
    const source = this.sourceOf(from);
    const facts = this.#namespaces.get(to);
    if (source === undefined || facts === undefined) return false;
    return this.isWanted(source, from, to, facts);
  }

  /** The same by other facts than those that were last observed. */
  isWanted(source: DeliverySource, from: string, to: string, facts: NamespaceFacts): boolean {
    return wants(source, homeOf(from), { to, facts, own: this.#options.own });
  }

  /** The namespaces that are to have the Secret. */
  targetsOf(from: string): string[] {
    return [...this.#namespaces.keys()].filter((to) => this.wants(from, to));
  }

  /** All deliveries. */
  *names(): Generator<string> {
    for (const [from, { source }] of this.#sources) {
      if (source.fault !== null) continue;
      for (const to of this.targetsOf(from)) yield deliveryName(from, to);
    }
  }

  get sources(): IterableIterator<string> {
    return this.#sources.keys();
  }

  /** A SealedSecret of any namespace came, changed, or went. */
  observeSource(from: string, source: DeliverySource | null): void {
    if (!this.isListed(homeOf(from))) return;
    const before = this.sourceOf(from);
    if (JSON.stringify(before ?? null) === JSON.stringify(source)) return;
    const targets = new Set(this.targetsOf(from));
    if (source === null) {
      this.#sources.delete(from);
      remove(this.#byName, nameOf(from), from);
    } else {
      this.#sources.set(from, { source, sinceMs: this.#options.clock() });
      add(this.#byName, nameOf(from), from);
    }
    for (const to of this.targetsOf(from)) targets.add(to);
    for (const to of targets) this.#options.onWork(deliveryName(from, to));
    for (const secret of this.#bySource.get(from) ?? []) this.#options.onWork(secret);
  }

  /** A namespace came, changed, or went. */
  observeNamespace(name: string, facts: NamespaceFacts | undefined): void {
    if (!this.isOn) return;
    const before = [...this.#sources.keys()].filter((from) => this.wants(from, name));
    if (facts === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, facts);
    const now = [...this.#sources.keys()].filter((from) => this.wants(from, name));
    for (const from of new Set([...before, ...now])) {
      this.#options.onWork(deliveryName(from, name));
    }
    for (const secret of this.#byNamespace.get(name) ?? []) this.#options.onWork(secret);
  }

  /** The marks of a Secret changed. Queues nothing. */
  indexSecret(key: string, now: Delivered | null, before: Delivered | null): void {
    if (!this.isOn) return;
    if (before !== null) {
      remove(this.#bySource, before.from, key);
      remove(this.#byNamespace, homeOf(key), key);
    }
    if (now !== null) {
      add(this.#bySource, now.from, key);
      add(this.#byNamespace, homeOf(key), key);
    }
  }

  /** A Secret with our label came, changed, or went. */
  observeSecret(key: string): void {
    const to = homeOf(key);
    for (const from of this.#byName.get(nameOf(key)) ?? []) {
      if (this.wants(from, to)) this.#options.onWork(deliveryName(from, to));
    }
  }

  /** How many SealedSecrets there are Secrets of, by what these say. */
  get origins(): number {
    return this.#bySource.size;
  }

  /** Whether any Secret says that it is from this SealedSecret. */
  isOrigin(from: string): boolean {
    return this.#bySource.has(from);
  }

  /** The Secrets that say they were delivered. */
  *secrets(): Generator<string> {
    for (const keys of this.#byNamespace.values()) yield* keys;
  }
}

export function homeOf(key: string): string {
  return key.slice(0, key.indexOf("/"));
}

export function nameOf(key: string): string {
  return key.slice(key.indexOf("/") + 1);
}

function add(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at) ?? new Set();
  keys.add(key);
  index.set(at, keys);
}

function remove(index: Map<string, Set<string>>, at: string, key: string): void {
  const keys = index.get(at);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(at);
}

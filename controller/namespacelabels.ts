// The labels of namespaces, and whether they accept deliveries: watched as soon as something depends on
// them, or read one by one.
// SPEC.md, "Scopes" and "Deliveries".

import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { asObject, type JsonObject, metadataOf, objectsIn } from "../shared/kubernetes/object.ts";
import { eachPage } from "../host/kubernetes/paging.ts";
import { beginningOf, Cache, METADATA_LIST, text as textOf } from "./cache.ts";
import type { Log } from "./log.ts";
import type { Labels, NamespaceFacts } from "./world.ts";

const NAMESPACES = "/api/v1/namespaces";
/** `false`, or any text but `true`: no Secret is delivered to the namespace. */
const ACCEPT_ANNOTATION = "kube-signet/accept-deliveries";
/** An annotation may be long, and only two values mean anything. */
const MAX_ACCEPTS = 16;
/** Without a right to watch them, labels are read this often. */
const POLL_MS = 60_000;
/** How long the start waits for the first list. It goes on without: each namespace is then read. */
const FIRST_LIST_MS = 5_000;

export interface NamespaceLabelsOptions {
  readonly client: KubernetesClient;
  /** Keeps only the namespaces that match; undefined for all. */
  readonly selector: string | undefined;
  /** Whether namespaces may be listed and watched. Otherwise each is read by its name. */
  readonly mayList: boolean;
  /** Called with a namespace that came, went, or has other labels than before; undefined if it went. */
  readonly onChange: (namespace: string, facts: NamespaceFacts | undefined) => void;
  readonly log: Log;
}

/** The labels of namespaces as last seen. */
export class NamespaceLabels {
  readonly #options: NamespaceLabelsOptions;
  readonly #cache: Cache<NamespaceFacts>;
  /** What `onChange` was called with last, as text. */
  readonly #seen = new Map<string, string>();
  /** What was read where nothing may be listed. */
  readonly #read = new Map<string, { readonly labels: Labels; readonly atMs: number }>();
  #signal: AbortSignal | undefined;
  #isNeeded: boolean;
  #firstList: Promise<void> | undefined;
  #isListed = false;
  /** The last list of all namespaces that `since` made. */
  #all:
    | { readonly startedMs: number; readonly facts: Promise<ReadonlyMap<string, NamespaceFacts>> }
    | undefined;

  constructor(options: NamespaceLabelsOptions) {
    this.#options = options;
    this.#isNeeded = options.selector !== undefined;
    this.#cache = new Cache(
      options.client,
      {
        path: NAMESPACES,
        ...(options.selector === undefined ? {} : { labelSelector: options.selector }),
        metadataOnly: true,
      },
      {
        keep: factsOf,
        onChange: (key, facts) => {
          this.#compare(key.slice(1), facts);
        },
        log: options.log,
      },
    );
  }

  /** How long labels may change before `onChange` is called; undefined if it is called at once. */
  get pollMs(): number | undefined {
    return this.#options.mayList ? undefined : POLL_MS;
  }

  /** What the controller must be allowed to do, in words. */
  get permission(): string {
    return this.#options.mayList ? "list and watch namespaces" : "get namespaces";
  }

  /** Whether a namespace matches the selector of the options. */
  isSelected(namespace: string): boolean {
    return this.#options.selector === undefined || this.#cache.get(`/${namespace}`) !== undefined;
  }

  /** To be called when something depends on labels. Before that, nothing is watched. */
  need(): void {
    this.#isNeeded = true;
    this.#watch();
  }

  /** Resolves after the first list, where one is needed. With a selector, it waits for that list. */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#watch();
    if (this.#firstList === undefined) return;
    const inTime = new Promise<void>((resolve) => setTimeout(resolve, FIRST_LIST_MS).unref());
    await (this.#options.selector === undefined
      ? Promise.race([this.#firstList, inTime])
      : this.#firstList);
  }

  /** As last seen, or read now if nothing was seen yet. @throws ApiError */
  async seen(namespace: string): Promise<Labels> {
    if (this.#isListed) return this.#cache.get(`/${namespace}`)?.labels ?? {};
    // Many SealedSecrets of a namespace share one call.
    const read = this.#read.get(namespace);
    const isRecent = read !== undefined && performance.now() - read.atMs < POLL_MS / 2;
    return isRecent ? read.labels : this.current(namespace);
  }

  /** Read now. A namespace that does not exist has no labels. @throws ApiError */
  async current(namespace: string): Promise<Labels> {
    const { client, mayList } = this.#options;
    if (mayList) {
      return (await this.read(namespace))?.labels ?? {};
    }
    const labels = await client
      .call("GET", `${NAMESPACES}/${namespace}`)
      .then(labelsOf, (error: unknown): Labels => {
        if (error instanceof ApiError && error.status === 404) return {};
        throw error;
      });
    this.#read.set(namespace, { labels, atMs: performance.now() });
    return labels;
  }

  /**
   * Read now, by a list of one: the controller has no other right to read namespaces. Undefined if it
   * does not exist. @throws ApiError
   */
  async read(namespace: string): Promise<NamespaceFacts | undefined> {
    const query = { fieldSelector: `metadata.name=${namespace}`, limit: "1" };
    const { items } = await this.#options.client.call("GET", NAMESPACES, { query });
    const [found] = objectsIn(items);
    return found === undefined ? undefined : factsOf(found);
  }

  /**
   * All namespaces as they were at some moment after `sinceMs` (of `performance.now`). Many callers share
   * one list. @throws ApiError
   */
  async since(sinceMs: number): Promise<ReadonlyMap<string, NamespaceFacts>> {
    if (this.#all === undefined || this.#all.startedMs <= sinceMs) {
      const all = { startedMs: performance.now(), facts: this.#listAll() };
      this.#all = all;
      all.facts.catch(() => {
        if (this.#all === all) this.#all = undefined;
      });
    }
    return this.#all.facts;
  }

  async #listAll(): Promise<ReadonlyMap<string, NamespaceFacts>> {
    const { client } = this.#options;
    const all = new Map<string, NamespaceFacts>();
    await eachPage(
      (query) => client.unparsed("GET", NAMESPACES, { query, accept: METADATA_LIST }),
      (page) => {
        for (const item of objectsIn(page["items"])) {
          all.set(textOf(metadataOf(item)["name"]), factsOf(item));
        }
      },
    );
    return all;
  }

  #watch(): void {
    const { mayList, selector } = this.#options;
    const signal = this.#signal;
    if (!this.#isNeeded || signal === undefined || this.#firstList !== undefined) return;
    if (!mayList && selector === undefined) return;
    this.#firstList = this.#cache.start(signal).then(() => {
      this.#isListed = !signal.aborted;
    });
  }

  /** Other programs change namespaces often, and labels seldom. */
  #compare(namespace: string, facts: NamespaceFacts | undefined): void {
    const text = facts === undefined ? undefined : canonical(facts);
    if (this.#seen.get(namespace) === text) return;
    if (text === undefined) this.#seen.delete(namespace);
    else this.#seen.set(namespace, text);
    this.#options.onChange(namespace, facts);
  }
}

function canonical({ labels, accepts, isEnding }: NamespaceFacts): string {
  return JSON.stringify([Object.entries(labels).sort(), accepts, isEnding]);
}

function factsOf(namespace: JsonObject): NamespaceFacts {
  const { annotations = null, deletionTimestamp } = metadataOf(namespace);
  const accepts = asObject(annotations)?.[ACCEPT_ANNOTATION];
  return {
    labels: labelsOf(namespace),
    accepts: accepts === undefined ? undefined : beginningOf(textOf(accepts), MAX_ACCEPTS),
    isEnding: deletionTimestamp !== undefined,
  };
}

function labelsOf(namespace: JsonObject): Labels {
  const labels = asObject(metadataOf(namespace)["labels"] ?? null) ?? {};
  return labels as Labels;
}

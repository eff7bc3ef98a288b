// List + watch of one collection into memory: bookmarks, 410, silent stalls, relist.

import { setTimeout as sleep } from "node:timers/promises";
import { pagesOf } from "../host/kubernetes/paging.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import type { Log } from "./log.ts";

/** The collection to hold: its path, and what narrows it. */
export interface Collection {
  /** Such as `/api/v1/namespaces/demo/secrets`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Fetch metadata alone: the objects' content never reaches this process. */
  readonly metadataOnly?: boolean;
}

export interface CacheOptions<T> {
  /** What is kept of an object; the less, the less memory. */
  readonly keep: (object: JsonObject) => T;
  /** Called after the cache has changed; `undefined` where the object is gone. */
  readonly onChange: (key: string, object: T | undefined) => void;
  readonly log: Log;
}

const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 5_000;
/** The server ends each watch after about this long; bookmarks come every minute. */
const WATCH_SECONDS = 290;
const SILENCE_MS = 100_000;

const METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const METADATA_WATCH = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/** `namespace/name`. */
export function objectKey(object: JsonObject): string {
  const metadata = asObject(object["metadata"] ?? null) ?? {};
  return `${text(metadata["namespace"])}/${text(metadata["name"])}`;
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** One collection as last seen. It heals by itself for as long as it runs. */
export class Cache<T> {
  readonly #client: KubernetesClient;
  readonly #collection: Collection;
  readonly #options: CacheOptions<T>;
  readonly #objects = new Map<string, T>();
  /** Names of which a call is about to tell, and whether the watch told of it meanwhile. */
  readonly #awaited = new Map<string, { overtaken: boolean }>();
  #resourceVersion = "";

  constructor(client: KubernetesClient, collection: Collection, options: CacheOptions<T>) {
    this.#client = client;
    this.#collection = collection;
    this.#options = options;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  entries(): IterableIterator<[string, T]> {
    return this.#objects.entries();
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /**
   * Puts in at once what `call` answers, so that the next look does not see what was before our own
   * write. But where the watch told of the object while the call was under way, its word counts: it
   * may be newer than the answer, and nobody would tell it again. One call per name at a time; it
   * answers undefined where there is nothing to hold.
   */
  async observe<A extends T | undefined>(key: string, call: () => Promise<A>): Promise<A> {
    const awaited = { overtaken: false };
    this.#awaited.set(key, awaited);
    try {
      const object = await call();
      if (object !== undefined && !awaited.overtaken) this.#objects.set(key, object);
      return object;
    } finally {
      this.#awaited.delete(key);
    }
  }

  /**
   * Lists, then follows in the background until `signal` aborts; resolves when the first list is
   * in. Failures are retried without end.
   */
  async start(signal: AbortSignal): Promise<void> {
    await this.#retrying(signal, () => this.#list());
    void this.#follow(signal);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#retrying(signal, async () => {
        if (this.#resourceVersion === "") await this.#list();
        await this.#watch(signal);
      });
    }
  }

  async #retrying(signal: AbortSignal, action: () => Promise<void>): Promise<void> {
    for (let delayMs = RETRY_MIN_MS; !signal.aborted; delayMs *= 2) {
      try {
        await action();
        return;
      } catch (error) {
        if (error instanceof ApiError && error.status === 410) this.#resourceVersion = "";
        const waitMs =
          error instanceof ApiError && error.retryAfterMs !== undefined
            ? error.retryAfterMs
            : Math.min(delayMs, RETRY_MAX_MS) * (0.5 + Math.random());
        this.#options.log.warn("list or watch failed, trying again", {
          path: this.#collection.path,
          error: (error as Error).message,
          inMs: Math.round(waitMs),
        });
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #list(): Promise<void> {
    const { path, labelSelector, fieldSelector, metadataOnly } = this.#collection;
    const seen = new Set<string>();
    const pages = pagesOf((page) =>
      this.#client.call("GET", path, {
        query: {
          ...page,
          ...(labelSelector === undefined ? {} : { labelSelector }),
          ...(fieldSelector === undefined ? {} : { fieldSelector }),
        },
        ...(metadataOnly === true ? { accept: METADATA_LIST } : {}),
      }),
    );
    for await (const page of pages) {
      // An empty list of metadata says `null`.
      for (const item of (page["items"] ?? []) as JsonObject[]) {
        seen.add(objectKey(item));
        this.#put(item);
      }
      this.#resourceVersion = text(metadataOf(page)["resourceVersion"]);
    }
    for (const key of [...this.#objects.keys()]) if (!seen.has(key)) this.#drop(key);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { path, labelSelector, fieldSelector, metadataOnly } = this.#collection;
    await this.#client.watch(
      path,
      {
        query: {
          watch: "true",
          allowWatchBookmarks: "true",
          resourceVersion: this.#resourceVersion,
          timeoutSeconds: String(WATCH_SECONDS),
          ...(labelSelector === undefined ? {} : { labelSelector }),
          ...(fieldSelector === undefined ? {} : { fieldSelector }),
        },
        ...(metadataOnly === true ? { accept: METADATA_WATCH } : {}),
      },
      SILENCE_MS,
      signal,
      (type, object) => {
        if (type === "ERROR") {
          const status = Number(object["code"]);
          throw new ApiError(status, text(object["reason"]), "the server ended the watch");
        }
        const metadata = asObject(object["metadata"] ?? null) ?? {};
        if (type === "DELETED") this.#drop(objectKey(object));
        else if (type !== "BOOKMARK") this.#put(object);
        this.#resourceVersion = text(metadata["resourceVersion"]);
      },
    );
  }

  #put(object: JsonObject): void {
    const key = objectKey(object);
    const kept = this.#options.keep(object);
    this.#overtake(key);
    this.#objects.set(key, kept);
    this.#options.onChange(key, kept);
  }

  #drop(key: string): void {
    this.#overtake(key);
    this.#objects.delete(key);
    this.#options.onChange(key, undefined);
  }

  #overtake(key: string): void {
    const awaited = this.#awaited.get(key);
    if (awaited !== undefined) awaited.overtaken = true;
  }
}

// Keeps one collection in memory with list and watch: bookmarks, 410, silent watches, relists.

import { setTimeout as sleep } from "node:timers/promises";
import { eachPage, type FetchPage } from "../host/kubernetes/paging.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import type { Log } from "./log.ts";

/** The collection to keep: its path and selectors. */
export interface Collection {
  /** Such as `/api/v1/namespaces/demo/secrets`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Fetch only metadata: the objects' content never reaches this process. */
  readonly metadataOnly?: boolean;
}

export interface CacheOptions<T> {
  /** Reduces an object to the part to keep, to save memory. `key`: a text that is kept anyway. */
  readonly keep: (object: JsonObject, key: string) => T;
  /** Called after the cache has changed; `object` is undefined if it was deleted. */
  readonly onChange: (key: string, object: T | undefined) => void;
  /** Called when `stored` replaces `before`; either is undefined if there is nothing. */
  readonly onStored?: (key: string, stored: T | undefined, before: T | undefined) => void;
  /** Called after a list or a watch failed. It is tried again. */
  readonly onFailure?: (error: unknown) => void;
  readonly log: Log;
}

const RETRY_MIN_MS = 200;
const RETRY_MAX_MS = 5_000;
/** The server ends each watch after about this long. It sends a bookmark every minute. */
const WATCH_SECONDS = 290;
const SILENCE_MS = 100_000;
/** In place of a version, for what was deleted. */
const GONE = "";

/** Asks for lists of metadata. */
export const METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/** Asks for the metadata of one object, as the response to a write, or of each in a watch. */
export const METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/** `namespace/name`. */
export function objectKey(object: JsonObject): string {
  const metadata = asObject(object["metadata"] ?? null) ?? {};
  return `${text(metadata["namespace"])}/${text(metadata["name"])}`;
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/**
 * At most `length` characters of a text, as a text of its own: a mere slice keeps all of the text in
 * memory, and a stranger may have written a long one.
 */
export function beginningOf(value: string, length: number): string {
  return value.length <= length ? value : Buffer.from(value.slice(0, length)).toString();
}

/** One collection as last seen. It recovers from failures by itself until it is stopped. */
export class Cache<T> {
  readonly #client: KubernetesClient;
  readonly #collection: Collection;
  readonly #options: CacheOptions<T>;
  readonly #objects = new Map<string, T>();
  /** Names with calls under way, and the version of the object that the watch reported meanwhile. */
  readonly #calls = new Map<string, Set<{ reported: string | undefined }>>();
  /** The versions that we wrote and that the watch has not reported yet, by name. */
  readonly #echoes = new Map<string, string>();
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
   * Stores the result of `call` at once, so that the next read does not see the state before our own
   * write. If the watch reports the object during the call, the watch wins: its state may be newer
   * than the result, and is not sent again. `call` resolves to undefined if there is nothing to store.
   * `versionOf`: the version in a result that is our own write; once more by the watch, it is no
   * change.
   */
  async observe<A extends T | undefined>(
    key: string,
    call: () => Promise<A>,
    versionOf: (result: A) => string | undefined = () => undefined,
  ): Promise<A> {
    const awaited: { reported: string | undefined } = { reported: undefined };
    const calls = this.#calls.get(key) ?? new Set();
    this.#calls.set(key, calls.add(awaited));
    let written: string | undefined;
    try {
      const object = await call();
      written = versionOf(object);
      if (object !== undefined && awaited.reported === undefined) {
        this.#store(key, object);
        if (written !== undefined) this.#echoes.set(key, written);
      }
      return object;
    } finally {
      calls.delete(awaited);
      if (calls.size === 0) this.#calls.delete(key);
      const { reported } = awaited;
      if (reported !== undefined && reported !== written) {
        this.#options.onChange(key, this.#objects.get(key));
      }
    }
  }

  /** Forgets what `observe` stored of an object that the watch does not report. */
  forget(key: string): void {
    this.#echoes.delete(key);
    if (this.#objects.has(key)) this.#store(key, undefined);
  }

  /**
   * Lists, then watches in the background until `signal` aborts. Resolves after the first list.
   * Failures are retried forever.
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
        this.#options.onFailure?.(error);
        const waitMs =
          error instanceof ApiError && error.retryAfterMs !== undefined
            ? error.retryAfterMs
            : Math.min(delayMs, RETRY_MAX_MS) * (0.5 + Math.random());
        this.#options.log.warn("list or watch failed, retrying", {
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
    // The first list has nothing to replace, and 100,000 more names would take memory.
    const seen = this.#objects.size === 0 ? undefined : new Set<string>();
    let resourceVersion = "";
    const fetchPage: FetchPage = (page) =>
      this.#client.unparsed("GET", path, {
        query: {
          ...page,
          ...(labelSelector === undefined ? {} : { labelSelector }),
          ...(fieldSelector === undefined ? {} : { fieldSelector }),
        },
        ...(metadataOnly === true ? { accept: METADATA_LIST } : {}),
      });
    await eachPage(fetchPage, (page) => {
      // In an empty list of metadata, `items` is null.
      for (const item of (page["items"] ?? []) as JsonObject[]) {
        const key = this.#put(item);
        seen?.add(key);
      }
      resourceVersion = text(metadataOf(page)["resourceVersion"]);
    });
    if (seen !== undefined) {
      for (const key of [...this.#objects.keys()]) if (!seen.has(key)) this.#drop(key);
    }
    // Only a complete list may be followed: a watch would never report what later pages hold.
    this.#resourceVersion = resourceVersion;
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
        ...(metadataOnly === true ? { accept: METADATA_ONLY } : {}),
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

  /** Returns the object's key. */
  #put(object: JsonObject): string {
    const key = objectKey(object);
    const version = text(metadataOf(object)["resourceVersion"]);
    const echo = this.#echoes.get(key);
    this.#echoes.delete(key);
    if (echo !== undefined && echo === version) return key;
    this.#store(key, this.#options.keep(object, key));
    this.#report(key, version);
    return key;
  }

  #drop(key: string): void {
    this.#echoes.delete(key);
    this.#store(key, undefined);
    this.#report(key, GONE);
  }

  /** Reports a change, unless a call is under way: then it may be what the call itself does. */
  #report(key: string, version: string): void {
    const calls = this.#calls.get(key);
    if (calls === undefined) this.#options.onChange(key, this.#objects.get(key));
    else for (const awaited of calls) awaited.reported = version;
  }

  #store(key: string, object: T | undefined): void {
    this.#options.onStored?.(key, object, this.#objects.get(key));
    if (object === undefined) this.#objects.delete(key);
    else this.#objects.set(key, object);
  }
}

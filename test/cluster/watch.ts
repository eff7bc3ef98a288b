// A record of what becomes of objects over time, by real watches of the API server: what was
// deleted, made anew, or changed in what matters, and in what else.
import { get } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { ControlPlane, KubeObject } from "./controlplane.ts";

export interface Watch {
  /**
   * The disturbances so far, such as `Secret shop/db: deleted` or `Secret shop/db: data`, in the order in
   * which they came. @throws Error where the watch missed something
   */
  readonly disturbances: () => readonly string[];
  /** Changes of metadata alone, such as `Secret shop/db: labels.team`. */
  readonly touches: () => readonly string[];
  readonly stop: () => void;
}

export interface Watched {
  readonly path: string;
  readonly kind: string;
  /** Fields whose change is a disturbance. */
  readonly fields: readonly string[];
  readonly leaveOut?: (object: KubeObject) => boolean;
}

interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: KubeObject;
}

const METADATA = ["labels", "annotations", "ownerReferences", "finalizers"];

const nameOf = ({ metadata = {} }: KubeObject): string =>
  [metadata.namespace, metadata.name].filter((part) => part !== undefined).join("/");

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The path if the values differ, or those of the entries in which two maps do. */
function differences(path: string, before: unknown, after: unknown): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  if (!isMap(before ?? {}) || !isMap(after ?? {})) return [path];
  const [from, to] = [before ?? {}, after ?? {}] as Record<string, unknown>[];
  const names = Object.keys({ ...from, ...to });
  return names
    .filter((name) => JSON.stringify(from?.[name]) !== JSON.stringify(to?.[name]))
    .map((name) => `${path}.${name}`);
}

/**
 * Watches all objects of these kinds from now on. If the API server interrupts a watch, a list
 * shows what was deleted, re-created (its uid) and changed (its generation).
 */
export async function startWatch(plane: ControlPlane, watched: readonly Watched[]): Promise<Watch> {
  const disturbances: string[] = [];
  const touches: string[] = [];
  const faults: string[] = [];
  const stopped = new AbortController();

  const note = ({ kind, fields }: Watched, before: KubeObject, after: KubeObject): void => {
    const name = `${kind} ${nameOf(after)}`;
    if (before.metadata?.uid !== after.metadata?.uid) {
      disturbances.push(`${name}: made anew`);
      return;
    }
    for (const field of fields) {
      const same = JSON.stringify(before[field]) === JSON.stringify(after[field]);
      // There and back, where the watch was interrupted.
      const still = field !== "spec" || before.metadata?.generation === after.metadata?.generation;
      if (!same || !still) disturbances.push(`${name}: ${field}`);
    }
    for (const field of METADATA) {
      const changed = differences(field, before.metadata?.[field], after.metadata?.[field]);
      touches.push(...changed.map((path) => `${name}: ${path}`));
    }
  };

  /** What is there by another list; the resource version to go on from. */
  const listAgain = async (one: Watched, known: Map<string, KubeObject>): Promise<string> => {
    const { items, version } = await list(one);
    for (const [name, object] of items) {
      const before = known.get(name);
      if (before !== undefined) note(one, before, object);
    }
    for (const [name, object] of known) {
      if (!items.has(name)) disturbances.push(`${one.kind} ${nameOf(object)}: deleted`);
    }
    for (const [name, object] of items) known.set(name, object);
    return version;
  };

  /** Reads one watch to its end; the resource version to go on from, none where a list is needed. */
  const read = (
    one: Watched,
    from: string,
    known: Map<string, KubeObject>,
  ): Promise<string | undefined> => {
    let version: string | undefined = from;
    const take = ({ type, object }: WatchEvent): void => {
      if (type === "ERROR") {
        version = undefined;
        // Without generations, it is unknown what happened since.
        if (!one.fields.includes("spec")) faults.push(`${one.kind}: ${object.message ?? ""}`);
        return;
      }
      version = object.metadata?.resourceVersion ?? version;
      if (type === "BOOKMARK" || one.leaveOut?.(object) === true) return;
      const before = known.get(nameOf(object));
      if (type === "DELETED") disturbances.push(`${one.kind} ${nameOf(object)}: deleted`);
      else if (before !== undefined) note(one, before, object);
      known.set(nameOf(object), object);
    };
    const query = `watch=1&allowWatchBookmarks=true&resourceVersion=${from}`;
    const options = {
      host: plane.host,
      port: plane.port,
      path: `${one.path}?${query}`,
      ca: plane.certificateAuthority,
      headers: { authorization: `Bearer ${plane.adminToken}`, accept: "application/json" },
      signal: stopped.signal,
      agent: false,
    } as const;
    return new Promise((done) => {
      const end = (): void => {
        done(version);
      };
      get(options, (response) => {
        response.on("error", end).on("close", end);
        // Not now, such as for a definition that is being changed; or not from there on.
        if (response.statusCode !== 200) {
          if (response.statusCode === 410) version = undefined;
          response.resume();
          return;
        }
        let rest = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) take(JSON.parse(line) as WatchEvent);
        });
      }).on("error", end);
    });
  };

  const list = async ({ path, leaveOut }: Watched) => {
    const { body } = await plane.request("GET", path);
    const items = (body.items ?? []).filter((item) => leaveOut?.(item) !== true);
    const version = body.metadata?.resourceVersion ?? "";
    return { items: new Map(items.map((item) => [nameOf(item), item])), version };
  };

  const follow = async (one: Watched): Promise<void> => {
    const { items: known, version: first } = await list(one);
    void (async () => {
      let version: string | undefined = first;
      // The API server ends watches of objects whose definition changes, and starts them afresh.
      while (!stopped.signal.aborted && faults.length === 0) {
        version = await read(one, version ?? (await listAgain(one, known)), known);
        await sleep(20);
      }
    })();
  };

  for (const one of watched) await follow(one);
  return {
    disturbances: () => {
      if (faults.length > 0) throw new Error(`the watch is not whole: ${faults.join(", ")}`);
      return disturbances;
    },
    touches: () => touches,
    stop: () => {
      stopped.abort();
    },
  };
}

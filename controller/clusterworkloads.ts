// The workloads of a cluster that ask for restarts: watched as metadata, read and patched one by one.
// docs/decisions/2026-11-restarts.md

import { setTimeout as sleep } from "node:timers/promises";
import { ApiError, type KubernetesClient } from "../host/kubernetes/apiclient.ts";
import { asObject, type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { beginningOf, Cache, METADATA_ONLY, text } from "./cache.ts";
import { FIELD_MANAGER } from "./decide.ts";
import type { Log } from "./log.ts";
import { MAX_RESTART_ON, RESTART_ON, RESTARTED, SEEN, type WorkloadKind } from "./restartrules.ts";
import type { Workload, WorkloadWorld } from "./restarts.ts";
import type { Event } from "./world.ts";

/** Where the API server has each kind. */
const KINDS: Readonly<Record<WorkloadKind, { readonly api: string; readonly resource: string }>> = {
  Deployment: { api: "/apis/apps/v1", resource: "deployments" },
  StatefulSet: { api: "/apis/apps/v1", resource: "statefulsets" },
  DaemonSet: { api: "/apis/apps/v1", resource: "daemonsets" },
  Rollout: { api: "/apis/argoproj.io/v1alpha1", resource: "rollouts" },
};

/** How often to check whether a kind exists by now. */
const MISSING_MS = 300_000;
/** How often to check whether a missing permission was granted. */
const FORBIDDEN_MS = 60_000;

export interface ClusterWorkloadsOptions {
  readonly client: KubernetesClient;
  /** Undefined for all namespaces. */
  readonly namespaces: readonly string[] | undefined;
  /** Throws if this replica may not write. */
  readonly guard: () => void;
  readonly recordEvent: (workload: JsonObject, event: Event) => Promise<void>;
  readonly log: Log;
}

type OnChange = Parameters<WorkloadWorld["watch"]>[1];

/** The workloads of the cluster. */
export class ClusterWorkloads implements WorkloadWorld {
  readonly #options: ClusterWorkloadsOptions;
  readonly recordEvent: WorkloadWorld["recordEvent"];

  constructor(options: ClusterWorkloadsOptions) {
    this.#options = options;
    this.recordEvent = options.recordEvent;
  }

  async watch(signal: AbortSignal, onChange: OnChange): Promise<void> {
    const scopes = this.#options.namespaces?.map((name) => `/namespaces/${name}`) ?? [""];
    const kinds = Object.keys(KINDS) as WorkloadKind[];
    await Promise.all(
      kinds.flatMap((kind) => scopes.map((scope) => this.#follow(kind, scope, signal, onChange))),
    );
  }

  async read(id: string): Promise<JsonObject | null> {
    try {
      return await this.#options.client.call("GET", pathOf(id));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  async patch(id: string, patch: JsonObject): Promise<void> {
    const { client, guard } = this.#options;
    await client.call("PATCH", pathOf(id), {
      query: { fieldManager: FIELD_MANAGER },
      contentType: "application/merge-patch+json",
      // We need nothing of the response.
      accept: METADATA_ONLY,
      body: patch,
      guard,
    });
  }

  async #follow(
    kind: WorkloadKind,
    scope: string,
    signal: AbortSignal,
    onChange: OnChange,
  ): Promise<void> {
    const { client, log } = this.#options;
    const { api, resource } = KINDS[kind];
    const path = `${api}${scope}/${resource}`;
    let isTold = false;
    for (let status = 0; (status = await this.#statusOf(path)) === 403 || status === 404;) {
      if (status === 403 && !isTold) {
        isTold = true;
        log.warn("no permission to restart workloads: grant get, list, watch and patch", { path });
      }
      const waitMs = status === 404 ? MISSING_MS : FORBIDDEN_MS;
      await sleep(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
    }
    const cache = new Cache<Workload | undefined>(
      client,
      { path, metadataOnly: true },
      {
        keep: (object) => workloadOf(kind, object),
        onChange: (key, workload) => {
          onChange(`${kind} ${key}`, workload);
        },
        log,
      },
    );
    await cache.start(signal);
  }

  /** The status of a list of one. Of any other failure, the watch tells. */
  async #statusOf(path: string): Promise<number> {
    try {
      await this.#options.client.call("GET", path, { query: { limit: "1" } });
      return 200;
    } catch (error) {
      return error instanceof ApiError ? error.status : 0;
    }
  }
}

function pathOf(id: string): string {
  const [kind = "", key = ""] = id.split(" ");
  const { api, resource } = KINDS[kind as WorkloadKind];
  const [namespace = "", name = ""] = key.split("/");
  return `${api}/namespaces/${namespace}/${resource}/${name}`;
}

/** Undefined if it does not ask for restarts, so that nothing is kept of it. */
function workloadOf(kind: WorkloadKind, object: JsonObject): Workload | undefined {
  const { name, namespace, uid, generation, annotations } = metadataOf(object);
  const {
    [RESTART_ON]: asked,
    [RESTARTED]: restarted,
    [SEEN]: seen,
  } = asObject(annotations ?? null) ?? {};
  if (typeof asked !== "string") return undefined;
  // One character more than is valid, so that it stays invalid.
  const restartOn = beginningOf(asked, MAX_RESTART_ON + 1);
  return {
    kind,
    namespace: text(namespace),
    name: text(name),
    uid: text(uid),
    restartOn,
    restarted: beginningOf(text(restarted), 64),
    signature: JSON.stringify([generation, restartOn, seen === undefined]),
  };
}

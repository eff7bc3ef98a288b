// Formats Kubernetes Events about an object, and logs those that are lost.

import { type JsonObject, metadataOf } from "../shared/kubernetes/object.ts";
import { bounded } from "./bounded.ts";
import { text } from "./cache.ts";
import { FIELD_MANAGER } from "./decide.ts";
import type { Log } from "./log.ts";
import type { Event } from "./world.ts";

/** The component in the original's Events, which dashboards and alerts filter by. */
const EVENT_COMPONENT = "sealed-secrets";
const MAX_EVENT_MESSAGE = 1024;

/** Returns the Event object that reports `event` about `object`. */
export function formatEvent(
  object: JsonObject,
  { type, reason, message }: Event,
  now: Date,
): JsonObject {
  const { name, namespace, uid, resourceVersion } = metadataOf(object);
  const seconds = `${now.toISOString().slice(0, 19)}Z`;
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { generateName: `${text(name).slice(0, 200)}.`, namespace: text(namespace) },
    involvedObject: {
      apiVersion: text(object["apiVersion"]),
      kind: text(object["kind"]),
      name: text(name),
      namespace: text(namespace),
      uid: text(uid),
      resourceVersion: text(resourceVersion),
    },
    type,
    reason,
    message: bounded(message, MAX_EVENT_MESSAGE),
    source: { component: EVENT_COMPONENT },
    firstTimestamp: seconds,
    lastTimestamp: seconds,
    count: 1,
    reportingComponent: EVENT_COMPONENT,
    reportingInstance: FIELD_MANAGER,
  };
}

/** Logs that an Event was not recorded. That is acceptable: status, log and metrics say the same. */
export function logLostEvent(log: Log, object: string, error: unknown): void {
  log.warn("event could not be recorded", { object, error: (error as Error).message });
}

// Identifies the pod that this program runs in.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** The namespace that this program runs in. */
export function ownNamespace(env: NodeJS.ProcessEnv): string {
  if (env["POD_NAMESPACE"]) return env["POD_NAMESPACE"];
  try {
    return readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "utf8").trim();
  } catch {
    return "default";
  }
}

/** A name that no other running replica has: the pod's name, or a random one. */
export function replicaIdentity(env: NodeJS.ProcessEnv): string {
  return env["POD_NAME"] ?? `${hostname()}_${randomUUID()}`;
}

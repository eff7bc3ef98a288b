// The items that a Secret of a type must have. Runs in a browser.
// SPEC.md, "Secrets".

import { type ErrorPlace, SignetError } from "../errors.ts";
import type { Secret } from "./secret.ts";

/** Items that the API server requires of a type; see ValidateSecret in Kubernetes. */
const REQUIRED_ITEMS = new Map([
  ["kubernetes.io/dockercfg", [".dockercfg"]],
  ["kubernetes.io/dockerconfigjson", [".dockerconfigjson"]],
  ["kubernetes.io/ssh-auth", ["ssh-privatekey"]],
  ["kubernetes.io/tls", ["tls.crt", "tls.key"]],
]);

const JSON_ITEMS = [".dockercfg", ".dockerconfigjson"];

/**
 * Refuses a Secret that the API server would reject because of its type.
 * @throws SignetError secret-invalid
 */
export function checkType({ type, data, metadata }: Secret): void {
  for (const item of REQUIRED_ITEMS.get(type) ?? []) {
    if (!data.has(item)) throw refusal(type, `needs the item ${item}`, { field: "data" });
    if (JSON_ITEMS.includes(item) && !isJson(data.get(item))) {
      throw refusal(type, "must be JSON", { field: `data.${item}` });
    }
  }
  if (type === "kubernetes.io/basic-auth" && !data.has("username") && !data.has("password")) {
    throw refusal(type, "needs the item username or password", { field: "data" });
  }
  const account = "kubernetes.io/service-account.name";
  if (type === "kubernetes.io/service-account-token" && !metadata.annotations[account]) {
    throw refusal(type, `needs the annotation ${account}`, { field: "metadata.annotations" });
  }
}

function refusal(type: string, reason: string, place: ErrorPlace): SignetError {
  return new SignetError("secret-invalid", `a Secret of type ${type} ${reason}`, {
    hint: "no cluster accepts it as it stands; complete it, or leave the type out",
    place,
  });
}

function isJson(bytes: Uint8Array | undefined): boolean {
  try {
    JSON.parse(new TextDecoder().decode(bytes));
    return true;
  } catch {
    return false;
  }
}

// Items of Secrets that are known to hold no secret, such as the address of a repository of Argo CD.

import { decodeBase64 } from "../../shared/base64.ts";
import {
  asObject,
  type JsonObject,
  jsonObjectIn,
  metadataOf,
} from "../../shared/kubernetes/object.ts";
import type { Json } from "../../shared/manifest/manifest.ts";

/** The label that says what Argo CD takes a Secret for. */
const ARGO_LABEL = "argocd.argoproj.io/secret-type";

const OF_REPOSITORY = new Set([
  ...["type", "url", "name", "project", "enableOCI", "enableLfs", "insecure", "depth"],
  ...["insecureIgnoreHostKey", "insecureOCIForceHttp", "forceHttpBasicAuth", "noProxy"],
  ...["githubAppID", "githubAppInstallationID", "githubAppEnterpriseBaseUrl"],
  "useAzureWorkloadIdentity",
]);
const OF_CLUSTER = new Set([
  ...["name", "server", "namespaces", "clusterResources", "project", "shard", "config"],
]);
const ITEMS: ReadonlyMap<unknown, ReadonlySet<string>> = new Map([
  ["repository", OF_REPOSITORY],
  ["repo-creds", OF_REPOSITORY],
  ["repository-write", OF_REPOSITORY],
  ["repo-write-creds", OF_REPOSITORY],
  ["cluster", OF_CLUSTER],
]);

/** Names of the items of a Secret that need no sealing, if their values have the form they should have. */
export function publicItemsOf(object: JsonObject): ReadonlySet<string> {
  const labels = asObject(metadataOf(object)["labels"] ?? null) ?? {};
  return ITEMS.get(labels[ARGO_LABEL]) ?? new Set();
}

/** Whether the value of such an item is what it should be, and nothing else. */
export function isPublicValue(item: string, value: Json, isBase64: boolean): boolean {
  if (typeof value !== "string") return typeof value === "boolean" || typeof value === "number";
  const bytes = isBase64 ? decodeBase64(value) : null;
  if (isBase64 && bytes === null) return false;
  const text = bytes === null ? value : new TextDecoder().decode(bytes);
  return item === "config" ? isPublicConfig(text) : isPublicLine(text.trim());
}

/** One line without a user's password or a token of an address. */
function isPublicLine(text: string): boolean {
  const user = /:\/\/([^/]*)@/.exec(text)?.[1];
  return !/[\n?#]/.test(text) && (user === undefined || /^ssh:\/\/[a-z]+@/.test(text));
}

/** The parts of how Argo CD reaches a cluster that are no credentials. */
const CONFIG: ReadonlyMap<string, readonly string[]> = new Map([
  ["tlsClientConfig", ["insecure", "serverName", "caData"]],
  ["awsAuthConfig", ["clusterName", "roleARN"]],
]);

function isPublicConfig(text: string): boolean {
  return Object.entries(jsonObjectIn(text) ?? { "": null }).every(([field, value]) => {
    const known = CONFIG.get(field) ?? [];
    const fields = asObject(value);
    return fields !== null && Object.keys(fields).every((each) => known.includes(each));
  });
}

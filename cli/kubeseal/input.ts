// The input of `kubeseal`: its file, its Secrets, and their namespace. docs/kubeseal.md.

import { type ErrorPlace, SignetError } from "../../shared/errors.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { asObject, invalidNames, type JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import { decodeText, readText, statIfThere } from "../../host/readfile.ts";
import type { Input } from "../terminal/inputs.ts";
import { complete } from "../sealing/preparesecret.ts";
import { currentContext } from "../../host/kubernetes/kubeconfigfiles.ts";
import { checkType } from "../../shared/kubernetes/typeditems.ts";
import { checkFields, checkNotEmpty } from "../sealing/secretcheck.ts";
import { advise, detail } from "../terminal/messages.ts";
import { readStdin } from "../terminal/stdin.ts";
import type { Flags } from "./flags.ts";

/** @throws SignetError io where --secret-file cannot be read */
export function checkInput(flags: Flags): void {
  const path = flags.text("secret-file");
  if (path === undefined) return;
  const found = statIfThere(path);
  if (found === undefined || found.isDirectory()) {
    const why = found === undefined ? "no such file or directory" : "it is a directory";
    throw new SignetError("io", "Could not read file specified with --secret-file", {
      hint: `${path}: ${why}`,
    });
  }
}

/** The file of --secret-file, or standard input, which errors do not name. */
export async function readInput(flags: Flags): Promise<Input> {
  const path = flags.text("secret-file");
  if (path !== undefined) return { name: path, path, text: readText(path) };
  const bytes = await readStdin("(tty detected: expecting json/yaml k8s resource in stdin)");
  return { name: "", text: decodeText(bytes, "") };
}

/**
 * Parses a Secret like the original, which accepts numbers and booleans in place of text, and any
 * name: Helm may render it later.
 * @throws SignetError wrong-kind, secret-invalid
 */
export function readSecret(object: JsonObject, flags: Flags): Secret {
  const typed = withTexts(object);
  checkFields(typed);
  const secret = parseSecret(typed, "any");
  if (!flags.on("allow-empty-data")) checkNotEmpty(secret, "--allow-empty-data");
  return secret;
}

function withTexts(object: JsonObject): JsonObject {
  const result = { ...object };
  const metadata = asObject(result["metadata"] ?? null);
  if (metadata !== null) {
    result["metadata"] = {
      ...metadata,
      ...textsIn(metadata, ["name", "namespace"]),
      ...mappingsIn(metadata, ["labels", "annotations"]),
    };
  }
  return { ...result, ...textsIn(result, ["type"]), ...mappingsIn(result, ["data", "stringData"]) };
}

function textsIn(object: JsonObject, fields: readonly string[]): JsonObject {
  const given = fields.filter((field) => object[field] !== undefined);
  return Object.fromEntries(given.map((field) => [field, asText(object[field] ?? null)]));
}

function mappingsIn(object: JsonObject, fields: readonly string[]): JsonObject {
  const result: JsonObject = {};
  for (const field of fields) {
    const mapping = asObject(object[field] ?? null);
    if (mapping !== null) result[field] = textsIn(mapping, Object.keys(mapping));
  }
  return result;
}

function asText(value: Json): Json {
  return typeof value === "number" || typeof value === "boolean" ? String(value) : value;
}

/**
 * Warns about a Secret that no cluster would accept as it is. Helm may still render its name, and items
 * may still be merged into it.
 */
export function adviseOnSecret(secret: Secret, place: ErrorPlace): void {
  const { metadata } = secret;
  for (const field of invalidNames(metadata)) {
    advise(`${field} ${JSON.stringify(metadata[field])} is not valid in Kubernetes`);
  }
  try {
    checkType(secret);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    advise(`${place.object === undefined ? "" : `${place.object}: `}${error.message}`);
  }
}

const POD_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/**
 * Returns a function from the namespace that a Secret declares to the one that it is sealed for.
 * Both --namespace and the Secret may name it, if they agree; otherwise it is that of the
 * kubeconfig's context, or of the pod that this runs in, or null. The kubeconfig is read once, when
 * it is needed.
 * @throws SignetError secret-invalid; io, manifest-syntax, usage, where a kubeconfig cannot be read
 */
export function choosingNamespace(flags: Flags): (declared: string) => string | null {
  const given = flags.text("namespace");
  let found: string | null | undefined;
  return (declared) => {
    if (given !== undefined) {
      return complete({ name: "", namespace: declared }, { namespace: given }).namespace;
    }
    if (declared !== "") return declared;
    if (found === undefined) found = defaultNamespace(flags);
    return found;
  };
}

function defaultNamespace(flags: Flags): string | null {
  const current = currentContext(flags.texts({ kubeconfig: "kubeconfig", context: "context" }));
  if (current !== null) {
    const namespace = current.namespace || "default";
    detail(`the namespace is "${namespace}", by the kubeconfig's context "${current.name}"`);
    return namespace;
  }
  if (flags.has("server")) return "default";
  const inPod = process.env["POD_NAMESPACE"];
  if ((process.env["KUBERNETES_SERVICE_HOST"] ?? "") === "") return null;
  try {
    return inPod || readText(POD_NAMESPACE_FILE).trim() || "default";
  } catch {
    return "default";
  }
}

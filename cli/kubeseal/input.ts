// What `kubeseal` reads: its one input, Secrets as loosely written as the original takes them, and
// the namespace that is meant where none is said. docs/kubeseal.md.

import { readFileSync } from "node:fs";
import { type ErrorPlace, SignetError } from "../../shared/errors.ts";
import type { Json } from "../../shared/manifest/manifest.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import { decodeText, readText, statIfThere } from "../../host/readfile.ts";
import type { Input } from "../terminal/inputs.ts";
import { complete } from "../sealing/preparesecret.ts";
import { currentContext } from "../../host/kubernetes/kubeconfigfiles.ts";
import { checkFields, checkNotEmpty, checkType } from "../sealing/secretcheck.ts";
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

/** The file of --secret-file, or standard input, which goes without a name in errors. */
export async function readInput(flags: Flags): Promise<Input> {
  const path = flags.text("secret-file");
  if (path !== undefined) return { name: path, path, text: readText(path) };
  const bytes = await readStdin("(tty detected: expecting json/yaml k8s resource in stdin)");
  return { name: "", text: decodeText(bytes, "") };
}

/**
 * A Secret as the original takes it: where Kubernetes wants text, it may say a number or a truth
 * value that reads as it looks.
 * @throws SignetError wrong-kind, secret-invalid
 */
export function readSecret(object: JsonObject, flags: Flags): Secret {
  const typed = withTexts(object);
  checkFields(typed);
  const secret = parseSecret(typed);
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

/** Says what makes a Secret useless to a cluster; items may still be merged into it. */
export function adviseOnType(secret: Secret, place: ErrorPlace): void {
  try {
    checkType(secret);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    advise(`${place.object === undefined ? "" : `${place.object}: `}${error.message}`);
  }
}

const POD_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/**
 * Says the namespace of a Secret by the one that it declares. --namespace has to be the same; where
 * it declares none, it is --namespace, else that of the kubeconfig's context, else that of the pod
 * that this runs in. Null where there is none of them. The kubeconfig is read once, when it is
 * needed.
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
    return inPod || readFileSync(POD_NAMESPACE_FILE, "utf8").trim() || "default";
  } catch {
    return "default";
  }
}

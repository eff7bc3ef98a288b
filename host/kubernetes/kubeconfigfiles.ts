// Finds the kubeconfig files and their current context, without loading the Kubernetes library.
// SPEC.md, "Command line", "Namespace".

import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { readText, statIfThere } from "../readfile.ts";

/** Which cluster to use. */
export interface KubeconfigOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly overrides?: ConnectionOverrides;
}

/** Flags that override the kubeconfig, named as in kubectl. Files are given by path. */
export interface ConnectionOverrides {
  readonly cluster?: string;
  readonly user?: string;
  readonly server?: string;
  readonly certificateAuthority?: string;
  readonly insecureSkipTlsVerify: boolean;
  readonly tlsServerName?: string;
  readonly proxyUrl?: string;
  readonly token?: string;
  readonly username?: string;
  readonly password?: string;
  readonly clientCertificate?: string;
  readonly clientKey?: string;
  readonly as?: string;
  readonly asGroups: readonly string[];
  readonly asUid?: string;
}

/** The existing kubeconfig files that kubectl would read, in its order; `explicit` as it is. */
export function kubeconfigFiles(explicit: string | undefined): string[] {
  if (explicit !== undefined) return [explicit];
  const named = process.env["KUBECONFIG"] ?? "";
  const files = named === "" ? [join(homedir(), ".kube", "config")] : named.split(delimiter);
  return files.filter((file) => file !== "" && statIfThere(file)?.isFile() === true);
}

/** Whether a kubeconfig or the environment, as in a pod, names a cluster. */
export function namesCluster(explicit: string | undefined): boolean {
  const variables = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_MASTER"];
  return (
    kubeconfigFiles(explicit).length > 0 ||
    variables.some((name) => (process.env[name] ?? "") !== "")
  );
}

/**
 * The chosen or current context and its namespace, which may be empty; null if there is none.
 * @throws SignetError io; manifest-syntax, without content of the file
 */
export function currentContext(
  options: Pick<KubeconfigOptions, "kubeconfig" | "context">,
): { readonly namespace: string; readonly name: string } | null {
  let wanted = options.context;
  const contexts = new Map<string, JsonObject>();
  for (const file of kubeconfigFiles(options.kubeconfig)) {
    const [document] = parseManifests(readText(file), { file });
    const config = asObject(document?.value ?? null) ?? {};
    const current = config["current-context"];
    // As in kubectl, an earlier file wins.
    if (typeof current === "string" && current !== "") wanted ??= current;
    const listed: Json[] = Array.isArray(config["contexts"]) ? config["contexts"] : [];
    for (const entry of listed) {
      const { name = null, context = null } = asObject(entry) ?? {};
      if (typeof name === "string" && !contexts.has(name))
        contexts.set(name, asObject(context) ?? {});
    }
  }
  if (wanted === undefined) return null;
  const context = contexts.get(wanted);
  if (context === undefined && options.context !== undefined) {
    throw new SignetError("usage", `the kubeconfig has no context ${JSON.stringify(wanted)}`, {
      hint: "see `kubectl config get-contexts`",
    });
  }
  if (context === undefined) return null;
  const namespace = context["namespace"];
  return { namespace: typeof namespace === "string" ? namespace : "", name: wanted };
}

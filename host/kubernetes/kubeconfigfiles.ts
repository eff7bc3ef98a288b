// Finds the kubeconfig files, merges them as kubectl does, and returns the current context.
// SPEC.md, "Command line", "Namespace".

import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { errnoOf } from "../errno.ts";
import { ON_WINDOWS } from "../platform.ts";
import { readBytes, readText, statIfThere } from "../readfile.ts";
import { type Kubeconfig, type Named, parseKubeconfig } from "./kubeconfigentries.ts";

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

const UNREADABLE = "this kubeconfig cannot be read";

/** Content of files that can be read only once, such as that of `--kubeconfig <(command)`. */
const readOnce = new Map<string, string>();

/**
 * The merged kubeconfig: `explicit` alone, else the files of KUBECONFIG, else ~/.kube/config. The
 * first file that sets something wins: the current context, and each cluster, user and context as a
 * whole. If several files are named, missing ones are skipped.
 * @throws SignetError io, which names the file and does not quote it
 */
export function mergedKubeconfig(explicit: string | undefined): Kubeconfig {
  const files = explicit
    ? [loadFile(explicit)]
    : namedFiles().flatMap((file) => {
        try {
          return [loadFile(file)];
        } catch (error) {
          if (error instanceof SignetError && errnoOf(error.cause) === "ENOENT") return [];
          throw error;
        }
      });
  return {
    currentContext: files.find(({ currentContext }) => currentContext !== "")?.currentContext ?? "",
    clusters: firstOfEachName(files.map(({ clusters }) => clusters)),
    users: firstOfEachName(files.map(({ users }) => users)),
    contexts: firstOfEachName(files.map(({ contexts }) => contexts)),
  };
}

/** The paths to look at if no flag names one. */
export function namedFiles(): string[] {
  const named = process.env["KUBECONFIG"] ?? "";
  const files = named === "" ? [usualFile()] : named.split(delimiter);
  return [...new Set(files)].filter((file) => file !== "");
}

/**
 * The kubeconfig in this user's home folder. On Windows, as in kubectl, it is in the first of
 * several home folders that has one.
 */
function usualFile(): string {
  const { HOME, HOMEDRIVE = "", HOMEPATH = "", USERPROFILE } = process.env;
  const homes = ON_WINDOWS ? [HOME, `${HOMEDRIVE}${HOMEPATH}`, USERPROFILE] : [];
  const files = [...homes.filter(Boolean), homedir()].map((home) =>
    join(home ?? "", ".kube", "config"),
  );
  return files.find((file) => statIfThere(file) !== undefined) ?? files.at(-1) ?? "";
}

function loadFile(file: string): Kubeconfig {
  let text = readOnce.get(file);
  if (text === undefined) {
    text = readText(file);
    if (statIfThere(file)?.isFile() !== true) readOnce.set(file, text);
  }
  try {
    return parseKubeconfig(text, file);
  } catch (error) {
    if (!(error instanceof SignetError) || error.code === "io") throw error;
    throw new SignetError("io", `${UNREADABLE}: ${error.message}`, {
      place: error.place,
      hint: "check it with `kubectl config view`",
    });
  }
}

/**
 * The data in the kubeconfig itself, as Latin-1, or else the content of the file that it names.
 * @throws SignetError io
 */
export function fileOr(data: string, file: string): string {
  return data !== "" || file === "" ? data : readBytes(file).toString("latin1");
}

function firstOfEachName<T>(maps: readonly ReadonlyMap<string, Named<T>>[]): Map<string, Named<T>> {
  const merged = new Map<string, Named<T>>();
  for (const map of maps) {
    for (const [name, entry] of map) if (!merged.has(name)) merged.set(name, entry);
  }
  return merged;
}

/** Whether a kubeconfig or the environment, as in a pod, names a cluster. */
export function namesCluster(explicit: string | undefined): boolean {
  const variables = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_MASTER"];
  return (
    variables.some((name) => (process.env[name] ?? "") !== "") ||
    Boolean(explicit) ||
    mergedKubeconfig(undefined).clusters.size > 0
  );
}

/**
 * The chosen or current context and its namespace, which may be empty; null if there is none.
 * @throws SignetError usage, io
 */
export function currentContext(
  options: Pick<KubeconfigOptions, "kubeconfig" | "context">,
): { readonly namespace: string; readonly name: string } | null {
  const config = mergedKubeconfig(options.kubeconfig);
  const { contexts, currentContext: current } = config;
  const name = options.context ?? current;
  const context = contexts.get(name);
  if (context === undefined && options.context !== undefined) throw unknownContext(config, name);
  return context === undefined ? null : { namespace: context.entry.namespace, name };
}

/** The error for a context that a person named. */
export function unknownContext(
  { contexts, clusters }: Pick<Kubeconfig, "contexts" | "clusters">,
  name: string,
): SignetError {
  if (contexts.size + clusters.size === 0) {
    const words = `the kubeconfig is missing or empty, so there is no context ${JSON.stringify(name)}`;
    return new SignetError("usage", words, { hint: "choose a cluster with --kubeconfig FILE" });
  }
  return new SignetError("usage", `the kubeconfig has no context ${JSON.stringify(name)}`, {
    hint: "see `kubectl config get-contexts`",
  });
}

// Chooses the cluster and the user of a kubeconfig, and applies flags that override them.
// SPEC.md, "Command line", "Certificate".

import { isIPv6 } from "node:net";
import { formatPlace, SignetError } from "../../shared/errors.ts";
import { errnoOf } from "../errno.ts";
import { environmentProxy, namedProxy, type Proxy } from "../proxies.ts";
import { statIfThere } from "../readfile.ts";
import {
  type ClusterEntry,
  type ContextEntry,
  type Kubeconfig,
  type Named,
  NO_CLUSTER,
  NO_USER,
  type UserEntry,
} from "./kubeconfigentries.ts";
import {
  type ConnectionOverrides,
  type KubeconfigOptions,
  mergedKubeconfig,
  namedFiles,
  unknownContext,
} from "./kubeconfigfiles.ts";
import { checkCluster, checkUser } from "./kubeconfigrules.ts";

/** One API server, and the user for requests to it. */
export interface Connection {
  readonly server: URL;
  readonly cluster: ClusterEntry;
  readonly user: UserEntry;
  readonly proxy: Proxy | undefined;
  /** How errors describe it: the context, cluster and user, and their files. */
  readonly words: string;
}

/** The address of the API server as messages show it: without credentials. */
export function shownServer({ server }: Connection): string {
  return `${server.origin}${server.pathname}`.replace(/\/+$/, "");
}

const ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * The kubeconfig's cluster and user with the overrides applied; in a pod, the pod's own.
 * @throws SignetError usage, io
 */
export function loadKubeconfig({ kubeconfig, context, overrides }: KubeconfigOptions): Connection {
  const config = mergedKubeconfig(kubeconfig);
  const chosen = choose(config, context, overrides);
  const isNamed = chosen.cluster !== undefined || Boolean(overrides?.server);
  if (!isNamed && isInPod()) return ownConnection(overrides);
  const cluster = clusterWith(chosen.cluster?.entry ?? NO_CLUSTER, overrides);
  const user = userWith(chosen.user?.entry ?? NO_USER, overrides);
  if (chosen.cluster === undefined && cluster.server === "") throw noCluster(chosen);
  return connectionOf(cluster, user, wordsOf(chosen));
}

/**
 * The configuration from `kubeconfig`, or the pod's own.
 * @throws Error if there is no usable configuration
 */
export function loadOwnConfig(kubeconfig: string | undefined): Connection {
  if (!kubeconfig && isInPod()) return ownConnection(undefined);
  if (!kubeconfig) {
    throw new Error(
      "not running in a cluster: use --kubeconfig FILE, or `signet-controller standalone` for folders",
    );
  }
  try {
    return loadKubeconfig({ kubeconfig });
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    // The message starts with the file, then says what is wrong, then where in the file.
    const { file, ...place } = error.place;
    const words = [file, error.message, formatPlace(place), errnoOf(error.cause)];
    throw new Error(words.filter((word) => word).join(": "), { cause: error });
  }
}

interface Chosen {
  readonly contextName: string;
  readonly context: Named<ContextEntry> | undefined;
  readonly clusterName: string;
  readonly cluster: Named<ClusterEntry> | undefined;
  readonly userName: string;
  readonly user: Named<UserEntry> | undefined;
}

/** @throws SignetError usage if the name that a person gave does not exist */
function choose(
  config: Kubeconfig,
  named: string | undefined,
  overrides: ConnectionOverrides | undefined,
): Chosen {
  const contextName = named ?? config.currentContext;
  const context = config.contexts.get(contextName);
  if (context === undefined && named !== undefined) throw unknownContext(config, named);
  const clusterName = overrides?.cluster ?? context?.entry.cluster ?? "";
  const userName = overrides?.user ?? context?.entry.user ?? "";
  const cluster = config.clusters.get(clusterName);
  if (cluster === undefined && overrides?.cluster !== undefined) {
    throw unknown("cluster", clusterName);
  }
  const user = config.users.get(userName);
  if (user === undefined && overrides?.user !== undefined) throw unknown("user", userName);
  return { contextName, context, clusterName, cluster, userName, user };
}

function unknown(what: "cluster" | "user", name: string): SignetError {
  return new SignetError("usage", `${what} ${JSON.stringify(name)} does not exist`, {
    hint: "see `kubectl config view`",
  });
}

function noCluster({ contextName, context, clusterName }: Chosen): SignetError {
  if (context !== undefined) {
    const [from, to] = [JSON.stringify(contextName), JSON.stringify(clusterName)];
    return new SignetError(
      "usage",
      `invalid configuration: the context ${from} names the cluster ${to}, which does not exist`,
      { place: { file: context.file }, hint: "see `kubectl config view`" },
    );
  }
  if (contextName !== "") {
    return new SignetError(
      "usage",
      `invalid configuration: the current context ${JSON.stringify(contextName)} does not exist`,
      { hint: "see `kubectl config get-contexts`, or choose one with --context" },
    );
  }
  const missing = process.env["KUBECONFIG"]
    ? namedFiles().filter((file) => statIfThere(file) === undefined)
    : [];
  const words = missing.length === 0 ? "" : `; not found: ${missing.join(", ")}, from KUBECONFIG`;
  return new SignetError(
    "usage",
    `invalid configuration: no configuration has been provided${words}`,
    { hint: "choose a cluster with --kubeconfig FILE" },
  );
}

function wordsOf({ contextName, context, clusterName, userName, cluster, user }: Chosen): string {
  const files = [context?.file, cluster?.file, user?.file].filter((file) => file !== undefined);
  const names = [
    { what: "context", name: contextName, found: context },
    { what: "cluster", name: clusterName, found: cluster },
    { what: "user", name: userName, found: user },
  ]
    .filter(({ name, found }) => name !== "" || found !== undefined)
    .map(({ what, name, found }) => {
      return `${what} ${JSON.stringify(name)}${found === undefined ? " (not found)" : ""}`;
    });
  return names.length === 0
    ? "the cluster of the flags"
    : `${names.join(", ")} of ${[...new Set(files)].join(", ")}`;
}

/** The cluster with the flags and KUBERNETES_MASTER, in the order of kubectl. */
function clusterWith(
  entry: ClusterEntry,
  overrides: Partial<ConnectionOverrides> = {},
): ClusterEntry {
  const { server, tlsServerName, certificateAuthority, proxyUrl } = overrides;
  const { insecureSkipTlsVerify = false } = overrides;
  const isTrustGiven = insecureSkipTlsVerify || certificateAuthority !== undefined;
  return {
    ...entry,
    server: server ?? (entry.server || (process.env["KUBERNETES_MASTER"] ?? "")),
    proxyUrl: proxyUrl ?? entry.proxyUrl,
    // The TLS server name in the kubeconfig is for the kubeconfig's own server.
    tlsServerName: tlsServerName ?? (server === undefined ? entry.tlsServerName : ""),
    ...(isTrustGiven
      ? {
          insecureSkipTlsVerify,
          certificateAuthority: certificateAuthority ?? "",
          certificateAuthorityData: "",
        }
      : {}),
  };
}

/**
 * The user with the flags. A token or password replaces any other login of the request, such as
 * that of a plugin; the client certificate belongs to the connection, and stays.
 */
function userWith(entry: UserEntry, overrides: Partial<ConnectionOverrides> = {}): UserEntry {
  const { token, username, password, clientCertificate, clientKey, as, asUid } = overrides;
  const isLoginGiven = [token, username, password].some((each) => each !== undefined);
  const none = { token: "", tokenFile: "", username: "", password: "" };
  const { asGroups = [] } = overrides;
  return {
    ...entry,
    ...(isLoginGiven ? { ...none, exec: undefined, authProvider: undefined } : {}),
    ...(token === undefined ? {} : { token }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(clientCertificate === undefined ? {} : { clientCertificate, clientCertificateData: "" }),
    ...(clientKey === undefined ? {} : { clientKey, clientKeyData: "" }),
    ...(as === undefined ? {} : { as }),
    ...(asUid === undefined ? {} : { asUid }),
    ...(asGroups.length === 0 ? {} : { asGroups }),
  };
}

function isInPod(): boolean {
  return Boolean(process.env["KUBERNETES_SERVICE_HOST"]);
}

/** The in-cluster connection, with the flags that client-go applies to it. */
function ownConnection(overrides: Partial<ConnectionOverrides> = {}): Connection {
  const host = process.env["KUBERNETES_SERVICE_HOST"] ?? "";
  const port = process.env["KUBERNETES_SERVICE_PORT"] || "443";
  const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const account = { certificateAuthority: `${ACCOUNT}/ca.crt`, server };
  const cluster = clusterWith({ ...NO_CLUSTER, ...account }, overrides);
  const user = userWith({ ...NO_USER, tokenFile: `${ACCOUNT}/token` }, overrides);
  return connectionOf(cluster, user, "the pod's service account");
}

function connectionOf(cluster: ClusterEntry, user: UserEntry, names: string): Connection {
  const server = addressOf(cluster.server, names);
  const proxy =
    cluster.proxyUrl === ""
      ? environmentProxy(server)
      : namedProxy(cluster.proxyUrl, "the cluster's proxy-url");
  checkCluster(cluster, names);
  checkUser(user, names);
  return { server, cluster, user, proxy, words: names };
}

/** As in kubectl, a host without a scheme is valid. */
function addressOf(server: string, names: string): URL {
  const text = /^https?:\/\//i.test(server) ? server : `http://${server}`;
  if (server === "" || !URL.canParse(text)) {
    throw new SignetError("usage", `the API server address is missing or invalid (${names})`, {
      hint: "expected an address such as https://cluster.example.org:6443",
    });
  }
  const url = new URL(text);
  // Neither has any effect here, and both would end up in messages.
  url.search = url.hash = "";
  return url;
}

// Loads a kubeconfig, and applies flags that override it.
// SPEC.md, "Command line", "Certificate".

import { SignetError } from "../../shared/errors.ts";
import { errnoOf } from "../errno.ts";
import { proxyFor } from "../http.ts";
import {
  type ConnectionOverrides,
  kubeconfigFiles,
  type KubeconfigOptions,
} from "./kubeconfigfiles.ts";
import { type Cluster, KubeConfig, type User } from "./library.ts";

const UNREADABLE = "this kubeconfig cannot be read";

/**
 * The kubeconfig's cluster and user with the overrides applied; in a pod, the pod's own.
 * @throws SignetError usage, io
 */
export function loadKubeconfig({ kubeconfig, context, overrides }: KubeconfigOptions): KubeConfig {
  const config = new KubeConfig();
  const files = kubeconfigFiles(kubeconfig);
  const [first] = files;
  const inCluster = (process.env["KUBERNETES_SERVICE_HOST"] ?? "") !== "";
  const server = overrides?.server ?? (process.env["KUBERNETES_MASTER"] || undefined);
  if (first === undefined && !inCluster) {
    if (server === undefined) throw noConfig();
    config.loadFromOptions({ clusters: [], contexts: [], users: [], currentContext: "" });
    return overridden(config, { insecureSkipTlsVerify: false, asGroups: [], ...overrides, server });
  }
  try {
    if (first === undefined) config.loadFromCluster();
    else if (files.length === 1) config.loadFromFile(first);
    else config.loadFromDefault();
  } catch (error) {
    throw new SignetError("io", UNREADABLE, {
      // The library's message may quote the file.
      ...(errnoOf(error) === undefined ? {} : { cause: error }),
      hint: "see whether `kubectl config view` can",
      ...(first === undefined ? {} : { place: { file: first } }),
    });
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      throw new SignetError("usage", `the kubeconfig has no context ${JSON.stringify(context)}`, {
        hint: "see `kubectl config get-contexts`",
      });
    }
    config.setCurrentContext(context);
  }
  return overridden(config, overrides);
}

function noConfig(): SignetError {
  return new SignetError(
    "usage",
    "invalid configuration: no configuration has been provided, and no certificate was given",
    {
      hint: "name a cluster with --kubeconfig FILE; sealing needs a certificate only: --cert FILE",
    },
  );
}

/** The chosen cluster and user, with the overrides applied. */
function overridden(config: KubeConfig, overrides: ConnectionOverrides | undefined): KubeConfig {
  const { server, cluster: clusterName, user: userName } = overrides ?? {};
  const named =
    clusterName === undefined ? config.getCurrentCluster() : config.getCluster(clusterName);
  if (clusterName !== undefined && named === null) throw unknown("cluster", clusterName);
  const account = userName === undefined ? config.getCurrentUser() : config.getUser(userName);
  if (userName !== undefined && account === null) throw unknown("user", userName);
  const address = server ?? named?.server;
  if (address === undefined || address === "") throw noConfig();
  const url = addressOf(address);
  const proxyUrl = overrides?.proxyUrl ?? named?.proxyUrl ?? proxyFor(url);
  // Without this, the library rejects HTTP, which has no certificate to verify.
  const unverified = url.protocol === "http:" ? { skipTLSVerify: true } : {};
  const cluster: Cluster = {
    ...(named ?? { name: "given", skipTLSVerify: false }),
    ...clusterOverrides(overrides),
    server: url.href.replace(/\/+$/, ""),
    ...(proxyUrl === undefined ? {} : { proxyUrl }),
    ...unverified,
  };
  const result = new KubeConfig();
  result.loadFromClusterAndUser(cluster, { ...userOverrides(account, overrides) });
  return result;
}

function unknown(what: "cluster" | "user", name: string): SignetError {
  return new SignetError("usage", `${what} ${JSON.stringify(name)} does not exist`, {
    hint: "see `kubectl config view`",
  });
}

/** As in kubectl, a host without a scheme is valid. */
function addressOf(server: string): URL {
  try {
    return new URL(/^https?:\/\//.test(server) ? server : `http://${server}`);
  } catch {
    throw new SignetError("usage", "the address of the API server is none", {
      hint: "such as https://cluster.example.org:6443",
    });
  }
}

function clusterOverrides(overrides: ConnectionOverrides | undefined): Partial<Cluster> {
  const { certificateAuthority, tlsServerName, insecureSkipTlsVerify = false } = overrides ?? {};
  return {
    ...(insecureSkipTlsVerify ? { skipTLSVerify: true } : {}),
    // The library would prefer the embedded certificate to the file.
    ...(certificateAuthority === undefined ? {} : { caFile: certificateAuthority, caData: "" }),
    ...(tlsServerName === undefined ? {} : { tlsServerName }),
  };
}

function userOverrides(account: User | null, overrides: ConnectionOverrides | undefined): User {
  const { token, username, password, clientCertificate, clientKey } = overrides ?? {};
  const base: User = account ?? { name: "given" };
  const { as = base.impersonateUser } = overrides ?? {};
  const certificate = {
    ...(clientCertificate === undefined ? {} : { certFile: clientCertificate, certData: "" }),
    ...(clientKey === undefined ? {} : { keyFile: clientKey, keyData: "" }),
  };
  const impersonation = as ? { impersonateUser: as } : {};
  // A token or password replaces the user's other credentials, such as a plugin.
  if (token !== undefined) return { name: base.name, token, ...impersonation };
  if (username !== undefined) {
    return { name: base.name, username, password: password ?? "", ...impersonation };
  }
  return { ...base, ...certificate, ...impersonation };
}

/** @throws Error with a message that does not quote the file, as the library's may */
function loadFile(config: KubeConfig, file: string): void {
  try {
    config.loadFromFile(file);
  } catch (error) {
    if (errnoOf(error) !== undefined) throw error;
    throw new Error(`${file}: ${UNREADABLE}`);
  }
}

/**
 * The configuration from `kubeconfig`, or the pod's own.
 * @throws Error if there is no usable configuration
 */
export function loadOwnConfig(kubeconfig: string | undefined): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfig !== undefined) loadFile(config, kubeconfig);
  else if (process.env["KUBERNETES_SERVICE_HOST"]) config.loadFromCluster();
  else {
    throw new Error(
      "not in a cluster: give --kubeconfig FILE, or use `signet-controller standalone` for folders",
    );
  }
  return config;
}

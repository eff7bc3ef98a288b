// Checks that the settings of a cluster or user are consistent, as client-go does.

import { SignetError } from "../../shared/errors.ts";
import type { ClusterEntry, PluginEntry, UserEntry } from "./kubeconfigentries.ts";

const PLUGIN_VERSIONS = ["v1", "v1beta1"].map((each) => `client.authentication.k8s.io/${each}`);

/** `names` says which cluster, for errors. @throws SignetError usage */
export function checkCluster(cluster: ClusterEntry, names: string): void {
  const { certificateAuthority: file, certificateAuthorityData: data } = cluster;
  if (file !== "" && data !== "") {
    throw invalid("certificate-authority and certificate-authority-data are both set", names);
  }
  if (cluster.insecureSkipTlsVerify && (file !== "" || data !== "")) {
    throw invalid("insecure-skip-tls-verify is set together with a certificate authority", names);
  }
}

/** `names` says which user, for errors. @throws SignetError usage */
export function checkUser(user: UserEntry, names: string): void {
  const hasCertificate = user.clientCertificate !== "" || user.clientCertificateData !== "";
  const hasKey = user.clientKey !== "" || user.clientKeyData !== "";
  if (user.clientCertificate !== "" && user.clientCertificateData !== "") {
    throw invalid("client-certificate and client-certificate-data are both set", names);
  }
  if (hasCertificate && user.clientKey !== "" && user.clientKeyData !== "") {
    throw invalid("client-key and client-key-data are both set", names);
  }
  if (hasCertificate && !hasKey) {
    throw invalid("a client certificate is set without client-key or client-key-data", names);
  }
  if (user.token !== "" && (user.username !== "" || user.password !== "")) {
    throw invalid("a token and a password are both set, but only one is allowed", names);
  }
  const others = user.asUid !== "" || user.asGroups.length > 0 || user.asUserExtra.size > 0;
  if (others && user.as === "") {
    throw invalid("as-uid, as-groups or as-user-extra is set without as", names);
  }
  if (user.exec !== undefined) checkPlugin(user.exec, user, names);
}

function checkPlugin(plugin: PluginEntry, user: UserEntry, names: string): void {
  if (user.authProvider !== undefined) {
    throw invalid("exec and auth-provider are both set, but only one is allowed", names);
  }
  if (plugin.command === "") throw invalid("exec has no command", names);
  if (!PLUGIN_VERSIONS.includes(plugin.apiVersion)) {
    const found = JSON.stringify(plugin.apiVersion);
    throw invalid(
      `exec has the apiVersion ${found}, not one of ${PLUGIN_VERSIONS.join(", ")}`,
      names,
    );
  }
  if (plugin.env.some(({ name }) => name === "")) {
    throw invalid("exec has an environment variable without a name", names);
  }
  if (!["Never", "IfAvailable", "Always"].includes(plugin.interactiveMode)) {
    throw invalid("exec needs an interactiveMode: Never, IfAvailable or Always", names);
  }
}

function invalid(what: string, names: string): SignetError {
  return new SignetError("usage", `invalid configuration: ${what} (${names})`, {
    hint: "see `kubectl config view`",
  });
}

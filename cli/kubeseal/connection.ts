// Converts kubectl's connection flags to options of the cluster and of the certificate.

import { type CertificateOptions, chosenAlgorithm } from "../cluster/certificatesource.ts";
import type { ClusterOptions } from "../cluster/clusteroptions.ts";
import { parseTimeout } from "../cluster/timeout.ts";
import type { Flags } from "./flags.ts";

/** @throws SignetError usage */
export function clusterOptions(flags: Flags): ClusterOptions {
  return {
    ...flags.texts({ kubeconfig: "kubeconfig", context: "context" }),
    controllerName: flags.text("controller-name") ?? "",
    controllerNamespace: flags.text("controller-namespace") ?? "",
    requestTimeoutMs: parseTimeout(flags.text("request-timeout") ?? "0"),
    overrides: {
      ...flags.texts({
        cluster: "cluster",
        user: "user",
        server: "server",
        certificateAuthority: "certificate-authority",
        tlsServerName: "tls-server-name",
        proxyUrl: "proxy-url",
        token: "token",
        username: "username",
        password: "password",
        clientCertificate: "client-certificate",
        clientKey: "client-key",
        as: "as",
        asUid: "as-uid",
      }),
      insecureSkipTlsVerify: flags.on("insecure-skip-tls-verify"),
      asGroups: flags.list("as-group"),
    },
  };
}

/** @throws SignetError usage */
export function certificateOptions(flags: Flags): CertificateOptions {
  return {
    ...clusterOptions(flags),
    ...flags.texts({ cert: "cert", certFingerprint: "cert-fingerprint" }),
    certFromEnvironment: false,
    // The original's controller opens nothing else.
    algorithm: algorithmOf(flags) ?? "rsa",
  };
}

/** @throws SignetError usage */
export function algorithmOf(flags: Flags): string | undefined {
  return chosenAlgorithm(flags.texts({ algorithm: "algorithm" }));
}

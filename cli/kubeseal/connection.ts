// Owns: kubectl's connection flags as they reach the cluster and the certificate.
// Does not own: connecting (../cluster.ts), finding a certificate (../certificate.ts).

import { SignetError } from "../../shared/errors.ts";
import type { CertificateOptions } from "../cluster/certificate.ts";
import type { ClusterOptions } from "../cluster/kubeconfig.ts";
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

export function certificateOptions(flags: Flags): CertificateOptions {
  return {
    ...clusterOptions(flags),
    ...flags.texts({ cert: "cert", certFingerprint: "cert-fingerprint" }),
    certFromEnvironment: false,
  };
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds; as kubectl reads it, a bare number counts seconds. */
function parseTimeout(text: string): number {
  const duration = /^\d+$/.test(text) ? `${text}s` : text;
  let milliseconds = 0;
  for (const [, number, unit = ""] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    milliseconds += Number(number) * (UNITS[unit] ?? 0);
  }
  // Longer than a timer can count.
  if (/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(duration) && milliseconds < 2 ** 31) {
    return Math.ceil(milliseconds);
  }
  throw new SignetError("usage", `not a duration: ${text}`, { hint: "such as 500ms, 10s or 1m" });
}

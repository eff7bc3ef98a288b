// Owns: kubectl's connection flags as they reach the cluster and the certificate.
// Does not own: connecting (../cluster.ts), finding a certificate (../certificate.ts).

import { SignetError } from "../../shared/errors.ts";
import type { CertificateOptions } from "../certificate.ts";
import type { ClusterOptions } from "../kubeconfig.ts";
import type { Flags } from "./flags.ts";

/** @throws SignetError usage */
export function clusterOptions(flags: Flags): ClusterOptions {
  return {
    ...texts(flags, {
      kubeconfig: "kubeconfig",
      context: "context",
    }),
    controllerName: flags.text("controller-name") ?? "",
    controllerNamespace: flags.text("controller-namespace") ?? "",
    requestTimeoutMs: parseTimeout(flags.text("request-timeout") ?? "0"),
    overrides: {
      ...texts(flags, {
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
    ...texts(flags, { cert: "cert", certFingerprint: "cert-fingerprint" }),
    certFromEnvironment: false,
  };
}

function texts<Key extends string>(
  flags: Flags,
  names: Readonly<Record<Key, string>>,
): Partial<Record<Key, string>> {
  const found: Partial<Record<Key, string>> = {};
  for (const [key, name] of Object.entries(names) as [Key, string][]) {
    const text = flags.text(name);
    if (text !== undefined) found[key] = text;
  }
  return found;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds; as kubectl reads it, a bare number counts seconds. */
function parseTimeout(text: string): number {
  const parts = [
    ...(/^\d+$/.test(text) ? `${text}s` : text).matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g),
  ];
  const milliseconds = parts.reduce(
    (sum, [, number, unit]) => sum + Number(number) * (UNITS[unit ?? ""] ?? 0),
    0,
  );
  const read = parts.map(([part]) => part).join("");
  // Longer than a timer can count.
  if (read === (/^\d+$/.test(text) ? `${text}s` : text) && milliseconds < 2 ** 31) {
    return Math.ceil(milliseconds);
  }
  throw new SignetError("usage", `not a duration: ${text}`, { hint: "such as 500ms, 10s or 1m" });
}

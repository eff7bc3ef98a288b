// Which authorities a TLS server's certificate may be signed by, where nobody named one: the
// machine's, as Go's programs read them.

import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import * as tls from "node:tls";
import { namesIn, readBytes } from "./readfile.ts";

/** Where the distributions of Linux keep them in one file; the first that exists counts. */
const FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const FOLDERS = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

let known: readonly string[] | undefined;

/** The certificates of the machine's authorities, as PEM; Node's own list where there are none. */
export function machineRoots(): readonly string[] {
  known ??= findRoots();
  return known;
}

/** The valid certificates in a text, as PEM. */
export function certificatesIn(text: string): string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.filter((block) => {
    try {
      return new X509Certificate(block).raw.length > 0;
    } catch {
      return false;
    }
  });
}

function findRoots(): string[] {
  const system = process.platform === "linux" ? rootsOfLinux() : rootsOfPlatform();
  const roots = system.length > 0 ? system : [...tls.rootCertificates];
  // Node adds these itself, but only where a program names no others.
  const extra = process.env["NODE_EXTRA_CA_CERTS"];
  return [...new Set([...roots, ...(extra ? certificatesOf(extra) : [])])];
}

function rootsOfLinux(): string[] {
  const { SSL_CERT_FILE, SSL_CERT_DIR } = process.env;
  const files = SSL_CERT_FILE ? [SSL_CERT_FILE] : FILES;
  const folders = SSL_CERT_DIR ? SSL_CERT_DIR.split(":") : FOLDERS;
  const first = files.map(certificatesOf).find((found) => found.length > 0) ?? [];
  return [...first, ...folders.flatMap(filesIn).flatMap(certificatesOf)];
}

/** Node asks the platform's store from 22.15 on. */
function rootsOfPlatform(): string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: "system") => string[] };
  return getCACertificates?.("system") ?? [];
}

/** As in Go, what cannot be read is left out: whoever it signed is then refused. */
function certificatesOf(file: string): string[] {
  try {
    return certificatesIn(readBytes(file).toString("latin1"));
  } catch {
    return [];
  }
}

function filesIn(folder: string): string[] {
  try {
    return namesIn(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

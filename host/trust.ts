// The certificate authorities to trust if none are configured: the machine's, as Go programs read
// them.

import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import * as tls from "node:tls";
import { namesIn, readBytes } from "./readfile.ts";

/** Where Linux distributions keep them in one file; the first that exists counts. */
const FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const FOLDERS = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/** Go reads files on every system except those with a certificate store of their own. */
const READS_FILES = process.platform === "linux";

let known: readonly string[] | undefined;

/** The certificates of the machine's authorities, as PEM; Node's own list if there are none. */
export function machineRoots(): readonly string[] {
  known ??= findRoots();
  return known;
}

/** The valid certificates in a text, as PEM. */
export function certificatesIn(text: string): string[] {
  return blocksIn(text).filter(isCertificate);
}

const blocksIn = (text: string): string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).raw.length > 0;
  } catch {
    return false;
  }
}

function findRoots(): string[] {
  const system = READS_FILES ? rootsOfLinux() : rootsOfPlatform();
  const roots = system.length > 0 ? system : [...tls.rootCertificates];
  // Node adds these itself, but only if a program sets no others.
  const extra = process.env["NODE_EXTRA_CA_CERTS"];
  return [...new Set([...roots, ...(extra ? certificatesIn(textOf(extra)) : [])])];
}

function rootsOfLinux(): string[] {
  const { SSL_CERT_FILE, SSL_CERT_DIR } = process.env;
  const files = SSL_CERT_FILE ? [SSL_CERT_FILE] : FILES;
  const folders = SSL_CERT_DIR ? SSL_CERT_DIR.split(":") : FOLDERS;
  const roots = new Set<string>();
  for (const file of files) {
    for (const certificate of certificatesIn(textOf(file))) roots.add(certificate);
    if (roots.size > 0) break;
  }
  // Most of them are also in the file, and checking one takes half a millisecond.
  for (const block of folders.flatMap(filesIn).flatMap((file) => blocksIn(textOf(file)))) {
    if (!roots.has(block) && isCertificate(block)) roots.add(block);
  }
  return [...roots];
}

/** Node reads the platform's store since 22.15. */
function rootsOfPlatform(): string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: "system") => string[] };
  return getCACertificates?.("system") ?? [];
}

/** As in Go, unreadable files are skipped; servers whose authority is in them are then refused. */
function textOf(file: string): string {
  try {
    return readBytes(file).toString("latin1");
  } catch {
    return "";
  }
}

function filesIn(folder: string): string[] {
  try {
    return namesIn(folder).map((name) => join(folder, name));
  } catch {
    return [];
  }
}

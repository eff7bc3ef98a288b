// Owns: where the sealing certificate comes from: a file, an address, the cluster; warnings about it.
// Does not own: what a certificate is (shared/certificate.ts), the cluster's API (cluster.ts).
// SPEC.md, "Command line", "Certificate".

import { fileURLToPath } from "node:url";
import { type Certificate, checkNotExpired, parseCertificate } from "../shared/certificate.ts";
import { type ErrorDetails, locate, SignetError } from "../shared/errors.ts";
import { readText } from "./files.ts";
import type { ClusterOptions } from "./kubeconfig.ts";
import { networkReason } from "./network.ts";
import { count, warn } from "./terminal.ts";

const DAY_MS = 86_400_000;
const WARN_DAYS_LEFT = 30;
/** A PEM certificate is 2 kB; the controller may serve a few. */
const MAX_CERTIFICATE_BYTES = 1024 * 1024;

export interface CertificateOptions extends ClusterOptions {
  /** File or address. */
  readonly cert?: string;
}

export interface FoundCertificate {
  readonly certificate: Certificate;
  /** The file, the address, or words for the cluster. */
  readonly source: string;
}

/**
 * The certificate to seal with: `cert`, else the environment's, else the cluster's.
 * @throws SignetError io, network, certificate-invalid
 */
export async function findCertificate(options: CertificateOptions): Promise<FoundCertificate> {
  const cert =
    options.cert ??
    (process.env["SIGNET_CERT"] || undefined) ??
    (process.env["SEALED_SECRETS_CERT"] || undefined);
  if (cert !== undefined) return readCertificate(cert, options.requestTimeoutMs);
  const { fetchFromController } = await import("./cluster.ts");
  const { text, source } = await fetchFromController(options, "/v1/cert.pem", "certificate");
  return { certificate: locate({ file: source }, () => parseCertificate(text)), source };
}

/** The certificate to seal with, checked and warned about. */
export async function usableCertificate(options: CertificateOptions): Promise<Certificate> {
  const found = await findCertificate(options);
  const now = new Date();
  try {
    checkNotExpired(found.certificate, now);
  } catch (error) {
    throw error instanceof SignetError ? error.at({ file: found.source }) : error;
  }
  warnOfValidity(found, now);
  return found.certificate;
}

/** @throws SignetError io, network, certificate-invalid */
export async function readCertificate(
  fileOrUrl: string,
  timeoutMs: number,
): Promise<FoundCertificate> {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(fileOrUrl)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === "file") {
    const path = scheme === undefined ? fileOrUrl : fileURLToPath(fileOrUrl);
    return found(readText(path), path);
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new SignetError("usage", `a certificate cannot be fetched by ${scheme}://`, {
      hint: "give a file, or an address that begins with https://",
    });
  }
  const { url, shown, authorization } = withoutCredentials(fileOrUrl);
  if (scheme === "http") {
    warn(`${shown} is fetched without TLS: who can change it on its way can read what you seal`);
  }
  return found(await download(url, shown, authorization, timeoutMs), shown);
}

function found(text: string, source: string): FoundCertificate {
  return { certificate: locate({ file: source }, () => parseCertificate(text)), source };
}

/** A password in an address goes into a header: fetch refuses it there, and no message may show it. */
function withoutCredentials(address: string): {
  readonly url: URL;
  readonly shown: string;
  readonly authorization: string | undefined;
} {
  const shown = address.replace(/\/\/[^/?#]*@/, "//");
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new SignetError("usage", `not an address: ${shown}`);
  }
  const { username, password } = url;
  url.username = url.password = "";
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization =
    username === "" && password === ""
      ? undefined
      : `Basic ${Buffer.from(pair).toString("base64")}`;
  return { url, shown, authorization };
}

async function download(
  url: URL,
  shown: string,
  authorization: string | undefined,
  timeoutMs: number,
): Promise<string> {
  const failed = (reason: string, details: ErrorDetails = {}): SignetError =>
    new SignetError("network", `cannot fetch "${shown}": ${reason}`, details);
  try {
    const response = await fetch(url, {
      headers: {
        accept: "application/x-pem-file, */*",
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(timeoutMs > 0 ? { signal: AbortSignal.timeout(timeoutMs) } : {}),
    });
    if (response.status !== 200) {
      throw failed(`${response.status} ${response.statusText}`.trimEnd());
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk as Uint8Array);
      length += (chunk as Uint8Array).length;
      if (length > MAX_CERTIFICATE_BYTES) {
        throw failed("the answer is too large", {
          hint: "is this the address of a certificate? the controller serves it at /v1/cert.pem",
        });
      }
    }
    return Buffer.concat(chunks).toString();
  } catch (error) {
    if (error instanceof SignetError) throw error;
    throw failed(networkReason(error, timeoutMs), { cause: error });
  }
}

/** Days from `now` until a certificate ends; negative where it has ended. */
export function daysLeft({ notAfter }: Certificate, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
}

/** Warns of a certificate that works today but soon will not, or does not yet. */
export function warnOfValidity({ certificate, source }: FoundCertificate, now: Date): void {
  const left = daysLeft(certificate, now);
  if (certificate.notBefore > now) {
    warn(`${source}: the certificate is not valid before ${certificate.notBefore.toISOString()}`);
  } else if (left >= 0 && left < WARN_DAYS_LEFT) {
    warn(`${source}: the certificate expires in ${count(left, "day")}; get the next one in time`);
  }
}

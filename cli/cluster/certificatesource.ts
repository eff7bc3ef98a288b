// Where the sealing certificate comes from: a file, an address, the cluster; warnings about it.
// SPEC.md, "Command line", "Certificate".

import { fileURLToPath } from "node:url";
import {
  type Certificate,
  checkNotExpired,
  parseCertificate,
} from "../../shared/keys/certificate.ts";
import { type ErrorDetails, locate, SignetError } from "../../shared/errors.ts";
import { readText } from "../../host/readfile.ts";
import type { ClusterOptions } from "./clusteroptions.ts";
import { networkReason } from "../../host/networkreason.ts";
import { advise, detail, warn } from "../terminal/messages.ts";
import { count } from "../terminal/words.ts";

const DAY_MS = 86_400_000;
const WARN_DAYS_LEFT = 30;

export interface CertificateOptions extends ClusterOptions {
  /** File or address. */
  readonly cert?: string;
  /** The only certificate to be taken, by its fingerprint. */
  readonly certFingerprint?: string;
  /** False where the environment was asked already, for both. */
  readonly certFromEnvironment?: boolean;
}

export interface FoundCertificate {
  readonly certificate: Certificate;
  /** What was read: the certificate, and what came with it. */
  readonly text: string;
  /** The file, the address, or words for the cluster. */
  readonly source: string;
}

/**
 * The certificate to seal with: `cert`, else the environment's, else the cluster's.
 * @throws SignetError io, network, certificate-invalid
 */
export async function findCertificate(options: CertificateOptions): Promise<FoundCertificate> {
  const asks = options.certFromEnvironment !== false;
  const cert = options.cert ?? (asks ? fromEnvironment("CERT") : undefined);
  const pinned = asks ? pinnedFingerprint(options) : options.certFingerprint;
  const found =
    cert === undefined
      ? await certificateOfCluster(options)
      : await readCertificate(cert, options.requestTimeoutMs, pinned !== undefined);
  const { certificate, source } = found;
  detail(`the certificate is ${certificate.fingerprint}, from ${source}`);
  if (pinned !== undefined && certificate.fingerprint !== pinned) {
    throw new SignetError(
      "certificate-invalid",
      `the certificate is ${certificate.fingerprint}, not the one that was asked for`,
      {
        hint: "see `signet cert show`; if the key was renewed, ask its owner for the new fingerprint",
        place: { file: source },
      },
    );
  }
  return found;
}

/** The certificate that the environment names, if any. */
export function certificateFromEnvironment(): string | undefined {
  return fromEnvironment("CERT");
}

/** The only certificate to be taken, where one is named: by flag, else by the environment. */
export function pinnedFingerprint({
  certFingerprint,
}: Pick<CertificateOptions, "certFingerprint">): string | undefined {
  return certFingerprint ?? fromEnvironment("CERT_FINGERPRINT");
}

/** Ours, else the original's. */
function fromEnvironment(name: string): string | undefined {
  return process.env[`SIGNET_${name}`] || process.env[`SEALED_SECRETS_${name}`] || undefined;
}

async function certificateOfCluster(options: ClusterOptions): Promise<FoundCertificate> {
  const { fetchFromController } = await import("./controllerproxy.ts");
  const { text, source } = await fetchFromController(options, "/v1/cert.pem", "certificate");
  return found(text, source);
}

/** The certificate to seal with, checked and warned about. */
export async function usableCertificate(options: CertificateOptions): Promise<Certificate> {
  const found = await findCertificate(options);
  const now = new Date();
  locate({ file: found.source }, () => {
    checkNotExpired(found.certificate, now);
  });
  warnOfValidity(found, now);
  return found.certificate;
}

/**
 * `pinned`: its fingerprint will be held against one that is known, so that TLS adds nothing.
 * @throws SignetError io, network, certificate-invalid
 */
export async function readCertificate(
  fileOrUrl: string,
  timeoutMs: number,
  pinned = false,
): Promise<FoundCertificate> {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(fileOrUrl)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === "file") {
    const path = scheme === undefined ? fileOrUrl : pathOf(fileOrUrl);
    return found(readText(path), path);
  }
  if (scheme !== "http" && scheme !== "https") {
    throw new SignetError("usage", `a certificate cannot be fetched by ${scheme}://`, {
      hint: "give a file, or an address that begins with https://",
    });
  }
  const { url, shown, authorization } = withoutCredentials(fileOrUrl);
  if (scheme === "http" && !pinned) {
    warn(`${shown} is fetched without TLS: who can change it on its way can read what you seal`);
  }
  return found(await download(url, shown, authorization, timeoutMs), shown);
}

function pathOf(address: string): string {
  try {
    return fileURLToPath(address);
  } catch {
    throw new SignetError("usage", `not the address of a file here: ${address}`, {
      hint: "such as file:///srv/cert.pem",
    });
  }
}

function found(text: string, source: string): FoundCertificate {
  return { certificate: locate({ file: source }, () => parseCertificate(text)), text, source };
}

/** A password in an address goes into a header: the address goes into messages, and none may show it. */
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
  const http = await import("../../host/http.ts");
  try {
    const accept = "application/x-pem-file, */*";
    const headers = { accept, ...(authorization === undefined ? {} : { authorization }) };
    const { status, reason, text } = await http.download(url, headers, timeoutMs);
    if (status === 200) return text;
    throw failed(`${status} ${reason}`.trimEnd());
  } catch (error) {
    if (error instanceof SignetError) throw error;
    if (error instanceof http.AnswerTooLarge) {
      throw failed("the answer is too large", {
        hint: "is this the address of a certificate? the controller serves it at /v1/cert.pem",
      });
    }
    throw failed(networkReason(error, timeoutMs), { cause: error });
  }
}

/** Days from `now` until a certificate ends; negative where it has ended. */
export function daysLeft({ notAfter }: Certificate, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
}

/** Warns of a certificate that works today but soon will not, or does not yet. */
export function warnOfValidity(
  { certificate, source }: Pick<FoundCertificate, "certificate" | "source">,
  now: Date,
): void {
  const left = daysLeft(certificate, now);
  if (certificate.notBefore > now) {
    advise(`${source}: the certificate is not valid before ${certificate.notBefore.toISOString()}`);
  } else if (left >= 0 && left < WARN_DAYS_LEFT) {
    advise(`${source}: the certificate expires in ${count(left, "day")}; get the next one in time`);
  }
}

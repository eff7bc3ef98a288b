// The certificate to seal with: from a file, an address or the cluster, checked against a pin.
// SPEC.md, "Command line", "Certificate".

import { locate, SignetError } from "../../shared/errors.ts";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { checkNotExpired } from "../../shared/keys/certificate.ts";
import { KIND_NAMES, sealingIn } from "../../shared/keys/kinds.ts";
import { isShort } from "../../shared/keys/rsakey.ts";
import { advise, detail, warn } from "../terminal/messages.ts";
import { count } from "../terminal/counts.ts";
import { certificateIn, type FoundCertificate, readCertificate } from "./certificateaddress.ts";
import type { ClusterOptions } from "./clusteroptions.ts";

const DAY_MS = 86_400_000;
const WARN_DAYS_LEFT = 30;

export interface CertificateOptions extends ClusterOptions {
  /** File or address. */
  readonly cert?: string;
  /** Refuse a certificate with another fingerprint. */
  readonly certFingerprint?: string;
  /** False to ignore the environment for both. */
  readonly certFromEnvironment?: boolean;
  /** True to ask the controller, whose published certificates may be a moment older. */
  readonly fromController?: boolean;
  /** What to seal with: `hybrid` or `rsa`; by default what the certificate prefers. */
  readonly algorithm?: string;
}

/**
 * The certificate to seal with: `cert`, else the environment's, else the cluster's.
 * @throws SignetError io, network, certificate-invalid
 */
export async function findCertificate(options: CertificateOptions): Promise<FoundCertificate> {
  const asks = options.certFromEnvironment !== false;
  const cert = namedCertificate(options);
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
      `the certificate is ${certificate.fingerprint}, which does not match the expected fingerprint`,
      {
        hint: "see `signet cert show`; if the key was renewed, ask its owner for the new fingerprint",
        place: { file: source },
      },
    );
  }
  return found;
}

/** The file or address of the certificate, where one is named. */
function namedCertificate({
  cert,
  certFromEnvironment = true,
}: Pick<CertificateOptions, "cert" | "certFromEnvironment">): string | undefined {
  return cert ?? (certFromEnvironment ? fromEnvironment("CERT") : undefined);
}

/** The certificate that the environment names, if any. */
export function certificateFromEnvironment(): string | undefined {
  return fromEnvironment("CERT");
}

/** The fingerprint that a certificate must have, from the flag or else the environment. */
export function pinnedFingerprint({
  certFingerprint,
}: Pick<CertificateOptions, "certFingerprint">): string | undefined {
  return certFingerprint ?? fromEnvironment("CERT_FINGERPRINT");
}

/** Our variable, else that of the original. */
function fromEnvironment(name: string): string | undefined {
  return process.env[`SIGNET_${name}`] || process.env[`SEALED_SECRETS_${name}`] || undefined;
}

async function certificateOfCluster(options: CertificateOptions): Promise<FoundCertificate> {
  const { findPublished } = await import("./publishedcertificate.ts");
  const published = options.fromController === true ? null : await findPublished(options);
  if (published !== null && typeof published !== "string") return published;
  const { fetchFromController, withFailures } = await import("./controller.ts");
  try {
    const { text, source } = await fetchFromController(options, "/v1/cert.pem", "certificate");
    return certificateIn(text, source);
  } catch (error) {
    if (error instanceof SignetError && error.code === "network") {
      throw published === null ? error : withFailures(error, [published]);
    }
    throw error;
  }
}

/** The certificate to seal with. Refuses an expired one, and warns of one that expires soon. */
export async function usableCertificate(options: CertificateOptions): Promise<Certificate> {
  const found = await findCertificate(options).catch((error: unknown) => {
    throw namedCertificate(options) === undefined ? withCertificateHint(error) : error;
  });
  const now = new Date();
  locate({ file: found.source }, () => {
    checkNotExpired(found.certificate, now);
  });
  warnOfCertificate(found, now);
  return withAlgorithm(found, options);
}

/**
 * The certificate as it seals: with `algorithm`, else with that of the environment, else with the
 * best that it has.
 * @throws SignetError usage; certificate-invalid if it has no such key
 */
export function withAlgorithm(
  { certificate, source }: Pick<FoundCertificate, "certificate" | "source">,
  options: Pick<CertificateOptions, "algorithm">,
): Certificate {
  const algorithm = chosenAlgorithm(options);
  if (algorithm === undefined) return certificate;
  return locate({ file: source }, () => sealingIn(certificate, algorithm));
}

/** The algorithm that the flag or else the environment names. @throws SignetError usage */
export function chosenAlgorithm({
  algorithm = process.env["SIGNET_ALGORITHM"],
}: Pick<CertificateOptions, "algorithm">): string | undefined {
  if (algorithm === undefined || algorithm === "") return undefined;
  if (KIND_NAMES.includes(algorithm)) return algorithm;
  throw new SignetError("usage", `unknown algorithm ${JSON.stringify(algorithm)}`, {
    hint: `valid algorithms: ${KIND_NAMES.join(", ")}`,
  });
}

/** Of a cluster that cannot be asked: whoever has its certificate need not ask it. */
function withCertificateHint(error: unknown): unknown {
  if (!(error instanceof SignetError) || !["usage", "network"].includes(error.code)) return error;
  const { code, message, place, hint, cause } = error;
  const advice = "sealing needs only a certificate: use --cert FILE";
  const words = hint === undefined ? advice : `${hint}; ${advice}`;
  return new SignetError(code, message, { place, cause, hint: words });
}

/** Days from `now` until a certificate expires; negative once it has. */
export function daysLeft({ notAfter }: Certificate, now: Date): number {
  return Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
}

/** Warns of a certificate that expires soon, is not valid yet, or has a key that is too short. */
export function warnOfCertificate(
  { certificate, source }: Pick<FoundCertificate, "certificate" | "source">,
  now: Date,
): void {
  const { bits } = certificate;
  if (isShort({ bits })) {
    warn(
      `${source}: the certificate's key has ${bits} bits, which is too short: it could be broken; ask for a longer one`,
    );
  }
  const left = daysLeft(certificate, now);
  if (certificate.notBefore > now) {
    advise(`${source}: the certificate is not valid before ${certificate.notBefore.toISOString()}`);
  } else if (left >= 0 && left < WARN_DAYS_LEFT) {
    advise(
      `${source}: the certificate expires in ${count(left, "day")}; fetch the next one before then`,
    );
  }
}

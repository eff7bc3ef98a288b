// The clusters that the page knows: their certificates, and the facts to show about them.

import type { Certificate } from "../shared/keys/keykind.ts";
import { certificatePems, readCertificate } from "../shared/keys/x509.ts";
import { HYBRID } from "../shared/envelopes/hybrid.ts";
import { SignetError } from "../shared/errors.ts";
import type { PageCluster } from "../shared/sealingpage.ts";

export interface KnownCluster {
  readonly name: string;
  /** The certificate that seals. */
  readonly certificate: Certificate;
  /** Fingerprints of all its keys that the page knows, including former ones. */
  readonly fingerprints: ReadonlySet<string>;
}

/** A file with the certificates of a cluster that renews its key every day for a year. */
const MAX_CERTIFICATES = 400;
const MAX_CHARACTERS = 2 * 1024 * 1024;

/**
 * Reads the certificates of a cluster: the first one seals, the others are those of former keys.
 * @throws SignetError certificate-invalid; usage in a browser without WebCrypto
 */
export async function readCluster({ name, certificates }: PageCluster): Promise<KnownCluster> {
  const pems = certificates.length > MAX_CHARACTERS ? [] : certificatePems(certificates);
  if (certificates.length > MAX_CHARACTERS || pems.length > MAX_CERTIFICATES) {
    throw new SignetError("certificate-invalid", "this text is too long for certificates");
  }
  const certificate = await readCertificate(certificates);
  const former = await Promise.all(pems.slice(1).map(fingerprintOf));
  const known = former.filter((fingerprint) => fingerprint !== null);
  return { name, certificate, fingerprints: new Set([certificate.fingerprint, ...known]) };
}

/** Null for a former certificate that cannot be read: nothing is sealed with it. */
async function fingerprintOf(pem: string): Promise<string | null> {
  try {
    return (await readCertificate(pem)).fingerprint;
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

const DAY_MS = 24 * 3600 * 1000;
/** As `signet` warns. */
const SOON_DAYS = 30;

type ValidityState = "valid" | "ends-soon" | "expired" | "not-yet";

export interface CertificateFacts {
  readonly state: ValidityState;
  /** Such as `valid until 2036-11-10 (3633 days left)`. */
  readonly validity: string;
  /** Such as `made on 2026-11-13 (12 days ago)`. */
  readonly age: string;
  /** Such as `RSA 4096, post-quantum`. */
  readonly algorithm: string;
}

export function factsOf(certificate: Certificate, now: Date): CertificateFacts {
  const { notBefore, notAfter, bits, kinds } = certificate;
  const left = Math.floor((notAfter.getTime() - now.getTime()) / DAY_MS);
  const old = Math.floor((now.getTime() - notBefore.getTime()) / DAY_MS);
  const state =
    now > notAfter
      ? "expired"
      : now < notBefore
        ? "not-yet"
        : left < SOON_DAYS
          ? "ends-soon"
          : "valid";
  const until = dayOf(notAfter);
  const remaining = state === "not-yet" ? "not valid yet" : `${days(left)} left`;
  return {
    state,
    validity: state === "expired" ? `EXPIRED on ${until}` : `valid until ${until} (${remaining})`,
    age: `made on ${dayOf(notBefore)}${old < 0 ? "" : ` (${old === 0 ? "today" : `${days(old)} ago`})`}`,
    algorithm: `RSA ${bits}${kinds.includes(HYBRID) ? ", post-quantum" : ""}`,
  };
}

const dayOf = (date: Date): string => date.toISOString().slice(0, 10);
const days = (count: number): string => `${count} ${count === 1 ? "day" : "days"}`;

/** @throws SignetError certificate-expired */
export function checkUsable({ name, certificate }: KnownCluster, now: Date): void {
  if (now <= certificate.notAfter) return;
  const reason = `the certificate of ${name} expired on ${dayOf(certificate.notAfter)}: get the current one`;
  throw new SignetError("certificate-expired", reason);
}

// Operations that choose the right kind of key from the table in kindtable.ts.
// SPEC.md, "Envelope", "Sealing keys and certificates".

import { bytesOfEnvelopeText, type Envelope, envelopeText } from "../envelopes/envelope.ts";
import { SignetError } from "../errors.ts";
import type {
  Certificate,
  CertificateParts,
  CreatedHalf,
  KeyKind,
  PrivateHalf,
  Sealer,
} from "./keykind.ts";
import { KEY_KINDS } from "./kindtable.ts";
import { pemBlocks } from "./pem.ts";

/** @throws Error if there is no such kind: names come from our own code, or from this table */
function kindNamed(name: string): KeyKind {
  const kind = KEY_KINDS.find((each) => each.name === name);
  if (kind === undefined) throw new Error(`unknown kind of key: ${name}`);
  return kind;
}

/** Parses an envelope's bytes as the kind that claims them. Returns null if they are damaged. */
export function parseEnvelope(bytes: Uint8Array): Envelope | null {
  return KEY_KINDS.find((kind) => kind.claims(bytes))?.parseEnvelope(bytes) ?? null;
}

/** Parses the text of an item of `spec.encryptedData`. Returns null if it is damaged. */
export function decodeEnvelope(text: string): Envelope | null {
  const bytes = bytesOfEnvelopeText(text);
  return bytes === null ? null : parseEnvelope(bytes);
}

/**
 * Whether an envelope can have been sealed with `certificate`, or with any key if `certificate` is
 * undefined.
 */
export function fitsCertificate(envelope: Envelope, certificate: Certificate | undefined): boolean {
  return kindNamed(envelope.kind).fits(envelope, certificate);
}

/**
 * Returns the names of the kinds of envelopes that a certificate can seal, the preferred one first.
 * @throws SignetError certificate-invalid if the public key of one of the kinds cannot be used
 */
export function kindsIn(certificate: CertificateParts): string[] {
  return KEY_KINDS.filter((kind) => kind.isIn(certificate)).map(({ name }) => name);
}

/** The names of all kinds, the preferred one for sealing first. */
export const KIND_NAMES: readonly string[] = KEY_KINDS.map(({ name }) => name);

const variants = new WeakMap<Certificate, Map<string, Certificate>>();

/**
 * Returns `certificate` with `kind` as its preferred kind, in which it then seals.
 * @throws SignetError certificate-invalid if the certificate has no key of this kind
 */
export function sealingIn(certificate: Certificate, kind: string): Certificate {
  if (certificate.kinds[0] === kind) return certificate;
  if (!certificate.kinds.includes(kind)) {
    throw new SignetError("certificate-invalid", `the certificate has no ${kind} key`, {
      hint: "to give the cluster's next sealing key one, run its controller with --hybrid-keys",
    });
  }
  // The same object each time, so that its sealer is imported once.
  const known = variants.get(certificate) ?? new Map<string, Certificate>();
  variants.set(certificate, known);
  const others = certificate.kinds.filter((each) => each !== kind);
  const variant = known.get(kind) ?? { ...certificate, kinds: [kind, ...others] };
  known.set(kind, variant);
  return variant;
}

const sealers = new WeakMap<Certificate, Promise<Sealer>>();

/** Returns the sealer of the certificate's preferred kind. Imports each certificate once. */
function sealerOf(certificate: Certificate): Promise<Sealer> {
  let sealer = sealers.get(certificate);
  if (sealer === undefined) {
    sealer = kindNamed(certificate.kinds[0] ?? "").sealerOf(certificate);
    sealers.set(certificate, sealer);
  }
  return sealer;
}

/** Seals one value with a certificate, bound to `label`, and returns the bytes of the envelope. */
export async function sealToBytes(
  certificate: Certificate,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<Uint8Array> {
  return (await sealerOf(certificate)).seal(plaintext, label);
}

/** Seals one value as `sealToBytes` does, and returns the text for `spec.encryptedData`. */
export async function sealToText(
  certificate: Certificate,
  plaintext: Uint8Array,
  label: Uint8Array,
): Promise<string> {
  return envelopeText(await sealToBytes(certificate, plaintext, label));
}

/** Returns every PEM block in the text that holds a private key, in order. */
export function privateKeyBlocks(text: string): readonly string[] {
  return pemBlocks(text, "[A-Z0-9 ]{0,64}PRIVATE KEY");
}

/**
 * Reads a private half from a PEM block next to the RSA key. Returns null if no kind recognizes the
 * block.
 * @throws SignetError key-invalid if the block is damaged; the message never quotes it
 */
export function halfBeside(pem: string): PrivateHalf | null {
  for (const kind of KEY_KINDS) {
    const half = kind.readPrivateHalf(pem);
    if (half !== null) return half;
  }
  return null;
}

/** Creates keys of the named kinds, to accompany a new RSA key. */
export async function createHalves(kinds: readonly string[]): Promise<CreatedHalf[]> {
  const created = kinds.map((name) => kindNamed(name).createHalf());
  return Promise.all(created.filter((half) => half !== null));
}

// What the library's users may rely on, said in types. Compiled with the sources, and by
// package.test.ts with the package as it is installed.

import {
  type Certificate,
  type ErrorCode,
  type Json,
  type JsonObject,
  Keyring,
  type Manifest,
  type merge,
  type parseCertificate,
  type parseManifests,
  type parseSealedSecret,
  type parseSecret,
  type readKeyFile,
  type reseal,
  type Scope,
  seal,
  type SealedSecret,
  type selectorScope,
  type SelectorScope,
  type SealingKey,
  type Secret,
  SignetError,
  type unseal,
  type UnsealedSecret,
} from "../../../library/library.ts";
import type * as browser from "../../../library/browser.ts";

type IsAny<T> = 0 extends 1 & T ? true : false;
type Within<A, B> = [A] extends [B] ? true : false;
/** Each fits the other, and neither is `any`, which fits all. */
type Same<A, B> = [IsAny<A>, IsAny<B>, Within<A, B>, Within<B, A>] extends [
  false,
  false,
  true,
  true,
]
  ? true
  : never;

export const holds: true[] = [
  true satisfies Same<
    ErrorCode,
    | "usage"
    | "manifest-syntax"
    | "manifest-ambiguous"
    | "wrong-kind"
    | "secret-invalid"
    | "sealedsecret-invalid"
    | "certificate-invalid"
    | "certificate-expired"
    | "key-invalid"
    | "decrypt-failed"
    | "template-failed"
    | "project-invalid"
    | "io"
    | "network"
    | "cancelled"
    | "check-found"
  >,
  true satisfies Same<SignetError["code"], ErrorCode>,
  true satisfies Same<Scope, "strict" | "namespace-wide" | "cluster-wide" | `selector ${string}`>,
  true satisfies Same<typeof selectorScope, (text: string) => SelectorScope>,
  true satisfies Same<typeof browser.selectorScope, typeof selectorScope>,
  true satisfies Same<ReturnType<typeof parseManifests>, Manifest[]>,
  true satisfies Same<Manifest["value"], Json>,
  true satisfies Same<typeof parseCertificate, (text: string) => Certificate>,
  true satisfies Same<typeof browser.parseCertificate, (text: string) => Promise<Certificate>>,
  true satisfies Same<typeof parseSecret, (object: JsonObject) => Secret>,
  true satisfies Same<typeof parseSealedSecret, (object: JsonObject) => SealedSecret>,
  true satisfies Same<typeof readKeyFile, (text: string, file: string) => SealingKey[]>,
  true satisfies Same<Parameters<typeof seal>[2], Scope | undefined>,
  true satisfies Same<ReturnType<typeof seal>, Promise<SealedSecret>>,
  true satisfies Same<ReturnType<typeof reseal>, Promise<SealedSecret>>,
  true satisfies Same<ReturnType<typeof unseal>, Promise<UnsealedSecret>>,
  true satisfies Same<ReturnType<typeof merge>, SealedSecret>,
  true satisfies Same<Secret["data"], ReadonlyMap<string, Uint8Array>>,
  // Both entries speak of the same things.
  true satisfies Same<browser.SealedSecret, SealedSecret>,
  true satisfies Same<typeof browser.seal, typeof seal>,
  true satisfies Same<"unseal" extends keyof typeof browser ? true : false, false>,
];

export async function misuse(secret: Secret, certificate: Certificate): Promise<void> {
  // @ts-expect-error no such scope
  await seal(secret, certificate, "wide");
  // @ts-expect-error PEM text is not a certificate: parse it
  await seal(secret, "-----BEGIN CERTIFICATE-----");
  // @ts-expect-error an untrusted object is not a Secret: parse it
  await seal({ kind: "Secret" }, certificate);
  // @ts-expect-error keys are read first
  new Keyring(["-----BEGIN RSA PRIVATE KEY-----"]);
  // @ts-expect-error the codes are a closed set
  new SignetError("other", "");
  // @ts-expect-error what was parsed is not written to
  const writable: Map<string, Uint8Array> = secret.data;
  writable.clear();
}

// `kube-signet/browser`: the part of the library that runs without Node and needs no private key.
// See docs/library.md.

export {
  type ErrorCode,
  type ErrorDetails,
  type ErrorPlace,
  ERROR_CODES,
  formatPlace,
  SignetError,
} from "../shared/errors.ts";
export type { Certificate } from "../shared/keys/keykind.ts";
export { readCertificate as parseCertificate } from "../shared/keys/x509.ts";
export { formatManifests, type Json, type Surprise } from "../shared/manifest/manifest.ts";
export { type Manifest, parseManifests } from "./manifests.ts";
export {
  type Scope,
  scopeOf,
  SCOPES,
  selectorScope,
  type SelectorScope,
} from "../shared/sealing/scope.ts";
export { formatSecret, parseSecret, type Secret } from "../shared/kubernetes/secret.ts";
export { type JsonObject, objectsOf, type ObjectMeta } from "../shared/kubernetes/object.ts";
export { changeItems, type ItemChanges, seal } from "../shared/sealing/seal.ts";
export {
  formatSealedSecret,
  merge,
  parseSealedSecret,
  type SealedSecret,
  type SecretTemplate,
  stampOf,
} from "../shared/sealing/sealedsecret.ts";
export type { Stamp } from "../shared/sealing/stamp.ts";

// `kube-signet`: the public API of the package. See docs/library.md.

import type { Keyring } from "../shared/keys/keyring.ts";
import type { SealedSecret } from "../shared/sealing/sealedsecret.ts";
import { unseal as unsealWith, type UnsealedSecret } from "../shared/sealing/unseal.ts";

export {
  type ErrorCode,
  type ErrorDetails,
  type ErrorPlace,
  ERROR_CODES,
  formatPlace,
  SignetError,
} from "../shared/errors.ts";
export { type Certificate } from "../shared/keys/keykind.ts";
export {
  checkNotExpired,
  parseCertificate,
  parseCertificates,
} from "../shared/keys/certificate.ts";
export { parsePrivateKey, type PrivateKey } from "../shared/keys/rsakey.ts";
export { readKeyFile } from "../shared/keys/keyfile.ts";
export { Keyring, type OpenedValue } from "../shared/keys/keyring.ts";
export { type SealingKey } from "../shared/keys/sealingkey.ts";
export type { Envelope } from "../shared/envelopes/envelope.ts";
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
export { changeItems, type ItemChanges, reseal, seal } from "../shared/sealing/seal.ts";
export {
  formatSealedSecret,
  merge,
  parseSealedSecret,
  type SealedSecret,
  type SecretTemplate,
  stampOf,
} from "../shared/sealing/sealedsecret.ts";
export { type UnsealedSecret } from "../shared/sealing/unseal.ts";
export type { Stamp } from "../shared/sealing/stamp.ts";

/** Replaces the renderer for SealedSecrets without templates. */
function renderNothing(): Map<string, Uint8Array> {
  return new Map();
}

/**
 * Opens every value, renders the templates, and returns the resulting Secret. Fails if any value
 * does not open. Opening requires the private keys, so this function is meant for recovery.
 * @throws SignetError decrypt-failed, naming the items; template-failed; sealedsecret-invalid; for
 *   the legacy form, secret-invalid
 */
export async function unseal(
  sealed: SealedSecret,
  keyring: Keyring,
  options: {
    /** Whether to open the legacy form: one envelope that holds the whole Secret. Default: true. */
    readonly acceptLegacy?: boolean;
  } = {},
): Promise<UnsealedSecret> {
  // The renderer is most of the library's code, and most SealedSecrets do not need it.
  const render =
    sealed.template.data.size === 0
      ? renderNothing
      : (await import("../shared/template/template.ts")).renderTemplates;
  return unsealWith(sealed, keyring, {
    ...options,
    render: (templates, values) => render(templates, values, { clock: () => performance.now() }),
  });
}

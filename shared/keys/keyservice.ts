// What a key service (a KMS) does for sealing keys. The providers are in host/kms.
// SPEC.md, "Wrapped keys".

/** The services that can wrap a sealing key. The names are written into key Secrets. */
export const KMS_PROVIDERS = ["kmsv2", "transit", "aws", "gcp", "azure"] as const;
export type KmsProvider = (typeof KMS_PROVIDERS)[number];

/** What a wrapped key is bound to. A service that cannot bind it leaves that to the key's own cipher. */
export interface KeyContext {
  /** The namespace and name of the key Secret. */
  readonly namespace: string;
  readonly name: string;
  /** The fingerprint of the sealing key. */
  readonly fingerprint: string;
}

/** A data key as the service encrypted it. */
export interface WrappedDataKey {
  /** Names the service's key, with its version if the service returns it. */
  readonly key: string;
  readonly ciphertext: Uint8Array;
  /** Annotations that a KMS v2 plugin needs again to decrypt, in base64. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/**
 * One key of one service. Both calls throw SignetError: `network` if the service cannot answer now
 * or denies access, so that the caller retries; `key-invalid` if it refuses this ciphertext or
 * context. No message contains any part of a key.
 */
export interface KeyService {
  readonly provider: KmsProvider;
  /** Encrypts a data key of 32 bytes. */
  wrap: (dataKey: Uint8Array, context: KeyContext) => Promise<WrappedDataKey>;
  unwrap: (wrapped: WrappedDataKey, context: KeyContext) => Promise<Uint8Array>;
  /** A description of the service and its key, for logs. */
  describe: () => string;
}

// The flags of the key service, and the service that they name.
// SPEC.md, "Wrapped keys".

import type { KeyServiceSettings } from "../host/kms/openkeyservice.ts";
import { type KeyService, KMS_PROVIDERS, type KmsProvider } from "../shared/keys/keyservice.ts";
import { readBoolean, readHttpAddress } from "./flagreaders.ts";
import type { FlagRow } from "./flags.ts";
import { WRAPPING_MODES, type WrappingMode } from "./keywrapping.ts";

export interface KmsFlags extends KeyServiceSettings {
  readonly kmsProvider?: KmsProvider;
  readonly kmsMode: WrappingMode;
  readonly kmsBackupVerified: boolean;
}

export const KMS_FLAGS: readonly FlagRow[] = [
  {
    flag: "--kms-provider <provider>",
    words: "wrap sealing keys with a key of this service",
    choices: KMS_PROVIDERS,
  },
  {
    flag: "--kms-mode <mode>",
    words: "wrap: wrap new keys; leave: store new keys unwrapped, and allow unwrapping",
    choices: WRAPPING_MODES,
    byDefault: "wrap",
  },
  {
    flag: "--kms-backup-verified [bool]",
    words: "confirm that you have a backup of the keys that can be opened without the KMS",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--kms-key <key>",
    words: "transit: the key's name; aws: its ARN or alias; gcp: its resource name; azure: its URL",
  },
  {
    flag: "--kms-address <url>",
    words: "transit: the server's address; aws: a custom endpoint",
    read: readHttpAddress,
  },
  { flag: "--kms-socket <path>", words: "kmsv2: the plugin's unix socket" },
  { flag: "--kms-region <region>", words: "aws: the region (default: AWS_REGION)" },
  {
    flag: "--kms-ca-file <file>",
    words: "transit: PEM certificates to trust (default: the system's)",
  },
  {
    flag: "--kms-transit-mount <path>",
    words: "mount path of the transit engine",
    byDefault: "transit",
  },
  {
    flag: "--kms-transit-namespace <namespace>",
    words: "namespace in Vault or OpenBao",
    byDefault: "",
    shownDefault: "the root namespace",
  },
  {
    flag: "--kms-transit-login <method>",
    words: "login method",
    choices: ["kubernetes", "approle", "token"],
    byDefault: "kubernetes",
  },
  {
    flag: "--kms-transit-login-mount <path>",
    words: "mount path of the login method (default: the method's name)",
  },
  { flag: "--kms-transit-role <role>", words: "role, or the RoleID of approle" },
  {
    flag: "--kms-transit-login-file <file>",
    words: "file with the token, the SecretID or the service account's token",
  },
];

/**
 * Loads the code of the service that the flags name; null if they name none. `isRecoverable`: whether
 * keys are encrypted for recovery recipients.
 * @throws Error if a flag is missing, or if keys would be wrapped that nothing else can recover
 */
export async function keyServiceOf(
  flags: KmsFlags,
  isRecoverable: boolean,
): Promise<KeyService | null> {
  const { kmsProvider: provider, kmsMode: mode, kmsBackupVerified } = flags;
  if (provider === undefined) return null;
  if (mode === "wrap" && !kmsBackupVerified && !isRecoverable) {
    throw new Error(
      "--kms-provider: if the KMS key is lost, so are all sealing keys: set --recovery-recipients, " +
        "or make a backup (`signet keys backup`), test it, and confirm with " +
        "--kms-backup-verified",
    );
  }
  const { openKeyService } = await import("../host/kms/openkeyservice.ts");
  return openKeyService(provider, flags);
}

// The flags of the key service, and the service that they name.
// SPEC.md, "Wrapped keys".

import { type KeyService, KMS_PROVIDERS, type KmsProvider } from "../shared/keys/keyservice.ts";
import { readBoolean, readHttpAddress } from "./flagreaders.ts";
import type { FlagRow } from "./flags.ts";
import { WRAPPING_MODES, type WrappingMode } from "./keywrapping.ts";

export interface KmsFlags {
  readonly kmsProvider?: KmsProvider;
  readonly kmsMode: WrappingMode;
  readonly kmsBackupVerified: boolean;
  readonly kmsKey?: string;
  readonly kmsAddress?: URL;
  readonly kmsSocket?: string;
  readonly kmsRegion?: string;
  readonly kmsCaFile?: string;
  readonly kmsTransitMount: string;
  readonly kmsTransitNamespace: string;
  readonly kmsTransitLogin: "kubernetes" | "approle" | "token";
  readonly kmsTransitLoginMount?: string;
  readonly kmsTransitRole?: string;
  readonly kmsTransitLoginFile?: string;
}

export const KMS_FLAGS: readonly FlagRow[] = [
  {
    flag: "--kms-provider <provider>",
    words: "wrap sealing keys with a key of this service",
    choices: KMS_PROVIDERS,
  },
  {
    flag: "--kms-mode <mode>",
    words:
      "wrap: new keys are wrapped; leave: new keys are plain, and wrapped ones may be unwrapped",
    choices: WRAPPING_MODES,
    byDefault: "wrap",
  },
  {
    flag: "--kms-backup-verified [bool]",
    words: "confirm that the keys have a backup that opens without the KMS",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--kms-key <key>",
    words: "transit: the key's name; aws: its ARN or alias; gcp: its resource name; azure: its URL",
  },
  {
    flag: "--kms-address <url>",
    words: "transit: the server; aws: another endpoint",
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
    words: "where the transit engine is mounted",
    byDefault: "transit",
  },
  {
    flag: "--kms-transit-namespace <namespace>",
    words: "the namespace in Vault or OpenBao",
    byDefault: "",
    shownDefault: "the root namespace",
  },
  {
    flag: "--kms-transit-login <method>",
    words: "how to log in",
    choices: ["kubernetes", "approle", "token"],
    byDefault: "kubernetes",
  },
  {
    flag: "--kms-transit-login-mount <path>",
    words: "where the login method is mounted (default: the method's name)",
  },
  { flag: "--kms-transit-role <role>", words: "the role, or the RoleID of approle" },
  {
    flag: "--kms-transit-login-file <file>",
    words: "the file with the token, the SecretID or the service account's token",
  },
];

const ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

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
      "--kms-provider: a lost KMS key would be the end of all sealing keys: name " +
        "--recovery-recipients, or make a backup (`signet keys backup`), try it, and confirm with " +
        "--kms-backup-verified",
    );
  }
  switch (provider) {
    case "kmsv2": {
      const { KmsV2 } = await import("../host/kms/kmsv2.ts");
      return new KmsV2(needed(flags.kmsSocket, "--kms-socket", provider));
    }
    case "transit": {
      const { Transit } = await import("../host/kms/transit.ts");
      return new Transit({
        address: needed(flags.kmsAddress, "--kms-address", provider),
        mount: flags.kmsTransitMount,
        key: needed(flags.kmsKey, "--kms-key", provider),
        namespace: flags.kmsTransitNamespace,
        login: transitLogin(flags),
        caFile: flags.kmsCaFile,
      });
    }
    case "aws": {
      const { AwsKms } = await import("../host/kms/aws.ts");
      const { kmsRegion: region, kmsAddress: endpoint } = flags;
      return new AwsKms({ key: needed(flags.kmsKey, "--kms-key", provider), region, endpoint });
    }
    case "gcp": {
      const { GCP_KEY, GcpKms } = await import("../host/kms/gcp.ts");
      const key = needed(flags.kmsKey, "--kms-key", provider);
      if (GCP_KEY.test(key)) return new GcpKms({ key });
      throw new Error(
        "--kms-key must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY for gcp",
      );
    }
    case "azure": {
      const { AzureKeyVault, azureIdentity } = await import("../host/kms/azure.ts");
      const key = readAzureKey(needed(flags.kmsKey, "--kms-key", provider));
      return new AzureKeyVault({ key, identity: azureIdentity(process.env) });
    }
  }
}

/** @throws Error */
function readAzureKey(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isKey = url?.protocol === "https:" && /^\/keys\/[A-Za-z0-9-]{1,127}$/.test(url.pathname);
  if (url !== undefined && isKey && url.search === "") return url;
  throw new Error("--kms-key must be https://VAULT.vault.azure.net/keys/NAME for azure");
}

function transitLogin(flags: KmsFlags) {
  const { kmsTransitLogin: method, kmsTransitLoginMount: mount = method } = flags;
  const given = flags.kmsTransitLoginFile;
  const flag = "--kms-transit-login-file";
  if (method === "token") return { method, file: needed(given, flag, `${method} login`) };
  const role = needed(flags.kmsTransitRole, "--kms-transit-role", `${method} login`);
  const file = method === "kubernetes" ? (given ?? ACCOUNT_TOKEN) : needed(given, flag, "approle");
  return { method, role, mount, file };
}

/** @throws Error */
function needed<T>(value: T | undefined, flag: string, what: string): T {
  if (value !== undefined && value !== "") return value;
  throw new Error(`${flag} is required for ${what}`);
}

// Opens the key service that the settings name, and loads only its code.
// SPEC.md, "Wrapped keys".

import { SignetError } from "../../shared/errors.ts";
import type { KeyService, KmsProvider } from "../../shared/keys/keyservice.ts";

/** The settings, as the flags of the same names describe them. */
export interface KeyServiceSettings {
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

const ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/** Does not contact the service yet. @throws SignetError usage if a setting is missing */
export async function openKeyService(
  provider: KmsProvider,
  settings: KeyServiceSettings,
): Promise<KeyService> {
  switch (provider) {
    case "kmsv2": {
      const { KmsV2 } = await import("./kmsv2.ts");
      return new KmsV2(needed(settings.kmsSocket, "--kms-socket", provider));
    }
    case "transit": {
      const { Transit } = await import("./transit.ts");
      return new Transit({
        address: needed(settings.kmsAddress, "--kms-address", provider),
        mount: settings.kmsTransitMount,
        key: needed(settings.kmsKey, "--kms-key", provider),
        namespace: settings.kmsTransitNamespace,
        login: transitLogin(settings),
        caFile: settings.kmsCaFile,
      });
    }
    case "aws": {
      const { AwsKms } = await import("./aws.ts");
      const { kmsRegion: region, kmsAddress: endpoint } = settings;
      return new AwsKms({ key: needed(settings.kmsKey, "--kms-key", provider), region, endpoint });
    }
    case "gcp": {
      const { GCP_KEY, GcpKms } = await import("./gcp.ts");
      const key = needed(settings.kmsKey, "--kms-key", provider);
      if (GCP_KEY.test(key)) return new GcpKms({ key });
      throw new SignetError(
        "usage",
        "--kms-key must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY for gcp",
      );
    }
    case "azure": {
      const { AzureKeyVault, azureIdentity } = await import("./azure.ts");
      const key = readAzureKey(needed(settings.kmsKey, "--kms-key", provider));
      return new AzureKeyVault({ key, identity: azureIdentity(process.env) });
    }
  }
}

/** @throws SignetError usage */
function readAzureKey(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isKey = url?.protocol === "https:" && /^\/keys\/[A-Za-z0-9-]{1,127}$/.test(url.pathname);
  if (url !== undefined && isKey && url.search === "") return url;
  throw new SignetError(
    "usage",
    "--kms-key must be https://VAULT.vault.azure.net/keys/NAME for azure",
  );
}

function transitLogin(settings: KeyServiceSettings) {
  const { kmsTransitLogin: method, kmsTransitLoginMount: mount = method } = settings;
  const given = settings.kmsTransitLoginFile;
  const flag = "--kms-transit-login-file";
  if (method === "token") return { method, file: needed(given, flag, `${method} login`) };
  const role = needed(settings.kmsTransitRole, "--kms-transit-role", `${method} login`);
  const file = method === "kubernetes" ? (given ?? ACCOUNT_TOKEN) : needed(given, flag, "approle");
  return { method, role, mount, file };
}

/** @throws SignetError usage */
function needed<T>(value: T | undefined, flag: string, what: string): T {
  if (value !== undefined && value !== "") return value;
  throw new SignetError("usage", `${flag} is required for ${what}`);
}

// The options for files of wrapped key Secrets, and for the key service that opens them. Apart from the
// code that does it, which a help needs not load.
// SPEC.md, "Wrapped keys".

import { type Command, InvalidArgumentError, Option } from "commander";
import type { KeyServiceSettings } from "../../../host/kms/openkeyservice.ts";
import { KMS_PROVIDERS, type KmsProvider } from "../../../shared/keys/keyservice.ts";
import { list } from "../../options.ts";

export interface WrappedKeyOptions extends KeyServiceSettings {
  /** Files of wrapped key Secrets, and folders of such files. */
  readonly wrappedKey: readonly string[];
  readonly kmsProvider?: KmsProvider;
}

/** Adds the option for the files, and those of the controller that say which service opens them. */
export function withWrappedKeys(command: Command): Command {
  return command
    .addOption(list("--wrapped-key <FILE|FOLDER>", "wrapped key Secrets, which the KMS opens"))
    .addOption(
      new Option("--kms-provider <PROVIDER>", "the key service that wrapped them").choices(
        KMS_PROVIDERS,
      ),
    )
    .option("--kms-key <KEY>", "its key, as the controller names it")
    .addOption(new Option("--kms-address <URL>", "the server of transit").argParser(readAddress))
    .option("--kms-socket <PATH>", "the unix socket of a KMS v2 plugin")
    .option("--kms-region <REGION>", "the region of AWS KMS (default: AWS_REGION)")
    .option("--kms-ca-file <FILE>", "PEM certificates that transit's is checked with")
    .option("--kms-transit-mount <PATH>", "where the transit engine is mounted", "transit")
    .option("--kms-transit-namespace <NAMESPACE>", "the namespace in Vault or OpenBao", "")
    .addOption(
      new Option("--kms-transit-login <METHOD>", "how to log in to transit")
        .choices(["kubernetes", "approle", "token"])
        .default("token"),
    )
    .option("--kms-transit-login-mount <PATH>", "where that method is mounted (default: its name)")
    .option("--kms-transit-role <ROLE>", "the role, or the RoleID of approle")
    .option("--kms-transit-login-file <FILE>", "the file with the token, or the SecretID");
}

function readAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.username === "" && url.password === "";
  if (url !== undefined && /^https?:$/.test(url.protocol) && isPlain) return url;
  throw new InvalidArgumentError("it is no address such as https://vault.example.org:8200");
}

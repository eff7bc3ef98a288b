// The options for files of wrapped key Secrets, and for the key service that opens them. Apart from the
// code that opens them, so that --help does not load it.
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

/** Adds the option for the files, and the controller's options for the key service. */
export function withWrappedKeys(command: Command): Command {
  return command
    .addOption(
      list(
        "--wrapped-key <FILE|FOLDER>",
        "files of wrapped key Secrets, opened with the key service",
      ),
    )
    .addOption(
      new Option("--kms-provider <PROVIDER>", "key service that wrapped them").choices(
        KMS_PROVIDERS,
      ),
    )
    .option("--kms-key <KEY>", "key of the service, as in the controller's --kms-key")
    .addOption(
      new Option("--kms-address <URL>", "address of the transit server").argParser(readAddress),
    )
    .option("--kms-socket <PATH>", "unix socket of a KMS v2 plugin")
    .option("--kms-region <REGION>", "region of AWS KMS (default: $AWS_REGION)")
    .option("--kms-ca-file <FILE>", "PEM file of authorities to trust for the transit server")
    .option("--kms-transit-mount <PATH>", "mount path of the transit engine", "transit")
    .option("--kms-transit-namespace <NAMESPACE>", "namespace in Vault or OpenBao", "")
    .addOption(
      new Option("--kms-transit-login <METHOD>", "login method for transit")
        .choices(["kubernetes", "approle", "token"])
        .default("token"),
    )
    .option(
      "--kms-transit-login-mount <PATH>",
      "mount path of the login method (default: its name)",
    )
    .option("--kms-transit-role <ROLE>", "role to log in with, or the RoleID for approle")
    .option("--kms-transit-login-file <FILE>", "file with the token, or the SecretID for approle");
}

function readAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.username === "" && url.password === "";
  if (url !== undefined && /^https?:$/.test(url.protocol) && isPlain) return url;
  throw new InvalidArgumentError("expected an address such as https://vault.example.org:8200");
}

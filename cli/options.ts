// Options that several commands have, and how their texts are read.
// SPEC.md, "Command line".

import { type Command, Help, Option } from "commander";
import { SignetError } from "../shared/errors.ts";
import type { GivenClusterOptions } from "./cluster/clusteroptions.ts";
import { parseTimeout } from "./cluster/timeout.ts";

/** Whether it was said: false where it was not. */
export function flag(flags: string, description: string): Option {
  return new Option(flags, description).default(false);
}

/** May be given several times: a list, empty where it was not given. */
export function list(flags: string, description: string): Option {
  return new Option(flags, description)
    .default([])
    .argParser((value: string, before: string[]) => [...before, value]);
}

export const jsonOption = (): Option => flag("--json", "print JSON");
export const dryRunOption = (): Option =>
  flag("--dry-run", "say what would be done, and change nothing");
export const clusterOption = (): Option =>
  new Option("--cluster <NAME>", "the cluster of signet.yaml that is meant");
export const scopeWords = "where the values may be opened";
export const recoveryKeyOption = (what: string): Option =>
  list("--recovery-key <FILE|FOLDER>", what);

export function formatOption(description: string): Option {
  return new Option("-o, --format <FORMAT>", description)
    .choices(["yaml", "json"])
    .argParser((value: string) => {
      const format = value.toLowerCase();
      if (format === "yaml" || format === "json") return format;
      throw new SignetError("usage", `unsupported output format: ${value}`, {
        hint: "yaml or json",
      });
    });
}

export function pinOption(): Option {
  return new Option(
    "--cert-fingerprint <SHA256:...>",
    "refuse any certificate but the one with this fingerprint, or $SIGNET_CERT_FINGERPRINT",
  );
}

/** Which certificate seals, for commands that find it by the file's path. */
export function withCertificate(command: Command): Command {
  return withConnection(
    command
      .addOption(new Option("--cert <FILE|URL>", "the certificate to seal with"))
      .addOption(pinOption())
      .addOption(clusterOption()),
  );
}

interface ConnectionFlags {
  readonly requestTimeout?: number;
}

export function withConnection(command: Command): Command {
  return command
    .option("--kubeconfig <FILE>", "kubeconfig to reach the cluster with")
    .option("--context <NAME>", "its context to use")
    .addOption(
      new Option(
        "--controller-name <NAME>",
        "name of the controller's service (default: sealed-secrets-controller)",
      ).env("SEALED_SECRETS_CONTROLLER_NAME"),
    )
    .addOption(
      new Option(
        "--controller-namespace <NAMESPACE>",
        "namespace of the controller (default: kube-system)",
      ).env("SEALED_SECRETS_CONTROLLER_NAMESPACE"),
    )
    .addOption(
      new Option(
        "--request-timeout <DURATION>",
        "time for each request, such as 10s or 1m; 0: any (default: 30s)",
      ).argParser(parseTimeout),
    );
}

/** Flags with what `withConnection` added as the operations take it. */
export function connection<F extends ConnectionFlags>({
  requestTimeout,
  ...flags
}: F): Omit<F, "requestTimeout"> & Pick<GivenClusterOptions, "requestTimeoutMs"> {
  return {
    ...flags,
    ...(requestTimeout === undefined ? {} : { requestTimeoutMs: requestTimeout }),
  };
}

/** Flags of `withConnection` as commander hands them over. */
export type Connected<F> = F & ConnectionFlags & Omit<GivenClusterOptions, "requestTimeoutMs">;

/** Where values come from. */
export function withValues(command: Command): Command {
  return command
    .addOption(
      list("--from-file <[ITEM=]FILE|FOLDER>", "an item for a file's content, or for each file's"),
    )
    .addOption(list("--from-env-file <FILE>", "an item for each line NAME=VALUE"))
    .addOption(
      list("--generate <ITEM[=LENGTH]>", "an item with a random password (default length: 32)"),
    );
}

/** Whole Secrets, as `kubectl create secret` has them. */
export function withSecretForms(command: Command): Command {
  return withValues(
    command
      .option("--type <TYPE>", "the Secret's type, such as kubernetes.io/basic-auth")
      .addOption(
        list("--from-literal <ITEM>", "an item whose value is asked for, or standard input"),
      ),
  )
    .option("--tls-cert <FILE>", "a TLS Secret of this certificate, with --tls-key")
    .option("--tls-key <FILE>", "its private key")
    .option("--docker-username <NAME>", "a registry login; the password is asked for")
    .option("--docker-server <ADDRESS>", "its registry (default: https://index.docker.io/v1/)")
    .option("--docker-email <ADDRESS>", "its e-mail address");
}

/** Help that does not tell that what was not said is not there. */
export function optionDescription(this: Help, option: Option): string {
  const shown = Object.create(option) as Option;
  const { defaultValue } = option as { defaultValue: unknown };
  if (defaultValue === false || (Array.isArray(defaultValue) && defaultValue.length === 0)) {
    Object.defineProperty(shown, "defaultValue", { value: undefined });
  }
  return Help.prototype.optionDescription.call(this, shown);
}

// Options that several commands share, and how their arguments are parsed.
// SPEC.md, "Command line".

import { type Command, Help, Option } from "commander";
import { SignetError } from "../shared/errors.ts";
import { KIND_NAMES } from "../shared/keys/kinds.ts";
import { type Scope, SCOPE_NAMES, selectorScope } from "../shared/sealing/scope.ts";
import type { GivenClusterOptions } from "./cluster/clusteroptions.ts";
import { parseTimeout } from "./cluster/timeout.ts";
import { speakInDetail } from "./terminal/messages.ts";
import { FACT_FORMATS } from "./terminal/facts.ts";
import { ENV_FORMATS } from "./sealing/envfiles.ts";
import type { GivenCertificate } from "./repository/clustercertificates.ts";

/** A switch; false by default. */
export function flag(flags: string, description: string): Option {
  return new Option(flags, description).default(false);
}

/** May be repeated; an empty list by default. */
export function list(flags: string, description: string): Option {
  return new Option(flags, description)
    .default([])
    .argParser((value: string, before: string[]) => [...before, value]);
}

export const jsonOption = (): Option => flag("--json", "print JSON");

/** The output format of a result made of facts; `text` by default. */
export const factFormatOption = (formats: readonly string[] = FACT_FORMATS): Option =>
  new Option("-o, --format <FORMAT>", "output format").choices(formats).default("text");

export const factJsonOption = (): Option => jsonOption().implies({ format: "json" });

export const htmlOption = (): Option =>
  new Option(
    "--html <FILE>",
    "also write an HTML report to FILE, to read in a browser or to print",
  );

/** @throws SignetError usage if a report and another form are both requested */
export function checkOneForm(options: { readonly html?: string; readonly format: string }): void {
  if (options.html === undefined || options.format === "text") return;
  throw new SignetError("usage", `--html and --format ${options.format} are mutually exclusive`);
}

/** A fingerprint of a key, or the beginning of one. @throws SignetError usage */
export function parseFingerprint(text: string): string {
  if (/^SHA256:[A-Za-z0-9+/]{6,43}$/.test(text)) return text;
  throw new SignetError("usage", "not a fingerprint, or the beginning of one", {
    hint: "give SHA256: and at least 6 more characters, as `signet keys` and `signet status` print it",
  });
}

export const dryRunOption = (): Option =>
  flag("--dry-run", "print what would be done, without changing anything");

export const clusterOption = (): Option =>
  new Option("--cluster <NAME>", "cluster of signet.yaml to use");

/** Where values may be opened; see `askedScope`. */
export function withScopeOptions(command: Command): Command {
  return command
    .addOption(new Option("--scope <SCOPE>", "where the values can be opened").choices(SCOPE_NAMES))
    .option(
      "--selector <SELECTOR>",
      "labels of the namespaces where the values can be opened, for --scope selector",
    );
}

/** Flags of `withScopeOptions` as commander returns them. */
export interface ScopeFlags {
  readonly scope?: (typeof SCOPE_NAMES)[number];
  readonly selector?: string;
}

/**
 * Returns the flags with the scope that they name, if they name one.
 * @throws SignetError usage
 */
export function askedScope<F extends ScopeFlags>({
  scope,
  selector,
  ...flags
}: F): Omit<F, keyof ScopeFlags> & { readonly scope?: Scope } {
  if (selector !== undefined) {
    if (scope !== undefined && scope !== "selector") {
      throw new SignetError("usage", `--selector requires --scope selector, not ${scope}`);
    }
    try {
      return { ...flags, scope: selectorScope(selector) };
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      throw new SignetError("usage", `--selector: ${error.message}`, { hint: SELECTOR_HINT });
    }
  }
  if (scope === "selector") {
    throw new SignetError("usage", "--scope selector requires --selector", { hint: SELECTOR_HINT });
  }
  return { ...flags, ...(scope === undefined ? {} : { scope }) };
}

const SELECTOR_HINT =
  'name the labels that namespaces must have, such as --selector team=a or "team in (a,b)"';

export const recoveryKeyOption = (what: string): Option =>
  list("--recovery-key <FILE|FOLDER>", what);

export const recoveryIdentityOption = (): Option =>
  list(
    "--recovery-identity <FILE>",
    "age identity that opens the repository's recovery files, or file of shares for a quorum",
  );

/** The output format of a check's findings. */
export const findingFormatOption = (formats: readonly string[]): Option =>
  new Option("-o, --format <FORMAT>", "output format").choices(formats).default("text");

export function formatOption(description: string): Option {
  return new Option("-o, --format <FORMAT>", description)
    .choices(["yaml", "json"])
    .argParser((value: string) => {
      const format = value.toLowerCase();
      if (format === "yaml" || format === "json") return format;
      throw new SignetError("usage", `unsupported output format: ${value}`, {
        hint: "use yaml or json",
      });
    });
}

export function pinOption(): Option {
  return new Option(
    "--cert-fingerprint <SHA256:...>",
    "accept only the certificate with this fingerprint (default: $SIGNET_CERT_FINGERPRINT)",
  );
}

/** `SIGNET_ALGORITHM` is read where the certificate is. */
export function algorithmOption(description: string): Option {
  return new Option("--algorithm <ALGORITHM>", description).choices(KIND_NAMES);
}

export const sealingAlgorithmOption = (): Option =>
  algorithmOption(
    "algorithm to seal with (default: $SIGNET_ALGORITHM, or the best that the certificate supports)",
  );

/** Which certificate seals, for commands that find it by the file's path. */
export function withCertificate(command: Command): Command {
  return withConnection(
    command
      .addOption(new Option("--cert <FILE|URL>", "certificate to seal with"))
      .addOption(pinOption())
      .addOption(sealingAlgorithmOption())
      .addOption(clusterOption()),
  );
}

interface ConnectionFlags {
  readonly requestTimeout?: number;
}

export function withConnection(command: Command): Command {
  return command
    .option("--kubeconfig <FILE>", "kubeconfig file to use")
    .option("--context <NAME>", "kubeconfig context to use")
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
        "--certificates-configmap <NAME>",
        "[NAMESPACE/]NAME of the ConfigMap where the controller publishes its certificates (default: the service's name with -certificates)",
      ).env("SIGNET_CERTIFICATES_CONFIGMAP"),
    )
    .addOption(flag("-v, --verbose", "print each step of the connection to the cluster"))
    .on("option:verbose", speakInDetail)
    .addOption(
      new Option(
        "--request-timeout <DURATION>",
        "timeout of each request, such as 10s or 1m; 0 for none (default: 30s)",
      ).argParser(parseTimeout),
    );
}

/** Renames what `withConnection` added to the names of the connection's options. */
export function connection<F extends ConnectionFlags>({
  requestTimeout,
  ...flags
}: F): Omit<F, "requestTimeout"> & Pick<GivenClusterOptions, "requestTimeoutMs"> {
  return {
    ...flags,
    ...(requestTimeout === undefined ? {} : { requestTimeoutMs: requestTimeout }),
  };
}

/** Flags of `withConnection` as commander returns them. */
export type Connected<F> = F & ConnectionFlags & Omit<GivenClusterOptions, "requestTimeoutMs">;

/** Sources of values. */
export function withValues(command: Command): Command {
  return command
    .addOption(
      list(
        "--from-file <[ITEM=]FILE|FOLDER>",
        "add an item with the content of FILE, or of each file in FOLDER",
      ),
    )
    .addOption(list("--from-env-file <FILE>", "add an item for each line NAME=VALUE of FILE"))
    .addOption(
      new Option(
        "--env-format <FORMAT>",
        "syntax of env files: that of kubectl, or that of Compose and dotenv",
      )
        .choices(ENV_FORMATS)
        .default("kubectl"),
    )
    .addOption(
      list("--generate <ITEM[=LENGTH]>", "add an item with a random password (default length: 32)"),
    );
}

/** Sources of a whole Secret, as in `kubectl create secret`. */
export function withSecretForms(command: Command): Command {
  return withValues(
    command
      .option("--type <TYPE>", "type of the Secret, such as kubernetes.io/basic-auth")
      .addOption(
        list(
          "--from-literal <ITEM>",
          "add an item with a value that is prompted for, or read from standard input",
        ),
      ),
  )
    .option("--tls-cert <FILE>", "create a TLS Secret with this certificate, and --tls-key")
    .option("--tls-key <FILE>", "private key for --tls-cert")
    .option("--docker-username <NAME>", "create a registry login; prompts for the password")
    .option(
      "--docker-server <ADDRESS>",
      "address of the registry (default: https://index.docker.io/v1/)",
    )
    .option("--docker-email <ADDRESS>", "e-mail address of the registry login");
}

export interface ChangeOptions extends GivenCertificate {
  /** Which SealedSecret, where the file holds several. */
  readonly name?: string;
  /** Also change the same SealedSecret in the files of other clusters. */
  readonly allClusters: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** What `set`, `unset`, `rename` and `edit` share. */
export function withChange(command: Command): Command {
  return withCertificate(
    command
      .addOption(
        flag("--all-clusters", "also change the same SealedSecret in the other clusters' files"),
      )
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  );
}

/** Leaves the defaults `false` and `[]` out of the help, as they say nothing. */
export function optionDescription(this: Help, option: Option): string {
  const shown = Object.create(option) as Option;
  const { defaultValue } = option as { defaultValue: unknown };
  if (defaultValue === false || (Array.isArray(defaultValue) && defaultValue.length === 0)) {
    Object.defineProperty(shown, "defaultValue", { value: undefined });
  }
  return Help.prototype.optionDescription.call(this, shown);
}

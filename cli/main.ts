// Owns: the table of `signet` commands, their options and help, dispatch, and the exit status.
// Does not own: what a command does (a file each). SPEC.md, "Command line".
//
// Start-up is part of every command's cost: what only some commands need is imported when they run.

import { Command, CommanderError, Option } from "commander";
import { SignetError } from "../shared/errors.ts";
import { SCOPES, type Scope } from "../shared/scope.ts";
import { VERSION } from "../shared/version.ts";
import type { ClusterOptions } from "./kubeconfig.ts";
import { type Format, runSeal } from "./seal.ts";
import { printResult, reportError } from "./terminal.ts";

interface ConnectionFlags {
  readonly cert?: string;
  readonly certFingerprint?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly controllerName: string;
  readonly controllerNamespace: string;
  readonly requestTimeout: number;
}

interface SealFlags extends ConnectionFlags {
  readonly scope?: Scope;
  readonly namespace?: string;
  readonly name?: string;
  readonly format?: Format;
  readonly output?: string;
  readonly inPlace?: true;
  readonly mergeInto?: string;
  readonly allowEmpty?: true;
}

interface UnsealFlags {
  readonly recoveryKey?: string[];
  readonly acceptLegacy: boolean;
  readonly namespace?: string;
  readonly format?: Format;
  readonly output?: string;
}

const SEAL_HELP = `
Without FILE, or where it is -, standard input is read. A folder is searched for *.yaml, *.yml and
*.json files; those without a Secret stay as they are. If anything is wrong, nothing is written.

Who seals needs the certificate only: --cert, else $SIGNET_CERT or $SEALED_SECRETS_CERT, else the
controller in the cluster is asked for it.

A value opens only in the place that it is sealed for. Its scope says how narrow that is: strict,
the same namespace and name (the default); namespace-wide, any name in it; cluster-wide, anywhere.
The manifest may say it with an annotation; --scope overrides that.

Example:
  $ signet cert fetch > cert.pem
  $ kubectl create secret generic db --namespace demo --dry-run=client --output yaml \\
      --from-file password | signet seal --cert cert.pem --output db.yaml
  $ git add db.yaml

  $ signet seal --cert cert.pem secrets/ --output sealed/
  $ printf '{"kind":"Secret","apiVersion":"v1","stringData":{"token":"t0p"}}' |
      signet seal --cert cert.pem --merge-into db.yaml`;

const UNSEAL_HELP = `
This is for recovery, when a cluster or its controller is lost: it needs the private key, which
should never leave the cluster but for a backup, and it writes secret values in plain text.

A key FILE is PEM, or the YAML or JSON of sealing key Secrets; a folder of them is read as well.
What --output names is readable to you alone, and is refused where others may read it already.

Example:
  $ kubectl get secret --namespace kube-system --output yaml \\
      --selector sealedsecrets.bitnami.com/sealed-secrets-key > keys.yaml
  $ signet unseal db.yaml --recovery-key keys.yaml | kubectl apply --filename -`;

const FETCH_HELP = `
The certificate is public. Keep it in Git, and everybody can seal without access to the cluster.

Example:
  $ signet cert fetch --context prod --output prod.pem
  $ signet seal --cert prod.pem secret.yaml`;

const KEYS_HELP = `
The controller counts what is in its cluster. Before you delete a key, think of Git: an older commit,
or a file that was never applied, may still be under it.

Examples:
  $ signet keys
  $ signet keys --json | jq -r '.keys[] | select(.unused) | .secret'`;

const SHOW_HELP = `
Without FILE or URL: the certificate that \`signet seal\` would use.

Example:
  $ signet cert show cert.pem
  source       cert.pem
  fingerprint  SHA256:pV1EkPSmXA6h2Ab4Gc9q2dV7xTn0uYwLr8sJfKz3Bto
  key          RSA, 4096 bits
  ...`;

const PROGRAM_HELP = `
Example:
  $ signet seal --cert cert.pem < secret.yaml > sealedsecret.yaml

\`signet COMMAND --help\` tells more of each. Results go to standard output, words to standard error.
Exit status: 0 success, 1 failure, 2 wrong usage, 3 a check that found something.`;

function buildProgram(printed: string[]): Command {
  const program = new Command("signet")
    .usage("COMMAND [OPTION...]")
    .description("Keeps Kubernetes Secrets in Git: sealed there, plain in the cluster alone.")
    .version(VERSION, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [COMMAND]", "print the help of a command")
    .exitOverride()
    .configureHelp({ showGlobalOptions: false, helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => void printed.push(text),
      // What it says on errors is said by terminal.ts.
      writeErr: () => undefined,
    })
    .addHelpText("after", PROGRAM_HELP);

  withConnection(
    program
      .command("seal")
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .summary("seal Secrets into SealedSecrets")
      .description(
        "Seals Secrets into SealedSecrets, which only the cluster's controller can open.",
      )
      .addOption(new Option("--cert <FILE|URL>", "the certificate to seal with"))
      .addOption(pinOption())
      .addOption(new Option("--scope <SCOPE>", "where the values may be opened").choices(SCOPES))
      .option("-n, --namespace <NAMESPACE>", "the namespace of Secrets that declare none")
      .option("--name <NAME>", "the name of a Secret that declares none")
      .addOption(formatOption("format of the result (default: that of the input)"))
      .option("-w, --output <FILE|FOLDER>", "write there instead of standard output")
      .option("--in-place", "replace each plaintext file by its sealed form")
      .option("--merge-into <FILE>", "add the values to the SealedSecret in FILE, or replace them")
      .option("--allow-empty", "seal a Secret that holds no value"),
  )
    .addHelpText("after", SEAL_HELP)
    .action((names: string[], flags: SealFlags) =>
      runSeal(names, {
        ...flags,
        ...connection(flags),
        inPlace: flags.inPlace ?? false,
        allowEmpty: flags.allowEmpty ?? false,
      }),
    );

  program
    .command("unseal")
    .argument("[FILE...]")
    .usage("--recovery-key FILE [OPTION...] [FILE...]")
    .summary("open SealedSecrets with a private key (recovery)")
    .description("Opens SealedSecrets with private keys from a backup. Prints plain text.")
    .addOption(
      new Option(
        "--recovery-key <FILE|FOLDER>",
        "private key to open with; may be given several times",
      ).argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]),
    )
    .option("-n, --namespace <NAMESPACE>", "the namespace of SealedSecrets that declare none")
    .addOption(formatOption("format of the result (default: that of the input)"))
    .option("-w, --output <FILE>", "write there, readable to you alone")
    .option("--no-accept-legacy", "refuse the form from before 2019 (spec.data)")
    .addHelpText("after", UNSEAL_HELP)
    .action(async (names: string[], flags: UnsealFlags) => {
      const { runUnseal } = await import("./unseal.ts");
      await runUnseal(names, { ...flags, recoveryKey: flags.recoveryKey ?? [] });
    });

  const cert = program
    .command("cert")
    .usage("COMMAND [OPTION...]")
    .summary("fetch or show the sealing certificate")
    .description("Fetches or shows the certificate that Secrets are sealed with.")
    .helpCommand(false);
  withConnection(
    cert
      .command("fetch")
      .usage("[OPTION...]")
      .summary("print the certificate that the controller seals with")
      .description("Fetches the sealing certificate, by default from the cluster's controller.")
      .option("--cert <URL>", "fetch it from there instead")
      .addOption(pinOption())
      .option("-w, --output <FILE>", "write there instead of standard output"),
  )
    .addHelpText("after", FETCH_HELP)
    .action(async (flags: ConnectionFlags & { output?: string }) => {
      const { runCertFetch } = await import("./cert.ts");
      await runCertFetch({ ...flags, ...connection(flags) });
    });
  withConnection(
    cert
      .command("show")
      .argument("[FILE|URL]")
      .usage("[OPTION...] [FILE|URL]")
      .summary("print a certificate's fingerprint and validity")
      .description("Shows a certificate: fingerprint, size, validity, days left.")
      .option("--json", "print JSON"),
  )
    .addHelpText("after", SHOW_HELP)
    .action(async (named: string | undefined, flags: ConnectionFlags & { json?: true }) => {
      const { runCertShow } = await import("./cert.ts");
      await runCertShow(named, { ...connection(flags), json: flags.json ?? false });
    });

  withConnection(
    program
      .command("keys")
      .usage("[OPTION...]")
      .summary("list a cluster's sealing keys, and what is still under each")
      .description(
        "Lists the sealing keys of a cluster, how many values are still sealed under each, and " +
          "which one nothing needs any more.",
      )
      .option("--json", "print JSON"),
  )
    .addHelpText("after", KEYS_HELP)
    .action(async (flags: ConnectionFlags & { json?: true }) => {
      const { runKeys } = await import("./keys.ts");
      await runKeys({ ...connection(flags), json: flags.json ?? false });
    });

  program
    .command("demo")
    .usage("")
    .summary("see a Secret sealed, reconciled, edited and rotated, on this machine alone")
    .description(
      "Runs the whole of it once, in a folder instead of a cluster, and says what it does.",
    )
    .action(async () => {
      const { runDemo } = await import("./demo.ts");
      runDemo();
    });
  return program;
}

function pinOption(): Option {
  return new Option(
    "--cert-fingerprint <SHA256:...>",
    "refuse any certificate but the one with this fingerprint, or $SIGNET_CERT_FINGERPRINT",
  );
}

function formatOption(description: string): Option {
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

function withConnection(command: Command): Command {
  return command
    .option("--kubeconfig <FILE>", "kubeconfig to reach the cluster with")
    .option("--context <NAME>", "its context to use")
    .addOption(
      new Option("--controller-name <NAME>", "name of the controller's service")
        .env("SEALED_SECRETS_CONTROLLER_NAME")
        .default("sealed-secrets-controller"),
    )
    .addOption(
      new Option("--controller-namespace <NAMESPACE>", "namespace of the controller")
        .env("SEALED_SECRETS_CONTROLLER_NAMESPACE")
        .default("kube-system"),
    )
    .addOption(
      new Option("--request-timeout <DURATION>", "time for each request, such as 10s or 1m; 0: any")
        .default(30_000, "30s")
        .argParser(parseDuration),
    );
}

function connection({ requestTimeout, ...flags }: ConnectionFlags): ClusterOptions {
  return { ...flags, requestTimeoutMs: requestTimeout };
}

function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? "s"] ?? 1000;
  const milliseconds = Number(match?.[1]) * unit;
  // Longer than a timer can count.
  if (Number.isInteger(milliseconds) && milliseconds < 2 ** 31) return milliseconds;
  throw new SignetError("usage", `not a duration: ${text}`, { hint: "such as 500ms, 10s or 1m" });
}

/** Commander's complaint as one of ours. */
function usageError(error: CommanderError, program: Command, args: readonly string[]): SignetError {
  const [message = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
  const meant = /^\(Did you mean (.*)\?\)$/.exec(suggestion ?? "")?.[1];
  let command = program;
  for (const arg of args) {
    const inner = command.commands.find((each) => each.name() === arg);
    if (inner === undefined) break;
    command = inner;
  }
  const names: string[] = [];
  for (let each: Command | null = command; each !== null; each = each.parent) {
    names.unshift(each.name());
  }
  const help = `\`${names.join(" ")} --help\``;
  if (error.code === "commander.help") {
    return new SignetError("usage", `${names.join(" ")} needs a command`, { hint: `see ${help}` });
  }
  return new SignetError("usage", message, {
    hint: meant === undefined ? `see ${help}` : `did you mean ${meant}? see ${help}`,
  });
}

async function run(args: readonly string[]): Promise<number> {
  const printed: string[] = [];
  const program = buildProgram(printed);
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error);
    if (error.exitCode !== 0) return reportError(usageError(error, program, args));
    try {
      await printResult(printed.join(""));
      return 0;
    } catch (failed) {
      return reportError(failed);
    }
  }
}

void run(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});

// `signet seal`: seals Secrets, and prints the SealedSecrets or writes them to files.
// SPEC.md, "Command line", "Sealing".

import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { statIfThere } from "../../../host/readfile.ts";
import { locateAsync, SignetError } from "../../../shared/errors.ts";
import type { Certificate } from "../../../shared/keys/keykind.ts";
import type { JsonObject } from "../../../shared/kubernetes/object.ts";
import { seal } from "../../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../../shared/sealing/sealedsecret.ts";
import {
  askedScope,
  type Connected,
  connection,
  flag,
  formatOption,
  type ScopeFlags,
  withCertificate,
  withScopeOptions,
  withSecretForms,
} from "../../options.ts";
import type { GivenCertificate } from "../../repository/clustercertificates.ts";
import { sealingDefaults } from "../../repository/sealingdefaults.ts";
import { type Gathered, type GatheredFile, IN_PLACE, secretsIn } from "../../sealing/gather.ts";
import { preparing, type SecretOptions } from "../../sealing/preparesecret.ts";
import {
  type OutputOptions,
  outputPath,
  outputRoot,
  type SealedOutput,
  writeSealed,
} from "../../sealing/sealedoutputs.ts";
import { checkSources, gatherSecrets, type SecretSources } from "../../sealing/secretsources.ts";
import { say } from "../../terminal/messages.ts";
import { count } from "../../terminal/counts.ts";

const HELP = `
Without FILE, or if FILE is -, signet reads standard input. In a folder, it seals the Secrets of all *.yaml,
*.yml and *.json files, and skips files without a Secret. With --in-place, other documents in a file stay
unchanged. If there is any error, nothing is written. Instead of a manifest, you can give values with options:
--from-literal prompts for a value, or reads it from standard input.

Sealing needs only a certificate. It is the first of: --cert; the certificate of the cluster that signet.yaml
sets for the path; $SIGNET_CERT or $SEALED_SECRETS_CERT; the one that the cluster's controller returns.

The scope of a value says where it can be opened:
  strict          with the same name and namespace (default)
  namespace-wide  with any name in the same namespace
  selector        in the namespaces that --selector matches
  cluster-wide    anywhere in the cluster
Anyone who can label namespaces can extend the scope "selector". The manifest can set the scope with an
annotation, which --scope overrides.

Example:
  $ signet cert fetch > cert.pem
  $ kubectl create secret generic db --namespace demo --dry-run=client --output yaml \\
      --from-file password | signet seal --cert cert.pem --output db.yaml
  $ git add db.yaml

  $ signet seal --cert cert.pem secrets/ --output sealed/
  $ signet seal --cert cert.pem --merge-into db.yaml --from-literal token
  $ signet seal --cert cert.pem --name tls -n demo --tls-cert tls.crt --tls-key tls.key`;

export function define(command: Command): void {
  withCertificate(
    withSecretForms(
      withScopeOptions(
        command
          .argument("[FILE|FOLDER...]")
          .usage("[OPTION...] [FILE|FOLDER...]")
          .description(
            "Seal Secrets into SealedSecrets, which only the cluster's controller can open.",
          ),
      )
        .option("-n, --namespace <NAMESPACE>", "namespace for Secrets that declare none")
        .option("--name <NAME>", "name for a Secret that declares none")
        .addOption(formatOption("output format (default: that of the input)"))
        .option("-w, --output <FILE|FOLDER>", "write here instead of standard output")
        .addOption(flag("--in-place", "replace each plaintext file with its sealed form"))
        .option("--merge-into <FILE>", "add or replace values in the SealedSecret in FILE")
        .addOption(flag("--allow-empty", "allow sealing a Secret without values")),
    ),
  )
    .addHelpText("after", HELP)
    .action(async (names: string[], flags: SealFlags) => {
      const { mergeInto, ...options } = askedScope(connection(flags));
      checkSources(names, options);
      if (mergeInto === undefined) {
        await runSeal(names, options);
      } else {
        const { runMerge } = await import("./mergeinto.ts");
        await runMerge(names, mergeInto, options);
      }
    });
}

type SealOptions = GivenCertificate & SecretOptions & SecretSources & OutputOptions;
type SealFlags = Connected<Omit<SealOptions, "scope"> & ScopeFlags & { mergeInto?: string }>;

/** @throws SignetError, or an AggregateError of them; then nothing was written */
async function runSeal(names: readonly string[], options: SealOptions): Promise<void> {
  const { inPlace, output, format } = options;
  checkUsage(names, { inPlace, output });
  const { certificateFor, defaultScope } = await sealingDefaults(options);
  const prepare = preparing({ defaultScope, ...options });
  const gathered = await gatherSecrets(names, options, prepare, inPlace ? IN_PLACE : undefined);
  const plan = gathered.files.map((file) => ({
    file,
    path: outputPath(file.input, names, { inPlace, output }),
  }));
  const sealed: SealedOutput[] = [];
  for (const { file, path } of plan) {
    const certificate = await certificateFor(path ?? file.input.path);
    const root = outputRoot(file.input, path, { inPlace, output });
    sealed.push({ file, path, root, documents: await sealFile(file, certificate) });
  }
  await writeSealed(sealed, { inPlace, output, format });
  if (gathered.hasFolder) say(summary(gathered, output));
  if (inPlace) gathered.files.forEach(sayOthers);
}

/** In a file that the command line names, each document is expected to be a Secret. */
function sayOthers({ input, documents }: GatheredFile): void {
  const others = documents.filter(({ secrets }) => secrets.length === 0).length;
  if (input.inFolder !== undefined || others === 0) return;
  say(`${input.name}: ${count(others, "document")} without a Secret, not changed`);
}

function checkUsage(names: readonly string[], { inPlace, output }: OutputOptions): void {
  const usage = (message: string, hint: string): SignetError =>
    new SignetError("usage", message, { hint });
  if (inPlace && output !== undefined) {
    throw usage("--in-place and --output are mutually exclusive", "use only one of them");
  }
  const files = names.filter((name) => name !== "-");
  if (inPlace && (files.length === 0 || files.length < names.length)) {
    throw usage("--in-place requires a file", "standard input cannot be replaced; name a file");
  }
  const folder = files.find((name) => statIfThere(name)?.isDirectory() === true);
  if (folder !== undefined && !inPlace && output === undefined) {
    throw usage(
      `${folder} is a folder, and no output was named`,
      `use --output FOLDER, or --in-place to replace the files in ${folder}`,
    );
  }
  if (folder !== undefined && output !== undefined && statIfThere(output)?.isFile() === true) {
    throw usage(`--output ${output} is a file, but the input is a folder`, "name a folder");
  }
}

async function sealFile(
  file: GatheredFile,
  certificate: Certificate,
): Promise<readonly JsonObject[][]> {
  return Promise.all(
    file.documents.map(({ secrets }) =>
      Promise.all(
        secrets.map(({ secret, scope, place }) =>
          locateAsync(place, async () =>
            formatSealedSecret(await seal(secret, certificate, scope)),
          ),
        ),
      ),
    ),
  );
}

function summary(
  { files, sealedAlready, withoutSecret }: Gathered,
  output: string | undefined,
): string {
  const secrets = secretsIn(files);
  const where =
    output === undefined ? "in place" : `into ${join(dirname(output), basename(output))}`;
  const parts = [
    files.length === 0
      ? "nothing to seal"
      : `sealed ${count(secrets.length, "Secret")} in ${count(files.length, "file")}, ${where}`,
    ...(sealedAlready === 0 ? [] : [`${count(sealedAlready, "file")} already sealed`]),
    ...(withoutSecret === 0 ? [] : [`${count(withoutSecret, "file")} without a Secret`]),
  ];
  return parts.join("; ");
}

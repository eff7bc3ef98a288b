// `signet seal`: gathered Secrets -> SealedSecrets, on stdout or in files.
// SPEC.md, "Command line", "Sealing".

import { type Command, Option } from "commander";
import { SCOPES } from "../../shared/sealing/scope.ts";
import {
  type Connected,
  connection,
  flag,
  formatOption,
  scopeWords,
  withCertificate,
  withSecretForms,
} from "../options.ts";
import { basename, dirname, extname, join } from "node:path";
import { encodeBase64 } from "../../shared/base64.ts";
import type { Certificate } from "../../shared/keys/certificate.ts";
import { locateAsync, SignetError } from "../../shared/errors.ts";
import { formatManifests, type ManifestFormat } from "../../shared/manifest/manifest.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { usableCertificate } from "../cluster/certificatesource.ts";
import { clusterOptions } from "../cluster/clusteroptions.ts";
import { type Input, readInputs } from "../terminal/inputs.ts";
import { type Output, writeFiles } from "../../host/writefiles.ts";
import { statIfThere } from "../../host/readfile.ts";
import type { Certificates, GivenCertificate } from "../repository/clustercertificates.ts";
import { findProjectFolder } from "../repository/projectfolder.ts";
import { gather, type Gathered, type GatheredFile, secretsIn } from "../sealing/gather.ts";
import { preparing, type SecretOptions } from "../sealing/preparesecret.ts";
import { count } from "../terminal/words.ts";
import { printResult } from "../terminal/results.ts";
import { say } from "../terminal/messages.ts";
import { hasValues, readValues, type ValueFlags } from "../sealing/values.ts";

const HELP = `
Without FILE, or where it is -, standard input is read. A folder is searched for *.yaml, *.yml and
*.json files; those without a Secret stay as they are. If anything is wrong, nothing is written.
Instead of a manifest, values may be named: --from-literal asks for one, or reads standard input.

Who seals needs the certificate only: --cert, else that of the cluster which signet.yaml says the
path is for, else $SIGNET_CERT or $SEALED_SECRETS_CERT, else the cluster's controller is asked.

A value opens only in the place that it is sealed for. Its scope says how narrow that is: strict,
the same namespace and name (the default); namespace-wide, any name in it; cluster-wide, anywhere.
The manifest may say it with an annotation; --scope overrides that.

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
      command
        .argument("[FILE|FOLDER...]")
        .usage("[OPTION...] [FILE|FOLDER...]")
        .description(
          "Seals Secrets into SealedSecrets, which only the cluster's controller can open.",
        )
        .addOption(new Option("--scope <SCOPE>", scopeWords).choices(SCOPES))
        .option("-n, --namespace <NAMESPACE>", "the namespace of Secrets that declare none")
        .option("--name <NAME>", "the name of a Secret that declares none")
        .addOption(formatOption("format of the result (default: that of the input)"))
        .option("-w, --output <FILE|FOLDER>", "write there instead of standard output")
        .addOption(flag("--in-place", "replace each plaintext file by its sealed form"))
        .option(
          "--merge-into <FILE>",
          "add the values to the SealedSecret in FILE, or replace them",
        )
        .addOption(flag("--allow-empty", "seal a Secret that holds no value")),
    ),
  )
    .addHelpText("after", HELP)
    .action((names: string[], flags: Connected<SealOptions>) => runSeal(names, connection(flags)));
}

export interface SealOptions extends GivenCertificate, SecretOptions, ValueFlags {
  /** Of a Secret that is made of values. */
  readonly type?: string;
  readonly format?: ManifestFormat;
  readonly output?: string;
  readonly inPlace: boolean;
  readonly mergeInto?: string;
}

/** @throws SignetError, or an AggregateError of them; then nothing was written */
export async function runSeal(names: readonly string[], options: SealOptions): Promise<void> {
  if (hasValues(options) && names.length > 0) {
    throw new SignetError("usage", "values by flags and FILE exclude each other", {
      hint: "to add values to what is sealed already, name it with --merge-into",
    });
  }
  if (options.mergeInto !== undefined) {
    const { runMerge } = await import("../sealing/mergeinto.ts");
    await runMerge(names, { ...options, mergeInto: options.mergeInto });
    return;
  }
  checkUsage(names, options);
  const { certificateFor, defaultScope } = await certificatesOf(options);
  const inputs = await readSecrets(names, options);
  const gathered = gather(inputs, preparing({ defaultScope, ...options }));
  const { files } = gathered;
  const plan = files.map((file) => ({ file, path: outputPath(file, names, options) }));
  if (files.length > 0) {
    const sealed: Sealed[number][] = [];
    for (const { file, path } of plan) {
      sealed.push(await sealFile(file, await certificateFor(path ?? file.input.path)));
    }
    if (plan.every(({ path }) => path === undefined)) {
      await printResult(asOneText(files, sealed, options));
    } else {
      await writeFiles(toOutputs(plan, sealed, options));
    }
  }
  if (inputs.some(({ inFolder }) => inFolder !== undefined)) summarize(gathered, options);
}

/** What was named, or the one Secret that flags say the values of. @throws SignetError */
export async function readSecrets(
  names: readonly string[],
  options: SealOptions,
): Promise<Input[]> {
  if (!hasValues(options)) {
    if (options.type === undefined) return readInputs(names, "a Secret");
    throw new SignetError("usage", "--type is for a Secret that is made of values", {
      hint: "a manifest says its type itself",
    });
  }
  const { data, type } = await readValues(options);
  const secret = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {},
    ...(options.type === undefined && type === undefined ? {} : { type: options.type ?? type }),
    data: Object.fromEntries([...data].map(([item, value]) => [item, encodeBase64(value)])),
  } as JsonObject;
  return [{ name: "command line", text: formatManifests([secret], "yaml") }];
}

/** What signet.yaml, where there is one, says of files that are sealed. */
interface SealingDefaults {
  /** `path`: the file that the result goes to, or else the one that it comes from. */
  readonly certificateFor: Certificates["for"];
  readonly defaultScope: SecretOptions["defaultScope"];
}

/** @throws SignetError project-invalid, usage */
export async function certificatesOf(options: GivenCertificate): Promise<SealingDefaults> {
  if (options.cluster === undefined && findProjectFolder() === null) {
    let found: Promise<Certificate> | undefined;
    const certificateFor = (): Promise<Certificate> =>
      (found ??= usableCertificate({ ...options, ...clusterOptions(options) }));
    return { certificateFor, defaultScope: undefined };
  }
  const { Certificates: ByFile } = await import("../repository/clustercertificates.ts");
  const { findProject } = await import("../repository/project.ts");
  const project = findProject();
  const certificates = new ByFile(options, project);
  return {
    certificateFor: (path) => certificates.for(path),
    defaultScope: project?.scope,
  };
}

function checkUsage(names: readonly string[], options: SealOptions): void {
  const { inPlace, output } = options;
  const usage = (message: string, hint: string): SignetError =>
    new SignetError("usage", message, { hint });
  if (inPlace && output !== undefined) {
    throw usage("--in-place and --output exclude each other", "leave one of them out");
  }
  const files = names.filter((name) => name !== "-");
  if (inPlace && (files.length === 0 || files.length < names.length)) {
    throw usage("--in-place needs a file", "standard input cannot be replaced; name the file");
  }
  const folder = files.find((name) => statIfThere(name)?.isDirectory() === true);
  if (folder !== undefined && !inPlace && output === undefined) {
    throw usage(
      `${folder} is a folder: where should the sealed files go?`,
      `use --output FOLDER, or --in-place to replace the files in ${folder}`,
    );
  }
  if (folder !== undefined && output !== undefined && statIfThere(output)?.isFile() === true) {
    throw usage(`--output ${output} is a file, but a folder is sealed`, "name a folder");
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

/** Where a file's sealed form goes; undefined for stdout. */
function outputPath(
  { input }: GatheredFile,
  names: readonly string[],
  { inPlace, output }: SealOptions,
): string | undefined {
  if (inPlace) return input.path;
  if (output === undefined) return undefined;
  if (input.inFolder !== undefined) return join(output, input.inFolder);
  const isFolder =
    output.endsWith("/") ||
    statIfThere(output)?.isDirectory() === true ||
    names.some((name) => name !== "-" && statIfThere(name)?.isDirectory() === true);
  if (!isFolder) return output;
  if (input.path === undefined) {
    throw new SignetError("usage", `--output ${output} is a folder: no name for what stdin holds`, {
      hint: "name the file to write",
    });
  }
  return join(output, basename(input.path));
}

type Plan = readonly { readonly file: GatheredFile; readonly path: string | undefined }[];
type Sealed = readonly (readonly JsonObject[][])[];

function toOutputs(plan: Plan, sealed: Sealed, options: SealOptions): Output[] {
  const single = options.output;
  // Several files into one: a stream of documents.
  if (single !== undefined && plan.every(({ path }) => path === single)) {
    const files = plan.map(({ file }) => file);
    return [{ path: single, text: asOneText(files, sealed, options) }];
  }
  return plan.map(({ file, path = "" }, index) => ({
    path,
    text: asText(file, sealed[index] ?? [], options),
  }));
}

function asOneText(files: readonly GatheredFile[], sealed: Sealed, options: SealOptions): string {
  const format = formatFor(files[0], options);
  return formatManifests(sealed.flat(2), format);
}

/** The text of one file: where something in it passes through, each Secret's place is taken. */
function asText(
  file: GatheredFile,
  sealed: readonly (readonly JsonObject[])[],
  options: SealOptions,
): string {
  if (file.documents.every(({ secrets }) => secrets.length > 0)) {
    return formatManifests(sealed.flat(), formatFor(file, options));
  }
  const { text, name } = file.input;
  let result = "";
  let copied = 0;
  for (const [index, { document, secrets }] of file.documents.entries()) {
    if (secrets.length === 0) continue;
    if (options.format !== undefined && options.format !== document.format) {
      throw new SignetError(
        "usage",
        `cannot change the format of a file with other objects in it`,
        {
          hint: "leave --format out, or keep Secrets in files of their own",
          place: { file: name },
        },
      );
    }
    const written = formatManifests(sealed[index] ?? [], document.format);
    result += text.slice(copied, document.start);
    result += document.format === "yaml" ? written.replace(/^---\n/, "") : written.trimEnd();
    copied = document.end;
  }
  return result + text.slice(copied);
}

function formatFor(
  file: GatheredFile | undefined,
  { format, output }: SealOptions,
): ManifestFormat {
  if (format !== undefined) return format;
  const extension = output === undefined ? "" : extname(output).toLowerCase();
  if (extension === ".json") return "json";
  if (extension === ".yaml" || extension === ".yml") return "yaml";
  return file?.documents[0]?.document.format ?? "yaml";
}

function summarize({ files, sealedAlready, withoutSecret }: Gathered, options: SealOptions): void {
  const secrets = secretsIn(files);
  const where =
    options.output === undefined
      ? "in place"
      : `into ${join(dirname(options.output), basename(options.output))}`;
  const parts = [
    files.length === 0
      ? "nothing to seal"
      : `sealed ${count(secrets.length, "Secret")} in ${count(files.length, "file")}, ${where}`,
    ...(sealedAlready === 0 ? [] : [`${count(sealedAlready, "file")} sealed already`]),
    ...(withoutSecret === 0 ? [] : [`${count(withoutSecret, "file")} without a Secret`]),
  ];
  say(parts.join("; "));
}

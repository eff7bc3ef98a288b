// Owns: `signet seal`: gathered Secrets -> SealedSecrets, on stdout or in files.
// Does not own: reading and checking them (gather.ts), merging (merge.ts), the cipher (shared/).
// SPEC.md, "Command line", "Sealing".

import { basename, dirname, extname, join } from "node:path";
import type { Certificate } from "../shared/certificate.ts";
import { SignetError } from "../shared/errors.ts";
import { formatManifests } from "../shared/manifest.ts";
import { formatSealedSecret, seal } from "../shared/sealedsecret.ts";
import type { JsonObject } from "../shared/secret.ts";
import { type CertificateOptions, usableCertificate } from "./certificate.ts";
import { type Output, readInputs, statIfThere, writeFiles } from "./files.ts";
import {
  gather,
  type Gathered,
  type GatheredFile,
  preparing,
  type SecretOptions,
  secretsIn,
} from "./gather.ts";
import { count, printResult, say } from "./terminal.ts";

export type Format = "yaml" | "json";

export interface SealOptions extends CertificateOptions, SecretOptions {
  readonly format?: Format;
  readonly output?: string;
  readonly inPlace: boolean;
  readonly mergeInto?: string;
}

/** @throws SignetError, or an AggregateError of them; then nothing was written */
export async function runSeal(names: readonly string[], options: SealOptions): Promise<void> {
  if (options.mergeInto !== undefined) {
    const { runMerge } = await import("./merge.ts");
    await runMerge(names, { ...options, mergeInto: options.mergeInto });
    return;
  }
  checkUsage(names, options);
  const inputs = await readInputs(names, "a Secret");
  const gathered = gather(inputs, preparing(options));
  const { files } = gathered;
  const plan = files.map((file) => ({ file, path: outputPath(file, names, options) }));
  if (files.length > 0) {
    const certificate = await usableCertificate(options);
    const sealed: Sealed[number][] = [];
    for (const file of files) sealed.push(await sealFile(file, certificate));
    if (plan.every(({ path }) => path === undefined)) {
      await printResult(asOneText(files, sealed, options));
    } else {
      await writeFiles(toOutputs(plan, sealed, options));
    }
  }
  if (inputs.some(({ inFolder }) => inFolder !== undefined)) summarize(gathered, options);
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
        secrets.map(async ({ secret, scope, place }) => {
          try {
            return formatSealedSecret(await seal(secret, certificate, scope));
          } catch (error) {
            throw error instanceof SignetError ? error.at(place) : error;
          }
        }),
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

function formatFor(file: GatheredFile | undefined, { format, output }: SealOptions): Format {
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

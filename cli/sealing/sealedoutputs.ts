// Where sealed files are written, and their text.
// SPEC.md, "Command line", "Files".

import { basename, extname, join } from "node:path";
import { slashed } from "../../host/platform.ts";
import { statIfThere } from "../../host/readfile.ts";
import { rootOfNew } from "../../host/rootedfiles.ts";
import { type Output, writeFiles } from "../../host/writefiles.ts";
import { SignetError } from "../../shared/errors.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { formatManifests, type ManifestFormat } from "../../shared/manifest/manifest.ts";
import type { Input } from "../terminal/inputs.ts";
import { printResult } from "../terminal/results.ts";
import type { GatheredFile } from "./gather.ts";

/** What the command line says about the result. */
export interface OutputOptions {
  /** By default that of the output's name, or else that of the input. */
  readonly format?: ManifestFormat | undefined;
  /** A file or a folder; standard output where undefined. */
  readonly output?: string | undefined;
  /** Replace each plaintext file. */
  readonly inPlace: boolean;
}

/** A file with the sealed objects of each of its documents. */
export interface SealedOutput {
  readonly file: GatheredFile;
  /** Undefined for standard output. */
  readonly path: string | undefined;
  /** What that path must be below, if the command line names only a folder. */
  readonly root: string | undefined;
  readonly documents: readonly (readonly JsonObject[])[];
}

/**
 * Where a file's sealed form goes; undefined for standard output. `names`: all that is sealed.
 * @throws SignetError usage where a file in a folder would have no name
 */
export function outputPath(
  input: Input,
  names: readonly string[],
  { inPlace, output }: OutputOptions,
): string | undefined {
  if (inPlace) return input.path;
  if (output === undefined) return undefined;
  if (input.inFolder !== undefined) return join(output, input.inFolder);
  const isFolder =
    slashed(output).endsWith("/") ||
    statIfThere(output)?.isDirectory() === true ||
    names.some((name) => name !== "-" && statIfThere(name)?.isDirectory() === true);
  if (!isFolder) return output;
  if (input.path === undefined) {
    throw new SignetError(
      "usage",
      `--output ${output} is a folder, and standard input has no file name`,
      {
        hint: "name the file to write",
      },
    );
  }
  return join(output, basename(input.path));
}

/** Prints the sealed files, or writes them all or none. @throws SignetError usage, io */
export async function writeSealed(
  sealed: readonly SealedOutput[],
  options: OutputOptions,
): Promise<void> {
  if (sealed.length === 0) return;
  if (sealed.every(({ path }) => path === undefined)) {
    await printResult(asOneText(sealed, options));
  } else {
    await writeFiles(toOutputs(sealed, options));
  }
}

/** What the path of a file's sealed form must be below; undefined if the command line names it. */
export function outputRoot(
  input: Input,
  path: string | undefined,
  { inPlace, output }: OutputOptions,
): string | undefined {
  if (inPlace) return input.root;
  return output === undefined || path === output ? undefined : rootOfNew(output);
}

function toOutputs(sealed: readonly SealedOutput[], options: OutputOptions): Output[] {
  const single = options.output;
  // Several files into one: a stream of documents.
  if (single !== undefined && sealed.every(({ path }) => path === single)) {
    return [{ path: single, root: undefined, text: asOneText(sealed, options) }];
  }
  return sealed.map((each) => ({
    path: each.path ?? "",
    text: asText(each, options),
    root: each.root,
  }));
}

function asOneText(sealed: readonly SealedOutput[], options: OutputOptions): string {
  const objects = sealed.flatMap(({ documents }) => documents.flat());
  return formatManifests(objects, formatFor(sealed[0], options));
}

/** The text of one file. Where it has other objects, only the Secrets' documents are replaced. */
function asText(sealed: SealedOutput, options: OutputOptions): string {
  const { file, documents } = sealed;
  if (file.documents.every(({ secrets }) => secrets.length > 0)) {
    return formatManifests(documents.flat(), formatFor(sealed, options));
  }
  const { text, name } = file.input;
  let result = "";
  let copied = 0;
  for (const [index, { document, secrets }] of file.documents.entries()) {
    if (document === null || secrets.length === 0) continue;
    if (options.format !== undefined && options.format !== document.format) {
      throw new SignetError(
        "usage",
        `cannot change the format of a file with other objects in it`,
        {
          hint: "omit --format, or keep Secrets in separate files",
          place: { file: name },
        },
      );
    }
    const written = formatManifests(documents[index] ?? [], document.format);
    result += text.slice(copied, document.start);
    result += document.format === "yaml" ? written.replace(/^---\n/, "") : written.trimEnd();
    copied = document.end;
  }
  return result + text.slice(copied);
}

function formatFor(
  sealed: SealedOutput | undefined,
  { format, output }: OutputOptions,
): ManifestFormat {
  if (format !== undefined) return format;
  const extension = output === undefined ? "" : extname(output).toLowerCase();
  if (extension === ".json") return "json";
  if (extension === ".yaml" || extension === ".yml") return "yaml";
  return sealed?.file.documents[0]?.document?.format ?? "yaml";
}

// Prints objects like the original: the same order, escapes and empty lines.
// docs/kubeseal.md.

import { dirname, extname } from "node:path";
import { SignetError } from "../../shared/errors.ts";
import { formatManifests, type Json, type ManifestFormat } from "../../shared/manifest/manifest.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { stat, statIfThere } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { ioError } from "../../host/errno.ts";
import { printResult } from "../terminal/results.ts";
import type { Flags } from "./flags.ts";

/** Fields of an object and of its metadata in the order of Go's types; others follow. */
const ORDER = [
  ...["kind", "apiVersion", "metadata", "immutable", "spec", "stringData", "type"],
  ...[
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
  ],
];
const SPEC_ORDER = ["template", "data", "encryptedData"];
const TEMPLATE_ORDER = ["metadata", "type", "immutable", "data"];

function ordered(object: JsonObject, order: readonly string[]): JsonObject {
  const first = order.filter((key) => object[key] !== undefined);
  const rest = Object.keys(object).filter((key) => !order.includes(key));
  return Object.fromEntries([...first, ...rest].map((key) => [key, object[key] ?? null]));
}

function inGoOrder(object: JsonObject): JsonObject {
  const secretOrder = [...ORDER.slice(0, 4), "data", ...ORDER.slice(4)];
  const result = ordered(object, secretOrder);
  reorder(result, "metadata", ORDER);
  const spec = reorder(result, "spec", SPEC_ORDER);
  const template = spec === null ? null : reorder(spec, "template", TEMPLATE_ORDER);
  if (template !== null) reorder(template, "metadata", ORDER);
  return result;
}

function reorder(parent: JsonObject, key: string, order: readonly string[]): JsonObject | null {
  const child = asObject(parent[key] ?? null);
  return child === null ? null : (parent[key] = ordered(child, order));
}

/** Like Go, escapes characters in JSON that a browser could read as markup. */
function formatGoJson(value: Json): string {
  return JSON.stringify(value, null, 2).replace(
    /[<>&\u2028\u2029]/g,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

export function formatObjects(objects: readonly JsonObject[], format: ManifestFormat): string {
  if (format === "yaml") return formatManifests(objects, "yaml");
  return objects.map((object) => `${formatGoJson(inGoOrder(object))}\n`).join("");
}

/**
 * The format from --format, or YAML for a file named .yaml or .yml.
 * @throws SignetError usage
 */
export function formatOf(flags: Flags): ManifestFormat {
  const output = flags.text("sealed-secret-file");
  if (output !== undefined && [".yaml", ".yml"].includes(extname(output))) return "yaml";
  const format = flags.text("format") ?? "json";
  const lower = format.toLowerCase();
  if (lower === "json" || lower === "yaml") return lower;
  throw new SignetError("usage", `unsupported output format: ${format}`, { hint: "json or yaml" });
}

/**
 * Refuses a --sealed-secret-file that cannot be written, before any other work.
 * @throws SignetError io
 */
export function checkOutput(flags: Flags): void {
  const path = flags.text("sealed-secret-file");
  if (path === undefined) return;
  if (statIfThere(path)?.isDirectory() === true) {
    throw ioError("cannot write", Object.assign(new Error(), { code: "EISDIR" }), path);
  }
  try {
    stat(dirname(path));
  } catch (error) {
    throw error instanceof SignetError ? ioError("cannot write", error.cause, path) : error;
  }
}

/**
 * Prints `text`, or writes it to the --sealed-secret-file. `mode`: for plaintext, which only its
 * owner may read.
 * @throws SignetError io
 */
export async function deliver(text: string, flags: Flags, mode?: number): Promise<void> {
  const path = flags.text("sealed-secret-file");
  if (path === undefined) await printResult(text);
  else
    await writeFiles([
      { path, root: undefined, text, ...(mode === undefined ? {} : { mode, isPlain: true }) },
    ]);
}

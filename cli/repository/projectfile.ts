// The fields of signet.yaml, checked and parsed.
// SPEC.md, "Projects".

import { join, relative } from "node:path";
import { locate, SignetError } from "../../shared/errors.ts";
import { asObject, type JsonObject } from "../../shared/kubernetes/object.ts";
import { HYBRID } from "../../shared/envelopes/hybrid.ts";
import { type Json, parseManifests } from "../../shared/manifest/manifest.ts";
import { type Scope, SCOPE_NAMES, selectorScope } from "../../shared/sealing/scope.ts";
import { type PathPattern, PatternFault, pathPattern } from "./pathpattern.ts";
import { PROJECT_FILE } from "./projectfolder.ts";

/** A cluster that files of the repository are sealed for. */
export interface ProjectCluster {
  readonly name: string;
  /** Its certificate file, below the root: the current certificate, then former ones. */
  readonly certificate: string;
  /** The folder of its keys' recovery files, below the root; undefined where it does not say. */
  readonly recovery?: string;
  /** Source of the certificate: an address, or a context of the kubeconfig. */
  readonly url?: string;
  readonly context?: string;
  readonly controllerName?: string;
  readonly controllerNamespace?: string;
  /** `[NAMESPACE/]NAME` of the ConfigMap in which its controller publishes certificates. */
  readonly certificatesConfigmap?: string;
}

/** Which files are for a cluster. */
interface PathRule {
  readonly pattern: string;
  readonly cluster: string;
  readonly match: PathPattern["match"];
}

/** Files that a check accepts as they are. */
export interface AllowedFiles {
  readonly pattern: string;
  readonly reason: string;
  readonly matches: (path: string) => boolean;
}

/** Files in which each value must be hybrid. */
export interface RequiredHybrid {
  readonly matches: (path: string) => boolean;
  /** Not before. */
  readonly from: Date;
}

/** How old values of files may become. */
interface RotationRule {
  readonly matches: (path: string) => boolean;
  /** Null: as old as they like. */
  readonly maxAgeDays: number | null;
}

export interface Project {
  /** The folder that signet.yaml is in. */
  readonly root: string;
  readonly clusters: ReadonlyMap<string, ProjectCluster>;
  readonly rules: readonly PathRule[];
  readonly scope: Scope | undefined;
  /** Path of a new file below the root, with {cluster}, {namespace} and {name}. */
  readonly newFile: string;
  /** `verify` reports values whose key is older. */
  readonly maxKeyAgeDays: number | undefined;
  /** The first rule that fits a path decides. */
  readonly rotation: readonly RotationRule[];
  /** `verify` warns where the last drill is older. */
  readonly maxDrillAgeDays: number | undefined;
  /** Where `verify` refuses values that are not post-quantum. */
  readonly requiredHybrid: readonly RequiredHybrid[];
  /** Files in which plaintext is allowed. */
  readonly allow: readonly AllowedFiles[];
  /** Files that `signet verify` does not check, such as examples without a real SealedSecret. */
  readonly unverified: readonly AllowedFiles[];
}

const FIELDS =
  "clusters paths scope selector newFile maxKeyAge maxDrillAge require rotation scan verify".split(
    " ",
  );
const CLUSTER_FIELDS = ["certificate", "url", "context", "controller", "recovery"];
const CONTROLLER_FIELDS = ["name", "namespace", "certificates"];

/** @throws SignetError project-invalid, manifest-syntax */
export function parseProject(text: string, root: string): Project {
  const place = { file: relative(process.cwd(), join(root, PROJECT_FILE)) || PROJECT_FILE };
  return locate(place, () => {
    const documents = parseManifests(text);
    const top = documents.length === 0 ? {} : asObject(documents[0]?.value ?? null);
    if (top === null || documents.length > 1) throw invalid("must be one mapping", "");
    known(top, FIELDS, "");
    const clusters = new Map(
      Object.entries(mappingAt(top, "clusters")).map(([name, value]) => {
        const field = `clusters.${name}`;
        return [name, parseCluster(name, mappingOf(value, field), field)] as const;
      }),
    );
    const matcher = matcherOf("paths");
    const rules = Object.entries(mappingAt(top, "paths")).map(([pattern, value]) => {
      const field = `paths.${pattern}`;
      const cluster = textOf(value, field);
      if (!clusters.has(cluster)) {
        throw invalid(`names a cluster that is not under clusters: ${cluster}`, field);
      }
      return { pattern, cluster, match: matcher(pattern, field) };
    });
    const scan = mappingAt(top, "scan");
    known(scan, ["allow"], "scan.");
    const verify = mappingAt(top, "verify");
    known(verify, ["allow"], "verify.");
    return {
      root,
      clusters,
      rules,
      scope: scopeAt(top),
      newFile: newFileAt(top),
      maxKeyAgeDays: daysAt(top, "maxKeyAge"),
      maxDrillAgeDays: daysAt(top, "maxDrillAge"),
      rotation: parseRotation(mappingAt(top, "rotation")),
      requiredHybrid: parseRequire(top["require"] ?? []),
      unverified: parseAllow(verify["allow"] ?? [], "verify.allow"),
      allow: parseAllow(scan["allow"] ?? [], "scan.allow"),
    };
  });
}

/** The beginning of an address that a certificate can be fetched from. */
export const ADDRESS = /^(https?|file):\/\//;

function parseCluster(name: string, object: JsonObject, field: string): ProjectCluster {
  if (!/^[A-Za-z0-9][-._A-Za-z0-9]*$/.test(name)) {
    throw invalid("a cluster's name may contain only letters, digits, '-', '_' and '.'", field);
  }
  known(object, CLUSTER_FIELDS, `${field}.`);
  const controller = mappingAt(object, "controller", `${field}.`);
  known(controller, CONTROLLER_FIELDS, `${field}.controller.`);
  const url = optionalText(object, "url", `${field}.`);
  if (url !== undefined && !ADDRESS.test(url)) {
    throw invalid(
      "is not an address",
      `${field}.url`,
      "such as https://seal.example.org/v1/cert.pem",
    );
  }
  const context = optionalText(object, "context", `${field}.`);
  const recovery = pathAt(object, "recovery", `${field}.`);
  const controllerName = optionalText(controller, "name", `${field}.controller.`);
  const controllerNamespace = optionalText(controller, "namespace", `${field}.controller.`);
  const certificates = optionalText(controller, "certificates", `${field}.controller.`);
  return {
    name,
    certificate: pathAt(object, "certificate", `${field}.`) ?? `certificates/${name}.pem`,
    ...(recovery === undefined ? {} : { recovery }),
    ...(url === undefined ? {} : { url }),
    ...(context === undefined ? {} : { context }),
    ...(controllerName === undefined ? {} : { controllerName }),
    ...(controllerNamespace === undefined ? {} : { controllerNamespace }),
    ...(certificates === undefined ? {} : { certificatesConfigmap: certificates }),
  };
}

function parseAllow(value: Json, list: string): AllowedFiles[] {
  if (!Array.isArray(value)) throw invalid("must be a list", list);
  const matcher = matcherOf(list);
  return value.map((each, index) => {
    const field = `${list}[${index}]`;
    const object = mappingOf(each, field);
    known(object, ["files", "reason"], `${field}.`);
    const pattern = textOf(object["files"] ?? null, `${field}.files`);
    const reason = textOf(object["reason"] ?? null, `${field}.reason`);
    if (reason.trim() === "") throw invalid("is required", `${field}.reason`);
    const match = matcher(withBelow(pattern), `${field}.files`);
    return { pattern, reason, matches: (path: string) => match(path) !== null };
  });
}

/** `hybrid`, or a list of where and from when. */
function parseRequire(value: Json): RequiredHybrid[] {
  const list = Array.isArray(value) ? value : [{ algorithm: value, files: "**" }];
  const matcher = matcherOf("require");
  return list.map((each, index) => {
    const field = Array.isArray(value) ? `require[${index}]` : "require";
    const object = mappingOf(each, field);
    known(object, ["algorithm", "files", "from"], `${field}.`);
    if (object["algorithm"] !== HYBRID) {
      const place = Array.isArray(value) ? `${field}.algorithm` : field;
      throw invalid(`must be ${HYBRID}`, place, "or a list of {algorithm: hybrid, files, from}");
    }
    const pattern = textOf(object["files"] ?? null, `${field}.files`);
    const match = matcher(withBelow(pattern), `${field}.files`);
    const from = dateOf(optionalText(object, "from", `${field}.`) ?? "0001-01-01", `${field}.from`);
    return { matches: (path: string) => match(path) !== null, from };
  });
}

/** Patterns of paths, each with a number of days or `never`. */
function parseRotation(object: JsonObject): RotationRule[] {
  const matcher = matcherOf("rotation");
  return Object.entries(object).map(([pattern, value]) => {
    const field = `rotation.${pattern}`;
    const match = matcher(withBelow(pattern), field);
    const text = typeof value === "string" ? value : "";
    const maxAgeDays = text === "never" ? null : parseDays(text, field);
    return { matches: (path: string) => match(path) !== null, maxAgeDays };
  });
}

/** The beginning of a day in UTC. */
function dateOf(text: string, field: string): Date {
  const date = new Date(`${text}T00:00:00Z`);
  const isDay = !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
  if (/^\d{4}-\d\d-\d\d$/.test(text) && isDay) return date;
  throw invalid("is not a day", field, "such as 2027-01-31");
}

/** A folder stands for all that is below it, as in a .gitignore. */
function withBelow(pattern: string): string {
  return pattern === "" || pattern.endsWith("**") ? pattern : `${pattern.replace(/\/+$/, "")}/**`;
}

/** Each file's path is tried with each pattern. */
const MAX_PATTERNS = 1000;
/** In all patterns of a list. */
const MAX_PASSES = 2000;

/** Reads the patterns of one list, as long as they are not too many. */
function matcherOf(list: string): (pattern: string, field: string) => PathPattern["match"] {
  let patterns = 0;
  let passes = 0;
  return (pattern, field) => {
    const read = patternAt(pattern, field);
    patterns += read.size;
    passes += read.passes;
    const hint = "use stars, {namespace} and {name} for the parts that differ";
    if (patterns > MAX_PATTERNS) {
      const reason = `has more than ${MAX_PATTERNS} patterns, counted after braces are expanded`;
      throw invalid(reason, list, hint);
    }
    if (passes > MAX_PASSES) {
      const reason = `has more than ${MAX_PASSES} stars, {namespace} and {name} in its patterns, counted after braces are expanded`;
      throw invalid(reason, list, "write fewer patterns, or patterns with fewer stars");
    }
    return read.match;
  };
}

function patternAt(pattern: string, field: string): PathPattern {
  if (pattern === "" || leavesRoot(pattern)) {
    throw invalid(
      "is not a pattern of paths below this folder",
      field,
      "such as prod/** or *.yaml",
    );
  }
  try {
    return pathPattern(pattern);
  } catch (error) {
    if (!(error instanceof PatternFault)) throw error;
    const hint = "a pattern may have *, **, ?, [a-z], {a,b}, {namespace} and {name}";
    throw invalid(error.message, field, hint);
  }
}

function invalid(reason: string, field: string, hint?: string): SignetError {
  return new SignetError("project-invalid", reason, {
    ...(hint === undefined ? {} : { hint }),
    ...(field === "" ? {} : { place: { field } }),
  });
}

function known(object: JsonObject, fields: readonly string[], prefix: string): void {
  const other = Object.keys(object).find((field) => !fields.includes(field));
  if (other === undefined) return;
  throw invalid("unknown field", prefix + other, `valid fields: ${fields.join(", ")}`);
}

/** Whether a path relative to the root leads out of it. */
function leavesRoot(path: string): boolean {
  return path.startsWith("/") || /(^|\/)\.\.(\/|$)/.test(path);
}

/** A file below the root: signet.yaml must not name files elsewhere. */
function pathAt(object: JsonObject, field: string, prefix: string): string | undefined {
  const path = optionalText(object, field, prefix);
  if (path !== undefined && leavesRoot(path)) {
    throw invalid("is not a path below this folder", prefix + field);
  }
  return path;
}

function newFileAt(top: JsonObject): string {
  const path = pathAt(top, "newFile", "") ?? DEFAULT_NEW_FILE;
  if (!path.includes("{name}") || /\{(?!(cluster|namespace|name)\})/.test(path)) {
    throw invalid(
      "must be a path with {name}, and optionally {cluster} and {namespace}",
      "newFile",
      `such as ${DEFAULT_NEW_FILE}`,
    );
  }
  return path;
}

function mappingOf(value: Json, field: string): JsonObject {
  const object = asObject(value ?? {});
  if (object === null) throw invalid("must be a mapping", field);
  return object;
}

function mappingAt(object: JsonObject, field: string, prefix = ""): JsonObject {
  return mappingOf(object[field] ?? {}, prefix + field);
}

function textOf(value: Json, field: string): string {
  if (typeof value === "string" && value !== "") return value;
  // `n` and `1` look like text, but are not.
  const isBare = typeof value === "boolean" || typeof value === "number";
  throw invalid("must be text", field, isBare ? "put it in quotes" : undefined);
}

function optionalText(object: JsonObject, field: string, prefix: string): string | undefined {
  const value = object[field] ?? null;
  return value === null ? undefined : textOf(value, prefix + field);
}

function scopeAt(top: JsonObject): Scope | undefined {
  const text = optionalText(top, "scope", "");
  const selector = optionalText(top, "selector", "");
  if (text === undefined && selector === undefined) return undefined;
  const scope = SCOPE_NAMES.find((each) => each === text);
  if (scope === undefined) throw invalid(`must be one of ${SCOPE_NAMES.join(", ")}`, "scope");
  if (scope !== "selector") {
    if (selector === undefined) return scope;
    throw invalid("is only valid with scope: selector", "selector");
  }
  if (selector === undefined) {
    throw invalid("is required with scope: selector", "selector", "such as team=a");
  }
  try {
    return selectorScope(selector);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    throw invalid(error.message, "selector");
  }
}

function daysAt(object: JsonObject, field: string): number | undefined {
  const value = object[field] ?? null;
  if (value === null) return undefined;
  return parseDays(typeof value === "string" ? value : "", field);
}

/** `90d` as 90. @throws SignetError project-invalid */
export function parseDays(text: string, field: string): number {
  const days = Number(/^(\d{1,5})d$/.exec(text)?.[1]);
  if (Number.isInteger(days)) return days;
  throw invalid("must be a number of days", field, "such as 90d");
}

export const DEFAULT_NEW_FILE = "{cluster}/{namespace}/{name}.yaml";

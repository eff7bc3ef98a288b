// Generates files from the chart's sources, so that each fact is written only once: the table in
// the chart's README.md and values.schema.json from the comments in values.yaml, and
// deploy/signet.yaml from the templates.

import { execFileSync } from "node:child_process";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { load } from "js-yaml";
import { format, resolveConfig } from "prettier";
import { obtainParts } from "../test/parts/build.ts";

const CHART = "charts/signet";
const VALUES = `${CHART}/values.yaml`;
const SCHEMA = `${CHART}/values.schema.json`;
const README = `${CHART}/README.md`;
const MANIFEST = "deploy/signet.yaml";

type Schema = Record<string, unknown>;

/**
 * The schemas that `# @schema NAME` refers to. There is also `object`, for an object whose fields
 * Kubernetes defines.
 */
const DEFINITIONS: Record<string, Schema> = {
  name: { type: "string", pattern: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" },
  nameOrEmpty: { type: "string", pattern: "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$" },
  duration: {
    description: "A Go duration: hours, minutes and seconds. There is no unit for days.",
    type: "string",
    pattern: "^(0|([0-9]+(\\.[0-9]+)?(h|m|s))+)$",
  },
  interval: {
    description: "A duration of Prometheus', or empty.",
    type: "string",
    pattern: "^([0-9]+(ms|s|m|h))*$",
  },
  port: { type: "integer", minimum: 1, maximum: 65535 },
  serviceType: { enum: ["ClusterIP", "NodePort", "LoadBalancer"] },
  strings: { type: "object", additionalProperties: { type: "string" } },
  peer: {
    description: "One of a NetworkPolicy's `from` or `to`.",
    type: "object",
    additionalProperties: false,
    minProperties: 1,
    properties: {
      podSelector: { type: "object" },
      namespaceSelector: { type: "object" },
      ipBlock: { type: "object", required: ["cidr"] },
    },
  },
  ingressTls: {
    type: "object",
    additionalProperties: false,
    properties: {
      secretName: { type: "string", minLength: 1 },
      hosts: { type: "array", items: { type: "string", minLength: 1 } },
    },
  },
  subject: {
    type: "object",
    additionalProperties: false,
    required: ["kind", "name"],
    properties: {
      apiGroup: { type: "string" },
      kind: { enum: ["User", "Group", "ServiceAccount"] },
      name: { type: "string", minLength: 1 },
      namespace: { $ref: "#/definitions/name" },
    },
  },
};

/** One value, or one group of values, as described in values.yaml. */
export interface Entry {
  readonly path: readonly string[];
  readonly description: string;
  readonly default: unknown;
  /** Undefined for a group, whose values are separate entries. */
  readonly schema?: Schema;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Returns the schema type of a default value. @throws Error if the type cannot be inferred */
function typeOf(value: unknown, path: string): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "string" || typeof value === "boolean") return typeof value;
  if (Number.isInteger(value)) return "integer";
  throw new Error(`${VALUES}: ${path} needs a line "# @schema ..."`);
}

function schemaOf(annotation: string, value: unknown, path: string): Schema {
  if (annotation === "object") return { type: "object" };
  if (annotation in DEFINITIONS) return { $ref: `#/definitions/${annotation}` };
  const said = annotation === "" ? {} : load(annotation);
  if (!isObject(said)) throw new Error(`${VALUES}: ${path}: no schema is named ${annotation}`);
  const hasType = ["type", "enum", "anyOf"].some((word) => word in said);
  return hasType ? said : { type: typeOf(value, path), ...said };
}

/**
 * Reads the entries of a values file, each with the comment directly above it. If a value is not a
 * group, everything below it is its default.
 * @throws Error if an entry has no comment
 */
export function readEntries(text: string): Entry[] {
  const entries: Entry[] = [];
  const open: { key: string; indent: number; isGroup: boolean }[] = [];
  let comment: string[] = [];
  for (const line of text.split("\n")) {
    const [, said] = /^ *# ?(.*)$/.exec(line) ?? [];
    if (said !== undefined) {
      comment.push(said);
      continue;
    }
    const [, { length: indent } = "", key] = /^( *)([A-Za-z]\w*):/.exec(line) ?? [];
    const above = comment;
    comment = [];
    if (key === undefined) continue;
    while ((open.at(-1)?.indent ?? -1) >= indent) open.pop();
    if (open.at(-1)?.isGroup === false) continue;
    const path = [...open.map((each) => each.key), key];
    const name = path.join(".");
    const value = path.reduce<unknown>(
      (object, part) => (isObject(object) ? object[part] : undefined),
      load(text),
    );
    const annotation =
      above
        .find((each) => each.startsWith("@schema "))
        ?.slice(8)
        .trim() ?? "";
    const description = above.filter((each) => !each.startsWith("@schema ")).join(" ");
    if (description === "") throw new Error(`${VALUES}: ${name} has no comment above it`);
    const isGroup = isObject(value) && annotation === "";
    open.push({ key, indent, isGroup });
    entries.push({
      path,
      description,
      default: value,
      ...(isGroup ? {} : { schema: schemaOf(annotation, value, name) }),
    });
  }
  return entries;
}

/** Whether an entry must not be null: a group, or a value whose default is not empty. */
function isRequired({ schema, default: value }: Entry): boolean {
  if (schema === undefined) return true;
  if (Array.isArray(value)) return "minItems" in schema;
  return !isObject(value) && value !== null && value !== "";
}

function formatSchema(entries: readonly Entry[]): Schema {
  const below = (path: readonly string[]): Schema => {
    const children = entries.filter(
      (entry) =>
        entry.path.length === path.length + 1 && path.every((part, i) => entry.path[i] === part),
    );
    const required = children.filter(isRequired).map((entry) => entry.path.at(-1));
    return {
      type: "object",
      additionalProperties: false,
      ...(required.length === 0 ? {} : { required }),
      properties: Object.fromEntries(
        children.map(({ path: at, description, schema }) => {
          // In the JSON Schema draft that Helm supports, $ref disables all keywords next to it.
          const said = schema !== undefined && "$ref" in schema ? { allOf: [schema] } : schema;
          return [at.at(-1), { description, ...(said ?? below(at)) }];
        }),
      ),
    };
  };
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Values of the Signet chart",
    $comment: "Made from values.yaml by `npm run chart`.",
    ...below([]),
    definitions: DEFINITIONS,
  };
}

function formatTable(entries: readonly Entry[]): string {
  const escaped = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
  const rows = entries.map(({ path, description, default: value, schema }) => {
    const shown = schema === undefined ? "" : `\`${JSON.stringify(value)}\``;
    return `| \`${path.join(".")}\` | ${escaped(shown)} | ${escaped(description)} |`;
  });
  return ["| value | default | |", "|---|---|---|", ...rows].join("\n");
}

/**
 * Returns the files generated from values.yaml, with their expected content.
 * @throws Error if an entry lacks a comment or a type
 */
export async function generated(): Promise<{ path: string; text: string }[]> {
  const entries = readEntries(readFileSync(VALUES, "utf8"));
  const config = (await resolveConfig(SCHEMA)) ?? {};
  const schema = JSON.stringify(formatSchema(entries));
  const readme = readFileSync(README, "utf8");
  const [before, after] = [readme.split("<!-- values -->")[0], readme.split("<!-- /values -->")[1]];
  if (before === undefined || after === undefined) throw new Error(`${README} has no place for it`);
  const table = `<!-- values -->\n\n${formatTable(entries)}\n\n<!-- /values -->`;
  return [
    { path: SCHEMA, text: await format(schema, { ...config, parser: "json" }) },
    { path: README, text: before + table + after },
  ];
}

/** Renders the chart with its default values, for users without Helm. */
export function renderManifest(helm: string): string {
  const args = ["template", "signet", CHART, "--namespace", "kube-system"];
  return execFileSync(helm, args, { encoding: "utf8" });
}

if (realpathSync(process.argv[1] ?? "").endsWith("/charts/generate.mjs")) {
  for (const { path, text } of await generated()) writeFileSync(path, text);
  const { helm } = await obtainParts((line) => process.stderr.write(`${line}\n`), ["helm"]);
  writeFileSync(MANIFEST, renderManifest(helm ?? "helm"));
}

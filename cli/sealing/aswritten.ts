// Finds values of a mapping that YAML reads as another text than they are written.
// SPEC.md, "Secrets".

import type { Entry, MappingNode, Node, ScalarNode } from "../../shared/manifest/tree.ts";

/** What stands between a key and its value: the colon, then anchors and tags. */
const MARK = /^\s*:\s*([&!])(\S*)/;
const BLOCK_MARK = /([|>])[-+0-9]*[ \t]*(?:#[^\n]*)?(?:\r?\n|$)/;
/** Tags that name what the value is anyway, or that another check refuses. */
const KNOWN_TAG = /^(?:![a-z]+|<tag:yaml\.org,2002:[a-z]+>)?$/;

export const COMMENT_IS_DROPPED =
  'text after " #" is a comment and would be dropped: put the value in quotes';

/** The nodes of a tree that an alias refers to, and the keys, which one may refer to as well. */
export function aliasedIn(root: Node): ReadonlySet<Node> {
  const found = new Set<Node>();
  const visit = (node: Node): void => {
    if (node.type === "alias") found.add(node.target);
    else if (node.type === "sequence") node.items.forEach(visit);
    else if (node.type === "mapping") {
      for (const { keyNode, value } of node.entries) {
        found.add(keyNode);
        visit(value);
      }
    }
  };
  visit(root);
  return found;
}

/**
 * Returns why the value of an entry is not read as it is written in `text`, or undefined. It names
 * characters that mean something to YAML, and no other text. `aliased`: see `aliasedIn`.
 */
export function whyMisread(
  text: string,
  { keyEnd, value }: Entry,
  aliased: ReadonlySet<Node>,
): string | undefined {
  if (value.type === "alias") return undefined;
  const before = text.slice(keyEnd, value.start);
  const [, mark, name = ""] = (value.marked ? MARK.exec(before) : null) ?? [];
  const style = value.type === "scalar" ? value.style : undefined;
  const isEmpty = style === "empty";
  // Before quotes, an anchor is meant as one.
  const isUnused = style === "plain" && !aliased.has(value);
  if (mark === "&" && (isEmpty || isUnused)) return mustBeQuoted("&");
  if (mark === "!" && (isEmpty || !KNOWN_TAG.test(name))) return mustBeQuoted("!");
  if (value.type === "scalar") return whyScalarIsMisread(text, before, value);
  return value.flow ? mustBeQuoted(text.charAt(value.start)) : undefined;
}

function whyScalarIsMisread(text: string, before: string, node: ScalarNode): string | undefined {
  const { style, resolved } = node;
  if (style === "block") {
    if (resolved.value !== "") return undefined;
    const [, mark = "|"] = BLOCK_MARK.exec(before) ?? [];
    return `no text is indented below "${mark}"; a value that begins with it must be in quotes`;
  }
  if (style !== "plain" && style !== "empty") return undefined;
  if (matchAt(/:?[ \t]+#\S/y, text, node.end) !== undefined) return COMMENT_IS_DROPPED;
  if (style === "empty") return undefined;
  const behind = matchAt(/[ \t]*(?=\r?(?:\n|$))/y, text, node.end) ?? "";
  if (/: +\t[ \t]*$/.test(before) || behind.includes("\t")) {
    return "a value that begins or ends with a tab must be in quotes";
  }
  const written = text.slice(node.start, node.end);
  const isChanged = resolved.kind === "boolean" && written !== String(resolved.value);
  return isChanged ? whyTyped(node) : undefined;
}

/** Returns as which type the value of an entry is read, or undefined if it is read as text. */
export function whyTyped(value: Node): string | undefined {
  if (value.type === "alias") return whyTyped(value.target);
  if (value.type !== "scalar" || value.style === "empty") return undefined;
  switch (value.resolved.kind) {
    case "null":
      return "is read as nothing (null), not as text";
    case "boolean":
      return "is read as true or false, not as text";
    case "integer":
    case "float":
      return "is read as a number, not as text";
    case "string":
      return undefined;
  }
}

/** Whether a comment follows a value without quotes on its line. */
export function isCommented(text: string, { style, end }: ScalarNode): boolean {
  return style === "plain" && matchAt(/[ \t]+#/y, text, end) !== undefined;
}

/** Matches a sticky pattern. To search to the end of the line could take the square of its length. */
function matchAt(pattern: RegExp, text: string, offset: number): string | undefined {
  pattern.lastIndex = offset;
  return pattern.exec(text)?.[0];
}

function mustBeQuoted(character: string): string {
  return `a value that begins with "${character}" must be in quotes`;
}

/** The mappings of a tree's objects: the root, or the items of a List. */
export function objectNodes(root: Node): MappingNode[] {
  if (root.type !== "mapping") return [];
  const items = root.entries.find(({ key }) => key === "items")?.value;
  return items?.type === "sequence" ? items.items.flatMap(objectNodes) : [root];
}

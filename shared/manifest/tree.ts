// Defines the tree of a parsed document, and functions to query it.

import type { Resolved } from "./scalar.ts";

/** Offsets in the parsed text, in UTF-16 units; `end` is exclusive. */
interface Span {
  readonly start: number;
  readonly end: number;
  /** Whether the node has an anchor or a tag. */
  readonly marked: boolean;
}

export interface ScalarNode extends Span {
  readonly type: "scalar";
  readonly style: "plain" | "single" | "double" | "block" | "empty";
  readonly resolved: Resolved;
  /** Whether Kubernetes reads the scalar differently than it looks. */
  readonly surprising: boolean;
}

export interface Entry {
  readonly key: string;
  readonly keyNode: ScalarNode;
  /** The start of the key, or of its anchor or tag. */
  readonly start: number;
  /** The end of the key, before the colon. */
  readonly keyEnd: number;
  readonly value: Node;
  /** Whether the entry comes from a merge key `<<`. */
  readonly merged: boolean;
}

export interface MappingNode extends Span {
  readonly type: "mapping";
  readonly flow: boolean;
  readonly entries: Entry[];
}

export interface SequenceNode extends Span {
  readonly type: "sequence";
  readonly flow: boolean;
  readonly items: Node[];
}

export interface AliasNode extends Span {
  readonly type: "alias";
  readonly target: Node;
}

export type Node = ScalarNode | MappingNode | SequenceNode | AliasNode;

/**
 * Throws a SignetError for a fault at an offset. `reason` must not contain text of the input.
 * `field`: the keys that lead to the fault, where they are known.
 */
export type Fail = (
  reason: string,
  offset: number,
  code?: "manifest-syntax" | "manifest-ambiguous",
  field?: string,
) => never;

/** Maximum nesting depth, counted through aliases. */
export const MAX_DEPTH = 200;

/** Returns the number of levels in the tree, counted through aliases; 1 for a scalar. */
export function height(node: Node): number {
  switch (node.type) {
    case "scalar":
      return 1;
    case "alias":
      return height(node.target);
    case "sequence":
      return 1 + node.items.reduce((most, item) => Math.max(most, height(item)), 0);
    case "mapping":
      return 1 + node.entries.reduce((most, { value }) => Math.max(most, height(value)), 0);
  }
}

interface Index {
  readonly entries: ReadonlyMap<string, Entry>;
  /** Whether an entry comes from a merge key. */
  readonly merged: boolean;
}

/** Of each mapping that was asked before: a search for each key would be slow. */
const indexes = new WeakMap<MappingNode, Index>();

export function indexOf(node: MappingNode): Index {
  let index = indexes.get(node);
  if (index === undefined) {
    index = {
      entries: new Map(node.entries.map((entry) => [entry.key, entry])),
      merged: node.entries.some(({ merged }) => merged),
    };
    indexes.set(node, index);
  }
  return index;
}

/** Finds the node at a path of keys and list positions; follows aliases. */
export function nodeAt(root: Node, path: readonly (string | number)[]): Node | undefined {
  let node: Node | undefined = root;
  for (const step of path) {
    while (node?.type === "alias") node = node.target;
    if (node?.type === "mapping") {
      node = indexOf(node).entries.get(String(step))?.value;
    } else if (node?.type === "sequence") {
      node = node.items[Number(step)];
    } else {
      return undefined;
    }
  }
  return node;
}

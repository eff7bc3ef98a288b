// The tree that a document is read into, and what can be asked of it.

import type { Resolved } from "./scalar.ts";

/** Offsets are of UTF-16 units in the text that was given; `end` is exclusive. */
interface Span {
  readonly start: number;
  readonly end: number;
  /** True where an anchor or a tag stands before the node. */
  readonly marked: boolean;
}

export interface ScalarNode extends Span {
  readonly type: "scalar";
  readonly style: "plain" | "single" | "double" | "block" | "empty";
  readonly resolved: Resolved;
  /** True where Kubernetes reads it otherwise than it looks. */
  readonly surprising: boolean;
}

export interface Entry {
  readonly key: string;
  readonly keyNode: ScalarNode;
  /** Where the key, with an anchor or tag before it, begins. */
  readonly start: number;
  /** Where the written key ends; the colon comes after it. */
  readonly keyEnd: number;
  readonly value: Node;
  /** True where a merge key `<<` brought the entry in. */
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

/** Throws the SignetError for a fault at an offset. `reason` never carries text of the input. */
export type Fail = (
  reason: string,
  offset: number,
  code?: "manifest-syntax" | "manifest-ambiguous",
) => never;

/** Deepest nesting that is read, aliases followed. */
export const MAX_DEPTH = 200;

/** Levels of the tree, aliases followed; 1 for a scalar. */
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

/** The node that a path of keys and list positions leads to, aliases followed. */
export function nodeAt(root: Node, path: readonly (string | number)[]): Node | undefined {
  let node: Node | undefined = root;
  for (const step of path) {
    while (node?.type === "alias") node = node.target;
    if (node?.type === "mapping") {
      node = node.entries.find((entry) => entry.key === String(step))?.value;
    } else if (node?.type === "sequence") {
      node = node.items[Number(step)];
    } else {
      return undefined;
    }
  }
  return node;
}

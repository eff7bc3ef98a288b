// Owns: the text that `signet edit` shows in an editor, and what a changed one asks for.
// Does not own: the editor (edit.ts), sealing. SPEC.md, "Command line", "Editing".

import { locate, SignetError } from "../../shared/errors.ts";
import { formatEntry, formatString, type Json, parseManifests } from "../../shared/manifest.ts";
import type { ItemChanges } from "../../shared/sealedsecret.ts";
import { asObject, isItemName } from "../../shared/secret.ts";

/** A SealedSecret as it is shown. */
export interface ShownObject {
  /** `NAMESPACE/NAME`; no two of a buffer are the same. */
  readonly name: string;
  /** Every item with its value, or null where that is not known or not text. */
  readonly items: ReadonlyMap<string, string | null>;
}

const placeholder = (item: string): string => `<sealed: ${item}>`;
const PLACEHOLDER = /^<sealed: ([-._a-zA-Z0-9]+)>$/;

const HELP = [
  "Change what is behind a colon to give an item that value, which is sealed when you save.",
  "A new line adds an item; a line taken away removes one; another word before the colon renames it.",
  "What stands as <sealed: ...> keeps its value. Leave everything as it is to give up.",
];

/** `notes`: comment lines above all. */
export function formatBuffer(objects: readonly ShownObject[], notes: readonly string[]): string {
  const comments = [...notes, "", ...HELP].map((line) => (line === "" ? "#" : `# ${line}`));
  const bodies = objects.map(({ name, items }) => {
    const entries = [...items].flatMap(([item, value]) =>
      formatEntry(item, value ?? placeholder(item), "  "),
    );
    return [`${formatString(name)}:${entries.length === 0 ? " {}" : ""}`, ...entries];
  });
  return [...comments, "", ...bodies.flat(), ""].join("\n");
}

/** `text` with an error told above it, in place of one that was told before. */
export function withError(text: string, message: string): string {
  const mark = "# ERROR: ";
  const lines = text.split("\n").filter((line) => !line.startsWith(mark));
  return [`${mark}${message}`, ...lines].join("\n");
}

/**
 * What a buffer asks for, by the object's name; objects that stay as they are are left out.
 * @throws SignetError usage; it names items and lines, and quotes no value
 */
export function parseBuffer(
  text: string,
  objects: readonly ShownObject[],
): ReadonlyMap<string, ItemChanges> {
  const documents = parseManifests(text);
  const [surprise] = documents.flatMap(({ surprises }) => surprises);
  if (surprise !== undefined) {
    throw new SignetError("usage", `line ${surprise.line}: is not read as text: put it in quotes`);
  }
  const top = asObject(documents[0]?.value ?? null);
  if (top === null || documents.length > 1) {
    throw new SignetError("usage", "the file is to hold the SealedSecrets that it began with");
  }
  const other = Object.keys(top).find((key) => !objects.some(({ name }) => name === key));
  if (other !== undefined) {
    throw new SignetError(
      "usage",
      "a SealedSecret's own name cannot be changed here, and items stand two spaces below it",
    );
  }
  const changes = new Map<string, ItemChanges>();
  for (const object of objects) {
    const value = top[object.name];
    if (value === undefined) {
      throw new SignetError("usage", `${object.name} is missing; remove its file to remove it`);
    }
    const change = changesOf(object, value);
    if (change !== null) changes.set(object.name, change);
  }
  return changes;
}

function changesOf({ name, items }: ShownObject, value: Json): ItemChanges | null {
  const after = asObject(value ?? {});
  if (after === null) throw new SignetError("usage", `below ${name} stand items, one a line`);
  const set = new Map<string, Uint8Array>();
  const rename = new Map<string, string>();
  const kept = new Set<string>();
  for (const [item, text] of Object.entries(after)) {
    locate({ object: name }, () => {
      // Not quoted: `password:value`, without a space, makes a name of a value.
      if (!isItemName(item)) {
        throw new SignetError("usage", "there is a line whose name is none for an item");
      }
      if (typeof text !== "string" || text === "") {
        throw new SignetError("usage", "has no text: put it in quotes, or remove the line", {
          place: { field: item },
        });
      }
      const source = PLACEHOLDER.exec(text)?.[1];
      if (source === undefined) {
        if (items.get(item) === text) kept.add(item);
        else set.set(item, new TextEncoder().encode(text));
        return;
      }
      if (!items.has(source) || kept.has(source)) {
        throw new SignetError(
          "usage",
          "stands for a sealed value that is not there, or is used twice",
          {
            place: { field: item },
          },
        );
      }
      kept.add(source);
      if (source !== item) rename.set(source, item);
    });
  }
  const unset = [...items.keys()].filter((item) => !kept.has(item) && !set.has(item));
  return set.size + rename.size + unset.length === 0 ? null : { set, unset, rename };
}

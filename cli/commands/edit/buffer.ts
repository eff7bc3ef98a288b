// The text that `signet edit` shows in an editor, and the changes that an edited text asks for.
// SPEC.md, "Changing values".

import { locate, SignetError } from "../../../shared/errors.ts";
import {
  formatEntry,
  formatString,
  type Json,
  parseManifests,
} from "../../../shared/manifest/manifest.ts";
import type { ItemChanges } from "../../../shared/sealing/seal.ts";
import { asObject } from "../../../shared/kubernetes/object.ts";
import { isItemName } from "../../../shared/kubernetes/secret.ts";

/** A SealedSecret as it is shown. */
export interface ShownObject {
  /** `NAMESPACE/NAME`; unique in a buffer. */
  readonly name: string;
  /** Every item with its value; null where it is not known or not text. */
  readonly items: ReadonlyMap<string, string | null>;
}

const placeholder = (item: string): string => `<sealed: ${item}>`;
/** A line with a comment after a value without quotes. */
const COMMENT_BEHIND = /^ {2}[-._a-zA-Z0-9]+:[ \t]+[^"'|>\s#].*[ \t]#/;
const PLACEHOLDER = /^<sealed: ([-._a-zA-Z0-9]+)>$/;

const HELP = [
  "Change what is between the quotes to give an item that value, which is sealed when you save.",
  "A quote in it is written twice, all else as it is. Several lines stand, indented, below `ITEM: |`.",
  "A new line adds an item; a line taken away removes one; another word before the colon renames it.",
  "What stands as <sealed: ...> keeps its value. Leave everything as it is to give up.",
];

/** `notes`: comment lines at the top. */
export function formatBuffer(objects: readonly ShownObject[], notes: readonly string[]): string {
  const comments = [...notes, "", ...HELP].map((line) => (line === "" ? "#" : `# ${line}`));
  const bodies = objects.map(({ name, items }) => {
    const entries = [...items].flatMap(([item, value]) =>
      // A value that looks like a placeholder would be read as one. Between single quotes a
      // backslash is an ordinary character, between double quotes it is not.
      value === null || PLACEHOLDER.test(value)
        ? [`  ${formatString(item)}: '${placeholder(item)}'`]
        : formatEntry(item, value, "  "),
    );
    return [`${formatString(name)}:${entries.length === 0 ? " {}" : ""}`, ...entries];
  });
  return [...comments, "", ...bodies.flat(), ""].join("\n");
}

/** Whether only comments are left: emptying the file cancels. */
export function isEmptied(text: string): boolean {
  return text.split("\n").every((line) => /^\s*(#|$)/.test(line));
}

const ERROR_MARK = "# ERROR: ";

/**
 * `text` with an error above it, in place of an earlier one; the error's line counts from the new
 * top.
 */
export function withError(text: string, { message, place }: SignetError): string {
  const lines = text.split("\n");
  const kept = lines.filter((line) => !line.startsWith(ERROR_MARK));
  const line =
    place.line === undefined
      ? undefined
      : `line ${place.line + 1 - lines.slice(0, place.line).filter((each) => each.startsWith(ERROR_MARK)).length}`;
  const words = [line, place.object, place.field, message].filter(Boolean).join(": ");
  return [`${ERROR_MARK}${words}`, ...kept].join("\n");
}

/**
 * The changes that a buffer asks for, by the object's name, without unchanged objects.
 * @throws SignetError usage; it names items and lines, and never quotes a value
 */
export function parseBuffer(
  text: string,
  objects: readonly ShownObject[],
): ReadonlyMap<string, ItemChanges> {
  const documents = parseManifests(text);
  const [surprise] = documents.flatMap(({ surprises }) => surprises);
  if (surprise !== undefined) {
    throw new SignetError("usage", "is not read as text: put it in quotes", {
      place: { line: surprise.line },
    });
  }
  const comment = text.split("\n").findIndex((line) => COMMENT_BEHIND.test(line));
  if (comment !== -1) {
    throw new SignetError(
      "usage",
      "what is behind # would be no part of the value: put it in quotes",
      {
        place: { line: comment + 1 },
      },
    );
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
      // Not quoted: in `password:value`, without a space, the name includes the value.
      if (!isItemName(item)) {
        throw new SignetError("usage", "there is a line whose name is none for an item");
      }
      if (typeof text !== "string" || text === "") {
        throw new SignetError("usage", "has no text: put it in quotes, or remove the line", {
          place: { field: item },
        });
      }
      if (items.get(item) === text && !kept.has(item)) {
        kept.add(item);
        return;
      }
      // A shown value under a new name is a renamed item: other clusters may have other values.
      const renamed = [...items].find(
        ([shown, value]) => value === text && !Object.hasOwn(after, shown) && !kept.has(shown),
      );
      const source = PLACEHOLDER.exec(text)?.[1] ?? (items.has(item) ? undefined : renamed?.[0]);
      if (source === undefined) {
        set.set(item, new TextEncoder().encode(text));
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

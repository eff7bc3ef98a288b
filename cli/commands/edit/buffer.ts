// The text that `signet edit` shows in an editor, and the changes that an edited text makes.
// SPEC.md, "Changing values".

import { locate, SignetError } from "../../../shared/errors.ts";
import {
  formatEntry,
  type Json,
  lineCounter,
  type ManifestDocument,
  parseManifests,
} from "../../../shared/manifest/manifest.ts";
import { formatString } from "../../../shared/manifest/scalar.ts";
import { type Entry, nodeAt } from "../../../shared/manifest/tree.ts";
import type { ItemChanges } from "../../../shared/sealing/seal.ts";
import { asObject } from "../../../shared/kubernetes/object.ts";
import { isItemName } from "../../../shared/kubernetes/secret.ts";
import {
  aliasedIn,
  COMMENT_IS_DROPPED,
  isCommented,
  whyMisread,
  whyTyped,
} from "../../sealing/aswritten.ts";

/** A SealedSecret as it is shown. */
export interface ShownObject {
  /** `NAMESPACE/NAME`; unique in a buffer. */
  readonly name: string;
  /** Every item with its value; null if the value is not known or not text. */
  readonly items: ReadonlyMap<string, string | null>;
}

const placeholder = (item: string): string => `<sealed: ${item}>`;
const PLACEHOLDER = /^<sealed: ([-._a-zA-Z0-9]+)>$/;

const HELP = [
  "To give an item a new value, change the text between the quotes. It is sealed when you save.",
  "Double any quote in the value. Write values of several lines below `ITEM: |`, indented.",
  "Add a line to add an item, remove a line to remove one, change the name to rename one.",
  "<sealed: ...> is a value that stays unchanged. To cancel, quit without saving changes.",
];
const ESCAPES_HELP =
  'Between double quotes, write a backslash as \\\\, a quote as \\", a line end as \\n.';

/** `notes`: comment lines at the top. */
export function formatBuffer(objects: readonly ShownObject[], notes: readonly string[]): string {
  const bodies = objects.map(({ name, items }) => {
    const entries = [...items].flatMap(([item, value]) => formatItem(item, value));
    return [`${formatString(name)}:${entries.length === 0 ? " {}" : ""}`, ...entries];
  });
  const escapes = bodies.flat().some((line) => /^ {2}\S+: "/.test(line)) ? [ESCAPES_HELP] : [];
  const help = [...notes, "", ...HELP, ...escapes];
  const comments = help.map((line) => (line === "" ? "#" : `# ${line}`));
  return [...comments, "", ...bodies.flat(), ""].join("\n");
}

/** Characters that single quotes cannot hold, or that a person would not see there. */
const NOT_IN_SINGLE_QUOTES = /\p{C}|(?! )\p{Z}/u;

/**
 * Values are in single quotes, as the help says: there, a backslash is an ordinary character. A value
 * that looks like a placeholder would be read as one.
 */
function formatItem(item: string, value: string | null): string[] {
  const name = formatString(item);
  if (value === null || PLACEHOLDER.test(value)) return [`  ${name}: '${placeholder(item)}'`];
  if (NOT_IN_SINGLE_QUOTES.test(value)) return formatEntry(item, value, "  ");
  return [`  ${name}: '${value.replaceAll("'", "''")}'`];
}

/** Whether only comments are left: emptying the file cancels. */
export function isEmptied(text: string): boolean {
  return text.split("\n").every((line) => /^\s*(#|$)/.test(line));
}

const ERROR_MARK = "# ERROR: ";

/** `text` without the error above it. */
export function withoutError(text: string): string {
  return text
    .split("\n")
    .filter((line) => !line.startsWith(ERROR_MARK))
    .join("\n");
}

/** Adds an error above `text`, which has none. The error's line number counts the added line. */
export function withError(text: string, { message, place }: SignetError): string {
  const line = place.line === undefined ? undefined : `line ${place.line + 1}`;
  const words = [line, place.object, place.field, message].filter(Boolean).join(": ");
  return `${ERROR_MARK}${words}\n${text}`;
}

/**
 * The changes that a buffer makes, by the object's name, without unchanged objects.
 * @throws SignetError usage; it names items and lines, and never quotes a value
 */
export function parseBuffer(
  text: string,
  objects: readonly ShownObject[],
): ReadonlyMap<string, ItemChanges> {
  const documents = parseManifests(text);
  for (const document of documents) checkItems(text, document, objects);
  const [surprise] = documents.flatMap(({ surprises }) => surprises);
  if (surprise !== undefined) {
    throw new SignetError("usage", "YAML does not read this as text: put it in quotes", {
      place: { line: surprise.line },
    });
  }
  const top = asObject(documents[0]?.value ?? null);
  if (top === null || documents.length > 1) {
    throw new SignetError("usage", "the file must keep the SealedSecrets that it started with");
  }
  const other = Object.keys(top).find((key) => !objects.some(({ name }) => name === key));
  if (other !== undefined) {
    throw new SignetError(
      "usage",
      "the name of a SealedSecret cannot be changed here; indent items by two spaces",
    );
  }
  const changes = new Map<string, ItemChanges>();
  for (const object of objects) {
    const value = top[object.name];
    if (value === undefined) {
      throw new SignetError(
        "usage",
        `${object.name} is missing; to remove a SealedSecret, delete its file`,
      );
    }
    const change = changesOf(object, value);
    if (change !== null) changes.set(object.name, change);
  }
  return changes;
}

/**
 * Refuses a line with an invalid name, or with a value that YAML does not read as the text it looks
 * like.
 * @throws SignetError usage
 */
function checkItems(
  text: string,
  { root }: ManifestDocument,
  objects: readonly ShownObject[],
): void {
  const aliased = aliasedIn(root);
  const lineAt = lineCounter(text);
  for (const { name } of objects) {
    const written = nodeAt(root, [name]);
    const items = written?.type === "alias" ? written.target : written;
    if (items?.type !== "mapping") continue;
    for (const entry of items.entries) {
      const { key, start } = entry;
      const isName = isItemName(key);
      const reason = isName
        ? whyNotText(text, entry, aliased)
        : "invalid item name: use only letters, digits, '-', '_' and '.', then a colon and a space";
      if (reason === undefined) continue;
      throw new SignetError("usage", reason, {
        // Not quoted: in `password:value`, without a space, the name includes the value.
        place: { line: lineAt(start), object: name, ...(isName ? { field: key } : {}) },
      });
    }
  }
}

function whyNotText(
  text: string,
  entry: Entry,
  aliased: ReturnType<typeof aliasedIn>,
): string | undefined {
  const reason = whyMisread(text, entry, aliased) ?? whyTyped(entry.value);
  if (reason !== undefined)
    return reason.includes("quotes") ? reason : `${reason}: put it in quotes`;
  const value = entry.value.type === "alias" ? entry.value.target : entry.value;
  if (value.type !== "scalar") {
    return "contains a list or a mapping: write values of several lines below `ITEM: |`, indented";
  }
  if (value.resolved.value === null || value.resolved.value === "") {
    return "has no value: write one in quotes, or remove the line";
  }
  return isCommented(text, value) ? COMMENT_IS_DROPPED : undefined;
}

function changesOf({ name, items }: ShownObject, value: Json): ItemChanges | null {
  const after = asObject(value ?? {});
  if (after === null) throw new SignetError("usage", `expected one item per line below ${name}`);
  const set = new Map<string, Uint8Array>();
  const rename = new Map<string, string>();
  const kept = new Set<string>();
  for (const [item, text] of Object.entries(after)) {
    locate({ object: name }, () => {
      if (typeof text !== "string") throw new Error("an item that checkItems should have refused");
      if (items.get(item) === text && !kept.has(item)) {
        kept.add(item);
        return;
      }
      // A known value under a new name is a renamed item: other clusters may have other values.
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
          "refers to a sealed value that does not exist, or is used twice",
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

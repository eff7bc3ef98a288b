// `signet log --html`: who changed what in a file, or what a key ever sealed, as a report.

import type { ItemChange } from "../../git/sealedtext.ts";
import type { Report } from "../../report/htmlreport.ts";
import { count } from "../../terminal/counts.ts";

/** A commit that changed items of a file. */
export interface LogEntry {
  readonly commit: string;
  readonly author: string;
  readonly date: string;
  readonly subject: string;
  readonly changes: readonly ItemChange[];
}

/** `entries`: the newest first. */
export function reportOfFile(file: string, entries: readonly LogEntry[], shallow: boolean): Report {
  const changes = entries.reduce((sum, each) => sum + each.changes.length, 0);
  const authors = new Set(entries.map(({ author }) => author));
  return {
    title: `History of ${file}`,
    summary: [
      `${count(changes, "change")} of items in ${count(entries.length, "commit")} by ${count(authors.size, "author")}.`,
      "Authors' names are taken from the commits; Git does not verify them.",
      ...(shallow ? ["This clone is shallow, so older changes are missing."] : []),
    ],
    sections: [
      {
        heading: "Who changed what",
        table: {
          head: ["Date", "Author", "SealedSecret", "Item", "Change", "Key", "Commit", "Subject"],
          rows: entries.flatMap(({ date, author, commit, subject, changes: each }) =>
            each.map(({ name, item, change, fingerprint, from }) => [
              date.slice(0, 10),
              author,
              name,
              item,
              from === undefined ? change : `${change} from ${from}`,
              fingerprint ?? "-",
              commit.slice(0, 12),
              subject,
            ]),
          ),
        },
      },
    ],
  };
}

/** A value that was once sealed with the key. */
export interface ExposedValue {
  readonly cluster: string | null;
  /** Its current file, or its last. */
  readonly file: string;
  /** Null outside of a SealedSecret. */
  readonly name: string | null;
  readonly item: string;
  /** The first commit that has it. */
  readonly commit: string;
  readonly author: string;
  readonly date: string;
  /** Whether HEAD has this ciphertext, another one for the item, or no such item. */
  readonly now: "still under it" | "re-sealed since" | "not in HEAD";
}

export interface KeyHistory {
  /** The key or the algorithm, in words. */
  readonly what: string;
  readonly found: readonly ExposedValue[];
  /** What was found, what could not be decided, and what was read, one sentence per line. */
  readonly words: readonly string[];
  readonly unreadable: readonly string[];
  readonly loose: readonly { readonly file: string; readonly item: string }[];
  readonly shallow: boolean;
}

export function reportOfKey({
  what,
  found,
  words,
  unreadable,
  loose,
  shallow,
}: KeyHistory): Report {
  return {
    title: `Values ever sealed with ${what}`,
    summary: [
      ...words,
      ...(shallow ? ["This clone is shallow, so values in older commits are missing."] : []),
    ],
    sections: [
      {
        heading: "Blast radius: values to change if it is no longer safe",
        table: {
          head: ["Cluster", "SealedSecret", "Item", "Now", "Since", "By", "Commit", "File"],
          rows: found.map(({ cluster, name, item, now, date, author, commit, file }) => [
            cluster ?? "-",
            name ?? "-",
            item,
            { text: now, tone: now === "still under it" ? "bad" : "warn" },
            date.slice(0, 10),
            author,
            commit.slice(0, 12),
            file,
          ]),
        },
      },
      {
        heading: "Not known",
        notes: unreadable.length + loose.length === 0 ? ["Nothing was left out."] : [],
        table: {
          head: ["File", "Why"],
          rows: [
            ...unreadable.map((file) => [file, "cannot be read in some commit"]),
            ...loose.map(({ file, item }) => [
              file,
              `${item}: sealed outside of a SealedSecret, so it may be sealed with this key`,
            ]),
          ],
        },
      },
    ],
  };
}

// `signet log`: the history of a sealed file's items, or every value that a key ever sealed.
// SPEC.md, "Whole repositories".

import { join, relative, resolve } from "node:path";
import type { Command } from "commander";
import { MANIFEST_NAME } from "../../host/manifestfiles.ts";
import { decodeEnvelope } from "../../shared/keys/kinds.ts";
import { SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { labelBytes, scopeOf } from "../../shared/sealing/scope.ts";
import { blobsOf, commitOf, needWorkTree, readBlobs } from "../git/gitprocess.ts";
import { type Change, type CommitChanges, historyOf } from "../git/history.ts";
import {
  changesBetween,
  formatItemChange,
  type ItemChange,
  type SealedText,
  sealedTextsIn,
} from "../git/sealedtext.ts";
import { jsonOption, recoveryKeyOption } from "../options.ts";
import { readKeys } from "../recovery/recoverykeys.ts";
import { findProject, meaningOf } from "../repository/project.ts";
import { printJson, printLines } from "../terminal/results.ts";
import { table } from "../terminal/table.ts";
import { count } from "../terminal/counts.ts";

const HELP = `
Of a file: who changed which item, when, and under which sealing key, the newest first.

With --key, for a key that leaked: every value that was ever sealed under it in any branch, which is
the list of what must be changed. --recovery-key finds those without a stamp too, by opening them.

Examples:
  $ signet log prod/shop/db.yaml
  $ signet log --key SHA256:pV1EkPSm
  $ signet log --recovery-key leaked.key --json`;

export function define(command: Command): void {
  command
    .argument("[FILE...]")
    .usage("[OPTION...] FILE | --key FINGERPRINT | --recovery-key FILE")
    .description("Tells the history of a sealed file, or of a sealing key, from Git.")
    .option("--key <FINGERPRINT>", "a sealing key, or the beginning of its fingerprint")
    .addOption(recoveryKeyOption("the sealing key itself"))
    .addOption(jsonOption())
    .addHelpText("after", HELP)
    .action((paths: string[], flags: LogOptions) => runLog(paths, flags));
}

interface LogOptions {
  /** A fingerprint, or the beginning of one. */
  readonly key?: string;
  /** Private keys, to test values without a stamp. */
  readonly recoveryKey: readonly string[];
  readonly json: boolean;
}

/** @throws SignetError usage, io */
async function runLog(paths: readonly string[], options: LogOptions): Promise<void> {
  if (options.key !== undefined || options.recoveryKey.length > 0) {
    await logOfKey(paths, options);
    return;
  }
  const [path, ...others] = paths;
  if (path === undefined || others.length > 0) {
    throw new SignetError("usage", "name one file, or a key with --key");
  }
  await logOfFile(path, options);
}

interface LogEntry {
  readonly commit: string;
  readonly author: string;
  readonly date: string;
  readonly subject: string;
  readonly changes: readonly ItemChange[];
}

async function logOfFile(path: string, { json }: LogOptions): Promise<void> {
  const top = needWorkTree();
  const followed = historyOfFile(relative(top, resolve(path)), top);
  const texts = textsIn(followed, top);
  const entries = followed.flatMap((commit): LogEntry[] => {
    const changes = commit.changes.flatMap((change) => itemChanges(change, texts));
    const { id, author, date, subject } = commit;
    return changes.length === 0 ? [] : [{ commit: id, author, date, subject, changes }];
  });
  if (json) {
    await printJson({ file: path, entries });
    return;
  }
  if (entries.length === 0) {
    throw new SignetError("usage", "Git's history has no sealed value of this file", {
      place: { file: path },
    });
  }
  const blocks = entries.map(({ commit, author, date, subject, changes }) => {
    const several = new Set(changes.map(({ name }) => name)).size > 1;
    const lines = changes.map((change) => {
      const where = several ? `${change.name}: ` : "";
      return `  ${where}${formatItemChange(change)}`;
    });
    return [`${date}  ${commit.slice(0, 12)}  ${author}`, `  "${subject}"`, ...lines];
  });
  await printLines(blocks.flatMap((block, index) => (index === 0 ? block : ["", ...block])));
}

/**
 * The commits that changed a file, under any of its former names. Git's own --follow loses one side
 * of a fork.
 */
function historyOfFile(path: string, top: string): CommitChanges[] {
  const manifests = ["yaml", "yml", "json"].map((ending) => `:(top,icase)*.${ending}`);
  const commits = historyOf(["-M", "--", `:(top,literal)${path}`, ...manifests], top, {
    hasPatterns: true,
  });
  const names = new Set([path]);
  return commits.flatMap((commit) => {
    const changes = commit.changes.filter((change) => names.has(change.path));
    for (const { oldPaths } of changes) for (const each of oldPaths) names.add(each);
    return changes.length === 0 ? [] : [{ ...commit, changes }];
  });
}

/** What changed in each item; for a merge, what neither side has. */
function itemChanges(
  { before, after }: Change,
  texts: ReadonlyMap<string, SealedText[]>,
): ItemChange[] {
  const now = sealedAt(texts, after);
  const [first = [], ...others] = before.map((id) => changesBetween(sealedAt(texts, id), now));
  return first.filter(({ name, item }) =>
    others.every((changes) => changes.some((each) => each.name === name && each.item === item)),
  );
}

function textsIn(commits: readonly CommitChanges[], top: string): Map<string, SealedText[]> {
  const ids = commits.flatMap(({ changes }) =>
    changes.flatMap(({ before, after }) => [...before, after].filter((id) => id !== null)),
  );
  const texts = readBlobs(ids, top);
  return new Map([...texts].map(([id, text]) => [id, text === null ? [] : sealedTextsIn(text)]));
}

function sealedAt(texts: ReadonlyMap<string, SealedText[]>, id: string | null): SealedText[] {
  return id === null ? [] : (texts.get(id) ?? []);
}

/** A value that was once sealed with the key. */
interface Exposed {
  readonly cluster: string | null;
  /** Its current file, or its last. */
  readonly file: string;
  readonly name: string;
  readonly item: string;
  /** The first commit that has it. */
  readonly commit: string;
  readonly author: string;
  readonly date: string;
  /** Whether HEAD has that ciphertext, another one for the item, or no such item. */
  readonly now: "still under it" | "sealed anew since" | "not in HEAD";
}

/** A ciphertext in the history. */
interface FoundCiphertext extends Pick<Exposed, "name" | "item" | "commit" | "author" | "date"> {
  readonly sealed: SealedText;
  readonly ciphertext: string;
  /** From the first stamp that names it. */
  fingerprint: string | undefined;
  /** Every place it was in, by path and item; the newest last. */
  readonly places: Map<string, Place>;
}

interface Place {
  readonly path: string;
  readonly item: string;
}

/**
 * The oldest first, so that a value belongs to the commit that added it, not to one that moved it.
 */
function ciphertextsOf(commits: readonly CommitChanges[], top: string): FoundCiphertext[] {
  const manifests = commits.map((commit) => ({
    ...commit,
    changes: commit.changes.filter(({ path }) => MANIFEST_NAME.test(path)),
  }));
  const texts = textsIn(manifests, top);
  const found = new Map<string, FoundCiphertext>();
  for (const { id: commit, author, date, changes } of manifests.reverse()) {
    for (const { path, after } of changes) {
      for (const sealed of sealedAt(texts, after)) {
        const { name } = sealed;
        for (const [item, { ciphertext, fingerprint }] of sealed.items) {
          const key = `${name}\n${ciphertext}`;
          const known = found.get(key) ?? {
            name,
            item,
            commit,
            author,
            date,
            sealed,
            ciphertext,
            fingerprint,
            places: new Map<string, Place>(),
          };
          found.set(key, known);
          known.fingerprint ??= fingerprint;
          const place = `${path}\n${item}`;
          known.places.delete(place);
          known.places.set(place, { path, item });
        }
      }
    }
  }
  return [...found.values()];
}

async function logOfKey(paths: readonly string[], options: LogOptions): Promise<void> {
  const top = needWorkTree();
  const project = findProject();
  const isUnder = await keyTest(options);
  const commits = historyOf(["--all", "--no-renames", "--", ...paths], process.cwd());
  const ciphertexts = ciphertextsOf(commits, top);
  const tested = await Promise.all(ciphertexts.map(isUnder));
  const unknown = tested.filter((under) => under === null).length;
  const current = headItems(top);
  const found = ciphertexts.flatMap((each, index): Exposed[] => {
    if (tested[index] !== true) return [];
    const { ciphertext, places, name, commit, author, date } = each;
    // The ciphertext may be in another place or under another name now.
    const kept = current.byCiphertext.get(ciphertext);
    const all = [...places.values()];
    const isThere = ({ path, item }: Place): boolean =>
      current.items.has([path, name, item].join("\n"));
    const { path, item } = kept ?? all.findLast(isThere) ?? all.at(-1) ?? { path: "", item: "" };
    const file = join(top, path);
    const isInHead = isThere({ path, item });
    return [
      {
        cluster: project === null ? null : (meaningOf(project, file)?.cluster.name ?? null),
        file: relative(process.cwd(), file),
        name,
        item,
        commit,
        author,
        date,
        now: kept !== undefined ? "still under it" : isInHead ? "sealed anew since" : "not in HEAD",
      },
    ];
  });
  if (options.json) {
    await printJson({ key: options.key ?? null, values: found, unknown });
    return;
  }
  const rows = found.map(({ cluster, name, item, now, date, commit, file }) => [
    cluster ?? "-",
    name,
    item,
    now,
    date.slice(0, 10),
    commit.slice(0, 12),
    file,
  ]);
  const head = ["CLUSTER", "SEALEDSECRET", "VALUE", "NOW", "SINCE", "COMMIT", "FILE"];
  const lines = found.length === 0 ? [] : [...table([head, ...rows]), ""];
  const items = new Set(found.map(({ file, name, item }) => `${file}\n${name}\n${item}`)).size;
  lines.push(
    items === 0
      ? "No value was ever sealed under it, as far as stamps and keys tell."
      : `${count(items, "value")} ever sealed under it: who has the key and this history has them all.`,
  );
  if (unknown > 0) {
    lines.push(
      `${count(unknown, "further ciphertext")} without a stamp may be: --recovery-key KEY tries them.`,
    );
  }
  await printLines(lines);
}

/** Null where it is not known. */
type KeyTest = (found: FoundCiphertext) => Promise<boolean | null>;

async function keyTest({ key, recoveryKey }: LogOptions): Promise<KeyTest> {
  if (key !== undefined && !/^SHA256:[A-Za-z0-9+/]{6,43}$/.test(key)) {
    throw new SignetError("usage", "that is no fingerprint, nor the beginning of one", {
      hint: "SHA256: and at least 6 further characters, as `signet keys` and `signet status` show it",
    });
  }
  const keys = await readKeys(recoveryKey);
  const keyring = new Keyring(keys);
  return async ({ sealed: { sealed }, ciphertext, fingerprint }) => {
    if (fingerprint !== undefined && key !== undefined && fingerprint.startsWith(key)) return true;
    if (keys.length === 0) return fingerprint === undefined ? null : false;
    // A stamp is a hint, and may be that of an older value: only the key itself is proof.
    const { name, namespace, annotations } = sealed.metadata;
    const envelope = decodeEnvelope(ciphertext);
    if (envelope === null) return false;
    const label = labelBytes(scopeOf(annotations), namespace, name);
    return (await keyring.open(envelope, label)) !== null;
  };
}

/** The items of each file in HEAD; none before the first commit. */
function headItems(top: string): {
  items: Set<string>;
  byCiphertext: Map<string, Place>;
} {
  const items = new Set<string>();
  const byCiphertext = new Map<string, Place>();
  let commit: string;
  try {
    commit = commitOf("HEAD", top);
  } catch {
    return { items, byCiphertext };
  }
  const blobs = blobsOf(commit, top).filter(({ path }) => MANIFEST_NAME.test(path));
  const texts = readBlobs(
    blobs.map(({ id }) => id),
    top,
  );
  for (const { id, path } of blobs) {
    for (const { name, items: sealed } of sealedTextsIn(texts.get(id) ?? "")) {
      for (const [item, { ciphertext }] of sealed) {
        items.add([path, name, item].join("\n"));
        byCiphertext.set(ciphertext, { path, item });
      }
    }
  }
  return { items, byCiphertext };
}

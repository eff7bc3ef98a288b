// `signet log --key` and `--algorithm`: every value that was ever sealed with a key, or with RSA.
// SPEC.md, "Whole repositories".

import { join, relative } from "node:path";
import { MANIFEST_NAME } from "../../../host/manifestfiles.ts";
import { RSA } from "../../../shared/envelopes/rsa.ts";
import { decodeEnvelope } from "../../../shared/keys/kinds.ts";
import { SignetError } from "../../../shared/errors.ts";
import { Keyring } from "../../../shared/keys/keyring.ts";
import { labelBytes, scopeOf } from "../../../shared/sealing/scope.ts";
import { blobsOf, commitOf, isShallow, needWorkTree, readBlobs } from "../../git/gitprocess.ts";
import { type CommitChanges, historyOf } from "../../git/history.ts";
import { looseEnvelopesIn } from "../../git/looseenvelopes.ts";
import { sealedTextsIn, sealedTextsOrNull } from "../../git/sealedtext.ts";
import { readKeys } from "../../recovery/recoverykeys.ts";
import { parseFingerprint } from "../../options.ts";
import { findProject, meaningOf, type PathMeaning } from "../../repository/project.ts";
import { count } from "../../terminal/counts.ts";
import { writeReport } from "../../report/writereport.ts";
import { warn } from "../../terminal/messages.ts";
import { type FactFormat, printFacts } from "../../terminal/facts.ts";
import type { Line } from "../../terminal/line.ts";
import { table } from "../../terminal/table.ts";
import { type ExposedValue, reportOfKey } from "./logreport.ts";

export interface LogOptions {
  /** A fingerprint, or the beginning of one. */
  readonly key?: string;
  /** `rsa` or `hybrid`, instead of a key. */
  readonly algorithm?: string;
  /** Private keys, to test values without a stamp. */
  readonly recoveryKey: readonly string[];
  readonly format: FactFormat;
  /** A file for a report. */
  readonly html?: string;
}

interface Place {
  readonly path: string;
  readonly item: string;
}

/** A ciphertext of one text. */
interface TextCiphertext {
  readonly name: string | null;
  readonly item: string;
  readonly ciphertext: string;
  readonly fingerprint: string | undefined;
  /** What its value is bound to. Outside of a SealedSecret, known only for the widest scope. */
  readonly label: Uint8Array;
}

/** A ciphertext in the history. */
interface FoundCiphertext extends TextCiphertext {
  readonly commit: string;
  readonly author: string;
  readonly date: string;
  /** From the first stamp that names it. */
  fingerprint: string | undefined;
  /** Every place it was in, by path and item; the newest last. */
  readonly places: Map<string, Place>;
}

function ciphertextsIn(text: string, sealedTexts = sealedTextsIn(text)): TextCiphertext[] {
  const sealed = sealedTexts.flatMap(({ name, sealed: { metadata }, items }) => {
    const label = labelBytes(scopeOf(metadata.annotations), metadata.namespace, metadata.name);
    return [...items].map(([item, each]) => ({ name, item, ...each, label }));
  });
  const loose = looseEnvelopesIn(text, sealedTexts).map((each) => ({
    ...each,
    name: null,
    fingerprint: undefined,
    label: labelBytes("cluster-wide", "", ""),
  }));
  return [...sealed, ...loose];
}

/** Everything in the history, and which parts of it were not checked. */
interface History {
  readonly ciphertexts: readonly FoundCiphertext[];
  readonly commits: number;
  readonly files: number;
  /** Files with other extensions. */
  readonly otherFiles: number;
  /** Files that are not text, are too large, or mention SealedSecrets and cannot be parsed. */
  readonly unreadable: readonly string[];
}

/**
 * Oldest first, so that a value belongs to the commit that added it, not to one that moved it.
 */
function readHistory(commits: readonly CommitChanges[], top: string): History {
  const found = new Map<string, FoundCiphertext>();
  const files = new Set<string>();
  const otherFiles = new Set<string>();
  const unreadable = new Set<string>();
  const isManifest = ({ path }: { path: string }): boolean => MANIFEST_NAME.test(path);
  const ids = commits.flatMap(({ changes }) =>
    changes.filter(isManifest).flatMap(({ after }) => after ?? []),
  );
  const texts = readBlobs(ids, top);
  for (const { id: commit, author, date, changes } of commits.toReversed()) {
    for (const change of changes) {
      const { path, after } = change;
      (isManifest(change) ? files : otherFiles).add(path);
      if (!isManifest(change) || after === null) continue;
      const text = texts.get(after) ?? null;
      const sealed = text === null ? null : sealedTextsOrNull(text);
      if (sealed === null) unreadable.add(path);
      for (const each of ciphertextsIn(text ?? "", sealed ?? [])) {
        const { name, item, ciphertext, fingerprint } = each;
        const key = `${name ?? ""}\n${ciphertext}`;
        const known = found.get(key) ?? { ...each, commit, author, date, places: new Map() };
        found.set(key, known);
        known.fingerprint ??= fingerprint;
        const place = `${path}\n${item}`;
        known.places.delete(place);
        known.places.set(place, { path, item });
      }
    }
  }
  return {
    ciphertexts: [...found.values()],
    commits: commits.length,
    files: files.size,
    otherFiles: otherFiles.size,
    unreadable: [...unreadable].sort(),
  };
}

/**
 * Prints the list.
 * @throws SignetError usage, io; io after the list if the history is cut off
 */
export async function logOfKey(paths: readonly string[], options: LogOptions): Promise<void> {
  const top = needWorkTree();
  const isUnder =
    options.algorithm === undefined ? await keyTest(options) : algorithmTest(options.algorithm);
  const commits = historyOf(["--all", "--no-renames", "--", ...paths], process.cwd());
  const history = readHistory(commits, top);
  const { ciphertexts } = history;
  const tested = await Promise.all(ciphertexts.map(isUnder));
  const exposedOf = exposing(top);
  const ciphertextsTested = (result: boolean | null): ExposedValue[] =>
    ciphertexts.filter((_, index) => tested[index] === result).map(exposedOf);
  const [found, unknown] = [ciphertextsTested(true), ciphertextsTested(null)];
  const loose = unknown.filter(({ name }) => name === null);
  const shallow = isShallow(top);
  const unreadable = history.unreadable.map((path) => relative(process.cwd(), join(top, path)));
  const isAll = !shallow && unreadable.length === 0 && unknown.length === 0;
  const words = [
    ...(options.algorithm === undefined
      ? keyWords(found, unknown.length - loose.length, isAll)
      : algorithmWords(found, options.algorithm)),
    readingLine(history),
  ];
  if (options.html !== undefined) {
    const what = options.algorithm ?? options.key ?? "the given recovery key";
    const report = reportOfKey({ what, found, words, unreadable, loose, shallow });
    await writeReport(options.html, report, new Date());
  } else {
    await printFacts(options.format, {
      value: {
        key: options.key ?? null,
        ...(options.algorithm === undefined ? {} : { algorithm: options.algorithm }),
        values: found,
        unknown: unknown.length,
        outsideSealedSecrets: loose,
        commits: history.commits,
        files: history.files,
        otherFiles: history.otherFiles,
        unreadable,
        shallow,
      },
      lines: () => [...tableOf(found), ...words],
      wide: () => [...tableOf(found, Infinity), ...words],
      names: () => found.map(({ file }) => file),
    });
  }
  for (const { file, item } of loose) {
    warn(
      `${file}: ${item}: sealed outside of a SealedSecret, so its key is unknown and may be this one`,
    );
  }
  for (const file of unreadable) warn(`${file}: cannot be read in some commit`);
  if (shallow) {
    throw new SignetError("io", "this clone is shallow, so values in older commits are missing", {
      hint: "run `git fetch --unshallow`, then run this command again",
    });
  }
}

function tableOf(found: readonly ExposedValue[], width?: number): Line[] {
  const rows = found.map(({ cluster, name, item, now, date, commit, file }) => [
    cluster ?? "-",
    name ?? "-",
    item,
    now,
    date.slice(0, 10),
    commit.slice(0, 12),
    file,
  ]);
  const head = ["CLUSTER", "SEALEDSECRET", "VALUE", "NOW", "SINCE", "COMMIT", "FILE"];
  return found.length === 0 ? [] : [...table([head, ...rows], width), ""];
}

function countItems(found: readonly ExposedValue[]): number {
  return new Set(found.map(({ file, name, item }) => `${file}\n${name ?? ""}\n${item}`)).size;
}

function keyWords(found: readonly ExposedValue[], unstamped: number, isAll: boolean): string[] {
  const items = countItems(found);
  const has = isAll ? "can read all of them" : "can read them, and maybe more";
  const lines = [
    items === 0
      ? "No values were found that were sealed with this key."
      : `${count(items, "value")} ever sealed with this key: anyone with the key and this history ${has}.`,
  ];
  if (unstamped > 0) {
    const what = `${count(unstamped, "other ciphertext")} without a stamp may be sealed with it too`;
    lines.push(`${what}: use --recovery-key FILE to find out.`);
  }
  return lines;
}

function algorithmWords(found: readonly ExposedValue[], algorithm: string): string[] {
  const items = countItems(found);
  const name = algorithm === RSA ? "RSA" : algorithm;
  if (items === 0) return [`No values were found that were sealed with ${name}.`];
  const lines = [`${count(items, "value")} ever sealed with ${name}.`];
  if (algorithm === RSA) {
    lines.push(
      "If RSA is ever broken, anyone with this history can read all of them, even those that",
      "were re-sealed since. Change every value that must stay secret longer than that.",
    );
  }
  return lines;
}

function readingLine({ commits, files, otherFiles }: History): string {
  const others = otherFiles === 0 ? "" : `; ${count(otherFiles, "file")} of other kinds not read`;
  return `Read: ${count(files, "YAML or JSON file")} in ${count(commits, "commit")}${others}.`;
}

/** The facts to report about a ciphertext. */
function exposing(top: string): (found: FoundCiphertext) => ExposedValue {
  const project = findProject();
  const current = headItems(top);
  return ({ ciphertext, places, name, commit, author, date }) => {
    // The ciphertext may be in another place or under another name now.
    const kept = current.byCiphertext.get(ciphertext);
    const all = [...places.values()];
    const isThere = ({ path, item }: Place): boolean =>
      current.items.has([path, name ?? "", item].join("\n"));
    const { path, item } = kept ?? all.findLast(isThere) ?? all.at(-1) ?? { path: "", item: "" };
    const file = join(top, path);
    const meaning: PathMeaning | null = project === null ? null : meaningOf(project, file);
    const isInHead = isThere({ path, item });
    return {
      cluster: meaning?.cluster.name ?? null,
      file: relative(process.cwd(), file),
      name,
      item,
      commit,
      author,
      date,
      now: kept !== undefined ? "still under it" : isInHead ? "re-sealed since" : "not in HEAD",
    };
  };
}

/** Null where it is not known. */
type KeyTest = (found: TextCiphertext) => Promise<boolean | null>;

/** Every envelope names its algorithm. Text that is not an envelope was never sealed. */
function algorithmTest(algorithm: string): KeyTest {
  return ({ ciphertext }) => Promise.resolve(decodeEnvelope(ciphertext)?.kind === algorithm);
}

async function keyTest({ key, recoveryKey }: LogOptions): Promise<KeyTest> {
  if (key !== undefined) parseFingerprint(key);
  const keys = await readKeys(recoveryKey);
  const keyring = new Keyring(keys);
  return async ({ name, ciphertext, fingerprint, label }) => {
    if (fingerprint !== undefined && key !== undefined && fingerprint.startsWith(key)) return true;
    if (keys.length === 0) return fingerprint === undefined ? null : false;
    // A stamp is only a hint, and may be that of an older value. Only the key itself is proof.
    const envelope = decodeEnvelope(ciphertext);
    if (envelope === null) return false;
    if ((await keyring.open(envelope, label)) !== null) return true;
    // Outside of a SealedSecret, it may be bound to an unknown name.
    return name === null ? null : false;
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
    for (const { name, item, ciphertext } of ciphertextsIn(texts.get(id) ?? "")) {
      items.add([path, name ?? "", item].join("\n"));
      byCiphertext.set(ciphertext, { path, item });
    }
  }
  return { items, byCiphertext };
}

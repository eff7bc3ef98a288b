// Owns: `signet log`: who changed which item of a sealed file, when, and under which key; and for a key,
// every value that Git's history ever had under it. Does not own: Git itself (git/repository.ts).
// SPEC.md, "Command line", "History".

import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { decodeEnvelope } from "../../shared/envelope.ts";
import { SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keyring.ts";
import { labelBytes, scopeOf } from "../../shared/scope.ts";
import {
  blobsOf,
  type CommitChanges,
  commitOf,
  historyOf,
  needWorkTree,
  readBlobs,
} from "./repository.ts";
import { findProject, meaningOf } from "../project/project.ts";
import { readKeys } from "../recovery/keys.ts";
import {
  changesBetween,
  formatItemChange,
  type ItemChange,
  type SealedText,
  sealedTextsIn,
} from "./sealedtext.ts";
import { table } from "../table.ts";
import { count, printJson, printResult } from "../terminal.ts";

export interface LogOptions {
  /** A fingerprint, or the beginning of one. */
  readonly key?: string;
  /** Private keys: opens values of which no stamp tells the key. */
  readonly recoveryKey: readonly string[];
  readonly json: boolean;
}

/** @throws SignetError usage, io */
export async function runLog(paths: readonly string[], options: LogOptions): Promise<void> {
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
  const commits = historyOf(["--follow", "--", path], process.cwd());
  const texts = textsIn(commits, top);
  const entries = commits.flatMap((commit): LogEntry[] => {
    const changes = commit.changes.flatMap(({ before, after }) =>
      changesBetween(sealedAt(texts, before), sealedAt(texts, after)),
    );
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
    return [`${date}  ${commit.slice(0, 12)}  ${author}`, `  "${subject}"`, ...lines, ""].join(
      "\n",
    );
  });
  await printResult(blocks.join("\n"));
}

function textsIn(commits: readonly CommitChanges[], top: string): Map<string, SealedText[]> {
  const ids = commits.flatMap(({ changes }) =>
    changes
      .filter(({ path }) => MANIFEST.test(path))
      .flatMap(({ before, after }) => [before, after].filter((id) => id !== null)),
  );
  const texts = readBlobs(ids, top);
  return new Map([...texts].map(([id, text]) => [id, text === null ? [] : sealedTextsIn(text)]));
}

const MANIFEST = /\.(ya?ml|json)$/i;

function sealedAt(texts: ReadonlyMap<string, SealedText[]>, id: string | null): SealedText[] {
  return id === null ? [] : (texts.get(id) ?? []);
}

/** A value that was under the key at some time. */
interface Exposed {
  readonly cluster: string | null;
  readonly file: string;
  readonly name: string;
  readonly item: string;
  /** Of the commit that brought it first. */
  readonly commit: string;
  readonly author: string;
  readonly date: string;
  /** Whether HEAD still has that ciphertext, another one for the item, or no such item. */
  readonly now: "still under it" | "sealed anew since" | "gone";
}

async function logOfKey(paths: readonly string[], options: LogOptions): Promise<void> {
  const top = needWorkTree();
  const project = findProject();
  const isUnder = await keyTest(options);
  const commits = historyOf(["--all", "--no-renames", "--", ...paths], process.cwd());
  const texts = textsIn(commits, top);
  const head = headItems(top);
  const exposed = new Map<string, Exposed>();
  let unknown = 0;
  // The oldest first: what brought a value is told, not what moved it.
  for (const { id, author, date, changes } of [...commits].reverse()) {
    for (const { path, before, after } of changes) {
      const old = new Set(
        sealedAt(texts, before).flatMap(({ items }) =>
          [...items.values()].map(({ ciphertext }) => ciphertext),
        ),
      );
      for (const sealed of sealedAt(texts, after)) {
        for (const [item, { ciphertext, fingerprint }] of sealed.items) {
          if (old.has(ciphertext)) continue;
          const under = await isUnder(sealed, ciphertext, fingerprint);
          if (under === null) unknown++;
          const key = [path, sealed.name, item, ciphertext].join("\n");
          if (under !== true || exposed.has(key)) continue;
          const file = join(top, path);
          const meaning = project === null ? null : meaningOf(project, file);
          exposed.set(key, {
            cluster: meaning?.cluster.name ?? null,
            file: relative(process.cwd(), file),
            name: sealed.name,
            item,
            commit: id,
            author,
            date,
            now: stateOf(head.get([path, sealed.name, item].join("\n")), ciphertext),
          });
        }
      }
    }
  }
  const found = [...exposed.values()];
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
  const lines = table([
    ["CLUSTER", "SEALEDSECRET", "VALUE", "NOW", "SINCE", "COMMIT", "FILE"],
    ...rows,
  ]);
  const items = new Set(found.map(({ file, name, item }) => `${file}\n${name}\n${item}`)).size;
  lines.push(
    "",
    `${count(items, "value")} ever sealed under it: who has the key and this history has them all.`,
  );
  if (unknown > 0) {
    lines.push(
      `${count(unknown, "further ciphertext")} without a stamp may be: --recovery-key KEY tries them.`,
    );
  }
  await printResult(`${lines.join("\n")}\n`);
}

/** True, false, or null where nothing tells. */
type KeyTest = (
  sealed: SealedText,
  ciphertext: string,
  fingerprint: string | undefined,
) => Promise<boolean | null>;

async function keyTest({ key, recoveryKey }: LogOptions): Promise<KeyTest> {
  if (key !== undefined && !/^SHA256:[A-Za-z0-9+/]{6,43}$/.test(key)) {
    throw new SignetError("usage", "that is no fingerprint, nor the beginning of one", {
      hint: "SHA256: and at least 6 further characters, as `signet keys` and `signet status` show it",
    });
  }
  const keys = await readKeys(recoveryKey);
  const keyring = new Keyring(keys, availableParallelism());
  const held = new Set(keys.map(({ privateKey }) => privateKey.fingerprint));
  return async ({ sealed }, ciphertext, fingerprint) => {
    if (fingerprint !== undefined && key !== undefined && fingerprint.startsWith(key)) return true;
    if (keys.length === 0) return fingerprint === undefined ? null : false;
    if (fingerprint !== undefined && !held.has(fingerprint)) return false;
    // A stamp is a hint: the key itself is the proof.
    const { name, namespace, annotations } = sealed.metadata;
    const envelope = decodeEnvelope(ciphertext);
    if (envelope === null) return false;
    const label = labelBytes(scopeOf(annotations), namespace, name);
    return (await keyring.open(envelope, label)) !== null;
  };
}

function headItems(top: string): Map<string, string> {
  let commit: string;
  try {
    commit = commitOf("HEAD", top);
  } catch {
    return new Map();
  }
  const blobs = blobsOf(commit, top).filter(({ path }) => MANIFEST.test(path));
  const texts = readBlobs(
    blobs.map(({ id }) => id),
    top,
  );
  const items = new Map<string, string>();
  for (const { id, path } of blobs) {
    for (const { name, items: sealed } of sealedTextsIn(texts.get(id) ?? "")) {
      for (const [item, { ciphertext }] of sealed)
        items.set([path, name, item].join("\n"), ciphertext);
    }
  }
  return items;
}

function stateOf(now: string | undefined, ciphertext: string): Exposed["now"] {
  if (now === undefined) return "gone";
  return now === ciphertext ? "still under it" : "sealed anew since";
}

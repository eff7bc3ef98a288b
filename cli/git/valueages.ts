// How old sealed values are, from the history of the branch that is checked out.
// SPEC.md, "Rotation".
//
// Git sees ciphertext alone. A new ciphertext under the same key is another value, as nothing else makes
// one; under another key it may be the same value, re-sealed.

import { MANIFEST_NAME } from "../../host/manifestfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { decodeEnvelope } from "../../shared/keys/kinds.ts";
import { blobsById, blobsOf, commitOf, isShallow } from "./gitprocess.ts";
import { branchHistory, type CommitChanges } from "./history.ts";
import { looseText } from "./loosetext.ts";
import { type SealedItem, sealedTextsIn } from "./sealedtext.ts";

/** A value as a file has it now. */
export interface CurrentValue extends SealedItem {
  /** The file's path from the top of the working tree. */
  readonly path: string;
  /** `NAMESPACE/NAME` of the SealedSecret. */
  readonly name: string;
  readonly item: string;
}

export interface ValueAge {
  /** When the value last changed, if what came after was re-sealing. */
  readonly since: Date;
  /** When its ciphertext last changed. */
  readonly sealedSince: Date;
}

/** The ages of values; null for what the history does not reach. */
export type ValueAges = ReadonlyMap<CurrentValue, ValueAge | null>;

/** A value on its way back through the history. */
interface Traced {
  readonly value: CurrentValue;
  path: string;
  name: string;
  item: string;
  ciphertext: string;
  fingerprint: string | undefined;
  sealedSince: Date | undefined;
  since: Date | undefined;
}

/** Versions of files that are read at most, and their bytes: what is older is not known. */
const MAX_VERSIONS = 50_000;
const MAX_BYTES = 256 * 1024 * 1024;

/** What may be a ciphertext in a text, whether or not the text can be parsed. */
const CIPHERTEXT = /[A-Za-z0-9+/]{16,}={0,2}/g;

/** @throws SignetError io */
export function agesOf(values: readonly CurrentValue[], top: string, now: Date): ValueAges {
  const traces = values.map((value): Traced => ({
    ...value,
    value,
    sealedSince: undefined,
    since: undefined,
  }));
  const head = headOf(top);
  const commits = head === null ? [] : branchHistory(top);
  const paths = new Set(values.map(({ path }) => path));
  const tree = new Map(
    (head === null ? [] : blobsOf(head, top))
      .filter(({ path }) => paths.has(path))
      .map(({ path, id }) => [path, id]),
  );
  const versions = new Versions(top);
  versions.fetch([...tree.values(), ...versionsOf(commits, paths)]);
  const open = new Map<string, Set<Traced>>();
  const follow = (trace: Traced): void => {
    const others = open.get(trace.path) ?? new Set();
    open.set(trace.path, others.add(trace));
  };
  for (const trace of traces) {
    // What is not committed yet has changed just now.
    const before = tree.get(trace.path) ?? null;
    const isOpen = step(trace, { before, after: null }, now, versions);
    if (isOpen) follow(trace);
  }
  const isCut = isShallow(top);
  for (const { date, changes, parents } of commits) {
    // Where a shallow clone ends, every file looks new.
    if (isCut && parents.length === 0) break;
    let gone: ReadonlyMap<string, string> | undefined;
    for (const { path, before, after } of changes) {
      const here = open.get(path);
      if (here === undefined) continue;
      const [old = null] = before;
      if (old === null) gone ??= goneWith(changes, versions);
      for (const trace of [...here]) {
        const from = old === null ? gone?.get(trace.ciphertext) : undefined;
        if (from !== undefined) {
          here.delete(trace);
          trace.path = from;
          follow(trace);
        } else if (
          (old !== null && !versions.has(old)) ||
          !step(trace, { before: old, after }, new Date(date), versions)
        ) {
          here.delete(trace);
        }
      }
    }
  }
  return new Map(
    traces.map(({ value, since, sealedSince }) => [
      value,
      since !== undefined ? { since, sealedSince: sealedSince ?? since } : null,
    ]),
  );
}

function headOf(top: string): string | null {
  try {
    return commitOf("HEAD", top);
  } catch (error) {
    if (error instanceof SignetError) return null;
    throw error;
  }
}

/** The newest first. */
function versionsOf(commits: readonly CommitChanges[], paths: ReadonlySet<string>): string[] {
  return commits
    .flatMap(({ changes }) => changes)
    .flatMap(({ path, before }) => (paths.has(path) ? before.filter((id) => id !== null) : []))
    .slice(0, MAX_VERSIONS);
}

/** Goes back over one change of a file. False once the value's last change is found. */
function step(
  trace: Traced,
  { before, after }: { readonly before: string | null; readonly after: string | null },
  date: Date,
  versions: Versions,
): boolean {
  if (before !== null && versions.ciphertexts(before).has(trace.ciphertext)) return true;
  const old = before === null ? undefined : itemIn(before, trace, versions);
  if (old?.ciphertext === trace.ciphertext) return true;
  trace.sealedSince ??= date;
  const stayed = before === null ? [] : versions.stayed(before, after, trace.name);
  if (old === undefined || isOtherValue(old, trace, stayed)) {
    trace.since = date;
    return false;
  }
  trace.ciphertext = old.ciphertext;
  trace.fingerprint = old.fingerprint;
  return true;
}

/**
 * Whether only a new value explains a new ciphertext: its key and its kind are the same, or another
 * value under the old key stayed, which re-sealing would have taken along.
 */
function isOtherValue(
  old: SealedItem,
  { ciphertext, fingerprint }: Traced,
  stayed: readonly SealedItem[],
): boolean {
  if (stayed.some((each) => each.fingerprint === old.fingerprint)) return true;
  if (fingerprint === undefined || old.fingerprint !== fingerprint) return false;
  return decodeEnvelope(old.ciphertext)?.kind === decodeEnvelope(ciphertext)?.kind;
}

function itemIn(
  id: string,
  { name, item, ciphertext }: Traced,
  versions: Versions,
): SealedItem | undefined {
  const texts = versions.sealed(id);
  return texts.byCiphertext.get(ciphertext) ?? texts.byName.get(name)?.get(item);
}

/**
 * The values of files that a commit took away, by ciphertext, with the file's path: one that is new in
 * another file came from there. A copy leaves the other file as it was.
 */
function goneWith(changes: CommitChanges["changes"], versions: Versions): Map<string, string> {
  const files = changes.flatMap(({ path, before: [old = null], after }) =>
    old === null || after !== null || !MANIFEST_NAME.test(path) ? [] : [{ path, old }],
  );
  versions.fetch(files.map(({ old }) => old));
  const gone = new Map<string, string>();
  for (const { path, old } of files) {
    for (const ciphertext of versions.ciphertexts(old)) {
      if (!gone.has(ciphertext)) gone.set(ciphertext, path);
    }
  }
  return gone;
}

/** The sealed items of a version of a file; the first of those that are alike. */
interface SealedTexts {
  readonly byCiphertext: ReadonlyMap<string, SealedItem>;
  /** By `NAMESPACE/NAME` of the SealedSecret, then by the item's name. */
  readonly byName: ReadonlyMap<string, ReadonlyMap<string, SealedItem>>;
}

/** Versions of files, each read and parsed once. */
class Versions {
  readonly #top: string;
  #bytes = 0;
  readonly #texts = new Map<string, string>();
  readonly #ciphertexts = new Map<string, ReadonlySet<string>>();
  readonly #sealed = new Map<string, SealedTexts>();
  readonly #stayed = new Map<string, readonly SealedItem[]>();

  constructor(top: string) {
    this.#top = top;
  }

  /** As many as there is room for. */
  fetch(ids: readonly string[]): void {
    const missing = ids.filter((id) => !this.#texts.has(id));
    if (missing.length === 0 || this.#bytes > MAX_BYTES) return;
    for (const [id, bytes] of blobsById(missing, this.#top)) {
      this.#texts.set(id, bytes === null ? "" : (looseText(bytes) ?? ""));
      this.#bytes += bytes?.length ?? 0;
      if (this.#bytes > MAX_BYTES) return;
    }
  }

  has(id: string): boolean {
    return this.#texts.has(id);
  }

  /** What may be a ciphertext in a version; nothing of one that was not fetched. */
  ciphertexts(id: string): ReadonlySet<string> {
    return known(this.#ciphertexts, id, () => new Set(this.#text(id).match(CIPHERTEXT)));
  }

  sealed(id: string): SealedTexts {
    return known(this.#sealed, id, () => {
      const texts = sealedTextsIn(this.#text(id));
      const items = texts.flatMap((text) => [...text.items.values()]);
      return {
        byCiphertext: new Map(items.map((item) => [item.ciphertext, item] as const).toReversed()),
        byName: new Map(texts.map((text) => [text.name, text.items] as const).toReversed()),
      };
    });
  }

  /** The values of a SealedSecret that two versions of its file have alike. */
  stayed(before: string, after: string | null, name: string): readonly SealedItem[] {
    if (after === null) return [];
    return known(this.#stayed, `${before} ${after} ${name}`, () => {
      const now = this.ciphertexts(after);
      const items = this.sealed(before).byName.get(name)?.values() ?? [];
      return [...items].filter(({ ciphertext }) => now.has(ciphertext));
    });
  }

  #text(id: string): string {
    return this.#texts.get(id) ?? "";
  }
}

function known<T>(map: Map<string, T>, key: string, make: () => T): T {
  const value = map.get(key) ?? make();
  map.set(key, value);
  return value;
}

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
    for (const { path, before, after } of changes) {
      const here = open.get(path);
      if (here === undefined) continue;
      const [old = null] = before;
      for (const trace of [...here]) {
        if (old === null && moved(trace, changes, versions)) {
          here.delete(trace);
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
  if (before !== null && versions.text(before).includes(trace.ciphertext)) return true;
  const old = before === null ? undefined : itemIn(before, trace, versions);
  if (old?.ciphertext === trace.ciphertext) return true;
  trace.sealedSince ??= date;
  const stayed = before === null ? [] : stayedIn(before, after, trace, versions);
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

/** The values of a SealedSecret that two versions of its file have alike. */
function stayedIn(
  before: string,
  after: string | null,
  { name }: Traced,
  versions: Versions,
): SealedItem[] {
  const text = after === null ? "" : versions.text(after);
  const items =
    versions
      .sealed(before)
      .find((each) => each.name === name)
      ?.items.values() ?? [];
  return [...items].filter(({ ciphertext }) => text.includes(ciphertext));
}

function itemIn(
  id: string,
  { name, item, ciphertext }: Traced,
  versions: Versions,
): SealedItem | undefined {
  const texts = versions.sealed(id);
  const all = texts.flatMap(({ items }) => [...items.values()]);
  return (
    all.find((each) => each.ciphertext === ciphertext) ??
    texts.find((text) => text.name === name)?.items.get(item)
  );
}

/** Whether a value came from another file in the same commit; it is followed there. */
function moved(trace: Traced, changes: CommitChanges["changes"], versions: Versions): boolean {
  // A copy leaves the other file as it was.
  const gone = changes.flatMap(({ path, before: [old = null], after }) =>
    old === null || after !== null || !MANIFEST_NAME.test(path) ? [] : [{ path, old }],
  );
  versions.fetch(gone.map(({ old }) => old));
  const from = gone.find(({ old }) => versions.text(old).includes(trace.ciphertext));
  if (from !== undefined) trace.path = from.path;
  return from !== undefined;
}

/** Versions of files, each read once. */
class Versions {
  readonly #top: string;
  #bytes = 0;
  readonly #texts = new Map<string, string>();
  readonly #sealed = new Map<string, ReturnType<typeof sealedTextsIn>>();

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

  /** Empty for what was not fetched. */
  text(id: string): string {
    return this.#texts.get(id) ?? "";
  }

  sealed(id: string): ReturnType<typeof sealedTextsIn> {
    const known = this.#sealed.get(id) ?? sealedTextsIn(this.text(id));
    this.#sealed.set(id, known);
    return known;
  }
}

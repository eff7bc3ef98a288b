// The commits of a repository, with what each changed, as `git log` tells it.

import { SignetError } from "../../shared/errors.ts";
import { gitText, SUBMODULE } from "./gitprocess.ts";

interface Commit {
  readonly id: string;
  readonly author: string;
  /** ISO 8601. */
  readonly date: string;
  readonly subject: string;
  readonly parents: readonly string[];
}

/** A file that a commit changed; for a merge, one that is as none of its parents has it. */
export interface Change {
  readonly path: string;
  /** Its path and blob in each parent; null where it was not there. One of each for a root. */
  readonly oldPaths: readonly string[];
  readonly before: readonly (string | null)[];
  /** Null where it is taken away. */
  readonly after: string | null;
}

export interface CommitChanges extends Commit {
  readonly changes: readonly Change[];
}

/**
 * Nothing in a commit can hold a NUL: neither its texts, which Git takes as they are instead of
 * converting them, nor a path.
 */
const FORMAT = ["%H", "%P", "%an <%ae>", "%aI", "%s"].map((field) => `${field}%x00`).join("");

/**
 * Commits with what each changed, every commit before its parents, else the newest first. What a
 * merge only brings together is listed at the commits that it comes from. `args`: which commits and
 * paths, as `git log` takes them.
 * @throws SignetError io
 */
export function historyOf(
  args: readonly string[],
  cwd: string,
  { hasPatterns = false } = {},
): CommitChanges[] {
  const options = ["-z", "--raw", "--no-abbrev", "-c", "--combined-all-paths", "--root"];
  // Nothing that a user's settings add; and no branch left out because its changes were undone.
  const plain = ["--no-color", "--no-show-signature", "--no-relative", "--encoding=none"];
  const order = ["--date-order", "--full-history", `--format=${FORMAT}`];
  const output = gitText(["log", ...options, ...plain, ...order, ...args], { cwd, hasPatterns });
  return commitsIn(output);
}

/** Commits of a branch that are read at most. */
const MAX_COMMITS = 50_000;

/**
 * The commits of the branch that is checked out, the newest first, with the files that each changed: a
 * merge with all that it brought. A renamed file is one that went and one that came. Without patterns of
 * paths, which take Git four times as long.
 * @throws SignetError io
 */
export function branchHistory(cwd: string): CommitChanges[] {
  const options = ["-z", "--raw", "--no-abbrev", "-m", "--first-parent", "--root", "--no-renames"];
  const plain = ["--no-color", "--no-show-signature", "--no-relative", "--encoding=none"];
  const which = [`--max-count=${MAX_COMMITS}`, `--format=${FORMAT}`];
  return commitsIn(gitText(["log", ...options, ...plain, ...which], { cwd }));
}

/**
 * Reads the output of `git log`.
 * @throws SignetError io if it is not as expected
 * @internal for its test
 */
export function commitsIn(output: string): CommitChanges[] {
  return new LogReader(output.split("\0")).commits();
}

/** Reads the output of `git log` by counting fields: no text in it can pass for another field. */
class LogReader {
  readonly #fields: readonly string[];
  #at = 0;

  constructor(fields: readonly string[]) {
    this.#fields = fields;
  }

  commits(): CommitChanges[] {
    const commits: CommitChanges[] = [];
    // The last field is what follows the last NUL.
    while (this.#at < this.#fields.length - 1) commits.push(this.#commit());
    return commits;
  }

  #commit(): CommitChanges {
    const id = this.#next(/^[0-9a-f]{40,64}$/);
    const parents = this.#next(/^[0-9a-f ]*$/);
    const author = this.#next();
    const date = this.#next();
    const subject = this.#next();
    const changes: Change[] = [];
    while (/^\n?$/.test(this.#peek()) && this.#at < this.#fields.length - 1) this.#at++;
    while (/^\n?:/.test(this.#peek())) changes.push(this.#change());
    return {
      id,
      author,
      date,
      subject: subject.trim(),
      parents: parents.split(" ").filter((each) => each !== ""),
      changes,
    };
  }

  /** `:MODE MODE BLOB BLOB STATUS` and paths; a merge has a colon, mode and blob for each parent. */
  #change(): Change {
    const entry = this.#next(/^\n?:+[0-9a-f ]+ [A-Z]+\d*$/).trimStart();
    const colons = entry.lastIndexOf(":") + 1;
    const numbers = entry.slice(colons).split(" ");
    const status = numbers.pop() ?? "";
    const modes = numbers.slice(0, colons + 1);
    const blobs = numbers
      .slice(colons + 1)
      .map((id, side) => (/^0+$/.test(id) || modes[side] === SUBMODULE ? null : id));
    const isRename = colons === 1 && /^[RC]/.test(status);
    const count = colons > 1 ? colons + 1 : isRename ? 2 : 1;
    const paths = Array.from({ length: count }, () => this.#next());
    return {
      path: paths.at(-1) ?? "",
      oldPaths: count === 1 ? paths : paths.slice(0, -1),
      before: blobs.slice(0, -1),
      after: blobs.at(-1) ?? null,
    };
  }

  #peek(): string {
    return this.#fields[this.#at] ?? "";
  }

  /** @throws SignetError io unless it is as expected: then what follows would be misread */
  #next(expected = /^/): string {
    const field = this.#fields[this.#at++];
    if (field !== undefined && expected.test(field)) return field;
    throw new SignetError("io", "git log: its output cannot be read");
  }
}

// The commits that changed one file, under any of its former names.

import { type CommitChanges, historyOf } from "./history.ts";

/** Former names are searched for in one go each; a history made of renames is read as a whole. */
const MAX_SEARCHES = 8;
/** The same for commits in which the file came or went. */
const MAX_MOVES = 500;

const MANIFESTS = ["yaml", "yml", "json"].map((ending) => `:(top,icase)*.${ending}`);

/**
 * The commits of HEAD that changed the file, in the order of `historyOf`. `path`: from the top of the
 * working tree on. Git's own --follow loses one side of a fork.
 * @throws SignetError io
 */
export function historyOfFile(path: string, top: string): CommitChanges[] {
  let names = [path];
  for (let searches = 0; searches < MAX_SEARCHES; searches++) {
    const commits = commitsWith(names, top);
    if (commits === null) break;
    const found = following(path, commits);
    const others = found.names.filter((name) => !names.includes(name));
    if (others.length === 0) return found.commits;
    names = [...names, ...others];
  }
  return following(path, renamesIn([], names, top)).commits;
}

/**
 * The commits that changed a file of one of these names. Null if too many of them may be renames.
 *
 * A search for names alone reads only the folders on the way to them. It does not show a rename, so
 * where a file came or went, all manifests of the commit are compared.
 */
function commitsWith(names: readonly string[], top: string): CommitChanges[] | null {
  const plain = ["--no-renames", "--no-follow", "--", ...names];
  const commits = historyOf(plain, top);
  const moves = commits
    .filter(({ changes }) =>
      changes.some(({ before, after }) => after === null || before.includes(null)),
    )
    .map(({ id }) => id);
  if (moves.length === 0) return commits;
  if (moves.length > MAX_MOVES) return null;
  const compared = renamesIn(["--no-walk=unsorted", ...moves], names, top);
  const whole = new Map(compared.map((commit) => [commit.id, commit]));
  return commits.map((commit) => whole.get(commit.id) ?? commit);
}

/** Commits with all changes of manifests and of these names, each rename as one change. */
function renamesIn(
  which: readonly string[],
  names: readonly string[],
  top: string,
): CommitChanges[] {
  const paths = [...names.map((name) => `:(top,literal)${name}`), ...MANIFESTS];
  return historyOf(["-M", ...which, "--", ...paths], top, { hasPatterns: true });
}

/** The commits that changed the file, and its names: that in `path`, then each former one. */
function following(
  path: string,
  commits: readonly CommitChanges[],
): { commits: CommitChanges[]; names: string[] } {
  const names = new Set([path]);
  const changed = commits.flatMap((commit) => {
    const changes = commit.changes.filter((change) => names.has(change.path));
    for (const { oldPaths } of changes) for (const each of oldPaths) names.add(each);
    return changes.length === 0 ? [] : [{ ...commit, changes }];
  });
  return { commits: changed, names: [...names] };
}

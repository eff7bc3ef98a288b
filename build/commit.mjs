// Which commit a build is made from.
import { spawnSync } from "node:child_process";

/**
 * Returns the commit being built: SIGNET_COMMIT, or else Git's HEAD; empty if unknown. HEAD does
 * not count if `root` is not the root of the repository: then it belongs to another project.
 */
export function commitOfTree(root) {
  const given = process.env.SIGNET_COMMIT ?? "";
  if (given !== "") {
    if (!/^[0-9a-f]{7,64}(-dirty)?$/.test(given)) {
      throw new Error("SIGNET_COMMIT is not the hash of a commit");
    }
    return given.replace(/^(.{7})[0-9a-f]*/, "$1");
  }
  const git = (...args) => {
    const { status, stdout } = spawnSync("git", ["--no-optional-locks", "-C", root, ...args], {
      encoding: "utf8",
    });
    return status === 0 ? stdout.trim() : undefined;
  };
  if (git("rev-parse", "--show-prefix") !== "") return "";
  const hash = git("rev-parse", "HEAD");
  if (hash === undefined) return "";
  const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
  return `${hash.slice(0, 7)}${changed ? "-dirty" : ""}`;
}

// Builds our programs as they were in another commit, to measure them side by side.
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";

/** A build of another commit. */
export interface OtherBuild {
  /** As the person named it. */
  readonly name: string;
  readonly programs: string;
}

/**
 * Checks the commit out into `scratch` and builds it there, with our packages if it asks for the same.
 * @throws Error with git's, npm's or the build's own words
 */
export function buildOther(name: string, scratch: string): OtherBuild {
  const tree = join(scratch, "other");
  const programs = join(scratch, "other-dist");
  const commit = run([
    "git",
    "rev-parse",
    "--verify",
    "--quiet",
    "--end-of-options",
    `${name}^{commit}`,
  ]);
  run(["git", "clone", "--quiet", "--shared", "--no-checkout", ".", tree]);
  run(["git", "checkout", "--quiet", "--detach", commit.trim()], tree);
  const hasOurs =
    run(["git", "diff", "--name-only", commit.trim(), "--", "package-lock.json"]) === "";
  // A link would lead the bundler out of the tree.
  if (hasOurs)
    cpSync("node_modules", join(tree, "node_modules"), { recursive: true, filter: isPackage });
  else run(["npm", "ci", "--no-audit", "--no-fund"], tree);
  run(["npm", "run", "--silent", "build"], tree);
  if (!existsSync(join(tree, "dist"))) throw new Error(`the build of ${name} made no dist/`);
  cpSync(join(tree, "dist"), programs, { recursive: true });
  return { name, programs };
}

/** What the build keeps between its packages is of this tree. */
const isPackage = (path: string): boolean => path !== join("node_modules", ".cache");

function run([program = "", ...args]: readonly string[], cwd = "."): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8" });
  if (status === 0) return stdout;
  throw new Error(
    `${program} ${args.join(" ")}: ${error?.message ?? (stderr || `exit ${status}`)}`,
  );
}

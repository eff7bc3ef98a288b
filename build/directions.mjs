// An ESLint rule that enforces which folder may import which; docs/architecture.md describes them.
import { dirname, join, relative } from "node:path";

/**
 * Layers, from lowest to highest. A layer is a folder, or a single file. It may import itself and
 * any layer listed before it.
 */
const SHARED = [
  "shared",
  "shared/manifest",
  "shared/kubernetes",
  "shared/hpke",
  "shared/envelopes",
  "shared/keys",
  "shared/sealing",
  "shared/template",
];
const HOST = [...SHARED, "host", "host/kubernetes", "host/kms"];
const HOUSES = {
  shared: SHARED,
  host: HOST,
  controller: [...HOST, "controller"],
  library: [...SHARED, "library"],
  page: [...SHARED, "page"],
  cli: [
    ...HOST,
    "cli/terminal",
    "cli/report",
    "cli/git",
    "cli/cluster",
    "cli/recovery",
    "cli/repository",
    "cli/sealing",
    "cli/checks",
    "cli/options.ts",
    "cli/commands",
    "cli/kubeseal",
    "cli",
  ],
};

/** Returns the layer that contains a file: the longest matching entry of `rooms`. */
function roomOf(file, rooms) {
  const fitting = rooms.filter((room) => file === room || file.startsWith(`${room}/`));
  return fitting.sort((a, b) => b.length - a.length)[0];
}

/** Returns the command that a file belongs to. A command may not import another command's files. */
function commandOf(file) {
  return /^cli\/commands\/([^/.]+)/.exec(file)?.[1];
}

/**
 * Returns why `from` may not import `to`, or undefined if it may. Both paths are relative to the
 * root of the project.
 */
export function whyNot(from, to) {
  const rooms = HOUSES[from.split("/")[0]];
  if (rooms === undefined) return undefined;
  const [here, there] = [roomOf(from, rooms), roomOf(to, rooms)];
  if (there === undefined)
    return `${dirname(to)}/ is not among the folders that ${here}/ may import`;
  if (rooms.indexOf(there) > rooms.indexOf(here))
    return `${there}/ is a higher layer than ${here}/`;
  const [mine, theirs] = [commandOf(from), commandOf(to)];
  if (mine !== undefined && theirs !== undefined && mine !== theirs) {
    return `the command ${mine} may not import the command ${theirs}`;
  }
  return undefined;
}

const rule = {
  meta: { type: "problem", schema: [] },
  create(context) {
    const from = relative(context.cwd, context.filename);
    const check = (node) => {
      const to = node?.value;
      if (typeof to !== "string" || !to.startsWith(".")) return;
      const why = whyNot(from, join(dirname(from), to));
      if (why !== undefined) context.report({ node, message: `${why}; see docs/architecture.md` });
    };
    return {
      ImportDeclaration: ({ source }) => check(source),
      ExportNamedDeclaration: ({ source }) => check(source),
      ExportAllDeclaration: ({ source }) => check(source),
      ImportExpression: ({ source }) => check(source),
      TSImportType: ({ argument, source }) => check(source ?? argument?.literal),
    };
  },
};

export default { rules: { direction: rule } };

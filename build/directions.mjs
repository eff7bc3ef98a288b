// The direction of imports, as a rule for ESLint: docs/architecture.md shows the same house.
import { dirname, join, relative } from "node:path";

/**
 * The rooms, from the ground up: a folder, or a file that is a room of its own. A room may import
 * itself and what stands before it in its own list.
 */
const SHARED = [
  "shared",
  "shared/manifest",
  "shared/kubernetes",
  "shared/envelopes",
  "shared/keys",
  "shared/sealing",
  "shared/template",
];
const HOST = [...SHARED, "host", "host/kubernetes"];
const HOUSES = {
  shared: SHARED,
  host: HOST,
  controller: [...HOST, "controller"],
  library: [...SHARED, "library"],
  cli: [
    ...HOST,
    "cli/terminal",
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

/** The room that a file is in: the longest name of the list that fits. */
function roomOf(file, rooms) {
  const fitting = rooms.filter((room) => file === room || file.startsWith(`${room}/`));
  return fitting.sort((a, b) => b.length - a.length)[0];
}

/** The command that a file belongs to; none of another command's files may be imported. */
function commandOf(file) {
  return /^cli\/commands\/([^/.]+)/.exec(file)?.[1];
}

/** Why `from` may not import `to`; undefined where it may. Both below the root of the project. */
function whyNot(from, to) {
  const rooms = HOUSES[from.split("/")[0]];
  if (rooms === undefined) return undefined;
  const [here, there] = [roomOf(from, rooms), roomOf(to, rooms)];
  if (there === undefined) return `${dirname(to)}/ is outside of what ${here}/ may import`;
  if (rooms.indexOf(there) > rooms.indexOf(here)) return `${there}/ stands above ${here}/`;
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

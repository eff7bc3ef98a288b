// The results that docs/benchmarks.md shows: a file for each part in bench/results, and the tables
// that are generated from it, between two comments of the page.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Runner } from "./nodes.ts";
import {
  type Check,
  type PartReport,
  summarized,
  type SummarizedFigure,
  type Table,
  tablesOf,
} from "./report.ts";

/** What a part of the bench found, and where and when. */
export interface Result {
  /** Such as 2026-11-30. */
  readonly date: string;
  /** The short id of the commit; null where it was not recorded. */
  readonly commit: string | null;
  /** Such as `2 cores (AMD EPYC)`; null where it was not recorded. */
  readonly machine: string | null;
  /** Such as `Node 24.21.0`; empty where it was not recorded. */
  readonly nodes: readonly string[];
  /** The arguments of `npm run bench --`; null where they were not recorded. */
  readonly command: string | null;
  readonly figures: readonly SummarizedFigure[];
  readonly checks: readonly Check[];
  readonly tables: readonly Table[];
  readonly notes: readonly string[];
}

const FOLDER = "bench/results";
/** Of the page with the results. */
export const PAGE = "docs/benchmarks.md";

const start = (name: string): string => `<!-- results of ${name}: npm run bench:docs -->`;
const END = "<!-- end of results -->";
const BLOCK = /^<!-- results of ([\w-]+): npm run bench:docs -->$[^]*?^<!-- end of results -->$/gm;

/** Keeps what a part found, in place of what it found before. */
export function keepResult(
  part: string,
  report: PartReport,
  run: Pick<Result, "commit" | "machine" | "command"> & { readonly nodes: readonly Runner[] },
): void {
  const { figures, checks, tables = [], notes } = report;
  const result: Result = {
    date: new Date().toISOString().slice(0, 10),
    commit: run.commit,
    machine: run.machine,
    nodes: run.nodes.map(({ label }) => label),
    command: run.command,
    figures: figures.map(summarized),
    checks,
    tables,
    notes,
  };
  writeFileSync(join(FOLDER, `${part}.json`), `${JSON.stringify(result, null, 2)}\n`);
}

/** Every result that is kept, by the name of its file. */
export function keptResults(): Map<string, Result> {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  return new Map(
    names
      .sort()
      .map((name) => [
        name.slice(0, -".json".length),
        JSON.parse(readFileSync(join(FOLDER, name), "utf8")) as Result,
      ]),
  );
}

/**
 * The page with the tables of these results between its comments.
 * @throws Error if a result has no place in the page, or a place has no result
 */
export function withResults(page: string, results: ReadonlyMap<string, Result>): string {
  const placed = new Set<string>();
  const text = page.replaceAll(BLOCK, (_, name: string) => {
    const result = results.get(name);
    if (result === undefined) throw new Error(`${PAGE}: ${FOLDER}/${name}.json does not exist`);
    placed.add(name);
    return [start(name), ...blocksOf(result), END].join("\n\n");
  });
  const lost = [...results.keys()].find((name) => !placed.has(name));
  if (lost === undefined) return text;
  throw new Error(`${PAGE}: no place for ${lost}: add the lines ${start(lost)} and ${END}`);
}

function blocksOf({ figures, checks, tables, notes, ...run }: Result): string[] {
  const list = notes.map((note) => `- ${note}`).join("\n");
  return [...sourceOf(run), ...tablesOf(figures, checks, tables), list].filter(
    (text) => text !== "",
  );
}

/** A sentence; none for results from before runs were recorded: the text around them says it. */
function sourceOf({
  date,
  commit,
  machine,
  nodes,
  command,
}: Pick<Result, "date" | "commit" | "machine" | "nodes" | "command">): string[] {
  if (commit === null || machine === null || command === null) return [];
  const facts = [date, `commit ${commit}`, machine, nodes.join(", "), `\`${command}\``];
  return [`Recorded: ${facts.join("; ")}.`];
}

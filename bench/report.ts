// Formats results as Markdown tables: medians, ratios, and targets met or missed.
// docs/benchmarks.md explains each row and holds the latest results.

export type Unit = "ms" | "s" | "per s" | "MB";

/** One program at one task, measured several times. */
export interface Figure {
  readonly task: string;
  readonly program: string;
  readonly unit: Unit;
  readonly samples: readonly number[];
}

/** A figure compared with another one, and with the target if there is one. */
export interface Check {
  readonly task: string;
  readonly program: string;
  readonly found: string;
  /** Undefined if the figure is only informative. */
  readonly target?: string;
  /** Undefined if there is no target, or a measurement that it depends on was not run. */
  readonly met?: boolean;
}

/** Results that are not measurements, such as counts. */
export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface PartReport {
  readonly title: string;
  readonly figures: readonly Figure[];
  readonly checks: readonly Check[];
  readonly tables?: readonly Table[];
  /** What the reader needs to know to interpret the figures, and what was not run. */
  readonly notes: readonly string[];
}

interface Summary {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** @throws Error if there are no samples */
function summarize(samples: readonly number[]): Summary {
  const ordered = [...samples].sort((a, b) => a - b);
  const at = (index: number): number => {
    const value = ordered[index];
    if (value === undefined) throw new Error("a figure without a sample");
    return value;
  };
  const last = ordered.length - 1;
  const median = (at(Math.floor(last / 2)) + at(Math.ceil(last / 2))) / 2;
  return { min: at(0), median, max: at(last) };
}

export function median(samples: readonly number[]): number {
  return summarize(samples).median;
}

/** Returns the smallest sample that at least `share` of all do not exceed. */
export function percentile(samples: readonly number[], share: number): number {
  const ordered = [...samples].sort((a, b) => a - b);
  return ordered[Math.ceil(ordered.length * share) - 1] ?? Number.NaN;
}

/** Returns the median of one program among the figures of a task. */
export function medianOf(figures: readonly Figure[], program: string): number {
  return median(figures.find((figure) => figure.program === program)?.samples ?? []);
}

/** Compares `times` with a bound: `atMost` for a cost, `atLeast` for a gain. */
export function ratioCheck(
  facts: { task: string; program: string; against: string },
  times: number,
  bound?: { atMost: number } | { atLeast: number },
): Check {
  const { task, program, against } = facts;
  const found = `${formatNumber(times)} times ${against}`;
  if (bound === undefined) return { task, program, found };
  return "atMost" in bound
    ? { task, program, found, target: `at most ${bound.atMost}`, met: times <= bound.atMost }
    : { task, program, found, target: `at least ${bound.atLeast}`, met: times >= bound.atLeast };
}

export function formatNumber(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

/** The figures of programs whose label ends in `, NAME`, held against those without that ending. */
export function comparedWith(name: string, figures: readonly Figure[]): Table[] {
  const ending = `, ${name}`;
  const rows = figures.flatMap(({ task, program, samples }) => {
    const others = figures.find((other) => {
      return other.task === task && other.program === program + ending;
    });
    if (others === undefined) return [];
    const [ours, theirs] = [summarize(samples), summarize(others.samples)];
    // Only where all samples of one are below all of the other, chance is surely not the reason.
    const isApart = ours.max < theirs.min || theirs.max < ours.min;
    const areFew = Math.min(samples.length, others.samples.length) < MIN_SAMPLES;
    const doubt = areFew ? "few samples" : isApart ? "" : "the samples overlap";
    return [[task, program, formatNumber(ours.median / theirs.median), doubt]];
  });
  return rows.length === 0 ? [] : [{ head: ["task", "program", `times ${name}`, ""], rows }];
}

/** With fewer samples of each, any two programs are often apart by chance. */
const MIN_SAMPLES = 5;

/** A figure without its samples. */
export interface SummarizedFigure extends Summary {
  readonly task: string;
  readonly program: string;
  readonly unit: Unit;
  /** How many samples there were. */
  readonly runs: number;
}

export function summarized({ task, program, unit, samples }: Figure): SummarizedFigure {
  return { task, program, unit, ...summarize(samples), runs: samples.length };
}

/** The tables of figures, checks and other results; those without rows are left out. */
export function tablesOf(
  figures: readonly SummarizedFigure[],
  checks: readonly Check[],
  others: readonly Table[],
): string[] {
  const figureRows = figures.map(({ task, program, unit, median, min, max, runs }) => {
    const numbers = [median, min, max].map((value) => `${formatNumber(value)} ${unit}`);
    return [task, program, ...numbers, String(runs)];
  });
  const checkRows = checks.map(({ task, program, found, target, met }) => [
    ...[task, program, found, target ?? ""],
    target === undefined ? "" : met === undefined ? "not run" : met ? "meets" : "MISSES",
  ]);
  const tables: Table[] = [
    { head: ["task", "program", "median", "min", "max", "runs"], rows: figureRows },
    { head: ["task", "program", "found", "target", ""], rows: checkRows },
    ...others,
  ];
  return tables.map(({ head, rows }) => formatTable(head, rows)).filter((text) => text !== "");
}

/** Formats one part as Markdown that is also readable in a terminal. */
export function formatPart({ title, figures, checks, tables = [], notes }: PartReport): string {
  return [
    `## ${title}`,
    ...tablesOf(figures.map(summarized), checks, tables),
    ...notes.map((note) => `- ${note}`),
  ]
    .join("\n\n")
    .replaceAll(/^(- .*)\n\n(?=- )/gm, "$1\n")
    .concat("\n");
}

function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const widths = head.map((cell, column) =>
    Math.max(3, cell.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = line(widths.map((width) => "-".repeat(width)));
  return [line(head), rule, ...rows.map(line)].join("\n");
}

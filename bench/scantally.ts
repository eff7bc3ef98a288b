// Counts the answers of scanners: in how many files with a Secret, and in how many without, each
// reported anything.

/** A file, or a folder of files, that scanners look at. */
export interface Sample {
  readonly group: string;
  /** Whether a Kubernetes Secret in plain text is in it. */
  readonly hasSecret: boolean;
  /** Its folder among those that are scanned at once: empty, or with a slash at the end. */
  readonly folder: string;
}

/** What a scanner reports. */
export interface Hit {
  readonly file: string;
  /** From 1. */
  readonly firstLine: number;
  readonly lastLine: number;
}

/** What one scanner reports for one sample. */
type Answer = "nothing" | "elsewhere" | "in the object";

export interface Answers {
  readonly sample: Sample;
  /** One for each scanner. */
  readonly answers: readonly Answer[];
}

/**
 * Returns what `hits` say about a sample. `objects`: the first lines of its Secrets. `textOf`:
 * returns the text of a file.
 */
export function answerOf(
  { folder }: Sample,
  hits: readonly Hit[],
  objects: readonly Hit[],
  textOf: (file: string) => string,
): Answer {
  const within = hits.filter(({ file }) => file.startsWith(folder));
  if (within.length === 0) return "nothing";
  const isInObject = within.some(({ file, firstLine, lastLine }) =>
    objects.some((object) => {
      if (object.file !== file) return false;
      const [first, last] = linesOfObject(textOf(file), object.firstLine);
      return firstLine <= last && lastLine >= first;
    }),
  );
  return isInObject ? "in the object" : "elsewhere";
}

/**
 * The first and last line of an object that begins at `line`, by indentation.
 * @internal for its test
 */
export function linesOfObject(text: string, line: number): [number, number] {
  const lines = text.split("\n");
  const depth = depthOf(lines[line - 1] ?? "");
  let last = line;
  for (let next = line; next < lines.length; next++) {
    const below = lines[next] ?? "";
    if (/^---/.test(below)) break;
    if (below.trim() === "" || /^\s*#/.test(below)) continue;
    if (depthOf(below) < depth || /^\s*- /.test(below.slice(0, depth))) break;
    last = next + 1;
  }
  return [line, last];
}

/** How far the first key of a line is indented; the mark of a list is part of the indentation. */
function depthOf(line: string): number {
  return /^\s*(?:- +)*/.exec(line)?.[0].length ?? 0;
}

export interface Tally {
  readonly group: string;
  readonly withSecret: number;
  readonly without: number;
  /** One for each scanner. */
  readonly scanners: readonly {
    readonly found: number;
    readonly inObject: number;
    readonly falseAlarms: number;
  }[];
}

/** One for each group, in the order in which they come, and one for all. */
export function tallies(all: readonly Answers[]): Tally[] {
  const groups = [...new Set(all.map(({ sample }) => sample.group))];
  const counted = groups.map((group) =>
    tally(
      group,
      all.filter(({ sample }) => sample.group === group),
    ),
  );
  return [...counted, tally("all", all)];
}

function tally(group: string, all: readonly Answers[]): Tally {
  const secret = all.filter(({ sample }) => sample.hasSecret);
  const without = all.filter(({ sample }) => !sample.hasSecret);
  const scanners = (all[0]?.answers ?? []).map((_, index) => {
    const count = (from: readonly Answers[], fits: (answer: Answer) => boolean): number =>
      from.filter(({ answers }) => fits(answers[index] ?? "nothing")).length;
    return {
      found: count(secret, (answer) => answer !== "nothing"),
      inObject: count(secret, (answer) => answer === "in the object"),
      falseAlarms: count(without, (answer) => answer !== "nothing"),
    };
  });
  return { group, withSecret: secret.length, without: without.length, scanners };
}

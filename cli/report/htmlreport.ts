// A report as one static HTML file: tables for a reader, an auditor or a printer. It has no script, and
// its policy allows none; every text is escaped.

import { createHash } from "node:crypto";
import { BUILD } from "../../shared/version.ts";
import { shownLine } from "../terminal/shown.ts";
import { STYLE } from "./reportstyle.ts";

/** A text, or one with a tone that a reader should notice. */
export type Cell = string | { readonly text: string; readonly tone: "good" | "warn" | "bad" };

interface ReportTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** A span of time on a line of its own. */
export interface Bar {
  readonly label: string;
  readonly from: Date;
  readonly to: Date;
  readonly tone: "good" | "warn" | "bad";
}

export interface ReportSection {
  readonly heading: string;
  readonly notes?: readonly string[];
  readonly bars?: readonly Bar[];
  readonly table?: ReportTable;
}

export interface Report {
  readonly title: string;
  /** What it is a report of, one sentence a line. */
  readonly summary: readonly string[];
  readonly sections: readonly ReportSection[];
}

/** Returns the report as HTML. `now`: when it was made. */
export function htmlReport({ title, summary, sections }: Report, now: Date): string {
  const hash = createHash("sha256").update(STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`;
  const made = `${now.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  return `<!doctype html>
<html lang="en" translate="no">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escaped(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escaped(title)}</h1>
<p class="faint">Made on ${escaped(made)} by signet ${escaped(BUILD)}. It contains names, but no secret values.</p>
${summary.map((line) => `<p>${escaped(line)}</p>`).join("\n")}
</header>
<main>
${sections.map(sectionOf).join("\n")}
</main>
</body>
</html>
`;
}

/** Text as HTML, without what would turn around or hide what follows it. */
function escaped(text: string): string {
  return shownLine(text).replace(
    /[&<>"']/g,
    (character) => `&#${character.charCodeAt(0).toString()};`,
  );
}

function sectionOf({ heading, notes = [], bars = [], table }: ReportSection): string {
  return [
    "<section>",
    `<h2>${escaped(heading)}</h2>`,
    ...notes.map((note) => `<p>${escaped(note)}</p>`),
    ...(bars.length === 0 ? [] : [timeline(heading, bars)]),
    ...(table === undefined || table.rows.length === 0 ? [] : [tableOf(heading, table)]),
    "</section>",
  ].join("\n");
}

function tableOf(heading: string, { head, rows }: ReportTable): string {
  const heads = head.map((each) => `<th scope="col">${escaped(each)}</th>`).join("");
  const lines = rows.map((row) => `<tr>${row.map(cellOf).join("")}</tr>`);
  return [
    // A wide table scrolls, also by the keyboard.
    `<div class="wide" tabindex="0" role="region" aria-label="${escaped(heading)}"><table>`,
    `<thead><tr>${heads}</tr></thead>`,
    `<tbody>${lines.join("\n")}</tbody>`,
    "</table></div>",
  ].join("\n");
}

/** A date or a number stays on one line. */
const SHORT = 12;

function cellOf(cell: Cell): string {
  if (typeof cell === "string") {
    return `<td${cell.length > SHORT ? "" : ' class="short"'}>${escaped(cell)}</td>`;
  }
  return `<td class="${cell.tone}">${escaped(cell.text)}</td>`;
}

const LINE = 28;
const LABELS = 170;
const WIDTH = 900;

/** Spans of time below each other. A style attribute would be against the policy; attributes of SVG are not. */
function timeline(heading: string, bars: readonly Bar[]): string {
  const first = Math.min(...bars.map(({ from }) => from.getTime()));
  const last = Math.max(...bars.map(({ to }) => to.getTime()), first + 1);
  const at = (date: Date): number =>
    LABELS + Math.round(((date.getTime() - first) / (last - first)) * (WIDTH - LABELS));
  const lines = bars.map(({ label, from, to, tone }, index) => {
    const y = index * LINE;
    const width = Math.max(3, at(to) - at(from));
    return (
      `<text x="0" y="${y + 18}">${escaped(label)}</text>` +
      `<rect class="${tone}" x="${Math.min(at(from), WIDTH - 3)}" y="${y + 4}" width="${width}" height="${LINE - 8}" rx="3"/>`
    );
  });
  const height = bars.length * LINE + 20;
  const day = (time: number): string => new Date(time).toISOString().slice(0, 10);
  return [
    '<div class="wide">',
    `<svg role="img" aria-label="${escaped(heading)}, as the table below" viewBox="0 0 ${WIDTH} ${height}">`,
    ...lines,
    `<text class="axis" x="${LABELS}" y="${height - 4}">${day(first)}</text>`,
    `<text class="axis end" x="${WIDTH}" y="${height - 4}">${day(last)}</text>`,
    "</svg></div>",
  ].join("\n");
}

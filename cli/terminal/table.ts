// Rows of text as a table.

import { type Line, lineOf, type Part, textOf } from "./line.ts";
import { terminalWidth } from "./width.ts";

const GAP = "  ";
/** A column does not become narrower than this, so that a terminal may still break its lines. */
const NARROWEST = 12;

/**
 * Columns as wide as their widest cell, two spaces apart. Where they are wider than `width`, the widest
 * columns become narrower and their cells shorter: of a path its end stays, of others their beginning.
 * Where even that does not fit, each row becomes a paragraph of heads and cells.
 */
export function table(rows: readonly (readonly Part[])[], width = terminalWidth()): Line[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((widest, row) => Math.max(widest, textOf(row[column] ?? "").length), 0),
  );
  const room = width - GAP.length * (widths.length - 1);
  narrow(widths, room);
  if (widths.reduce((sum, each) => sum + each, 0) > room) return folded(rows, width);
  return rows.map((row) =>
    lineOf(
      row.flatMap((cell, column) => {
        const most = widths[column] ?? 0;
        const shown = shortened(cell, most);
        return [shown, " ".repeat(most - textOf(shown).length) + GAP];
      }),
    ),
  );
}

function folded([heads = [], ...rows]: readonly (readonly Part[])[], width: number): Line[] {
  return rows.flatMap((row) => {
    const lines: Part[][] = [];
    let length = 0;
    for (const [column, cell] of row.entries()) {
      const head = `${textOf(heads[column] ?? "")} `;
      const shown = shortened(cell, Math.max(2, width - GAP.length - head.length));
      const last = lines.at(-1);
      const pairLength = head.length + textOf(shown).length;
      if (last === undefined) lines.push([head, shown]);
      else if (length + GAP.length + pairLength > width) lines.push([GAP + head, shown]);
      else last.push(GAP + head, shown);
      const isSameLine = lines.at(-1) === last;
      length = (isSameLine ? length : 0) + (last === undefined ? 0 : GAP.length) + pairLength;
    }
    return lines.map(lineOf);
  });
}

/** Takes from the widest until all together are at most `width`, as far as that can be. */
function narrow(widths: number[], width: number): void {
  let excess = widths.reduce((sum, each) => sum + each, 0) - width;
  while (excess > 0) {
    const widest = Math.max(...widths);
    if (widest <= NARROWEST) return;
    const next = Math.max(NARROWEST, ...widths.filter((each) => each < widest));
    const columns = widths.filter((each) => each === widest).length;
    const less = Math.min(widest - next, Math.ceil(excess / columns));
    for (const [column, each] of widths.entries()) {
      if (each === widest) widths[column] = widest - less;
    }
    excess -= less * columns;
  }
}

function shortened(cell: Part, width: number): Part {
  const text = textOf(cell);
  if (text.length <= width) return cell;
  const short = text.includes("/") ? `…${text.slice(1 - width)}` : `${text.slice(0, width - 1)}…`;
  return typeof cell === "string" ? short : { ...cell, text: short };
}

// Rows of text as a table.

import { terminalWidth } from "./width.ts";

const GAP = "  ";
/** A column does not become narrower than this, so that a terminal may still break its lines. */
const NARROWEST = 12;

/**
 * Columns as wide as their widest cell, two spaces apart. Where they are wider than `width`, the widest
 * columns become narrower and their cells shorter: of a path its end stays, of others their beginning.
 * Where even that does not fit, each row becomes a paragraph of heads and cells.
 */
export function table(rows: readonly (readonly string[])[], width = terminalWidth()): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]?.length ?? 0), 0),
  );
  const room = width - GAP.length * (widths.length - 1);
  narrow(widths, room);
  if (widths.reduce((sum, each) => sum + each, 0) > room) return folded(rows, width);
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const most = widths[column] ?? 0;
        return shortened(cell, most).padEnd(most);
      })
      .join(GAP)
      .trimEnd(),
  );
}

function folded([heads = [], ...rows]: readonly (readonly string[])[], width: number): string[] {
  return rows.flatMap((row) => {
    const lines: string[] = [];
    for (const [column, cell] of row.entries()) {
      const head = `${heads[column] ?? ""} `;
      const pair = head + shortened(cell, Math.max(2, width - GAP.length - head.length));
      const last = lines.at(-1);
      if (last === undefined) lines.push(pair);
      else if (last.length + GAP.length + pair.length > width) lines.push(GAP + pair);
      else lines[lines.length - 1] = last + GAP + pair;
    }
    return lines;
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

function shortened(cell: string, width: number): string {
  if (cell.length <= width) return cell;
  return cell.includes("/") ? `…${cell.slice(1 - width)}` : `${cell.slice(0, width - 1)}…`;
}

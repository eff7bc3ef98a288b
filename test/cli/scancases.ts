// Files as repositories have them, each with the right answer of `signet scan`: test/fixtures/scan.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = "test/fixtures/scan";

export interface ScanCase {
  readonly title: string;
  /** `RULE ITEMS; ...` or `nothing`. */
  readonly want: string;
  readonly text: string;
}

/**
 * A case is a line `=== TITLE`, a line `want: RULE ITEMS; ...` or `want: nothing`, and the file. The
 * title of a file in a chart's templates begins with `chart:`; `<CRLF>` is the first line of one with
 * the line ends of Windows.
 */
function casesOf(file: string): ScanCase[] {
  const [, ...parts] = `\n${readFileSync(join(FOLDER, file), "utf8")}`.split("\n=== ");
  return parts.map((part) => {
    const [, title = "", want = "", text = ""] = /^(.*)\nwant: (.*)\n([^]*)$/.exec(part) ?? [];
    const lines = `${text.replaceAll("<BOM>", "\uFEFF")}\n`.split("\n");
    const whole = lines[0] === "<CRLF>" ? lines.slice(1).join("\r\n") : lines.join("\n");
    return { title, want, text: whole };
  });
}

export function scanCases(): ScanCase[] {
  // That one is of whole folders: trees.ts.
  const files = readdirSync(FOLDER).filter((file) => file.endsWith(".txt") && file !== "trees.txt");
  return files.flatMap(casesOf);
}

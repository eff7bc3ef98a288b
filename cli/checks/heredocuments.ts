// Here-documents of scripts and of Terraform: each is a text of its own.

/** `<<EOF`, `<<-'EOF'`, `<<~EOF`; not the marks of a conflict. */
const OPENING = /(?<!<)<<(?!<)[-~]?[ \t]*(?:"(\w+)"|'(\w+)'|\\?([A-Za-z_]\w*))/;

interface HereDocument {
  readonly text: string;
  /** How many lines are before it. */
  readonly before: number;
}

/** The here-documents in a text, and the text with blank lines in place of them; null if it has none. */
export function hereDocumentsIn(text: string): { inside: HereDocument[]; rest: string } | null {
  if (!text.includes("<<")) return null;
  const lines = text.split("\n");
  const ends = endsOf(lines);
  if (ends.size === 0) return null;
  const inside: HereDocument[] = [];
  const rest: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    rest.push(lines[at] ?? "");
    const end = ends.get(at);
    if (end === undefined) continue;
    // The shell leaves out tabs at the start of a line, and YAML has none.
    const body = lines.slice(at + 1, end).map((line) => line.replace(/^\t+/, ""));
    inside.push({ text: `${body.join("\n")}\n`, before: at + 1 });
    for (let line = at + 1; line < end; line++) rest.push("");
    at = end - 1;
  }
  return { inside, rest: rest.join("\n") };
}

/** The line on which each here-document ends, by the line that opens it. */
function endsOf(lines: readonly string[]): Map<number, number> {
  const ends = new Map<number, number>();
  const nearest = new Map<string, number>();
  for (let at = lines.length - 1; at >= 0; at--) {
    const line = lines[at] ?? "";
    const [, double, single, bare] = OPENING.exec(line) ?? [];
    const end = nearest.get(double ?? single ?? bare ?? "");
    if (end !== undefined) ends.set(at, end);
    const word = line.trim();
    if (/^\w+$/.test(word)) nearest.set(word, at);
  }
  return ends;
}

// What a document in Markdown holds that a test can check: fenced blocks, command lines, links,
// headings.

/** What the comment above a block says of it. */
type Mark =
  | { readonly kind: "test"; readonly file: string }
  | { readonly kind: "not run"; readonly reason: string }
  /** It is run, and what was before it in the document is not there. */
  | { readonly kind: "new repository" };

export interface Block {
  /** Of the first line inside the fence, counted from 1. */
  readonly line: number;
  readonly language: string;
  readonly lines: readonly string[];
  readonly mark: Mark | undefined;
}

/** Whether it is shell that is run where the document is, and not elsewhere or nowhere. */
export function isRun({ language, mark }: Block): boolean {
  const elsewhere = mark?.kind === "test" || mark?.kind === "not run";
  return (language === "sh" || language === "console") && !elsewhere;
}

interface Link {
  readonly line: number;
  readonly target: string;
}

export interface Markdown {
  readonly blocks: readonly Block[];
  /** The text outside of fences; lines inside are empty, so that numbers stay. */
  readonly prose: string;
  readonly links: readonly Link[];
  /** Anchors of the headings, as GitHub makes them. */
  readonly anchors: readonly string[];
}

const MARK = /^\s*<!-- (?:test: (\S+)|not run: (.+)|new repository) -->$/;

export function readMarkdown(text: string): Markdown {
  const blocks: Block[] = [];
  const prose: string[] = [];
  let open: { indent: string; block: Block & { lines: string[] } } | undefined;
  let above = "";
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^(\s*)```(\S*)\s*$/.exec(line);
    if (open !== undefined) {
      if (fence?.[2] === "" && fence[1] === open.indent) {
        blocks.push(open.block);
        open = undefined;
        above = "";
      } else {
        const { indent, block } = open;
        block.lines.push(line.startsWith(indent) ? line.slice(indent.length) : line);
      }
      prose.push("");
      continue;
    }
    if (fence !== null) {
      const mark = markOf(above);
      const block = { line: index + 2, language: fence[2] ?? "", lines: [], mark };
      open = { indent: fence[1] ?? "", block };
      prose.push("");
      continue;
    }
    if (line.trim() !== "") above = line;
    prose.push(line);
  }
  if (open !== undefined) throw new Error(`a fence that is opened in line ${open.block.line - 1}`);
  return {
    blocks,
    prose: prose.join("\n"),
    links: prose.flatMap((line, index) =>
      linksOf(line).map((target) => ({ line: index + 1, target })),
    ),
    anchors: prose.flatMap((line) => /^#{1,6} (.+)$/.exec(line)?.[1] ?? []).map(anchorOf),
  };
}

function markOf(line: string): Mark | undefined {
  const found = MARK.exec(line);
  if (found === null) return undefined;
  const [, file, reason] = found;
  if (file !== undefined) return { kind: "test", file };
  return reason === undefined ? { kind: "new repository" } : { kind: "not run", reason };
}

function linksOf(line: string): string[] {
  const bare = line.replaceAll(/`[^`]*`/g, "code");
  return [...bare.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target ?? "");
}

/** As GitHub makes it: lower case, without punctuation, hyphens for spaces. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(/\s/g, "-");
}

export interface Shown {
  readonly line: number;
  readonly command: string;
  /** What is shown below it; undefined in a block without prompts, which shows nothing. */
  readonly output: readonly string[] | undefined;
}

/** The command lines of a block, lines that end in a backslash joined. */
export function commandsOf(block: Block): Shown[] {
  const found: { line: number; command: string; output: string[] | undefined }[] = [];
  let unfinished = false;
  for (const [index, text] of block.lines.entries()) {
    const last = found.at(-1);
    if (unfinished && last !== undefined) last.command += `\n${text}`;
    else if (block.language === "console") {
      if (text.startsWith("$ ")) {
        found.push({ line: block.line + index, command: text.slice(2), output: [] });
      } else if (last === undefined)
        throw new Error(`line ${block.line + index}: output of nothing`);
      else last.output?.push(text);
    } else if (text.trim() !== "" && !text.startsWith("#")) {
      found.push({ line: block.line + index, command: text, output: undefined });
    }
    const isCommand: boolean = unfinished || block.language !== "console" || text.startsWith("$ ");
    unfinished = isCommand && text.endsWith("\\");
  }
  return found;
}

/** The words of each simple command in a shell line: between pipes, `&&`, `;` and in substitutions. */
export function simpleCommands(line: string): string[][] {
  const commands: string[][] = [[]];
  let word: string | undefined;
  const endWord = (): void => {
    if (word !== undefined) commands.at(-1)?.push(word);
    word = undefined;
  };
  const text = line.replaceAll("\\\n", " ");
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === "'" || character === '"') {
      const end = text.indexOf(character, at + 1);
      if (end < 0) throw new Error(`a quote that is not closed: ${line}`);
      word = (word ?? "") + text.slice(at + 1, end);
      at = end;
    } else if (/\s/.test(character)) {
      endWord();
      if (character === "\n") commands.push([]);
    } else if (character === "#" && word === undefined) {
      const end = text.indexOf("\n", at);
      at = end < 0 ? text.length : end - 1;
    } else if (/[|;&()`]/.test(character)) {
      endWord();
      commands.push([]);
    } else word = (word ?? "") + character;
  }
  endWord();
  return commands.map(withoutRedirections).filter((words) => words.length > 0);
}

/** Without `> file` and the like, and without variables that are set in front. */
function withoutRedirections(words: string[]): string[] {
  const left: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (/^\d?[<>]+$/.test(word)) at++;
    else if (/^\d?[<>]/.test(word)) continue;
    else if (left.length === 0 && /^[A-Z_]+=/.test(word)) continue;
    else if (word !== "$" && word !== "<") left.push(word);
  }
  return left;
}

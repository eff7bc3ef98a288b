// That documents say things as a native writer would. The project once had a dialect of its own; its
// words and turns of phrase are listed here, each with what to write instead. A false alarm costs more
// than a miss, so the list has only what is wrong nearly always.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { describe, expect, it } from "vitest";

/** Files and folders that are checked. */
const COVERED = [
  ...["README.md", "SECURITY.md", "SPEC.md", "CHANGELOG.md"],
  ...["CONTRIBUTING.md", "RELEASE.md", "VERSIONING.md"],
  ...["docs", "charts/signet", "templates", "action.yml", "examples", ".github"],
  ...["test/scenarios/README.md", "test/vectors/README.md"],
  // Their comments and texts.
  ...["cli", "controller", "host", "library", "page", "shared"],
  ...["bench", "build", "build.mjs", "release", "eslint.config.js"],
];

interface Phrase {
  /** Spaces in it match line breaks too. */
  readonly pattern: RegExp;
  readonly example: string;
  readonly instead: string;
}

const DIALECT: readonly Phrase[] = [
  // Words.
  phrase(/anew/, "sealed anew", "again, or re-: re-sealed, recreated"),
  phrase(/for ever/, "tried for ever", "forever"),
  phrase(/mend(?:s|ed|ing)?/, "a change mends it", "fix"),
  phrase(/told/, "a change is told", "reported, shown, printed"),
  phrase(/tells? of/, "the status tells of it", "says, reports, describes"),
  phrase(/in between/, "who is in between", "meanwhile; on the network path"),
  phrase(/otherwise than/, "read otherwise than written", "differently from"),
  phrase(/books/, "the books name the manager", "managed fields"),
  phrase(/given up/, "the command was given up", "cancelled; abandoned; stopped retrying"),
  phrase(/brought along/, "a key that was brought along", "that you brought"),
  phrase(/ever more slowly/, "tried ever more slowly", "with backoff"),
  phrase(/without a word/, "skipped without a word", "silently"),
  phrase(/without end/, "tried again without end", "forever; endless"),
  phrase(/nothing wrong/, "there was nothing wrong", "no problems found"),
  phrase(/nobody to ask/, "there is nobody to ask", "standard input is not a terminal"),
  phrase(/by wish/, "without an owner by wish", "if requested"),
  phrase(/for want of/, "evicts for want of memory", "because there is no"),
  phrase(/of before/, "the form of before 2019", "from before; former"),
  phrase(/of no use to/, "a key of no use to it", "not used by"),
  phrase(/the own/, "opens the own shares", "their own, its own"),

  // Turns of phrase.
  phrase(/(?<!there )(?:is|are|was|were) none/, "the address is none", "is invalid, is not a"),
  phrase(/(?:is|are|was|were) there already/, "it is there already", "already exists"),
  phrase(/(?:nothing|something|anything) else than/, "nothing else than keys", "other than, only"),
  phrase(/(?:to|can|cannot|could|not) be had/, "it is not to be had here", "is available"),
  phrase(/(?:is|are|was|were) asked for/, "a value is asked for", "prompts for; requires"),
  phrase(
    /(?:is|are|was|were) let (?:in|through|be)/,
    "it is let through",
    "is allowed, is accepted",
  ),
  phrase(/(?:is|are|be|was|were) put (?:back|right)/, "it is put back", "is reverted, is restored"),
  phrase(/(?:is|are|be|was|were) waited for/, "a Lease is waited for", "waits for"),
  phrase(/(?:is|are|be|was|were) looked (?:at|after|for)/, "it is looked at", "checks, serves"),
  phrase(/(?:is|are) said on standard (?:error|output)/, "is said on standard error", "is printed"),
  phrase(/(?:seals?|opens?|renews?) no more/, "a key that seals no more", "no longer seals"),
  phrase(/words (?:go )?to standard error/, "words to standard error", "messages"),
  phrase(
    /stands? (?:in|under|below|beside|behind|there)(?! the way| for)/,
    "it stands in Git",
    "is in",
  ),
  phrase(/(?:for|by|with|from) who (?:has|holds|may|can|runs|seals|makes|needs|reads)/, "for who runs it", "for anyone who, for those who"), // prettier-ignore
  phrase(/(?:needs?|wants?|with|without|has|have|no) leave to/, "you need leave to get", "permission to"), // prettier-ignore
  phrase(/(?:has|have) the (?:controllers?|cluster) (?:make|open|seal|re-seal|create|refuse)/, "has the controller make a key", "makes the controller create"), // prettier-ignore
  phrase(/(?<!there )(?:is|are) no (?:certificate|finding|item|key|manifest|name|recipient|SealedSecret|Secret|value)s?/, "a text that is no certificate", "is not a"), // prettier-ignore
];

/** A phrase between word boundaries, whatever its case and wherever its lines break. */
function phrase(words: RegExp, example: string, instead: string): Phrase {
  const source = words.source.replaceAll(" ", "\\s+");
  return { pattern: new RegExp(`(?<![\\w-])(?:${source})(?![\\w-])`, "gi"), example, instead };
}

/** Replaces what matches by spaces, so that lines and columns stay. */
function without(text: string, pattern: RegExp): string {
  return text.replaceAll(pattern, (match) => match.replaceAll(/[^\n]/g, " "));
}

const FENCE = /^(\s*)```[^]*?^\1```$/gm;
const CODE = /(`+)(?!`)[^]*?[^`]\1(?!`)/g;
/** What a test is called, which documents quote: `test/cli/x.test.ts`: "a title". */
const TITLE = /`test\/[^`]+`:\s+"[^"]+"/g;
const COMMENT_SIGN = /^[ \t]*(?:#+|\/\/+|\/?\*+)/gm;
const CODE_FILES: ReadonlySet<string> = new Set([".js", ".mjs", ".ts"]);
/** Comments and texts of these. */
const SAID = /\/\/.*|\/\*[^]*?\*\/|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g;

/** The words of a file that people read, at their places; the rest is spaces. */
function wordsOf(path: string, text: string): string {
  if (CODE_FILES.has(extname(path))) {
    const said = [...text.matchAll(SAID)];
    let words = without(text, /[^]+/g);
    for (const { 0: part, index } of said) {
      words = words.slice(0, index) + part + words.slice(index + part.length);
    }
    return without(words, COMMENT_SIGN);
  }
  const prose = [FENCE, TITLE, CODE].reduce(without, text);
  return without(prose, COMMENT_SIGN);
}

function findDialect(path: string, text: string): string[] {
  const words = wordsOf(path, text);
  return DIALECT.flatMap(({ pattern, instead }) =>
    [...words.matchAll(pattern)].map(({ 0: found, index }) => {
      const line = words.slice(0, index).split("\n").length;
      return `${path}:${line}: "${found.replaceAll(/\s+/g, " ")}": write: ${instead}`;
    }),
  );
}

const READ = new Set([".html", ".md", ".tpl", ".txt", ".yaml", ".yml", ...CODE_FILES]);

function filesOf(place: string): string[] {
  if (!statSync(place).isDirectory()) return [place];
  return readdirSync(place, { recursive: true, encoding: "utf8" })
    .map((name) => join(place, name))
    .filter((path) => READ.has(extname(path)) && statSync(path).isFile());
}

describe("the words of", () => {
  it.each(COVERED)("%s are plain English", (place) => {
    const files = filesOf(place);
    expect(files).not.toEqual([]);
    expect(files.flatMap((path) => findDialect(path, readFileSync(path, "utf8")))).toEqual([]);
  });
});

describe("the check", () => {
  it.each(DIALECT)("finds $example", ({ pattern, example, instead }) => {
    expect(example.search(pattern)).toBeGreaterThanOrEqual(0);
    expect(instead.search(pattern)).toBe(-1);
  });

  it("names file, line and what to write", () => {
    expect(findDialect("a.md", "# A title\n\nWhat is sealed\nanew.\n")).toEqual([
      'a.md:4: "anew": write: again, or re-: re-sealed, recreated',
    ]);
  });

  it("follows a phrase over the lines of a comment", () => {
    expect(findDialect("a.yaml", "# The file is there\n# already.\n")).toHaveLength(1);
  });

  it("leaves out code, and titles of tests", () => {
    const code = "```console\n$ signet log\nsealed anew\n```\n\nIt says `sealed anew`.\n";
    const title = '(`test/cluster/keys.test.ts`: "is\nmade anew")\n';
    expect(findDialect("a.md", code + title)).toEqual([]);
  });

  it("reads comments and texts of TypeScript, and no names", () => {
    const source = 'const told = 1; // told\nfail("it is none");\nwarn(`made anew ${told}`);\n';
    expect(findDialect("a.ts", source).map((line) => line.split(":")[1])).toEqual([
      "3",
      "1",
      "3",
      "2",
    ]);
  });
});

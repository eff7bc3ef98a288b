// Writes the manual pages into dist/man from the `--help` output of the built programs, so that
// both have the same text. `npm pack` and a release run it; a build does not, because it starts
// every command.

import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";

const FOLDER = "dist/man";
const CACHE = "node_modules/.cache/kube-signet";
const { version } = JSON.parse(readFileSync("package.json", "utf8"));

/**
 * Pages in addition to the commands of `signet`: program, arguments before `--help`, name of the
 * page, summary.
 */
const OTHERS = [
  ["kubeseal.cjs", [], "signet-kubeseal", "the command line of Bitnami Sealed Secrets"],
  ["signet-controller.mjs", [], "signet-controller", "decrypt SealedSecrets into Secrets"],
  [
    "signet-controller.mjs",
    ["standalone"],
    "signet-controller-standalone",
    "decrypt sealed manifests in folders into Secret files, without a cluster",
  ],
];

/**
 * A build starts without the folder. The folder appears complete, even if several processes create
 * it at the same time.
 */
function makeManual() {
  if (existsSync(FOLDER)) return;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(`${CACHE}/man-`);
  chmodSync(folder, 0o755);
  writeManual(folder);
  try {
    renameSync(folder, FOLDER);
  } catch (error) {
    if (!existsSync(FOLDER)) throw error;
  }
}

function writeManual(folder) {
  const writePage = (name, summary, helps) =>
    writeFileSync(`${folder}/${name}.1`, formatPage(name, summary, helps));
  const overview = helpOf("signet.cjs");
  writePage("signet", "keep Kubernetes Secrets in Git, encrypted", [overview]);
  for (const [command, summary] of commandsIn(overview)) {
    if (command === "help") continue;
    const help = helpOf("signet.cjs", command);
    const inner = commandsIn(help).map(([name]) => helpOf("signet.cjs", command, name));
    writePage(`signet-${command}`, summary, [help, ...inner]);
  }
  for (const [program, words, name, summary] of OTHERS) {
    writePage(name, summary, [helpOf(program, ...words)]);
  }
}

function helpOf(program, ...words) {
  const args = [`dist/${program}`, ...words, "--help"];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Name and summary of each command that a help lists. */
function commandsIn(text) {
  return blocksOf(text)
    .filter(({ kind }) => kind === "table")
    .flatMap(({ rows }) => rows)
    .map(([term, meaning]) => [term.split(" ")[0], meaning])
    .filter(([name]) => /^[a-z]+$/.test(name));
}

/** The parts of a help: headings, paragraphs, tables of options or commands, and lines to copy. */
function blocksOf(text) {
  const blocks = [];
  for (const part of text.trimEnd().split(/\n{2,}/)) {
    const lines = part.split("\n");
    if (/^\S.*:$|^Examples?:/.test(lines[0]) && lines[1]?.startsWith(" ")) {
      blocks.push({ kind: "heading", text: lines.shift().replace(/:$/, "") });
    }
    const rows = lines.every((line) => line.startsWith(" ")) ? rowsOf(lines) : [];
    if (lines.every((line) => !line.startsWith(" "))) {
      blocks.push({ kind: "paragraph", lines });
    } else if (rows.length > 0 && rows.every(([term, meaning]) => term !== "$" && meaning !== "")) {
      blocks.push({ kind: "table", rows });
    } else {
      blocks.push({ kind: "lines", lines });
    }
  }
  return blocks;
}

function rowsOf(lines) {
  const rows = [];
  for (const line of lines) {
    const [, term, meaning = ""] = /^ {2,6}(\S.*?)(?: {2,}(.*))?$/.exec(line) ?? [];
    if (term !== undefined) rows.push([term, meaning]);
    else rows.at(-1)[1] += ` ${line.trim()}`;
  }
  return rows;
}

/** Escapes text for roff, with hyphens that can be copied to a shell. */
const escaped = (text) =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^(?=[.'])/, "\\&");

const plain = (lines) => lines.map(escaped).join("\n");
const bold = (text) => `\\fB${text}\\fR`;

/** Names of options and commands are bold; their arguments are not. */
const formatTerm = (term) => escaped(term).replaceAll(/(?<=^|, )[^\s,]+/g, (name) => bold(name));

/** `macro` makes a heading: SH on the page, SS below one. */
function formatBlock({ kind, text, lines, rows }, macro) {
  if (kind === "heading") return `.${macro} ${escaped(macro === "SH" ? text.toUpperCase() : text)}`;
  if (kind === "paragraph") return `.PP\n${plain(lines)}`;
  if (kind === "lines") return `.PP\n.nf\n${plain(lines)}\n.fi`;
  return rows.map(([term, meaning]) => `.TP\n${formatTerm(term)}\n${escaped(meaning)}`).join("\n");
}

/** The usage that a help starts with: one line, or lines below a heading. Then the rest. */
function withUsage(text) {
  const [first, ...rest] = blocksOf(text);
  if (first.kind === "heading") return [rest[0], rest.slice(1)];
  const lines = first.lines.map((line) => line.replace(/^Usage: /, ""));
  return [{ ...first, lines }, rest];
}

/** A page with the help of a command, and of the commands below it. */
function formatPage(name, summary, [help, ...inner]) {
  const [usage, rest] = withUsage(help);
  const body = (blocks, macro) => blocks.map((block) => formatBlock(block, macro));
  const below = inner.flatMap((text) => {
    const [{ lines }, rest] = withUsage(text);
    const [words] = lines[0].split(/ [[<]/);
    return [`.SH ${escaped(words)}`, plain(lines), ...body(rest, "SS")];
  });
  const parts = [
    `.TH ${escaped(name.toUpperCase())} 1 "" "kube\\-signet ${escaped(version)}" "Signet"`,
    `.SH NAME\n${escaped(name)} \\- ${escaped(summary)}`,
    `.SH SYNOPSIS`,
    formatBlock(usage, "SH"),
    ".SH DESCRIPTION",
    ...body(rest, "SH"),
    ...below,
  ];
  return `${parts.join("\n")}\n`;
}

makeManual();

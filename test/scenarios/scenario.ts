// Reads and runs the scenarios in this folder, whose format README.md describes, with any program.

import { execFile } from "node:child_process";
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { ExpectStatic } from "vitest";
import { clockOfChildren } from "../clock.ts";

const HERE = resolve("test/scenarios");
/** In whatever form it might leak: as text and in base64, whichever way it is aligned. */
const MARKERS = /hunter2|aHVudGVyM|h1bnRlcj|odW50ZXIy/;

interface Step {
  readonly line: number;
  readonly command: string;
  readonly stdout: string[];
  readonly stderr: string[];
  status: number;
}

interface Scenario {
  readonly steps: Step[];
  readonly files: Map<string, string>;
}

function readScenario(text: string): Scenario {
  const steps: Step[] = [];
  const files = new Map<string, string>();
  let file: string | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const header = /^-- (\S+) --$/.exec(line)?.[1];
    if (header !== undefined) {
      file = header;
      files.set(file, "");
      continue;
    }
    if (file !== undefined) {
      files.set(file, `${files.get(file) ?? ""}${line}\n`);
      continue;
    }
    const step = steps.at(-1);
    const [mark, rest] = [line.slice(0, 1), line.slice(2)];
    if (mark === "$") {
      steps.push({ line: index + 1, command: rest, stdout: [], stderr: [], status: 0 });
    } else if (mark === ">") step?.stdout.push(rest);
    else if (mark === "!") step?.stderr.push(rest);
    else if (mark === "=" && step !== undefined) step.status = Number(rest);
    else if (mark !== "#" && mark !== "") throw new Error(`line ${index + 1} is not understood`);
  }
  // The last line's end belongs to it, and does not start another line.
  const last = [...files.keys()].at(-1);
  if (last !== undefined) files.set(last, (files.get(last) ?? "").replace(/\n$/, ""));
  return { steps, files };
}

/** When a command ran, in milliseconds since 1970: midnight may pass while it does. */
interface Span {
  readonly startedMs: number;
  readonly endedMs: number;
}

const DAY_MS = 86_400_000;

/** No time zone is further from UTC. */
const ZONE_MS = DAY_MS / 2 + 2 * 3_600_000;

const oneOf = (texts: readonly (string | number)[]): string =>
  `(?:${[...new Set(texts)].join("|")})`;

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Placeholders for any text, and for text that depends on the date; README.md explains them. */
const PLACEHOLDER = /\.\.\.|\{gap\}|\{today\}|\{days (since|until) (\d{4}-\d\d-\d\d)\}/;

function placeholder(text: string, { startedMs, endedMs }: Span): string {
  if (text === "...") return ".*";
  if (text === "{gap}") return " {2,}";
  if (text === "{today}") {
    return oneOf([startedMs - ZONE_MS, startedMs, endedMs, endedMs + ZONE_MS].map(dayOf));
  }
  const [, direction, date = ""] = PLACEHOLDER.exec(text) ?? [];
  const sign = direction === "since" ? 1 : -1;
  const days = (ms: number): number => Math.floor((sign * (ms - Date.parse(date))) / DAY_MS);
  return oneOf([days(startedMs), days(endedMs)]);
}

/** Expected lines as a pattern; `...` alone on a line is any lines. */
function pattern(lines: readonly string[], span: Span): RegExp {
  const parts = lines.map((line) => {
    if (line === "...") return "(?:.*\n)*?";
    let [rest, source] = [line, ""];
    for (let found = PLACEHOLDER.exec(rest); found !== null; found = PLACEHOLDER.exec(rest)) {
      source += literal(rest.slice(0, found.index)) + placeholder(found[0], span);
      rest = rest.slice(found.index + found[0].length);
    }
    return `${source}${literal(rest)}\n`;
  });
  return new RegExp(`^${parts.join("")}$`);
}

const literal = (text: string): string => text.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&");

/** Every file below a folder with its mode and content. */
function snapshot(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const path of readdirSync(folder, { recursive: true }) as string[]) {
    const full = join(folder, path);
    const stats = lstatSync(full);
    const content = stats.isFile() ? readFileSync(full, "latin1") : "";
    found[path] = `${stats.mode.toString(8)} ${content}`;
  }
  return found;
}

function run(
  command: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ status: number; stdout: string; stderr: string }> {
  return new Promise((done) => {
    const child = execFile("sh", ["-c", command], { cwd, env }, (error, stdout, stderr) => {
      done({ status: error === null ? 0 : Number(error.code ?? 128), stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** Names of the files of scenarios. */
export function scenarioNames(): string[] {
  return readdirSync(HERE).filter((name) => name.endsWith(".txt"));
}

/** Puts `signet` into the folder `bin` of a folder for scenarios: a call of a command line. */
export function installSignet(base: string, command: readonly string[]): void {
  mkdirSync(join(base, "bin"));
  const program = join(base, "bin/signet");
  const words = command.map((word) => `"${word}"`).join(" ");
  writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(program, 0o755);
}

/** Runs a scenario in a separate folder below `base`, with the `signet` that is installed there. */
export async function runScenario(
  name: string,
  base: string,
  expect: ExpectStatic,
): Promise<void> {
  const scenario = readScenario(readFileSync(join(HERE, name), "utf8"));
  expect(scenario.steps, "a scenario without a command").not.toHaveLength(0);
  const folder = join(base, name.replace(/\.txt$/, ""));
  cpSync(resolve("test/fixtures"), folder, { recursive: true });
  chmodSync(join(folder, "key.pem"), 0o600);
  chmodSync(join(folder, "other-key.pem"), 0o600);
  for (const [path, text] of scenario.files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const env = (): NodeJS.ProcessEnv => ({
    ...clockOfChildren(),
    PATH: `${join(base, "bin")}:${process.env["PATH"] ?? ""}`,
    HOME: folder,
    NOW: String(Math.floor(Date.now() / 1000)),
  });
  for (const step of scenario.steps) {
    const where = `${name}:${step.line}: ${step.command}`;
    const before = snapshot(folder);
    const startedMs = Date.now();
    const { status, stdout, stderr } = await run(step.command, folder, env());
    const span = { startedMs, endedMs: Date.now() };
    expect(stderr, where).toMatch(pattern(step.stderr, span));
    expect(stdout, where).toMatch(pattern(step.stdout, span));
    expect(status, where).toBe(step.status);
    expect(stderr, where).not.toMatch(MARKERS);
    if (status !== 0) expect(snapshot(folder), where).toEqual(before);
  }
}

// That what the documents tell people to type is there and does what they show, and that their
// links lead somewhere. CONTRIBUTING.md, "Documents", says how a document is written for it.

import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { load } from "js-yaml";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clockOfChildren } from "../clock.ts";
import { commandsOf, isRun, type Markdown, readMarkdown, simpleCommands } from "./markdown.ts";
import { comparable, patternOf } from "./shown.ts";

const GUIDES = readdirSync("docs").filter((name) => name.endsWith(".md"));
/** Why things are as they are: an index, a file for each decision that matters, the others in lists. */
const DECISIONS = readdirSync("docs/decisions").map((name) => `docs/decisions/${name}`);
/** For who changes and releases the project. */
const MAINTAINERS = ["CONTRIBUTING.md", "RELEASE.md", "VERSIONING.md"];
/** Whose shell blocks are run or say why not. */
const DOCUMENTS = [
  ...["README.md", "SECURITY.md", "CHANGELOG.md", ...MAINTAINERS],
  ...GUIDES.map((name) => `docs/${name}`),
];
/** Whose links and commands are looked at as well. */
const OTHERS = [
  ...["SPEC.md", "charts/signet/README.md"],
  ...["examples/browser/README.md", "examples/monorepo/README.md"],
  ...DECISIONS,
];
const LANGUAGES = ["sh", "console", "text", "yaml", "json", "ts", "html"];

const PROGRAMS = {
  signet: resolve("dist/signet.cjs"),
  kubeseal: resolve("dist/kubeseal.cjs"),
  "signet-controller": resolve("dist/signet-controller.mjs"),
} as const;
type Program = keyof typeof PROGRAMS;

const read = new Map<string, Markdown>();
function document(path: string): Markdown {
  const known = read.get(path) ?? readMarkdown(readFileSync(path, "utf8"));
  read.set(path, known);
  return known;
}

interface Help {
  /** Each option, long and short, and whether it takes a value. */
  readonly options: ReadonlyMap<string, boolean>;
  readonly commands: readonly string[];
}

const helps = new Map<string, Help>();

/** What a program's own `--help` says that there is. */
function helpOf(program: Program, path: readonly string[]): Help {
  const key = [program, ...path].join(" ");
  const known = helps.get(key);
  if (known !== undefined) return known;
  const args = [PROGRAMS[program], ...path, "--help"];
  const text = execFileSync(process.execPath, args, { encoding: "utf8" });
  const options = new Map<string, boolean>([["--help", false]]);
  const lines = text.matchAll(
    /^ {2,6}(?:(-\w), )?(--[\w-]+)(?: (<[^>]+>|\[[^\]]+\]|VALUE|NUMBER))?(?: |$)/gm,
  );
  for (const [, short, long = "", value] of lines) {
    const takesValue = value !== undefined && !value.startsWith("[");
    for (const name of [short, long]) if (name !== undefined) options.set(name, takesValue);
  }
  const commands =
    path.length === 0 || /^Commands:$/m.test(text)
      ? [...text.matchAll(/^ {2}([a-z]+)(?: [[<].*?)? {2,}\S/gm)].map(([, name]) => name ?? "")
      : [];
  const help = { options, commands };
  helps.set(key, help);
  return help;
}

/** `cli/commands/NAME.ts`; and a folder that is somebody else's. */
const PLACEHOLDER_IN_PATH = /\bNAME\b|^crds\/$/;
const PLACEHOLDER = /^(\.\.\.|…|[A-Z]+|\[.*\])$/;

/** What is wrong with one command line, if anything. */
function faultOf([program = "", ...words]: readonly string[]): string | undefined {
  if (!(program in PROGRAMS)) return undefined;
  const path: string[] = [];
  let help = helpOf(program as Program, path);
  while (program !== "kubeseal" && help.commands.includes(words[0] ?? "")) {
    path.push(words.shift() ?? "");
    help = helpOf(program as Program, path);
  }
  const [first = ""] = words;
  if (program === "signet" && path.length === 0 && /^[a-z]/.test(first)) {
    return `signet has no command ${first}`;
  }
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    // What follows is another program's.
    if (word === "--") return undefined;
    if (!word.startsWith("-") || word === "-" || PLACEHOLDER.test(word)) continue;
    const [name = "", value] = word.split(/=(.*)/s);
    const takesValue = help.options.get(name);
    const where = [program, ...path].join(" ");
    if (takesValue === undefined) return `${where} has no option ${name}`;
    if (!takesValue || value !== undefined) continue;
    at++;
    // In prose an option may stand for itself.
    if (at < words.length && (words[at] ?? "").startsWith("--")) return `${name} takes a value`;
  }
  return undefined;
}

/** The command lines that stand in backquotes in the text. */
function inlineCommands({ prose }: Markdown): string[] {
  return [...prose.matchAll(/(?<!`)`([^`]+)`(?!`)/g)]
    .map(([, text]) => (text ?? "").replaceAll(/\s+/g, " "))
    .filter((text) => /(^|[|;&] ?)(signet|kubeseal|signet-controller) /.test(text));
}

describe.each([...DOCUMENTS, ...OTHERS])("%s", (path) => {
  const { blocks, links } = document(path);
  const at = (line: number): string => `${path}:${line}`;

  it("names commands and options that exist", () => {
    const faults: string[] = [];
    const check = (line: string, where: string): void => {
      for (const words of simpleCommands(line)) {
        const fault = faultOf(words);
        if (fault !== undefined) faults.push(`${where}: ${line}: ${fault}`);
      }
    };
    for (const block of blocks) {
      if (!["sh", "console", ""].includes(block.language)) continue;
      for (const { line, command } of commandsOf(block)) check(command, at(line));
    }
    for (const command of inlineCommands(document(path))) check(command, path);
    expect(faults).toEqual([]);
  });

  it("leads to files and headings that are there", () => {
    const lost = links.filter(({ target }) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [file = "", anchor] = target.split("#");
      const full = file === "" ? path : relative(".", join(dirname(path), file));
      if (!existsSync(full)) return true;
      if (anchor === undefined) return false;
      return statSync(full).isDirectory() || !document(full).anchors.includes(anchor);
    });
    expect(lost.map(({ line, target }) => `${at(line)}: ${target}`)).toEqual([]);
  });

  it("says of each block what it is, and who runs it", () => {
    if (OTHERS.includes(path)) return;
    for (const { line, language, mark, ...block } of blocks) {
      expect(LANGUAGES, at(line)).toContain(language);
      if (mark?.kind !== "test") continue;
      expect(existsSync(mark.file), `${at(line)}: ${mark.file}`).toBe(true);
      const text = readFileSync(mark.file, "utf8");
      for (const { command } of commandsOf({ line, language, mark, ...block })) {
        for (const [program = "", ...words] of simpleCommands(command)) {
          if (!(program in PROGRAMS)) continue;
          const [name = "", second = ""] = words;
          const path = helpOf(program as Program, []).commands.includes(name) ? [name] : [];
          const below = path.length === 0 ? [] : helpOf(program as Program, path).commands;
          for (const word of [...path, ...(below.includes(second) ? [second] : [])]) {
            expect(text, `${at(line)}: ${mark.file} runs ${program} ${words.join(" ")}`).toMatch(
              new RegExp(`\\b${word}\\b`),
            );
          }
        }
      }
    }
  });

  it("calls scripts of package.json and values of the chart that exist", () => {
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
      scripts: Record<string, string>;
    };
    const values = load(readFileSync("charts/signet/values.yaml", "utf8"));
    const has = (key: string): boolean =>
      key
        .split(".")
        .reduce<unknown>(
          (value, part) => (value as Record<string, unknown> | undefined)?.[part],
          values,
        ) !== undefined;
    const all = blocks.filter(({ language }) => ["sh", "console", ""].includes(language));
    for (const words of all.flatMap((block) =>
      commandsOf(block).flatMap(({ command }) => simpleCommands(command)),
    )) {
      if (words[0] === "npm" && words[1] === "run") {
        const script = words.slice(2).find((word) => !word.startsWith("-")) ?? "";
        expect(Object.keys(scripts), path).toContain(script);
      }
      if (words[0] !== "helm" || !words.includes("charts/signet")) continue;
      for (const [index, word] of words.entries()) {
        if (word !== "--set") continue;
        const settings = (words[index + 1] ?? "").replaceAll(/\{[^}]*\}/g, "x").split(",");
        for (const setting of settings) {
          const [key = ""] = setting.split("=");
          expect(has(key), `${path}: --set ${key}`).toBe(true);
        }
      }
    }
  });
});

describe("the whole", () => {
  it("leads from the README to every document", () => {
    const linked = document("README.md").links.map(({ target }) => target.split("#")[0]);
    const apart = DOCUMENTS.filter((path) => path !== "README.md" && !linked.includes(path));
    expect(apart).toEqual([]);
  });

  it("shows no secret value as an argument in the README", () => {
    const lines = document("README.md").blocks.flatMap((block) =>
      commandsOf(block).map(({ command }) => command),
    );
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter((line) => /--from-literal[= ]\S+=/.test(line))).toEqual([]);
  });

  it("has every document and every source file in the architecture overview, and no other", () => {
    const page = readFileSync("docs/architecture.md", "utf8");
    const files = [
      "shared",
      "host",
      "cli",
      "controller",
      "library",
      "page",
      "build",
      "release",
    ].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) => join(folder, path)),
    );
    // The functions of templates are a family, and declarations of others' modules are not ours.
    const isShown = (path: string): boolean =>
      /\.(ts|mjs)$/.test(path) && !/^shared\/template\/|\.d\.ts$/.test(path);
    const names = new Set(page.match(/(?<![\w.-])[\w-]+\.(?:ts|mjs)\b/g));
    const missing = files.filter((path) => isShown(path) && !names.has(basename(path)));
    expect(missing).toEqual([]);
    const known = new Set([
      ...files,
      ...readdirSync("test", { recursive: true, encoding: "utf8" }),
    ]);
    const existing = new Set([...known, "charts/generate.ts"].map((path) => basename(path)));
    expect([...names].filter((name) => !existing.has(name))).toEqual([]);
    expect(GUIDES.filter((name) => !page.includes(name))).toEqual([]);
  });

  it("has every decision in its index", () => {
    const index = document("docs/decisions/README.md").links.map(({ target }) => target);
    const files = DECISIONS.map((path) => basename(path)).filter((name) => name !== "README.md");
    expect(files.filter((name) => !index.includes(name))).toEqual([]);
  });

  it("dates each decision and says what else was considered", () => {
    const dated = DECISIONS.filter((path) => /\/\d{4}-\d\d-[\w-]+\.md$/.test(path));
    expect(dated.length).toBeGreaterThan(9);
    for (const path of dated) {
      const text = readFileSync(path, "utf8");
      expect(text, path).toMatch(
        /^# .+\n\nDate: \d{4}-\d\d\b[^]*\n## Context\n[^]*\n## Alternatives considered\n[^]*\n## Decision\n[^]*\n## Consequences\n/,
      );
    }
  });

  it.each(["docs/architecture.md", ...MAINTAINERS, ...DECISIONS])(
    "has the files and folders that %s names in backquotes",
    (path) => {
      const named = [
        ...document(path).prose.matchAll(/`([\w.@/-]+\/|[\w.@-]+\/[\w.@/-]+\.(?:ts|mjs|md))`/g),
      ];
      const paths = named.map(([, name = ""]) => name);
      expect(paths.filter((name) => !PLACEHOLDER_IN_PATH.test(name) && !existsSync(name))).toEqual(
        [],
      );
    },
  );

  it("tells of every alert what to do about it", () => {
    const { groups } = load(readFileSync("charts/signet/rules.yaml", "utf8")) as {
      groups: { rules: { alert: string }[] }[];
    };
    const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
    const text = readFileSync("docs/operations.md", "utf8");
    for (const alert of alerts) {
      const part = text.split(`### ${alert}\n`)[1]?.split("\n#")[0] ?? "";
      expect(part, alert).toMatch(/^- \*Means\*:.*^- \*Look\*:.*^- \*Remedy\*:/ms);
    }
    const told = [...text.matchAll(/^### (SealedSecrets\w+)$/gm)].map(([, alert]) => alert);
    expect(told).toEqual(alerts);
  });
});

/** Where a command would need a person or a cluster, the same without. */
const STAND_INS: readonly [RegExp, string][] = [
  // Contexts and addresses of clusters: files with their certificates.
  [/--cluster (dev|staging|prod)=\S+/g, "--cluster $1=file://$CLUSTERS/$1.pem"],
  // The controllers' work, by the private keys.
  [/^signet reseal(?=\s|$)/, "signet reseal --recovery-key $CLUSTERS/keys"],
  // Who is asked for everything answers with one value.
  [/^(signet new \S+ -n \S+ --cluster all)(?= *(#|$))/, "$1 --from-literal password"],
];

const PEOPLE: Readonly<Record<string, string>> = {
  pwgen: "echo a-password-of-pwgen",
  // `kubectl create secret generic NAME -n NAMESPACE --from-file ITEM=FILE --dry-run=client`, or
  // with `--from-literal ITEM=VALUE`.
  kubectl: `case "$*" in *--dry-run=client*) ;; *) exit 64 ;; esac
    while [ $# -gt 0 ]; do case $1 in
      generic) name=$2 ;; -n|--namespace) namespace=$2 ;; --from-literal) item=$2 ;;
      --from-file) item="\${2%%=*}=$(cat "\${2#*=}")" ;;
    esac; shift; done
    printf 'apiVersion: v1\\ndata:\\n  %s: %s\\nkind: Secret\\nmetadata:\\n  name: %s\\n  namespace: %s\\n' \\
      "\${item%%=*}" "$(printf %s "\${item#*=}" | base64)" "$name" "$namespace"`,
  // An editor that gives the first sealed item another value.
  editor: `sed -i "0,/'<sealed: [a-z-]*>'/s//'another value'/" "$1"`,
};

const TYPED = "a value that is typed\n";

describe("what a document shows, done from its beginning to its end", () => {
  let base = "";
  let env: Record<string, string> = {};

  function sh(line: string, cwd: string, stdin = ""): Promise<{ status: number; output: string }> {
    return new Promise((done) => {
      const options = { cwd, env: { ...env, ...clockOfChildren() } };
      const child = execFile("sh", ["-c", `{ ${line}\n} 2>&1`], options, (error, stdout) => {
        done({ status: error === null ? 0 : Number(error.code ?? 128), output: stdout });
      });
      child.stdin?.on("error", () => undefined);
      child.stdin?.end(stdin);
    });
  }

  async function must(line: string, cwd: string): Promise<void> {
    const { status, output } = await sh(line, cwd);
    if (status !== 0) throw new Error(`${line}: ${output}`);
  }

  beforeAll(async () => {
    base = mkdtempSync(join(tmpdir(), "signet-documents-"));
    const bin = join(base, "bin");
    const clusters = join(base, "clusters");
    for (const folder of [bin, clusters]) mkdirSync(folder);
    const put = (name: string, text: string): void => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    for (const [name, file] of Object.entries(PROGRAMS)) {
      put(name, `exec "${process.execPath}" "${file}" "$@"`);
    }
    for (const [name, text] of Object.entries(PEOPLE)) put(name, text);
    env = {
      PATH: `${bin}:${process.env["PATH"] ?? ""}`,
      HOME: base,
      TMPDIR: base,
      CLUSTERS: clusters,
      EDITOR: "editor",
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_AUTHOR_NAME: "A Developer",
      GIT_AUTHOR_EMAIL: "developer@example.org",
      GIT_COMMITTER_NAME: "A Developer",
      GIT_COMMITTER_EMAIL: "developer@example.org",
    };
    mkdirSync(join(clusters, "nothing"));
    for (const name of ["dev", "staging", "prod"]) {
      const make = `--keys new-${name} --key-size=2048 --write-cert ${name}.pem`;
      await must(`signet-controller standalone --from nothing --to out ${make}`, clusters);
      await must(`mkdir -p keys && cat new-${name}/* > keys/${name}.yaml`, clusters);
    }
  });

  afterAll(() => {
    rmSync(base, { recursive: true, force: true });
  });

  /** A clone with one commit, which `origin` has too, and the certificate that one may have fetched. */
  async function makeScratch(name: string): Promise<string> {
    const folder = join(base, name.replaceAll(/\W/g, "-"));
    mkdirSync(folder);
    await must(`git init -q --bare -b main ../${name.replaceAll(/\W/g, "-")}.git`, folder);
    await must(
      `git init -q -b main . && git remote add origin ../${name.replaceAll(/\W/g, "-")}.git`,
      folder,
    );
    writeFileSync(join(folder, ".gitignore"), "sealing.pem\n");
    await must('cp "$CLUSTERS/prod.pem" sealing.pem && git add -A', folder);
    await must('git commit -q -m "the beginning" && git push -q origin main', folder);
    return folder;
  }

  const withCommands = DOCUMENTS.filter((path) => document(path).blocks.some(isRun));

  it("is done for these, at least", () => {
    expect(withCommands).toEqual(
      expect.arrayContaining(["README.md", "docs/monorepo.md", "docs/repository.md"]),
    );
  });

  it.each(withCommands)("%s", async (path) => {
    let folder = await makeScratch(path);
    for (const block of document(path).blocks.filter(isRun)) {
      if (block.mark !== undefined) folder = await makeScratch(`${path}-${block.line}`);
      for (const { line, command, output: shown } of commandsOf(block)) {
        const where = `${path}:${line}: ${command}`;
        const typed = STAND_INS.reduce((text, [from, to]) => text.replace(from, to), command);
        const { status, output } = await sh(typed, folder, TYPED);
        if (shown === undefined) expect(status, `${where}\n${output}`).toBe(0);
        else expect(comparable(output), where).toMatch(patternOf(shown));
      }
    }
  });
});

// Commands that ask a person, in a real terminal: what is asked, shown, written and left behind.

import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockBackup } from "../../cli/recovery/lock.ts";
import { waitFor } from "../cluster/program.ts";
import { CTRL_C, DOWN, ENTER, signetInTerminal, type Terminal } from "./terminal.ts";
import { KEYS, Workplace } from "./workplace.ts";

const TMPFS = 0x01021994;

let place: Workplace;
let terminals: Terminal[];

beforeEach(() => {
  place = new Workplace();
  terminals = [];
});
afterEach(async () => {
  for (const terminal of terminals) terminal.close();
  await Promise.all(terminals.map(({ exited }) => exited));
  place.remove();
});

function start(args: readonly string[], env: Record<string, string> = {}): Terminal {
  const terminal = signetInTerminal(args, { cwd: place.folder, env: { ...place.env, ...env } });
  terminals.push(terminal);
  return terminal;
}

/** Ended by itself: the status is as told, and the terminal as it was. */
async function ended(terminal: Terminal, status: number): Promise<string> {
  expect(await terminal.exited, terminal.screen()).toBe(status);
  expect(terminal.leftSane()).toBe(true);
  expect(terminal.cursorShown()).toBe(true);
  expect(terminal.screen()).not.toMatch(/^\s+at .*:\d+/m);
  return terminal.screen();
}

async function answerPlace(terminal: Terminal, name = "db"): Promise<void> {
  await terminal.answer("Name of the Secret:", name + ENTER);
  await terminal.answer("Namespace:", `shop${ENTER}`);
  // Every cluster, then the first type.
  await terminal.answer("Clusters:", `a${ENTER}`);
}

describe("help", () => {
  it.each(["seal", "status", "keys backup"])("fits a narrow terminal: %s", async (command) => {
    const args = [...command.split(" "), "--help"];
    const cwd = place.folder;
    const [wide, narrow] = [200, 60].map((columns) =>
      signetInTerminal(args, { cwd, env: place.env, columns }),
    ) as [Terminal, Terminal];
    terminals.push(wide, narrow);
    const [, text] = [await ended(wide, 0), await ended(narrow, 0)];
    const words = (screen: string): string => screen.replaceAll(/\s+/g, " ");
    expect(words(text)).toBe(words(wide.screen()));
    // Examples are commands to copy, and stay on their lines.
    const prose = text
      .split("\n")
      .filter((line) => !/^ {2}(\$|[a-z-]* *[|\\])|^ {4,6}--/.test(line));
    expect(prose.filter((line) => line.length > 60 && line.trim().includes(" "))).toEqual([]);
  });
});

describe("signet new", () => {
  it("asks for all that it needs, shows no value, and seals for each cluster", async () => {
    const { folder } = place;
    writeFileSync(join(folder, "ca.crt"), "line 1\nline 2\n");
    const terminal = start(["new"]);
    await terminal.answer("Name of the Secret:", `Bad Name${ENTER}`);
    await terminal.waitFor("lower-case letters");
    terminal.type(`${"\u007f".repeat(8)}db${ENTER}`);
    await terminal.answer("Namespace:", `shop${ENTER}`);
    await terminal.answer("Clusters:", `a${ENTER}`);
    await terminal.answer("Type:", ENTER);
    await terminal.answer("Name of a value:", `password${ENTER}`);
    await terminal.answer("Is password the same", ENTER);
    await terminal.answer("Value of password:", ENTER);
    await terminal.answer("password:", `correct-hörse "b: #'${ENTER}`);
    await terminal.answer("Name of another value", `ca.crt${ENTER}`);
    await terminal.answer("Is ca.crt the same", ENTER);
    await terminal.answer("Value of ca.crt:", `${DOWN}${ENTER}`);
    await terminal.answer("File:", `none${ENTER}`);
    await terminal.waitFor("file not found");
    terminal.type(`${"\u007f".repeat(4)}ca.crt${ENTER}`);
    await terminal.answer("Name of another value", `token${ENTER}`);
    await terminal.answer("Is token the same", ENTER);
    await terminal.answer("Value of token:", `${DOWN}${DOWN}${ENTER}`);
    await terminal.answer("Name of another value", `url${ENTER}`);
    await terminal.answer("Is url the same", `n${ENTER}`);
    await terminal.answer("Value of url in dev:", ENTER);
    await terminal.answer("url in dev:", `battery-dev${ENTER}`);
    await terminal.answer("Value of url in prod:", ENTER);
    await terminal.answer("url in prod:", `battery-prod${ENTER}`);
    await terminal.answer("Name of another value", `url${ENTER}`);
    await terminal.waitFor("url already has a value");
    terminal.type("\u007f".repeat(3) + ENTER);
    const screen = await ended(terminal, 0);
    expect(screen).toMatch(/^signet: dev\/shop\/db\.yaml: sealed for dev with key SHA256:/m);
    expect(screen).toMatch(/^signet: prod\/shop\/db\.yaml: sealed for prod with key SHA256:/m);
    for (const part of ["correct", "hörse", "battery"]) {
      expect(terminal.written()).not.toContain(part);
    }
    const password = Buffer.from(`correct-hörse "b: #'`).toString("latin1");
    for (const cluster of ["dev", "prod"]) {
      const { db = {} } = await place.open(`${cluster}/shop/db.yaml`);
      const { token, ...others } = db;
      expect(others).toEqual({
        password,
        "ca.crt": "line 1\nline 2\n",
        url: `battery-${cluster}`,
      });
      expect(token).toMatch(/^[A-Za-z2-9]{32}$/);
      expect(terminal.written()).not.toContain(token);
    }
  });

  it("asks for the items of a type, and for a registry's password", async () => {
    const terminal = start(["new", "login", "-n", "shop", "--cluster", "dev"]);
    await terminal.answer("Type:", `${DOWN}${ENTER}`);
    await terminal.answer("Value of username:", ENTER);
    await terminal.answer("username:", `robot${ENTER}`);
    await terminal.answer("Value of password:", ENTER);
    await terminal.answer("password:", `battery-staple${ENTER}`);
    await ended(terminal, 0);
    expect(terminal.written()).not.toContain("battery");
    expect(await place.open("dev/shop/login.yaml")).toEqual({
      login: { username: "robot", password: "battery-staple" },
    });
    const second = start(["new", "registry", "-n", "shop", "--cluster", "dev"]);
    await second.answer("Type:", DOWN.repeat(4) + ENTER);
    await second.answer("Registry:", ENTER);
    await second.answer("User:", `robot${ENTER}`);
    await second.answer("Value of password of the registry:", `battery-staple${ENTER}`);
    await ended(second, 0);
    expect(second.written()).not.toContain("battery");
    const { registry } = await place.open("dev/shop/registry.yaml");
    expect(JSON.parse(registry?.[".dockerconfigjson"] ?? "")).toMatchObject({
      auths: { "https://index.docker.io/v1/": { username: "robot", password: "battery-staple" } },
    });
  });

  it("asks once for each cluster where --per-cluster says so, a registry's password too", async () => {
    const ownValues = ["-n", "shop", "--cluster", "all", "--per-cluster"];
    const values = start(["new", "app", ...ownValues]);
    await values.answer("Type:", ENTER);
    await values.answer("Name of a value:", `pin${ENTER}`);
    for (const cluster of ["dev", "prod"]) {
      await values.answer(`Value of pin in ${cluster}:`, ENTER);
      await values.answer(`pin in ${cluster}:`, `battery-${cluster}${ENTER}`);
    }
    await values.answer("Name of another value", ENTER);
    expect(await ended(values, 0)).not.toContain("the same");
    const answerBoth = async (terminal: Terminal): Promise<void> => {
      for (const cluster of ["dev", "prod"]) {
        const question = `Value of password of the registry in ${cluster}:`;
        await terminal.answer(question, `battery-${cluster}${ENTER}`);
      }
      expect(await ended(terminal, 0)).not.toContain("the same");
    };
    const login = start(["new", "login", ...ownValues]);
    await login.answer("Type:", DOWN.repeat(4) + ENTER);
    await login.answer("Registry:", ENTER);
    await login.answer("User:", `robot${ENTER}`);
    await answerBoth(login);
    await answerBoth(start(["new", "flags", ...ownValues, "--docker-username", "robot"]));
    for (const cluster of ["dev", "prod"]) {
      expect(await place.open(`${cluster}/shop/app.yaml`)).toEqual({
        app: { pin: `battery-${cluster}` },
      });
      for (const name of ["login", "flags"]) {
        const opened = await place.open(`${cluster}/shop/${name}.yaml`);
        expect(opened[name]?.[".dockerconfigjson"]).toContain(`"password":"battery-${cluster}"`);
      }
    }
  });

  it.for([
    ["the name", 0],
    ["a choice", 1],
    ["a hidden value", 2],
    ["the next value", 3],
  ] as const)("is given up by Ctrl-C at %s, and nothing is left", async ([, at]) => {
    const before = place.filesWith("").sort();
    const terminal = start(["new"]);
    const typing = async (): Promise<void> => {
      if (at === 0) return terminal.answer("Name of the Secret:", "d");
      await answerPlace(terminal);
      if (at === 1) return terminal.waitFor("? Type:");
      await terminal.answer("Type:", ENTER);
      await terminal.answer("Name of a value:", `password${ENTER}`);
      await terminal.answer("Is password the same", ENTER);
      await terminal.answer("Value of password:", ENTER);
      if (at === 2) return terminal.answer("password:", "battery");
      await terminal.answer("password:", `battery${ENTER}`);
      return terminal.waitFor("? Name of another value");
    };
    await typing();
    terminal.type(CTRL_C);
    const screen = await ended(terminal, 130);
    expect(screen.split("\n").at(-1)).toBe("signet: error: cancelled; no changes made");
    expect(terminal.written()).not.toContain("battery");
    expect(place.filesWith("").sort()).toEqual(before);
  });

  it("tells before values are typed that a file is there, or a certificate is not", async () => {
    place.write("dev/shop/db.yaml", "");
    const terminal = start(["new"]);
    await answerPlace(terminal);
    expect(await ended(terminal, 1)).toContain("signet: error: dev/shop/db.yaml: already exists");
    expect(terminal.screen()).not.toContain("Type:");
  });

  it("takes no single line of several that were pasted, and shows none of them", async () => {
    const terminal = start(["new", "db", "-n", "shop", "--cluster", "dev", "--type", "Opaque"]);
    await terminal.answer("Name of a value:", `key${ENTER}`);
    await terminal.answer("Value of key:", ENTER);
    await terminal.answer("key:", "-----BEGIN\rbattery-staple\r-----END\r");
    await terminal.waitFor("signet: multi-line paste ignored");
    await terminal.answer("key:", `one line${ENTER}`);
    await terminal.answer("Name of another value", ENTER);
    await ended(terminal, 0);
    expect(terminal.written()).not.toContain("battery");
    expect(await place.open("dev/shop/db.yaml")).toEqual({ db: { key: "one line" } });
  });

  it("does not show a hidden value by any key", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const terminal = start(["set", path, "a"]);
    await terminal.answer("Value of a:", `battery\u0014\t\u001b[A\u0012staple${ENTER}`);
    await ended(terminal, 0);
    expect(terminal.written()).not.toMatch(/battery|staple/);
  });
});

describe("values that are asked for", () => {
  it("are asked for by `set`, one after the other", async () => {
    const path = await place.seal("dev", "db", { a: "1", b: "2" });
    const terminal = start(["set", path, "b", "c"]);
    await terminal.answer("Value of b:", ENTER);
    await terminal.waitFor("empty: type a value, or press Ctrl-C");
    terminal.type(`battery${ENTER}`);
    await terminal.answer("Value of c:", ` staple ${ENTER}`);
    expect(await ended(terminal, 0)).toContain(
      `signet: ${path}: shop/db: set b, c, sealed for dev`,
    );
    expect(terminal.written()).not.toMatch(/battery|staple/);
    expect(await place.open(path)).toEqual({ db: { a: "1", b: "battery", c: " staple " } });
  });

  it("are given up by Ctrl-C, and the file stays as it was", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const before = place.read(path);
    const terminal = start(["set", path, "a"]);
    await terminal.answer("Value of a:", `bat${CTRL_C}`);
    await ended(terminal, 130);
    expect(place.read(path)).toBe(before);
  });

  it("are asked for once for each cluster with --per-cluster, else once", async () => {
    const paths = [
      await place.seal("dev", "db", { a: "1" }),
      await place.seal("prod", "db", { a: "2" }),
    ] as const;
    const terminal = start(["set", paths[0], "a", "--all-clusters", "--per-cluster"]);
    await terminal.answer("Value of a in dev:", `battery-dev${ENTER}`);
    await terminal.answer("Value of a in prod:", `battery-prod${ENTER}`);
    await ended(terminal, 0);
    expect(await place.open(paths[0])).toEqual({ db: { a: "battery-dev" } });
    expect(await place.open(paths[1])).toEqual({ db: { a: "battery-prod" } });
    const second = start(["set", paths[0], "a", "--all-clusters"]);
    await second.answer("Value of a:", `battery${ENTER}`);
    await ended(second, 0);
    for (const path of paths) expect(await place.open(path)).toEqual({ db: { a: "battery" } });
    expect(terminal.written() + second.written()).not.toContain("battery");
  });

  it("are asked for by `seal --from-literal`", async () => {
    const args = ["--name", "db", "-n", "shop", "--from-literal", "a", "-w", "dev/shop/db.yaml"];
    const terminal = start(["seal", ...args]);
    await terminal.answer("Value of a:", `battery${ENTER}`);
    await ended(terminal, 0);
    expect(terminal.written()).not.toContain("battery");
    expect(await place.open("dev/shop/db.yaml")).toEqual({ db: { a: "battery" } });
  });
});

describe("a passphrase", () => {
  it("is asked for and not shown, and a wrong one says so", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const locked = await lockBackup(readFileSync(KEYS.dev, "utf8"), {
      passphrase: "battery-staple",
    });
    place.write("keys.age", locked);
    const args = ["unseal", path, "--recovery-key", "keys.age", "-w", "opened.yaml"];
    const wrong = start(args);
    await wrong.answer("Passphrase of keys.age:", `battery${ENTER}`);
    expect(await ended(wrong, 1)).toContain(
      "signet: error: keys.age: cannot be opened: wrong passphrase or identity",
    );
    expect(existsSync(join(place.folder, "opened.yaml"))).toBe(false);
    const terminal = start(args);
    await terminal.answer("Passphrase of keys.age:", `battery-staple${ENTER}`);
    await ended(terminal, 0);
    expect(wrong.written() + terminal.written()).not.toContain("battery");
    expect(statSync(join(place.folder, "opened.yaml")).mode & 0o777).toBe(0o600);
    expect(place.read("opened.yaml")).toContain("kind: Secret");
  });
});

describe("signet edit", () => {
  const type = (text: string): string =>
    text.replace("'<sealed: a>'", () => process.env["TYPED"] ?? "");
  const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

  const edit = async (
    path: string,
    editor: string,
    status: number,
    args: readonly string[] = [],
  ): Promise<string> => {
    const screen = await ended(start(["edit", path, ...args], { EDITOR: editor }), status);
    expect(place.inMemory()).toEqual([]);
    expect(readdirSync(join(place.root, "tmp"))).toEqual([]);
    return screen;
  };

  const git = async (...args: string[]): Promise<string> => {
    const { status, stdout, stderr } = await place.run([
      "git",
      ...["-c", "user.name=a", "-c", "user.email=a@example.org"],
      ...args,
    ]);
    expect(status, stderr).toBe(0);
    return stdout;
  };

  it("changes, adds, removes and renames, and the diff is what changed", async () => {
    const path = await place.seal("dev", "db", { a: "1", b: "2", c: "3", d: "4" });
    place.write(path, `# kept\n${place.read(path)}`);
    await git("init", "-q");
    await git("add", "-A");
    await git("commit", "-qm", "before");
    const editor = place.editor((text) =>
      text
        .replace("<sealed: a>", "battery")
        .replace(/ {2}b: .*\n/, "")
        .replace("  c:", "  see:")
        .concat("  e: staple\n"),
    );
    const screen = await edit(path, editor, 0);
    expect(screen).toMatch(
      /^signet: dev\/shop\/db\.yaml: shop\/db: set a, e; unset b; renamed c to see, sealed for dev with key SHA256:.{8}$/m,
    );
    expect(await place.open(path)).toEqual({
      db: { a: "battery", see: "3", d: "4", e: "staple" },
    });
    const [seen] = place.seen();
    expect(seen?.text).toMatch(
      /^# signet edit: dev\/shop\/db\.yaml, sealed for dev\n#\n(# .*\n){4}\nshop\/db:\n {2}a: '<sealed: a>'\n/,
    );
    expect(seen?.path.startsWith(place.memory)).toBe(true);
    expect(seen).toMatchObject({ fileMode: 0o600, folderMode: 0o700, folderType: TMPFS });
    expect(existsSync(seen?.path ?? "")).toBe(false);
    const names = (sign: string, diff: string): string[] =>
      diff
        .split("\n")
        .filter((line) => line.startsWith(sign) && !line.startsWith(sign.repeat(3)))
        .map((line) => line.slice(1).trim().split(":")[0] ?? "");
    const diff = await git("diff", "-U0");
    expect(names("-", diff).sort()).toEqual(["a", "b", "c"]);
    expect(names("+", diff).sort()).toEqual(["a", "e", "see"]);
    expect(place.filesWith("battery")).toEqual([]);
  });

  it("changes two of several objects of a file, in every cluster", async () => {
    const texts = { dev: "", prod: "" };
    for (const cluster of ["dev", "prod"] as const) {
      for (const name of ["one", "two", "three"]) {
        texts[cluster] += await place.sealed(cluster, name, { a: cluster });
      }
      place.write(`${cluster}/shop/all.yaml`, texts[cluster]);
    }
    const editor = place.editor((text) =>
      text
        .replace(/(shop\/one:\n {2}a: ).*/, "$1battery")
        .replace(/(shop\/two:\n {2}a: ).*/, "$1staple"),
    );
    await edit("dev/shop/all.yaml", editor, 0, ["--all-clusters"]);
    for (const cluster of ["dev", "prod"]) {
      expect(await place.open(`${cluster}/shop/all.yaml`)).toEqual({
        one: { a: "battery" },
        two: { a: "staple" },
        three: { a: cluster },
      });
    }
  });

  it.for<[string, (text: string) => string | undefined, number, string]>([
    ["is left as it was", () => undefined, 0, "nothing changed"],
    ["is saved with other comments only", (text) => `# mine\n${text}\n\n`, 0, "nothing changed"],
    ["is emptied", () => "", 130, "error: cancelled, as the text is empty; no changes made"],
    [
      "holds comments only",
      () => "# a\n\n",
      130,
      "error: cancelled, as the text is empty; no changes made",
    ],
    ["is removed", (_text) => process.exit(0), 0, "nothing changed"],
    [
      "makes the editor fail",
      () => process.exit(1),
      130,
      "error: the editor ended with status 1; no changes made",
    ],
  ])("changes nothing where the text %s", async ([, step, status, words]) => {
    const path = await place.seal("dev", "db", { a: "1" });
    const before = place.read(path);
    expect(await edit(path, place.editor(step), status)).toContain(words);
    expect(place.read(path)).toBe(before);
  });

  it("says so where the editor is not there", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const screen = await edit(path, "no-such-editor --wait", 1);
    expect(screen).toContain("signet: error: the editor cannot be run: no-such-editor --wait");
    expect(screen).toContain("signet: hint: set $EDITOR to the editor to use");
  });

  it.for([
    [
      "code",
      'signet: hint: the editor may have returned before you saved: EDITOR="./code --wait" waits',
    ],
    ["code --wait", ""],
    ["nano", ""],
  ])("tells how an editor with windows waits, where it did not: %s", async ([command, hint]) => {
    const path = await place.seal("dev", "db", { a: "1" });
    for (const name of ["code", "nano"]) place.write(name, "#!/bin/sh\n");
    for (const name of ["code", "nano"]) chmodSync(join(place.folder, name), 0o755);
    const screen = (await edit(path, `./${command}`, 0)).replace(/\s+/g, " ");
    expect(screen).toContain("nothing changed");
    expect(screen.includes("hint:")).toBe(hint !== "");
    expect(screen).toContain(hint);
  });

  it("says so where the editor removed its file", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    expect(await edit(path, "rm", 1)).toContain("cannot read: no such file or directory");
  });

  it("opens again on a mistake, with the error above what was typed", async () => {
    const path = await place.seal("dev", "db", { a: "1", b: "2" });
    const editor = place.editor(
      (text) => text.replace("<sealed: a>", "battery").replace("<sealed: b>", "<sealed: c>"),
      (text) => text.replace("  b:", "   b:"),
      (text) => text.replace("   b:", "  b:").replace("<sealed: c>", "<sealed: b>"),
    );
    await edit(path, editor, 0);
    const [first, second, third] = place.seen();
    expect(first?.text).not.toContain("ERROR");
    expect(second?.text).toMatch(
      /^# ERROR: shop\/db: b: refers to a sealed value that does not exist/,
    );
    expect(second?.text).toContain("a: 'battery'");
    expect(third?.text).toMatch(/^# ERROR: /);
    expect(third?.text.match(/ERROR/g)).toHaveLength(1);
    expect(await place.open(path)).toEqual({ db: { a: "battery", b: "2" } });
  });

  it.for<[string, string, string]>([
    ["a backslash, a quote and a hash", "'\\t \"#x: y'", '\\t "#x: y'],
    ["a quote written twice", "'it''s'", "it's"],
    ["no quotes", "plain", "plain"],
    ["lines", "|\n    one\n      two", "one\n  two\n"],
  ])("takes %s in what is typed as it stands", async ([, typed, value]) => {
    const path = await place.seal("dev", "db", { a: "1" });
    await edit(path, `TYPED=${quoted(typed)} ${place.editor(type)}`, 0);
    expect(await place.open(path)).toEqual({ db: { a: value } });
  });

  it.for<[string, string, string]>([
    [
      "a comment after a value",
      "a # b",
      'line 10: shop/db: a: text after " #" is a comment and would be dropped: put the value in quotes',
    ],
    ["a number", "5432", "line 10: shop/db: a: is read as a number, not as text: put it in quotes"],
    ["an octal", "0777", "line 10: shop/db: a: is read as a number, not as text: put it in quotes"],
    [
      "a word",
      "yes",
      "line 10: shop/db: a: is read as true or false, not as text: put it in quotes",
    ],
    [
      "nothing",
      "~",
      "line 10: shop/db: a: is read as nothing (null), not as text: put it in quotes",
    ],
    ["an anchor", "&b", 'line 10: shop/db: a: a value that begins with "&" must be in quotes'],
    ["a tag", "!b", 'line 10: shop/db: a: a value that begins with "!" must be in quotes'],
    ["a brace", "{b}", 'line 10: shop/db: a: a value that begins with "{" must be in quotes'],
    ["a reserved character", "@b", 'line 10: a: a value that begins with "@" must be in quotes'],
    ["a colon", "b: c", 'line 10: a: a value with ": " in it must be in quotes'],
    ["an open bracket", "[b", "line 10: a: a bracket or brace ([) is not closed"],
    ["an open quote", '"b', 'line 10: a: a quote (") is not closed'],
    ["one quote too many", "'it's'", "line 10: a: text after a closing quote (')"],
    ["no text", "", "line 10: shop/db: a: has no value: write one in quotes, or remove the line"],
  ])("takes %s for a mistake", async ([, typed, words]) => {
    const path = await place.seal("dev", "db", { a: "1" });
    const editor = place.editor(type, () => process.exit(1));
    await edit(path, `TYPED=${quoted(typed)} ${editor}`, 130);
    const lines = place.seen()[1]?.text.split("\n") ?? [];
    expect(lines[0]).toMatch(`# ERROR: ${words}`);
    // The line that is named is where it is in the text with the error above it.
    expect(lines[9]).toBe(`  a: ${typed}`);
  });

  it("is given up by leaving the error as it stands", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const before = place.read(path);
    const editor = place.editor(
      (text) => text.replace("  a:", "a b"),
      () => undefined,
    );
    expect(await edit(path, editor, 130)).toContain("signet: error: cancelled; no changes made");
    expect(place.read(path)).toBe(before);
  });

  it("tells the line of a name that is not valid, and not the name", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const editor = place.editor(
      (text) => `${text}  battery staple: x\n`,
      () => process.exit(1),
    );
    await edit(path, editor, 130);
    const lines = place.seen()[1]?.text.split("\n") ?? [];
    expect(lines[0]).toMatch(/^# ERROR: line 11: shop\/db: invalid item name/);
    expect(lines[0]).not.toMatch(/battery|staple/);
    expect(lines[10]).toBe("  battery staple: x");
  });

  it("ends with the error where an editor writes the same wrong text again", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const before = place.read(path);
    const wrong = (): string => "shop/db:\n  a: @battery\n";
    const screen = await edit(path, place.editor(wrong, wrong), 1);
    expect(screen).toContain(
      'signet: error: dev/shop/db.yaml: line 2: a: a value that begins with "@" must be in quotes',
    );
    expect(place.seen()).toHaveLength(2);
    expect(screen).not.toContain("battery");
    expect(place.read(path)).toBe(before);
  });

  it("ends with the error where an editor writes another wrong text each time", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    // The number of the process.
    const screen = await edit(path, "printf '[%s\\n' $$ >", 1);
    expect(screen).toContain(
      "error: dev/shop/db.yaml: line 1: a bracket or brace ([) is not closed",
    );
  });

  it("shows the error where an editor makes no more changes to a wrong text", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const screen = await edit(path, "sed -i 's/.<sealed: a>./@battery/'", 130);
    expect(screen).toContain("signet: error: cancelled; no changes made");
    expect(screen).toMatch(
      /hint: the text had this error: line \d+: a: a value that begins with "@"/,
    );
    expect(screen).not.toContain("battery");
  });

  it("refuses to take away the last item", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const editor = place.editor(
      (text) => text.replace(/ {2}a: .*\n/, ""),
      () => process.exit(1),
    );
    await edit(path, editor, 130);
    expect(place.seen()[1]?.text).toMatch(/^# ERROR: .*this would remove the last item/);
  });

  it("never quotes a value in an error", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const editor = place.editor(
      (text) => `${text}  battery:staple\n`,
      (text) => text.replace("battery:staple", "x: [battery"),
      () => process.exit(1),
    );
    const screen = await edit(path, editor, 130);
    for (const { text } of place.seen().slice(1)) {
      expect(text.split("\n")[0]).toMatch(/^# ERROR: /);
      expect(text.split("\n")[0]).not.toMatch(/battery|staple/);
    }
    expect(screen).not.toMatch(/battery|staple/);
  });

  it("keeps what was typed where it is not saved as UTF-8", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const editor = place.editor(
      (text, file) => {
        const { writeFileSync: write } = process.getBuiltinModule("node:fs");
        write(file, Buffer.from(text.replace("<sealed: a>", "battery-\u00e9"), "latin1"));
        return undefined;
      },
      (text) => text.replace("\ufffd", "\u00e9"),
    );
    await edit(path, editor, 0);
    expect(place.seen()[1]?.text).toMatch(/^# ERROR: the text was not saved as UTF-8\n/);
    expect(await place.open(path)).toEqual({
      db: { a: Buffer.from("battery-é").toString("latin1") },
    });
  });

  it("keeps what others changed meanwhile, and does not overwrite it", async () => {
    const path = await place.seal("dev", "db", { a: "1", b: "2" });
    const other = await place.sealed("dev", "db", { a: "1", b: "other" });
    const theirs = /^ +b: .*$/m.exec(other)?.[0] ?? "";
    writeFileSync(join(place.root, "theirs"), place.read(path).replace(/^ +b: .*$/m, theirs));
    const target = join(place.folder, path);
    const change = `cp ${join(place.root, "theirs")} ${target}`;
    await edit(
      path,
      `${change} && ${place.editor((text) => text.replace("<sealed: a>", "battery"))}`,
      0,
    );
    expect(await place.open(path)).toEqual({ db: { a: "battery", b: "other" } });
    // The same item: told, and given up.
    const after = place.read(path);
    const again = `cp ${join(place.root, "theirs")} ${target} && ${place.editor(
      () => undefined,
      (text) => text.replace("<sealed: a>", "staple"),
      () => undefined,
    )}`;
    expect(await edit(path, again, 130)).toContain("cancelled; no changes made");
    expect(place.seen().at(-1)?.text).toMatch(/^# ERROR: a was changed in the file/);
    expect(place.read(path)).not.toBe(after);
    expect(await place.open(path)).toEqual({ db: { a: "1", b: "other" } });
  });

  it("removes what an editor leaves beside its file, and touches nothing that a link leads to", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const precious = join(place.root, "precious");
    writeFileSync(precious, "precious");
    const editor = place.editor((text, file) => {
      const { cpSync, mkdirSync: make, symlinkSync: link } = process.getBuiltinModule("node:fs");
      for (const more of ["~", ".swp", ".bak"]) cpSync(file, file + more);
      make(`${file}.d`);
      cpSync(file, `${file}.d/copy`);
      link("user@host.1:1", file.replace(/[^/]*$/, ".#$&"));
      link(`${process.env["HOME"] ?? ""}/../precious`, file.replace(/[^/]*$/, ".!$&"));
      return text.replace("<sealed: a>", "battery");
    });
    await edit(path, editor, 0);
    expect(readFileSync(precious, "utf8")).toBe("precious");
    expect(await place.open(path)).toEqual({ db: { a: "battery" } });
  });

  it("shows the values with --recovery-key, says so, and keeps each that is not touched", async () => {
    const values = {
      binary: Buffer.from([0, 255, 128]),
      colon: "a: b # c",
      empty: "",
      escape: "\u001b[31mred",
      lead: "  lead\ttab",
      lines: "first\n  second\n\nthird\n",
      looks: "<sealed: colon>",
      newline: "with a newline\n",
      newlines: "with three\n\n\n",
      number: "0777",
      plain: "plain",
      quotes: `"it's"`,
      space: "trailing ",
      unicode: "ü\u2028€",
      windows: "a\r\nb",
      yes: "yes",
    };
    const path = await place.seal("dev", "db", values);
    const before = place.read(path);
    const lineOf = (item: string, text: string): string | undefined =>
      text.split("\n").find((line) => line.startsWith(`    ${item}:`));
    const recovery = ["--recovery-key", KEYS.dev];
    const screen = await edit(
      path,
      place.editor((text) => text.replace("plain: 'plain'", "plain: 'it''s battery'")),
      0,
      recovery,
    );
    expect(screen).toContain("signet: warning: the editor shows secret values in plain text");
    expect(screen).toContain("shop/db: set plain, sealed for dev");
    const [seen] = place.seen();
    expect(seen?.text).toContain("  colon: 'a: b # c'\n");
    // As the comment above says: between the quotes, and a quote twice.
    expect(seen?.text).toContain("  quotes: '\"it''s\"'\n");
    expect(seen?.text).toContain("  number: '0777'\n");
    expect(seen?.text).toContain("# Between double quotes, write a backslash as");
    expect(seen?.text).toContain("    second");
    for (const item of ["binary", "empty", "escape", "looks", "windows"]) {
      expect(seen?.text).toContain(`<sealed: ${item}>`);
    }
    const after = place.read(path);
    for (const item of Object.keys(values)) {
      const same = lineOf(item, after) === lineOf(item, before);
      expect(same, item).toBe(item !== "plain");
    }
    const { db } = await place.open(path);
    expect(db).toEqual(
      Object.fromEntries(
        Object.entries({ ...values, plain: "it's battery" }).map(([item, value]) => [
          item,
          Buffer.from(value).toString("latin1"),
        ]),
      ),
    );
  });

  it("renames a value that is shown where its line is, and takes it to no other cluster", async () => {
    await place.seal("dev", "db", { a: "dev battery", b: "kept" });
    await place.seal("prod", "db", { a: "prod battery", b: "kept" });
    const before = place.read("dev/shop/db.yaml");
    const screen = await edit(
      "dev/shop/db.yaml",
      place.editor((text) => text.replace("  a: 'dev battery'", "  c: 'dev battery'")),
      0,
      ["--recovery-key", KEYS.dev, "--all-clusters"],
    );
    expect(screen).toContain("dev/shop/db.yaml: shop/db: renamed a to c");
    expect(place.read("dev/shop/db.yaml")).toBe(before.replace("    a: A", "    c: A"));
    expect(await place.open("dev/shop/db.yaml")).toEqual({ db: { c: "dev battery", b: "kept" } });
    expect(await place.open("prod/shop/db.yaml")).toEqual({ db: { c: "prod battery", b: "kept" } });
  });

  it("shows the values of a file whose namespace only its path says", async () => {
    const path = await place.seal("dev", "db", { a: "battery" });
    place.write(path, place.read(path).replace(/^ *namespace: .*\n/gm, ""));
    const editor = place.editor((text) => text.replace("'battery'", "'staple'"));
    await edit(path, editor, 0, ["--recovery-key", KEYS.dev]);
    place.write(path, place.read(path).replace("  name: db\n", "  name: db\n  namespace: shop\n"));
    expect(await place.open(path)).toEqual({ db: { a: "staple" } });
  });

  it("gives a sealed value another name beside a line of its former one", async () => {
    const path = await place.seal("dev", "db", { a: "battery" });
    const editor = place.editor((text) =>
      text.replace("  a: 'battery'", "  b: '<sealed: a>'\n  a: 'battery'"),
    );
    await edit(path, editor, 0, ["--recovery-key", KEYS.dev]);
    expect(await place.open(path)).toEqual({ db: { a: "battery", b: "battery" } });
  });

  it("says in no dry run that something was written, and writes nothing", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const before = place.read(path);
    const editor = place.editor((text) => text.replace("<sealed: a>", "battery"));
    expect(await edit(path, editor, 0, ["--dry-run"])).toContain(
      "signet: would change dev/shop/db",
    );
    expect(place.read(path)).toBe(before);
  });

  it("takes what is wrong with its certificate before an editor opens", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    place.write("certificates/dev.pem", "");
    await edit(path, place.editor(), 1);
    expect(() => place.seen()).toThrow("ENOENT");
  });

  it("uses $VISUAL before $EDITOR", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const VISUAL = place.editor((text) => text.replace("<sealed: a>", "battery"));
    await ended(start(["edit", path], { EDITOR: "false", VISUAL }), 0);
    expect(await place.open(path)).toEqual({ db: { a: "battery" } });
  });

  const WAITING = "sh -c 'echo battery >> \"$0\"; echo waiting; exec sleep 600'";

  it.for<[NodeJS.Signals | "close", number]>([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["close", 0],
  ])("leaves nothing where %s ends it while the editor is open", async ([signal, status]) => {
    const path = await place.seal("dev", "db", { a: "1" });
    const before = place.read(path);
    const terminal = start(["edit", path], { EDITOR: WAITING });
    await terminal.waitFor("waiting");
    expect(place.inMemory()).toHaveLength(1);
    const pid = await terminal.pid();
    if (signal === "close") terminal.close();
    else process.kill(pid, signal);
    if (signal === "close") await terminal.exited;
    else await ended(terminal, status);
    await waitFor("nothing in memory", () => place.inMemory().length === 0);
    expect(place.read(path)).toBe(before);
    expect(place.filesWith("battery")).toEqual([]);
  });

  it("leaves Ctrl-C to the editor", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const editor = `sh -c 'trap "echo caught" INT; echo waiting; read line; sed -i "s/<sealed: a>/battery/" "$0"'`;
    const terminal = start(["edit", path], { EDITOR: editor });
    await terminal.waitFor("waiting");
    terminal.type(CTRL_C);
    await terminal.waitFor("caught");
    terminal.type("\n");
    await ended(terminal, 0);
    expect(await place.open(path)).toEqual({ db: { a: "battery" } });
  });

  it("removes what a killed one left, and follows no link that others made", async () => {
    const path = await place.seal("dev", "db", { a: "1" });
    const left = join(place.memory, "signet-edit-4194304-abc123");
    mkdirSync(left);
    writeFileSync(join(left, "secret.yaml"), "battery");
    const precious = join(place.root, "precious");
    mkdirSync(precious);
    writeFileSync(join(precious, "file"), "precious");
    const link = join(place.memory, "signet-edit-4194304-def456");
    symlinkSync(precious, link);
    await ended(start(["edit", path], { EDITOR: "true" }), 0);
    expect(existsSync(left)).toBe(false);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(precious, "file"), "utf8")).toBe("precious");
  });
});

describe("signet keys", () => {
  const confirmed: string[] = [];
  let server: Server;

  beforeEach(async () => {
    confirmed.length = 0;
    const secret = {
      metadata: {
        name: "theirs",
        resourceVersion: "7",
        labels: { "sealedsecrets.bitnami.com/sealed-secrets-key": "active" },
      },
      data: {
        "tls.key": readFileSync(KEYS.dev).toString("base64"),
        "tls.crt": readFileSync("test/fixtures/cert.pem").toString("base64"),
      },
    };
    server = createServer((request, response) => {
      if (request.method === "PATCH") confirmed.push(request.url ?? "");
      const isList = /labelSelector=sealedsecrets/.test(request.url ?? "");
      response.end(JSON.stringify({ items: isList ? [secret] : [] }));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as AddressInfo;
    const contexts = ["x", "evil"].map((name) => ({ name, context: { cluster: "c", user: "u" } }));
    const config = {
      apiVersion: "v1",
      kind: "Config",
      "current-context": "x",
      clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${port}` } }],
      contexts,
      users: [{ name: "u", user: { token: "t" } }],
    };
    place.write("kubeconfig", JSON.stringify(config));
    place.write("signet.yaml", "clusters: {dev: {context: evil}}\n");
  });

  afterEach(() => {
    server.close().closeAllConnections();
  });

  const adopt = (...args: string[]): Terminal =>
    start(["keys", "adopt", "theirs", "--no-wait", "--kubeconfig", "kubeconfig", ...args]);

  it("asks whether the place is right that signet.yaml chose, and changes nothing without a yes", async () => {
    const terminal = adopt("--cluster", "dev");
    await terminal.answer("signet.yaml sets --context evil: is that correct?", ENTER);
    expect(await ended(terminal, 130)).toContain("cancelled; no changes made");
    expect(confirmed).toEqual([]);
  });

  it("shows the key that a name leads to, and asks whether it is to seal", async () => {
    const refused = adopt();
    await refused.answer("Is SHA256:sF0o2O4SI/nHj+qTJS5S4963770Dgl+21EkWXIvYbF4 your key?", ENTER);
    await ended(refused, 130);
    expect(confirmed).toEqual([]);
    const taken = adopt("--cluster", "dev");
    await taken.answer("signet.yaml sets --context evil: is that correct?", `y${ENTER}`);
    await taken.answer(
      "Is SHA256:sF0o2O4SI/nHj+qTJS5S4963770Dgl+21EkWXIvYbF4 your key?",
      `y${ENTER}`,
    );
    expect(await ended(taken, 0)).toContain("theirs: can seal");
    expect(confirmed).toHaveLength(1);
  });
});

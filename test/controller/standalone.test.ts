// The standalone mode by the real program over real folders.
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createKeyFile, loadKeyFiles } from "../../controller/folderkeys.ts";
import { createLog } from "../../controller/log.ts";
import type { StandaloneFlags } from "../../controller/standaloneflags.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import type { Scope } from "../../shared/sealing/scope.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import type { JsonObject } from "../../shared/kubernetes/object.ts";
import { parseSecret } from "../../shared/kubernetes/secret.ts";
import { waitFor } from "../cluster/program.ts";

const PROGRAM = join(process.cwd(), "dist/signet-controller.mjs");

let folder: string;
const at = (...parts: string[]): string => join(folder, ...parts);

function args(...more: string[]): string[] {
  const folders = ["--from", at("config"), "--to", at("out"), "--keys", at("keys")];
  return [PROGRAM, "standalone", ...folders, "--key-size=2048", ...more];
}

function sync(...more: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, args(...more), { encoding: "utf8" });
}

async function declare(
  file: string,
  name: string,
  stringData: Record<string, string>,
  namespace = "shop",
  scope: Scope = "strict",
): Promise<void> {
  const metadata = { name, namespace };
  const secret = parseSecret({ apiVersion: "v1", kind: "Secret", metadata, stringData });
  const certificate = parseCertificate(readFileSync(at("cert.pem"), "utf8"));
  const object = formatSealedSecret(await seal(secret, certificate, scope));
  writeFileSync(at("config", file), JSON.stringify(object));
}

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-standalone-"));
  mkdirSync(at("config"));
  const { status } = sync("--write-cert", at("cert.pem"));
  expect(status).toBe(0);
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe("what is wrong with one Secret or one manifest", () => {
  /** What blocks `shop/db`, and words of the log about it. */
  const BLOCKS: [string, () => void, string][] = [
    [
      "a file in the place of its namespace's folder",
      () => {
        writeFileSync(at("out/shop"), "theirs");
      },
      "out/shop is a link or a file",
    ],
    [
      "a folder in the place of its record",
      () => {
        mkdirSync(at("out/.signet/shop/db"), { recursive: true });
      },
      "EISDIR",
    ],
    [
      "a foreign env file",
      () => {
        mkdirSync(at("out/shop/_env"), { recursive: true });
        writeFileSync(at("out/shop/_env/db"), "theirs");
      },
      "out/shop/_env/db exists and was not written by this program",
    ],
    [
      "a link in the place of the folder of env files",
      () => {
        mkdirSync(at("out/shop"), { recursive: true });
        symlinkSync(at("config"), at("out/shop/_env"));
      },
      "out/shop/_env is a link or a file",
    ],
  ];

  it.each(BLOCKS)(
    "keeps no other from being written or removed: %s",
    async (_what, block, words) => {
      await declare("old.json", "old", { a: "1" }, "alpha");
      expect(sync("--env-files").status).toBe(0);
      rmSync(at("config/old.json"));
      await declare("db.json", "db", { a: "1" });
      await declare("web.json", "web", { a: "1" }, "zulu");
      block();
      const { status, stdout, stderr } = sync("--env-files");
      expect([status, stdout]).toEqual([
        1,
        "2 SealedSecrets: 1 written, 0 restored, 0 unchanged, 1 removed, 1 failed\n",
      ]);
      expect(stderr).toContain("shop/db");
      expect(stderr).toContain(words);
      expect(readFileSync(at("out/zulu/_env/web"), "utf8")).toBe("a=1\n");
      expect(existsSync(at("out/alpha/old"))).toBe(false);
      expect(existsSync(at("out/shop/db"))).toBe(false);
      const theirs = [at("out/shop"), at("out/shop/_env/db")].find(
        (path) => existsSync(path) && statSync(path).isFile(),
      );
      if (theirs !== undefined) expect(readFileSync(theirs, "utf8")).toBe("theirs");
      expect(readdirSync(at("config")).sort()).toEqual(["db.json", "web.json"]);
    },
  );

  it("keeps no other from being written: a value for which there is no room", async () => {
    await declare("db.json", "db", { a: "1", b: "x".repeat(20_000) });
    await declare("web.json", "web", { a: "1" }, "zulu");
    // As on a full disk: no file may be larger than 8 KiB.
    const limited = 'trap "" XFSZ; ulimit -f 8; exec "$@"';
    const command = ["-c", limited, "bash", process.execPath, ...args()];
    const { status, stderr } = spawnSync("bash", command, { encoding: "utf8" });
    expect(status).toBe(1);
    expect(stderr).toContain("the Secret cannot be written: the file would be too large (EFBIG)");
    expect(readFileSync(at("out/zulu/web/a"), "utf8")).toBe("1");
    expect(readdirSync(at("out/shop/db"))).toEqual(["a"]);
    expect(sync().stdout).toContain("0 failed");
    expect(readFileSync(at("out/shop/db/b"), "utf8")).toHaveLength(20_000);
  });

  it.each<[string, (spec: JsonObject) => void, string]>([
    [
      "templates that take all the time there is",
      (spec) => {
        const bomb = `{{ $t := repeat 9000 "x" }}{{ range until 900 }}{{ $x := sha256sum $t }}{{ end }}`;
        const items = Array.from({ length: 60 }, (_, index) => [`item${index}`, bomb]);
        spec["template"] = { data: Object.fromEntries(items) as JsonObject };
      },
      "too much work",
    ],
    [
      "annotations of a wrong kind",
      (spec) => {
        spec["template"] = { metadata: { annotations: { a: {} } } };
      },
      "spec.template.metadata.annotations",
    ],
  ])("keeps no other from being written: %s", async (_what, damage, words) => {
    await declare("db.json", "db", { a: "1" });
    await declare("web.json", "web", { a: "1" }, "zulu");
    const object = JSON.parse(readFileSync(at("config/db.json"), "utf8")) as JsonObject;
    damage(object["spec"] as JsonObject);
    writeFileSync(at("config/db.json"), JSON.stringify(object));
    const { status, stderr } = sync();
    expect(status).toBe(1);
    expect(stderr).toContain(words);
    expect(readFileSync(at("out/zulu/web/a"), "utf8")).toBe("1");
    expect(existsSync(at("out/shop/db"))).toBe(false);
  });

  it("an object without a usable name keeps no other of its file, and is told of in each run", async () => {
    await declare("db.json", "db", { a: "1" });
    await declare("gone.json", "gone", { a: "1" });
    sync();
    rmSync(at("config/gone.json"));
    const text = readFileSync(at("config/db.json"), "utf8");
    const nameless = text.replaceAll('"name":"db"', '"name":"../db"');
    const misshapen = text.replaceAll('"db"', '"web"').replace('"a":', '"a":1,"b":');
    expect([nameless, misshapen]).not.toContain(text);
    await declare("db.json", "db", { a: "2" });
    const documents = [nameless, misshapen, readFileSync(at("config/db.json"), "utf8")];
    writeFileSync(at("config/all.yaml"), documents.join("\n---\n"));
    rmSync(at("config/db.json"));
    const { status, stdout, stderr } = sync();
    // Nobody can say which Secret the nameless one declares, so nothing is removed.
    expect([status, stdout]).toEqual([
      1,
      "2 SealedSecrets: 1 written, 0 restored, 0 unchanged, 0 removed, 2 failed\n",
    ]);
    expect(stderr).toContain("metadata.name");
    expect(stderr).toContain("object=shop/web");
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("2");
    expect(existsSync(at("out/shop/web"))).toBe(false);
  });

  it("files of other kinds in a checkout keep nothing from being removed", async () => {
    await declare("db.json", "db", { a: "1" });
    await declare("gone.json", "gone", { a: "1" });
    sync();
    rmSync(at("config/gone.json"));
    mkdirSync(at("config/templates"));
    writeFileSync(at("config/tsconfig.json"), '{ // a comment\n  "paths": ["a\\\\b", "!c"],\n}\n');
    writeFileSync(at("config/templates/service.yaml"), "name: {{ .Release.Name }}\n{{- end }}\n");
    writeFileSync(at("config/tasks.yml"), "a: 1\na: 2\n");
    writeFileSync(at("config/latin.yaml"), Buffer.from("name: M\xfcller\n", "latin1"));
    writeFileSync(at("config/notes.yaml"), "# For a SealedSecret:\n{{ if .x }}\n");
    const { status, stdout } = sync();
    expect([status, stdout]).toEqual([
      0,
      "1 SealedSecret: 0 written, 0 restored, 1 unchanged, 1 removed, 0 failed\n",
    ]);
    // A file that mentions a SealedSecret may declare what is missing, in whatever encoding.
    const other = at("config/other.yaml");
    writeFileSync(other, Buffer.from("\ufeffkind: SealedSecret\n", "utf16le"));
    expect(sync()).toMatchObject({ status: 1 });
    rmSync(other);
    rmSync(at("config/db.json"));
    writeFileSync(at("config/broken.yaml"), "kind: SealedSecret\nmetadata: {name: db\n");
    expect(sync()).toMatchObject({
      status: 1,
      stdout: expect.stringContaining(" 0 removed, ") as string,
    });
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("1");
  });

  it("a Secret that cannot be removed keeps no other from being removed", async () => {
    for (const namespace of ["alpha", "beta", "gamma"]) {
      await declare(`${namespace}.json`, "db", { a: "1" }, namespace);
    }
    sync();
    for (const namespace of ["alpha", "beta", "gamma"]) rmSync(at(`config/${namespace}.json`));
    // What a link leads to is not the Secret that was written.
    mkdirSync(at("theirs/db"), { recursive: true });
    writeFileSync(at("theirs/db/a"), "precious");
    rmSync(at("out/beta"), { recursive: true });
    symlinkSync(at("theirs"), at("out/beta"));
    const { status, stdout } = sync();
    expect([status, stdout]).toEqual([
      1,
      "0 SealedSecrets: 0 written, 0 restored, 0 unchanged, 2 removed, 1 failed\n",
    ]);
    expect(existsSync(at("out/alpha")) || existsSync(at("out/gamma"))).toBe(false);
    expect(readFileSync(at("theirs/db/a"), "utf8")).toBe("precious");
  });

  it("a link below --to is not followed, and its target's mode stays", async () => {
    mkdirSync(at("theirs"), { mode: 0o755 });
    chmodSync(at("theirs"), 0o755);
    symlinkSync(at("theirs"), at("out/shop"));
    await declare("db.json", "db", { a: "1" });
    const { status, stderr } = sync();
    expect(status).toBe(1);
    expect(stderr).toContain("out/shop is a link or a file");
    expect([mode(at("theirs")), readdirSync(at("theirs"))]).toEqual(["755", []]);
  });

  it("a namespace's folder that others made keeps its mode", async () => {
    mkdirSync(at("out/shop"), { mode: 0o755 });
    chmodSync(at("out/shop"), 0o755);
    await declare("db.json", "db", { a: "1" });
    expect(sync().status).toBe(0);
    expect([mode(at("out/shop")), mode(at("out/shop/db"))]).toEqual(["755", "700"]);
  });

  it.each<[string, () => void, string]>([
    [
      "a FIFO",
      () => {
        expect(spawnSync("mkfifo", [at("config/a.yaml")]).status).toBe(0);
      },
      "not a regular file",
    ],
    [
      "a link to a device",
      () => {
        symlinkSync("/dev/zero", at("config/a.yaml"));
      },
      "not a regular file",
    ],
    [
      "a link out of the folder",
      () => {
        writeFileSync(at("outside.yaml"), "a: 1\n");
        symlinkSync(at("outside.yaml"), at("config/a.yaml"));
      },
      "a link in this path leads outside the repository",
    ],
    [
      "larger than any, and names the kind",
      () => {
        const padding = "# a line of padding\n".repeat(1_000_000);
        writeFileSync(at("config/a.yaml"), `${padding}kind: SealedSecret\n`);
      },
      "the file is larger than 16 MiB",
    ],
    [
      "a link to itself",
      () => {
        symlinkSync(at("config/a.yaml"), at("config/a.yaml"));
      },
      "ELOOP",
    ],
  ])("a manifest that is %s keeps no Secret from being written", async (_what, make, words) => {
    await declare("db.json", "db", { a: "1" });
    make();
    const { status, stderr } = sync();
    expect(status).toBe(1);
    expect(stderr).toContain(words);
    expect(stderr).toContain("config/a.yaml");
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("1");
  });

  it("a folder that is missing is an error in words", () => {
    const { status, stderr } = sync("--from", at("missing"));
    expect(status).toBe(1);
    expect(stderr).toContain("cannot be read: no such file or directory (ENOENT)");
  });

  it.each<[string, () => void, string]>([
    [
      "data of 20 MB",
      () => {
        const rows = Array.from({ length: 500_000 }, (_, id) => ({ id, word: "a row of data\\n" }));
        writeFileSync(at("config/a.json"), JSON.stringify(rows));
      },
      'mebibytes=19 searched="no SealedSecret in it"',
    ],
    [
      "a file without end",
      () => {
        writeFileSync(at("config/a.json"), "");
        truncateSync(at("config/a.json"), 2 ** 33);
      },
      "mebibytes=8192 searched=no",
    ],
  ])("a file that is too large for a manifest is passed over: %s", async (_what, make, words) => {
    await declare("old.json", "old", { a: "1" });
    expect(sync().status).toBe(0);
    rmSync(at("config/old.json"));
    await declare("db.json", "db", { a: "1" });
    make();
    const { status, stdout, stderr } = sync();
    expect(stderr).toContain("config/a.json");
    expect(stderr).toContain(words);
    expect([status, stdout]).toEqual([
      0,
      "1 SealedSecret: 1 written, 0 restored, 0 unchanged, 1 removed, 0 failed\n",
    ]);
    expect(existsSync(at("out/shop/old"))).toBe(false);
  });

  it.each<[string, string, string]>([
    ["namespace", '"namespace":"shop"', '"namespace":"../../escaped"'],
    ["name", '"name":"db"', '"name":"../../../escaped"'],
    ["item", '"a":', '"../../../escaped":'],
  ])("writes nothing outside of --to by its %s", async (_what, usual, hostile) => {
    // It opens under any name, so that the path alone is in question.
    await declare("db.json", "db", { a: "1" }, "shop", "cluster-wide");
    await declare("web.json", "web", { a: "1" }, "zulu");
    const text = readFileSync(at("config/db.json"), "utf8");
    const changed = text.replaceAll(usual, hostile);
    expect(changed).not.toBe(text);
    writeFileSync(at("config/db.json"), changed);
    expect(sync().status).toBe(1);
    expect(readdirSync(folder).sort()).toEqual(["cert.pem", "config", "keys", "out"]);
    expect(readdirSync(at("out")).sort()).toEqual([".signet", "zulu"]);
    expect(readFileSync(at("out/zulu/web/a"), "utf8")).toBe("1");
  });

  it("links within the folder are followed, as volumes of ConfigMaps have them", async () => {
    mkdirSync(at("config/..data"));
    await declare("..data/db.json", "db", { a: "1" });
    symlinkSync("..data/db.json", at("config/db.json"));
    expect(sync().status).toBe(0);
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("1");
  });
});

describe("env files", () => {
  it("meet no Secret of any name, even the longest", async () => {
    const long = `${"a".repeat(248)}.json`;
    const names = ["db", "db.env", "env", "db.json", long, long.slice(0, 252)];
    for (const [index, name] of names.entries()) {
      await declare(`${index}.json`, name, { a: String(index) });
    }
    const { status, stdout } = sync("--env-files");
    expect([status, stdout]).toEqual([
      0,
      "6 SealedSecrets: 6 written, 0 restored, 0 unchanged, 0 removed, 0 failed\n",
    ]);
    for (const [index, name] of names.entries()) {
      expect(readFileSync(at("out/shop", name, "a"), "utf8")).toBe(String(index));
      expect(readFileSync(at("out/shop/_env", name), "utf8")).toBe(`a=${index}\n`);
    }
    for (const index of names.keys()) rmSync(at(`config/${index}.json`));
    expect(sync("--env-files").stdout).toContain("6 removed, 0 failed");
    expect(existsSync(at("out/shop"))).toBe(false);
  });

  it("go when they are no longer asked for, so that none is stale", async () => {
    await declare("db.json", "db", { a: "1" });
    sync("--env-files");
    expect(sync().stdout).toContain("1 restored");
    expect(existsSync(at("out/shop/_env/db"))).toBe(false);
    expect(sync().stdout).toContain("1 unchanged");
  });
});

describe("a new key", () => {
  const FLAGS = { keySize: 2048, keyTtl: 3_600_000, myCn: "", keyPrefix: "key" };
  const log = createLog("ERROR", "text", () => undefined);
  const now = new Date("2026-11-24T12:00:00Z");

  it("never replaces a file of its name", async () => {
    const flags = { ...FLAGS, keys: at("more") } as unknown as StandaloneFlags;
    // Two processes that start in the same second, and a link to somewhere else.
    await createKeyFile(flags, new Keyring(), now, log);
    const first = readFileSync(at("more/key-20261124120000.yaml"), "utf8");
    symlinkSync(at("elsewhere"), at("more/key-20261124120000-2.yaml"));
    await createKeyFile(flags, new Keyring(), now, log);
    expect(readFileSync(at("more/key-20261124120000.yaml"), "utf8")).toBe(first);
    expect(existsSync(at("elsewhere"))).toBe(false);
    expect(mode(at("more/key-20261124120000-3.yaml"))).toBe("600");
    expect(loadKeyFiles(at("more"), log)).toHaveLength(2);
  });

  it("is newer than one that may not seal", async () => {
    const flags = { ...FLAGS, keys: at("more") } as unknown as StandaloneFlags;
    await createKeyFile(flags, new Keyring(), new Date("2026-11-24T13:00:00Z"), log);
    const [held] = loadKeyFiles(at("more"), log);
    if (held === undefined) throw new Error("there is no key");
    await createKeyFile(flags, new Keyring([{ ...held, compromised: true }]), now, log);
    expect(readdirSync(at("more"))).toEqual(["key-20261124130000.yaml", "key-20261124130001.yaml"]);
  });
});

describe("signet-controller standalone", () => {
  it("makes a key that only its owner can read, and a certificate that all can", () => {
    expect(mode(at("keys"))).toBe("700");
    expect(readdirSync(at("keys"))).toHaveLength(1);
    expect(mode(at("keys", readdirSync(at("keys"))[0] ?? ""))).toBe("600");
    expect(mode(at("cert.pem"))).toBe("644");
  });

  it("writes a file an item and an env file, for the owner alone", async () => {
    await declare("db.json", "db", { USER: "bob", PASSWORD: "two words" });
    const { status, stdout } = sync("--env-files");
    expect([status, stdout]).toEqual([
      0,
      "1 SealedSecret: 1 written, 0 restored, 0 unchanged, 0 removed, 0 failed\n",
    ]);
    expect(readFileSync(at("out/shop/db/PASSWORD"), "utf8")).toBe("two words");
    expect(readFileSync(at("out/shop/_env/db"), "utf8")).toBe('PASSWORD="two words"\nUSER=bob\n');
    for (const path of ["out", "out/shop", "out/shop/db", "out/shop/_env", "out/.signet"]) {
      expect(mode(at(path))).toBe("700");
    }
    for (const path of ["out/shop/db/PASSWORD", "out/shop/_env/db", "out/.signet/shop/db"]) {
      expect(mode(at(path))).toBe("600");
    }
    expect(sync("--env-files").stdout).toContain("0 written, 0 restored, 1 unchanged");
  });

  it.each<[string, () => void]>([
    [
      "an edited item",
      () => {
        writeFileSync(at("out/shop/db/a"), "evil");
      },
    ],
    [
      "a deleted item",
      () => {
        rmSync(at("out/shop/db/a"));
      },
    ],
    [
      "an added item",
      () => {
        writeFileSync(at("out/shop/db/more"), "x");
      },
    ],
    [
      "a file with a name that no item has",
      () => {
        writeFileSync(at("out/shop/db/a b"), "x");
      },
    ],
    [
      "an item that others may read",
      () => {
        chmodSync(at("out/shop/db/a"), 0o644);
      },
    ],
    [
      "a folder that others may read",
      () => {
        chmodSync(at("out/shop/db"), 0o755);
      },
    ],
    [
      "an item turned into a folder",
      () => {
        rmSync(at("out/shop/db/a"));
        mkdirSync(at("out/shop/db/a"));
      },
    ],
    [
      "an item turned into a link",
      () => {
        rmSync(at("out/shop/db/a"));
        symlinkSync(at("cert.pem"), at("out/shop/db/a"));
      },
    ],
    [
      "a folder turned into a file",
      () => {
        rmSync(at("out/shop/db"), { recursive: true });
        writeFileSync(at("out/shop/db"), "");
      },
    ],
    [
      "all of it deleted",
      () => {
        rmSync(at("out/shop"), { recursive: true });
      },
    ],
    [
      "half-written leftovers of a killed run",
      () => {
        writeFileSync(at("out/shop/db/.abc.tmp"), "x");
      },
    ],
  ])("puts right %s", async (_what, damage) => {
    await declare("db.json", "db", { a: "1" });
    sync();
    const certificate = readFileSync(at("cert.pem"), "utf8");
    damage();
    expect(sync()).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("1 restored") as string,
    });
    expect(readdirSync(at("out/shop/db"))).toEqual(["a"]);
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("1");
    expect([mode(at("out/shop/db")), mode(at("out/shop/db/a"))]).toEqual(["700", "600"]);
    expect(readFileSync(at("cert.pem"), "utf8")).toBe(certificate);
  });

  it("leaves a folder alone that it did not make", async () => {
    mkdirSync(at("out/shop/db"), { recursive: true });
    writeFileSync(at("out/shop/db/theirs"), "precious");
    await declare("db.json", "db", { a: "1" });
    const { status, stderr } = sync();
    expect(status).toBe(1);
    expect(stderr).toContain("is not managed by SealedSecret");
    expect(readdirSync(at("out/shop/db"))).toEqual(["theirs"]);
  });

  it("removes what is no longer declared, but not while a manifest is broken", async () => {
    await declare("db.json", "db", { a: "1" });
    await declare("web.json", "web", { a: "1" });
    sync();
    rmSync(at("config/db.json"));
    writeFileSync(at("config/web.json"), '{"kind": "SealedSecret", broken');
    const broken = sync();
    expect(broken.status).toBe(1);
    expect(broken.stderr).toContain("config/web.json");
    expect(existsSync(at("out/shop/db/a")) && existsSync(at("out/shop/web/a"))).toBe(true);
    rmSync(at("config/web.json"));
    expect(sync()).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("2 removed") as string,
    });
    expect(readdirSync(at("out")).filter((entry) => entry !== ".signet")).toEqual([]);
  });

  it("leaves a Secret as it is that two manifests declare, and goes on with the others", async () => {
    await declare("b.json", "db", { a: "1" });
    await declare("gone.json", "gone", { a: "1" });
    sync();
    rmSync(at("config/gone.json"));
    await declare("a.json", "db", { a: "2" });
    await declare("c.json", "db", { a: "3" });
    await declare("web.json", "web", { a: "1" });
    const { status, stdout, stderr } = sync();
    expect([status, stdout]).toEqual([
      1,
      "1 SealedSecret: 1 written, 0 restored, 0 unchanged, 1 removed, 2 failed\n",
    ]);
    expect(stderr).toContain("shop/db is declared more than once");
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("1");
    expect(existsSync(at("out/shop/gone"))).toBe(false);
  });

  it("opens what older keys sealed, and says what no key opens without a value", async () => {
    await declare("db.json", "db", { a: "hunter2" });
    expect(sync("--new-key", "--write-cert", at("cert.pem")).status).toBe(0);
    expect(readdirSync(at("keys"))).toHaveLength(2);
    expect(readFileSync(at("out/shop/db/a"), "utf8")).toBe("hunter2");
    for (const key of readdirSync(at("keys"))) rmSync(at("keys", key));
    rmSync(at("out"), { recursive: true });
    const { status, stderr, stdout } = sync();
    expect(status).toBe(1);
    expect(stderr).toContain("no key could decrypt secret (a)");
    expect(stderr + stdout).not.toContain("hunter2");
  });

  it("skips a damaged key file, quoting nothing of it", async () => {
    await declare("db.json", "db", { a: "1" });
    writeFileSync(
      at("keys/zz.pem"),
      "-----BEGIN RSA PRIVATE KEY-----\nSECRETLINE\n-----END RSA PRIVATE KEY-----\n",
    );
    const { status, stderr } = sync();
    expect(status).toBe(0);
    expect(stderr).toContain("zz.pem");
    expect(stderr).not.toContain("SECRETLINE");
  });

  it("says what is wrong with its command line, and exits with 2", () => {
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM, "standalone"], {
      encoding: "utf8",
    });
    expect(status).toBe(2);
    expect(stderr).toContain("--from");
  });

  it("follows both sides while it watches, and ends on SIGTERM", async () => {
    const child = spawn(process.execPath, args("--watch", "--interval=100ms"), { stdio: "ignore" });
    const item = (): string => {
      try {
        return readFileSync(at("out/shop/db/a"), "utf8");
      } catch {
        return "";
      }
    };
    try {
      await declare("db.json", "db", { a: "1" });
      await waitFor("the Secret", () => item() === "1");
      writeFileSync(at("out/shop/db/a"), "evil");
      await waitFor("what was declared", () => item() === "1");
      await declare("db.json", "db", { a: "2" });
      await waitFor("the next value", () => item() === "2");
      rmSync(at("config/db.json"));
      await waitFor("it to be gone", () => !existsSync(at("out/shop/db")));
    } finally {
      child.kill("SIGTERM");
    }
    const status = await new Promise((done) => child.once("exit", done));
    expect(status).toBe(0);
  });

  it("killed at any moment leaves whole files, and the next run finishes", async () => {
    for (let i = 0; i < 20; i++) await declare(`s${i}.json`, `s${i}`, { a: `value-${i}`, b: "x" });
    for (let i = 0; i < 10; i++) {
      rmSync(at("out"), { recursive: true, force: true });
      const child = spawn(process.execPath, args(), { stdio: "ignore" });
      const ended = new Promise((done) => child.once("exit", done));
      await new Promise((done) => setTimeout(done, 60 + i * 10));
      child.kill("SIGKILL");
      await ended;
      for (let s = 0; s < 20; s++) {
        const path = at(`out/shop/s${s}/a`);
        if (existsSync(path)) expect(readFileSync(path, "utf8")).toBe(`value-${s}`);
      }
      expect(sync().status).toBe(0);
      for (let s = 0; s < 20; s++) {
        expect(readFileSync(at(`out/shop/s${s}/a`), "utf8")).toBe(`value-${s}`);
        expect(readdirSync(at(`out/shop/s${s}`)).sort()).toEqual(["a", "b"]);
      }
    }
  });
});

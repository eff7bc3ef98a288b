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
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { formatSealedSecret } from "../../shared/sealing/sealedsecret.ts";
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
): Promise<void> {
  const metadata = { name, namespace: "shop" };
  const secret = parseSecret({ apiVersion: "v1", kind: "Secret", metadata, stringData });
  const certificate = parseCertificate(readFileSync(at("cert.pem"), "utf8"));
  const object = formatSealedSecret(await seal(secret, certificate));
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
      "1 SealedSecret: 1 written, 0 put back, 0 unchanged, 0 removed, 0 failed\n",
    ]);
    expect(readFileSync(at("out/shop/db/PASSWORD"), "utf8")).toBe("two words");
    expect(readFileSync(at("out/shop/db.env"), "utf8")).toBe('PASSWORD="two words"\nUSER=bob\n');
    for (const path of ["out", "out/shop", "out/shop/db", "out/.signet"]) {
      expect(mode(at(path))).toBe("700");
    }
    for (const path of ["out/shop/db/PASSWORD", "out/shop/db.env", "out/.signet/shop/db.json"]) {
      expect(mode(at(path))).toBe("600");
    }
    expect(sync("--env-files").stdout).toContain("0 written, 0 put back, 1 unchanged");
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
      stdout: expect.stringContaining("1 put back") as string,
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
    writeFileSync(at("config/web.json"), "{ broken");
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

  it("refuses two declarations of one Secret", async () => {
    await declare("a.json", "db", { a: "1" });
    await declare("b.json", "db", { a: "2" });
    const { status, stderr } = sync();
    expect(status).toBe(1);
    expect(stderr).toContain("shop/db is declared more than once");
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

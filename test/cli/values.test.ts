import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generatePassword } from "../../shared/sealing/randompassword.ts";
import {
  hasValues,
  readClusterValues,
  readValues,
  type ValueFlags,
} from "../../cli/sealing/values.ts";
import { SignetError } from "../../shared/errors.ts";

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "signet-values-"));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function items(flags: ValueFlags): Promise<Record<string, string>> {
  const { data } = await readValues(flags);
  return Object.fromEntries(
    [...data].map(([item, value]) => [item, Buffer.from(value).toString()]),
  );
}

async function caught(flags: ValueFlags): Promise<SignetError> {
  try {
    await readValues(flags);
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("env files", () => {
  it.for([
    ["A=1\nB=2", { A: "1", B: "2" }],
    ["\uFEFFA=1\r\n\r\nB=2\r\n", { A: "1", B: "2" }],
    ["# A=1\n  # B=2\n\t C=3", { C: "3" }],
    ["A=\"quoted\"\nB='x'", { A: '"quoted"', B: "'x'" }],
    ["A= b \nB=c # d", { A: " b ", B: "c # d" }],
    ["A==b=c\nB=", { A: "=b=c", B: "" }],
    ["a.b-c_d=1\n.x=2", { "a.b-c_d": "1", ".x": "2" }],
  ] as const)("are read as kubectl does: %j", async ([text, expected]) => {
    expect(await items({ fromEnvFile: [file("app.env", text)] })).toEqual(expected);
  });

  it.for(["1A=hunter2", "export A=hunter2", "hunter2 hunter2", "=hunter2", "A =hunter2"])(
    "refuses the line %j without quoting it",
    async (line) => {
      const error = await caught({ fromEnvFile: [file("app.env", `A=1\n${line}\n`)] });
      expect(error).toMatchObject({ code: "secret-invalid", place: { line: 2 } });
      expect(JSON.stringify([error.message, error.hint])).not.toContain("hunter2");
    },
  );

  it("takes a name alone from the environment, and refuses it where there is none", async () => {
    process.env["SIGNET_TEST_VALUE"] = "hunter2";
    const path = file("app.env", "SIGNET_TEST_VALUE\n");
    expect(await items({ fromEnvFile: [path] })).toEqual({ SIGNET_TEST_VALUE: "hunter2" });
    delete process.env["SIGNET_TEST_VALUE"];
    expect((await caught({ fromEnvFile: [path] })).message).toContain("SIGNET_TEST_VALUE");
  });

  it("refuses an item that two files name", async () => {
    const [a, b] = [file("a.env", "A=1"), file("b.env", "A=2")];
    expect(await caught({ fromEnvFile: [a, b] })).toMatchObject({ code: "usage" });
  });
});

describe("files", () => {
  it("keeps every byte", async () => {
    const bytes = Uint8Array.from([0, 255, 10]);
    const { data } = await readValues({ fromFile: [`a=${file("raw", bytes)}`] });
    expect(data.get("a")).toEqual(Buffer.from(bytes));
  });

  it("takes of a folder its files, and no folder in it", async () => {
    const below = join(folder, "below");
    mkdirSync(join(below, "deeper and deeper"), { recursive: true });
    for (const name of ["b", "a.txt"]) writeFileSync(join(below, name), name);
    symlinkSync("deeper and deeper", join(below, "..data"));
    expect(await items({ fromFile: [below] })).toEqual({ "a.txt": "a.txt", b: "b" });
  });

  it.for(["not an item", "..data", "app.env~", "pass+word", "schlüssel"])(
    "refuses a folder with a file that names no item, as kubectl does: %s",
    async (name) => {
      const below = mkdtempSync(join(folder, "other-"));
      writeFileSync(join(below, "a"), "hunter2");
      writeFileSync(join(below, name), "hunter2");
      const error = await caught({ fromFile: [below] });
      expect(error).toMatchObject({ code: "usage", place: { file: join(below, name) } });
      expect(error.message).toBe("the file's name is not a valid item name");
    },
  );

  it("does not quote what may be a value where a file's path stands", async () => {
    const error = await caught({ fromFile: ["password=hunter2"] });
    expect(JSON.stringify([error.message, error.hint, error.place])).not.toContain("hunter2");
    expect(error.message).toContain("password");
  });
});

describe("generated values", () => {
  it.for([8, 32, 1024])("have %i letters and digits that nobody confuses", (length) => {
    expect(generatePassword(length)).toMatch(new RegExp(`^[A-HJ-NP-Za-km-z2-9]{${length}}$`));
  });

  it("differ", () => {
    expect(new Set(Array.from({ length: 100 }, () => generatePassword())).size).toBe(100);
  });

  it.for(["a=7", "a=1025", "a=", "a=x", "a=1e2", "a=0x20", "a=40=2", "a=-9", "a= 9"])(
    "are refused for %s",
    async (generate) => {
      expect(await caught({ generate: [generate] })).toMatchObject({ code: "usage" });
    },
  );
});

describe("values of several clusters", () => {
  const clusters = ["prod", "dev"];

  it("are generated for each, and read from files for all", async () => {
    const flags = { generate: ["a=40", "b"], fromFile: [`ca=${file("ca", "public")}`] };
    const { shared, own } = await readClusterValues(flags, clusters);
    expect([...shared.keys()]).toEqual(["ca"]);
    const texts = [...own].map(([cluster, values]) => [
      cluster,
      ...[...values].map(([item, value]) => `${item} ${Buffer.from(value).toString()}`),
    ]);
    expect(texts.map(([cluster]) => cluster)).toEqual(["prod", "dev"]);
    for (const [, a, b] of texts) {
      expect(a).toMatch(/^a \w{40}$/);
      expect(b).toMatch(/^b \w{32}$/);
    }
    expect(new Set(texts.flat()).size).toBe(6);
  });

  it("are refused where an item is said for each and for all", async () => {
    const flags = { generate: ["a"], fromFile: [`a=${file("a", "x")}`] };
    await expect(readClusterValues(flags, clusters)).rejects.toMatchObject({
      code: "usage",
      message: "a is given twice",
    });
  });
});

describe("a TLS pair", () => {
  const at = (name: string): string => join("test/fixtures", name);

  it("keeps the bytes of both files, and says its type", async () => {
    const { data, type } = await readValues({ tlsCert: at("cert.pem"), tlsKey: at("key.pem") });
    expect(type).toBe("kubernetes.io/tls");
    expect(data.get("tls.crt")).toEqual(readFileSync(at("cert.pem")));
    expect(data.get("tls.key")).toEqual(readFileSync(at("key.pem")));
  });

  it.for([
    ["cert.pem", "other-key.pem", "other-key.pem"],
    ["cert.pem", "cert.pem", "cert.pem"],
    ["key.pem", "key.pem", "key.pem"],
  ] as const)("of %s and %s is refused, naming %s", async ([cert, key, named]) => {
    const error = await caught({ tlsCert: at(cert), tlsKey: at(key) });
    expect(error).toMatchObject({ code: "secret-invalid", place: { file: at(named) } });
  });

  it("needs both", async () => {
    expect(await caught({ tlsCert: at("cert.pem") })).toMatchObject({ code: "usage" });
    expect(await caught({ tlsKey: at("key.pem") })).toMatchObject({ code: "usage" });
  });
});

describe("flags", () => {
  it.for(["dockerServer", "dockerUsername", "dockerEmail", "tlsCert", "tlsKey"])(
    "count as a value: %s",
    (flag) => {
      expect(hasValues({ [flag]: "x" })).toBe(true);
    },
  );

  it("hold no value where only lists without an entry were given", () => {
    expect(hasValues({ fromLiteral: [], fromFile: [], fromEnvFile: [], generate: [] })).toBe(false);
  });

  it("never quote a value that stands in the place of an item's name", async () => {
    for (const item of ["a=hunter2", "hunter2 x", "../hunter2"]) {
      for (const flags of [{ fromLiteral: [item] }, { fromFile: [`${item} y=z`] }]) {
        const error = await caught(flags);
        expect(JSON.stringify([error.message, error.hint])).not.toContain("hunter2");
      }
    }
  });
});

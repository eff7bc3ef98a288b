// That the browsers' half of the package works in a browser: as the files that it has, and in the
// example's page, bundled; and that the Go original, or Go's crypto/hpke, opens what was sealed there.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSealingKey, type SealingKeyPair } from "../../shared/keys/keypair.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { readKeyFile } from "../../shared/keys/keyfile.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { objectsOf } from "../../shared/kubernetes/object.ts";
import { parseManifests } from "../../shared/manifest/manifest.ts";
import { type Scope, SCOPES } from "../../shared/sealing/scope.ts";
import { parseSealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { openValues } from "../../shared/sealing/unseal.ts";
import { requireBed } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { startChromium } from "./browser/chromium.ts";
import type { Page } from "./browser/page.ts";

/** The strictest under which a page still has a script and its own server. */
const POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'";
const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
};

const PASSWORD = "pässwörd 🔑\r\n'\"";
const BINARY = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const LARGE = Buffer.alloc(100_000, "0123456789abcdef");
const ANNOTATIONS: Readonly<Record<Scope, string>> = {
  strict: "{}",
  "namespace-wide": '{sealedsecrets.bitnami.com/namespace-wide: "true"}',
  "cluster-wide": '{sealedsecrets.bitnami.com/cluster-wide: "true"}',
};

function manifestOf(scope: Scope): string {
  return `apiVersion: v1
kind: Secret
metadata: {name: db, namespace: demo, annotations: ${ANNOTATIONS[scope]}}
type: Opaque
data: {binary: ${BINARY.toString("base64")}, empty: ""}
stringData: {password: ${JSON.stringify(PASSWORD)}}
`;
}

const EMPTY_SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: demo}\n";

let scratch = "";
/** Where the package is installed, and nothing else is. */
let place = "";
let pem = "";
let page: Page;
let server: Server;
/** By path, what the server was asked. */
const asked: string[] = [];

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "signet-browser-"));
  place = join(scratch, "place");
  mkdirSync(place);
  const key = await createSealingKey({
    bits: 4096,
    notBefore: new Date(Date.now() - 60_000),
    validForMs: 3_600_000,
  });
  pem = key.certificatePem;
  writeFileSync(join(scratch, "key.pem"), key.privateKeyPem, { mode: 0o600 });

  // `prepack` would build anew, under the feet of the other suites.
  const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch];
  const said = execFileSync("npm", pack, { encoding: "utf8" });
  const [{ filename }] = JSON.parse(said) as [{ filename: string }];
  writeFileSync(join(place, "package.json"), '{"private": true, "type": "module"}\n');
  const install = ["install", "--offline", "--no-audit", "--no-fund", join(scratch, filename)];
  execFileSync("npm", install, { cwd: place, stdio: "pipe" });

  for (const name of ["index.html", "probe.js"]) {
    cpSync(resolve("test/interop/browser", name), join(place, "files", name));
  }
  cpSync(join(place, "node_modules/kube-signet/dist"), join(place, "files/dist"), {
    recursive: true,
  });
  cpSync(resolve("examples/browser"), join(place, "example"), { recursive: true });
  const readme = readFileSync("examples/browser/README.md", "utf8");
  const [, words = ""] = /^npx esbuild (.+)$/m.exec(readme) ?? [];
  execFileSync(resolve("node_modules/esbuild/bin/esbuild"), words.split(" "), {
    cwd: join(place, "example"),
    stdio: "pipe",
  });

  server = createServer(({ method, url = "" }, response) => {
    asked.push(`${method ?? ""} ${url}`);
    const type = TYPES[extname(url)];
    if (type === undefined || url.includes("..")) {
      response.writeHead(404).end();
      return;
    }
    // The example brings its own policy.
    const policy = url.startsWith("/files/") ? { "content-security-policy": POLICY } : {};
    response.writeHead(200, { "content-type": type, ...policy });
    response.end(readFileSync(join(place, url)));
  });
  await new Promise<void>((done) => server.listen(0, done));
  page = await startChromium();
});

afterAll(async () => {
  await page.close();
  server.closeAllConnections();
  server.close();
  rmSync(scratch, { recursive: true, force: true });
});

function address(path: string, host = "127.0.0.1"): string {
  return `http://${host}:${(server.address() as AddressInfo).port}${path}`;
}

/** Calls what probe.js has. */
function call(name: string, ...args: unknown[]): Promise<unknown> {
  return page.ask(`probe.${name}(...${JSON.stringify(args)})`);
}

const toBase64 = (values: Record<string, Buffer>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value.toString("base64")]),
  );

function kubeseal(sealed: string): { status: number | null; stdout: string; stderr: string } {
  const args = ["--recovery-unseal", "--recovery-private-key", join(scratch, "key.pem")];
  return spawnSync(partPath("kubeseal"), args, {
    input: sealed,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: scratch },
  });
}

/** The values by the Go original; it writes an empty one as null. */
function open(sealed: string): Record<string, Buffer> {
  const { status, stdout, stderr } = kubeseal(sealed);
  expect([status, stderr]).toEqual([0, ""]);
  const { data } = JSON.parse(stdout) as { data: Record<string, string | null> };
  return Object.fromEntries(
    Object.entries(data).map(([name, text]) => [name, Buffer.from(text ?? "", "base64")]),
  );
}

const SEALED = { binary: BINARY, empty: Buffer.alloc(0), password: Buffer.from(PASSWORD) };

describe("the package's files in a page", () => {
  beforeAll(async () => {
    await page.open(address("/files/index.html"));
  });

  it("are in a browser, which has nothing of Node's", async () => {
    const found = await page.ask(
      "[navigator.userAgent, isSecureContext, typeof process, typeof Buffer, typeof require]",
    );
    const nothing = ["undefined", "undefined", "undefined"];
    expect(found).toEqual([expect.stringContaining("Chrome/"), true, ...nothing]);
  });

  it("offer what they offer in Node, which is nothing that needs a private key", async () => {
    const module = "kube-signet/browser";
    const script = `console.log(JSON.stringify(Object.keys(await import("${module}"))))`;
    const how = ["--input-type=module", "--eval", script];
    const names = execFileSync(process.execPath, how, { cwd: place, encoding: "utf8" });
    const offered = (await call("offers")) as string[];
    expect(offered).toEqual(JSON.parse(names));
    expect(offered).toContain("seal");
    expect(offered.filter((name) => /unseal|reseal|key/i.test(name))).toEqual([]);
  });

  it("read a certificate as OpenSSL does", async () => {
    for (const text of [pem, readFileSync("test/fixtures/expired-cert.pem", "utf8")]) {
      const { spki, notBefore, notAfter, ...rest } = parseCertificate(text);
      const times = { notBefore: Number(notBefore), notAfter: Number(notAfter) };
      expect(await call("certificate", text)).toEqual({ ...rest, ...times, spki: [...spki] });
    }
  });

  it.for([
    ["no PEM", "hunter2", /does not contain any valid/],
    ["an elliptic curve", readFileSync("test/fixtures/ec-cert.pem", "utf8"), /RSA/],
    [
      "damaged bytes",
      readFileSync("test/fixtures/cert.pem", "utf8").replace(/\n.{40}/, "\n"),
      /damaged/,
    ],
  ] as const)("refuse a certificate that is none: %s", async ([, text, message]) => {
    expect(await call("certificate", text)).toMatchObject({
      name: "SignetError",
      ours: true,
      code: "certificate-invalid",
      message: expect.stringMatching(message) as string,
    });
  });

  it("refuse what is no Secret, without its values", async () => {
    const refusal = (await call("refusal", manifestOf("strict").replace("Secret", "Config"))) as {
      code: string;
    };
    expect(refusal.code).toBe("wrong-kind");
    expect(JSON.stringify(refusal)).not.toContain("pässwörd");
  });

  it.each(SCOPES)("seal, merge and change: the original opens it, scope %s", async (scope) => {
    const more = { large: LARGE, empty: Buffer.from("no longer") };
    const set = { port: Buffer.from("5432"), password: Buffer.from("another") };
    const changes = { more: toBase64(more), set: toBase64(set) };
    // Asked for by annotation, and by the argument.
    for (const [by, how] of [
      [scope, changes],
      ["strict", { ...changes, scope }],
    ] as const) {
      const sealed = (await call("seal", pem, manifestOf(by), how)) as string;
      expect(open(sealed)).toEqual({ ...SEALED, ...more, ...set });
    }
  });

  it("bind what they seal to its place, as far as the scope says", async () => {
    const opens: Record<string, boolean[]> = {};
    for (const scope of SCOPES) {
      const sealed = (await call("seal", pem, manifestOf(scope), {})) as string;
      const places = [
        sealed.replaceAll("name: db", "name: other"),
        sealed.replaceAll("namespace: demo", "namespace: other"),
      ];
      for (const moved of places) expect(moved).not.toBe(sealed);
      opens[scope] = places.map((moved) => kubeseal(moved).status === 0);
    }
    expect(opens).toEqual({
      strict: [false, false],
      "namespace-wide": [true, false],
      "cluster-wide": [true, true],
    });
  });

  it("asked for nothing but themselves, within the strictest policy", () => {
    const [document, ...files] = page.requests;
    expect(document).toBe(address("/files/index.html"));
    expect(files.length).toBeGreaterThan(1);
    for (const file of files) {
      expect(file).toMatch(/\/files\/(probe\.js|dist\/browser\.mjs|dist\/library\/[-\w]+\.mjs)$/);
    }
    expect(page.complaints).toEqual([]);
  });

  it("would have been seen to do otherwise", async () => {
    expect(await call("escape")).toEqual([]);
    await expect.poll(() => page.complaints.join("\n")).toMatch(/Content Security Policy/);
    await page.ask("fetch('/elsewhere').then(() => undefined)");
    expect(page.requests).toContain(address("/elsewhere"));
  });

  it("say that a page wants HTTPS where there is no WebCrypto", async () => {
    await page.open(address("/files/index.html", requireBed("a page that is not local")));
    expect(await page.ask("isSecureContext")).toBe(false);
    expect(await call("certificate", pem)).toEqual({
      name: "SignetError",
      ours: true,
      code: "usage",
      message: "WebCrypto is not available, because this page was not loaded over HTTPS",
      hint: "serve the page over HTTPS, or from localhost",
    });
  });
});

describe("a certificate with a post-quantum key, in a page", () => {
  const SIZES = [0, 1, 62, 63, 64, 1000, 100_000];
  const LABELS = { strict: "demo/db", "namespace-wide": "demo", "cluster-wide": "" };
  let both: SealingKeyPair;
  let keyring: Keyring;
  let seed: string;

  beforeAll(async () => {
    const notBefore = new Date(Date.now() - 60_000);
    const kinds = ["hybrid"];
    both = await createSealingKey({ bits: 2048, notBefore, validForMs: 3_600_000, kinds });
    keyring = new Keyring(readKeyFile(both.privateKeyPem, "both"));
    const block = /BEGIN PRIVATE KEY-----\n([^-]+)/.exec(both.privateKeyPem)?.[1] ?? "";
    seed = Buffer.from(block, "base64").subarray(-32).toString("base64");
    const bundled = join(place, "files/opens.mjs");
    const args = ["test/interop/browser/opens.ts", "--bundle", "--format=esm"];
    execFileSync(resolve("node_modules/esbuild/bin/esbuild"), [...args, `--outfile=${bundled}`], {
      stdio: "pipe",
    });
    await page.open(address("/files/index.html"));
  });

  function askGo(questions: readonly object[]): { envelope?: string; value?: string }[] {
    const input = JSON.stringify(questions.map((each) => ({ seed, ...each })));
    const output = execFileSync(partPath("hybrid-oracle"), { input, maxBuffer: 2 ** 28 });
    return JSON.parse(output.toString()) as { envelope?: string; value?: string }[];
  }

  const labelOf = (scope: keyof typeof LABELS): string =>
    Buffer.from(LABELS[scope]).toString("base64");

  it("is read as Node reads it, and refused with a bit of the second key changed", async () => {
    const { spki, notBefore, notAfter, ...rest } = parseCertificate(both.certificatePem);
    expect(rest.kinds).toEqual(["hybrid", "rsa"]);
    const times = { notBefore: Number(notBefore), notAfter: Number(notAfter) };
    const found = await call("certificate", both.certificatePem);
    expect(found).toEqual({ ...rest, ...times, spki: [...spki] });
    const lines = both.certificatePem.split("\n");
    const middle = Math.floor(lines.length / 2);
    const line = lines[middle] ?? "";
    lines[middle] = (line.startsWith("A") ? "B" : "A") + line.slice(1);
    expect(await call("certificate", lines.join("\n"))).toMatchObject({
      code: "certificate-invalid",
    });
  });

  it.each(SCOPES)("seals what Node and Go open, scope %s", async (scope) => {
    const more = Object.fromEntries(
      SIZES.map((size) => [`bytes-${size}`, Buffer.alloc(size, 0x80)]),
    );
    const changes = { more: toBase64(more), set: toBase64({ set: BINARY }) };
    const text = (await call("seal", both.certificatePem, manifestOf(scope), changes)) as string;
    const expected = { ...SEALED, ...more, set: BINARY };
    const sealed = parseSealedSecret(parseManifests(text).flatMap(objectsOf)[0] ?? {});
    const { values } = await openValues(sealed, keyring);
    const byNode = Object.fromEntries(
      [...values].map(([item, value]) => [item, Buffer.from(value)]),
    );
    expect(byNode).toEqual(expected);
    const items = [...sealed.encryptedData];
    for (const [, envelope] of items) expect(envelope).toMatch(/^PQ1A/);
    const answers = askGo(items.map(([, envelope]) => ({ envelope, label: labelOf(scope) })));
    const byGo = Object.fromEntries(
      items.map(([item], at) => [item, Buffer.from(answers[at]?.value ?? "-", "base64")]),
    );
    expect(byGo).toEqual(expected);
  });

  it("could be opened there, too: what Go sealed, and nothing with a bit changed", async () => {
    const label = labelOf("strict");
    const values = SIZES.map((size) => Buffer.alloc(size, 0x80).toString("base64"));
    const envelopes = askGo(values.map((value) => ({ value, label }))).map(
      ({ envelope = "" }) => envelope,
    );
    const open = (texts: readonly string[]): Promise<unknown> =>
      page.ask(
        `import(${JSON.stringify(address("/files/opens.mjs"))}).then(({ opens }) => opens(...${JSON.stringify([seed, label, texts])}))`,
      );
    expect(await open(envelopes)).toEqual(values);
    const [, , sealed = ""] = envelopes;
    const flipped = [0, 3, 11, 12, 600, 1110, 1131, 1132, 1200].map((at) => {
      const bytes = Buffer.from(sealed, "base64");
      bytes[at] = (bytes[at] ?? 0) ^ 0x80;
      return bytes.toString("base64");
    });
    expect(await open(flipped)).toEqual(flipped.map(() => null));
  });
});

describe("the example's page", () => {
  interface Shown {
    readonly message: string;
    readonly sealed: string;
  }

  /** Fills the page in and presses its button. */
  async function seal(certificate: string, secret: string, scope = ""): Promise<Shown> {
    const typed = JSON.stringify({ certificate, secret, scope });
    return (await page.ask(`new Promise((done) => {
      for (const [id, text] of Object.entries(${typed})) document.getElementById(id).value = text;
      const message = document.getElementById("message");
      message.textContent = "";
      new MutationObserver(() => {
        done({ message: message.textContent, sealed: document.getElementById("sealed").value });
      }).observe(message, { childList: true });
      document.getElementById("seal").click();
    })`)) as Shown;
  }

  beforeAll(async () => {
    await page.open(address("/example/index.html"));
    asked.length = 0;
  });

  it.each(SCOPES)("seals what is typed into it, in scope %s", async (scope) => {
    for (const [by, choice] of [
      [scope, ""],
      ["strict", scope],
    ] as const) {
      const { message, sealed } = await seal(pem, manifestOf(by), choice);
      expect(message).toBe("sealed");
      expect(open(sealed)).toEqual(SEALED);
    }
  });

  /** Fills in the fields of a Secret; a row for each of the items. */
  async function fill(fields: Record<string, string>, items: [string, string][]): Promise<void> {
    await page.ask(`(() => {
      for (const [id, text] of Object.entries(${JSON.stringify(fields)}))
        document.getElementById(id).value = text;
      document.getElementById("items").replaceChildren();
      for (const [key, value] of ${JSON.stringify(items)}) {
        document.getElementById("more").click();
        const row = document.getElementById("items").lastElementChild;
        row.querySelector(".key").value = key;
        row.querySelector(".value").value = value;
      }
    })()`);
  }

  it("seals what is filled in without any YAML", async () => {
    await fill({ namespace: "demo", name: "db" }, [
      ["user", "0777"],
      ["password", PASSWORD.replace("\r", "")],
      ["", ""],
    ]);
    const { message, sealed } = await seal(pem, "");
    expect(message).toBe("sealed");
    expect(open(sealed)).toEqual({
      user: Buffer.from("0777"),
      password: Buffer.from(PASSWORD.replace("\r", "")),
    });
  });

  it.for([
    ["no name", { namespace: "demo", name: "" }, [["a", "b"]], /needs a namespace and a name/],
    ["no item", { namespace: "demo", name: "db" }, [["", "b"]], /a value has no item's name/],
    [
      "an item twice",
      { namespace: "demo", name: "db" },
      [
        ["a", "b"],
        ["a", "c"],
      ],
      /a is there twice/,
    ],
    ["no value", { namespace: "demo", name: "db" }, [], /^db: there is no value to seal$/],
  ] as [string, Record<string, string>, [string, string][], RegExp][])(
    "says what is missing in the fields: %s",
    async ([, fields, items, message]) => {
      await fill(fields, items);
      expect(await seal(pem, "")).toEqual({
        message: expect.stringMatching(message) as string,
        sealed: "",
      });
      await fill({ namespace: "", name: "" }, []);
    },
  );

  it("says what is wrong, and shows no result", async () => {
    await fill({ namespace: "", name: "" }, []);
    const expired = readFileSync("test/fixtures/expired-cert.pem", "utf8");
    for (const [certificate, secret, message] of [
      ["", manifestOf("strict"), /^certificate-invalid: /],
      [expired, manifestOf("strict"), /expired/],
      [pem, "", /no Secret to seal/],
      [pem, EMPTY_SECRET, /^db: there is no value to seal$/],
      [pem, "kind: ConfigMap", /^wrong-kind: /],
      [pem, `${manifestOf("strict")}  pin: 0777\n`, /^manifest-syntax: /],
      [pem, manifestOf("strict").replace("empty: ", "pin: 0777, empty: "), /needs quotes/],
    ] as const) {
      expect(await seal(certificate, secret)).toEqual({
        message: expect.stringMatching(message) as string,
        sealed: "",
      });
    }
  });

  it("copies the result", async () => {
    const { sealed } = await seal(pem, manifestOf("strict"));
    const copied = await page.ask(`new Promise((done) => {
      navigator.clipboard.writeText = (text) => (done(text), Promise.resolve());
      document.getElementById("copy").click();
    })`);
    expect(copied).toBe(sealed);
  });

  it("fits a narrow screen, and follows the dark mode", async () => {
    expect(
      await page.ask(`new Promise((done) => {
        document.body.style.width = "300px";
        document.querySelector("details").open = true;
        const areas = [...document.querySelectorAll("textarea, input, select, button, fieldset")];
        const scheme = getComputedStyle(document.documentElement).colorScheme;
        done([scheme, areas.every((area) => area.getBoundingClientRect().width <= 300)]);
      })`),
    ).toEqual(["light dark", true]);
  });

  it("sends nothing to anybody, and its policy holds back what tries", async () => {
    expect([...page.requests].sort()).toEqual(
      ["index.html", "page.css", "page.js"].map((name) => address(`/example/${name}`)),
    );
    expect(asked).toEqual([]);
    expect(page.complaints).toEqual([]);
    const escape = "fetch('/example/index.html').then(() => 'escaped', () => 'held')";
    expect(await page.ask(escape)).toBe("held");
    expect(asked).toEqual([]);
  });
});

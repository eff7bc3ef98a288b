// The page on which people seal, in a real browser: from a file and from the controller's routes. The
// Go original opens what was sealed there, and nothing is requested.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { apiRoutes } from "../../controller/api.ts";
import { addressOf, closeServer, listen } from "../../controller/httpserver.ts";
import { createLog } from "../../controller/log.ts";
import { createMetrics } from "../../controller/metrics.ts";
import { parseCertificate } from "../../shared/keys/certificate.ts";
import { createSealingKey } from "../../shared/keys/keypair.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { requireBed } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { type Page, startChromium } from "./browser/chromium.ts";

const PASSWORD = "pässwörd 🔑\n'\"</script>";
const WIDTHS = [360, 768, 1280] as const;
const CLUSTERS = ["prod", "dev", "hybrid"] as const;
type Cluster = (typeof CLUSTERS)[number];

let scratch = "";
let page: Page;
let html = "";
let file = "";
const fingerprints = new Map<Cluster, string>();

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "signet-page-"));
  const lines = ["clusters:"];
  for (const cluster of CLUSTERS) {
    const key = await createSealingKey({
      bits: 2048,
      kinds: cluster === "hybrid" ? ["hybrid"] : [],
      notBefore: new Date(Date.now() - 60_000),
      validForMs: 100 * 24 * 3_600_000,
    });
    writeFileSync(join(scratch, `${cluster}.pem`), key.certificatePem);
    writeFileSync(join(scratch, `${cluster}.key`), key.privateKeyPem, { mode: 0o600 });
    fingerprints.set(cluster, parseCertificate(key.certificatePem).fingerprint);
    lines.push(`  ${cluster}: {certificate: ${cluster}.pem}`);
  }
  writeFileSync(join(scratch, "signet.yaml"), `${lines.join("\n")}\npaths: {"prod/**": prod}\n`);
  file = join(scratch, "seal.html");
  const made = spawnSync(process.execPath, [resolve("dist/signet.cjs"), "page", "-o", file], {
    cwd: scratch,
    encoding: "utf8",
  });
  expect(made.stderr).toBe(`signet: ${file}: a page for prod, dev, hybrid\n`);
  html = readFileSync(file, "utf8");
  page = await startChromium();
});

afterAll(async () => {
  await page.close();
  rmSync(scratch, { recursive: true, force: true });
});

async function openFile(): Promise<void> {
  await page.open(pathToFileURL(file).href);
  await expect.poll(() => page.ask("document.querySelectorAll('#clusters li').length")).toBe(3);
}

/** The values by the Go original; by ours for a post-quantum envelope, which the original has not. */
function open(sealed: string, cluster: Cluster): Record<string, string> {
  const key = join(scratch, `${cluster}.key`);
  const args = ["--recovery-unseal", "--recovery-private-key", key];
  const [program, ...words] =
    cluster === "hybrid"
      ? [process.execPath, resolve("dist/kubeseal.cjs"), ...args]
      : [partPath("kubeseal"), ...args];
  const { status, stdout, stderr } = spawnSync(program, words, {
    input: sealed,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: scratch },
  });
  expect([status, stderr]).toEqual([0, ""]);
  const { data } = JSON.parse(stdout) as { data: Record<string, string> };
  return Object.fromEntries(
    Object.entries(data).map(([name, text]) => [name, Buffer.from(text, "base64").toString()]),
  );
}

/** Sets fields by selector, as a person does who types and chooses. */
async function fill(fields: Record<string, string | boolean>): Promise<void> {
  await page.ask(`(() => {
    for (const [selector, value] of Object.entries(${JSON.stringify(fields)})) {
      const field = document.querySelector(selector);
      if (typeof value === "boolean") field.checked = value; else field.value = value;
      for (const event of ["input", "change"])
        field.dispatchEvent(new Event(event, { bubbles: true }));
    }
  })()`);
}

const click = (selector: string): Promise<unknown> =>
  page.ask(`document.querySelector(${JSON.stringify(selector)}).click()`);

const textOf = (selector: string): Promise<unknown> =>
  page.ask(`document.querySelector(${JSON.stringify(selector)}).textContent`);

/** Waits until sealing is done, and returns the manifests by their headings. */
async function results(): Promise<Record<string, string>> {
  await expect
    .poll(() =>
      page.ask(
        "document.querySelector('#errors').textContent || document.querySelector('#status').textContent",
      ),
    )
    .toMatch(/^Done: /);
  return (await page.ask(`Object.fromEntries([...document.querySelectorAll(".result")].map((each) =>
    [each.querySelector("h3").textContent, each.querySelector("textarea").value]))`)) as Record<
    string,
    string
  >;
}

const choose = (cluster: Cluster): Promise<unknown> =>
  page.ask(`[...document.querySelectorAll("#clusters li")].find((each) =>
    each.querySelector(".cluster-name").textContent === "${cluster}")
    .querySelector(".cluster-chosen").click()`);

/** A new Secret with one item, for some clusters. */
async function sealNew(clusters: readonly Cluster[]): Promise<Record<string, string>> {
  for (const cluster of clusters) await choose(cluster);
  await fill({
    "#namespace": "shop",
    "#name": "db",
    "#new-items .item-name": "password",
    "#new-items .item-text": PASSWORD,
  });
  await click("#new-form .primary");
  return results();
}

/** Drops files on the page. */
async function drop(files: Record<string, string>): Promise<void> {
  await page.ask(`(() => {
    const dataTransfer = new DataTransfer();
    for (const [name, text] of Object.entries(${JSON.stringify(files)}))
      dataTransfer.items.add(new File([text], name));
    window.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
  })()`);
  await expect.poll(() => textOf("#status")).toMatch(/^Read /);
}

/** The item of a sealed file in the form, as a selector. */
const item = (index: number): string => `#change-items .item:nth-child(${index + 1})`;

describe("from a file", () => {
  beforeEach(openFile);

  it("seals a new Secret for several clusters at once, and asks for nothing", async () => {
    const sealed = await sealNew(CLUSTERS);
    expect(Object.keys(sealed)).toEqual(CLUSTERS.map((each) => `${each}: ${each}/shop/db.yaml`));
    for (const cluster of CLUSTERS) {
      const text = sealed[`${cluster}: ${cluster}/shop/db.yaml`] ?? "";
      expect(text).toContain(fingerprints.get(cluster));
      expect(open(text, cluster)).toEqual({ password: PASSWORD });
    }
    expect(page.requests).toEqual([pathToFileURL(file).href]);
    expect(page.complaints).toEqual([]);
  });

  it("seals with RSA where that is chosen, for the original to open", async () => {
    await fill({ "#algorithm": "rsa" });
    const [text = ""] = Object.values(await sealNew(["hybrid"]));
    const { status } = spawnSync(
      partPath("kubeseal"),
      ["--recovery-unseal", "--recovery-private-key", join(scratch, "hybrid.key")],
      { input: text, encoding: "utf8", env: { PATH: process.env["PATH"], HOME: scratch } },
    );
    expect(status).toBe(0);
  });

  it("seals for the namespaces that a selector matches, in its canonical spelling", async () => {
    const isHidden = (): Promise<unknown> => page.ask("document.querySelector('#selector').offsetParent === null"); // prettier-ignore
    expect(await isHidden()).toBe(true);
    await choose("hybrid");
    await fill({ "#name": "db", "#scope": "selector" });
    await fill({ "#new-items .item-name": "password", "#new-items .item-text": PASSWORD });
    expect(await isHidden()).toBe(false);
    for (const [selector, reason] of [
      ["", "Name the labels that the namespaces must have, such as team=a."],
      [
        "!team",
        "This selector asks for no label, so it matches every namespace that nobody labelled.",
      ],
    ]) {
      await fill({ "#selector": selector ?? "" });
      await click("#new-form .primary");
      await expect.poll(() => textOf("#errors")).toBe(reason);
      expect(await page.ask("document.activeElement.id")).toBe("selector");
    }
    await fill({ "#selector": " team in (b, a), env==prod" });
    await click("#new-form .primary");
    const [[heading, text] = ["", ""]] = Object.entries(await results());
    expect(heading).toBe("hybrid: hybrid/any/db.yaml");
    expect(text).toContain("kube-signet/namespace-selector: env=prod,team in (a,b)\n");
    expect(open(text, "hybrid")).toEqual({ password: PASSWORD });
  });

  it("shows the fingerprint, the validity and the age of each certificate", async () => {
    for (const [index, cluster] of CLUSTERS.entries()) {
      const card = `#clusters li:nth-child(${index + 1})`;
      expect(await textOf(`${card} .cluster-fingerprint`)).toBe(fingerprints.get(cluster));
      expect(await textOf(`${card} .cluster-validity`)).toMatch(
        /^valid until .* \(99 days left\)$/,
      );
      expect(await textOf(`${card} .cluster-key`)).toContain("(today)");
    }
  });

  it("replaces, adds, renames and removes items of a dropped file, and keeps all other lines", async () => {
    const [text = ""] = Object.values(await sealNew(["prod"]));
    const before = text.replace("---\n", "# by hand\n");
    await drop({ "db.yaml": before });
    await fill({ [`${item(0)} .item-action`]: "set" });
    await fill({ [`${item(0)} .item-text`]: "another" });
    await click("#change-new-item");
    await fill({ [`${item(1)} .item-name`]: "user", [`${item(1)} .item-text`]: "me" });
    await click("#change-form .primary");
    const changed = (await results())["prod: db.yaml"] ?? "";
    expect(open(changed, "prod")).toEqual({ password: "another", user: "me" });
    const kept = (each: string): string[] =>
      each.split("\n").filter((line) => !/^ {4}(password|user): /.test(line));
    expect(kept(changed)).toEqual(kept(before));

    // The next change goes on from there.
    await fill({ [`${item(0)} .item-action`]: "rename", [`${item(1)} .item-action`]: "unset" });
    await fill({ [`${item(0)} .item-name`]: "pass" });
    await click("#change-form .primary");
    const renamed = (await results())["prod: db.yaml"] ?? "";
    expect(open(renamed, "prod")).toEqual({ pass: "another" });
    expect(page.requests).toEqual([pathToFileURL(file).href]);
  });

  it("changes the files of several clusters at once, each under its own certificate", async () => {
    const sealed = await sealNew(["prod", "dev"]);
    await drop({
      "prod.yaml": sealed["prod: prod/shop/db.yaml"] ?? "",
      "dev.yaml": sealed["dev: dev/shop/db.yaml"] ?? "",
    });
    await fill({ [`${item(0)} .item-action`]: "set" });
    await fill({ [`${item(0)} .item-text`]: "both" });
    await click("#change-form .primary");
    const changed = await results();
    expect(open(changed["prod: prod.yaml"] ?? "", "prod")).toEqual({ password: "both" });
    expect(open(changed["dev: dev.yaml"] ?? "", "dev")).toEqual({ password: "both" });
  });

  it("refuses to seal a file for another cluster than its values are for", async () => {
    const [text = ""] = Object.values(await sealNew(["prod"]));
    await drop({ "db.yaml": text });
    await fill({ [`${item(0)} .item-action`]: "set", ".target-cluster": "dev" });
    await fill({ [`${item(0)} .item-text`]: "x" });
    await click("#change-form .primary");
    await expect.poll(() => textOf("#errors")).toBe("db.yaml is sealed for prod, not for dev.");
    expect(await page.ask("document.activeElement.className")).toBe("target-cluster");
  });

  it("takes a value from a file, and makes a random one", async () => {
    const blob = join(scratch, "ca.crt");
    writeFileSync(blob, "-----BEGIN-----\r\n");
    await choose("prod");
    await fill({ "#namespace": "shop", "#name": "db", "#new-items .item-source": "file" });
    const { root } = (await page.call("DOM.getDocument")) as { root: { nodeId: number } };
    const selector = "#new-items .item-file";
    const found = await page.call("DOM.querySelector", { nodeId: root.nodeId, selector });
    await page.call("DOM.setFileInputFiles", { files: [blob], nodeId: found["nodeId"] });
    await click("#new-item");
    const second = "#new-items .item:nth-child(2)";
    await fill({ [`${second} .item-name`]: "token", [`${second} .item-source`]: "generated" });
    await click("#new-form .primary");
    const values = open(Object.values(await results())[0] ?? "", "prod");
    expect(values).toEqual({
      "ca.crt": "-----BEGIN-----\r\n",
      token: expect.stringMatching(/^[A-Za-z0-9]{32}$/) as string,
    });
  });

  it("forgets values when they are sealed, on demand, after a while, and when it is left", async () => {
    const held = (): Promise<unknown> => page.ask("document.querySelector('.item-text').value");
    await sealNew(["prod"]);
    expect(await held()).toBe("");
    const type = (): Promise<void> => fill({ "#new-items .item-text": PASSWORD });
    await type();
    await click("#new-form .forget");
    expect(await held()).toBe("");
    await type();
    await page.ask(
      "window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))",
    );
    expect(await held()).toBe("");
    await page.ask(`(() => {
      const later = window.setTimeout;
      window.setTimeout = (call, ms) => later(call, ms >= 600_000 ? 50 : ms);
    })()`);
    await type();
    await expect.poll(held).toBe("");
    expect(await textOf("#status")).toContain("not used for ten minutes");
  });

  it("says what is missing, at the field, and seals nothing", async () => {
    const press = async (): Promise<unknown> => {
      await click("#new-form .primary");
      await expect.poll(() => textOf("#errors")).not.toBe("");
      return page.ask("[document.querySelector('#errors').textContent, document.activeElement.id]");
    };
    expect(await press()).toEqual([expect.stringContaining("Choose a cluster"), ""]);
    await choose("prod");
    expect(await press()).toEqual(["The Secret needs a namespace.", "namespace"]);
    await fill({ "#namespace": "shop" });
    expect(await press()).toEqual(["The Secret needs a name.", "name"]);
    expect(await textOf("#name + *, .field:has(#name) + *")).toBe("The Secret needs a name.");
    await fill({ "#name": "db" });
    expect(await press()).toEqual(["This item needs a name.", ""]);
    expect(await page.ask("document.querySelectorAll('.result').length")).toBe(0);
  });

  it("adds a cluster by a certificate that is pasted, and refuses what is none", async () => {
    await fill({ "#certificate-text": "hunter2" });
    await click("#certificate-form button");
    await expect.poll(() => textOf("#certificate-error")).toMatch(/does not contain any valid/);
    const pem = readFileSync(join(scratch, "dev.pem"), "utf8");
    await fill({ "#certificate-text": pem, "#certificate-name": "<b>new</b>" });
    await click("#certificate-form button");
    await expect.poll(() => page.ask("document.querySelectorAll('#clusters li').length")).toBe(4);
    expect(await textOf("#clusters li:last-child .cluster-name")).toBe("<b>new</b>");
  });

  it("copies, and downloads a file of the right name", async () => {
    await sealNew(["prod"]);
    const [copied, saved] = (await page.ask(`new Promise((done) => {
      navigator.clipboard.writeText = (text) => {
        const click = HTMLAnchorElement.prototype.click;
        HTMLAnchorElement.prototype.click = function () { done([text, this.download]); };
        document.querySelector(".result-download").click();
        HTMLAnchorElement.prototype.click = click;
        return Promise.resolve();
      };
      document.querySelector(".result-copy").click();
    })`)) as [string, string];
    expect(open(copied, "prod")).toEqual({ password: PASSWORD });
    expect(saved).toBe("db.yaml");
  });
});

describe("the policy", () => {
  beforeEach(openFile);

  it("names the script and the style by their hashes, and nothing else", () => {
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? "";
    const content = (pattern: RegExp): string => pattern.exec(html)?.[1] ?? "";
    const hash = (text: string): string =>
      `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
    expect(policy.split("; ")).toEqual([
      "default-src 'none'",
      `script-src ${hash(content(/<script>([^]*?)<\/script>/))}`,
      `style-src ${hash(content(/<style>([^]*?)<\/style>/))}`,
      "img-src data:",
      "base-uri 'none'",
      "form-action 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]);
    expect(html).not.toMatch(/<script[^>]*src=|<link[^>]*stylesheet|@import|url\(/);
  });

  it("holds back a script, a request and markup that a stranger brought in", async () => {
    const held = await page.ask(`(async () => {
      const tries = {
        request: () => fetch("http://127.0.0.1:1/"),
        code: () => new Function("return 1")(),
        markup: () => { document.body.innerHTML = "<img>"; },
        script: () => new Promise((done, fail) => {
          const script = document.createElement("script");
          script.append("window.escaped = true");
          document.body.append(script);
          setTimeout(() => window.escaped ? done() : fail(), 50);
        }),
      };
      const got = [];
      for (const [name, attempt] of Object.entries(tries)) {
        try { await attempt(); got.push(name); } catch {}
      }
      return got;
    })()`);
    expect(held).toEqual([]);
  });
});

describe("for everybody", () => {
  const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

  async function show(width: number, scheme: "light" | "dark"): Promise<void> {
    const mobile = width < 500;
    const size = { width, height: 900, deviceScaleFactor: 1, mobile };
    await page.call("Emulation.setDeviceMetricsOverride", size);
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await page.call("Emulation.setEmulatedMedia", { features });
  }

  /** Every state of the page. */
  const STATES: Record<string, () => Promise<void>> = {
    "as it opens": () => Promise.resolve(),
    "with a result": async () => {
      await sealNew(["prod", "dev"]);
    },
    "with an error": async () => {
      await click("#new-form .primary");
      await expect.poll(() => textOf("#errors")).not.toBe("");
    },
    "with a sealed file": async () => {
      const [text = ""] = Object.values(await sealNew(["prod"]));
      await drop({ "db.yaml": text });
      await fill({ [`${item(0)} .item-action`]: "set" });
    },
    "with all that opens": async () => {
      await page.ask("document.querySelectorAll('details').forEach((each) => (each.open = true))");
      await fill({ "#scope": "selector" });
    },
  };
  const cases = Object.keys(STATES).flatMap((state) =>
    (["light", "dark"] as const).map((scheme) => [state, scheme] as const),
  );

  it.each(cases)("axe finds nothing %s, %s", async (state, scheme) => {
    await openFile();
    await show(768, scheme);
    await STATES[state]?.();
    await page.ask(`${AXE}; undefined`);
    const found = await page.ask(
      "axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map((each) => each.html)]))",
    );
    expect(found).toEqual([]);
  });

  it.each(WIDTHS)("fits a screen of %d pixels in every state", async (width) => {
    for (const [state, arrange] of Object.entries(STATES)) {
      await openFile();
      await show(width, width === 1280 ? "dark" : "light");
      await arrange();
      const wide = await page.ask("document.documentElement.scrollWidth");
      expect(wide, state).toBeLessThanOrEqual(width);
      const folder = process.env["SIGNET_SCREENSHOTS"];
      if (folder === undefined) continue;
      mkdirSync(folder, { recursive: true });
      const shot = await page.call("Page.captureScreenshot", { captureBeyondViewport: true });
      const name = `${state.replaceAll(" ", "-")}-${width}.png`;
      writeFileSync(join(folder, name), Buffer.from(String(shot["data"]), "base64"));
    }
  });

  it("is worked by the keyboard alone", async () => {
    await openFile();
    const key = async (name: string, text?: string): Promise<void> => {
      const typed = text === undefined ? {} : { text };
      await page.call("Input.dispatchKeyEvent", {
        type: "keyDown",
        key: name,
        code: name,
        ...typed,
      });
      await page.call("Input.dispatchKeyEvent", { type: "keyUp", key: name, code: name });
    };
    await page.call("Page.bringToFront");
    const focused = (): Promise<unknown> =>
      page.ask("document.activeElement.id || document.activeElement.className");
    const tabTo = async (wanted: string): Promise<void> => {
      for (let presses = 0; presses < 40 && (await focused()) !== wanted; presses++) {
        await page.call("Input.dispatchKeyEvent", {
          type: "keyDown",
          key: "Tab",
          code: "Tab",
          windowsVirtualKeyCode: 9,
        });
      }
      expect(await focused()).toBe(wanted);
    };
    await tabTo("cluster-chosen");
    await key(" ", " ");
    for (const [field, text] of [
      ["namespace", "shop"],
      ["name", "db"],
      ["item-name", "password"],
      ["item-text masked", "typed"],
    ] as const) {
      await tabTo(field);
      await page.call("Input.insertText", { text });
    }
    await tabTo("primary");
    await key(" ", " ");
    const [text = ""] = Object.values(await results());
    expect(open(text, "prod")).toEqual({ password: "typed" });
    expect(await focused()).toBe("results-heading");
  });
});

describe("from the controller", () => {
  const servers: Server[] = [];
  afterAll(async () => {
    await Promise.all(servers.map((server) => closeServer(server, 0)));
  });

  async function serve(address: string): Promise<string> {
    const keyring = new Keyring();
    const clock = (): number => performance.now();
    const log = createLog("ERROR", "text", () => undefined);
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)?.[1] ?? "";
    const routes = apiRoutes({
      keyring,
      log,
      metrics: createMetrics("0", {
        queueDepth: () => 0,
        contested: () => 0,
        deliveries: () => ({ delivered: 0, failed: 0, waiting: 0 }),
        leads: () => true,
        sealedSecrets: () => [],
        nameThem: true,
        keyring,
        firstLedAt: () => undefined,
        malformedKeys: () => 0,
        waitingKeys: () => 0,
        wrappedKeys: () => new Map(),
        hasKeyService: false,
        renewalAt: () => null,
        unrecoverable: () => 0,
        now: () => new Date(0),
      }),
      ready: () => true,
      keyReport: () => ({}),
      recoveryReport: () => null,
      page: { html: () => html, policy },
      parse: () => Promise.reject(new Error("nothing is posted")),
      rate: 1,
      burst: 1,
      clock,
    });
    const limits = { readTimeoutMs: 5_000, writeTimeoutMs: 5_000, log };
    const server = (await listen(`${address}:0`, routes, limits)) as Server;
    servers.push(server);
    return `http://${addressOf(server)}/`;
  }

  it("it seals as from a file, and asks for the page alone", async () => {
    const url = await serve("127.0.0.1");
    await page.open(url);
    await expect.poll(() => page.ask("document.querySelectorAll('#clusters li').length")).toBe(3);
    const [text = ""] = Object.values(await sealNew(["prod"]));
    expect(open(text, "prod")).toEqual({ password: PASSWORD });
    expect(page.requests).toEqual([url]);
    expect(page.complaints).toEqual([]);
  });

  it("it says that it needs HTTPS where it came without", async () => {
    await page.open(await serve(requireBed("a page that is not local")));
    expect(await textOf("#trouble")).toContain("was loaded over plain HTTP");
  });

  it("is in the package and in each program, as it is built", () => {
    const bundled = execFileSync("grep", ["-rlF", "Seal a Secret", "dist"], { encoding: "utf8" });
    expect(
      bundled
        .trim()
        .split("\n")
        .map((path) => path.split("/")[1])
        .sort(),
    ).toEqual(["chunks", "cli"]);
  });
});

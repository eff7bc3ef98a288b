// The page on which people seal, in a real browser: from a file and from the controller's routes. The
// Go original opens what was sealed there, and nothing is requested.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { apiRoutes } from "../../controller/api.ts";
import { addressOf, closeServer, listen } from "../../controller/httpserver.ts";
import { createLog } from "../../controller/log.ts";
import { createMetrics } from "../../controller/metrics.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { requireBed } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { type DevToolsPage, startChromium } from "./browser/chromium.ts";
import {
  choose,
  click,
  type Cluster,
  CLUSTERS,
  drop,
  escapesFrom,
  fill,
  item,
  linesWithout,
  makeSealingPage,
  openPage,
  PASSWORD,
  results,
  sealNew,
  type SealingPage,
  textOf,
  valuesOf,
} from "./browser/sealingpage.ts";

const WIDTHS = [360, 768, 1280] as const;

let made: SealingPage;
let page: DevToolsPage;

beforeAll(async () => {
  made = await makeSealingPage();
  page = await startChromium();
});

afterAll(async () => {
  await page.close();
  rmSync(made.folder, { recursive: true, force: true });
});

const openFile = (): Promise<void> => openPage(page, made.url, CLUSTERS.length);

const open = (sealed: string, cluster: Cluster): Record<string, string> =>
  valuesOf(sealed, cluster, made);

describe("from a file", () => {
  beforeEach(openFile);

  it("seals a new Secret for several clusters at once, and asks for nothing", async () => {
    const sealed = await sealNew(page, CLUSTERS);
    expect(Object.keys(sealed)).toEqual(CLUSTERS.map((each) => `${each}: ${each}/shop/db.yaml`));
    for (const cluster of CLUSTERS) {
      const text = sealed[`${cluster}: ${cluster}/shop/db.yaml`] ?? "";
      expect(text).toContain(made.fingerprints.get(cluster));
      expect(open(text, cluster)).toEqual({ password: PASSWORD });
    }
    expect(page.requests).toEqual([made.url]);
    expect(page.complaints).toEqual([]);
  });

  it("seals with RSA where that is chosen, for the original to open", async () => {
    await fill(page, { "#algorithm": "rsa" });
    const [text = ""] = Object.values(await sealNew(page, ["hybrid"]));
    const { status } = spawnSync(
      partPath("kubeseal"),
      ["--recovery-unseal", "--recovery-private-key", join(made.folder, "hybrid.key")],
      { input: text, encoding: "utf8", env: { PATH: process.env["PATH"], HOME: made.folder } },
    );
    expect(status).toBe(0);
  });

  it("seals for the namespaces that a selector matches, in its canonical spelling", async () => {
    const isHidden = (): Promise<unknown> => page.ask("document.querySelector('#selector').offsetParent === null"); // prettier-ignore
    expect(await isHidden()).toBe(true);
    await choose(page, "hybrid");
    await fill(page, { "#name": "db", "#scope": "selector" });
    await fill(page, { "#new-items .item-name": "password", "#new-items .item-text": PASSWORD });
    expect(await isHidden()).toBe(false);
    for (const [selector, reason] of [
      ["", "Name the labels that the namespaces must have, such as team=a."],
      [
        "!team",
        "This selector asks for no label, so it matches every namespace that nobody labelled.",
      ],
    ]) {
      await fill(page, { "#selector": selector ?? "" });
      await click(page, "#new-form .primary");
      await expect.poll(() => textOf(page, "#errors")).toBe(reason);
      expect(await page.ask("document.activeElement.id")).toBe("selector");
    }
    await fill(page, { "#selector": " team in (b, a), env==prod" });
    await click(page, "#new-form .primary");
    const [[heading, text] = ["", ""]] = Object.entries(await results(page));
    expect(heading).toBe("hybrid: hybrid/any/db.yaml");
    expect(text).toContain("kube-signet/namespace-selector: env=prod,team in (a,b)\n");
    expect(open(text, "hybrid")).toEqual({ password: PASSWORD });
  });

  it("shows the fingerprint, the validity and the age of each certificate", async () => {
    for (const [index, cluster] of CLUSTERS.entries()) {
      const card = `#clusters li:nth-child(${index + 1})`;
      expect(await textOf(page, `${card} .cluster-fingerprint`)).toBe(
        made.fingerprints.get(cluster),
      );
      expect(await textOf(page, `${card} .cluster-validity`)).toMatch(
        /^valid until .* \(99 days left\)$/,
      );
      expect(await textOf(page, `${card} .cluster-key`)).toContain("(today)");
    }
  });

  it("replaces, adds, renames and removes items of a dropped file, and keeps all other lines", async () => {
    const [text = ""] = Object.values(await sealNew(page, ["prod"]));
    const before = text.replace("---\n", "# by hand\n");
    await drop(page, { "db.yaml": before });
    await fill(page, { [`${item(0)} .item-action`]: "set" });
    await fill(page, { [`${item(0)} .item-text`]: "another" });
    await click(page, "#change-new-item");
    await fill(page, { [`${item(1)} .item-name`]: "user", [`${item(1)} .item-text`]: "me" });
    await click(page, "#change-form .primary");
    const changed = (await results(page))["prod: db.yaml"] ?? "";
    expect(open(changed, "prod")).toEqual({ password: "another", user: "me" });
    const kept = (each: string): string[] => linesWithout(each, "password", "user");
    expect(kept(changed)).toEqual(kept(before));

    // The next change goes on from there.
    await fill(page, {
      [`${item(0)} .item-action`]: "rename",
      [`${item(1)} .item-action`]: "unset",
    });
    await fill(page, { [`${item(0)} .item-name`]: "pass" });
    await click(page, "#change-form .primary");
    const renamed = (await results(page))["prod: db.yaml"] ?? "";
    expect(open(renamed, "prod")).toEqual({ pass: "another" });
    expect(page.requests).toEqual([made.url]);
  });

  it("changes the files of several clusters at once, each under its own certificate", async () => {
    const sealed = await sealNew(page, ["prod", "dev"]);
    await drop(page, {
      "prod.yaml": sealed["prod: prod/shop/db.yaml"] ?? "",
      "dev.yaml": sealed["dev: dev/shop/db.yaml"] ?? "",
    });
    await fill(page, { [`${item(0)} .item-action`]: "set" });
    await fill(page, { [`${item(0)} .item-text`]: "both" });
    await click(page, "#change-form .primary");
    const changed = await results(page);
    expect(open(changed["prod: prod.yaml"] ?? "", "prod")).toEqual({ password: "both" });
    expect(open(changed["dev: dev.yaml"] ?? "", "dev")).toEqual({ password: "both" });
  });

  it("refuses to seal a file for another cluster than its values are for", async () => {
    const [text = ""] = Object.values(await sealNew(page, ["prod"]));
    await drop(page, { "db.yaml": text });
    await fill(page, { [`${item(0)} .item-action`]: "set", ".target-cluster": "dev" });
    await fill(page, { [`${item(0)} .item-text`]: "x" });
    await click(page, "#change-form .primary");
    await expect
      .poll(() => textOf(page, "#errors"))
      .toBe("db.yaml is sealed for prod, not for dev.");
    expect(await page.ask("document.activeElement.className")).toBe("target-cluster");
  });

  it("takes a value from a file, and makes a random one", async () => {
    const blob = join(made.folder, "ca.crt");
    writeFileSync(blob, "-----BEGIN-----\r\n");
    await choose(page, "prod");
    await fill(page, { "#namespace": "shop", "#name": "db", "#new-items .item-source": "file" });
    const { root } = (await page.call("DOM.getDocument")) as { root: { nodeId: number } };
    const selector = "#new-items .item-file";
    const found = await page.call("DOM.querySelector", { nodeId: root.nodeId, selector });
    await page.call("DOM.setFileInputFiles", { files: [blob], nodeId: found["nodeId"] });
    await click(page, "#new-item");
    const second = "#new-items .item:nth-child(2)";
    await fill(page, {
      [`${second} .item-name`]: "token",
      [`${second} .item-source`]: "generated",
    });
    await click(page, "#new-form .primary");
    const values = open(Object.values(await results(page))[0] ?? "", "prod");
    expect(values).toEqual({
      "ca.crt": "-----BEGIN-----\r\n",
      token: expect.stringMatching(/^[A-Za-z0-9]{32}$/) as string,
    });
  });

  it("forgets values when they are sealed, on demand, after a while, and when it is left", async () => {
    const held = (): Promise<unknown> => page.ask("document.querySelector('.item-text').value");
    await sealNew(page, ["prod"]);
    expect(await held()).toBe("");
    const type = (): Promise<void> => fill(page, { "#new-items .item-text": PASSWORD });
    await type();
    await click(page, "#new-form .forget");
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
    expect(await textOf(page, "#status")).toContain("not used for ten minutes");
  });

  it("says what is missing, at the field, and seals nothing", async () => {
    const press = async (): Promise<unknown> => {
      await click(page, "#new-form .primary");
      await expect.poll(() => textOf(page, "#errors")).not.toBe("");
      return page.ask("[document.querySelector('#errors').textContent, document.activeElement.id]");
    };
    expect(await press()).toEqual([expect.stringContaining("Choose a cluster"), ""]);
    await choose(page, "prod");
    expect(await press()).toEqual(["The Secret needs a namespace.", "namespace"]);
    await fill(page, { "#namespace": "shop" });
    expect(await press()).toEqual(["The Secret needs a name.", "name"]);
    expect(await textOf(page, "#name + *, .field:has(#name) + *")).toBe("The Secret needs a name.");
    await fill(page, { "#name": "db" });
    expect(await press()).toEqual(["This item needs a name.", ""]);
    expect(await page.ask("document.querySelectorAll('.result').length")).toBe(0);
  });

  it("adds a cluster by a certificate that is pasted, and refuses what is none", async () => {
    await fill(page, { "#certificate-text": "hunter2" });
    await click(page, "#certificate-form button");
    await expect
      .poll(() => textOf(page, "#certificate-error"))
      .toMatch(/does not contain any valid/);
    const pem = readFileSync(join(made.folder, "dev.pem"), "utf8");
    await fill(page, { "#certificate-text": pem, "#certificate-name": "<b>new</b>" });
    await click(page, "#certificate-form button");
    await expect.poll(() => page.ask("document.querySelectorAll('#clusters li').length")).toBe(4);
    expect(await textOf(page, "#clusters li:last-child .cluster-name")).toBe("<b>new</b>");
  });

  it("copies, and downloads a file of the right name", async () => {
    await sealNew(page, ["prod"]);
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
    const policy =
      /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(made.html)?.[1] ?? "";
    const content = (pattern: RegExp): string => pattern.exec(made.html)?.[1] ?? "";
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
    expect(made.html).not.toMatch(/<script[^>]*src=|<link[^>]*stylesheet|@import|url\(/);
  });

  it("holds back a script, a request and markup that a stranger brought in", async () => {
    expect(await escapesFrom(page)).toEqual([]);
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
      await sealNew(page, ["prod", "dev"]);
    },
    "with an error": async () => {
      await click(page, "#new-form .primary");
      await expect.poll(() => textOf(page, "#errors")).not.toBe("");
    },
    "with a sealed file": async () => {
      const [text = ""] = Object.values(await sealNew(page, ["prod"]));
      await drop(page, { "db.yaml": text });
      await fill(page, { [`${item(0)} .item-action`]: "set" });
    },
    "with all that opens": async () => {
      await page.ask("document.querySelectorAll('details').forEach((each) => (each.open = true))");
      await fill(page, { "#scope": "selector" });
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
    const [text = ""] = Object.values(await results(page));
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
    const policy =
      /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(made.html)?.[1] ?? "";
    const routes = apiRoutes({
      keyring,
      log,
      metrics: createMetrics("0", {
        queueDepth: () => 0,
        contested: () => 0,
        deliveries: () => ({ delivered: 0, failed: 0, waiting: 0 }),
        leads: () => true,
        shards: () => 1,
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
      page: { html: () => made.html, policy },
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
    const [text = ""] = Object.values(await sealNew(page, ["prod"]));
    expect(open(text, "prod")).toEqual({ password: PASSWORD });
    expect(page.requests).toEqual([url]);
    expect(page.complaints).toEqual([]);
  });

  it("it says that it needs HTTPS where it came without", async () => {
    await page.open(await serve(requireBed("a page that is not local")));
    expect(await textOf(page, "#trouble")).toContain("was loaded over plain HTTP");
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

// The page on which people seal, in a real Firefox: test/interop/page.test.ts has all that it does, in
// Chromium. Here is what another engine may do otherwise: encryption, the policy, keys that are pressed.

import { rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type HandledPage, startFirefox } from "./browser/firefox.ts";
import {
  choose,
  click,
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

let made: SealingPage;
let page: HandledPage;
/** Serves the page, and below /free the page without its policy. */
let server: Server;
let origin = "";

beforeAll(async () => {
  made = await makeSealingPage();
  server = createServer(({ url }, response) => {
    const html = url === "/free" ? made.html.replace("Content-Security-Policy", "") : made.html;
    response.writeHead(200, { "content-type": "text/html" }).end(html);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  page = await startFirefox();
});

afterAll(async () => {
  await page.close();
  server.closeAllConnections();
  server.close();
  rmSync(made.folder, { recursive: true, force: true });
});

describe("from a file, in Firefox", () => {
  beforeEach(() => openPage(page, made.url, CLUSTERS.length));

  it("seals what is typed, for the original to open, and asks for nothing", async () => {
    expect(await page.ask("navigator.userAgent")).toContain("Firefox/");
    await page.press("#clusters li:first-child .cluster-chosen");
    const typed = PASSWORD.replace("\n", "");
    for (const [selector, text] of [
      ["#namespace", "shop"],
      ["#name", "db"],
      ["#new-items .item-name", "password"],
      ["#new-items .item-text", typed],
    ] as const) {
      await page.press(selector);
      await page.type(text);
    }
    await page.press("#new-form .primary");
    const [[heading, text] = ["", ""]] = Object.entries(await results(page));
    expect(heading).toBe("prod: prod/shop/db.yaml");
    expect(text).toContain(made.fingerprints.get("prod"));
    expect(valuesOf(text, "prod", made)).toEqual({ password: typed });
    expect(await page.ask("document.activeElement.id")).toBe("results-heading");
    expect(await page.ask("document.querySelector('.item-text').value")).toBe("");
    expect(page.requests).toEqual([]);
    expect(page.complaints).toEqual([]);
  });

  it("seals for several clusters at once, also with a post-quantum key", async () => {
    const sealed = await sealNew(page, CLUSTERS);
    for (const cluster of CLUSTERS) {
      const text = sealed[`${cluster}: ${cluster}/shop/db.yaml`] ?? "";
      expect(valuesOf(text, cluster, made), cluster).toEqual({ password: PASSWORD });
    }
  });

  it("replaces one item of a dropped file, and keeps all other lines", async () => {
    const [text = ""] = Object.values(await sealNew(page, ["prod"]));
    await drop(page, { "db.yaml": text.replace("---\n", "# by hand\n") });
    await click(page, "#change-new-item");
    await fill(page, { [`${item(1)} .item-name`]: "user", [`${item(1)} .item-text`]: "me" });
    await click(page, "#change-form .primary");
    const before = (await results(page))["prod: db.yaml"] ?? "";
    expect(before).toContain("# by hand\n");

    await fill(page, { [`${item(0)} .item-action`]: "set" });
    await fill(page, { [`${item(0)} .item-text`]: "another" });
    await click(page, "#change-form .primary");
    await expect.poll(async () => (await results(page))["prod: db.yaml"]).not.toBe(before);
    const after = (await results(page))["prod: db.yaml"] ?? "";
    expect(valuesOf(after, "prod", made)).toEqual({ password: "another", user: "me" });
    expect(linesWithout(after, "password")).toEqual(linesWithout(before, "password"));
    expect(page.requests).toEqual([]);
    expect(page.complaints).toEqual([]);
  });

  it("says what is missing, at the field", async () => {
    await choose(page, "prod");
    await click(page, "#new-form .primary");
    await expect.poll(() => textOf(page, "#errors")).toBe("The Secret needs a namespace.");
    expect(await page.ask("document.activeElement.id")).toBe("namespace");
  });

  it("holds back a script, a request and markup that a stranger brought in", async () => {
    expect(await escapesFrom(page)).toEqual([]);
    const said = page.complaints.join("\n");
    for (const directive of ["connect-src", "require-trusted-types-for"]) {
      expect(said).toContain(directive);
    }
  });
});

describe("from a server, in Firefox", () => {
  it("seals, and asks for the page alone", async () => {
    await openPage(page, `${origin}/`, CLUSTERS.length);
    const [text = ""] = Object.values(await sealNew(page, ["prod"]));
    expect(valuesOf(text, "prod", made)).toEqual({ password: PASSWORD });
    expect(page.requests).toEqual([`${origin}/`]);
    expect(page.complaints).toEqual([]);
  });

  it("would have been seen to ask for more, without its policy", async () => {
    await openPage(page, `${origin}/free`, CLUSTERS.length);
    await page.ask("fetch('/elsewhere').then(() => undefined)");
    expect(page.requests).toEqual([`${origin}/free`, `${origin}/elsewhere`]);
  });
});

// The page on which people seal, made for three clusters, and what a person does in it: in whichever
// browser it is open. The Go original opens what was sealed there.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { expect } from "vitest";
import { parseCertificate } from "../../../shared/keys/certificate.ts";
import { createSealingKey } from "../../../shared/keys/keypair.ts";
import { partPath } from "../../parts/parts.ts";
import type { Page } from "./page.ts";

export const PASSWORD = "pässwörd 🔑\n'\"</script>";
export const CLUSTERS = ["prod", "dev", "hybrid"] as const;
export type Cluster = (typeof CLUSTERS)[number];

export interface SealingPage {
  /** Has each cluster's `CLUSTER.pem` and `CLUSTER.key`; whoever made it must remove it. */
  readonly folder: string;
  readonly html: string;
  /** Of its file. */
  readonly url: string;
  readonly fingerprints: ReadonlyMap<Cluster, string>;
}

export async function makeSealingPage(): Promise<SealingPage> {
  const folder = mkdtempSync(join(tmpdir(), "signet-page-"));
  const fingerprints = new Map<Cluster, string>();
  const lines = ["clusters:"];
  for (const cluster of CLUSTERS) {
    const key = await createSealingKey({
      bits: 2048,
      kinds: cluster === "hybrid" ? ["hybrid"] : [],
      notBefore: new Date(Date.now() - 60_000),
      validForMs: 100 * 24 * 3_600_000,
    });
    writeFileSync(join(folder, `${cluster}.pem`), key.certificatePem);
    writeFileSync(join(folder, `${cluster}.key`), key.privateKeyPem, { mode: 0o600 });
    fingerprints.set(cluster, parseCertificate(key.certificatePem).fingerprint);
    lines.push(`  ${cluster}: {certificate: ${cluster}.pem}`);
  }
  writeFileSync(join(folder, "signet.yaml"), `${lines.join("\n")}\npaths: {"prod/**": prod}\n`);
  const file = join(folder, "seal.html");
  const made = spawnSync(process.execPath, [resolve("dist/signet.cjs"), "page", "-o", file], {
    cwd: folder,
    encoding: "utf8",
  });
  expect(made.stderr).toBe(`signet: ${file}: a page for prod, dev, hybrid\n`);
  const html = readFileSync(file, "utf8");
  return { folder, html, url: pathToFileURL(file).href, fingerprints };
}

/** The values by the Go original; by ours for a post-quantum envelope, which the original has not. */
export function valuesOf(
  sealed: string,
  cluster: Cluster,
  { folder }: SealingPage,
): Record<string, string> {
  const key = join(folder, `${cluster}.key`);
  const args = ["--recovery-unseal", "--recovery-private-key", key];
  const [program, ...words] =
    cluster === "hybrid"
      ? [process.execPath, resolve("dist/kubeseal.cjs"), ...args]
      : [partPath("kubeseal"), ...args];
  const { status, stdout, stderr } = spawnSync(program, words, {
    input: sealed,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], HOME: folder },
  });
  expect([status, stderr]).toEqual([0, ""]);
  const { data } = JSON.parse(stdout) as { data: Record<string, string> };
  return Object.fromEntries(
    Object.entries(data).map(([name, text]) => [name, Buffer.from(text, "base64").toString()]),
  );
}

/** Waits until the page shows as many clusters. */
export async function openPage(page: Page, url: string, clusters: number): Promise<void> {
  await page.open(url);
  const shown = (): Promise<unknown> =>
    page.ask("document.querySelectorAll('#clusters li').length");
  await expect.poll(shown).toBe(clusters);
}

/** Sets fields by selector, as a person does who types and chooses. */
export async function fill(page: Page, fields: Record<string, string | boolean>): Promise<void> {
  await page.ask(`(() => {
    for (const [selector, value] of Object.entries(${JSON.stringify(fields)})) {
      const field = document.querySelector(selector);
      if (typeof value === "boolean") field.checked = value; else field.value = value;
      for (const event of ["input", "change"])
        field.dispatchEvent(new Event(event, { bubbles: true }));
    }
  })()`);
}

export const click = (page: Page, selector: string): Promise<unknown> =>
  page.ask(`document.querySelector(${JSON.stringify(selector)}).click()`);

export const textOf = (page: Page, selector: string): Promise<unknown> =>
  page.ask(`document.querySelector(${JSON.stringify(selector)}).textContent`);

/** Waits until sealing is done, and returns the manifests by their headings. */
export async function results(page: Page): Promise<Record<string, string>> {
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

export const choose = (page: Page, cluster: string): Promise<unknown> =>
  page.ask(`[...document.querySelectorAll("#clusters li")].find((each) =>
    each.querySelector(".cluster-name").textContent === "${cluster}")
    .querySelector(".cluster-chosen").click()`);

/** Makes a new Secret, shop/db, with one item, for the clusters that are chosen and these. */
export async function sealNew(
  page: Page,
  clusters: readonly string[],
): Promise<Record<string, string>> {
  for (const cluster of clusters) await choose(page, cluster);
  await fill(page, {
    "#namespace": "shop",
    "#name": "db",
    "#new-items .item-name": "password",
    "#new-items .item-text": PASSWORD,
  });
  await click(page, "#new-form .primary");
  return results(page);
}

/** Drops files on the page. */
export async function drop(page: Page, files: Record<string, string>): Promise<void> {
  await page.ask(`(() => {
    const dataTransfer = new DataTransfer();
    for (const [name, text] of Object.entries(${JSON.stringify(files)}))
      dataTransfer.items.add(new File([text], name));
    window.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
  })()`);
  await expect.poll(() => textOf(page, "#status")).toMatch(/^Read /);
}

/** The item of a sealed file in the form, as a selector. */
export const item = (index: number): string => `#change-items .item:nth-child(${index + 1})`;

/** A sealed file's lines without those of these items. */
export const linesWithout = (text: string, ...items: string[]): string[] =>
  text.split("\n").filter((line) => !items.some((each) => line.startsWith(`    ${each}: `)));

/** What a stranger's script might try in the page. Returns what got through. */
export const escapesFrom = (page: Page): Promise<unknown> =>
  page.ask(`(async () => {
    const tries = {
      request: () => fetch("http://127.0.0.1:1/"),
      // In a turn of its own: Firefox's policy does not bind what its protocol evaluates.
      code: () => new Promise((done, fail) => setTimeout(() => {
        try { done(new Function("return 1")()); } catch (error) { fail(error); }
      })),
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

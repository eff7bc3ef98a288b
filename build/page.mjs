// Makes the page on which people without a terminal seal: one HTML file with its script and its style
// in it, and a policy that allows these two and nothing else. The sources are in page/.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

/** Browsers with WebCrypto, dialogs of files, and the CSS of the page. */
const TARGET = ["es2022", "chrome109", "firefox115", "safari16"];

const hashOf = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** @throws Error if the text would end its element */
function inElement(text, name) {
  if (text.includes(`</${name}`) || text.includes("<!--")) throw new Error(`page: ends <${name}>`);
  return text;
}

/** Returns `text` with a mark replaced, which must be there once. */
function filled(text, mark, content) {
  const [before, after, ...more] = text.split(mark);
  if (after === undefined || more.length > 0) throw new Error(`page/index.html: ${mark}`);
  return before + content + after;
}

async function bundle(root, entry, options) {
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    target: TARGET,
    legalComments: "none",
    logLevel: "warning",
    metafile: true,
    outdir: "page",
    ...options,
  });
  return { text: outputFiles[0].text.trim(), metafile };
}

/** Returns the page, its policy for a header, and what esbuild says of its script. */
export async function buildPage(root) {
  const script = await bundle(root, "page/main.ts", { format: "iife", platform: "browser" });
  const style = await bundle(root, "page/page.css", {});
  const [js, css] = [inElement(script.text, "script"), inElement(style.text, "style")];
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(js)}`,
    `style-src ${hashOf(css)}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; ");
  const source = await readFile(join(root, "page/index.html"), "utf8");
  let html = source
    .replace(/<!--(?!\s*The page's own)[\s\S]*?-->/g, "")
    .replace(/>\s+STYLE\s+</, ">STYLE<")
    .replace(/>\s+SCRIPT;\s+</, ">SCRIPT<")
    .replace(/>\s+"SETTINGS"\s+</, '>"SETTINGS"<');
  html = filled(html, '"POLICY"', `"${policy}"`);
  html = filled(html, ">STYLE<", `>${css}<`);
  html = filled(html, ">SCRIPT<", `>${js}<`);
  // shared/sealingpage.ts puts settings there.
  if (html.split('"SETTINGS"').length !== 2) throw new Error("page: no one place for settings");
  return { html, policy, metafile: script.metafile };
}

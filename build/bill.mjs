// The bill of materials (CycloneDX) and the licence texts of the packages that esbuild put into the programs.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import cyclonedx from "@cyclonedx/cyclonedx-library";
import parseExpression from "spdx-expression-parse";

/** Folders of the packages that contribute to the outputs, sorted by name. */
function bundledFolders(metafiles) {
  const folders = new Set();
  for (const { outputs } of metafiles) {
    for (const { inputs } of Object.values(outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
        const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
        if (folder !== undefined && bytesInOutput > 0) folders.add(folder);
      }
    }
  }
  return [...folders].sort();
}

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([-.].*)?$/i;

/** The texts of a package's licence files; empty if it has none. */
function licenceTexts(folder) {
  return readdirSync(folder)
    .filter((name) => LICENCE_FILE.test(name))
    .sort()
    .map((name) => readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n").trim());
}

/**
 * Lists each package once, even if several folders contain it: name, version, licence, integrity,
 * texts.
 */
export function bundledPackages(root, metafiles) {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const packages = new Map();
  for (const folder of bundledFolders(metafiles)) {
    const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const { name, version, license, author, repository } = manifest;
    const locked = lock[folder];
    if (locked?.version !== version) {
      throw new Error(
        `${folder} is version ${version}, but package-lock.json says ${locked?.version}`,
      );
    }
    if (typeof license !== "string") throw new Error(`${folder} does not declare a licence`);
    const texts = licenceTexts(join(root, folder));
    packages.set(`${name}@${version}`, {
      name,
      version,
      license,
      author: typeof author === "string" ? author : author?.name,
      source: typeof repository === "string" ? repository : repository?.url,
      integrity: locked.integrity,
      texts,
    });
  }
  return [...packages.values()];
}

const { FromNodePackageJson, License } = cyclonedx.Contrib;
const { Enums, Models, Serialize, Spec } = cyclonedx;
const licences = new License.Factories.LicenseFactory(parseExpression);

/**
 * Formats CycloneDX 1.6. The same build gives the same text, because it has no date and no serial
 * number.
 */
export function formatBill({ version, license }, commit, packages) {
  const own = { name: "kube-signet", version, license };
  const program = componentOf(Enums.ComponentType.Application, own);
  if (commit !== "") program.properties.add(new Models.Property("kube-signet:commit", commit));
  const bill = new Models.Bom({ metadata: new Models.Metadata({ component: program }) });
  for (const each of packages) {
    const component = componentOf(Enums.ComponentType.Library, each);
    bill.components.add(component);
    program.dependencies.add(component.bomRef);
  }
  const format = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  const text = new Serialize.JsonSerializer(format).serialize(bill, { sortLists: true, space: 2 });
  return `${text}\n`;
}

function componentOf(type, { name, version, license, integrity }) {
  const purl = `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
  const component = new Models.Component(type, name, { version, purl, bomRef: purl });
  component.licenses.add(licences.makeFromString(license));
  if (integrity !== undefined) {
    component.hashes.set(...FromNodePackageJson.Utils.parsePackageIntegrity(integrity));
  }
  return component;
}

const RULE = "-".repeat(80);

export function formatLicences(packages) {
  const head =
    "The programs of kube-signet contain code of these packages, under the licences that follow.\n";
  const parts = packages.map(({ name, version, license, author, source, texts }) => {
    const lines = [`${name} ${version} (${license})`];
    if (source !== undefined) lines.push(source.replace(/^git\+/, ""));
    if (texts.length > 0) lines.push("", texts.join("\n\n"));
    else
      lines.push(
        "",
        `The package does not include the text of its licence. Copyright: ${author ?? "its authors"}.`,
      );
    return `${lines.join("\n")}\n`;
  });
  return [head, ...parts].join(`\n${RULE}\n\n`);
}

// Owns: what the build tells of the packages that esbuild put into the programs: a bill of materials
// (CycloneDX) and their licences' texts.
// Does not own: which packages those are: esbuild's own books say so.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";

/** Folders of the packages that have at least a byte in the outputs, in the order of their names. */
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

/** Where a package has no file with its licence, its README or nothing has one: by name. */
function licenceTexts(folder) {
  return readdirSync(folder)
    .filter((name) => LICENCE_FILE.test(name))
    .sort()
    .map((name) => readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n").trim());
}

/** Each package once, however many folders have it: name, version, licence, integrity, texts. */
export function bundledPackages(root, metafiles) {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const packages = new Map();
  for (const folder of bundledFolders(metafiles)) {
    const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const { name, version, license, author, repository } = manifest;
    const locked = lock[folder];
    if (locked?.version !== version) {
      throw new Error(`${folder} is ${version}, package-lock.json says ${locked?.version}`);
    }
    if (typeof license !== "string") throw new Error(`${folder} names no licence`);
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

const purl = (name, version) => `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;

/** CycloneDX 1.6. The same build gives the same text: there is no date and no serial number in it. */
export function formatBill({ version, license }, commit, packages) {
  const own = purl("kube-signet", version);
  const components = packages.map(({ name, version, license, integrity }) => {
    const [, algorithm, digest] = /^sha(\d+)-(.*)$/.exec(integrity ?? "") ?? [];
    return {
      type: "library",
      "bom-ref": purl(name, version),
      name,
      version,
      ...(digest === undefined
        ? {}
        : {
            hashes: [
              { alg: `SHA-${algorithm}`, content: Buffer.from(digest, "base64").toString("hex") },
            ],
          }),
      licenses: licenceField(license),
      purl: purl(name, version),
    };
  });
  const bill = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      component: {
        type: "application",
        "bom-ref": own,
        name: "kube-signet",
        version,
        licenses: licenceField(license),
        purl: own,
        ...(commit === "" ? {} : { properties: [{ name: "kube-signet:commit", value: commit }] }),
      },
    },
    components,
    dependencies: [{ ref: own, dependsOn: components.map(({ purl }) => purl) }],
  };
  return `${JSON.stringify(bill, null, 2)}\n`;
}

/** One licence has an SPDX id; a choice or a sum of them is an expression. */
function licenceField(license) {
  return /[ (]/.test(license) ? [{ expression: license }] : [{ license: { id: license } }];
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
        `The package has no text of its licence. Copyright: ${author ?? "its authors"}.`,
      );
    return `${lines.join("\n")}\n`;
  });
  return [head, ...parts].join(`\n${RULE}\n\n`);
}

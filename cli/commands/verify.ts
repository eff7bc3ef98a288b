// `signet verify`: checks sealed files without a key, and with --live in the clusters.
// SPEC.md, "Whole repositories".

import { basename, dirname, join, relative, resolve } from "node:path";
import { type Command, Option } from "commander";
import { samePlace, stat, statIfThere } from "../../host/readfile.ts";
import { isWithin } from "../../host/rootedfiles.ts";
import { MANIFEST_NAME } from "../../host/manifestfiles.ts";
import { HYBRID } from "../../shared/envelopes/hybrid.ts";
import { SignetError } from "../../shared/errors.ts";
import { ALL_HYBRID, checkHybrid } from "../checks/algorithmrules.ts";
import { checkCertificateFile, checkHeldKey } from "../checks/certificaterules.ts";
import { type Finding, FINDING_FORMATS, type FindingFormat, report } from "../checks/findings.ts";
import { checkRecovery } from "../checks/recoveryrules.ts";
import { checkRotation } from "../checks/rotationrules.ts";
import { type Beside, verifyFiles } from "../checks/verifyrules.ts";
import {
  type Blob,
  filesWithWord,
  indexBlobs,
  needWorkTree,
  readBlobs,
  sparseBlobs,
  stagedBlobs,
  workTree,
} from "../git/gitprocess.ts";
import {
  clusterOption,
  type Connected,
  connection,
  findingFormatOption,
  flag,
  jsonOption,
  withConnection,
} from "../options.ts";
import { connectionTo, type GivenCertificate } from "../repository/clustercertificates.ts";
import { allowedBy, withoutAllowed } from "../repository/allowedfiles.ts";
import { committedHybrid } from "../repository/committedcertificates.ts";
import { FLUX, isKustomization } from "../repository/kustomizations.ts";
import { findProjectFolder, PROJECT_FILE } from "../repository/projectfolder.ts";
import { findProject } from "../repository/project.ts";
import { parseDays, type Project } from "../repository/projectfile.ts";
import {
  byCluster,
  type Inventory,
  objectsToAsk,
  foldersToRead,
  readSealedTexts,
  sealedSources,
  type TextSource,
} from "../repository/sealedfiles.ts";
import { count } from "../terminal/counts.ts";

const HELP = `
Without a key or a cluster, this checks that each value:
- is a well-formed ciphertext of the right size;
- is sealed with a key of the cluster that its path is for;
- has the name and namespace that it was sealed for, also after renames by Kustomizations;
- is declared only once;
- is not sealed with a key older than policy allows, or with RSA if --require or signet.yaml requires hybrid.

It also checks that certificate files contain only certificates. If signet.yaml requires it, it checks that
the repository can recover every key, when recovery was last tried, and that values are not older than the
rotation rules allow, by the dates in Git.

--live also asks the controllers whether each value opens, and whether each certificate belongs to a key that
the controller holds and trusts. Only this detects a certificate that an attacker replaced.

Exit status: 0 no problems found, or no files to check, 3 problems found (with --strict, also warnings), 1 the
check could not run.

Examples:
  $ signet verify
  $ signet verify --staged
  $ signet verify --require hybrid
  $ signet verify --max-key-age 180d --format sarif > verify.sarif`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Check sealed files without any key, for example in continuous integration.")
      .option(
        "--max-key-age <DAYS>",
        "maximum age of keys, such as 180d (default: maxKeyAge of signet.yaml)",
      )
      .addOption(
        new Option(
          "--require <ALGORITHM>",
          "require this algorithm for all values, whatever signet.yaml says",
        ).choices([HYBRID]),
      )
      .addOption(flag("--staged", "check what is about to be committed"))
      .addOption(flag("--live", "also ask the clusters' controllers"))
      .addOption(clusterOption())
      .addOption(flag("--strict", "also fail on warnings"))
      .addOption(findingFormatOption(FINDING_FORMATS))
      .addOption(jsonOption().implies({ format: "json" })),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<VerifyOptions>) =>
      runVerify(paths, connection(flags)),
    );
}

interface VerifyOptions extends GivenCertificate {
  /** Such as `90d`; overrides signet.yaml. */
  readonly maxKeyAge?: string;
  /** `hybrid`, for all files. */
  readonly require?: string;
  /** Check the index instead of the working tree. */
  readonly staged: boolean;
  readonly live: boolean;
  readonly format: FindingFormat;
  readonly strict: boolean;
}

/** @throws SignetError check-found if there are problems; io, network */
export async function runVerify(paths: readonly string[], options: VerifyOptions): Promise<void> {
  const project = findProject();
  const sources = options.staged ? stagedTexts(paths) : treeTexts(foldersToRead(paths, project));
  const { inventory, allowed } = withoutAllowed(readSealedTexts(sources, project), project);
  const maxAge =
    options.maxKeyAge === undefined ? project?.maxKeyAgeDays : askedAge(options.maxKeyAge);
  const beside = options.staged ? committedBeside(inventory, project) : undefined;
  const required = options.require === undefined ? project?.requiredHybrid : ALL_HYBRID;
  const now = new Date();
  const hadHybrid = project === null ? () => false : committedHybrid(project);
  const findings = verifyFiles(inventory, project, maxAge, now, beside);
  const more = [
    checkHybrid(inventory, required ?? [], now),
    nestedProjects(sources, project),
    await verifyTemplates(inventory),
    ...[...inventory.clusters.values()].map((keys) => checkCertificateFile(keys, hadHybrid)),
    checkRecovery(inventory, project, now),
    checkRotation(inventory, project, now),
    options.live ? await verifyLive(inventory, options) : [],
    options.live ? await checkHeldKeys(inventory, options) : [],
  ];
  for (const finding of more.flat()) findings.push(finding);
  const wrong = new Set(findings.map(({ file }) => file));
  const objects = inventory.files.reduce((sum, file) => sum + file.objects.length, 0);
  await report(
    findings,
    {
      command: "verify",
      what: `${count(objects, "SealedSecret")} in ${count(inventory.files.length, "file")}`,
      files: inventory.files.length,
      counts: {
        files: inventory.files.length,
        sealedSecrets: objects,
        otherFiles: inventory.otherFiles,
        unreadable: inventory.unreadable.length,
        skipped: inventory.skipped,
        allowed,
      },
      passed: inventory.files.map(({ path }) => path).filter((path) => !wrong.has(path)),
    },
    options,
  );
}

/** The template language is loaded only if there is a template. */
async function verifyTemplates({ files }: Inventory): Promise<Finding[]> {
  if (!files.some(({ text }) => text.includes("template"))) return [];
  const { checkTemplates } = await import("../checks/templaterules.ts");
  return checkTemplates(files);
}

function askedAge(text: string): number {
  try {
    return parseDays(text, "--max-key-age");
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    const hint = error.hint ?? "such as 180d";
    throw new SignetError("usage", `--max-key-age ${error.message}`, { hint });
  }
}

/** Includes files that a sparse checkout leaves out. */
function treeTexts(paths: readonly string[]): TextSource[] {
  const folders = paths.filter((path) => stat(path).isDirectory() && workTree(path) !== null);
  const sparse = folders.flatMap((folder) =>
    textSources(
      sparseBlobs(folder).filter(({ path }) => statIfThere(join(folder, path)) === undefined),
      folder,
    ),
  );
  return [...sealedSources(paths), ...sparse];
}

/** Finds each signet.yaml below another: commands refuse to run there, and it names other certificates. */
function nestedProjects(sources: readonly TextSource[], project: Project | null): Finding[] {
  if (project === null) return [];
  const root = samePlace(project.root);
  const isNested = ({ path }: TextSource): boolean => {
    if (basename(path) !== PROJECT_FILE || samePlace(dirname(path)) === root) return false;
    try {
      findProjectFolder(dirname(path));
      // A nested repository may have one; a file that is only in the index belongs to this repository.
      return statIfThere(path) === undefined && isWithin(root, resolve(path));
    } catch (error) {
      if (error instanceof SignetError) return true;
      throw error;
    }
  };
  const above = relative(process.cwd(), join(project.root, PROJECT_FILE)) || PROJECT_FILE;
  return sources.filter(isNested).map(({ path }) => ({
    rule: "nested-project",
    severity: "error",
    file: path,
    message: `a repository can have only one ${PROJECT_FILE}: move the contents of this one to ${above}, and remove it`,
  }));
}

function stagedTexts(paths: readonly string[]): TextSource[] {
  const top = needWorkTree();
  return textSources(stagedBlobs(paths), top);
}

function textSources(blobs: readonly Blob[], top: string): TextSource[] {
  const manifests = blobs.filter(({ path }) => MANIFEST_NAME.test(path));
  const texts = readBlobs(
    manifests.map(({ id }) => id),
    top,
  );
  return manifests.map(({ id, path }) => ({
    path: relative(process.cwd(), join(top, path)),
    read: () => {
      const text = texts.get(id) ?? null;
      if (text !== null) return text;
      throw new SignetError("io", "cannot read: it is not text, or larger than 128 MiB");
    },
  }));
}

/** Unchanged files of the index that may declare the same SealedSecrets as the staged ones, or patch them. */
function committedBeside({ files }: Inventory, project: Project | null): Beside {
  const names = new Set(
    files.flatMap(({ objects }) => objects.map(({ sealed }) => sealed.metadata.name)),
  );
  if (names.size === 0) return { files: [], kustomizations: [] };
  const top = needWorkTree();
  const staged = new Set(stagedBlobs([]).map(({ path }) => path));
  const concerned = mayConcern(names, top);
  const others = indexBlobs(top).filter(({ path }) => !staged.has(path) && concerned(path));
  const { files: committed, kustomizations } = readSealedTexts(textSources(others, top), project);
  const declaring = committed.filter(
    ({ path, objects }) =>
      allowedBy(project, path) === undefined &&
      objects.some(({ sealed }) => names.has(sealed.metadata.name)),
  );
  return { files: declaring, kustomizations };
}

/** For more names than this, Git's search takes longer than to read every file. */
const MAX_NAMES = 100;
/** The API server refuses other names; Git could not even be asked for all of them. */
const POSSIBLE_NAME = /^[\w.-]{1,253}$/;

/**
 * Tells by its path whether a file of the index may declare one of these names, or rename or patch
 * what declares it; most need not be read. With an escape or a tag, a name can be written in other characters.
 */
function mayConcern(names: ReadonlySet<string>, top: string): (path: string) => boolean {
  if (names.size > MAX_NAMES) return () => true;
  const possible = [...names].filter((name) => POSSIBLE_NAME.test(name));
  const found = new Set(filesWithWord([...possible, FLUX, "\\", "!"], top));
  return (path) => found.has(path) || isKustomization(path);
}

/**
 * Asks each cluster's controller for its keys, even if no file is for that cluster yet: the next one
 * would be sealed with its certificate.
 */
async function checkHeldKeys(
  { clusters }: Inventory,
  { cluster: only, ...options }: VerifyOptions,
): Promise<Finding[]> {
  const { fetchHeldKeys } = await import("../cluster/reportedkeys.ts");
  const findings: Finding[] = [];
  for (const keys of clusters.values()) {
    const { cluster, current } = keys;
    if (current === null || (only !== undefined && only !== cluster.name)) continue;
    // A URL in signet.yaml proves nothing: whoever replaced the certificate could replace it too.
    const isAsked = cluster.url === undefined || (options.context ?? cluster.context) !== undefined;
    const held = isAsked ? await fetchHeldKeys(connectionTo(cluster, options)) : null;
    findings.push(...checkHeldKey(keys, held));
  }
  return findings;
}

/** Asks each cluster's controller whether it can open the SealedSecrets; no value is returned. */
async function verifyLive(inventory: Inventory, options: VerifyOptions): Promise<Finding[]> {
  const { verifyAtController } = await import("../cluster/controllerwork.ts");
  const asked = await Promise.allSettled(
    [...byCluster(objectsToAsk(inventory, options.cluster))].map(
      async ([name, objects]): Promise<Finding[]> => {
        const connection = connectionTo(objects[0]?.meaning?.cluster, options);
        return (await verifyAtController(connection, objects)).map((object) => ({
          rule: "does-not-open",
          severity: "error",
          file: object.file,
          line: object.document.line,
          object: object.name,
          message: `the controller of ${name === "" ? "the cluster" : name} cannot open it`,
        }));
      },
    ),
  );
  const failed = asked.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return asked.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
}

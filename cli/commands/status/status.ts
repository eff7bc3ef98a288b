// `signet status`: every sealed file with its cluster and keys, and keys that can be retired.
// SPEC.md, "Whole repositories".

import { type Command, Option } from "commander";
import { formatPlace, SignetError } from "../../../shared/errors.ts";
import { checkHybrid } from "../../checks/algorithmrules.ts";
import { hasPlaintext, keptPlain } from "../../checks/plainfiles.ts";
import { checkRotation, type Rotations, rotationsOf } from "../../checks/rotationrules.ts";
import { verifyFiles } from "../../checks/verifyrules.ts";
import {
  checkOneForm,
  clusterOption,
  type Connected,
  connection,
  factFormatOption,
  factJsonOption,
  flag,
  htmlOption,
  parseFingerprint,
  withConnection,
} from "../../options.ts";
import type { GivenCertificate } from "../../repository/clustercertificates.ts";
import { withoutAllowed } from "../../repository/allowedfiles.ts";
import { clusterNamed, findProject, meaningOf, needProject } from "../../repository/project.ts";
import { countAlgorithms } from "../../repository/envelopes.ts";
import type { Project } from "../../repository/projectfile.ts";
import {
  foldersToRead,
  type Inventory,
  isChartTemplate,
  readingOf,
  readSealedFiles,
} from "../../repository/sealedfiles.ts";
import { FACT_FORMATS, type FactFormat, printFacts } from "../../terminal/facts.ts";
import { printResult } from "../../terminal/results.ts";
import { writeReport } from "../../report/writereport.ts";
import { count } from "../../terminal/counts.ts";
import { askCluster, type LiveCluster, withLiveKeys } from "./livecluster.ts";
import {
  clusterFacts,
  countsOf,
  type Facts,
  factsOf,
  needsAttention,
  type Problem,
  type State,
  STATES,
} from "./statusfacts.ts";
import { statusMetrics } from "./statusmetrics.ts";
import { statusReport } from "./statusreport.ts";
import { statusLines } from "./statustext.ts";

/** More SealedSecrets than a person reads. */
const MANY = 20;

const HELP = `
The key of each value comes from the stamp that sealing writes to an annotation, from the repository's
certificates, and with --live from each cluster's controller. The states are:
  current  sealed with the newest key
  stale    sealed with an older key
  unknown  without a stamp, or with no cluster to ask
  wrong    has a problem, which is listed below the table

If several clusters have the same SealedSecret, with the same items in the same state, the copies share a row. If
there are more than ${MANY} SealedSecrets, only those that need attention are listed. --state, --stale,
--problems, --key and --cluster filter the list. The counts and the exit status cover all SealedSecrets, or
those of --cluster.

If signet.yaml has rotation rules, values that are due cause a warning, and overdue values are problems. The
age of a value comes from Git. -o json prints all ages; -o prometheus prints metrics.

After the table, the keys of each cluster are listed, with whether each is safe to retire, or what still needs
it. With --live, the SealedSecrets that the cluster cannot sync are listed too; if a file declares one, it is a
problem.

The first line also counts the files with Secrets in plain text, among the manifests that were read; they do
not change the exit status. Run \`signet scan\` to check more files and to see what it found.

Exit status: 0 no problems found, 3 problems found, 1 the command could not run.

Examples:
  $ signet status
  $ signet status --stale -o name | xargs signet reseal
  $ signet status --live --cluster prod
  $ signet status --html report.html
  $ signet status --json | jq -r '.sealedSecrets[] | select(.state == "stale") | .file'`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Show every sealed file with its cluster, scope and keys, and what is stale.")
      .addOption(flag("--live", "also ask the clusters"))
      .addOption(
        new Option("--state <STATE>", "list only SealedSecrets in this state").choices(STATES),
      )
      .addOption(flag("--stale", "same as --state stale"))
      .addOption(flag("--problems", "list only SealedSecrets that need attention"))
      .addOption(
        new Option(
          "--key <FINGERPRINT>",
          "list only SealedSecrets with values sealed with this key",
        ).argParser(parseFingerprint),
      )
      .addOption(flag("--all", "list every SealedSecret, even if there are many"))
      .addOption(clusterOption())
      .addOption(htmlOption())
      .addOption(factFormatOption([...FACT_FORMATS, "prometheus"]))
      .addOption(factJsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<StatusOptions>) =>
      runStatus(paths, connection(flags)),
    );
}

interface StatusOptions extends GivenCertificate {
  /** Also ask the clusters. */
  readonly live: boolean;
  /** Filters the list, not the counts. */
  readonly state?: State;
  readonly stale: boolean;
  readonly problems: boolean;
  /** A fingerprint, or the beginning of one. */
  readonly key?: string;
  readonly all: boolean;
  readonly format: FactFormat | "prometheus";
  /** A file for a report. */
  readonly html?: string;
}

const isFiltered = ({ state, stale, problems, key }: StatusOptions): boolean =>
  state !== undefined || stale || problems || key !== undefined;

/** Whether a SealedSecret passes the filters. */
function isAskedFor({ state, stale, problems, key }: StatusOptions): (facts: Facts) => boolean {
  if (state !== undefined && stale) {
    throw new SignetError("usage", "--state and --stale are mutually exclusive");
  }
  const wanted = stale ? "stale" : state;
  return (facts) =>
    (wanted === undefined || facts.state === wanted) &&
    (!problems || needsAttention(facts)) &&
    (key === undefined ||
      facts.values.some(({ fingerprint }) => fingerprint?.startsWith(key) === true));
}

/** @throws SignetError check-found if there are problems; io, network */
async function runStatus(paths: readonly string[], options: StatusOptions): Promise<void> {
  const { cluster: only, html } = options;
  checkOneForm(options);
  const project = only === undefined ? findProject() : needProject();
  if (only !== undefined && project !== null) clusterNamed(project, only);
  const now = new Date();
  const { everything, plaintext } = readWithPlaintext(paths, project, only);
  const { inventory: checked, allowed } = withoutAllowed(everything, project);
  const live = options.live ? await askClusters(project, options) : new Map<string, LiveCluster>();
  const inventory = withLiveKeys(checked, live);
  // Whether a key is still needed depends on every file, not only on `paths`.
  const all = withLiveKeys(paths.length === 0 ? everything : readSealedFiles([], project), live);
  const objects = inventory.files
    .flatMap((file) => file.objects)
    .filter(({ meaning }) => only === undefined || meaning?.cluster.name === only);
  // Reading the history takes time, so it is done only if the result is shown.
  const showsAges =
    options.format !== "text" || html !== undefined || (project?.rotation.length ?? 0) > 0;
  const rotations: Rotations = showsAges ? rotationsOf(inventory, project, now) : new Map();
  const { problems, warnings } = problemsByObject(inventory, project, rotations, now);
  const facts = objects.map((object) => {
    const of = (found: ReadonlyMap<string, Problem[]>): Problem[] => found.get(keyOf(object)) ?? [];
    return factsOf(object, of(problems), of(warnings), rotations.get(object), live, now);
  });
  const asked = facts.filter(isAskedFor(options));
  const names = [...(project?.clusters.keys() ?? [])];
  const keys = names
    .filter((name) => only === undefined || only === name)
    .map((name) => clusterFacts(name, all, live, now));
  const unreadable = inventory.unreadable.map(unreadableFacts);
  const value = {
    sealedSecrets: asked,
    counts: {
      ...countsOf(facts),
      files: inventory.files.length,
      otherFiles: inventory.otherFiles,
      unreadable: unreadable.length,
      skipped: inventory.skipped,
      allowed,
      plaintextFiles: plaintext.length,
      algorithms: countAlgorithms(objects),
    },
    unreadable,
    plaintextFiles: plaintext,
    clusters: keys,
  };
  const reading = { listed: readingOf(inventory), all: readingOf(all), plaintext };
  const isMany = !isFiltered(options) && !options.all && facts.length > MANY;
  const listed = isMany ? asked.filter(needsAttention) : asked;
  const forms = {
    value,
    lines: () =>
      statusLines(
        facts,
        { listed, hidden: asked.length - listed.length },
        unreadable,
        keys,
        reading,
      ),
    wide: () => statusLines(facts, { listed: asked, hidden: 0 }, unreadable, keys, reading, true),
    names: () => asked.map(({ file }) => file),
  };
  const chosen = names.filter((name) => only === undefined || only === name);
  if (html !== undefined) {
    const reading = readingOf(inventory);
    const report = statusReport({
      ...{ facts: asked, clusters: keys, unreadable, plaintext, reading, now },
    });
    await writeReport(html, report, now);
  } else if (options.format === "prometheus") await printResult(statusMetrics(asked, chosen));
  else await printFacts(options.format, forms);
  const wrong =
    inventory.unreadable.filter(({ place }) => !isChartTemplate(place.file ?? "")).length +
    facts.filter(needsAttention).length +
    keys.filter(({ certificate }) => certificate !== "valid").length;
  if (wrong > 0) throw new SignetError("check-found", `${count(wrong, "problem")} found`);
}

/** The files, and which of them have a Secret in plain text; with `only`, of that cluster. */
function readWithPlaintext(
  paths: readonly string[],
  project: Project | null,
  only: string | undefined,
): { readonly everything: Inventory; readonly plaintext: readonly string[] } {
  const found = new Set<string>();
  const everything = readSealedFiles(paths, project, (path, text) => {
    if (hasPlaintext(path, text, project)) found.add(path);
  });
  const plaintext = keptPlain([...found], foldersToRead(paths, project)).filter(
    (path) =>
      only === undefined || project === null || meaningOf(project, path)?.cluster.name === only,
  );
  return { everything, plaintext };
}

/** What the clusters report, by name. @throws SignetError usage, network */
async function askClusters(
  project: Project | null,
  options: StatusOptions,
): Promise<Map<string, LiveCluster>> {
  const { cluster: only } = options;
  const wanted = [...(project?.clusters.values() ?? [])].filter(
    ({ name }) => only === undefined || only === name,
  );
  if (wanted.length === 0) {
    throw new SignetError("usage", "--live requires clusters in signet.yaml, which has none", {
      hint: "run `signet init` to add them",
    });
  }
  const live = new Map<string, LiveCluster>();
  for (const cluster of wanted) live.set(cluster.name, await askCluster(cluster, options));
  return live;
}

function unreadableFacts({ place: { file, ...within }, message, code }: SignetError) {
  const where = formatPlace(within);
  return { code, file, message: where === "" ? message : `${where}: ${message}` };
}

const keyOf = ({ file, name }: { file: string; name: string }): string => `${file}\n${name}`;

function problemsByObject(
  inventory: Inventory,
  project: Project | null,
  rotations: Rotations,
  now: Date,
): Record<"problems" | "warnings", Map<string, Problem[]>> {
  const problems = new Map<string, Problem[]>();
  const warnings = new Map<string, Problem[]>();
  const found = [
    ...verifyFiles(inventory, project, undefined, now),
    ...checkHybrid(inventory, project?.requiredHybrid ?? [], now),
    ...checkRotation(inventory, project, now, rotations),
  ];
  for (const { file, object, rule, severity, message } of found) {
    // The state already shows these.
    if (object === undefined || rule === "unknown-key" || rule === "unstamped") continue;
    const key = keyOf({ file, name: object });
    const isSoon = severity === "warning" && rule.startsWith("value-");
    const list = isSoon ? warnings : problems;
    list.set(key, [...(list.get(key) ?? []), { code: rule, message }]);
  }
  return { problems, warnings };
}

// `signet status`: every sealed file with its cluster and keys, and keys that can be retired.
// SPEC.md, "Whole repositories".

import { type Command, Option } from "commander";
import { formatPlace, SignetError } from "../../../shared/errors.ts";
import { checkHybrid } from "../../checks/algorithmrules.ts";
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
import { clusterNamed, findProject, needProject } from "../../repository/project.ts";
import { countAlgorithms } from "../../repository/envelopes.ts";
import type { Project } from "../../repository/projectfile.ts";
import {
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
Which key a value is under is told by the stamp that sealing leaves in an annotation, by the
repository's certificates, and with --live by each cluster's controller. States: current, stale (under
an older key), unknown (no stamp, or no cluster to compare with), wrong (something is to be mended,
told below the table). Several clusters' copies of a SealedSecret with the same items in the same state share
a row. If there are more than ${MANY} SealedSecrets, only those that need attention are listed.

--state, --stale, --problems, --key and --cluster choose what is listed; the counts and the exit status
are of all, or of the cluster.

Where signet.yaml has rules of rotation, values that are due are warned of, and values that are overdue are
problems. Git tells when a value last changed; -o json has the ages of all, -o prometheus is for Prometheus.

Secrets in plain text are not looked for: \`signet scan\` finds them.

Each cluster's keys follow: whether a key is safe to retire, or what still needs it. With --live, so do
the SealedSecrets that the cluster cannot sync; one that a file declares is a problem.
Exit status: 0 if there is nothing to do, else 3.

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
      .description("Shows every sealed file: its cluster, scope and keys, and what is stale.")
      .addOption(flag("--live", "ask the clusters as well"))
      .addOption(
        new Option("--state <STATE>", "list only SealedSecrets in this state").choices(STATES),
      )
      .addOption(flag("--stale", "list only what is stale, as --state stale"))
      .addOption(flag("--problems", "list only what needs attention"))
      .addOption(
        new Option("--key <FINGERPRINT>", "list only what has values under this key").argParser(
          parseFingerprint,
        ),
      )
      .addOption(flag("--all", "list every SealedSecret, however many there are"))
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
  /** Ask the clusters as well. */
  readonly live: boolean;
  /** Which to list; all count, whatever is listed. */
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

/** Whether a SealedSecret is one of those that are asked for. */
function isAskedFor({ state, stale, problems, key }: StatusOptions): (facts: Facts) => boolean {
  if (state !== undefined && stale) {
    throw new SignetError("usage", "--state and --stale exclude each other");
  }
  const wanted = stale ? "stale" : state;
  return (facts) =>
    (wanted === undefined || facts.state === wanted) &&
    (!problems || needsAttention(facts)) &&
    (key === undefined ||
      facts.values.some(({ fingerprint }) => fingerprint?.startsWith(key) === true));
}

/** @throws SignetError check-found where there is a problem; io, network */
async function runStatus(paths: readonly string[], options: StatusOptions): Promise<void> {
  const { cluster: only, html } = options;
  checkOneForm(options);
  const project = only === undefined ? findProject() : needProject();
  if (only !== undefined && project !== null) clusterNamed(project, only);
  const now = new Date();
  const everything = readSealedFiles(paths, project);
  const { inventory: checked, allowed } = withoutAllowed(everything, project);
  const live = options.live ? await askClusters(project, options) : new Map<string, LiveCluster>();
  const inventory = withLiveKeys(checked, live);
  // Whether a key is still needed depends on every file, not only on `paths`.
  const all = withLiveKeys(paths.length === 0 ? everything : readSealedFiles([], project), live);
  const objects = inventory.files
    .flatMap((file) => file.objects)
    .filter(({ meaning }) => only === undefined || meaning?.cluster.name === only);
  // Reading the history takes time, so only where somebody sees it.
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
      algorithms: countAlgorithms(objects),
    },
    unreadable,
    clusters: keys,
  };
  const reading = { listed: readingOf(inventory), all: readingOf(all) };
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
    const report = statusReport({ facts: asked, clusters: keys, unreadable, reading, now });
    await writeReport(html, report, now);
  } else if (options.format === "prometheus") await printResult(statusMetrics(asked, chosen));
  else await printFacts(options.format, forms);
  const wrong =
    inventory.unreadable.filter(({ place }) => !isChartTemplate(place.file ?? "")).length +
    facts.filter(needsAttention).length +
    keys.filter(({ certificate }) => certificate !== "valid").length;
  if (wrong > 0) throw new SignetError("check-found", `${count(wrong, "problem")} found`);
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
    throw new SignetError("usage", "--live asks the clusters of signet.yaml, and there are none", {
      hint: "`signet init` names them",
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
    // The state tells these already.
    if (object === undefined || rule === "unknown-key" || rule === "unstamped") continue;
    const key = keyOf({ file, name: object });
    const isSoon = severity === "warning" && rule.startsWith("value-");
    const list = isSoon ? warnings : problems;
    list.set(key, [...(list.get(key) ?? []), { code: rule, message }]);
  }
  return { problems, warnings };
}

// `signet status`: every sealed file with its cluster and keys, and keys that can be retired.
// SPEC.md, "Whole repositories".

import { type Command, Option } from "commander";
import { formatPlace, SignetError } from "../../../shared/errors.ts";
import { checkHybrid } from "../../checks/algorithmrules.ts";
import { verifyFiles } from "../../checks/verifyrules.ts";
import {
  checkOneForm,
  clusterOption,
  type Connected,
  connection,
  flag,
  htmlOption,
  jsonOption,
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
import { printJson, printLines } from "../../terminal/results.ts";
import { writeReport } from "../../report/writereport.ts";
import { count } from "../../terminal/counts.ts";
import { askCluster, type LiveCluster, withLiveKeys } from "./livecluster.ts";
import { clusterFacts, countsOf, factsOf, type State, STATES } from "./statusfacts.ts";
import { statusReport } from "./statusreport.ts";
import { statusLines } from "./statustext.ts";

const HELP = `
Which key a value is under is told by the stamp that sealing leaves in an annotation, by the
repository's certificates, and with --live by each cluster's controller. States: current, stale (under
an older key), unknown (no stamp, or no cluster to compare with), wrong (something is to be mended,
told below the table). --state lists those in one state; the counts and the exit status are of all.

Secrets in plain text are not looked for: \`signet scan\` finds them.

Each cluster's keys follow: whether a key is safe to retire, or what still needs it. With --live, so do
the SealedSecrets that the cluster cannot sync; one that a file declares is a problem.
Exit status: 0 if there is nothing to do, else 3.

Examples:
  $ signet status
  $ signet status --state stale
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
      .addOption(clusterOption())
      .addOption(htmlOption())
      .addOption(jsonOption()),
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
  /** A file for a report. */
  readonly html?: string;
  readonly json: boolean;
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
  let inventory = checked;
  const live = new Map<string, LiveCluster>();
  if (options.live) {
    const wanted = [...(project?.clusters.values() ?? [])].filter(
      ({ name }) => only === undefined || only === name,
    );
    if (wanted.length === 0) {
      throw new SignetError(
        "usage",
        "--live asks the clusters of signet.yaml, and there are none",
        {
          hint: "`signet init` names them",
        },
      );
    }
    for (const cluster of wanted) live.set(cluster.name, await askCluster(cluster, options));
    inventory = withLiveKeys(inventory, live);
  }
  // Whether a key is still needed depends on every file, not only on `paths`.
  const all = withLiveKeys(paths.length === 0 ? everything : readSealedFiles([], project), live);
  const objects = inventory.files
    .flatMap((file) => file.objects)
    .filter(({ meaning }) => only === undefined || meaning?.cluster.name === only);
  const problems = problemsByObject(inventory, project, now);
  const facts = objects.map((object) =>
    factsOf(object, problems.get(keyOf(object)) ?? [], live, now),
  );
  const listed = facts.filter(
    ({ state }) => options.state === undefined || state === options.state,
  );
  const names = [...(project?.clusters.keys() ?? [])];
  const keys = names
    .filter((name) => only === undefined || only === name)
    .map((name) => clusterFacts(name, all, live, now));
  const unreadable = inventory.unreadable.map(unreadableFact);
  if (html !== undefined) {
    const reading = readingOf(inventory);
    const report = statusReport({ facts: listed, clusters: keys, unreadable, reading, now });
    await writeReport(html, report, now);
  } else if (options.json) {
    await printJson({
      sealedSecrets: listed,
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
    });
  } else {
    await printLines(
      statusLines(facts, listed, unreadable, keys, {
        listed: readingOf(inventory),
        all: readingOf(all),
      }),
    );
  }
  const wrong =
    inventory.unreadable.filter(({ place }) => !isChartTemplate(place.file ?? "")).length +
    // Nothing more can be known of a file without a cluster.
    facts.filter(
      ({ state, cluster }) => state !== "current" && !(cluster === null && state === "unknown"),
    ).length +
    keys.filter(({ certificate }) => certificate !== "valid").length;
  if (wrong > 0) throw new SignetError("check-found", `${count(wrong, "problem")} found`);
}

function unreadableFact({ place: { file, ...within }, message }: SignetError) {
  const where = formatPlace(within);
  return { file, message: where === "" ? message : `${where}: ${message}` };
}

const keyOf = ({ file, name }: { file: string; name: string }): string => `${file}\n${name}`;

function problemsByObject(
  inventory: Inventory,
  project: Project | null,
  now: Date,
): Map<string, string[]> {
  const problems = new Map<string, string[]>();
  const found = [
    ...verifyFiles(inventory, project, undefined, now),
    ...checkHybrid(inventory, project?.requiredHybrid ?? [], now),
  ];
  for (const { file, object, rule, message } of found) {
    // The state tells these already.
    if (object === undefined || rule === "unknown-key" || rule === "unstamped") continue;
    const key = keyOf({ file, name: object });
    problems.set(key, [...(problems.get(key) ?? []), message]);
  }
  return problems;
}

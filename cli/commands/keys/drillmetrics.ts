// The result of a drill in Prometheus' format, for a job to push or for an agent to collect.
// SPEC.md, "Recovery".

import type { Output } from "../../../host/writefiles.ts";

/** The result of a drill for a cluster. */
interface DrilledCluster {
  readonly cluster: string;
  /** Whether everything could be recovered. */
  readonly isSafe: boolean;
  /** How many values opened, and how many did not. */
  readonly opened: number;
  readonly lost: number;
}

/** A file in Prometheus' text format. `at`: when the drill ran. */
export function metricsOutput(path: string, at: Date, clusters: readonly DrilledCluster[]): Output {
  const families = [
    family("signet_drill_timestamp_seconds", "When the drill ran.", clusters, () => [
      ["", at.getTime() / 1000],
    ]),
    family("signet_drill_safe", "1 if everything could be recovered, else 0.", clusters, (each) => [
      ["", each.isSafe ? 1 : 0],
    ]),
    family("signet_drill_values", "Values by whether they could be opened.", clusters, (each) => [
      [',result="opened"', each.opened],
      [',result="lost"', each.lost],
    ]),
  ];
  return { path, root: undefined, text: families.join("") };
}

function family(
  name: string,
  help: string,
  clusters: readonly DrilledCluster[],
  samples: (cluster: DrilledCluster) => readonly (readonly [string, number])[],
): string {
  const lines = clusters.flatMap((each) =>
    samples(each).map(
      ([labels, value]) => `${name}{cluster=${JSON.stringify(each.cluster)}${labels}} ${value}\n`,
    ),
  );
  return [`# HELP ${name} ${help}\n`, `# TYPE ${name} gauge\n`, ...lines].join("");
}

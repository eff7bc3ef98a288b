// What a drill found, as Prometheus reads it: for a job to push, or to put where an agent collects it.
// SPEC.md, "Recovery".

import type { Output } from "../../../host/writefiles.ts";

/** What became of a cluster in a drill. */
interface DrilledCluster {
  readonly cluster: string;
  /** Whether everything would come back. */
  readonly isSafe: boolean;
  /** How many values opened, and how many did not. */
  readonly opened: number;
  readonly lost: number;
}

/** A file in Prometheus' text format. `at`: when the drill was. */
export function metricsOutput(path: string, at: Date, clusters: readonly DrilledCluster[]): Output {
  const families = [
    family("signet_drill_timestamp_seconds", "When the drill was.", clusters, () => [
      ["", at.getTime() / 1000],
    ]),
    family("signet_drill_safe", "1 if everything would come back, else 0.", clusters, (each) => [
      ["", each.isSafe ? 1 : 0],
    ]),
    family("signet_drill_values", "Values by what became of them.", clusters, (each) => [
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

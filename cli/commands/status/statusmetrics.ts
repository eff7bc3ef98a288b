// The facts of `signet status` in Prometheus' text format, as read by node_exporter's textfile
// collector.

import { countsOf, type Facts, STATES } from "./statusfacts.ts";

/** The counts of each cluster, and for each value when it last changed and its maximum age. */
export function statusMetrics(facts: readonly Facts[], clusters: readonly string[]): string {
  const counts = clusters.flatMap((cluster) => {
    const inState = countsOf(facts.filter((each) => each.cluster === cluster));
    return STATES.map((state) =>
      sample("signet_sealed_secrets", { cluster, state }, inState[state]),
    );
  });
  const values = facts.flatMap(({ cluster, namespace, name, file, values: all }) =>
    all.map(({ item, changed = null, maxAgeDays = null }) => ({
      labels: { cluster: cluster ?? "", namespace, name, item, file },
      changed,
      maxAgeDays,
    })),
  );
  return [
    ...family("signet_sealed_secrets", "SealedSecrets of the repository by state.", counts),
    ...family(
      "signet_value_changed_timestamp_seconds",
      "When a value last changed, according to Git.",
      values.flatMap(({ labels, changed }) =>
        changed === null
          ? []
          : [sample("signet_value_changed_timestamp_seconds", labels, Date.parse(changed) / 1000)],
      ),
    ),
    ...family(
      "signet_value_max_age_seconds",
      "Maximum age of a value, from rotation in signet.yaml.",
      values.flatMap(({ labels, maxAgeDays }) =>
        maxAgeDays === null
          ? []
          : [sample("signet_value_max_age_seconds", labels, maxAgeDays * 86_400)],
      ),
    ),
  ]
    .map((line) => `${line}\n`)
    .join("");
}

function family(name: string, help: string, samples: readonly string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...samples];
}

function sample(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}{${pairs.join(",")}} ${value}`;
}

/** Escapes a label value for Prometheus, without characters that a terminal would interpret. */
function escaped(text: string): string {
  return text
    .replace(/[\\"]/g, "\\$&")
    .replaceAll("\n", "\\n")
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, "?");
}

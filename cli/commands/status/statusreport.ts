// `signet status --html`: the same facts as a report for people who do not use a terminal.

import { count } from "../../terminal/counts.ts";
import type { Bar, Cell, Report, ReportSection } from "../../report/htmlreport.ts";
import { type ClusterFacts, countsOf, type Facts } from "./statusfacts.ts";

export interface StatusReportFacts {
  readonly facts: readonly Facts[];
  readonly clusters: readonly ClusterFacts[];
  readonly unreadable: readonly { readonly file?: string | undefined; readonly message: string }[];
  /** Files with a Secret in plain text. */
  readonly plaintext: readonly string[];
  /** How many files were read, in words. */
  readonly reading: string;
  readonly now: Date;
}

export function statusReport(all: StatusReportFacts): Report {
  const { facts, clusters, reading } = all;
  const counts = countsOf(facts);
  const values = facts.reduce((sum, each) => sum + each.values.length, 0);
  return {
    title: "Sealed Secrets of this repository",
    summary: [
      `${count(counts.total, "SealedSecret")} with ${count(values, "value")}: ${counts.current} current, ` +
        `${counts.stale} stale, ${counts.unknown} unknown, ${counts.wrong} wrong. Files: ${reading}.`,
      clusters.some(({ asked }) => asked)
        ? "The clusters were asked about their keys and SealedSecrets."
        : "The clusters were not asked: keys are those that the repository's files name.",
    ],
    sections: [
      clustersSection(clusters),
      ...clusters.map((cluster) => keysSection(cluster, all.now)),
      radiusSection(facts),
      ageSection(facts),
      objectsSection(facts),
      problemsSection(all),
    ],
  };
}

function clustersSection(clusters: readonly ClusterFacts[]): ReportSection {
  return {
    heading: "Clusters",
    notes: clusters.length === 0 ? ["signet.yaml has no clusters."] : [],
    table: {
      head: ["Cluster", "Certificate", "Days left", "Keys", "Values by algorithm", "Not synced"],
      rows: clusters.map(
        ({ cluster, certificate, daysLeft, keys, algorithms, asked, notSynced }) => [
          cluster,
          certificate === "valid" ? certificate : { text: certificate, tone: "bad" },
          daysLeft === null ? "-" : String(daysLeft),
          String(keys.length),
          Object.entries(algorithms)
            .map(([algorithm, number]) => `${algorithm}: ${String(number)}`)
            .join(", "),
          asked ? String(notSynced.length) : "not asked",
        ],
      ),
    },
  };
}

const TONES: Readonly<Record<string, Bar["tone"]>> = {
  sealing: "good",
  former: "warn",
  compromised: "bad",
};

function keysSection({ cluster, keys }: ClusterFacts, now: Date): ReportSection {
  const dated = keys
    .flatMap(({ since, ...key }) => (since === null ? [] : [{ ...key, since: new Date(since) }]))
    .sort((a, b) => a.since.getTime() - b.since.getTime());
  // A key seals until the next one takes over.
  const bars = dated.map(({ fingerprint, since, state }, index): Bar => ({
    label: shortened(fingerprint),
    from: since,
    to: dated[index + 1]?.since ?? now,
    tone: TONES[state] ?? "warn",
  }));
  return {
    heading: `Keys of ${cluster} over time`,
    notes:
      keys.length === 0
        ? ["No keys of this cluster are known."]
        : [
            "Each key seals until the next one takes over, and opens what it sealed until it is retired.",
          ],
    bars,
    table: {
      head: ["Key", "State", "Since", "Age in days", "Values", "Still needed by"],
      rows: keys.map(({ fingerprint, state, since, ageDays, values, safe, blockedBy }) => [
        fingerprint,
        { text: state, tone: TONES[state] ?? "warn" },
        since?.slice(0, 10) ?? "-",
        ageDays === null ? "-" : String(ageDays),
        String(values),
        safe ? "nothing that was checked" : blockedBy.join("; ") || "new values",
      ]),
    },
  };
}

/** What anyone with a key could read. */
function radiusSection(facts: readonly Facts[]): ReportSection {
  const radius = new Map<
    string,
    { cluster: string; name: string; file: string; items: string[] }[]
  >();
  for (const { cluster, namespace, name, file, values } of facts) {
    for (const { item, fingerprint } of values) {
      const key = fingerprint ?? "unknown (no stamp)";
      const places = radius.get(key) ?? [];
      radius.set(key, places);
      const whole = [namespace, name].filter((part) => part !== "").join("/");
      const known = places.find((each) => each.file === file && each.name === whole);
      if (known === undefined) {
        places.push({ cluster: cluster ?? "-", name: whole, file, items: [item] });
      } else known.items.push(item);
    }
  }
  return {
    heading: "Blast radius: what each key opens",
    notes: [
      "If a key leaks, these values must change. Only files as they are now are listed: `signet log --key` lists Git's history too.",
    ],
    table: {
      head: ["Key", "Cluster", "SealedSecret", "Items", "File"],
      rows: [...radius].flatMap(([key, places]) =>
        places.map(({ cluster, name, items, file }) => [
          key,
          cluster,
          name,
          items.join(", "),
          file,
        ]),
      ),
    },
  };
}

const AGES = [30, 90, 180, 365] as const;

/** The number of values by the age of their key. */
function ageSection(facts: readonly Facts[]): ReportSection {
  const ages = facts.flatMap(({ values }) => values.map(({ keyAgeDays }) => keyAgeDays));
  const within = (from: number, to: number): number =>
    ages.filter((age) => age !== null && age >= from && age < to).length;
  const rows = [0, ...AGES].map((from, index): Cell[] => {
    const to = AGES[index];
    const words = to === undefined ? `${from} days and more` : `${from} to ${to - 1} days`;
    return [words, String(within(from, to ?? Infinity))];
  });
  return {
    heading: "Values by the age of their key",
    notes: ["A value is at least this old, unless its file was re-sealed since."],
    table: {
      head: ["Age", "Values"],
      rows: [...rows, ["unknown", String(ages.filter((age) => age === null).length)]],
    },
  };
}

function objectsSection(facts: readonly Facts[]): ReportSection {
  return {
    heading: "SealedSecrets",
    table: {
      head: [
        "Cluster",
        "Namespace",
        "Name",
        "Scope",
        "State",
        "Values",
        "Oldest key, days",
        "Oldest value, days",
        "File",
      ],
      rows: facts.map(({ cluster, namespace, name, scope, state, values, file }) => {
        return [
          cluster ?? "-",
          namespace === "" ? "-" : namespace,
          name,
          scope,
          { text: state, tone: state === "current" ? "good" : state === "wrong" ? "bad" : "warn" },
          values.map(({ item }) => item).join(", "),
          oldest(values.map(({ keyAgeDays }) => keyAgeDays)),
          oldest(values.map(({ ageDays }) => ageDays)),
          file,
        ];
      }),
    },
  };
}

function oldest(days: readonly (number | null | undefined)[]): string {
  const known = days.flatMap((each) => each ?? []);
  return known.length === 0 ? "-" : String(Math.max(...known));
}

function problemsSection({
  facts,
  clusters,
  unreadable,
  plaintext,
}: StatusReportFacts): ReportSection {
  const rows: Cell[][] = [
    ...facts.flatMap(({ file, namespace, name, problems }) =>
      problems.map(({ message }) => [file, `${namespace}/${name}`, message]),
    ),
    ...unreadable.map(({ file = "", message }) => [file, "-", message]),
    ...plaintext.map((file) => [file, "-", "a Secret in plain text"]),
    ...clusters.flatMap(({ cluster, notSynced }) =>
      notSynced.map(({ sealedSecret, why }) => [`in ${cluster}`, sealedSecret, why]),
    ),
  ];
  return {
    heading: "Problems",
    notes: rows.length === 0 ? ["None found."] : [],
    table: { head: ["File", "SealedSecret", "Problem"], rows },
  };
}

const shortened = (fingerprint: string): string => fingerprint.slice(0, "SHA256:".length + 12);

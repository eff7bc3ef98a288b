// The alerts and the dashboard as Prometheus' own tool reads them, and the chart that ships them.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dump, load, loadAll } from "js-yaml";
import { describe, expect, it } from "vitest";
import { partPath } from "../parts/parts.ts";

const RULES = "charts/signet/rules.yaml";
const DASHBOARD = "charts/signet/dashboards/signet.json";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
}

const rules = (load(readFileSync(RULES, "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  ({ rules }) => rules,
);

function promtool(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(partPath("promtool"), args, { encoding: "utf8" });
  return { status, output: stdout + stderr };
}

function folder(): string {
  return mkdtempSync(join(tmpdir(), "monitoring-"));
}

/** Runs one unit test of promtool's: series in, a sample a minute, and whether `alert` fires at `time`. */
function fires(alert: string, series: Record<string, string>, time = "2h"): boolean {
  const at = folder();
  copyFileSync(RULES, join(at, "rules.yaml"));
  const test = {
    rule_files: ["rules.yaml"],
    evaluation_interval: "1m",
    tests: [
      {
        interval: "1m",
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: [{ eval_time: time, alertname: alert }],
      },
    ],
  };
  writeFileSync(join(at, "test.yaml"), dump(test));
  const { status, output } = promtool("test", "rules", join(at, "test.yaml"));
  // It expects silence; what it got instead is the alert.
  if (status !== 0) expect(output).toContain(`alertname="${alert}"`);
  return status !== 0;
}

const P = "sealed_secrets_controller_";

describe("the alerts", () => {
  it("are rules that Prometheus takes", () => {
    expect(promtool("check", "rules", RULES)).toMatchObject({ status: 0 });
    for (const { alert, labels } of rules) {
      expect(["warning", "critical"]).toContain(labels.severity);
      expect(readFileSync("docs/monitoring.md", "utf8")).toContain(`\`${alert}\``);
    }
  });

  it("stay silent while all is well", () => {
    const at = folder();
    copyFileSync(RULES, join(at, "rules.yaml"));
    copyFileSync("test/interop/monitoring/alerts.yaml", join(at, "test.yaml"));
    const { status, output } = promtool("test", "rules", join(at, "test.yaml"));
    expect([status, output]).toEqual([0, expect.stringContaining("SUCCESS")]);
    const silent = readFileSync("test/interop/monitoring/alerts.yaml", "utf8");
    for (const { alert } of rules) expect(silent).toContain(alert);
  });

  const cases: Record<string, Record<string, string>> = {
    SealedSecretsUnsealErrorHigh: {
      [`${P}unseal_errors_total{namespace="x",reason="unseal"}`]: "0x110 1 2 3 4 5 6 7 8 9 10",
    },
    SealedSecretsNotSynced: { [`${P}sealedsecrets{synced="False"}`]: "3x120" },
    SealedSecretsDrift: {
      [`${P}drift_corrected_total{namespace="x",change="changed"}`]: "0+1x120",
    },
    SealedSecretsContested: { [`${P}contested`]: "1x120" },
    SealedSecretsControllerAbsent: { other: "1x120" },
    SealedSecretsNoLeader: {
      [`${P}leader{instance="a"}`]: "0x120",
      [`${P}leader{instance="b"}`]: "0x120",
    },
    SealedSecretsManyLeaders: {
      [`${P}leader{instance="a"}`]: "1x120",
      [`${P}leader{instance="b"}`]: "1x120",
    },
    SealedSecretsQueueStuck: {
      [`${P}queue_depth{instance="a"}`]: "500x120",
      [`${P}shards{instance="a"}`]: "1x120",
    },
    SealedSecretsReconcileSlow: {
      [`${P}reconcile_duration_seconds_bucket{le="5"}`]: "0x120",
      [`${P}reconcile_duration_seconds_bucket{le="10"}`]: "0+10x120",
      [`${P}reconcile_duration_seconds_bucket{le="+Inf"}`]: "0+10x120",
    },
    SealedSecretsKeyOverdue: { [`${P}sealing_key_renewal_timestamp_seconds`]: "1x3000" },
    SealedSecretsCertificateExpires: {
      [`${P}sealing_key_certificate_expiry_timestamp_seconds{fingerprint="f",state="sealing"}`]:
        "100000x120",
    },
    SealedSecretsKeyCompromised: {
      [`${P}sealing_key_values{fingerprint="f",state="compromised"}`]: "2x120",
    },
    SealedSecretsKeyUnconfirmed: { [`${P}sealing_keys_appeared`]: "0x119 1x1" },
    SealedSecretsSealingKeyChanged: {
      [`${P}sealing_key_changes_total{reason="confirmed"}`]: "0x100 1x20",
    },
    SealedSecretsKeyNotRecoverable: { [`${P}recovery_missing`]: "1x120" },
    SealedSecretsDrillFailed: {
      'signet_drill_safe{cluster="prod"}': "0x120",
      'signet_drill_safe{cluster="staging"}': "1x120",
    },
    SealedSecretsDrillOld: { 'signet_drill_timestamp_seconds{cluster="prod"}': "-3600000x120" },
    SealedSecretsKeyMalformed: { [`${P}sealing_keys{state="malformed"}`]: "1x120" },
    SealedSecretsKmsFails: {
      [`${P}kms_requests_total{operation="wrap",outcome="ok"}`]: "5x120",
      [`${P}kms_requests_total{operation="wrap",outcome="failed"}`]: "0+1x120",
    },
    SealedSecretsKeysWait: { [`${P}sealing_keys_waiting`]: "1x120" },
    SealedSecretsKeyPlain: {
      [`${P}sealing_keys_stored{form="plain"}`]: "1x3000",
      [`${P}sealing_keys_stored{form="wrapped"}`]: "2x3000",
    },
  };

  it("have a case each", () => {
    expect(Object.keys(cases).sort()).toEqual(rules.map(({ alert }) => alert).sort());
  });

  it.each(Object.entries(cases))("%s fires", (alert, series) => {
    // These count in days.
    const inDays = ["SealedSecretsKeyOverdue", "SealedSecretsKeyPlain"];
    const time = inDays.includes(alert) ? "49h" : "2h";
    expect(fires(alert, series, time)).toBe(true);
  });
});

it.each([
  ["at once, without any history", "1x1", "0m", true],
  ["as long as the key is not confirmed", "1x3000", "49h", true],
  ["not any more once it is", "1x60 0x60", "2h", false],
])("the alert for an unconfirmed key fires %s", (_when, values, time, expected) => {
  const series = { [`${P}sealing_keys_appeared`]: values };
  expect(fires("SealedSecretsKeyUnconfirmed", series, time)).toBe(expected);
});

describe("the dashboard", () => {
  const { panels } = JSON.parse(readFileSync(DASHBOARD, "utf8")) as {
    panels: { title: string; targets: { expr: string }[] }[];
  };

  it("has expressions that Prometheus takes", () => {
    const exprs = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(exprs.length).toBeGreaterThan(10);
    const recorded = exprs.map((expr, index) => ({
      record: `panel:${index}`,
      expr: expr.replaceAll("$__rate_interval", "5m"),
    }));
    const file = join(folder(), "panels.yaml");
    writeFileSync(file, dump({ groups: [{ name: "panels", rules: recorded }] }));
    expect(promtool("check", "rules", file)).toMatchObject({ status: 0 });
  });
});

describe("the chart", () => {
  function render(...values: string[]): {
    kind: string;
    metadata?: { name?: string };
    spec?: unknown;
    data?: Record<string, string>;
  }[] {
    const args = [
      "template",
      "signet",
      "charts/signet",
      ...values.map((value) => `--set=${value}`),
    ];
    const text = execFileSync(partPath("helm"), args, { encoding: "utf8" });
    return loadAll(text).filter((document) => document !== null) as ReturnType<typeof render>;
  }

  it("ships them where asked to, word for word", () => {
    const kinds = ["PrometheusRule", "ServiceMonitor", "ConfigMap"];
    const certificates = "sealed-secrets-controller-certificates";
    const others = render().filter(({ metadata }) => metadata?.name !== certificates);
    expect(others.filter(({ kind }) => kinds.includes(kind))).toEqual([]);
    const all = render(
      "metrics.rules.enabled=true",
      "metrics.serviceMonitor.enabled=true",
      "metrics.dashboard.enabled=true",
    );
    const [rule, monitor, map] = kinds.map((wanted) =>
      all.find(({ kind, metadata }) => kind === wanted && metadata?.name !== certificates),
    );
    expect(rule?.spec).toEqual(load(readFileSync(RULES, "utf8")));
    expect(monitor?.spec).toMatchObject({ endpoints: [{ port: "metrics", honorLabels: true }] });
    expect(JSON.parse(map?.data?.["signet.json"] ?? "")).toEqual(
      JSON.parse(readFileSync(DASHBOARD, "utf8")),
    );
  });
});

// The series of SealedSecrets, beside those that the library would format.
import { Gauge, Registry } from "prom-client";
import { expect, it } from "vitest";
import { conditionInfo } from "../../controller/conditioninfo.ts";
import type { Summary } from "../../controller/summary.ts";

const of = (name: string, synced: boolean | undefined, instance = ""): Summary => ({
  ...{ namespace: "demo", name, instance, synced },
  ...{ values: 1, hybridValues: 0, record: null },
});

const formatted = (summaries: Summary[]): string =>
  Buffer.concat([...conditionInfo(summaries)]).toString();

it("is what the library would format, whatever a label is", async () => {
  const summaries = [
    of("db", true),
    of("cache", false, "shop"),
    of("new", undefined, 'a "quoted"\nline\\with all'),
  ];
  const registry = new Registry();
  const gauge = new Gauge({
    name: "sealed_secrets_controller_condition_info",
    help: "Condition Synced of each SealedSecret: -1 false, 0 unknown or absent, 1 true.",
    labelNames: ["namespace", "name", "condition", "ss_app_kubernetes_io_instance"],
    registers: [registry],
  });
  for (const [index, { namespace, name, instance }] of summaries.entries()) {
    const labels = { namespace, name, condition: "Synced" };
    gauge.set({ ...labels, ss_app_kubernetes_io_instance: instance }, [1, -1, 0][index] ?? NaN);
  }
  expect(formatted(summaries)).toBe(await registry.metrics());
});

it("comes in pieces, with nothing lost between them", () => {
  const summaries = Array.from({ length: 10_000 }, (_, index) => of(`db-${index}`, true));
  const pieces = [...conditionInfo(summaries)];
  expect(pieces.length).toBeGreaterThan(10);
  const names = formatted(summaries).match(/(?<=,name=")[^"]+/g);
  expect(names).toEqual(summaries.map(({ name }) => name));
});

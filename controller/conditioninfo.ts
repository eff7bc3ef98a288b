// The metric with a series for each SealedSecret, of which there may be 100,000: formatted here, because
// a Gauge of the library keeps an object for each series and needs ten times as long.
// https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format"

import type { Summary } from "./summary.ts";

const NAME = "sealed_secrets_controller_condition_info";
const HELP = "Condition Synced of each SealedSecret: -1 false, 0 unknown or absent, 1 true.";
const PIECE_CHARACTERS = 65_536;

/** The metric in pieces, as small as chunks of a response are. */
export function* conditionInfo(sealedSecrets: Iterable<Summary>): Generator<Buffer> {
  let piece = `# HELP ${NAME} ${HELP}\n# TYPE ${NAME} gauge\n`;
  for (const sealedSecret of sealedSecrets) {
    piece += seriesOf(sealedSecret);
    if (piece.length < PIECE_CHARACTERS) continue;
    yield Buffer.from(piece);
    piece = "";
  }
  yield Buffer.from(piece);
}

function seriesOf({ namespace, name, instance, synced }: Summary): string {
  const labels = [
    `namespace="${escaped(namespace)}"`,
    `name="${escaped(name)}"`,
    `condition="Synced"`,
    `ss_app_kubernetes_io_instance="${escaped(instance)}"`,
  ];
  return `${NAME}{${labels.join(",")}} ${synced === undefined ? 0 : synced ? 1 : -1}\n`;
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));
}

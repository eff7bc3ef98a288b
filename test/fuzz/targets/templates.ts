// Templates: read and run within their budget, and no error quotes a value.

import { performance } from "node:perf_hooks";
import { FUNCTIONS, REFUSED_FUNCTIONS } from "../../../shared/template/functions.ts";
import { renderTemplates } from "../../../shared/template/template.ts";
import { mutateBytes } from "../mutate.ts";
import { seedsOf, vectorTexts } from "../material.ts";
import {
  attempt,
  bytesOf,
  CANARY,
  checkUntold,
  Find,
  type Target,
  textOf,
  toldBy,
} from "../target.ts";

const VALUES = new Map([
  ["password", bytesOf(CANARY)],
  ["user", bytesOf(`${CANARY}\n{"a": ["${CANARY}"]}`)],
  ["number", bytesOf("42")],
  ["binary", Uint8Array.of(0xff, 0, 0xfe)],
]);

const SEEDS = [
  "pg://{{ .user | urlquery }}:{{ .password }}@db",
  '{{- define "t" }}{{ .password | b64enc | quote }}{{ end -}}{{ template "t" . }}',
  '{{ range $i, $c := splitList "," .user }}{{ $i }}={{ $c | upper | trunc 5 }}{{ else }}none{{ end }}',
  '{{ $x := dict "a" (list 1 2 3) }}{{ with $x.a }}{{ index . 1 }}{{ end }}{{ printf "%-10.3v|%q" .number .password }}',
  '{{ if and (eq .number "42") (not .missing) }}{{ .password | sha256sum }}{{ else if gt (len .user) 3 }}x{{ end }}',
  '{{ regexReplaceAll "(a+)+b" .password "$1" }}{{ .user | fromJson | toPrettyJson }}',
  "{{/* comment */}}{{ break }}{{ .password | repeat 1000 | nindent 4 }}{{ atoi .number | add 1 | mul 3 }}",
  '{{ range until 100 }}{{ range until 100 }}x{{ end }}{{ end }}{{ fail .password }}{{ required .password "" }}',
];

const WORDS = [
  ...FUNCTIONS.keys(),
  ...REFUSED_FUNCTIONS.keys(),
  ...[
    "{{",
    "}}",
    "{{-",
    "-}}",
    ".password",
    ".user",
    "$",
    ":=",
    "=",
    "|",
    "(",
    ")",
    "range",
    "end",
  ],
  ...[
    "if",
    "else",
    "with",
    "define",
    "template",
    "block",
    "break",
    "continue",
    '"',
    "`",
    "'a'",
    "0x",
    "1i",
  ],
];

export const templates: Target = {
  name: "templates",
  seeds: () => seedsOf([...SEEDS, ...vectorTexts("object").filter((text) => text.includes("{{"))]),
  generate: (random, seeds) => mutateBytes(random, seeds, WORDS),
  short: 400,
  run: async (input) => {
    const source = textOf(input);
    const clock = (): number => performance.now();
    const rendered = await attempt(() =>
      renderTemplates(new Map([["item", source]]), VALUES, { clock }),
    );
    if ("value" in rendered) {
      const length = rendered.value.get("item")?.length ?? 0;
      if (length > 1024 * 1024) throw new Find(`the output has ${length} bytes`);
    } else if (!source.includes(CANARY)) {
      for (const error of rendered.errors) checkUntold(toldBy(error), "an error");
    }
  },
};

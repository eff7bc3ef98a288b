// Measures how the time of a function grows with its input.

/** Fragments that make a scanner look back, look ahead, nest or remember. */
export const FRAGMENTS: readonly string[] = [
  ...Array.from("\t \n\r,:-?#&*!|>%@`'\"{}[]()~\\/$<=.0a"),
  ...Array.from("\u0000\u0085\u2028\uFEFF\uD800é😀"),
  ...[
    "\r\n",
    "\t\n",
    " \t",
    "\n\t",
    "\n ",
    "\n\n ",
    "- ",
    "\n- ",
    "? ",
    "\n? ",
    ": ",
    "a: ",
    "\na:",
  ],
  ...[
    "a: b\n",
    "- a\n",
    "-\n",
    "---\n",
    "\n---",
    "...\n",
    "%YAML 1.1\n",
    "# a\n",
    "&a ",
    "*a ",
    "!t ",
  ],
  ...[
    "!!binary ",
    "&a a\n",
    "- *a\n",
    "<<: ",
    "|\n",
    ">\n ",
    "[\n",
    "{\n",
    "[a, ",
    "{a: ",
    "[]",
    "{},",
  ],
  ...["'a' ", '"a" ', '"\\\n', "''", '\\"', "\\u0041", "9", "1e9", "0x", "1_0", "1:0", "-1.", ".."],
  ...[
    "{{",
    "}}",
    "{{ a }}",
    "{{/*",
    "*/}}",
    "{{- ",
    '{{ "',
    "| a ",
    "${",
    "$(",
    "<path:",
    "://",
    "@",
    "a@",
  ],
  ...[
    "token",
    "token: ",
    "kind: Secret\n",
    "kind\n",
    "kind#",
    "*a :\n",
    "\\x41",
    "data:\n",
    '{{"a"|',
    "://a:",
    "Secret ",
    "stringData: ",
    "- kind: Secret\n  data: {a: b}\n",
  ],
  ...[
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN A PRIVATE KEY-----\n",
    "-----END CERTIFICATE-----",
    "-----",
    "PRIVATE KEY",
    "1h",
    "::",
    "##[",
    ";a=",
    "**/",
  ],
];

/** Fragments of templates, scripts and encodings, for what looks for plaintext in them. */
export const OF_TEMPLATES: readonly string[] = [
  ...['{{ "', "{{ or ", '{{ dict "a" (', '{{ printf "%s" (', "{{ ((", '{{ $a := "x" }}\n'],
  ...[
    "{% set a = 'x' %}\n",
    "'a' ~ ",
    "+ 'a'",
    "{{ $a }}\n",
    "{{ if a }}\n",
    "{{ else }}\n",
    "{{ end }}\n",
    "{# a #}",
    "[% if %]\n",
  ],
  ...["{% if %}\n", "#@ if\n", 'a: #@ "a"\n', "a: #@ ", "a: #@ base64.encode(", "a or ", ".a "],
  ...[
    "<%=",
    "<%= a || 'b' %>",
    "${a:",
    "${A:-",
    "${a.b:c",
    "$(echo ",
    '$(echo "',
    '? "a',
    "|| 'a",
    'base64encode("',
  ],
  ...["<<EOF\n", "<<EOF\nEOF\n", "-----BEGIN ", "((a", "((a))", "data:;base64,", "U2VjcmV0"],
  ...['resource "a" "b" {\n', "locals {\n", "a = {\n", "jsonencode({a=", "merge({", "/*", '"${'],
  ...['${"', "[for ", "a = ", "# a\n", "*/"],
  ...["default 'a' ", 'getenv "A" ', "ref+a://b", "__A", "@A", "#{a", "@timoni(", "your-", "://a@"],
];

/** Fragments of which each is tried together with each other one. */
export const PAIRED: readonly string[] = [
  ...["\n", " ", "a", "\\", '"', "{{", "}}", "[", "- ", "? ", "a: ", "|\n"],
  ...["kind: Secret\n", "data:\n", "= {", "<<A\n"],
];

/** The processor time that a function takes, in milliseconds. */
export function cpu(run: () => unknown): number {
  const before = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Times below this, in milliseconds, are noise. */
const NOISE_MS = 15;
/** The least of so many times counts: on a busy machine, one of a few is not enough. */
const ATTEMPTS = 24;
/** How much longer four times the input may take: n to the power of 1.32; n to that of 1.5 takes 8. */
const LIMIT = 6.25;

/**
 * The times for half of `size` and for twice that; undefined where they grow linearly, or are too
 * short to measure. A busy machine blurs the step from one size to its double, but not to four
 * times it.
 */
export function superlinear(
  run: (text: string) => void,
  input: (size: number) => string,
  size: number,
): string | undefined {
  const small = input(Math.floor(size / 2));
  const large = input(2 * size);
  let atSmall = Infinity;
  let atLarge = Infinity;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    atLarge = Math.min(
      atLarge,
      cpu(() => {
        run(large);
      }),
    );
    if (atLarge < NOISE_MS) return undefined;
    atSmall = Math.min(
      atSmall,
      cpu(() => {
        run(small);
      }),
    );
    if (atLarge <= LIMIT * Math.max(atSmall, NOISE_MS / LIMIT)) return undefined;
  }
  return `${atSmall.toFixed(1)} ms, then ${atLarge.toFixed(1)} ms`;
}

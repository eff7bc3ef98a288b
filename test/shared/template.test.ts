// What our templates refuse, how far they may go, and that their errors carry no value.
import { inspect } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ErrorCode, SignetError } from "../../shared/errors.ts";
import { FUNCTIONS, REFUSED_FUNCTIONS } from "../../shared/template/functions.ts";
import {
  DEFAULT_TEMPLATE_LIMITS,
  renderTemplate,
  renderTemplates,
  type TemplateOptions,
  type TemplateValues,
} from "../../shared/template/template.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

function render(
  source: string,
  values: Readonly<Record<string, string>> = {},
  options: TemplateOptions & { name?: string } = {},
): string {
  const asBytes = Object.fromEntries(Object.entries(values).map(([k, v]) => [k, bytes(v)]));
  return Buffer.from(renderTemplate(source, asBytes, options)).toString();
}

function failure(
  source: string,
  values: TemplateValues = {},
  options: TemplateOptions = {},
): SignetError {
  try {
    renderTemplate(source, values, options);
  } catch (error) {
    if (error instanceof SignetError) return error;
    throw error;
  }
  throw new Error("rendered");
}

const message = (source: string, values: Readonly<Record<string, string>> = {}): string =>
  failure(source, new Map(Object.entries(values).map(([k, v]) => [k, bytes(v)]))).message;

describe("renderTemplate", () => {
  test.each([
    ["plain text", "plain text"],
    ["", ""],
    ["user={{ .user }} pass={{ .pass | b64enc | quote }}", 'user=ann pass="czNjcmV0"'],
    ["{{- if .user }} {{ .user | upper }} {{- else }} nobody {{- end }}", " ANN"],
    ["{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}", "pass=s3cret;user=ann;"],
    ["{{ .none }}", "<no value>"],
    ["{{ index . `none` }}|", "|"],
    ['{{ define "line" }}<{{ . }}>{{ end }}{{ template "line" .user }}', "<ann>"],
    ["{{ range until 9 }}{{ if eq . 4 }}{{ break }}{{ end }}{{ . }}{{ end }}", "0123"],
    ['{{ printf "%-6s|%04d|%q" .user 42 "x" }}', 'ann   |0042|"x"'],
    ['{{ dict "u" .user "n" 1 | toJson }}', '{"n":1,"u":"ann"}'],
    ["{{/* a comment */ -}}   x", "x"],
  ])("renders %j", (source, output) => {
    expect(render(source, { user: "ann", pass: "s3cret" })).toBe(output);
  });

  test("passes every byte through, whatever its name", () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect(Buffer.from(renderTemplate('{{ index . "tls.key" }}', { "tls.key": all }))).toEqual(
      Buffer.from(all),
    );
    expect(Buffer.from(renderTemplate("{{ .bin | b64enc }}", new Map([["bin", all]])))).toEqual(
      bytes(Buffer.from(all).toString("base64")),
    );
  });

  test("takes a view of a larger buffer for just its part", () => {
    const view = new Uint8Array(bytes("xxsecretyy").buffer.slice(0)).subarray(2, 8);
    expect(Buffer.from(renderTemplate("{{ .v | len }}", { v: view })).toString()).toBe("6");
  });

  test("calls itself by its name", () => {
    const source = '{{ if kindIs "int" . }}{{ . }}{{ else }}{{ template "me" 1 }}{{ end }}';
    expect(render(source, {}, { name: "me" })).toBe("1");
  });

  test("gives the same bytes every time, maps included", () => {
    const source = "{{ $d := dict `b` 1 `a` 2 `c` 3 }}{{ keys $d }}{{ values $d }}{{ $d }}";
    expect(render(source)).toBe("[a b c][2 1 3]map[a:2 b:1 c:3]");
  });

  test.each([
    "{{ .constructor }}",
    "{{ .__proto__ }}",
    "{{ .toString }}",
    "{{ .hasOwnProperty.call }}",
    '{{ (dict "a" 1).constructor }}',
    '{{ (dict "__proto__" (dict "x" 1)).x }}',
    '{{ (fromJson "{\\"__proto__\\":{\\"x\\":1}}").x }}',
    '{{ $d := dict }}{{ $_ := set $d "__proto__" (dict "polluted" 1) }}{{ (dict).polluted }}',
    '{{ (merge (dict) (fromJson "{\\"__proto__\\":{\\"polluted\\":1}}")).polluted }}',
    '{{ (split "," "a").constructor }}',
  ])("knows no prototype: %s", (source) => {
    expect(render(source)).toBe("<no value>");
    expect(Object.prototype).not.toHaveProperty("polluted");
  });

  test("knows no prototype in regular expressions' group names or in function names", () => {
    expect(
      render('{{ regexReplaceAll "(a)" "a" "[$constructor$§toString}]" }}'.replace("§", "{")),
    ).toBe("[]");
    for (const name of ["constructor", "__proto__", "valueOf", "hasOwnProperty"]) {
      expect(message(`{{ ${name} }}`)).toBe(`line 1: function "${name}" not defined`);
    }
  });
});

describe("a template's errors", () => {
  test.each([
    ["{{ fail .password }}", "line 1: the template called fail"],
    ["a\nb {{ index (list 1) 99 }}", "line 2: index: out of range"],
    ["{{ .password | atoi | list | first | upper }}", "line 1: upper: wrong type of argument"],
    ["\n\n{{ nosuch 1 }}", 'line 3: function "nosuch" not defined'],
    ['{{ env "HOME" }}', 'line 1: function "env" not defined'],
    ['{{ expandenv "$HOME" }}', 'line 1: function "expandenv" not defined'],
    ['{{ getHostByName "a" }}', 'line 1: function "getHostByName" not defined'],
    ["{{ if true }}", "line 1: unexpected end of the template"],
    ["{{ .a }", "line 1: unclosed action"],
    ["{{ mustFromJson .password }}", "line 1: mustFromJson: not valid JSON"],
    ["{{ regexFind .password `a` }}", "line 1: regexFind: not a valid regular expression"],
    ["{{ .password.x }}", "line 1: .x: this type has no such field"],
    ["{{ div 1 0 }}", "line 1: div: division by zero"],
    ["{{ semver .password }}", "line 1: semver: not a version"],
    ["{{ urlParse .password }}", "line 1: urlParse: not a URL"],
    ['{{ template "x" }}', "line 1: a template is not defined"],
    ["{{ $x }}", "line 1: undefined variable"],
    [
      "{{ now }}",
      'line 1: function "now" is not allowed: it would produce a different Secret at every reconcile',
    ],
    ["{{ date `2006` `x` }}", "line 1: date: not a date"],
    ["{{ 1i }}", "line 1: complex numbers are not supported"],
    ['{{ printf "%p" (list) }}', "line 1: printf: %p would print a different address every time"],
  ])("%j: %s", (source, expected) => {
    const error = failure(source, { password: bytes("(%zz SECRET") });
    expect(error.message).toBe(expected);
    expect(error.code satisfies ErrorCode).toBe("template-failed");
    expect(error.cause).toBeUndefined();
  });

  test("name every refused function when parsing, even where it would not run", () => {
    expect([...REFUSED_FUNCTIONS.keys()].sort().join(" ")).toBe(
      "ago bcrypt buildCustomCert derivePassword encryptAES genCA genCAWithKey genPrivateKey " +
        "genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey htpasswd now " +
        "randAlpha randAlphaNum randAscii randBytes randInt randNumeric shuffle uuidv4",
    );
    for (const [name, reason] of REFUSED_FUNCTIONS) {
      expect(FUNCTIONS.has(name)).toBe(false);
      expect(message(`{{ if false }}{{ ${name} }}{{ end }}`)).toBe(
        `line 1: function "${name}" is not allowed: ${reason}`,
      );
    }
  });

  // Letters that no message of ours contains, so that four of them in a row are a leak.
  const MARKER = "zqxjkvwzQXJKV7zqkx";
  const PIECES = new RegExp(
    Array.from({ length: MARKER.length - 3 }, (_, i) => MARKER.slice(i, i + 4)).join("|"),
    "i",
  );
  const ARGUMENTS = [
    ".secret",
    ".json",
    ".list",
    "(list .secret)",
    '(dict "k" .secret)',
    "(fromJson .json)",
    '(dict .secret "x")',
    "1",
    "-1",
    '""',
    "nil",
    "true",
    "1.5",
    "99999999",
    ".missing",
  ];
  const values = {
    secret: bytes(MARKER),
    json: bytes(`{"${MARKER}":["${MARKER}"]}`),
    list: bytes(`${MARKER},${MARKER}`),
  };

  function expectNoLeak(source: string): void {
    let caught: unknown;
    try {
      renderTemplate(source, values);
      return;
    } catch (error) {
      caught = error;
    }
    if (!(caught instanceof SignetError)) throw new Error("not our error");
    const { stack, cause, hint, place } = caught;
    const shown = [caught.message, stack, hint, JSON.stringify(place), inspect(cause)]
      .join("\n")
      .replaceAll(source, "");
    if (PIECES.test(shown)) throw new Error(`an error of ${source} carries a value`);
  }

  test("carry no value, whichever function is called with it", () => {
    const names = [...FUNCTIONS.keys()];
    expect(names.length).toBeGreaterThan(200);
    let calls = 0;
    for (const name of names) {
      for (const first of ARGUMENTS) {
        for (const second of ["", ...ARGUMENTS]) {
          expectNoLeak(`{{ ${name} ${first} ${second} }}`);
          calls += 1;
        }
      }
    }
    expect(calls).toBe(names.length * ARGUMENTS.length * (ARGUMENTS.length + 1));
  });

  test("carry no value in random templates", () => {
    const argument = fc.constantFrom(...ARGUMENTS);
    const name = fc.constantFrom(...FUNCTIONS.keys());
    const { pipeline } = fc.letrec<{ call: string; pipeline: string }>((tie) => ({
      call: fc
        .tuple(name, fc.array(fc.oneof(argument, tie("call")), { maxLength: 4 }))
        .map(([called, given]) => `(${called} ${given.join(" ")})`),
      pipeline: fc
        .tuple(
          fc.constantFrom(
            "{{ § }}",
            "{{ range § }}{{ .x.y }}{{ end }}",
            "{{ with § }}{{ .x }}{{ end }}",
            "{{ if § }}{{ .secret.x }}{{ end }}",
            "{{ § | index . }}",
            "{{ template `a` § }}",
            "{{ (§).foo }}",
          ),
          fc.oneof(argument, tie("call")),
        )
        .map(([form, inner]) => form.replace("§", () => inner)),
    }));
    fc.assert(fc.property(pipeline, expectNoLeak), { numRuns: 5000, seed: 3 });
  });
});

describe("a template's budget", () => {
  const limits = DEFAULT_TEMPLATE_LIMITS;

  test.each([
    ["{{ range until 1000000000 }}x{{ end }}", /too much work/],
    ["{{ range 1000000000 }}{{ end }}", /too much work/],
    ["{{ seq 1000000000 }}", /too much work/],
    ["{{ untilStep 0 1000000000 1 }}", /too much work/],
    ['{{ repeat 1000000000 "abc" }}', /too much text/],
    ['{{ repeat 1000000000000000000 "" }}', undefined],
    ['{{ $x := "ab" }}{{ range until 60 }}{{ $x = repeat 2 $x }}{{ end }}', /too much (text|work)/],
    ['{{ $x := "ab" }}{{ range until 60 }}{{ $x = cat $x $x }}{{ end }}', /too much (text|work)/],
    ['{{ $x := "ab" }}{{ range until 60 }}{{ $x = print $x $x }}{{ end }}', /too much (text|work)/],
    [
      '{{ $x := "\'" }}{{ range until 60 }}{{ $x = $x | quote | quote }}{{ end }}',
      /too much (text|work)/,
    ],
    ["{{ $x := list 1 }}{{ range until 60 }}{{ $x = concat $x $x }}{{ end }}", /too much work/],
    [
      "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}{{ $x }}",
      /too much work/,
    ],
    [
      "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}{{ toJson $x }}",
      /too much work/,
    ],
    [
      "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}{{ deepCopy $x }}",
      /too much work/,
    ],
    [
      "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}{{ deepEqual $x (list $x) }}",
      undefined,
    ],
    ['{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}', /nested too deeply/],
    ['{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ toJson $d }}', /nested too deeply/],
    ['{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ deepCopy $d }}', /nested too deeply/],
    [
      '{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $e := dict }}{{ $_ := set $e "d" $e }}{{ deepEqual $d $e }}',
      /nested too deeply/,
    ],
    [
      '{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $e := dict }}{{ $_ := set $e "d" $e }}{{ merge $d $e }}',
      /nested too deeply/,
    ],
    ['{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}', /too deeply/],
    [
      '{{ define "a" }}{{ template "a" . }}{{ template "a" . }}{{ end }}{{ template "a" . }}',
      /too deeply/,
    ],
    [
      '{{ define "a" }}{{ if lt (len .) 40 }}{{ template "a" (print . "x") }}{{ template "a" (print . "y") }}{{ end }}{{ end }}{{ template "a" "" }}',
      /too much work/,
    ],
    [`{{ ${"(".repeat(5000)}1${")".repeat(5000)} }}`, /nested too deeply/],
    [`${"{{ if 1 }}".repeat(5000)}${"{{ end }}".repeat(5000)}`, /nested too deeply/],
    [`{{ 1 ${"| list ".repeat(5000)} }}`, /nested too deeply/],
    ['{{ printf "%1000000d%1000000d" 1 1 }}', /too much (text|work)/],
    ['{{ printf "%.1000000f" 1.5 }}', /precision/],
    ['{{ indent 1000000000 "a" }}', /too much text/],
    ['{{ replace "" (repeat 1000 "y") (repeat 100000 "x") }}', /too much (text|work)/],
    ['{{ wrapWith 1 (repeat 1000 "y") (repeat 100000 "x") }}', /too much (text|work)/],
    ['{{ join (repeat 10000 "x") (until 9000) }}', /too much (text|work)/],
    ['{{ regexReplaceAll "" (repeat 9000 "x") (repeat 9000 "y") }}', /too much (text|work)/],
    [
      '{{ regexMatch "((((a{0,99}){0,99}){0,99}){0,99}){0,99}" "b" }}',
      /pattern is too large|not a valid/,
    ],
    ['{{ regexFindAll "x*y|x" (repeat 500000 "x") -1 }}', /too much work/],
    ['{{ regexMatch "(x+x+)+y" (repeat 20000 "x") }}', undefined],
    ["{{ uniq (until 30000) }}", /too much work/],
    ['{{ semverCompare (repeat 300 "  1.2.3,") "1" }}', /too long/],
    ['{{ semverCompare (repeat 120 " 1.2.3 ") "1" }}', undefined],
    [
      "{{ mulf 1.1 1.1 1.1 | int }}{{ range until 100000 }}{{ mulf 1e300 1e300 }}{{ end }}",
      /too much work|failed/,
    ],
    ['{{ fromJson (repeat 100000 "[") }}', undefined],
    ['{{ toJson (fromJson (print (repeat 50000 "[") (repeat 50000 "]"))) }}', /nested too deeply/],
    ["{{ range until 20000 }}{{ dateInZone `15:04` 0 `Asia/Tokyo` }}{{ end }}", /too much work/],
    [Array.from({ length: 2000 }, (_, i) => `{{ $v${i} := 1 }}`).join(""), /too many variables/],
    ['{{ atoi (repeat 500000 "9") }}', undefined],
    ['{{ int (repeat 500000 "9") }}', undefined],
    ['{{ trim (repeat 500000 " ") }}{{ snakecase (repeat 200000 "aB") }}', undefined],
  ])("stops or finishes %j soon", (source, pattern) => {
    const before = process.cpuUsage();
    if (pattern === undefined) renderTemplate(source, {});
    else expect(failure(source).message).toMatch(pattern);
    // Of the processor's time: other programs may hold up this one.
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(20_000);
  });

  test("holds for the source and the output too", () => {
    const small = { ...limits, maxOutputBytes: 100 };
    expect(render("x".repeat(100), {}, { limits: small })).toHaveLength(100);
    expect(failure("x".repeat(101), {}, { limits: small }).message).toMatch(/too long/);
    expect(
      failure("{{ .v }}{{ .v }}", { v: bytes("x".repeat(60)) }, { limits: small }).message,
    ).toBe("line 1: the template produces too much text");
  });

  test("counts time where there is a clock, and only there", () => {
    let now = 0;
    const clock = (): number => (now += 10);
    const source = "{{ range until 5000 }}{{ end }}";
    expect(render(source)).toBe("");
    const slow = failure(source, {}, { clock, limits: { ...limits, maxMs: 50 } });
    expect(slow.message).toBe("line 1: until: the template takes too long");
  });
});

describe("the templates of one object", () => {
  const failureOf = (templates: ReadonlyMap<string, string>): SignetError => {
    try {
      renderTemplates(templates, { v: bytes("hunter2") });
    } catch (error) {
      if (error instanceof SignetError) return error;
      throw error;
    }
    throw new Error("rendered");
  };
  const many = (count: number, source: string): Map<string, string> =>
    new Map(Array.from({ length: count }, (_, i) => [`item${i}`, source]));

  test("share one budget of steps", () => {
    const source = "{{ range until 9000 }}{{ end }}";
    expect(renderTemplates(many(1, source), {}).size).toBe(1);
    const error = failureOf(many(60, source));
    expect(error.message).toContain("the template does too much work");
    expect(error.place.field).toMatch(/^spec\.template\.data\.item\d$/);
  });

  test("share one limit of output", () => {
    const source = `{{ repeat 600000 "x" }}`;
    expect(renderTemplates(many(1, source), {}).get("item0")?.length).toBe(600_000);
    const error = failureOf(many(2, source));
    expect(error.message).toBe("the templates together produce too much text");
    expect(error.place.field).toBe("spec.template.data.item1");
  });

  test("cost no more if there are more of them than the budget allows", () => {
    const took = (count: number): number => {
      const startedMs = performance.now();
      failureOf(many(count, "{{ range until 9000 }}{{ end }}"));
      return performance.now() - startedMs;
    };
    took(30);
    expect(took(1200)).toBeLessThan(10 * took(60) + 200);
  });
});

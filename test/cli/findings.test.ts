import { describe, expect, it } from "vitest";
import { type Checked, type Finding, FORMATTERS } from "../../cli/checks/findings.ts";

const checked: Checked = {
  command: "verify",
  what: "2 files",
  files: 2,
  counts: { files: 2 },
  passed: ["good & <fine>.yaml"],
};

const findings: readonly Finding[] = [
  {
    rule: "malformed",
    severity: "error",
    file: 'a "b"/c,d:e%f#g.yaml',
    line: 7,
    object: "shop/db",
    message: "50% of <it>\nis & was?",
  },
  { rule: "unknown-key", severity: "warning", file: "b.yaml", message: "is not known" },
  { rule: "unknown-key", severity: "warning", file: "b.yaml", message: "is not known" },
];

/** The names of the elements of well-formed XML in their order; throws where it is not. */
function elements(text: string): string[] {
  const body = text.replace(/^<\?xml [^>]*\?>\n/, "");
  const names: string[] = [];
  const open: string[] = [];
  const token = /<(\/?)([a-z-]+)((?: [a-z]+="[^"<>]*")*)(\/?)>|([^<>]+)/gy;
  let at = 0;
  for (let match = token.exec(body); match !== null; match = token.exec(body)) {
    at = token.lastIndex;
    const [, closes, name = "", attributes = "", empty, inner = ""] = match;
    if (/&(?!(lt|gt|amp|quot|#35);)/.test(attributes + inner)) throw new Error("a bare &");

    if (/[\0-\x08\x0b-\x1f]/.test(attributes + inner)) throw new Error("a control character");
    if (name === "") continue;
    if (closes === "/") {
      if (open.pop() !== name) throw new Error(`</${name}> closes another`);
    } else {
      names.push(name);
      if (empty !== "/") open.push(name);
    }
  }
  if (at !== body.length || open.length > 0) throw new Error(`not well-formed at ${at}`);
  return names;
}

it("tells as JSON all that is known", () => {
  expect(JSON.parse(FORMATTERS.json(findings, checked, false))).toEqual({
    checked: "2 files",
    files: 2,
    findings: findings.map((finding) => ({ code: finding.rule, ...finding })),
  });
});

describe("commands of GitHub Actions", () => {
  it("are a line each, escaped", () => {
    expect(FORMATTERS.github(findings, checked, false).split("\n")).toEqual([
      '::error file=a "b"/c%2Cd%3Ae%25f#g.yaml,line=7,title=malformed::shop/db: 50%25 of <it>%0Ais & was?',
      "::warning file=b.yaml,title=unknown-key::is not known",
      "::warning file=b.yaml,title=unknown-key::is not known",
      "",
    ]);
  });

  it("are none where nothing is found", () => {
    expect(FORMATTERS.github([], checked, false)).toBe("");
  });
});

describe("a Code Quality report of GitLab", () => {
  interface Entry {
    readonly fingerprint: string;
    readonly severity: string;
    readonly location: unknown;
  }
  const report = (of: readonly Finding[]): Entry[] =>
    JSON.parse(FORMATTERS.gitlab(of, checked, false)) as Entry[];

  it("has a line for each finding, and a fingerprint of its own", () => {
    const entries = report(findings);
    expect(entries.map(({ severity }) => severity)).toEqual(["critical", "minor", "minor"]);
    expect(entries[1]?.location).toEqual({ path: "b.yaml", lines: { begin: 1 } });
    expect(new Set(entries.map(({ fingerprint }) => fingerprint)).size).toBe(3);
  });

  it("keeps a fingerprint where the line alone changes", () => {
    const moved = findings.map((finding) => ({ ...finding, line: 99 }));
    expect(report(moved).map(({ fingerprint }) => fingerprint)).toEqual(
      report(findings).map(({ fingerprint }) => fingerprint),
    );
  });

  it("is an empty list where nothing is found", () => {
    expect(report([])).toEqual([]);
  });
});

it("tells SARIF readers each rule once, and files as addresses", () => {
  const { version, runs } = JSON.parse(FORMATTERS.sarif(findings, checked, false)) as {
    version: string;
    runs: {
      tool: { driver: { name: string; rules: unknown } };
      results: {
        ruleId: string;
        level: string;
        locations: { physicalLocation: { artifactLocation: { uri: string } } }[];
      }[];
    }[];
  };
  expect(version).toBe("2.1.0");
  expect(runs[0]?.tool.driver.rules).toEqual([{ id: "malformed" }, { id: "unknown-key" }]);
  expect(runs[0]?.results.map(({ level }) => level)).toEqual(["error", "warning", "warning"]);
  const uri = runs[0]?.results[0]?.locations[0]?.physicalLocation.artifactLocation.uri ?? "";
  expect(uri).toBe("a%20%22b%22/c%2Cd%3Ae%25f%23g.yaml");
  expect(new URL(uri, "file:///").hash).toBe("");
});

describe("a report of JUnit", () => {
  it("is well-formed XML, with what passed as well", () => {
    const names = elements(FORMATTERS.junit(findings, checked, false));
    expect(names.slice(0, 3)).toEqual(["testsuites", "testsuite", "testcase"]);
    expect(names.filter((name) => name === "testcase")).toHaveLength(4);
    expect(elements(FORMATTERS.junit([], { ...checked, passed: [] }, false))).toEqual([
      "testsuites",
      "testsuite",
    ]);
  });

  it("fails for what fails the check: errors, and warnings where they are strict", () => {
    const failures = (strict: boolean): number =>
      elements(FORMATTERS.junit(findings, checked, strict)).filter((name) => name === "failure")
        .length;
    expect(failures(false)).toBe(1);
    expect(failures(true)).toBe(3);
    expect(FORMATTERS.junit(findings, checked, false)).toContain('tests="4" failures="1"');
    expect(FORMATTERS.junit(findings, checked, true)).toContain('tests="4" failures="3"');
  });
});

describe("what a stranger wrote", () => {
  const text = '\u001B[31m\n::stop-commands::x\r\n##[group]y\u0007\u202E\u2028##vso[task]%0A]]>&<"';
  const hostile: Finding = {
    rule: "malformed",
    severity: "error",
    file: text,
    line: 1,
    object: text,
    message: text,
  };
  const names = ["json", "github", "gitlab", "sarif", "junit"] as const;

  it.each(names)("neither moves a terminal nor commands a forge, as %s", (name) => {
    const output = FORMATTERS[name]([hostile], { ...checked, passed: [text] }, false);
    expect(output).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
    expect(output).not.toMatch(/##[a-z]*\[/i);
    const commands = output.split("\n").filter((line) => /^\s*::/.test(line));
    expect(commands.map((line) => line.split(" ")[0])).toEqual(
      name === "github" ? ["::error"] : [],
    );
  });

  it("is one line and one value of a property on GitHub", () => {
    const output = FORMATTERS.github([hostile], checked, false);
    const [, properties = "", message = ""] = /^::error (.*?)::(.*)\n$/.exec(output) ?? [];
    expect(properties.split(",").map((each) => each.split("=")[0])).toEqual([
      "file",
      "line",
      "title",
    ]);
    expect(properties).toContain("%0A%3A%3Astop-commands%3A%3Ax%0D%0A");
    expect(message).toContain("%250A]]>");
  });

  it("is whole in JSON, and well-formed in XML", () => {
    const { findings: told } = JSON.parse(FORMATTERS.json([hostile], checked, false)) as {
      findings: unknown;
    };
    expect(told).toEqual([{ code: hostile.rule, ...hostile }]);
    const [entry] = JSON.parse(FORMATTERS.gitlab([hostile], checked, false)) as {
      location: unknown;
    }[];
    expect(entry?.location).toEqual({ path: text, lines: { begin: 1 } });
    expect(elements(FORMATTERS.junit([hostile], { ...checked, passed: [text] }, false))).toEqual([
      "testsuites",
      "testsuite",
      "testcase",
      "testcase",
      "failure",
    ]);
  });
});

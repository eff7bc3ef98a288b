// The chart's policies for Gatekeeper and Kyverno, judged by the programs of both as the cluster's
// own webhooks would: each case alike.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  caseTitle,
  POLICY_NAMESPACE,
  POLICY_NAMESPACES,
  POLICY_VALUES,
  type PolicyCase,
  policyCases,
  type PolicyObject,
} from "../policies/cases.ts";
import { partPath } from "../parts/parts.ts";
import { runToEnd } from "../cluster/program.ts";
import { renderObjects } from "./helm.ts";

interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly enforcementAction?: string; readonly validationActions?: string[] };
}

const CASES = await policyCases();
const NAMESPACES = Object.entries(POLICY_NAMESPACES).map(([name, labels]) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { ...labels, "kubernetes.io/metadata.name": name } },
}));
const directory = mkdtempSync(join(tmpdir(), "policies-"));

afterAll(() => {
  rmSync(directory, { recursive: true });
});

const render = (engine: string, values: object = POLICY_VALUES): Rendered[] =>
  renderObjects({ ...values, "policies.engine": engine }, POLICY_NAMESPACE) as Rendered[];

/** The name by which the other files of the folder speak of it. JSON is YAML. */
function write(name: string, content: unknown): string {
  writeFileSync(join(directory, name), JSON.stringify(content));
  return name;
}

function reviewOf({ object, old, user }: PolicyCase): object {
  const { kind, metadata } = object;
  const [group, version] = kind === "Secret" ? ["", "v1"] : ["bitnami.com", "v1alpha1"];
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: "1",
      kind: { group, version, kind },
      resource: { group, version, resource: `${kind.toLowerCase()}s` },
      name: metadata.name,
      namespace: metadata.namespace,
      operation: old === undefined ? "CREATE" : "UPDATE",
      userInfo: { username: user?.name, groups: user?.groups },
      object,
      ...(old === undefined ? {} : { oldObject: old }),
    },
  };
}

/** `refusals`: names of what refused it, with the words. */
function expectVerdict({ refusedBy, says }: PolicyCase, refusals: [string, string][]): void {
  if (refusedBy === undefined) {
    expect(refusals).toEqual([]);
    return;
  }
  expect(refusals).toHaveLength(1);
  const [name, words] = refusals[0] ?? ["", ""];
  expect(name).toMatch(new RegExp(`^signet-${refusedBy}`));
  expect(says).toBeDefined();
  expect(words).toContain(says);
  expect(words).not.toMatch(/hunter2|aHVudGVyMg/);
}

describe("Gatekeeper", () => {
  const all = render("Gatekeeper");
  const templates = all.filter(({ kind }) => kind === "ConstraintTemplate");
  const constraints = all.filter(({ apiVersion }) => apiVersion.startsWith("constraints."));
  /** Each constraint's tests, in which nothing is expected, so that each violation is told. */
  async function verify(): Promise<string> {
    const inventory = NAMESPACES.map((each) => write(`${each.metadata.name}.json`, each));
    const cases = CASES.map((each, i) => ({
      name: `case-${i}`,
      object: write(`case-${i}.json`, reviewOf(each)),
      inventory,
      assertions: [{ violations: "no" }],
    }));
    const tests = constraints.map((constraint) => {
      const { kind, metadata } = constraint;
      const template = templates.find(({ metadata: { name } }) => name === kind.toLowerCase());
      return {
        name: metadata.name,
        template: write(`${kind}.json`, template),
        constraint: write(`${metadata.name}.json`, constraint),
        cases,
      };
    });
    const suite = { apiVersion: "test.gatekeeper.sh/v1alpha1", kind: "Suite", tests };
    const path = join(directory, write("suite.yaml", suite));
    return (await runToEnd([partPath("gator"), "verify", "-v", path])).stdout;
  }

  /** By the case: the names of the constraints that refuse it, with their words. */
  function parseViolations(output: string): Map<string, [string, string][]> {
    const found = new Map<string, [string, string][]>();
    let constraint = "";
    let name = "";
    for (const line of output.split("\n")) {
      constraint = /^=== RUN +(\S+)$/.exec(line)?.[1] ?? constraint;
      name = /^ +--- (?:PASS|FAIL): (\S+)/.exec(line)?.[1] ?? name;
      if (!found.has(name) && name !== "") found.set(name, []);
      const words = /got messages \[(.*)\]$/.exec(line)?.[1];
      if (words !== undefined) found.get(name)?.push([constraint, words]);
    }
    return found;
  }

  let violations: Map<string, [string, string][]>;

  beforeAll(async () => {
    const output = await verify();
    violations = parseViolations(output);
    const verdicts = output.match(/^ +--- (PASS|FAIL): case-/gm) ?? [];
    expect(verdicts.length).toBe(CASES.length * constraints.length);
  });

  it.each(CASES.map((each, i) => [caseTitle(each), i, each] as const))("%s", (_, i, each) => {
    const refusals = violations.get(`case-${i}`) ?? [];
    expectVerdict(each, refusals);
  });

  it("has a constraint for each policy, and for each kind of namespace", () => {
    expect(constraints.map(({ metadata }) => metadata.name).sort()).toEqual([
      "signet-hybrid",
      "signet-key-size",
      "signet-plaintext-secrets",
      "signet-scopes-namespace-wide",
      "signet-scopes-selector",
      "signet-scopes-strict",
    ]);
  });

  it.each([
    ["Deny", "deny"],
    ["Warn", "warn"],
    ["Audit", "dryrun"],
  ])("is told to %s in its own word", (action, word) => {
    const specs = render("Gatekeeper", { "policies.action": action }).flatMap(({ spec }) =>
      spec?.enforcementAction === undefined ? [] : [spec.enforcementAction],
    );
    expect(new Set(specs)).toEqual(new Set([word]));
  });

  it("tells of what is there already, but not of Secrets, whose maker it does not know", async () => {
    const there = CASES.flatMap(({ old }) => (old === undefined ? [] : [old]));
    const files = [...templates, ...constraints, ...NAMESPACES, ...there].map((object, i) =>
      write(`there-${i}.json`, object),
    );
    const flags = files.map((file) => `--filename=${join(directory, file)}`);
    const { stdout } = await runToEnd([partPath("gator"), "test", "--output=json", ...flags]);
    const told = JSON.parse(stdout) as { violatingObject: PolicyObject }[];
    const names = told.map(({ violatingObject: { kind, metadata } }) => [kind, metadata.name]);
    expect(names.filter(([kind]) => kind !== "SealedSecret")).toEqual([]);
    expect(new Set(names.map(([, name]) => name))).toEqual(
      new Set(
        there.flatMap(({ metadata: { name } }) =>
          /^(scope-(?!widened)|key-|hybrid-old)/.test(name) ? [name] : [],
        ),
      ),
    );
  });

  it("takes its kinds from templates that come first, if need be", () => {
    const values = { "policies.gatekeeper.constraints": false };
    const kinds = render("Gatekeeper", values).map(({ apiVersion }) => apiVersion);
    expect(kinds).toContain("templates.gatekeeper.sh/v1");
    expect(kinds.filter((version) => version.startsWith("constraints."))).toEqual([]);
  });
});

interface Verdict {
  readonly policy: string;
  readonly status: string;
  readonly message: string;
}

describe("Kyverno", () => {
  const policies = render("Kyverno").filter(({ kind }) => kind === "ValidatingPolicy");
  let verdicts: Verdict[][];

  beforeAll(async () => {
    const reviews = CASES.map(reviewOf);
    const stdin = JSON.stringify({ policies, namespaces: NAMESPACES, reviews });
    const { stdout, stderr } = await runToEnd([partPath("kyverno-review")], { stdin });
    if (stdout === "") throw new Error(stderr);
    verdicts = JSON.parse(stdout) as Verdict[][];
  });

  it.each(CASES.map((each, i) => [caseTitle(each), i, each] as const))("%s", (_, i, each) => {
    const said = verdicts[i] ?? [];
    expect(said.map(({ policy }) => policy).sort()).toEqual(
      each.object.kind === "Secret"
        ? ["signet-plaintext-secrets"]
        : ["signet-hybrid", "signet-key-size", "signet-scopes"],
    );
    const refusals = said.filter(({ status }) => status !== "pass");
    expect(refusals.filter(({ status }) => status !== "fail")).toEqual([]);
    expectVerdict(
      each,
      refusals.map(({ policy, message }) => [policy, message]),
    );
  });

  it.each([
    ["Deny", ["Deny"]],
    ["Warn", ["Warn", "Audit"]],
    ["Audit", ["Audit"]],
  ])("is told to %s in its own words", (action, words) => {
    const all = render("Kyverno", { "policies.action": action });
    const actions = all.flatMap(({ spec }) =>
      spec?.validationActions === undefined ? [] : [spec.validationActions],
    );
    expect(actions).toEqual([words, words, words]);
  });
});

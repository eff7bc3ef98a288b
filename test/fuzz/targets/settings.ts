// Settings that others write: signet.yaml and a kubeconfig.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { meaningBelow } from "../../../cli/repository/project.ts";
import { SignetError } from "../../../shared/errors.ts";
import { parseProject } from "../../../cli/repository/projectfile.ts";
import { loadKubeconfig, loadOwnConfig } from "../../../host/kubernetes/kubeconfig.ts";
import { currentContext } from "../../../host/kubernetes/kubeconfigfiles.ts";
import { mutateManifest } from "../mutate.ts";
import { fixture, seedsOf } from "../material.ts";
import { attempt, CANARY, checkUntold, type Target, textOf, toldBy } from "../target.ts";
import { isNamed } from "./manifests.ts";
import { parseManifests } from "../../../shared/manifest/manifest.ts";

const PROJECT = `clusters:
  prod: {certificate: certificates/prod.pem, url: https://signet.example.com, context: prod}
  dev: {certificate: certificates/dev.pem, controller: {name: signet, namespace: ops}}
paths:
  "clusters/{namespace}/**": prod
  "apps/*/dev-*.yaml": dev
scope: strict
newFile: "{cluster}/{namespace}/{name}.yaml"
maxKeyAge: 90d
scan: {allow: [{files: "test/**/*.yaml", reason: made up}]}
`;

const PATHS = [
  "clusters/prod/demo/db.yaml",
  `a/${"b/".repeat(200)}c.yaml`,
  `${"a".repeat(4000)}.yaml`,
  "-rf.yaml",
  "x\ny.yaml",
];

const KUBECONFIG = `apiVersion: v1
kind: Config
current-context: demo
clusters:
- {name: demo, cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: ${btoa(CANARY)}, proxy-url: "http://127.0.0.1:1"}}
contexts:
- {name: demo, context: {cluster: demo, user: demo, namespace: shop}}
users:
- {name: demo, user: {token: ${CANARY}, password: ${CANARY}, username: u, client-key-data: ${btoa(CANARY)}}}
- name: helper
  user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: "true", args: [a], env: [{name: A, value: ${CANARY}}]}}
`;

const WORDS = [
  ...[
    "clusters",
    "certificate",
    "context",
    "paths",
    "scan",
    "allow",
    "files",
    "reason",
    "namespace",
  ],
  ...[
    "**",
    "*",
    "?",
    "{a,b}",
    "[a-z]",
    "!(a)",
    "+(a)",
    "(a+)+c/*",
    "{cluster}",
    "{namespace}",
    "{name}",
  ],
  ...[
    "users",
    "user",
    "exec",
    "auth-provider",
    "token",
    "server",
    "current-context",
    "preferences",
  ],
];

export const projects: Target = {
  name: "projects",
  seeds: () =>
    seedsOf([PROJECT, "clusters: {}\n", "clusters: {a: }\npaths: {'**/{namespace}/*': a}\n"]),
  generate: (random, seeds) => mutateManifest(random, seeds, WORDS),
  short: 200,
  run: async (input) => {
    const read = await attempt(() => parseProject(textOf(input), "/nowhere"));
    if ("errors" in read) return;
    for (const { matches } of read.value.allow) for (const path of PATHS) matches(path);
    for (const path of PATHS) meaningBelow(read.value, path);
  },
};

let folder: string | undefined;

export const kubeconfigs: Target = {
  name: "kubeconfigs",
  seeds: () => seedsOf([KUBECONFIG, `# ${fixture("cert.pem").slice(0, 20)}\n${KUBECONFIG}`]),
  generate: (random, seeds) => mutateManifest(random, seeds, WORDS),
  short: 150,
  run: async (input) => {
    folder ??= mkdtempSync(join(tmpdir(), "signet-fuzz-kubeconfig-"));
    const kubeconfig = join(folder, "config");
    writeFileSync(kubeconfig, input);
    const read = [
      await attempt(() => loadKubeconfig({ kubeconfig })),
      await attempt(() => currentContext({ kubeconfig })),
    ];
    try {
      loadOwnConfig(kubeconfig);
    } catch (error) {
      // The controller ends with the message.
      read.push({ errors: [new SignetError("io", (error as Error).message)] });
    }
    const errors = read.flatMap((each) => ("errors" in each ? each.errors : []));
    const parsed = await attempt(() => parseManifests(textOf(input)).map(({ value }) => value));
    // What has no syntax has no names, and the canary may be anything in it.
    if ("value" in parsed && isNamed(parsed.value)) return;
    for (const error of errors) checkUntold(toldBy(error), "an error");
  },
  close: () => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    folder = undefined;
    return Promise.resolve();
  },
};

// The chart rendered by the real Helm, and the sets of values that between them turn each of its
// options on and off.

import { execFileSync, spawnSync } from "node:child_process";
import { loadAll } from "js-yaml";
import { partPath } from "../parts/parts.ts";

export const CHART = "charts/signet";
export const RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
/** Another one. */
const OTHER_RECIPIENT = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

/** The options of a helm command that set these values. */
export const asOptions = (values: object): string[] =>
  Object.entries(values).flatMap(([key, value]) => [
    "--set-json",
    `${key}=${JSON.stringify(value)}`,
  ]);

/** What the chart renders to, as it comes. @throws Error with Helm's words where it refuses */
export function renderObjects(values: object, namespace = "kube-system"): unknown[] {
  const args = ["template", "signet", CHART, "--namespace", namespace, ...asOptions(values)];
  const yaml = execFileSync(partPath("helm"), args, { encoding: "utf8", stdio: "pipe" });
  return loadAll(yaml).filter((document) => document !== null);
}

/** Helm's words when it refuses to render with these options. */
export function refusal(...options: string[]): { status: number | null; stderr: string } {
  const args = ["template", "signet", CHART, ...options];
  return spawnSync(partPath("helm"), args, { encoding: "utf8" });
}

/** As `refusal`, of values. */
export const refusalOf = (values: object): { status: number | null; stderr: string } =>
  refusal(...asOptions(values));

const PROMETHEUS = {
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } },
};

/** Everything that is more than the default. */
const EVERYTHING = {
  commonLabels: { team: "platform" },
  commonAnnotations: { contact: "platform@example.org" },
  "crds.annotations": { "argocd.argoproj.io/sync-options": "ServerSideApply=true" },
  replicas: 3,
  "podDisruptionBudget.maxUnavailable": "34%",
  "image.pullSecrets": ["registry", "mirror"],
  "image.digest": `sha256:${"a".repeat(64)}`,
  "sealingKeys.ttl": "8760h",
  "kubeClient.qps": -1,
  "kubeClient.burst": 100,
  extraArgs: ["--label-selector=team=a"],
  "service.annotations": { a: "b" },
  "service.port": 80,
  "containerPorts.http": 9080,
  "containerPorts.metrics": 9081,
  "ingress.enabled": true,
  "ingress.className": "nginx",
  "ingress.annotations": { a: "b" },
  "ingress.hosts": ["seal.example.org", "*.example.net"],
  "ingress.tls": [{ secretName: "seal-tls", hosts: ["seal.example.org"] }],
  "networkPolicy.enabled": true,
  "networkPolicy.ingressFrom": [{ ipBlock: { cidr: "10.0.0.0/24" } }],
  "networkPolicy.metricsFrom": [PROMETHEUS],
  "networkPolicy.egress.apiServerTo": [{ ipBlock: { cidr: "10.0.0.1/32" } }],
  "networkPolicy.egress.dnsTo": [{ namespaceSelector: {}, podSelector: {} }],
  "metrics.serviceMonitor.enabled": true,
  "metrics.serviceMonitor.interval": "1m",
  "metrics.serviceMonitor.scrapeTimeout": "20s",
  "metrics.serviceMonitor.labels": { release: "prometheus" },
  "metrics.serviceMonitor.annotations": { a: "b" },
  "metrics.serviceMonitor.relabelings": [{ action: "labeldrop", regex: "pod" }],
  "metrics.serviceMonitor.metricRelabelings": [{ action: "labeldrop", regex: "pod" }],
  "metrics.rules.enabled": true,
  "metrics.rules.labels": { release: "prometheus" },
  "metrics.rules.annotations": { a: "b" },
  "metrics.dashboard.enabled": true,
  "metrics.dashboard.annotations": { folder: "Secrets" },
  "metrics.service.annotations": { a: "b" },
  "recovery.recipients": [RECIPIENT, OTHER_RECIPIENT],
  "recovery.quorum": 2,
  "backup.enabled": true,
  "backup.recipients": [RECIPIENT],
  "backup.timeZone": "Europe/Berlin",
  "backup.storage.className": "fast",
  "backup.storage.annotations": { a: "b" },
  "backup.podAnnotations": { a: "b" },
  "serviceAccount.annotations": { a: "b" },
  podAnnotations: { a: "b" },
  podLabels: { a: "b" },
  priorityClassName: "important",
  runtimeClassName: "sandbox",
  dnsPolicy: "Default",
  nodeSelector: { "kubernetes.io/os": "linux" },
  tolerations: [{ key: "a", operator: "Exists", effect: "NoSchedule" }],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: "gpu", operator: "DoesNotExist" }] }],
      },
    },
  },
  topologySpreadConstraints: [
    { maxSkew: 1, topologyKey: "rack", whenUnsatisfiable: "ScheduleAnyway", labelSelector: {} },
  ],
};

/** By what each is for. What needs namespaces finds shop and billing. */
export const MATRIX: Readonly<Record<string, object>> = {
  "the defaults": {},
  "everything, cluster-wide": { ...EVERYTHING, namespaceSelector: "team in (a,b)" },
  "everything, in some namespaces": { ...EVERYTHING, namespaces: ["shop", "billing"] },
  "one replica": { replicas: 1 },
  "no budget": { "podDisruptionBudget.create": false },
  "HTTPS and tokens": {
    "tls.secretName": "signet-tls",
    requireToken: true,
    "ingress.enabled": true,
    "ingress.hosts": ["seal.example.org"],
  },
  "a policy that bounds nothing more than it must": {
    "networkPolicy.enabled": true,
    "networkPolicy.egress.enabled": false,
  },
  "a policy with its defaults": { "networkPolicy.enabled": true },
  "a backup with its defaults": { "backup.enabled": true, "backup.recipients": [RECIPIENT] },
  "a backup for those who may recover the keys": {
    "backup.enabled": true,
    "recovery.recipients": [RECIPIENT],
  },
  "a backup on a claim that is there, all copies kept": {
    "backup.enabled": true,
    "backup.recipients": [RECIPIENT],
    "backup.storage.existingClaim": "nfs",
    "backup.keep": 0,
  },
  "rights and account of someone else's": {
    "rbac.create": false,
    "serviceAccount.create": false,
    "serviceAccount.name": "given",
    "backup.enabled": true,
    "backup.recipients": [RECIPIENT],
    requireToken: true,
  },
  "no definition, and nobody through the API server": {
    "crds.create": false,
    "serviceProxier.subjects": [],
    "publishedCertificates.enabled": false,
  },
  "certificates published elsewhere, for nobody yet": {
    "publishedCertificates.name": "certificates",
    "publishedCertificates.namespace": "shop",
    "publishedCertificates.readers": [],
  },
  "policies of Kubernetes": { "policies.engine": "ValidatingAdmissionPolicy" },
  "policies of Kubernetes that warn, in some namespaces": {
    "policies.engine": "ValidatingAdmissionPolicy",
    "policies.action": "Warn",
    "policies.plaintextSecrets.namespaces": ["istio-system"],
    "policies.plaintextSecrets.managers": ["system:serviceaccounts:cert-manager"],
    "policies.scopes.widest": "strict",
    namespaces: ["shop", "billing"],
  },
  "other names": { nameOverride: "n", fullnameOverride: "o", "service.name": "y" },
};

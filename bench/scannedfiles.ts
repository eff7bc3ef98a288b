// The files that scanners.ts scans: the cases of test/fixtures/scan, with names and groups as in
// real repositories.
import { type ScanCase, scanCases } from "../test/cli/scancases.ts";
import type { Sample } from "./scantally.ts";

interface SampleFile extends Sample {
  /** Within `folder`. */
  readonly path: string;
  readonly text: string;
}

/** Groups by the title of a case; the first that fits counts. */
const GROUPS: readonly (readonly [RegExp, string])[] = [
  [/^chart:/, "templates of Helm charts"],
  [
    /^(rendered|values (of|for) a|values with extra|a helmfile|NOTES|Chart\.yaml|Helm)|chart/,
    "Helm: values, output",
  ],
  [/kustom|patch|generator|replacements/i, "Kustomize"],
  [/ansible|jinja|^(salt|erb)\b/i, "Ansible, Salt, Puppet"],
  [
    /cloud-init|^(talos|butane|ignition|k3s|kubevirt|cluster api)|talos/i,
    "machines: cloud-init, Talos",
  ],
  [/^(terraform|pulumi|crossplane|cloudformation)/i, "Terraform, Pulumi, Crossplane"],
  [/^(github|gitlab|tekton|argo workflows|azure|drone|concourse)/i, "pipelines"],
  [/^(argo cd|flux|openshift|an application)/i, "Argo CD, Flux, OpenShift"],
  [
    /^(sops|vault|external|1password|doppler|sealed|references|encrypted|a SealedSecret)/i,
    "SOPS, Vault and others",
  ],
  [
    /^(a dump|output|a console|an old kubectl|velero|json objects)|dump/i,
    "dumps and output of tools",
  ],
  [/script|here-document|dockerfile|vagrantfile/i, "scripts"],
];
const OTHERS = "other manifests and templates";

/** Names by the title and the text; the first that fits counts. */
const NAMES: readonly { readonly title?: RegExp; readonly text?: RegExp; readonly path: string }[] =
  [
    { title: /^chart: .*_helpers\.tpl/, path: "charts/shop/templates/_helpers.tpl" },
    { title: /^chart:/, path: "charts/shop/templates/secret.yaml" },
    { title: /^NOTES\.txt/, path: "charts/shop/templates/NOTES.txt" },
    { title: /^Chart\.yaml/, path: "charts/shop/Chart.yaml" },
    { title: /helmfile/, path: "helmfile.yaml" },
    { title: /language/, text: /^(# values|\{\{)/, path: "values/shop.yaml.gotmpl" },
    {
      title: /^(a chart's|values (of|for) a|values with extra|Helm values)/,
      path: "charts/shop/values.yaml",
    },
    { text: /^(resource|terraform) .*\{$/m, path: "main.tf" },
    { title: /^Terraform: a template file/, path: "templates/secret.yaml.tftpl" },
    { title: /^Terraform: .* JSON/, path: "main.tf.json" },
    { title: /^Ignition/, path: "config.ign" },
    { title: /Jsonnet, of which/, path: "secret.jsonnet" },
    { title: /template of JSON/, path: "secret.json.j2" },
    { text: /^#!/, path: "scripts/deploy.sh" },
    { text: /^FROM /, path: "Dockerfile" },
    { title: /Vagrantfile/, path: "Vagrantfile" },
    { text: /<%/, path: "templates/secret.yaml.erb" },
    { title: /^Salt/, path: "salt/shop/init.sls" },
    { text: /^\{%/m, path: "templates/secret.yaml.j2" },
    { title: /^GitHub/, path: ".github/workflows/deploy.yaml" },
    { title: /^GitLab/, path: ".gitlab-ci.yml" },
    { title: /^Azure/, path: "azure-pipelines.yml" },
    { title: /^Compose/, path: "compose.yaml" },
    { title: /^Ansible/, path: "roles/shop/tasks/main.yml" },
    { title: /^cloud-init/, path: "user-data.yaml" },
    { title: /^Butane/, path: "node.bu" },
    {
      text: /^(kind: Kustomization|secretGenerator:|patches\w*:|resources: \[)/m,
      path: "kustomization.yaml",
    },
    { text: /^\s*[[{]\s*(["\]}]|\{\s*")/, path: "secret.json" },
  ];
const MANIFEST = "deploy/secret.yaml";

/** @internal for its test */
export function nameOf({ title, text }: Pick<ScanCase, "title" | "text">): string {
  const name = NAMES.find(
    (each) => (each.title?.test(title) ?? true) && (each.text?.test(text) ?? true),
  );
  return name?.path ?? MANIFEST;
}

/** @internal for its test */
export function groupOf(title: string): string {
  return GROUPS.find(([fits]) => fits.test(title))?.[1] ?? OTHERS;
}

/** Whether an answer names a Secret in plain text; null if it says only that this is unknown. */
export function hasSecret(want: string): boolean | null {
  if (want === "nothing") return false;
  return /plaintext-secret|quoted-secret|last-applied|kustomize-/.test(want) ? true : null;
}

/** The cases for which it is known whether they contain a Secret. */
export function sampleFiles(): SampleFile[] {
  return scanCases().flatMap(({ title, want, text }, index) => {
    const known = hasSecret(want);
    if (known === null) return [];
    const folder = `${String(index).padStart(3, "0")}/`;
    return [
      { group: groupOf(title), hasSecret: known, folder, path: nameOf({ title, text }), text },
    ];
  });
}

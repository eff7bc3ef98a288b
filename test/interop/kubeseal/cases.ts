// The command lines that both kubeseals are given, and the inputs.

export interface Case {
  readonly name: string;
  /** Runs of the command one after another, in one folder; all but the last must succeed. */
  readonly commands: readonly Command[];
  /** Content of the files that exist at the start, in addition to the keys of test/fixtures. */
  readonly files: Readonly<Record<string, string>>;
  /**
   * The row of docs/kubeseal.md that describes the difference; the outputs must then really differ.
   */
  readonly differs?: string;
  /** What ours says on stderr where the row says so, or both do. */
  readonly says?: RegExp;
  /** Our exit status, where it is another than the original's. */
  readonly status?: number;
  /** Files are compared by what they mean: ours leaves comments and order alone. */
  readonly filesByMeaning?: boolean;
}

interface Command {
  readonly args: readonly string[];
  readonly stdin: string;
  readonly env: Readonly<Record<string, string>>;
}

type Options = Omit<Case, "name" | "commands" | "files"> & {
  readonly stdin?: string;
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
  readonly name?: string;
  /** Command lines to be run first, with their input. */
  readonly first?: readonly (readonly [string, string])[];
};

export const CASES: Case[] = [];

/** `line`: arguments, split at spaces. */
function add(line: string, options: Options = {}): void {
  const { stdin = "", env = {}, files = {}, name, first = [], ...rest } = options;
  const split = (text: string): string[] => text.split(" ").filter((arg) => arg !== "");
  const said = name ?? `${Object.entries(env).flat().join("=")} ${line} < ${summary(stdin)}`.trim();
  const alike = CASES.filter((each) => each.name.replace(/ #\d+$/, "") === said).length;
  CASES.push({
    name: alike === 0 ? said : `${said} #${alike + 1}`,
    commands: [
      ...first.map(([args, input]) => ({ args: split(args), stdin: input, env: {} })),
      { args: split(line), stdin, env },
    ],
    files,
    ...rest,
  });
}

const summary = (text: string): string => JSON.stringify(text).slice(0, 90);

const secret = (rest: string, head = "metadata: {name: db, namespace: demo}"): string =>
  `apiVersion: v1\nkind: Secret\n${head}\n${rest}\n`;
const PLAIN = secret("stringData: {password: hunter2}");
const NAMELESS = secret("stringData: {password: hunter2}", "metadata: {namespace: demo}");
const HOMELESS = secret("stringData: {password: hunter2}", "metadata: {name: db}");
const WIDE = secret(
  "stringData: {password: hunter2}",
  'metadata: {name: db, namespace: demo, annotations: {sealedsecrets.bitnami.com/cluster-wide: "true"}}',
);
const NAMESPACE_WIDE = WIDE.replace("cluster-wide", "namespace-wide");

// --- sealing: inputs by output forms by scopes
const INPUTS: Record<string, string> = {
  stringData: PLAIN,
  data: secret("data: {password: aHVudGVyMg==, empty: ''}"),
  "data and stringData": secret("data: {a: b2xk, b: b2xk}\nstringData: {a: new}"),
  binary: secret("data: {b: AAECAwT/}"),
  json: '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db","namespace":"demo"},"data":{"a":"eA=="}}',
  "json, two":
    '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","namespace":"demo"},"data":{"a":"eA=="}}\n' +
    '{"kind":"Secret","apiVersion":"v1","metadata":{"name":"b","namespace":"demo"},"data":{"a":"eQ=="}}\n',
  "two documents": `${PLAIN}---\n${PLAIN.replace("name: db", "name: other")}`,
  "comments and separators": `# first\n---\n---\n${PLAIN}---\n# nothing\n`,
  "of kubectl": secret(
    "data: {a: eA==}\ntype: Opaque",
    "metadata: {name: db, namespace: demo, creationTimestamp: null}",
  ),
  "of a cluster": secret(
    "data: {a: eA==}\ntype: Opaque",
    "metadata: {name: db, namespace: demo, uid: 1b2c, resourceVersion: '7', generation: 3, creationTimestamp: '2024-01-02T03:04:05Z', selfLink: /x, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u}], annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', keep: me}}",
  ),
  "labels, finalizers and more": secret(
    "data: {a: eA==}\ntype: kubernetes.io/tls\nimmutable: true",
    "metadata: {name: db, namespace: demo, generateName: d, labels: {z: a, app: x}, annotations: {note: 'a & <b>'}, finalizers: [x/y]}",
  ),
  "namespace-wide": NAMESPACE_WIDE,
  "cluster-wide": WIDE,
  "both scopes": WIDE.replace(
    "annotations: {",
    'annotations: {sealedsecrets.bitnami.com/namespace-wide: "true", ',
  ),
  "a scope that is not true": WIDE.replace('"true"', '"yes"'),
  "without a kind": "metadata: {name: db, namespace: demo}\nstringData: {a: x}\n",
  "numbers and truth": secret("stringData: {a: 5432, b: true, c: -7, d: 1.5, e: }"),
  "a name that is a number": secret("stringData: {a: x}", "metadata: {name: 5, namespace: demo}"),
  "a label that is a number": secret(
    "stringData: {a: x}",
    "metadata: {name: db, namespace: demo, labels: {number: 1}, annotations: {b: true}}",
  ),
  "several lines": secret('stringData:\n  a: |\n    one\n    two\n  b: "tab\\there\\n"'),
  unicode: secret('stringData: {a: "pässwörd 🔑"}'),
  "an item with every letter": secret("stringData: {A-z_0.9: x, .dot: z}"),
  "an anchor": secret("stringData: {a: &v x, b: *v}"),
  "carriage returns": PLAIN.replaceAll("\n", "\r\n"),
};
for (const [name, stdin] of Object.entries(INPUTS)) {
  const idle = name === "both scopes" || name === "a scope that is not true";
  const difference = idle ? { differs: "idle-annotations" } : {};
  for (const args of [
    "",
    "-o yaml",
    "--scope namespace-wide",
    "--scope=cluster-wide --format YAML",
    "-w out.json",
    "-w out.yaml",
  ]) {
    const differs = args.includes("--scope") ? {} : difference;
    add(`--cert cert.pem ${args}`, { stdin, name: `seal ${args}: ${name}`, ...differs });
  }
  const files = { "in.yaml": stdin };
  add("--cert cert.pem -f in.yaml", { files, name: `seal -f: ${name}`, ...difference });
}

// --- sealing: an annotation that the original does not know
add("--cert cert.pem -o yaml", {
  stdin: PLAIN.replace(
    "namespace: demo",
    "namespace: demo, annotations: {kube-signet/namespace-selector: team=a}",
  ),
  name: "seal: for labels of namespaces",
  differs: "selector-scope",
});

// --- sealing: names, namespaces, emptiness
add("--cert cert.pem --name other", { stdin: PLAIN });
add("--cert cert.pem --name other", { stdin: NAMELESS });
add("--cert cert.pem --name other", { stdin: INPUTS["two documents"] ?? "" });
add("--cert cert.pem", { stdin: NAMELESS, says: /missing metadata\.name in input Secret/ });
add("--cert cert.pem", { stdin: HOMELESS, says: /secret must declare a namespace/ });
add("--cert cert.pem -n here", { stdin: HOMELESS });
add("--cert cert.pem --namespace=here -o yaml", { stdin: HOMELESS });
add("--cert cert.pem -n demo", { stdin: PLAIN });
add("--cert cert.pem -n other", {
  stdin: PLAIN,
  says: /namespace mismatch: input secret is in namespace "demo" but "other" was specified/,
});
add("--cert cert.pem -n other --scope namespace-wide", {
  stdin: PLAIN,
  says: /namespace mismatch/,
});
add("--cert cert.pem -n other --scope cluster-wide", { stdin: PLAIN });
add("--cert cert.pem -n other --scope cluster-wide", { stdin: HOMELESS });
add("--cert cert.pem --scope cluster-wide", { stdin: HOMELESS });
add("--cert cert.pem", {
  stdin: secret(""),
  says: /secret\.data is empty in input Secret, assuming this is an error and aborting\. To work with empty data, --allow-empty-data can be used/,
});
add("--cert cert.pem", {
  stdin: secret("data: {}\nstringData: {}"),
  says: /secret\.data is empty/,
});
add("--cert cert.pem --allow-empty-data", { stdin: secret("") });
add("--cert cert.pem --allow-empty-data -o yaml", { stdin: secret("data:\n") });
add("--cert cert.pem --allow-empty-data=false", {
  stdin: secret(""),
  says: /secret\.data is empty/,
});
const KUBECONFIG = (namespace: string): string =>
  `apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- name: here\n  context: {cluster: c, user: u${namespace}}\n- name: there\n  context: {cluster: c, user: u, namespace: afar}\nclusters:\n- name: c\n  cluster: {server: "https://127.0.0.1:1"}\nusers:\n- name: u\n  user: {token: t}\n`;
for (const [files, env, args] of [
  [{ "config.yaml": KUBECONFIG(", namespace: home") }, {}, "--kubeconfig config.yaml"],
  [{ "config.yaml": KUBECONFIG("") }, {}, "--kubeconfig config.yaml"],
  [{ "config.yaml": KUBECONFIG("") }, {}, "--kubeconfig=config.yaml --context there"],
  [{ "config.yaml": KUBECONFIG(", namespace: home") }, { KUBECONFIG: "config.yaml" }, ""],
  [{ "config.yaml": KUBECONFIG(", namespace: home") }, { KUBECONFIG: "config.yaml" }, "-n mine"],
  [{ "config.yaml": KUBECONFIG("") }, { SEALED_SECRETS_KUBECONFIG: "config.yaml" }, ""],
  [
    { "config.yaml": KUBECONFIG("") },
    { KUBECONFIG: "config.yaml", SEALED_SECRETS_CONTEXT: "there" },
    "",
  ],
] as [Record<string, string>, Record<string, string>, string][]) {
  add(`--cert cert.pem ${args}`, { stdin: HOMELESS, files, env });
  add(`--cert cert.pem --raw --name db ${args}`, { stdin: "hunter2", files, env });
  add(`--cert cert.pem --raw --scope namespace-wide ${args}`, { stdin: "hunter2", files, env });
}
add("--cert cert.pem --kubeconfig none.yaml", { stdin: PLAIN });
add("--cert cert.pem --server https://127.0.0.1:1", { stdin: HOMELESS });

// --- sealing: certificates
add("--cert cert.pem", { stdin: PLAIN, env: { SEALED_SECRETS_SCOPE: "cluster-wide" } });
add("", { stdin: PLAIN, env: { SEALED_SECRETS_CERT: "cert.pem" } });
add("--cert cert.pem", { stdin: PLAIN, env: { SEALED_SECRETS_CERT: "none.pem" } });
add("--cert cert.pem", { stdin: PLAIN, env: { SEALED_SECRETS_FORMAT: "yaml" } });
add("--cert cert.pem -o json", { stdin: PLAIN, env: { SEALED_SECRETS_FORMAT: "yaml" } });
add("--cert cert.pem", { stdin: HOMELESS, env: { SEALED_SECRETS_NAMESPACE: "env" } });
add("--cert cert.pem -n arg", { stdin: HOMELESS, env: { SEALED_SECRETS_NAMESPACE: "env" } });
add("--cert cert.pem", {
  stdin: PLAIN,
  env: { SEALED_SECRETS_NAMESPACE: "env" },
  says: /namespace mismatch/,
});
add("--cert cert.pem", { stdin: PLAIN, env: { SEALED_SECRETS_SCOPE: "nonsense" } });
add("--cert cert.pem", { stdin: PLAIN, env: { SEALED_SECRETS_NAME: "env" } });
add("--cert cert.pem", { stdin: secret(""), env: { SEALED_SECRETS_ALLOW_EMPTY_DATA: "1" } });
add("--cert cert.pem", {
  stdin: secret(""),
  env: { SEALED_SECRETS_ALLOW_EMPTY_DATA: "maybe" },
  says: /secret\.data is empty/,
});
add("--cert cert.pem", {
  env: { SEALED_SECRETS_SECRET_FILE: "in.yaml" },
  files: { "in.yaml": PLAIN },
});
add("--cert cert.pem", { stdin: PLAIN, env: { SEALED_SECRETS_SEALED_SECRET_FILE: "out.yaml" } });
add("--cert none.pem", { stdin: PLAIN, says: /none\.pem: .*no such file or directory/ });
add("--cert /tmp", { stdin: PLAIN, says: /is a directory/ });
add("--cert key.pem", {
  stdin: PLAIN,
  says: /data does not contain any valid RSA or ECDSA certificates/,
});
add("--cert ec-cert.pem", { stdin: PLAIN, says: /expected RSA public key but found/ });
add("--cert expired-cert.pem", {
  stdin: PLAIN,
  says: /failed to encrypt using an expired certificate on December 30, 2019/,
});
add("--cert future-cert.pem", { stdin: PLAIN });
add("--cert http://127.0.0.1:1/cert.pem", { stdin: PLAIN, says: /127\.0\.0\.1:1\/cert\.pem/ });
add("--cert ftp://127.0.0.1/cert.pem", { stdin: PLAIN, says: /ftp/ });
add("--cert c:\\cert.pem", { stdin: PLAIN, says: /no such file/ });
add("", { stdin: PLAIN, says: /invalid configuration: no configuration has been provided/ });
add("--cert cert.pem --scope strict", { stdin: PLAIN });
for (const certificate of ["cert.pem", "ec-cert.pem", "expired-cert.pem", "two.pem"]) {
  const files = { "two.pem": "-" };
  if (certificate !== "ec-cert.pem") {
    add(`--fetch-cert --cert ${certificate}`, { files });
    add(`--fetch-cert --cert ${certificate} -w out.pem`, { files });
  }
}
add("--fetch-cert --cert none.pem", { says: /no such file or directory/ });
add("--fetch-cert", { says: /invalid configuration/ });

// --- raw
const BINARY = "\u0000\u0001\n two\r\n";
for (const stdin of ["hunter2", "", BINARY, "line\n"]) {
  add("--raw --cert cert.pem --namespace demo --name db", { stdin });
  add("--raw --cert cert.pem --scope namespace-wide -n demo", { stdin });
  add("--raw --cert cert.pem --scope cluster-wide", { stdin });
  add("--raw --cert cert.pem --scope cluster-wide --name x -n y", { stdin });
}
for (const from of ["value.txt", "key=value.txt", "=value.txt", "/dev/stdin"]) {
  add(`--raw --cert cert.pem --scope cluster-wide --from-file ${from}`, {
    stdin: "hunter2",
    files: { "value.txt": "from a file\n" },
  });
}
add("--raw --cert cert.pem --scope cluster-wide -w out.txt", { stdin: "hunter2" });
add("--raw --cert cert.pem --scope cluster-wide -o yaml", { stdin: "hunter2" });
add("--raw", {
  stdin: "hunter2",
  env: {
    SEALED_SECRETS_CERT: "cert.pem",
    SEALED_SECRETS_NAME: "db",
    SEALED_SECRETS_NAMESPACE: "demo",
  },
});
add("", {
  stdin: "hunter2",
  env: {
    SEALED_SECRETS_RAW: "true",
    SEALED_SECRETS_CERT: "cert.pem",
    SEALED_SECRETS_SCOPE: "cluster-wide",
  },
});
add("--raw --cert cert.pem -n demo", {
  stdin: "x",
  says: /must provide the --name flag with --raw and --scope strict/,
});
add("--raw --cert cert.pem --scope cluster-wide --from-file a --from-file b", {
  says: /must provide only one --from-file when encrypting a single item with --raw/,
});
add("--raw --cert cert.pem --scope cluster-wide --from-file a,b", {
  says: /must provide only one --from-file/,
});
add("--raw --cert cert.pem --scope cluster-wide --from-file none", {
  says: /none: .*no such file or directory/,
});
add("--cert cert.pem --from-file value.txt", { stdin: PLAIN, says: /--from-file requires --raw/ });
add("--raw --cert cert.pem --scope cluster-wide -f none", {
  says: /Could not read file specified with --secret-file/,
});
add("--raw --cert cert.pem --name db", { stdin: "x" });

// --- bad input, bad flags
add("--cert cert.pem -f none.yaml", { says: /Could not read file specified with --secret-file/ });
add("--cert cert.pem -o xml", { stdin: PLAIN, says: /unsupported output format: xml/ });
add("--cert cert.pem -w /none/such/out.yaml", { stdin: PLAIN, says: /no such file or directory/ });
for (const stdin of ["", "---\n", "# nothing\n", "\n\n"]) {
  add("--cert cert.pem", {
    stdin,
    says: /no secrets found\. Ensure the input is valid and UTF-8 encoded/,
  });
}
add("--cert cert.pem", { stdin: "just words", says: /error: / });
add("--cert cert.pem", { stdin: '{"kind":', says: /error: / });
add("--cert cert.pem", { stdin: "kind: Secret\n  broken: yes\n", says: /error: / });
add("--cert cert.pem", { stdin: secret("data: {password: '%%'}"), says: /base64/ });
add("--cert cert.pem", { stdin: secret("data: {password: hunter2!}"), says: /base64/ });
add("--cert cert.pem", { stdin: secret("stringData: {password: [hunter2]}"), says: /error: / });
add("--cert cert.pem", { stdin: secret("stringData: hunter2"), says: /error: / });
add("--cert cert.pem", {
  stdin: `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","namespace":"b"},"stringData":{"a":5}}`,
});
add("--cert cert.pem", { stdin: "\ufffe\u0000", says: /error: / });
for (const args of [
  "foo bar --cert cert.pem",
  "--cert cert.pem -",
  "-o=yaml --cert=cert.pem",
  "-oyaml --cert cert.pem",
  "--cert none.pem --cert cert.pem",
]) {
  add(args, { stdin: PLAIN });
}
for (const klog of [
  "-v 5",
  "-v=5",
  "--v=2",
  "-v5",
  "--logtostderr",
  "--logtostderr=false",
  "--alsologtostderr=true",
  "--log_dir /tmp",
  "--stderrthreshold 2",
  "--skip_headers",
  "--one_output",
  "--log_file_max_size 5",
  "--add_dir_header",
  "--skip_log_headers",
  "--disable-compression",
]) {
  add(`--cert cert.pem ${klog}`, {
    stdin: PLAIN,
    ...(/^--?v/.test(klog) ? { differs: "verbose" } : {}),
  });
}
add("--version");
add("--version --cert none.pem");
add("--version=true");
add("--version", { env: { SEALED_SECRETS_CERT: "none.pem" } });
add("", { env: { SEALED_SECRETS_VERSION: "true" } });
const FLAG_ERRORS: [string, RegExp][] = [
  ["--nope", /unknown flag: --nope/],
  ["--nope=secret", /unknown flag: --nope/],
  ["--constructor=secret", /unknown flag: --constructor/],
  ["-x", /unknown shorthand flag: 'x' in -x/],
  ["--cert", /flag needs an argument: --cert/],
  ["-o", /flag needs an argument: 'o' in -o/],
  [
    "--scope foo",
    /invalid argument "foo" for "--scope" flag: must be one of: strict, namespace-wide, cluster-wide/,
  ],
  [
    "--raw=maybe",
    /invalid argument "maybe" for "--raw" flag: strconv\.ParseBool: parsing "maybe": invalid syntax/,
  ],
  [
    "--v abc",
    /invalid argument "abc" for "-v, --v" flag: strconv\.ParseInt: parsing "abc": invalid syntax/,
  ],
  ["--=x", /bad flag syntax: --=/],
  ['--from-file a"b', /invalid argument .* for "--from-file" flag/],
];
for (const [args, says] of FLAG_ERRORS) add(args, { says, differs: "flag-errors" });
add("--help", { differs: "help" });
add("-h", { differs: "help" });
add("--rotate --version", {
  differs: "rotate-warning",
  says: /Flag --rotate has been deprecated, please use --re-encrypt instead/,
});

// --- merging
const SEAL_JSON: [string, string] = ["--cert cert.pem -w db.json", PLAIN];
const SEAL_YAML: [string, string] = ["--cert cert.pem -o yaml -w db.yaml", PLAIN];
const LABELLED = secret(
  "stringData: {kept: old, password: old}",
  "metadata: {name: db, namespace: demo, labels: {app: x}, annotations: {a: b}}",
);
const MORE = secret("stringData: {token: t0p, password: new}", "metadata: {name: whatever}");
const filesByMeaning = true;
for (const [file, first] of [
  ["db.json", SEAL_JSON],
  ["db.json", ["--cert cert.pem -w db.json", LABELLED]],
  ["db.json", ["--cert cert.pem --scope cluster-wide -w db.json", PLAIN]],
] as [string, [string, string]][]) {
  const scope = first[0].includes("cluster-wide") ? " --scope cluster-wide" : "";
  const options = { first: [first], filesByMeaning, stdin: MORE };
  add(`--cert cert.pem --merge-into ${file}${scope}`, options);
  add(`--cert cert.pem --merge-into ${file}${scope} -o json`, options);
  add(`--cert cert.pem --merge-into ${file}${scope} --name ignored`, options);
}
add("--cert cert.pem --merge-into db.yaml -o yaml", {
  first: [SEAL_YAML],
  filesByMeaning,
  stdin: MORE,
});
add("--cert cert.pem --merge-into db.yaml", {
  first: [SEAL_YAML],
  filesByMeaning,
  stdin: MORE,
  differs: "merge-format",
});
add("--cert cert.pem --merge-into none.yaml", { stdin: MORE, says: /none\.yaml: .*no such file/ });
add("--cert cert.pem --merge-into db.json -n other", {
  first: [SEAL_JSON],
  stdin: MORE,
  says: /namespace mismatch/,
});
add("--cert cert.pem --merge-into db.json", {
  first: [SEAL_JSON],
  stdin: "",
  says: /no secrets found/,
});
add("--cert cert.pem --merge-into db.json", {
  first: [SEAL_JSON],
  stdin: secret(""),
  says: /secret\.data is empty/,
});
add("--cert cert.pem --merge-into broken.json", {
  files: { "broken.json": "{" },
  stdin: MORE,
  says: /error: /,
});
add("--cert cert.pem --merge-into db.json", {
  first: [SEAL_JSON],
  stdin: secret("stringData: {t: x}", "metadata: {labels: {l: m}, annotations: {a: b}}"),
  differs: "merge-panic",
  status: 0,
  filesByMeaning,
});
add("--cert cert.pem --merge-into db.json", {
  first: [["--cert cert.pem --scope cluster-wide -w db.json", PLAIN]],
  stdin: MORE,
  differs: "merge-scope",
  filesByMeaning,
});
add("--cert cert.pem --merge-into db.json --scope cluster-wide", {
  first: [SEAL_JSON],
  stdin: MORE,
  differs: "merge-scope",
  status: 1,
  says: /scope/,
  filesByMeaning,
});
add("--cert cert.pem --merge-into db.json", {
  first: [SEAL_JSON],
  stdin: `${MORE}---\n${secret("stringData: {second: x}", "metadata: {name: db}")}`,
  status: 0,
  differs: "merge-documents",
  filesByMeaning,
});
add("--cert cert.pem --merge-into db.json -w db.json", {
  first: [SEAL_JSON],
  stdin: MORE,
  differs: "merge-output",
  filesByMeaning,
});

add("--cert cert.pem --merge-into two.yaml", {
  first: [["--cert cert.pem -o yaml -w two.yaml", INPUTS["two documents"] ?? ""]],
  stdin: MORE.replace("whatever", "other"),
  differs: "merge-documents",
  filesByMeaning,
});
add("--cert cert.pem --merge-into two.yaml", {
  first: [["--cert cert.pem -o yaml -w two.yaml", INPUTS["two documents"] ?? ""]],
  stdin: MORE,
  differs: "merge-documents",
  status: 1,
  says: /holds "demo\/db", "demo\/other"/,
});

// --- recovery
const KEYS = "--recovery-unseal --recovery-private-key";
for (const sealWith of ["", "--scope cluster-wide", "--scope namespace-wide", "-o yaml"]) {
  for (const input of ["stringData", "binary", "labels, finalizers and more", "several lines"]) {
    for (const unsealWith of [`${KEYS} key.pem`, `${KEYS}=other-key.pem,key.pem -o yaml`]) {
      add(`${unsealWith} -f sealed`, {
        name: `${unsealWith}: ${input} ${sealWith}`,
        first: [[`--cert cert.pem ${sealWith} -w sealed`, INPUTS[input] ?? ""]],
        differs: "recovery-owner",
      });
    }
  }
}
const SEALED: [string, string] = ["--cert cert.pem -w sealed", PLAIN];
for (const key of ["pkcs8.pem", "key-secret.yaml", "key-secret.json", "key-list.yaml"]) {
  add(`${KEYS} ${key} -f sealed`, { first: [SEALED], differs: "recovery-owner" });
}
add(`${KEYS} other-key.pem --recovery-private-key key.pem -f sealed`, {
  first: [SEALED],
  differs: "recovery-owner",
});
add("--recovery-unseal -f sealed", {
  first: [SEALED],
  env: { SEALED_SECRETS_RECOVERY_PRIVATE_KEY: "key.pem" },
  differs: "recovery-owner",
});
add(`${KEYS} key.pem -f sealed -w out.yaml`, { first: [SEALED], differs: "recovery-owner" });
add(`${KEYS} other-key.pem -f sealed`, { first: [SEALED], says: /no key could decrypt secret/ });
add("--recovery-unseal -f sealed", { first: [SEALED], says: /no key could decrypt secret/ });
add(`${KEYS} none.pem -f sealed`, { first: [SEALED], says: /none\.pem.*no such file/ });
add(`${KEYS} key.pem`, { stdin: "", differs: "nothing-to-do", status: 1 });
add(`${KEYS} key-recipe.yaml -f sealed`, {
  first: [["--cert other-cert.pem -w sealed", PLAIN]],
  differs: "recovery-keys",
  status: 0,
});
add(`${KEYS} key-secretlist.yaml -f sealed`, {
  first: [SEALED],
  differs: "recovery-keys",
  status: 0,
});
add(`${KEYS} two-keys.pem -f sealed`, {
  first: [["--cert other-cert.pem -w sealed", PLAIN]],
  differs: "recovery-keys",
  status: 0,
});
add(`${KEYS} key.pem -f sealed`, {
  name: "recovery of two documents",
  first: [["--cert cert.pem -o yaml -w sealed", INPUTS["two documents"] ?? ""]],
  differs: "recovery-documents",
});

// --- where ours is right, or stricter
add("--cert cert.pem", {
  stdin: `${PLAIN}---\nfoo: [\n---\n${PLAIN}`,
  differs: "broken-documents",
  status: 1,
});
add("--cert cert.pem", {
  stdin: secret("stringData: {a: x}").replace("kind: Secret", "kind: ConfigMap"),
  differs: "only-secrets",
  status: 1,
  says: /found ConfigMap/,
});
add("--cert cert.pem", {
  stdin: `apiVersion: v1\nkind: List\nitems:\n- ${JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { name: "a", namespace: "b" }, stringData: { c: "d" } })}\n`,
  differs: "lists",
  status: 0,
});
add("--cert cert.pem", {
  stdin: `apiVersion: v1\nkind: SecretList\nitems:\n- ${JSON.stringify({ metadata: { name: "a", namespace: "b" }, stringData: { c: "d" } })}\n`,
  differs: "lists",
  status: 0,
});
add("--cert cert.pem --scope strict", { stdin: WIDE, differs: "scope-strict" });
add("--cert cert.pem --scope strict", { stdin: NAMESPACE_WIDE, differs: "scope-strict" });
for (const value of ["yes", "0777", "1e3", "1.50", "0x1F", "1_000"]) {
  add("--cert cert.pem", {
    stdin: secret(`stringData: {a: ${value}}`),
    differs: "surprising-scalars",
    status: 1,
    says: /quotes/,
  });
}
for (const value of ["&hunter2", "!hunter2", "hunter2 #x", "|\n  b: x", "#hunter2", "x\t"]) {
  add("--cert cert.pem", {
    stdin: secret(`stringData:\n  a: ${value}`),
    differs: "lost-values",
    status: 1,
    says: /quotes/,
  });
}
for (const value of ["~", "null", "", "x # a comment", "1:30", "2020-01-01", "'&x' #y"]) {
  add("--cert cert.pem", { stdin: secret(`stringData:\n  a: ${value}`) });
}
add("--cert cert.pem", {
  stdin: secret("stringData: {a: x}\nstringData: {b: z}"),
  differs: "duplicate-keys",
  status: 1,
});
add("--cert cert.pem", {
  stdin: secret("stringDatas: {a: x}\nstringData: {b: z}"),
  differs: "unknown-fields",
  status: 1,
  says: /did you mean stringData/,
});
add("--cert cert.pem", {
  stdin: secret('stringData: {"bad key": x}'),
  differs: "impossible-names",
  status: 1,
});
// The certificate comes first, whatever else is wrong.
for (const line of [
  "--cert missing.pem",
  "--cert missing.pem --raw",
  "--cert missing.pem --merge-into missing.yaml",
  "--cert missing.pem -o xml",
]) {
  add(line, { says: /missing\.pem/ });
}
// Names that Kubernetes refuses: Helm, or a person, may still replace them.
for (const [name, namespace] of [
  ["A_B", "demo"],
  ['"{{ .Release.Name }}-db"', '"{{ .Release.Namespace }}"'],
  ["db", "Demo_1"],
  [`"${"n".repeat(300)}"`, "demo"],
  ['"a/b"', '"x y"'],
] as const) {
  const stdin = secret(
    "stringData: {password: hunter2}",
    `metadata: {name: ${name}, namespace: ${namespace}}`,
  );
  add("--cert cert.pem", { stdin });
  add("--cert cert.pem --scope namespace-wide -o yaml", { stdin });
  add("--merge-into ours.yaml -o yaml --cert cert.pem", {
    first: [["--cert cert.pem -o yaml -w ours.yaml", stdin]],
    stdin,
  });
  add("--recovery-unseal --recovery-private-key key.pem -f ours.yaml", {
    first: [["--cert cert.pem -o yaml -w ours.yaml", stdin]],
    differs: "recovery-owner",
  });
}
add("--cert cert.pem --name A_B -n Some_Where", { stdin: NAMELESS.replace("namespace: demo", "") });
add("--cert cert.pem --raw --name A_B -n Some_Where", { stdin: "hunter2" });
add("--cert cert.pem", {
  stdin: secret(
    "data: {a: eA==}",
    "metadata: {name: db, namespace: demo, managedFields: [{manager: m, operation: Update}]}",
  ),
  differs: "managed-fields",
});
add("--fetch-cert --cert key.pem", { differs: "fetch-cert", status: 1 });
add("--fetch-cert --cert /tmp", { says: /is a directory/ });
add("--cert cert.pem -w folder", {
  stdin: PLAIN,
  first: [["--cert cert.pem -w folder/x", PLAIN]],
  files: { "folder/y": "" },
  differs: "output-folder",
  status: 1,
});
add("--cert cert.pem -w kept.json", {
  stdin: PLAIN,
  files: { "kept.json": "{}\n" },
  differs: "output-mode",
});
add("--raw --cert cert.pem --scope cluster-wide --cert-fingerprint SHA256:none", {
  stdin: "x",
  differs: "fingerprint",
  status: 1,
  says: /does not match the expected fingerprint/,
});

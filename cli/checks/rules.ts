// The closed set of rules by which commands report findings, and what each says.
// `signet explain` prints it.

/** What a code means, for a person who met it in a message. */
export interface Explanation {
  /** What is wrong, in one sentence. */
  readonly means: string;
  /** How it comes about, and what it leads to. */
  readonly why: string;
  /** What to do. */
  readonly fix: string;
}

interface RuleWords extends Explanation {
  /** The commands that report it. */
  readonly from: readonly ("verify" | "scan" | "status" | "doctor")[];
}

const verify = (means: string, why: string, fix: string) =>
  ({ from: ["verify"], means, why, fix }) as const;

const doctor = (means: string, why: string, fix: string) =>
  ({ from: ["doctor"], means, why, fix }) as const;

const scan = (means: string, why: string, fix: string) =>
  ({ from: ["scan"], means, why, fix }) as const;

export const RULES = {
  "plaintext-secret": scan(
    "A Secret is in plain text.",
    "Anyone who can read the repository, or any copy of it, can read the values. base64 is not encryption.",
    'Seal it with "signet seal", remove the file, and change every value that was ever pushed: Git keeps the old commits. If the values are not secret, list the file under scan.allow in signet.yaml with a reason.',
  ),
  "quoted-secret": scan(
    "A text inside another object holds a Secret in plain text.",
    "Patches, ConfigMaps and objects that create other objects often quote a whole manifest. The quoted values are as readable as any other text.",
    "Take the Secret out, seal it, and refer to it by name. Change every value that was ever pushed.",
  ),
  "last-applied": scan(
    "An annotation holds a copy of a Secret in plain text.",
    '"kubectl apply" writes the whole manifest to the annotation kubectl.kubernetes.io/last-applied-configuration, so a manifest exported from a cluster can hold the values twice.',
    "Remove the annotation, seal the Secret, and change every value that was ever pushed.",
  ),
  "kustomize-literal": scan(
    "A secretGenerator of a Kustomization has a value in plain text.",
    "Kustomize builds a Secret from the literals in the file, so the values must be in the file.",
    'Replace the generator with a SealedSecret: "signet new" or "signet seal" makes one. Change every value that was ever pushed.',
  ),
  "kustomize-file": scan(
    "A file from which a Kustomization builds a Secret is in the repository.",
    "Its content is the value of an item, in plain text.",
    'Seal the file\'s content with "signet set FILE --from-file", remove the file and the generator, and change every value that was ever pushed.',
  ),
  "secret-command": scan(
    'A script creates a Secret with "kubectl create secret" and a literal value.',
    "The value is in plain text in the script, and in the process list of the machine that runs it.",
    "Seal the Secret and apply the SealedSecret, or let the script read the value from elsewhere.",
  ),
  "allowed-by-this-range": scan(
    "The commits add an entry to scan.allow in signet.yaml that covers plaintext of the same commits.",
    "Whoever proposes a change could hide a finding this way, so a reviewer should see both.",
    "Read the reason in signet.yaml. Accept the entry, or have the plaintext removed.",
  ),
  unreadable: {
    from: ["verify", "scan"],
    means: "A file cannot be read as a manifest, so it was not checked.",
    why: "It is damaged, has conflict markers, is a template or a link, or is written so that Kubernetes would read it differently from a person. Content that was not checked may include a Secret.",
    fix: "Correct the file at the line in the message. A skeleton or a template that is not meant to be read can be listed under verify.allow or scan.allow in signet.yaml.",
  },
  "not-followed": verify(
    "A Kustomization includes too much to follow.",
    "The number or depth of the Kustomizations that it includes is over a limit, so namespaces and prefixes that it adds were not checked.",
    "Split it, or check whether it includes itself.",
  ),
  "no-cluster": verify(
    "No path in signet.yaml matches the file.",
    "Commands do not know which cluster the file is for, so they cannot choose or check its key.",
    "Add a path for it to a cluster in signet.yaml, or move the file.",
  ),
  "no-name": verify(
    "A SealedSecret has no name.",
    "Kubernetes refuses an object without a name, and values in strict scope are sealed for a name.",
    "Set metadata.name to the name that the values were sealed for.",
  ),
  "wrong-namespace": verify(
    "A file's path and its manifest specify different namespaces.",
    "The path rule in signet.yaml derives the namespace from the path. The file may have been copied from elsewhere.",
    "Move the file, or seal its values for the namespace of the path.",
  ),
  "wrong-name": verify(
    "A file's path and its manifest specify different names.",
    "The path rule in signet.yaml derives the name from the path. The file may have been copied from elsewhere.",
    "Rename the file, or seal its values for the name of the path.",
  ),
  moved: verify(
    "A SealedSecret is in a place other than the one its values were sealed for.",
    "Namespace and name are part of the encryption. They were edited, or a Kustomization changes them, so no cluster can open the values.",
    'Undo the change, or seal the values for the new place: "signet seal" or "signet set" with the original values, or "signet reseal" where a cluster still opens them.',
  ),
  "dropped-field": verify(
    "A SealedSecret has a field that controllers ignore.",
    "The cluster drops unknown fields without an error, so the Secret lacks what the field was meant to set.",
    "Correct the spelling or the place of the field, or remove it.",
  ),
  "not-delivered": verify(
    "A SealedSecret asks for deliveries to other namespaces that no controller can make.",
    "The annotation kube-signet/deliver-to is not a selector that asks for a label, or the values are sealed for one namespace only. An annotation never carries a value out of the scope that it was sealed for.",
    'Correct the selector, such as "team in (a,b)", or seal the values again with --scope selector --selector, or cluster-wide.',
  ),
  duplicate: verify(
    "Two files declare the same SealedSecret.",
    "Whichever is applied last wins, and a change to the other has no effect.",
    "Remove one of them.",
  ),
  unstamped: verify(
    "A SealedSecret does not say which key sealed its values, or for which place.",
    "Other files in the repository do. The original kubeseal writes no such annotation, and an edit may have removed it. Without a key, no check can tell whether the values open.",
    'Run "signet reseal" or "signet set", which write it. If it came from the original kubeseal, "signet verify --live" asks the controller.',
  ),
  "no-items": verify(
    "A SealedSecret has no items.",
    "Its Secret will be empty, which is valid but rarely intended.",
    'Add items with "signet set", or remove the file.',
  ),
  malformed: verify(
    "A value is not a sealed value.",
    "It is plain text, was cut off or damaged, or has the wrong size for its key.",
    'Restore it from Git, or set it again with "signet set". If it is plain text, also change the value.',
  ),
  "wrong-cluster": verify(
    "A value is sealed with the key of another cluster.",
    "The file was copied from the folder of another cluster, or sealed with its certificate. The cluster it is for cannot open it.",
    'Seal the value with the right certificate: "signet set FILE ITEM".',
  ),
  "unknown-key": verify(
    "A value is sealed with a key whose certificate is not in the repository.",
    "The key was renewed and the repository does not have its certificate yet, or the value was sealed with a certificate of unknown origin.",
    'Run "signet cert refresh CLUSTER". If the finding stays, seal the value again with the certificate of the cluster.',
  ),
  "old-key": verify(
    "The key of a value is older than the policy allows.",
    "maxKeyAge in signet.yaml, or --max-key-age, limits how long a key is used.",
    'Run "signet cert refresh" to fetch the newest certificate, then "signet reseal".',
  ),
  "not-hybrid": verify(
    "A value is sealed with RSA alone, but the project requires the post-quantum key.",
    "Anyone who keeps a copy of the repository could open it once RSA can be broken. The rule is require in signet.yaml, or --require.",
    'Run "signet cert refresh" to fetch a certificate with a post-quantum key, then "signet reseal --algorithm hybrid".',
  ),
  "unknown-age": verify(
    "The age of a value's key is not known.",
    "The value does not say which key sealed it, as with values of the original kubeseal, so the policy on ages cannot be checked.",
    'Run "signet reseal", which seals it with the newest key and says so.',
  ),
  "certificate-file": verify(
    "A certificate file holds something that does not belong in it.",
    "It should contain only certificates, with the current one first. Everyone who can read the repository can read a private key in it.",
    'Remove the block, and run "signet cert refresh CLUSTER". If it is a private key, retire the key with "signet keys retire".',
  ),
  "certificate-short": verify(
    "The key of a certificate is too short.",
    "RSA keys of fewer than 2048 bits can be broken.",
    'Make a new key with "signet keys rotate", run "signet cert refresh" and "signet reseal", and change the values.',
  ),
  "certificate-not-hybrid": verify(
    "The current certificate has no post-quantum key, but an earlier certificate of the same cluster, in the file or in the last commits, has one.",
    "The controller no longer makes such keys, or someone removed the second key from the certificate in transit.",
    "Ask whoever runs the cluster. If the step back is intended, see docs/post-quantum.md for the order of steps.",
  ),
  "certificate-unknown": verify(
    "The controller does not hold the key of the certificate in the repository, or the controller could not be asked.",
    "If the controller does not hold the key, someone else added the certificate. They may have its private key, and could then read everything that is sealed with it.",
    'Find out who changed the file ("git log FILE"). Run "signet cert refresh CLUSTER", seal the values again, and change those that were sealed with it.',
  ),
  "certificate-former": verify(
    "The certificate in the repository belongs to a former key of the cluster.",
    "The cluster has renewed its key. Values sealed with the former key still open.",
    'Run "signet cert refresh CLUSTER", then "signet reseal".',
  ),
  "certificate-compromised": verify(
    "The key of the certificate in the repository is marked as compromised.",
    "Someone may have its private key, and could read everything that is sealed with it.",
    'Run "signet cert refresh CLUSTER" and "signet reseal", and change every value that was sealed with the key.',
  ),
  "certificate-unconfirmed": verify(
    "The key of the certificate in the repository is unconfirmed.",
    "It was added to the cluster as a Secret, not made by the controller. Whoever added it may have its private key.",
    'Run "signet cert refresh CLUSTER". If you know where the key comes from, confirm it with "signet keys adopt".',
  ),
  "no-recovery-file": verify(
    "The repository has no recovery file for a key that is in use.",
    "If the cluster is lost, nobody can open the values that are sealed with this key.",
    'Run "signet cert refresh CLUSTER", which fetches it from the cluster.',
  ),
  drill: verify(
    "Recovery of the keys has not been tested recently, or the last test failed.",
    "A backup that nobody has ever opened may not open. maxDrillAge in signet.yaml sets how often to test recovery.",
    'Run "signet keys drill --cluster CLUSTER --record" and commit the record.',
  ),
  "no-value": verify(
    'A template prints "<no value>".',
    "It names an item that the SealedSecret does not have, so the application would get that text.",
    "Correct the name in spec.template.data, or add the item.",
  ),
  "bad-template": verify(
    "The controller cannot render a template.",
    "It has a syntax error or calls an unknown function, so the controller would not update the Secret.",
    "Correct spec.template.data at the place in the message.",
  ),
  "nested-project": verify(
    "A signet.yaml is below another one.",
    "Commands refuse to run below it, because it could name different certificates than the one at the top.",
    "Move its content to the upper signet.yaml and remove it.",
  ),
  "does-not-open": verify(
    "The controller cannot open a SealedSecret.",
    "It was sealed for another cluster, namespace, name or scope, its key was removed, or it is damaged. For security the controller does not say which.",
    'Check namespace, name and scope, then seal the values again. If the key is gone, restore it with "signet keys restore".',
  ),
  "value-old": {
    from: ["verify", "status"],
    means: "A value is older than the project allows.",
    why: "rotation in signet.yaml sets the number of days after which a value must be changed. Git shows when a value last changed; re-sealing the same value with a newer key does not count as a change.",
    fix: 'Change the value where it is used, then run "signet set FILE ITEM" and commit.',
  },
  "value-due": {
    from: ["verify", "status"],
    means: "A value will soon be older than the project allows.",
    why: "rotation in signet.yaml sets the number of days after which a value must be changed, and that day is near.",
    fix: 'Plan the change. "signet set FILE ITEM" seals the new value.',
  },
  "value-age-unknown": {
    from: ["verify", "status"],
    means: "The age of a value cannot be determined from Git.",
    why: "The clone is shallow, or the file is not in a Git working tree, so the rule in signet.yaml cannot be checked.",
    fix: "In CI, clone with the whole history (fetch-depth: 0). Elsewhere, run: git fetch --unshallow.",
  },
  "not-synced": {
    from: ["status"],
    means: "The controller could not sync a SealedSecret as the repository declares it.",
    why: "The message of the cluster follows. Often the key is missing, the values were sealed for another place, or a Secret of that name already exists and is managed by something else.",
    fix: 'Read the message, and "kubectl describe sealedsecret". "signet verify --live" asks the controller which SealedSecrets do not open.',
  },
  "no-git": doctor(
    "Git is not installed, or the folder is not in a working tree.",
    "Without Git there is no history of values, no hook that checks commits, and no list of ignored files.",
    "Install Git, or run the command in a clone of the repository.",
  ),
  "no-hook": doctor(
    "No pre-commit hook checks what is committed.",
    "A Secret in plain text, or a sealed file that no cluster opens, would only be found in CI, after it was pushed.",
    'Run "signet git install". If another tool manages the hooks, let it run "signet git check".',
  ),
  "no-drivers": doctor(
    "The diff and merge drivers of sealed files are not installed in this clone.",
    "Git shows ciphertext in diffs and reports conflicts that could be merged item by item. Settings are not cloned, so everybody installs them once.",
    'Run "signet git install" and commit .gitattributes.',
  ),
  "no-editor": doctor(
    "The editor that VISUAL or EDITOR names was not found.",
    'Without an editor "signet edit" cannot run.',
    'Set VISUAL or EDITOR, or change values with "signet set".',
  ),
  "no-context": doctor(
    "The kubeconfig cannot be read, or lacks a context that signet.yaml names.",
    "Commands that ask a cluster would fail. Context names can differ between machines.",
    'Check "kubectl config get-contexts". Give the context the name that signet.yaml uses, or use --context.',
  ),
  unreachable: doctor(
    "A cluster or its controller did not answer as expected.",
    "The cluster is down, a firewall or proxy is in the way, the credentials have expired, or you lack a permission.",
    'Run "signet keys list --verbose" with the same cluster to see each step.',
  ),
  "old-version": doctor(
    "A program is older than Signet requires.",
    "Signet uses features that older versions do not have.",
    "Install the version in the message, or newer.",
  ),
  "bad-project": doctor(
    "signet.yaml is invalid.",
    "A field is unknown or has the wrong type, or the file is in a place where it is not allowed.",
    "Correct the field in the message.",
  ),
} as const satisfies Record<string, RuleWords>;

export type Rule = keyof typeof RULES;

// What each error code means, for `signet explain`.

import type { ErrorCode } from "../../../shared/errors.ts";
import type { Explanation } from "../../checks/rules.ts";

export const ERROR_WORDS: Readonly<Record<ErrorCode, Explanation>> = {
  usage: {
    means: "The command line is invalid.",
    why: "An option or argument is unknown, missing, or does not go with another.",
    fix: 'Read the hint, or the help: "signet COMMAND --help".',
  },
  "manifest-syntax": {
    means: "A manifest is not YAML or JSON that Kubernetes can parse.",
    why: "Often it is indentation, a missing quote, a tab, or conflict markers of Git.",
    fix: "Correct the line in the message. In a Helm template, render it first and pipe the result to signet.",
  },
  "manifest-ambiguous": {
    means: "Kubernetes would interpret part of a manifest differently than a person would.",
    why: "YAML reads some text without quotes as numbers, booleans or dates, and keeps only one of two equal keys. Signet refuses rather than seal a value that you did not mean.",
    fix: "Put the value in quotes, or remove the duplicate.",
  },
  "wrong-kind": {
    means: "The object is not of the expected kind.",
    why: "The command needs a Secret and got a SealedSecret, or the other way round, or another object.",
    fix: 'Name another file. "signet seal" takes Secrets; "set", "unset", "rename" and "edit" take SealedSecrets.',
  },
  "secret-invalid": {
    means: "A Secret is invalid or cannot be sealed.",
    why: "The API server would refuse it: a missing name, a bad item name, data that is not base64, or too many bytes. In strict scope, its namespace must be known too.",
    fix: "Correct the field in the message. Set the namespace with --namespace if the manifest has none.",
  },
  "sealedsecret-invalid": {
    means: "A SealedSecret is invalid.",
    why: "A field is missing, damaged, or has the wrong type.",
    fix: "Correct the field in the message, or restore the file from Git.",
  },
  "certificate-invalid": {
    means: "A certificate is missing, damaged, unsupported or not the expected one.",
    why: "The file is not a PEM certificate, or a fingerprint does not match the one that you required.",
    fix: 'Run "signet cert fetch" or "signet cert refresh CLUSTER", and compare the fingerprint with one from a trusted source.',
  },
  "certificate-expired": {
    means: "A certificate has expired.",
    why: "You can no longer seal with it, but existing secrets still open. The cluster renews its key long before, so the certificate in use is an old copy.",
    fix: 'Run "signet cert refresh CLUSTER", or fetch it again with "signet cert fetch".',
  },
  "key-invalid": {
    means: "A private key, or the Secret that holds it, is missing, damaged or unsupported.",
    why: "The file holds something else, the passphrase is wrong, or the backup does not contain the key.",
    fix: 'Name the right file. "signet keys list" shows the keys of a cluster.',
  },
  "decrypt-failed": {
    means: "No available key opens a value.",
    why: "The key is wrong, or the value was sealed for another name, namespace or scope, or it is damaged. The message is the same for all of these, so that it helps no attacker.",
    fix: 'Run "signet verify FILE" to see where the value was sealed for, and with which key. Use the key of that cluster, and the name and namespace the value was sealed for.',
  },
  "template-failed": {
    means: "spec.template.data cannot be rendered.",
    why: "A template has an error, or exceeds a limit of time or size.",
    fix: 'Correct the template. "signet verify" names the place.',
  },
  "project-invalid": {
    means: "signet.yaml is invalid, or required but missing.",
    why: "A field is unknown or has the wrong type, or the command needs to know the clusters of the repository.",
    fix: 'Correct the field in the message, or run "signet init".',
  },
  io: {
    means: "A file or folder cannot be read or written.",
    why: "It does not exist, permission is missing, the disk is full, or it leads out of the repository.",
    fix: "Check the path in the message.",
  },
  network: {
    means: "A server is unreachable or returned an unexpected response.",
    why: "The cluster is down, a firewall or proxy is in the way, the credentials have expired, or you lack a permission.",
    fix: 'Check that "kubectl get secrets" works with the same context. Run the command again with --verbose to see each step. With a certificate file (--cert FILE), sealing needs no network.',
  },
  cancelled: {
    means: "You cancelled the command.",
    why: "You pressed Ctrl-C at a prompt, or made no changes in the editor.",
    fix: "Nothing was changed. Run the command again.",
  },
  "check-found": {
    means: "A check ran and found problems.",
    why: "Each problem is listed, with its rule in brackets. The exit status is 3, so that scripts can tell it from a check that could not run.",
    fix: 'Fix the problems. "signet explain RULE" says how.',
  },
};

/** For unexpected errors, which have no code of their own. */
export const UNEXPECTED_WORDS: Explanation = {
  means: "Signet encountered an unexpected error.",
  why: "It is a bug in Signet, or an unusual condition of this machine. The message omits details, as they might quote a value.",
  fix: "Report it with the message and the command that you ran. The message contains no values.",
};

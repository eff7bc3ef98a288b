// `signet keys adopt`: lets a key in the cluster seal, or undoes that.
// SPEC.md, "Choosing a key".

import { SignetError } from "../../../shared/errors.ts";
import { CONFIRMED_ANNOTATION, HELD_KEY_LABELS, KEY_LABEL } from "../../../shared/keys/keyfile.ts";
import { patchKeySecret } from "../../cluster/apiobjects.ts";
import { say } from "../../terminal/messages.ts";
import { printJson } from "../../terminal/results.ts";
import {
  type ClusterKey,
  labelOf,
  readClusterKeys,
  sealingAfter,
  sealingNow,
  sealingWords,
  withConfirmation,
} from "./keysecrets.ts";
import { chooseKey, isWholeFingerprint } from "./choosekey.ts";
import { confirm, confirmPlace, type KeyPlace } from "./keyplace.ts";
import { untilReported } from "./untilreported.ts";

interface AdoptOptions extends KeyPlace {
  /** Undoes a confirmation, so that the key can only open. */
  readonly undo: boolean;
  readonly yes: boolean;
  readonly wait: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * `named`: a fingerprint, the beginning of one, or the name of the key Secret.
 * @throws SignetError usage, network, cancelled
 */
export async function runKeysAdopt(named: string, options: AdoptOptions): Promise<void> {
  const { undo, dryRun } = options;
  // Names and short fingerprints are only for a person, who sees which key is meant.
  if (options.yes && !undo && !isWholeFingerprint(named)) {
    throw new SignetError("usage", "--yes requires the full fingerprint of the key", {
      hint: "take it from where the key was created, not from the cluster",
    });
  }
  await confirmPlace(options);
  const { keys, broken } = await readClusterKeys(options);
  const fault = broken.get(named);
  if (fault !== undefined) throw fault;
  const chosen = chooseKey(
    keys.map((each) => ({
      ...each,
      secretName: each.secret.metadata.name,
      fingerprint: each.key.fingerprint,
    })),
    named,
    ({ secretName }) => secretName,
  );
  const { name } = chosen.secret.metadata;
  const { fingerprint } = chosen.key;
  if (!undo) checkMaySeal(chosen);
  const changed = withConfirmation(chosen, !undo);
  const before = await sealingNow(options, keys);
  const after = sealingAfter(keys, before, [changed]);
  const isDone = chosen.key.confirmed !== undo;
  say(`${options.controllerNamespace}/${name}: ${fingerprint}`);
  say(
    `created ${day(chosen.key.certificate?.notBefore)}, in the cluster since ${createdOf(chosen)}`,
  );
  for (const line of sealingWords(before, isDone ? before : after)) say(line);
  if (!isDone && !dryRun) {
    if (!options.yes) await ask(undo, fingerprint);
    await annotate(chosen, options);
    if (options.wait) await untilTaken(fingerprint, options);
  }
  const result = isDone ? "unchanged" : dryRun ? "would be changed" : "changed";
  if (options.json) {
    await printJson({ dryRun, secret: name, fingerprint, confirmed: !undo, result, before, after });
    return;
  }
  const use = undo ? "can only open" : "can seal";
  say(`${name}: ${isDone ? `already ${use}` : dryRun ? `would be changed: ${use}` : use}`);
}

/** @throws SignetError usage if the key can never seal, even if confirmed */
function checkMaySeal({ secret, key }: ClusterKey): void {
  const label = labelOf(secret);
  const reason = !HELD_KEY_LABELS.includes(label)
    ? `its label is "${label}": the controller does not load it`
    : key.compromised
      ? "it is marked as compromised"
      : key.certificate === null
        ? "it has no certificate"
        : null;
  if (reason === null) return;
  throw new SignetError("usage", `this key cannot seal: ${reason}`, {
    hint: `its label is ${KEY_LABEL}; see \`signet keys\``,
    place: { object: secret.metadata.name },
  });
}

const day = (date: Date | undefined): string =>
  date?.toISOString().slice(0, 10) ?? "at an unknown time";

function createdOf({ secret }: ClusterKey): string {
  const created = secret.metadata.rest["creationTimestamp"];
  return typeof created === "string" ? created.slice(0, 10) : "an unknown time";
}

async function ask(undo: boolean, fingerprint: string): Promise<void> {
  const question = undo
    ? `Stop ${fingerprint} from sealing?`
    : `Is ${fingerprint} your key? Anyone with its private half can read what it seals`;
  await confirm(question, {
    message: "standard input is not a terminal, so this change must be confirmed with --yes",
    hint: undo ? "use --yes" : `use --yes, with the full fingerprint: ${fingerprint}`,
  });
}

/** Changes the Secret only if it is still the one that was shown. @throws SignetError network */
async function annotate({ secret, key }: ClusterKey, options: AdoptOptions): Promise<void> {
  const { name, rest } = secret.metadata;
  const version = rest["resourceVersion"];
  if (typeof version !== "string") {
    throw new SignetError("network", "the API server returned no resourceVersion for this Secret", {
      place: { object: name },
    });
  }
  await patchKeySecret(options, name, {
    resourceVersion: version,
    annotations: { [CONFIRMED_ANNOTATION]: options.undo ? null : key.fingerprint },
  });
}

async function untilTaken(wanted: string, options: AdoptOptions): Promise<void> {
  await untilReported(options, "the Secret was changed", ({ keys }) =>
    keys.some(
      ({ fingerprint, state }) =>
        fingerprint === wanted && (state === "unconfirmed") === options.undo,
    ),
  );
}

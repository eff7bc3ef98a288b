// `signet keys retire`: retires an old sealing key that is no longer needed.
// SPEC.md, "Retirement of keys".

import { SignetError } from "../../../shared/errors.ts";
import { KEY_LABEL } from "../../../shared/keys/keyfile.ts";
import { WRAPPED_KEY_LABEL } from "../../../shared/keys/wrappedkey.ts";
import { patchKeySecret } from "../../cluster/apiobjects.ts";
import { blockersOf } from "../../repository/keyusage.ts";
import { findProject } from "../../repository/project.ts";
import { readSealedFiles } from "../../repository/sealedfiles.ts";
import { chooseKey } from "./choosekey.ts";
import { confirmPlace, type KeyPlace } from "./keyplace.ts";
import { printJson } from "../../terminal/results.ts";
import { say } from "../../terminal/messages.ts";
import {
  countWords,
  fetchKeyReport,
  type ReportedKey,
  type ValueCount,
} from "../../cluster/reportedkeys.ts";

interface RetireOptions extends KeyPlace {
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * `named`: a fingerprint, the beginning of one, or the name of the key Secret.
 * @throws SignetError check-found if it is still needed; usage, network
 */
export async function runKeysRetire(named: string, options: RetireOptions): Promise<void> {
  await confirmPlace(options);
  const { keys, unknown } = await fetchKeyReport(options);
  const key = chooseKey(keys, named, ({ secret }) => secret);
  const { secret, fingerprint, state } = key;
  const label = key.wrapped === null ? KEY_LABEL : WRAPPED_KEY_LABEL;
  if (state === "sealing") {
    throw new SignetError("usage", "this is the current sealing key, so new values would need it", {
      hint: "run `signet keys rotate` first to create another one",
    });
  }
  const blocked = [...blockedByCluster(key, unknown), ...blockedByFiles(fingerprint, options)];
  if (blocked.length > 0 && !options.force) {
    throw new AggregateError(
      blocked.map(
        (reason) =>
          new SignetError("check-found", reason, {
            hint: "run `signet reseal` to re-seal them, or use --force to retire the key anyway",
            place: { object: secret },
          }),
      ),
    );
  }
  if (!options.dryRun) {
    await patchKeySecret(options, secret, { labels: { [label]: "retired" } });
  }
  if (options.json) {
    await printJson({ dryRun: options.dryRun, secret, fingerprint, blocked });
    return;
  }
  const name = `${options.controllerNamespace}/${secret}`;
  say(
    options.dryRun
      ? `would retire ${name} (${fingerprint})`
      : `${name} is retired: the controller no longer uses it`,
  );
  say("its Secret was kept: back it up, as older commits may need the key");
  say(
    `undo with: kubectl label secret -n ${options.controllerNamespace} ${secret} ${label}=active --overwrite`,
  );
}

function blockedByCluster(key: ReportedKey, unknown: ValueCount): string[] {
  return [
    ...(key.values === 0 ? [] : [`${countWords(key)} in the cluster need it`]),
    ...(unknown.values === 0
      ? []
      : [`${countWords(unknown)} in the cluster cannot be opened, and may need it`]),
  ];
}

function blockedByFiles(fingerprint: string, { projectCluster }: RetireOptions): string[] {
  const project = findProject();
  if (project === null || projectCluster === null) return [];
  const inventory = readSealedFiles([], project);
  return blockersOf(inventory, projectCluster.name, fingerprint);
}

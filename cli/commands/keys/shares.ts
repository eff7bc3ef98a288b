// `signet keys shares` and `signet keys combine`: for keys that it takes several holders to recover.
// SPEC.md, "Recovery".

import { writeFiles } from "../../../host/writefiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import { formatShare, identitiesOf } from "../../../shared/keys/recoveryfiles.ts";
import { lockBackup } from "../../recovery/lock.ts";
import { clusterKeys } from "../../repository/clustercertificates.ts";
import { clusterNamed, needProject } from "../../repository/project.ts";
import { ownShares, readIdentities } from "../../repository/recoveredkeys.ts";
import { count } from "../../terminal/counts.ts";
import { advise, say } from "../../terminal/messages.ts";
import { printResult } from "../../terminal/results.ts";

interface SharesOptions {
  readonly cluster?: string;
  readonly recoveryIdentity: readonly string[];
  /** Who puts the shares together. */
  readonly recipient: readonly string[];
  readonly output?: string;
}

/** Opens the shares that are for these identities. @throws SignetError key-invalid where there are none */
export async function runKeysShares(options: SharesOptions): Promise<void> {
  const { cluster: name, recoveryIdentity, recipient, output } = options;
  if (name === undefined || recoveryIdentity.length === 0) {
    throw new SignetError("usage", "whose shares are to be opened, and of which cluster?", {
      hint: "say --cluster NAME --recovery-identity FILE",
    });
  }
  const project = needProject();
  const cluster = clusterNamed(project, name);
  const identities = await readIdentities(recoveryIdentity);
  const { known } = clusterKeys(project, cluster);
  const lines: string[] = [];
  for (const fingerprint of known.keys()) {
    const shares = await ownShares(project, { cluster, fingerprint }, identities);
    lines.push(...shares.map(formatShare));
  }
  if (lines.length === 0) {
    throw new SignetError("key-invalid", `no share of ${name} opens with these identities`, {
      hint: "without a quorum there are none: --recovery-identity opens the key itself",
    });
  }
  const text = lines.join("");
  if (recipient.length > 0) {
    await deliver(await lockBackup(text, { recipients: recipient }), output);
  } else {
    advise(
      "whoever has enough of these shares has the keys: hand them over encrypted (--recipient)",
    );
    await deliver(text, output);
  }
  say(`${count(lines.length, "share")} of ${count(known.size, "key")} of ${name}`);
}

interface CombineOptions {
  readonly output?: string;
}

/** Puts shares together to the age identities that open the keys' files. @throws SignetError key-invalid */
export async function runKeysCombine(
  files: readonly string[],
  { output }: CombineOptions,
): Promise<void> {
  const { shares } = await readIdentities(files);
  const fingerprints = [...new Set(shares.map((share) => share.fingerprint))];
  const lines: string[] = [];
  for (const fingerprint of fingerprints) {
    const of = shares.filter((share) => share.fingerprint === fingerprint);
    const identities: string[] = [];
    for await (const identity of identitiesOf(of)) identities.push(identity);
    if (identities.length === 0) {
      throw new SignetError(
        "key-invalid",
        `${count(of.length, "share")} of ${fingerprint} do not make its identity: too few, not of one set, or damaged`,
        { hint: `it takes ${of[0]?.quorum ?? 0}` },
      );
    }
    lines.push(`# opens the recovery file of ${fingerprint}\n${identities.join("\n")}\n`);
  }
  if (lines.length === 0) throw new SignetError("key-invalid", "there is no share in these files");
  advise("whoever has these identities has the keys: remove them when you are done");
  await deliver(lines.join(""), output);
}

async function deliver(text: string, output: string | undefined): Promise<void> {
  if (output === undefined) await printResult(text);
  else await writeFiles([{ path: output, root: undefined, text, mode: 0o600 }]);
}

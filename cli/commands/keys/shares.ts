// `signet keys shares` and `signet keys combine`: for keys whose recovery requires several holders.
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
  /** age recipients: the people who combine the shares. */
  readonly recipient: readonly string[];
  readonly output?: string;
}

/** Opens the shares that are for these identities. @throws SignetError key-invalid if there are none */
export async function runKeysShares(options: SharesOptions): Promise<void> {
  const { cluster: name, recoveryIdentity, recipient, output } = options;
  if (name === undefined || recoveryIdentity.length === 0) {
    throw new SignetError("usage", "--cluster and --recovery-identity are required", {
      hint: "use --cluster NAME --recovery-identity FILE",
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
    throw new SignetError("key-invalid", `these identities open no shares of ${name}`, {
      hint: "shares exist only with a quorum; without one, --recovery-identity opens the key itself",
    });
  }
  const text = lines.join("");
  if (recipient.length > 0) {
    await deliver(await lockBackup(text, { recipients: recipient }), output);
  } else {
    advise("anyone with enough of these shares has the keys: pass them on encrypted (--recipient)");
    await deliver(text, output);
  }
  say(`${count(lines.length, "share")} of ${count(known.size, "key")} of ${name}`);
}

interface CombineOptions {
  readonly output?: string;
}

/** Combines shares into the age identities that open the keys' files. @throws SignetError key-invalid */
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
        `${count(of.length, "share")} of ${fingerprint} cannot be combined: too few, from different sets, or damaged`,
        { hint: `${of[0]?.quorum ?? 0} shares of one set are required` },
      );
    }
    lines.push(`# opens the recovery file of ${fingerprint}\n${identities.join("\n")}\n`);
  }
  if (lines.length === 0) throw new SignetError("key-invalid", "no shares found in these files");
  advise("anyone with these identities has the keys: delete them when you are done");
  await deliver(lines.join(""), output);
}

async function deliver(text: string, output: string | undefined): Promise<void> {
  if (output === undefined) await printResult(text);
  else await writeFiles([{ path: output, root: undefined, text, mode: 0o600 }]);
}

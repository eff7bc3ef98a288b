// The sealing keys that the repository itself holds, for whoever has a recovery identity, or the shares of
// a quorum.
// SPEC.md, "Recovery".

import { armor, Decrypter } from "age-encryption";
import { formatPlace, locate, SignetError } from "../../shared/errors.ts";
import { decodeText, readBytes } from "../../host/readfile.ts";
import { isLockedBackup, readKeyFile } from "../../shared/keys/keyfile.ts";
import { identitiesOf, parseShare, type Share } from "../../shared/keys/recoveryfiles.ts";
import { KEY_FILE, repositoryName } from "../../shared/keys/recoverynames.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { addIdentity, linesOf, unlockBackup } from "../recovery/lock.ts";
import { warn } from "../terminal/messages.ts";
import { type ClusterKeys, clusterKeys } from "./clustercertificates.ts";
import type { Project, ProjectCluster } from "./projectfile.ts";
import { needKeyFile, readShareFiles, recoveryPath } from "./recoveryfolder.ts";

/** What a person has to recover keys with. */
export interface Identities {
  readonly files: readonly string[];
  /** Lines that age takes. */
  readonly lines: readonly string[];
  /** Shares that holders have opened and handed over. */
  readonly shares: readonly Share[];
}

/**
 * Reads files of age identities, of shares, or both; a file may be locked with a passphrase.
 * @throws SignetError io, key-invalid, usage
 */
export async function readIdentities(files: readonly string[]): Promise<Identities> {
  const lines: string[] = [];
  const shares: Share[] = [];
  for (const file of files) {
    const bytes = readBytes(file);
    const text = isLockedBackup(bytes)
      ? await unlockBackup(bytes, file, { identity: [] })
      : decodeText(bytes, file);
    const said = linesOf(text);
    if (said.length === 0) {
      throw new SignetError("key-invalid", "holds no age identity", { place: { file } });
    }
    for (const line of said) {
      const share = parseShare(line);
      if (share !== null) shares.push(share);
      else {
        addIdentity(new Decrypter(), line, file);
        lines.push(line);
      }
    }
  }
  return { files, lines, shares };
}

/** A key of a cluster: opened, or why not. */
interface Recovered {
  readonly cluster: ProjectCluster;
  readonly fingerprint: string;
  /** The key Secret as text; null if it is not available. */
  readonly text: string | null;
  readonly key: SealingKey | null;
  readonly error: SignetError | null;
}

/** Tries every key of the clusters that a certificate is known of. @throws SignetError io */
export async function recoverKeys(
  project: Project,
  clusters: readonly ClusterKeys[],
  identities: Identities,
): Promise<Recovered[]> {
  const results: Recovered[] = [];
  for (const { cluster, known } of clusters) {
    for (const fingerprint of known.keys()) {
      const of = { cluster, fingerprint };
      try {
        const text = await keyText(project, of, identities);
        results.push({ ...of, ...checkedKey(project, of, text), error: null });
      } catch (error) {
        if (!(error instanceof SignetError)) throw error;
        results.push({ ...of, text: null, key: null, error });
      }
    }
  }
  return results;
}

interface Wanted {
  readonly cluster: ProjectCluster;
  readonly fingerprint: string;
}

/** @throws SignetError key-invalid */
async function keyText(
  project: Project,
  { cluster, fingerprint }: Wanted,
  identities: Identities,
): Promise<string> {
  const file = needKeyFile(project, cluster, fingerprint);
  const direct = await opened(file, identities.lines);
  if (direct !== null) return direct;
  const shares = [
    ...identities.shares.filter((share) => share.fingerprint === fingerprint),
    ...(await ownShares(project, { cluster, fingerprint }, identities)),
  ];
  let isMade = false;
  for await (const identity of identitiesOf(shares)) {
    isMade = true;
    const text = await opened(file, [identity]);
    if (text !== null) return text;
  }
  const needed = shares[0]?.quorum;
  const held = new Set(shares.map(({ bytes }) => Buffer.from(bytes).toString("hex"))).size;
  const place = { file: recoveryPath(project, cluster, repositoryName(fingerprint, KEY_FILE)) };
  if (needed !== undefined && held < needed) {
    throw new SignetError(
      "key-invalid",
      `${needed} shares are required, but there are only ${held}`,
      {
        hint: "ask other holders to open theirs with `signet keys shares`",
        place,
      },
    );
  }
  if (needed !== undefined) {
    const why = isMade
      ? "the shares are out of date: the file was encrypted again since, or is damaged"
      : "the shares do not belong together, or are damaged";
    throw new SignetError("key-invalid", why, {
      hint: "ask the holders to open the current shares in the repository with `signet keys shares`",
      place,
    });
  }
  throw new SignetError("key-invalid", "cannot be opened with these identities, or is damaged", {
    place,
  });
}

/** The shares in the repository that the identities open. */
export async function ownShares(
  project: Project,
  { cluster, fingerprint }: Wanted,
  { lines }: Identities,
): Promise<Share[]> {
  const shares: Share[] = [];
  for (const file of readShareFiles(project, cluster, fingerprint)) {
    const share = parseShare((await opened(file, lines)) ?? "");
    // Anyone can write one that opens. What it is good for shows when shares are combined.
    if (share?.fingerprint === fingerprint) shares.push(share);
  }
  return shares;
}

/** Null where none of the identities opens it, and where it is damaged. */
async function opened(file: string, lines: readonly string[]): Promise<string | null> {
  if (lines.length === 0) return null;
  const decrypter = new Decrypter();
  for (const line of lines) decrypter.addIdentity(line);
  try {
    return await decrypter.decrypt(armor.decode(file), "text");
  } catch {
    return null;
  }
}

/** A file whose name says another key than it holds is a stranger's. @throws SignetError key-invalid */
function checkedKey(
  project: Project,
  { cluster, fingerprint }: Wanted,
  text: string,
): { readonly text: string; readonly key: SealingKey } {
  const file = recoveryPath(project, cluster, repositoryName(fingerprint, KEY_FILE));
  const keys = locate({ file }, () => readKeyFile(text, file));
  const [key] = keys;
  if (key?.fingerprint === fingerprint && keys.length === 1) return { text, key };
  throw new SignetError(
    "key-invalid",
    "holds a different key than its name says, so it is not used",
    {
      place: { file },
    },
  );
}

/**
 * The keys that the identities open, of one cluster or of all.
 * @throws SignetError key-invalid where they open none: the first reason
 */
export async function keysByIdentity(
  project: Project,
  files: readonly string[],
  only?: ProjectCluster,
): Promise<Recovered[]> {
  const identities = await readIdentities(files);
  const chosen = only === undefined ? [...project.clusters.values()] : [only];
  const clusters = chosen.map((cluster) => clusterKeys(project, cluster));
  const all = await recoverKeys(project, clusters, identities);
  const recovered = all.filter(({ key }) => key !== null);
  if (only !== undefined && recovered.length > 0) warnOfMissing(all);
  if (recovered.length > 0) return recovered;
  const place = { file: files[0] ?? "" };
  throw (
    all.find(({ error }) => error !== null)?.error ??
    new SignetError("key-invalid", "no certificate found whose key it could open", { place })
  );
}

function warnOfMissing(all: readonly Recovered[]): void {
  for (const { fingerprint, error } of all) {
    if (error === null) continue;
    const where = formatPlace(error.place);
    warn(`${where}: ${error.message}: the key ${fingerprint} is skipped`);
  }
}

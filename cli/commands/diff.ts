// `signet diff`: sealed files compared with the clusters, or one revision with another.
// SPEC.md, "Whole repositories".

import { createHmac, randomBytes } from "node:crypto";
import { join, relative, resolve } from "node:path";
import type { Command } from "commander";
import { MANIFEST_NAME } from "../../host/manifestfiles.ts";
import { slashed } from "../../host/platform.ts";
import { statIfThere } from "../../host/readfile.ts";
import { rootOf } from "../../host/rootedfiles.ts";
import { locateAsync, SignetError } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import type { SealingKey } from "../../shared/keys/sealingkey.ts";
import { type JsonObject, objectName } from "../../shared/kubernetes/object.ts";
import type { Secret } from "../../shared/kubernetes/secret.ts";
import { unseal } from "../../shared/sealing/unseal.ts";
import { blobsOf, commitOf, mergeBaseOf, needWorkTree, readBlobs } from "../git/gitprocess.ts";
import {
  appliedIn,
  changesBetween,
  formatItemChange,
  isReadable,
  type ItemChange,
  itemsOf,
  sealedTextsIn,
} from "../git/sealedtext.ts";
import {
  clusterOption,
  type Connected,
  connection,
  flag,
  factFormatOption,
  factJsonOption,
  recoveryIdentityOption,
  recoveryKeyOption,
  withConnection,
} from "../options.ts";
import { loadRenderer } from "../recovery/renderer.ts";
import { connectionTo, type GivenCertificate } from "../repository/clustercertificates.ts";
import { areKeysGiven, type GivenKeys, readGivenKeys } from "../repository/openingkeys.ts";
import { findProject } from "../repository/project.ts";
import {
  byCluster,
  filesBelow,
  objectsToAsk,
  readSealedFiles,
  readUnlessIgnored,
  skip,
  type SealedObject,
} from "../repository/sealedfiles.ts";
import { inRuledNamespace } from "../repository/sealingplace.ts";
import { count } from "../terminal/counts.ts";
import { say, warn } from "../terminal/messages.ts";
import { type FactFormat, printFacts } from "../terminal/facts.ts";
import { type Line, styled } from "../terminal/line.ts";
import { styledChange } from "../terminal/states.ts";

const HELP = `
Without --revisions, this compares the files with the clusters. Equal ciphertexts have equal values. For
different ciphertexts, --recovery-key or --recovery-identity finds out whether the values differ too, by a
keyed hash. Values are never shown.

Examples:
  $ signet diff
  $ signet diff prod/shop --recovery-key backup.age
  $ signet diff --revisions main..HEAD
  $ signet diff --revisions HEAD --exit-code`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Compare sealed files with the clusters, or two revisions.")
      .option("--revisions <A[..B]>", "compare two revisions, or one with the working tree")
      .addOption(recoveryKeyOption("private key that opens the values, to compare them"))
      .addOption(recoveryIdentityOption())
      .addOption(clusterOption())
      .addOption(flag("--exit-code", "exit with status 3 if there are differences"))
      .addOption(factFormatOption())
      .addOption(factJsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<DiffOptions>) => runDiff(paths, connection(flags)));
}

interface DiffOptions extends GivenCertificate, GivenKeys {
  /** `A..B`, or `A` to compare A with the working tree. */
  readonly revisions?: string;
  readonly exitCode: boolean;
  readonly format: FactFormat;
}

interface ItemDifference {
  readonly item: string;
  /** `resealed`: another ciphertext; `changed`: another value; `missing`: no such object. */
  readonly change: ItemChange["change"] | "changed" | "missing";
  readonly words: string;
}

interface Comparison {
  readonly differences: readonly Difference[];
  /** How many SealedSecrets were compared with a cluster, or files of two revisions. */
  readonly compared: number;
}

interface Difference {
  readonly cluster: string | null;
  readonly file: string | null;
  readonly name: string;
  readonly items: readonly ItemDifference[];
}

/**
 * @throws SignetError check-found where there is a difference and `exitCode` is set; io, network
 */
async function runDiff(paths: readonly string[], options: DiffOptions): Promise<void> {
  const { revisions } = options;
  if (revisions !== undefined && areKeysGiven(options)) {
    const given = options.recoveryKey.length > 0 ? "--recovery-key" : "--recovery-identity";
    throw new SignetError(
      "usage",
      `--revisions compares only ciphertexts, so it excludes ${given}`,
    );
  }
  const { differences, compared } =
    revisions === undefined
      ? await againstCluster(paths, options)
      : betweenRevisions(revisions, paths);
  if (differences.length === 0 && !["json", "yaml"].includes(options.format)) {
    const things = count(compared, revisions === undefined ? "SealedSecret" : "file");
    say(compared === 0 ? "nothing to compare" : `${things} compared: no differences`);
  }
  await printFacts(options.format, {
    value: { compared, differences },
    lines: () => differences.flatMap(differenceLines),
    wide: () => differences.flatMap(differenceLines),
    names: () => differences.map(({ file, name }) => file ?? name),
  });
  if (differences.length > 0 && options.exitCode) {
    throw new SignetError("check-found", "there are differences");
  }
}

function differenceLines({ cluster, file, name, items }: Difference): Line[] {
  const head = [cluster, name].filter((part) => part !== null && part !== "").join(" ");
  return [
    [styled(`${head}${file === null ? "" : ` (${file})`}`, "bold")],
    ...items.map(({ words }): Line => ["  ", styledChange(words)]),
  ];
}

function betweenRevisions(revisions: string, paths: readonly string[]): Comparison {
  const top = needWorkTree();
  const [, from = "", dots, to = ""] = /^(.*?)(?:(\.{2,3})(.*))?$/s.exec(revisions) ?? [];
  const fromCommit = commitOf(from === "" ? "HEAD" : from, top);
  const toCommit = dots === undefined ? null : commitOf(to === "" ? "HEAD" : to, top);
  // As in `git diff`, three dots compare with the merge base.
  const isSinceFork = dots === "..." && toCommit !== null;
  const base = isSinceFork ? mergeBaseOf(fromCommit, toCommit, top) : fromCommit;
  const before = textsOf(base, top, paths);
  const after =
    toCommit === null ? workingTexts(top, paths, before.keys()) : textsOf(toCommit, top, paths);
  const files = [...new Set([...before.keys(), ...after.keys()])].sort();
  let unread = 0;
  const differences = files.flatMap((file) => {
    const [old = "", now = ""] = [before.get(file), after.get(file)];
    if (old === now) return [];
    const shown = relative(process.cwd(), join(top, file));
    if (![old, now].every(isReadable)) {
      warn(`${shown}: skipped, as one side cannot be read: run \`signet verify\` for the reason`);
      unread++;
      return [];
    }
    const changes = changesBetween(sealedTextsIn(old), sealedTextsIn(now));
    const names = [...new Set(changes.map(({ name }) => name))];
    return names.map((name) => ({
      cluster: null,
      file: shown,
      name,
      items: changes.filter((change) => change.name === name).map(asDifference),
    }));
  });
  return { differences, compared: files.length - unread };
}

function asDifference(change: ItemChange): ItemDifference {
  return { item: change.item, change: change.change, words: formatItemChange(change) };
}

function textsOf(commit: string, top: string, paths: readonly string[]): Map<string, string> {
  const below = paths.map((path) => slashed(relative(top, resolve(path))) || ".");
  const blobs = blobsOf(commit, top, below).filter(({ path }) => MANIFEST_NAME.test(path));
  const texts = readBlobs(
    blobs.map(({ id }) => id),
    top,
  );
  return new Map(blobs.map(({ id, path }) => [path, texts.get(id) ?? ""]));
}

function workingTexts(
  top: string,
  paths: readonly string[],
  known: Iterable<string>,
): Map<string, string> {
  const named = paths.length === 0 ? [relative(process.cwd(), top) || "."] : [...paths];
  const files = new Set([
    ...filesBelow(
      named.filter((path) => statIfThere(path) !== undefined),
      skip,
    ).map(({ path }) => slashed(relative(top, resolve(path)))),
    ...known,
  ]);
  const root = rootOf(top);
  const texts = new Map<string, string>();
  for (const file of files) {
    const path = relative(process.cwd(), join(top, file));
    if (statIfThere(path)?.isDirectory() !== false) continue;
    const text = readUnlessIgnored({ path, root });
    if (text !== null) texts.set(file, text);
  }
  return texts;
}

async function againstCluster(paths: readonly string[], options: DiffOptions): Promise<Comparison> {
  const inventory = readSealedFiles(paths, findProject());
  const [broken] = inventory.unreadable;
  if (broken !== undefined) throw broken;
  const compare = areKeysGiven(options)
    ? await valueComparer(await readGivenKeys(options))
    : undefined;
  const found: Difference[] = [];
  const asked = objectsToAsk(inventory, options.cluster).map(placed);
  const { listSealedSecrets, readSecretIfThere } = await import("../cluster/apiobjects.ts");
  for (const [cluster, objects] of byCluster(asked)) {
    const config = objects[0]?.meaning?.cluster;
    const connection = connectionTo(config, options);
    const live = await listSealedSecrets(connection);
    for (const object of objects) {
      const secret =
        compare === undefined
          ? undefined
          : await readSecretIfThere(connection, object.sealed.metadata);
      const items = [
        ...ciphertextDifferences(object, live.get(object.name)),
        ...(compare === undefined ? [] : await compare(object, secret ?? null)),
      ];
      if (items.length > 0) {
        found.push({
          cluster: cluster === "" ? null : cluster,
          file: object.file,
          name: object.name,
          items,
        });
      }
    }
    if (paths.length > 0 || config === undefined) continue;
    const declared = new Set(objects.map(({ name }) => name));
    for (const name of live.keys()) {
      if (declared.has(name)) continue;
      const words = "- not declared in this repository";
      found.push({ cluster, file: null, name, items: [{ item: "", change: "missing", words }] });
    }
  }
  return { differences: found, compared: asked.length };
}

function ciphertextDifferences(
  object: SealedObject,
  live: JsonObject | undefined,
): ItemDifference[] {
  if (live === undefined) {
    return [{ item: "", change: "missing", words: "+ not in the cluster yet" }];
  }
  return changesBetween(appliedIn(live), [
    { name: object.name, items: itemsOf(object.sealed) },
  ]).map(asDifference);
}

/** The namespace from the path, if the file has none. */
function placed(object: SealedObject): SealedObject {
  const sealed = inRuledNamespace(object);
  return { ...object, sealed, name: objectName(sealed.metadata) };
}

type Compare = (object: SealedObject, live: Secret | null) => Promise<ItemDifference[]>;

/** Compares values by a hash with a random key, which no other run has. */
async function valueComparer(keys: readonly SealingKey[]): Promise<Compare> {
  const keyring = new Keyring(keys);
  const render = await loadRenderer();
  const key = randomBytes(32);
  const hashed = (data: ReadonlyMap<string, Uint8Array>): Map<string, string> =>
    new Map(
      [...data].map(([item, value]) => [
        item,
        createHmac("sha256", key).update(value).digest("hex"),
      ]),
    );
  return async ({ sealed, place, name }, live) => {
    if (live === null) return [];
    const { secret } = await locateAsync({ ...place, object: name }, () =>
      unseal(sealed, keyring, { render }),
    );
    const declared = hashed(secret.data);
    const now = hashed(live.data);
    const items = [...new Set([...declared.keys(), ...now.keys()])].sort();
    return items.flatMap((item): ItemDifference[] => {
      if (declared.get(item) === now.get(item)) return [];
      if (!now.has(item)) return [{ item, change: "added", words: `+ ${item}  not in the Secret` }];
      if (!declared.has(item))
        return [{ item, change: "removed", words: `- ${item}  in the Secret only` }];
      return [{ item, change: "changed", words: `~ ${item}  differs from the Secret` }];
    });
  };
}

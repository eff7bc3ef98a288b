// `signet reseal`: every value of a repository that is not under its cluster's newest key, sealed
// with it, file by file.
// SPEC.md, "Whole repositories".

import type { Command } from "commander";
import { clusterOption, type Connected, connection, dryRunOption, jsonOption, recoveryKeyOption, withConnection } from "../options.ts";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Certificate, checkNotExpired } from "../../shared/keys/certificate.ts";
import { locate, SignetError, throwAll } from "../../shared/errors.ts";
import { Keyring } from "../../shared/keys/keyring.ts";
import { reseal } from "../../shared/sealing/seal.ts";
import type { SealedSecret } from "../../shared/sealing/sealedsecret.ts";
import { checkNotOfOther, type ClusterKeys, currentCertificate, type GivenCertificate, projectClusterOptions, withNewest } from "../repository/clustercertificates.ts";
import { findCertificate } from "../cluster/certificatesource.ts";
import { readText } from "../../host/readfile.ts";
import { writeFiles } from "../../host/writefiles.ts";
import { clusterNamed, needProject, type Project } from "../repository/project.ts";
import { readKeys } from "../recovery/recoverykeys.ts";
import { byCluster, editedText, isChartTemplate, readSealedFiles, type SealedFile, type SealedObject } from "../repository/sealedfiles.ts";
import { count, shortFingerprint } from "../terminal/words.ts";
import { printJson, printResult } from "../terminal/results.ts";
import { Progress } from "../terminal/progress.ts";
import { say, warn } from "../terminal/messages.ts";

const HELP = `
Each cluster's controller opens and seals: no plaintext leaves it, and no private key. With
--recovery-key it is done here, offline, for the certificate in the repository. Values that are under
the newest key already stay as they are, and so does every other line.

It may be ended at any time and run again: files are replaced whole, and what is done is not done twice.
Standard output is a summary in Markdown, for the text of a pull request.

Examples:
  $ signet reseal --dry-run
  $ signet reseal > summary.md
  $ signet reseal prod --recovery-key backup.age`;

export function define(command: Command): void {
  withConnection(
    command
      .argument("[FILE|FOLDER...]")
      .usage("[OPTION...] [FILE|FOLDER...]")
      .description("Seals a repository's stale values anew, under each cluster's newest key.")
      .addOption(recoveryKeyOption("private key to open with, here and offline"))
      .addOption(clusterOption())
      .addOption(dryRunOption())
      .addOption(jsonOption()),
  )
    .addHelpText("after", HELP)
    .action((paths: string[], flags: Connected<ResealOptions>) =>
      runReseal(paths, connection(flags)),
    );
}

export interface ResealOptions extends GivenCertificate {
  /** Private keys to open with offline; without any, the controller is asked. */
  readonly recoveryKey: readonly string[];
  readonly dryRun: boolean;
  readonly json: boolean;
}

interface Resealed {
  readonly cluster: string;
  readonly file: string;
  readonly name: string;
  readonly items: readonly string[];
  readonly fingerprint: string;
}

/** Files written at once: their waits for the disk are shared, and a kill loses no more than that. */
const FILES_A_WRITE = 32;

/**
 * What fails is told at the end, and the rest is done all the same; run again, only that is left.
 * @throws SignetError, or an AggregateError of them
 */
export async function runReseal(paths: readonly string[], options: ResealOptions): Promise<void> {
  const project = needProject();
  if (options.cluster !== undefined) clusterNamed(project, options.cluster);
  const { files, unreadable, clusters } = readSealedFiles(paths, project);
  const newest = new Map<string, Certificate>();
  const isTemplate = ({ place }: SignetError): boolean => isChartTemplate(place.file ?? "");
  const failed = unreadable.filter((error) => !isTemplate(error));
  for (const { place } of unreadable.filter(isTemplate)) {
    warn(`${place.file ?? ""}: a chart's template, and nothing there is done`);
  }
  for (const [name, keys] of clusters) {
    const isWanted = options.cluster === undefined || options.cluster === name;
    const isUsed = files.some(({ objects }) =>
      objects.some(({ meaning }) => meaning?.cluster.name === name),
    );
    if (!isWanted || !isUsed) continue;
    try {
      const certificate = await newestCertificate(keys, options);
      checkNotOfOther(certificate, keys, clusters.values(), newest);
      newest.set(name, certificate);
      if (!options.dryRun) await keepNewest(project, keys, certificate);
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      failed.push(error.at({ object: name }));
    }
  }
  const stale = files.flatMap((file) =>
    file.objects.flatMap((object) => {
      const certificate = newest.get(object.meaning?.cluster.name ?? "");
      return certificate !== undefined && staleItems(object, certificate).length > 0
        ? [{ file, object, certificate }]
        : [];
    }),
  );
  const astray = files.filter(({ objects }) => objects.some(({ meaning }) => meaning === null));
  if (astray.length > 0 && options.cluster === undefined) {
    const verb = astray.length === 1 ? "fits" : "fit";
    warn(
      `${count(astray.length, "file")} ${verb} no path of signet.yaml, and nothing there is done`,
    );
  }
  const work = new ResealWork(stale, options);
  if (!options.dryRun && stale.length > 0) await work.run();
  const done = options.dryRun
    ? stale.map(({ file, object, certificate }) => resultOf(file, object, certificate))
    : work.done.sort((a, b) => order([a.file, a.name], [b.file, b.name]));
  failed.push(
    ...work.errors.sort(({ place: a }, { place: b }) =>
      order([a.file, a.object], [b.file, b.object]),
    ),
  );
  if (options.json) {
    const told = failed.map(({ place, message }) => ({ ...place, message }));
    await printJson({ dryRun: options.dryRun, resealed: done, failed: told });
  } else if (done.length > 0 || failed.length === 0) {
    await printResult(summary(done, options.dryRun));
  }
  throwAll(failed);
}

/** What is done side by side is told by file and name. */
function order(
  one: readonly (string | undefined)[],
  other: readonly (string | undefined)[],
): number {
  const [left, right] = [one.join("\n"), other.join("\n")];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The values that are not known to be under the newest key. */
function staleItems({ values }: SealedObject, { fingerprint }: Certificate): string[] {
  return values.filter((value) => value.fingerprint !== fingerprint).map(({ item }) => item);
}

function resultOf(file: SealedFile, object: SealedObject, certificate: Certificate): Resealed {
  return {
    cluster: object.meaning?.cluster.name ?? "",
    file: file.path,
    name: object.name,
    items: staleItems(object, certificate),
    fingerprint: certificate.fingerprint,
  };
}

/** Offline the one in the repository, else the controller's own. */
async function newestCertificate(keys: ClusterKeys, options: ResealOptions): Promise<Certificate> {
  const { cluster, file } = keys;
  if (options.recoveryKey.length > 0) {
    const current = currentCertificate(keys);
    locate({ file }, () => {
      checkNotExpired(current, new Date(), `signet cert refresh ${cluster.name}`);
    });
    return current;
  }
  // Of the controller itself, even where the certificate is usually fetched from an address.
  const { certificate } = await findCertificate({
    ...projectClusterOptions(cluster, options),
    certFromEnvironment: false,
  });
  return certificate;
}

/** Into the repository, for those who seal from now on. */
async function keepNewest(
  project: Project,
  keys: ClusterKeys,
  certificate: Certificate,
): Promise<void> {
  const { cluster, current, file } = keys;
  if (certificate.fingerprint === current?.fingerprint) return;
  await writeFiles([
    { path: join(project.root, cluster.certificate), text: withNewest(certificate, keys) },
  ]);
  say(`${file}: the newest key of ${cluster.name} is ${shortFingerprint(certificate.fingerprint)}`);
}

interface StaleObject {
  readonly file: SealedFile;
  readonly object: SealedObject;
  readonly certificate: Certificate;
}

/** Seals objects anew, side by side, and writes each file once all of its objects are there. */
class ResealWork {
  readonly done: Resealed[] = [];
  readonly errors: SignetError[] = [];
  readonly #stale: readonly StaleObject[];
  readonly #options: ResealOptions;
  readonly #open = new Map<
    SealedFile,
    { left: number; readonly after: Map<SealedObject, SealedSecret> }
  >();
  readonly #byObject: ReadonlyMap<SealedObject, StaleObject>;
  readonly #progress: Progress;
  #ready: { file: SealedFile; after: Map<SealedObject, SealedSecret> }[] = [];
  #writing: Promise<void> = Promise.resolve();

  constructor(stale: readonly StaleObject[], options: ResealOptions) {
    this.#stale = stale;
    this.#options = options;
    this.#byObject = new Map(stale.map((each) => [each.object, each]));
    this.#progress = new Progress("re-sealed", stale.length);
    for (const { file } of stale) {
      const open = this.#open.get(file) ?? {
        left: 0,
        after: new Map<SealedObject, SealedSecret>(),
      };
      open.left++;
      this.#open.set(file, open);
    }
  }

  async run(): Promise<void> {
    const { recoveryKey } = this.#options;
    try {
      if (recoveryKey.length > 0) await this.#offline(await readKeys(recoveryKey));
      else await this.#throughController();
    } finally {
      // What is sealed is kept, whatever ended the work.
      await this.#flush();
      this.#progress.end();
    }
  }

  async #offline(keys: Awaited<ReturnType<typeof readKeys>>): Promise<void> {
    const cores = availableParallelism();
    const keyring = new Keyring(keys, cores);
    const waiting = this.#stale.values();
    const worker = async (): Promise<void> => {
      for (const { object, certificate } of waiting) {
        let result: SealedSecret | SignetError;
        try {
          result = await reseal(object.sealed, keyring, 1, certificate);
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          result = error.at({ ...object.place, object: object.name });
        }
        await this.#take(object, result);
      }
    };
    await Promise.all(Array.from({ length: cores * 2 }, worker));
  }

  async #throughController(): Promise<void> {
    const { rotateAtController } = await import("../cluster/controllerwork.ts");
    // Side by side: each controller has limits of its own, and none waits for one that is away.
    const ended = await Promise.allSettled(
      [...byCluster(this.#stale.map(({ object }) => object)).values()].map(async (objects) => {
        const cluster = objects[0]?.meaning?.cluster;
        if (cluster === undefined) return;
        const connection = projectClusterOptions(cluster, this.#options);
        try {
          await rotateAtController(connection, objects, (object, result) =>
            this.#take(object, result),
          );
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          this.errors.push(error.at({ object: cluster.name }));
        }
      }),
    );
    for (const each of ended) if (each.status === "rejected") throw each.reason;
  }

  async #take(object: SealedObject, result: SealedSecret | SignetError): Promise<void> {
    const stale = this.#byObject.get(object);
    const open = stale === undefined ? undefined : this.#open.get(stale.file);
    if (stale === undefined || open === undefined) return;
    if (result instanceof SignetError) {
      this.errors.push(result);
    } else {
      open.after.set(object, result);
    }
    this.#progress.step();
    if (--open.left > 0) return;
    this.#open.delete(stale.file);
    if (open.after.size > 0) this.#ready.push({ file: stale.file, after: open.after });
    if (this.#ready.length >= FILES_A_WRITE) await this.#flush();
  }

  #flush(): Promise<void> {
    const ready = this.#ready;
    this.#ready = [];
    // One write after the other: each is made of many files.
    this.#writing = this.#writing.then(async () => {
      const edited = ready.flatMap(({ file, after }) => {
        try {
          checkUnchanged(file);
          return [{ file, after, text: editedText(file, after) }];
        } catch (error) {
          if (!(error instanceof SignetError)) throw error;
          this.errors.push(error);
          return [];
        }
      });
      await writeFiles(edited.map(({ file, text }) => ({ path: file.path, text })));
      for (const { file, after } of edited) {
        for (const object of after.keys()) {
          const { certificate } = this.#byObject.get(object) as StaleObject;
          this.done.push(resultOf(file, object, certificate));
        }
      }
    });
    return this.#writing;
  }
}

/** What somebody changed while it was re-sealed is not replaced. @throws SignetError io */
function checkUnchanged({ path, text }: SealedFile): void {
  if (readText(path) === text) return;
  throw new SignetError("io", "was changed meanwhile, and is left as it is", {
    hint: "run it again",
    place: { file: path },
  });
}

/** Markdown, for the text of a pull request. */
function summary(done: readonly Resealed[], dryRun: boolean): string {
  if (done.length === 0) return "Every value is under its cluster's newest key.\n";
  const values = done.reduce((sum, { items }) => sum + items.length, 0);
  const files = new Set(done.map(({ file }) => file)).size;
  const rows = done.map(
    ({ cluster, name, items, file }) => `| ${cluster} | ${name} | ${items.join(", ")} | ${file} |`,
  );
  const keys = new Map(done.map(({ cluster, fingerprint }) => [cluster, fingerprint]));
  return [
    `## ${dryRun ? "To be re-sealed" : "Re-sealed"}: ${count(values, "value")} in ${count(files, "file")}`,
    "",
    ...[...keys].map(([cluster, fingerprint]) => `- ${cluster}: under \`${fingerprint}\``),
    "- The values themselves are as they were: after the sync every Secret is the same.",
    "",
    "| cluster | SealedSecret | values | file |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

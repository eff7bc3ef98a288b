// The certificate files of a project's clusters: which certificate seals a file, and former keys.
// SPEC.md, "Projects".

import { join, relative } from "node:path";
import type { Certificate } from "../../shared/keys/keykind.ts";
import { checkNotExpired, parseCertificates } from "../../shared/keys/certificate.ts";
import { locate, SignetError } from "../../shared/errors.ts";
import { HYBRID } from "../../shared/envelopes/hybrid.ts";
import { RSA } from "../../shared/envelopes/rsa.ts";
import {
  certificateFromEnvironment,
  chosenAlgorithm,
  findCertificate,
  pinnedFingerprint,
  usableCertificate,
  warnOfCertificate,
  withAlgorithm,
} from "../cluster/certificatesource.ts";
import type { FoundCertificate } from "../cluster/certificateaddress.ts";
import { readTextWithin, statIfThere } from "../../host/readfile.ts";
import { MAX_SETTINGS_BYTES, rootOf } from "../../host/rootedfiles.ts";
import type { Output } from "../../host/writefiles.ts";
import {
  clusterOptions,
  type ClusterOptions,
  type GivenClusterOptions,
} from "../cluster/clusteroptions.ts";
import { clusterNamed, findProject, meaningOf } from "./project.ts";
import type { Project, ProjectCluster } from "./projectfile.ts";
import { warn } from "../terminal/messages.ts";

/** The keys of a cluster whose certificates are in the repository. */
export interface ClusterKeys {
  readonly cluster: ProjectCluster;
  /** The certificate file, as messages name it. */
  readonly file: string;
  /** Its text; empty where there is no file yet. */
  readonly text: string;
  /** The one that seals; null where there is no file yet. */
  readonly current: Certificate | null;
  /** By fingerprint, including the current one. */
  readonly known: ReadonlyMap<string, Certificate>;
}

/** @throws SignetError io, certificate-invalid */
export function clusterKeys(project: Project, cluster: ProjectCluster): ClusterKeys {
  const path = join(project.root, cluster.certificate);
  const file = relative(process.cwd(), path) || path;
  if (statIfThere(path) === undefined) {
    return { cluster, file, text: "", current: null, known: new Map() };
  }
  const text = readTextWithin(rootOf(project.root), path, MAX_SETTINGS_BYTES);
  const certificates = locate({ file }, () => parseCertificates(text));
  const known = new Map(certificates.map((each) => [each.fingerprint, each]));
  return { cluster, file, text, current: certificates[0], known };
}

/**
 * The certificate that seals for a cluster.
 * @throws SignetError certificate-invalid where there is none yet
 */
export function currentCertificate({ cluster, current, file }: ClusterKeys): Certificate {
  if (current !== null) return current;
  throw new SignetError("certificate-invalid", "this certificate does not exist yet", {
    hint: `\`signet cert refresh ${cluster.name}\` fetches it`,
    place: { file },
  });
}

/**
 * How to reach a cluster of the project. The command line overrides signet.yaml.
 * @throws SignetError usage where only the address of its certificate is known
 */
export function projectClusterOptions(
  cluster: ProjectCluster,
  given: GivenClusterOptions,
): ClusterOptions {
  const { name, url, context, controllerName, controllerNamespace } = cluster;
  const { certificatesConfigmap } = cluster;
  // The kubeconfig's current context may be any cluster.
  if (url !== undefined && (given.context ?? context) === undefined) {
    throw new SignetError("usage", `signet.yaml has no context for ${name}`, {
      hint: `add one to clusters.${name}, or use --context`,
    });
  }
  return clusterOptions({
    ...given,
    ...only("context", given.context ?? context),
    ...only("controllerName", given.controllerName ?? controllerName),
    ...only("controllerNamespace", given.controllerNamespace ?? controllerNamespace),
    ...only("certificatesConfigmap", given.certificatesConfigmap ?? certificatesConfigmap),
  });
}

/** How to reach an object's cluster; without one in the project, the cluster of the kubeconfig. */
export function connectionTo(
  cluster: ProjectCluster | undefined,
  given: GivenClusterOptions,
): ClusterOptions {
  return cluster === undefined ? clusterOptions(given) : projectClusterOptions(cluster, given);
}

function only<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, string>);
}

/** What the command line says about the certificate. */
export interface GivenCertificate extends GivenClusterOptions {
  readonly cert?: string;
  readonly certFingerprint?: string;
  /** What to seal with: `hybrid` or `rsa`. */
  readonly algorithm?: string;
  /** A cluster of signet.yaml. */
  readonly cluster?: string;
}

/**
 * Certificates by the file that is sealed: --cert, else --cluster, else the rule of signet.yaml
 * that fits the path, else the environment's, else the cluster's own. Each is found once.
 */
export class Certificates {
  readonly #given: GivenCertificate;
  readonly #project: Project | null;
  readonly #found = new Map<string, Promise<Certificate>>();

  constructor(given: GivenCertificate, project: Project | null = findProject()) {
    this.#given = given;
    this.#project = project;
  }

  /** The project's cluster for a file. `path`: undefined for standard output. */
  clusterFor(path: string | undefined): ProjectCluster | null {
    const { cert, cluster } = this.#given;
    if (cluster !== undefined) {
      if (cert !== undefined) {
        throw new SignetError("usage", "--cert and --cluster are mutually exclusive");
      }
      if (this.#project === null) {
        throw new SignetError("usage", "--cluster requires a signet.yaml", {
          hint: "run `signet init` to create one, or use --context to choose a context of the kubeconfig",
        });
      }
      const named = clusterNamed(this.#project, cluster);
      const meant = path === undefined ? undefined : meaningOf(this.#project, path)?.cluster.name;
      if (meant !== undefined && meant !== cluster) {
        warn(`${path ?? ""}: sealed for ${cluster}, but signet.yaml says that it is for ${meant}`);
      }
      return named;
    }
    if (cert !== undefined || this.#project === null) return null;
    const meaning =
      path === undefined ? onlyCluster(this.#project) : meaningOf(this.#project, path)?.cluster;
    return meaning ?? null;
  }

  /** @throws SignetError certificate-expired and all that finding one throws */
  async for(path: string | undefined): Promise<Certificate> {
    return (await this.chosenFor(path)).certificate;
  }

  /** The same with the project's cluster that it is of; null where signet.yaml did not choose it. */
  async chosenFor(path: string | undefined): Promise<{
    readonly certificate: Certificate;
    readonly cluster: ProjectCluster | null;
  }> {
    const cluster = this.clusterFor(path);
    const key = cluster?.name ?? "";
    let found = this.#found.get(key);
    if (found === undefined) {
      found = cluster === null ? this.#byFlags(path) : this.#ofCluster(cluster);
      this.#found.set(key, found);
    }
    return { certificate: await found, cluster };
  }

  #ofCluster(cluster: ProjectCluster): Promise<Certificate> {
    if (this.#project === null) return Promise.reject(new Error("a cluster without a project"));
    const keys = clusterKeys(this.#project, cluster);
    const { file } = keys;
    const pinned = pinnedFingerprint(this.#given);
    return new Promise((resolve) => {
      const current = currentCertificate(keys);
      if (pinned !== undefined && current.fingerprint !== pinned) {
        throw new SignetError(
          "certificate-invalid",
          `is ${current.fingerprint}, which does not match the expected fingerprint`,
          {
            hint: pinHint(cluster, this.#project?.clusters.size ?? 0),
            place: { file },
          },
        );
      }
      const now = new Date();
      locate({ file }, () => {
        if (chosenAlgorithm(this.#given) !== RSA) {
          checkKeepsHybrid(current, keys, "--algorithm rsa");
        }
        checkNotExpired(current, now, `signet cert refresh ${cluster.name}`);
      });
      warnOfCertificate({ certificate: current, source: file }, now);
      resolve(withAlgorithm({ certificate: current, source: file }, this.#given));
    });
  }

  #byFlags(path: string | undefined): Promise<Certificate> {
    const { cert, context } = this.#given;
    const isSaid = [cert, certificateFromEnvironment(), context].some((each) => each !== undefined);
    if (!isSaid && (this.#project?.clusters.size ?? 0) > 0) {
      throw path === undefined
        ? new SignetError("usage", "signet.yaml has several clusters, and none was chosen", {
            hint: "use --cluster, or name the output file with --output",
          })
        : new SignetError("usage", "no path in signet.yaml matches this file", {
            hint: "add a rule for it, or use --cluster or --cert",
            place: { file: path },
          });
    }
    return usableCertificate({ ...this.#given, ...clusterOptions(this.#given) });
  }
}

function pinHint({ name }: ProjectCluster, clusters: number): string {
  const one = clusters > 1 ? "name only the cluster that the fingerprint belongs to; " : "";
  return `${one}if the key of ${name} was renewed, ask its owner for the new fingerprint, then run \`signet cert refresh ${name}\``;
}

function onlyCluster(project: Project): ProjectCluster | undefined {
  return project.clusters.size === 1 ? [...project.clusters.values()][0] : undefined;
}

/** The certificate that a cluster seals with now. @throws SignetError network, io, usage */
export function fetchClusterCertificate(
  cluster: ProjectCluster,
  given: GivenClusterOptions,
): Promise<FoundCertificate> {
  const { url } = cluster;
  return findCertificate({
    ...(url === undefined
      ? projectClusterOptions(cluster, given)
      : { ...clusterOptions(given), cert: url }),
    certFromEnvironment: false,
  });
}

/**
 * Refuses a new certificate that belongs to another cluster, as where a context points to the wrong
 * one. Clusters that already share keys may share the next one. `newest`: by cluster, certificates
 * that were fetched before this one.
 * @throws SignetError certificate-invalid
 */
export function checkNotOfOther(
  { fingerprint }: Certificate,
  { cluster, known }: ClusterKeys,
  clusters: Iterable<ClusterKeys>,
  newest: ReadonlyMap<string, Certificate>,
): void {
  if (known.has(fingerprint) || known.size === 0) return;
  for (const other of clusters) {
    const { name } = other.cluster;
    const isOfOther = other.known.has(fingerprint) || newest.get(name)?.fingerprint === fingerprint;
    if (name === cluster.name || !isOfOther) continue;
    if ([...known.keys()].some((each) => other.known.has(each))) continue;
    throw new SignetError(
      "certificate-invalid",
      `the controller that answers for ${cluster.name} has the key of ${name}`,
      {
        hint: "check that context and url in signet.yaml, or --context, point to the right cluster",
      },
    );
  }
}

/**
 * Whether a certificate has no post-quantum key, though one of the cluster's had: one in its file, or
 * the one that sealed by the last commits, if `hadHybrid` says so.
 */
export function losesHybrid(
  { kinds }: Certificate,
  { known }: ClusterKeys,
  hadHybrid: () => boolean = () => false,
): boolean {
  if (kinds.includes(HYBRID)) return false;
  return [...known.values()].some((each) => each.kinds.includes(HYBRID)) || hadHybrid();
}

/**
 * Refuses a certificate without a post-quantum key where the cluster had one with it.
 * `goingBack`: how to say that this is meant. `hadHybrid`: as for `losesHybrid`.
 * @throws SignetError certificate-invalid
 */
export function checkKeepsHybrid(
  certificate: Certificate,
  keys: ClusterKeys,
  goingBack: string,
  hadHybrid?: () => boolean,
): void {
  if (!losesHybrid(certificate, keys, hadHybrid)) return;
  throw new SignetError(
    "certificate-invalid",
    `the certificate of ${keys.cluster.name} has no post-quantum key, but an earlier one has`,
    { hint: `ask whoever runs the controller; if this is intended, use ${goingBack}` },
  );
}

/** A cluster's certificate file with a new text. @throws SignetError io */
export function certificateOutput(
  project: Project,
  { certificate }: ProjectCluster,
  text: string,
): Output {
  return { path: join(project.root, certificate), root: rootOf(project.root), text };
}

/** The text of a certificate file, with `newest` before the certificates it already has. */
export function withNewest(newest: Certificate, { known }: ClusterKeys): string {
  const others = [...known.values()].filter(
    ({ fingerprint }) => fingerprint !== newest.fingerprint,
  );
  return [newest, ...others].map(({ pem }) => pem).join("");
}

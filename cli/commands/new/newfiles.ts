// The path and certificate of each cluster's file that `signet new` writes.

import { statIfThere } from "../../../host/readfile.ts";
import { rootOf } from "../../../host/rootedfiles.ts";
import { SignetError } from "../../../shared/errors.ts";
import type { Certificate } from "../../../shared/keys/keykind.ts";
import { Certificates } from "../../repository/clustercertificates.ts";
import { newFilePath } from "../../repository/project.ts";
import type { Project, ProjectCluster } from "../../repository/projectfile.ts";
import type { NewOptions, Plan } from "./newplan.ts";

interface Place {
  readonly path: string;
  /** What the path must be below, unless the command line names it. */
  readonly root: string | undefined;
  readonly certificate: Certificate;
}

/** The path and certificate of each cluster's file, each found once. */
export class Places {
  readonly #options: NewOptions;
  readonly #project: Project | null;
  readonly #found = new Map<ProjectCluster | null, Promise<Place>>();

  constructor(options: NewOptions, project: Project | null) {
    this.#options = options;
    this.#project = project;
  }

  /** @throws SignetError io if the file already exists; any error of finding a certificate */
  for(plan: Pick<Plan, "name" | "namespace">, cluster: ProjectCluster | null): Promise<Place> {
    let found = this.#found.get(cluster);
    if (found === undefined) this.#found.set(cluster, (found = this.#find(plan, cluster)));
    return found;
  }

  async #find(
    plan: Pick<Plan, "name" | "namespace">,
    cluster: ProjectCluster | null,
  ): Promise<Place> {
    const path =
      this.#options.output ??
      (this.#project === null || cluster === null
        ? `${plan.name}.yaml`
        : newFilePath(this.#project, cluster, plan));
    if (statIfThere(path) !== undefined) {
      throw new SignetError("io", "already exists", {
        hint: `use \`signet set ${path} ITEM\` to change its values`,
        place: { file: path },
      });
    }
    const given = { ...this.#options, ...(cluster === null ? {} : { cluster: cluster.name }) };
    const root =
      this.#options.output === undefined ? rootOf(this.#project?.root ?? ".") : undefined;
    return { path, root, certificate: await new Certificates(given, this.#project).for(path) };
  }
}

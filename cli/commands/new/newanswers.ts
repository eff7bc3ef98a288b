// The plan of `signet new` from the user's answers. Loaded only if there are prompts.

import { currentContext } from "../../../host/kubernetes/kubeconfigfiles.ts";
import { readBytes, statIfThere } from "../../../host/readfile.ts";
import { SignetError } from "../../../shared/errors.ts";
import { isItemName } from "../../../shared/kubernetes/secret.ts";
import { bindsNamespace } from "../../../shared/sealing/scope.ts";
import type { Project, ProjectCluster } from "../../repository/projectfile.ts";
import { type ClusterValues, readClusterValues, type Values } from "../../sealing/values.ts";
import { generatePassword } from "../../../shared/sealing/randompassword.ts";
import {
  askChoice,
  askChoices,
  askHidden,
  askText,
  askYesNo,
  canAsk,
} from "../../terminal/prompts.ts";
import type { Places } from "./newfiles.ts";
import { chosenClusters, namesOf, type NewOptions, type Plan } from "./newplan.ts";

const TYPES: readonly {
  readonly type: string;
  readonly words: string;
  readonly items: readonly string[];
}[] = [
  { type: "Opaque", words: "any values (Opaque)", items: [] },
  { type: "kubernetes.io/basic-auth", words: "user and password", items: ["username", "password"] },
  { type: "kubernetes.io/tls", words: "TLS certificate and key", items: ["tls.crt", "tls.key"] },
  { type: "kubernetes.io/ssh-auth", words: "SSH key", items: ["ssh-privatekey"] },
  { type: "kubernetes.io/dockerconfigjson", words: "registry login", items: [] },
];

/** @throws SignetError; then nothing was written */
export async function planFromAnswers(
  given: string | undefined,
  options: NewOptions,
  project: Project | null,
  places: Places,
): Promise<Plan> {
  if (!canAsk()) {
    throw new SignetError("usage", "standard input is not a terminal, and no values were given", {
      hint: "use --from-literal ITEM, --from-file, --from-env-file or --generate",
    });
  }
  const name = given ?? (await askText("Name of the Secret:", "", nameFault));
  const scope = options.scope ?? project?.scope ?? "strict";
  const namespace =
    options.namespace ??
    (bindsNamespace(scope)
      ? await askText("Namespace:", currentContext(options)?.namespace ?? "", nameFault)
      : "");
  const clusters = await askClusters(options, project);
  // Report errors before the user types.
  for (const cluster of clusters.length === 0 ? [null] : clusters) {
    await places.for({ name, namespace }, cluster);
  }
  const kind =
    options.type === undefined
      ? await askChoice(
          "Type:",
          TYPES.map((each) => ({ name: each.words, value: each })),
        )
      : { type: options.type, items: [] };
  const isSame = async (what: string): Promise<boolean> =>
    clusters.length < 2 ||
    (!options.perCluster && (await askYesNo(`Is ${what} the same in every cluster?`, true)));
  const values =
    kind.type === "kubernetes.io/dockerconfigjson"
      ? await askLogin(clusters, isSame)
      : await askItems(kind.items, clusters, isSame);
  return { name, namespace, scope, clusters, ...values, type: kind.type };
}

function nameFault(text: string): string | null {
  return /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text)
    ? null
    : "lower-case letters, digits and '-'";
}

/** Asks only if flags and signet.yaml leave several choices. */
async function askClusters(
  options: NewOptions,
  project: Project | null,
): Promise<readonly ProjectCluster[]> {
  const chosen = chosenClusters(options, project);
  if (chosen.length > 0 || options.cert !== undefined) return chosen;
  const all = [...(project?.clusters.values() ?? [])];
  if (all.length < 2) return all;
  return askChoices(
    "Clusters:",
    all.map((cluster) => ({ name: cluster.name, value: cluster })),
  );
}

/** Whether every cluster gets the same value; asks if there are several clusters. */
type IsSame = (what: string) => Promise<boolean>;

async function askLogin(
  clusters: readonly ProjectCluster[],
  isSame: IsSame,
): Promise<ClusterValues> {
  const dockerServer = await askText("Registry:", "https://index.docker.io/v1/");
  const dockerUsername = await askText("User:");
  const names = (await isSame("the password")) ? [] : namesOf(clusters);
  return readClusterValues({ dockerServer, dockerUsername }, names);
}

/** `items`: those of the type; if there are none, prompts for their names too. */
async function askItems(
  items: readonly string[],
  clusters: readonly ProjectCluster[],
  isSame: IsSame,
): Promise<{ readonly shared: Values; readonly own: ReadonlyMap<string, Values> }> {
  const shared = new Map<string, Uint8Array>();
  const own = new Map<string, Map<string, Uint8Array>>();
  const take = async (item: string): Promise<void> => {
    if (await isSame(item)) {
      shared.set(item, await askValue(item));
      return;
    }
    for (const cluster of clusters) {
      const values = own.get(cluster.name) ?? new Map<string, Uint8Array>();
      own.set(cluster.name, values.set(item, await askValue(`${item} in ${cluster.name}`)));
    }
  };
  for (const item of items) await take(item);
  while (items.length === 0) {
    const isFirst = shared.size + own.size === 0;
    const isTaken = (text: string): boolean =>
      shared.has(text) || [...own.values()].some((values) => values.has(text));
    const fault = (text: string): string | null => {
      if (text === "" && !isFirst) return null;
      if (!isItemName(text)) return "letters, digits, '-', '_' and '.'";
      return isTaken(text) ? `${text} already has a value` : null;
    };
    const item = await askText(
      isFirst ? "Name of a value:" : "Name of another value (empty to finish):",
      "",
      fault,
    );
    if (item === "") break;
    await take(item);
  }
  return { shared, own };
}

async function askValue(words: string): Promise<Uint8Array> {
  const from = await askChoice(`Value of ${words}:`, [
    { name: "type it (it is not shown)", value: "typed" },
    { name: "read a file", value: "file" },
    { name: "generate a password", value: "generated" },
  ]);
  if (from === "generated") return new TextEncoder().encode(generatePassword());
  if (from === "typed") {
    const text = await askHidden(`${words}:`, (value) => (value === "" ? "empty" : null));
    return new TextEncoder().encode(text);
  }
  const path = await askText("File:", "", (file) =>
    statIfThere(file)?.isFile() === true ? null : "file not found",
  );
  return readBytes(path);
}

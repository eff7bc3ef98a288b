// What `signet new` makes, as a person answers.

import { currentContext } from "../../../host/kubernetes/kubeconfigfiles.ts";
import { readBytes, statIfThere } from "../../../host/readfile.ts";
import { SignetError } from "../../../shared/errors.ts";
import { isItemName } from "../../../shared/kubernetes/secret.ts";
import { SCOPES } from "../../../shared/sealing/scope.ts";
import type { Project } from "../../repository/project.ts";
import { readClusterValues } from "../../sealing/values.ts";
import { generatePassword } from "../../sealing/valuesources.ts";
import type * as prompts from "../../terminal/prompts.ts";
import type { Places } from "./newfiles.ts";
import { chosenClusters, namesOf, type NewOptions, type Plan } from "./newplan.ts";

type Prompts = typeof prompts;

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

export async function planFromAnswers(
  given: string | undefined,
  options: NewOptions,
  project: Project | null,
  places: Places,
): Promise<Plan> {
  const ask = await import("../../terminal/prompts.ts");
  if (!ask.canAsk()) {
    throw new SignetError("usage", "there is nobody to ask, and no value was named", {
      hint: "say --from-literal ITEM, --from-file, --from-env-file or --generate",
    });
  }
  const isName = (text: string): string | null =>
    /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text) ? null : "lower-case letters, digits and '-'";
  const name = given ?? (await ask.askText("Name of the Secret:", "", isName));
  const scope = options.scope ?? project?.scope ?? SCOPES[0];
  const namespace =
    options.namespace ??
    (scope === "cluster-wide"
      ? ""
      : await ask.askText("Namespace:", currentContext(options)?.namespace ?? "", isName));
  let clusters = chosenClusters(options, project);
  const all = [...(project?.clusters.values() ?? [])];
  if (clusters.length === 0 && options.cert === undefined) {
    clusters =
      all.length < 2
        ? all
        : await ask.askChoices(
            "Clusters:",
            all.map((cluster) => ({ name: cluster.name, value: cluster })),
          );
  }
  // What is wrong with it is better said before someone types.
  for (const cluster of clusters.length === 0 ? [null] : clusters) {
    await places.for({ name, namespace }, cluster);
  }
  const kind =
    options.type === undefined
      ? await ask.askChoice(
          "Type:",
          TYPES.map((each) => ({ name: each.words, value: each })),
        )
      : { type: options.type, items: [] };
  const isSame = async (what: string): Promise<boolean> =>
    clusters.length < 2 ||
    (!options.perCluster && (await ask.askYesNo(`Is ${what} the same in every cluster?`, true)));
  if (kind.type === "kubernetes.io/dockerconfigjson") {
    const dockerServer = await ask.askText("Registry:", "https://index.docker.io/v1/");
    const dockerUsername = await ask.askText("User:");
    const names = (await isSame("the password")) ? [] : namesOf(clusters);
    const values = await readClusterValues({ dockerServer, dockerUsername }, names);
    return { name, namespace, scope, clusters, ...values, type: kind.type };
  }
  const shared = new Map<string, Uint8Array>();
  const own = new Map<string, Map<string, Uint8Array>>();
  const take = async (item: string): Promise<void> => {
    if (await isSame(item)) {
      shared.set(item, await askValue(ask, item));
      return;
    }
    for (const cluster of clusters) {
      const values = own.get(cluster.name) ?? new Map<string, Uint8Array>();
      own.set(cluster.name, values.set(item, await askValue(ask, `${item} in ${cluster.name}`)));
    }
  };
  for (const item of kind.items) await take(item);
  while (kind.items.length === 0) {
    const isFirst = shared.size + own.size === 0;
    const isTaken = (text: string): boolean =>
      shared.has(text) || [...own.values()].some((values) => values.has(text));
    const isWrong = (text: string): string | null => {
      if (text === "" && !isFirst) return null;
      if (!isItemName(text)) return "letters, digits, '-', '_' and '.'";
      return isTaken(text) ? `${text} has a value already` : null;
    };
    const item = await ask.askText(
      isFirst ? "Name of a value:" : "Name of another value (none: done):",
      "",
      isWrong,
    );
    if (item === "") break;
    await take(item);
  }
  return { name, namespace, type: kind.type, scope, clusters, shared, own };
}

async function askValue(ask: Prompts, words: string): Promise<Uint8Array> {
  const from = await ask.askChoice(`Value of ${words}:`, [
    { name: "type it (it is not shown)", value: "typed" },
    { name: "read a file", value: "file" },
    { name: "generate a password", value: "generated" },
  ]);
  if (from === "generated") return new TextEncoder().encode(generatePassword());
  if (from === "typed") {
    const text = await ask.askHidden(`${words}:`, (value) => (value === "" ? "empty" : null));
    return new TextEncoder().encode(text);
  }
  const path = await ask.askText("File:", "", (file) =>
    statIfThere(file)?.isFile() === true ? null : "there is no such file",
  );
  return readBytes(path);
}

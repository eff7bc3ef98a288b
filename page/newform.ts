// The form for a new Secret.

import { SelectorFault } from "../shared/kubernetes/labelselector.ts";
import {
  bindsNamespace,
  namespaceSelector,
  type Scope,
  SCOPES,
  selectorIn,
} from "../shared/sealing/scope.ts";
import type { PageSettings } from "../shared/sealingpage.ts";
import { FieldError } from "./announce.ts";
import type { ClusterList } from "./clusterlist.ts";
import { byId } from "./elements.ts";
import { ItemList } from "./itemlist.ts";
import { type NewSecret, sealNew } from "./newsecret.ts";
import type { SealedResult } from "./sealedresult.ts";

/** The items that people expect in a Secret of a type. */
const ITEMS_OF_TYPES: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
  "kubernetes.io/basic-auth": ["username", "password"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
};

export class NewForm {
  readonly root = byId("new-form", HTMLFormElement);
  readonly items: ItemList;
  readonly #clusters: ClusterList;
  readonly #newFile: string | undefined;

  constructor(clusters: ClusterList, { scope, newFile }: PageSettings) {
    this.#clusters = clusters;
    this.#newFile = newFile;
    this.items = new ItemList(
      byId("new-items", HTMLElement),
      byId("new-item", HTMLElement),
      this.arrange,
    );
    this.items.add();
    if (scope !== undefined) chooseScope(scope);
    byId("scope", HTMLSelectElement).addEventListener("change", this.arrange);
    byId("type", HTMLSelectElement).addEventListener("change", () => {
      const type = byId("type", HTMLSelectElement).value;
      this.items.suggest(ITEMS_OF_TYPES[type] ?? [""]);
      this.arrange();
    });
  }

  /** Shows the fields that the choices require. */
  readonly arrange = (): void => {
    const isOther = byId("type", HTMLSelectElement).value === "other";
    byId("other-type-field", HTMLElement).hidden = !isOther;
    byId("selector-field", HTMLElement).hidden = !isSelectorChosen();
    byId("own-values-field", HTMLElement).hidden = !this.#hasOwnValues;
  };

  get #hasOwnValues(): boolean {
    const isGenerated = this.items.rows.some((row) => row.isGenerated);
    return isGenerated && this.#clusters.chosen.length > 1;
  }

  /** @throws FieldError, SignetError */
  async seal(algorithm: string | undefined): Promise<SealedResult[]> {
    const clusters = this.#clusters.chosen;
    if (clusters.length === 0) {
      const first = document.querySelector<HTMLElement>(".cluster-chosen, #certificate-name");
      throw new FieldError("Choose a cluster, or add one by its certificate.", first ?? this.root);
    }
    const scope = readScope();
    const secret: NewSecret = {
      namespace: this.#namespace(scope),
      name: required("name", "The Secret needs a name."),
      type: this.#type(),
      scope,
      items: await this.items.readValues(),
      ownValues: this.#hasOwnValues && byId("own-values", HTMLInputElement).checked,
      ...(algorithm === undefined ? {} : { algorithm }),
      newFile: this.#newFile,
    };
    return sealNew(secret, clusters, new Date());
  }

  #namespace(scope: Scope): string {
    const field = byId("namespace", HTMLInputElement);
    if (!bindsNamespace(scope)) return field.value.trim();
    return required("namespace", "The Secret needs a namespace.");
  }

  #type(): string {
    const type = byId("type", HTMLSelectElement).value;
    return type === "other" ? required("other-type", "Name the type.") : type;
  }
}

const isSelectorChosen = (): boolean => byId("scope", HTMLSelectElement).value === "selector";

/** Shows a scope of the settings, unless it is unknown. */
function chooseScope(scope: string): void {
  const select = byId("scope", HTMLSelectElement);
  const selector = selectorIn(scope as Scope);
  if (selector !== null) {
    select.value = "selector";
    byId("selector", HTMLInputElement).value = selector;
  } else if (SCOPES.some((each) => each === scope)) {
    select.value = scope;
  }
}

/** The chosen scope, with the selector in its canonical spelling. @throws FieldError */
function readScope(): Scope {
  if (!isSelectorChosen()) return byId("scope", HTMLSelectElement).value as Scope;
  const field = byId("selector", HTMLInputElement);
  if (field.value.trim() === "") {
    throw new FieldError("Name the labels that the namespaces must have, such as team=a.", field);
  }
  try {
    return `selector ${namespaceSelector(field.value).text}`;
  } catch (error) {
    if (!(error instanceof SelectorFault)) throw error;
    throw new FieldError(`This selector ${error.message}.`, field);
  }
}

/** A name that Kubernetes accepts. @throws FieldError if it is missing or invalid */
function required(id: string, reason: string): string {
  const field = byId(id, HTMLInputElement);
  const text = field.value.trim();
  if (text === "") throw new FieldError(reason, field);
  if (id === "other-type" || /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(text)) return text;
  throw new FieldError("Use only lower-case letters, digits and '-'.", field);
}

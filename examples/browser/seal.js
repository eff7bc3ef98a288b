// The example's page: seals what the user enters, or shows the error. kube-signet/browser does the
// sealing.
import {
  formatManifests,
  formatSealedSecret,
  objectsOf,
  parseCertificate,
  parseManifests,
  parseSecret,
  seal,
  selectorScope,
  SignetError,
} from "kube-signet/browser";

const field = (id) => document.getElementById(id);

/** The objects in a text. */
function pasted(manifests) {
  return parseManifests(manifests).flatMap((document) => {
    if (document.surprises.length > 0)
      throw new Error("a value needs quotes: Kubernetes reads it otherwise");
    return [...objectsOf(document)];
  });
}

/** The Secret of the fields, in a list; an empty list where nothing is filled in. */
function filledIn() {
  const [namespace, name] = [field("namespace").value.trim(), field("name").value.trim()];
  const items = new Map();
  for (const row of document.querySelectorAll("#items .item")) {
    const key = row.querySelector(".key").value.trim();
    const { value } = row.querySelector(".value");
    if (key === "" && value === "") continue;
    if (key === "") throw new Error("a value has no item's name");
    if (items.has(key)) throw new Error(`the item ${key} is there twice`);
    items.set(key, value);
  }
  if (namespace === "" && name === "" && items.size === 0) return [];
  if (namespace === "" || name === "") throw new Error("a Secret needs a namespace and a name");
  const stringData = Object.fromEntries(items);
  return [{ apiVersion: "v1", kind: "Secret", metadata: { namespace, name }, stringData }];
}

async function sealAll(objects, pem, scope) {
  const certificate = await parseCertificate(pem);
  if (certificate.notAfter < new Date()) throw new Error("the certificate has expired");
  const sealed = [];
  for (const object of objects) {
    const secret = parseSecret(object);
    if (secret.data.size === 0)
      throw new Error(`${secret.metadata.name}: there is no value to seal`);
    sealed.push(formatSealedSecret(await seal(secret, certificate, scope)));
  }
  if (sealed.length === 0) throw new Error("there is no Secret to seal");
  return formatManifests(sealed, "yaml");
}

/** Undefined where the annotations of the Secrets say it. */
function chosenScope() {
  const scope = field("scope").value || undefined;
  return scope === "selector" ? selectorScope(field("selector").value) : scope;
}

async function show() {
  field("sealed").value = "";
  field("copy").disabled = true;
  try {
    const scope = chosenScope();
    const manifests = field("secret").value;
    const objects = manifests.trim() === "" ? filledIn() : pasted(manifests);
    field("sealed").value = await sealAll(objects, field("certificate").value, scope);
    field("copy").disabled = false;
    field("message").textContent = "sealed";
  } catch (error) {
    const code = error instanceof SignetError ? `${error.code}: ` : "";
    field("message").textContent = `${code}${error.message}`;
  }
}

async function copy() {
  await navigator.clipboard.writeText(field("sealed").value);
  field("message").textContent = "copied";
}

function addItem() {
  field("items").append(field("item").content.cloneNode(true));
}

addItem();
field("more").addEventListener("click", addItem);
field("seal").addEventListener("click", show);
field("copy").addEventListener("click", () => {
  copy().catch(() => {
    field("sealed").select();
    field("message").textContent = "press Ctrl-C to copy the selected text";
  });
});

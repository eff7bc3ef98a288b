// Owns: the example's page: what is typed into it -> SealedSecrets, or why not.
// Does not own: how a Secret is sealed (kube-signet/browser).
import {
  formatManifests,
  formatSealedSecret,
  objectsOf,
  parseCertificate,
  parseManifests,
  parseSecret,
  seal,
  SignetError,
} from "kube-signet/browser";

const field = (id) => document.getElementById(id);

async function sealAll(manifests, pem, scope) {
  const certificate = await parseCertificate(pem);
  if (certificate.notAfter < new Date()) throw new Error("the certificate has expired");
  const sealed = [];
  for (const document of parseManifests(manifests)) {
    const [surprise] = document.surprises;
    if (surprise !== undefined)
      throw new Error("a value needs quotes: Kubernetes reads it otherwise");
    for (const object of objectsOf(document)) {
      sealed.push(formatSealedSecret(await seal(parseSecret(object), certificate, scope)));
    }
  }
  return formatManifests(sealed, "yaml");
}

async function show() {
  field("sealed").value = "";
  try {
    const scope = field("scope").value || undefined;
    field("sealed").value = await sealAll(field("secret").value, field("certificate").value, scope);
    field("message").textContent = "sealed";
  } catch (error) {
    const code = error instanceof SignetError ? `${error.code}: ` : "";
    field("message").textContent = `${code}${error.message}`;
  }
}

field("seal").addEventListener("click", show);

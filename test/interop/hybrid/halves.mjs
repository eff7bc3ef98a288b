// Run by any Node, with the package's library: seals values for a certificate and opens others with
// its key. Standard input and output are JSON, values in base64.
import { readFileSync } from "node:fs";

const [library] = process.argv.slice(2);
const { Keyring, parseCertificate, parseSealedSecret, readKeyFile, seal, unseal } = await import(
  library
);
const { certificate, key, values, sealed } = JSON.parse(readFileSync(0, "utf8"));
const metadata = { name: "db", namespace: "demo", labels: {}, annotations: {}, rest: {} };

const data = new Map(
  Object.entries(values).map(([item, value]) => [
    item,
    new Uint8Array(Buffer.from(value, "base64")),
  ]),
);
const secret = { metadata, type: "", immutable: undefined, data };
const ours = await seal(secret, parseCertificate(certificate));

const theirs = parseSealedSecret({
  apiVersion: "bitnami.com/v1alpha1",
  kind: "SealedSecret",
  metadata: { name: "db", namespace: "demo" },
  spec: { encryptedData: sealed },
});
const opened = await unseal(theirs, new Keyring(readKeyFile(key, "key")));
process.stdout.write(
  JSON.stringify({
    sealed: Object.fromEntries(ours.encryptedData),
    opened: Object.fromEntries(
      [...opened.secret.data].map(([item, value]) => [item, Buffer.from(value).toString("base64")]),
    ),
  }),
);

// Values in the form of PEM and its relatives that anyone may see: public ones, and encrypted ones.

const BEGINNING =
  /^-----BEGIN ((?:TRUSTED )?CERTIFICATE|X509 CRL|(?:RSA )?PUBLIC KEY|PGP PUBLIC KEY BLOCK|PGP MESSAGE|AGE ENCRYPTED FILE)-----$/;
const BODY =
  /^([A-Za-z0-9+/]*={0,2}|=[A-Za-z0-9+/]{4}|(Version|Hash|Charset|MessageID): [\w .:-]*)$/;

/** Whether a text is nothing but certificates, public keys and encrypted messages. */
export function isArmored(text: string): boolean {
  if (!text.trimStart().startsWith("-----BEGIN ")) return false;
  let label: string | undefined;
  for (const line of text.split("\n").map((each) => each.trim())) {
    if (label === undefined) {
      label = BEGINNING.exec(line)?.[1];
      if (label === undefined && line !== "") return false;
    } else if (line === `-----END ${label}-----`) {
      label = undefined;
    } else if (!BODY.test(line)) {
      return false;
    }
  }
  return label === undefined;
}

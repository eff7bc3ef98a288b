// What a secretGenerator reads: files that SOPS and others encrypted, and those that only look like it.
import { describe, expect, it } from "vitest";
import { findInGeneratorFile } from "../../cli/checks/generators.ts";

const found = (text: string | Buffer, isEnv: boolean): readonly string[] =>
  findInGeneratorFile(Buffer.from(text), { isEnv, object: "db", path: "file" }).flatMap(
    ({ items }) => items,
  );

const encrypted = (type = "str"): string =>
  `ENC[AES256_GCM,data:p673w==,iv:YY=,tag:UQ==,type:${type}]`;
const NOTES = {
  age: [{ recipient: "age1abc", enc: "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END" }],
  lastmodified: "2026-01-01T00:00:00Z",
  mac: encrypted(),
  unencrypted_suffix: "_unencrypted",
  version: "3.9.0",
};
const ENV_NOTES = `sops_age__list_0__map_enc=-----BEGIN AGE ENCRYPTED FILE-----\\nYWdl\\n
sops_age__list_0__map_recipient=age1abc
sops_lastmodified=2026-01-01T00:00:00Z
sops_mac=${encrypted()}
sops_unencrypted_suffix=_unencrypted
sops_version=3.9.0
`;
const json = (values: object, notes: object = NOTES): string =>
  JSON.stringify({ ...values, sops: notes }, null, 2);
const yaml = (values: string): string => `${values}sops: ${JSON.stringify(NOTES)}\n`;
const ini = (values: string): string =>
  `[db]\n${values}\n[sops]\nlastmodified = 2026-01-01T00:00:00Z\nmac = ${encrypted()}\nversion = 3.9.0\nage__list_0__map_recipient = age1abc\n`;

describe("a file that SOPS encrypted", () => {
  it.for([
    ["YAML", yaml(`# of it\na: ${encrypted()}\nb:\n  - c: ${encrypted("int")}\nd: ""\ne: null\n`)],
    ["JSON", json({ a: encrypted(), b: { c: [encrypted("bool")] } })],
    ["any bytes", json({ data: encrypted() })],
    ["INI", ini(`a = ${encrypted()}\n; of it\nempty =`)],
    ["settings of a shell", `A=${encrypted()}\n#${encrypted("comment")}\nB=\n${ENV_NOTES}`],
    ["a key that says so", yaml(`a: ${encrypted()}\nhost_unencrypted: {a: b}\n`)],
  ])("is no finding: %s", ([, text]) => {
    expect(found(text as string, false)).toEqual([]);
  });

  it("is no finding as settings that become an item each", () => {
    expect(
      found(`A=${encrypted()}\nB="${encrypted()}"\nC_unencrypted=x\n${ENV_NOTES}`, true),
    ).toEqual([]);
  });

  it.for([
    ["YAML", yaml(`a: ${encrypted()}\npassword: hunter2\n`)],
    ["a number", yaml(`a: ${encrypted()}\npin: 1234\n`)],
    ["a list", json({ a: [encrypted(), { b: "hunter2" }] })],
    ["INI", ini(`a = ${encrypted()}\npassword = hunter2`)],
    ["a line of INI without a value", ini(`a = ${encrypted()}\nhunter2`)],
    ["settings of a shell", `A=${encrypted()}\nPASSWORD=hunter2\n${ENV_NOTES}`],
    ["among the notes", json({ a: encrypted() }, { ...NOTES, password: "hunter2" })],
    ["what notes exclude", json({ password: "hunter2" }, { ...NOTES, encrypted_regex: "^$" })],
    ["what only begins so", json({ password: `${encrypted()} hunter2` })],
    ["a further document", `${yaml(`a: ${encrypted()}\n`)}---\npassword: hunter2\n`],
  ])("is a finding where a value is plain: %s", ([, text]) => {
    expect(found(text as string, false)).toEqual(["file"]);
  });

  it("names the plain ones of settings that become an item each", () => {
    expect(
      found(`A=${encrypted()}\nPASSWORD=hunter2\n${ENV_NOTES}sops_password=x\n`, true),
    ).toEqual(["PASSWORD", "sops_password"]);
  });
});

it("never tells a value, also where it stands alone on a line", () => {
  expect(found(`A=${encrypted()}\nhunter2\n${ENV_NOTES}`, true)).toEqual(["a line without a name"]);
});

describe("a file that only looks encrypted", () => {
  it.for([
    ["a comment", "# mac: ENC[AES256_GCM,\nPASSWORD=hunter2\n"],
    ["an encrypted line", `sops_mac=${encrypted()}\nPASSWORD=hunter2\n`],
    ["a value that is not encrypted", "PASSWORD=ENC[AES256_GCM,hunter2]\n"],
    ["the first line of Ansible", "$ANSIBLE_VAULT;1.1;AES256\nPASSWORD=hunter2\n61\n"],
    ["the first line of age", "age-encryption.org/v1\nPASSWORD=hunter2\n"],
    ["the first bytes of git-crypt", "\0GITCRYPT\0\nPASSWORD=hunter2\n"],
    [
      "the lines of age",
      "-----BEGIN AGE ENCRYPTED FILE-----\nPASSWORD=hunter2\n-----END AGE ENCRYPTED FILE-----\n",
    ],
    [
      "the lines of PGP",
      "-----BEGIN PGP MESSAGE-----\n\nPASSWORD=hunter2\n-----END PGP MESSAGE-----\nA=b\n",
    ],
  ])("is a finding: %s", ([, text]) => {
    for (const isEnv of [true, false]) expect(found(text as string, isEnv)).not.toEqual([]);
  });

  it.for([
    ["Ansible", "$ANSIBLE_VAULT;1.2;AES256;dev\n6162\n6364\n"],
    ["age", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\nLS0=\n-----END AGE ENCRYPTED FILE-----\n"],
    [
      "PGP",
      "-----BEGIN PGP MESSAGE-----\r\nVersion: GnuPG v2\r\n\r\nhQEMA0==\r\n=aBc1\r\n-----END PGP MESSAGE-----\r\n",
    ],
    [
      "age in bytes",
      Buffer.from("age-encryption.org/v1\n-> X25519 abc\n--- def\n\xff\x80", "latin1"),
    ],
    ["git-crypt", Buffer.from("\0GITCRYPT\0\xff\x80", "latin1")],
  ] as const)("is none where it is encrypted: %s", ([, text]) => {
    for (const isEnv of [true, false]) expect(found(text, isEnv)).toEqual([]);
  });
});

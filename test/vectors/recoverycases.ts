// The cases of test/vectors/wrapped and test/vectors/recovery.
// SPEC.md, "Wrapped keys", "Recovery".

import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption";
import { formatKeySecret } from "../../shared/keys/keyfile.ts";
import { KMS_PROVIDERS, type KeyService, type KmsProvider } from "../../shared/keys/keyservice.ts";
import { formatShare, recoveryFilesOf } from "../../shared/keys/recoveryfiles.ts";
import { KEY_FILE, type RecoveryPolicy } from "../../shared/keys/recoverynames.ts";
import { formatWrappedKey, type WrappedKey, wrapKey } from "../../shared/keys/wrappedkey.ts";
import { Decrypter, armor } from "age-encryption";
import { ageFileFor } from "../../shared/keys/agefile.ts";
import { formatManifests } from "../../shared/manifest/manifest.ts";
import { base64, type Case, certificateOf, keyPem, OURS, type Sections } from "./tools.ts";
import type { KeyName } from "./vectors.ts";

const NAMESPACE = "kube-system";
const NAME = "sealed-secrets-key1";
const MOMENT = {
  since: new Date("2026-11-29T20:00:00Z"),
  created: new Date("2026-01-02T03:04:05Z"),
};

interface Wrapping {
  readonly wrapped: WrappedKey;
  readonly dataKey: Uint8Array;
}

/** A wrapped key, and the data key that the service returns for it. */
async function wrapping(provider: KmsProvider, key: KeyName): Promise<Wrapping> {
  let dataKey = new Uint8Array();
  const service: KeyService = {
    provider,
    describe: () => "the maker of vectors",
    wrap: (given) => {
      dataKey = Uint8Array.from(given);
      // What the service makes of it is for the service alone to read.
      return Promise.resolve({ key: "signet v1", ciphertext: new Uint8Array(48).fill(7) });
    },
    unwrap: () => Promise.resolve(Uint8Array.from(dataKey)),
  };
  const { fingerprint } = certificateOf(key);
  const context = { namespace: NAMESPACE, name: NAME, fingerprint };
  return { wrapped: await wrapKey(keyPem(key, "key"), context, service, MOMENT), dataKey };
}

interface WrappedCase {
  readonly name: string;
  readonly comment: string;
  readonly provider?: KmsProvider;
  readonly key?: KeyName;
  readonly by?: string;
  /** Of a refused one: what is changed. */
  readonly headers?: Sections;
  readonly change?: (fields: Record<string, unknown>) => void;
  readonly text?: (text: string) => string;
}

function wrapped(expect: string, vector: WrappedCase): Case {
  const { name, comment, provider = "transit", key = "first", headers = {}, change, text } = vector;
  return {
    kind: "wrapped",
    name,
    comment,
    by: vector.by ?? (change === undefined && text === undefined ? OURS : "hand"),
    make: async () => {
      const made = await wrapping(provider, key);
      const annotations = { "kms.example.org": base64(new Uint8Array([1, 2, 3])) };
      const full = provider === "kmsv2" ? { ...made.wrapped, annotations } : made.wrapped;
      const fields = JSON.parse(formatWrappedKey(full)) as Record<string, unknown>;
      change?.(fields);
      const written = JSON.stringify(fields);
      return {
        headers: {
          expect,
          namespace: NAMESPACE,
          name: NAME,
          "data-key": base64(made.dataKey),
          ...(expect === "opened" ? { under: key } : {}),
          ...headers,
        },
        sections: { wrapped: text?.(written) ?? written },
      };
    },
  };
}

/** Flips the last bit of a byte of a field in base64. */
function flip(fields: Record<string, unknown>, field: string, at: number): void {
  const bytes = Buffer.from(String(fields[field]), "base64");
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ 1;
  fields[field] = base64(bytes);
}

const refused: readonly WrappedCase[] = [
  { name: "not-json", comment: "Cut in the middle.", text: (text) => text.slice(0, -40) },
  { name: "not-an-object", comment: "A list of one.", text: (text) => `[${text}]` },
  { name: "version-two", comment: "A version of its own.", change: (f) => (f["version"] = 2) },
  { name: "version-text", comment: "The version as a text.", change: (f) => (f["version"] = "1") },
  { name: "unknown-field", comment: "One more field.", change: (f) => (f["more"] = "") },
  { name: "no-created", comment: "A field is missing.", change: (f) => delete f["created"] },
  { name: "unknown-provider", comment: "No such service.", change: (f) => (f["provider"] = "vault") },
  { name: "line-break-in-key", comment: "Not printable.", change: (f) => (f["key"] = "a\nb") },
  {
    name: "milliseconds",
    comment: "A moment that is not in whole seconds.",
    change: (f) => (f["since"] = "2026-11-29T20:00:00.000Z"),
  },
  {
    name: "base64-not-canonical",
    comment: "The same bytes by another text.",
    change: (f) => (f["nonce"] = `${String(f["nonce"]).slice(0, -1)}\n${String(f["nonce"]).at(-1) ?? ""}`),
  },
  { name: "short-nonce", comment: "Three bytes.", change: (f) => (f["nonce"] = "AAAA") },
  { name: "annotations-a-list", comment: "Not an object.", change: (f) => (f["annotations"] = []) },
  { name: "other-namespace", comment: "Copied to another namespace.", headers: { namespace: "demo" } },
  { name: "other-name", comment: "Copied to another Secret.", headers: { name: "other" } },
  {
    name: "other-fingerprint",
    comment: "Said to be another key.",
    change: (f) => (f["fingerprint"] = certificateOf("second").fingerprint),
  },
  { name: "changed-provider", comment: "Bound as well.", change: (f) => (f["provider"] = "aws") },
  { name: "changed-key", comment: "Bound as well.", change: (f) => (f["key"] = "signet v2") },
  {
    name: "changed-since",
    comment: "Bound as well.",
    change: (f) => (f["since"] = "2026-11-29T20:00:01Z"),
  },
  {
    name: "changed-created",
    comment: "Bound as well: it orders the keys.",
    change: (f) => (f["created"] = "2020-01-02T03:04:05Z"),
  },
  { name: "nonce-bit", comment: "One bit.", change: (f) => { flip(f, "nonce", 0); } },
  { name: "ciphertext-bit", comment: "One bit.", change: (f) => { flip(f, "ciphertext", 0); } },
  { name: "tag-bit", comment: "One bit.", change: (f) => { flip(f, "ciphertext", -1); } },
  {
    name: "other-data-key",
    comment: "The service returns another one.",
    headers: { "data-key": base64(new Uint8Array(32)) },
  },
  {
    name: "short-data-key",
    comment: "The service returns 16 bytes.",
    headers: { "data-key": base64(new Uint8Array(16)) },
  },
  {
    name: "another-key-inside",
    comment: "It opens, and holds another key than its fingerprint says.",
    by: OURS,
  },
];

export const WRAPPED_CASES: readonly Case[] = [
  ...KMS_PROVIDERS.map((provider) =>
    wrapped("opened", { name: provider, comment: `Wrapped by ${provider}.`, provider }),
  ),
  wrapped("opened", { name: "two-halves", comment: "A key of two halves.", key: "both" }),
  ...refused.map((vector) => wrapped("key-invalid", vector)).map((vector): Case =>
    vector.name === "another-key-inside" ? anotherKeyInside(vector) : vector,
  ),
];

function anotherKeyInside(vector: Case): Case {
  return {
    ...vector,
    make: async () => {
      let dataKey = new Uint8Array();
      const service: KeyService = {
        provider: "transit",
        describe: () => "the maker of vectors",
        wrap: (given) => {
          dataKey = Uint8Array.from(given);
          return Promise.resolve({ key: "signet v1", ciphertext: new Uint8Array(48).fill(7) });
        },
        unwrap: () => Promise.resolve(Uint8Array.from(dataKey)),
      };
      const { fingerprint } = certificateOf("first");
      const context = { namespace: NAMESPACE, name: NAME, fingerprint };
      const made = await wrapKey(keyPem("second", "key"), context, service, MOMENT);
      return {
        headers: {
          expect: "key-invalid",
          namespace: NAMESPACE,
          name: NAME,
          "data-key": base64(dataKey),
        },
        sections: { wrapped: formatWrappedKey(made) },
      };
    },
  };
}

interface Holder {
  readonly identity: string;
  readonly recipient: string;
}

async function holders(count: number, generate = generateX25519Identity): Promise<Holder[]> {
  const made: Holder[] = [];
  for (let index = 0; index < count; index++) {
    const identity = await generate();
    made.push({ identity, recipient: await identityToRecipient(identity) });
  }
  return made;
}

function secretOf(key: KeyName) {
  const pair = { privateKeyPem: keyPem(key, "key"), certificatePem: keyPem(key, "crt") };
  return formatKeySecret(pair, { name: NAME, namespace: NAMESPACE });
}

function filesOf(key: KeyName, policy: RecoveryPolicy): Promise<Record<string, string>> {
  return recoveryFilesOf(secretOf(key), certificateOf(key).fingerprint, policy);
}

const NUMBERS = ["one", "two", "three"];

/** The files of a key, as sections. */
function sectionsOf(files: Readonly<Record<string, string>>): Sections {
  return Object.fromEntries(
    Object.entries(files).map(([name, text]) => {
      const number = Number(/^share-(\d+)/.exec(name)?.[1] ?? 0);
      return [name === KEY_FILE ? "key" : `share-${NUMBERS[number - 1] ?? ""}`, text];
    }),
  );
}

async function shareOf(file: string | undefined, { identity }: Holder): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return decrypter.decrypt(armor.decode(file ?? ""), "text");
}

const recipientsOf = (all: readonly Holder[]): string[] => all.map(({ recipient }) => recipient);

function recovery(
  expect: string,
  name: string,
  comment: string,
  make: () => Promise<{ files: Record<string, string>; identities: string[] }>,
): Case {
  return {
    kind: "recovery",
    name,
    comment,
    by: OURS,
    make: async () => {
      const { files, identities } = await make();
      const { fingerprint } = certificateOf("first");
      const given = identities.map((each) => each.trim()).join("\n");
      return {
        headers: { expect, fingerprint },
        sections: { identities: given, ...sectionsOf(files) },
      };
    },
  };
}

async function quorum(count = 3) {
  const all = await holders(count);
  const files = await filesOf("first", { recipients: recipientsOf(all), quorum: 2 });
  const [anna, ben] = all as [Holder, Holder];
  return { all, files, anna, ben };
}

export const RECOVERY_CASES: readonly Case[] = [
  recovery("opened", "second-of-two", "Any of the recipients opens it.", async () => {
    const [anna, ben] = (await holders(2)) as [Holder, Holder];
    const recipients = recipientsOf([anna, ben]);
    const files = await filesOf("first", { recipients, quorum: null });
    return { files, identities: [ben.identity] };
  }),
  recovery("opened", "post-quantum", "A post-quantum recipient.", async () => {
    const [anna] = (await holders(1, generateHybridIdentity)) as [Holder];
    const files = await filesOf("first", { recipients: [anna.recipient], quorum: null });
    return { files, identities: [anna.identity] };
  }),
  recovery("opened", "quorum-identities", "Two of three, by their identities.", async () => {
    const { files, anna, ben } = await quorum();
    return { files, identities: [anna.identity, ben.identity] };
  }),
  recovery("opened", "quorum-shares", "Two of three, by what they handed over.", async () => {
    const { files, anna, ben } = await quorum();
    const shares = [await shareOf(files["share-1.age"], anna), await shareOf(files["share-2.age"], ben)];
    return { files, identities: shares };
  }),
  recovery("opened", "quorum-forged-share", "A forged share among two right ones.", async () => {
    const { files, anna, ben } = await quorum();
    const { fingerprint } = certificateOf("first");
    const forged = formatShare({ fingerprint, quorum: 2, bytes: new Uint8Array(75).fill(7) });
    return { files, identities: [forged, anna.identity, ben.identity] };
  }),
  recovery("opened", "quorum-former-shares", "Shares of before and after a change.", async () => {
    const { all, files: before, anna, ben } = await quorum();
    const files = await filesOf("first", { recipients: recipientsOf(all), quorum: 2 });
    const former = [
      await shareOf(before["share-1.age"], anna),
      await shareOf(before["share-2.age"], ben),
    ];
    return { files, identities: [...former, anna.identity, ben.identity] };
  }),
  recovery("key-invalid", "other-identity", "The identity of somebody else.", async () => {
    const [anna, stranger] = (await holders(2)) as [Holder, Holder];
    const files = await filesOf("first", { recipients: [anna.recipient], quorum: null });
    return { files, identities: [stranger.identity] };
  }),
  recovery("key-invalid", "quorum-one", "One of those whom it takes two of.", async () => {
    const { files, anna } = await quorum();
    return { files, identities: [anna.identity] };
  }),
  recovery("key-invalid", "quorum-mixed", "Two shares that were never of one set.", async () => {
    const { all, files: before, anna } = await quorum();
    const files = await filesOf("first", { recipients: recipientsOf(all), quorum: 2 });
    const [, ben] = all as [Holder, Holder];
    const former = await shareOf(before["share-1.age"], anna);
    return { files, identities: [former, ben.identity] };
  }),
  recovery("key-invalid", "quorum-other-key", "Shares that are of another key.", async () => {
    const { all, files, anna, ben } = await quorum();
    const other = await filesOf("second", { recipients: recipientsOf(all), quorum: 2 });
    const shares = [await shareOf(other["share-1.age"], anna), await shareOf(other["share-2.age"], ben)];
    return { files, identities: shares };
  }),
  recovery("key-invalid", "another-key", "It holds another key than its name says.", async () => {
    const [anna] = (await holders(1)) as [Holder];
    const files = await filesOf("second", { recipients: [anna.recipient], quorum: null });
    return { files, identities: [anna.identity] };
  }),
  recovery("key-invalid", "two-keys", "It holds another key as well.", async () => {
    const [anna] = (await holders(1)) as [Holder];
    const text = formatManifests([secretOf("first"), secretOf("second")], "yaml");
    return {
      files: { [KEY_FILE]: await ageFileFor(text, [anna.recipient]) },
      identities: [anna.identity],
    };
  }),
  recovery("key-invalid", "damaged", "One character of it is another.", async () => {
    const [anna] = (await holders(1)) as [Holder];
    const files = await filesOf("first", { recipients: [anna.recipient], quorum: null });
    const file = files[KEY_FILE] ?? "";
    const at = Math.floor(file.length / 2);
    const other = file[at] === "A" ? "B" : "A";
    return {
      files: { [KEY_FILE]: `${file.slice(0, at)}${other}${file.slice(at + 1)}` },
      identities: [anna.identity],
    };
  }),
];

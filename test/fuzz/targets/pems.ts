// PEM blocks in a text that somebody else wrote: the same as an expression for whole blocks finds.

import { pemBlocks } from "../../../shared/keys/pem.ts";
import { mutateBytes } from "../mutate.ts";
import { fixture, seedsOf } from "../material.ts";
import { checkSame, type Target, textOf } from "../target.ts";

const LABELS = ["CERTIFICATE", "(?:RSA |EC |ENCRYPTED )?PRIVATE KEY", "[A-Z ]+"];
const WORDS = [
  ...["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY"].flatMap((label) => [
    `-----BEGIN ${label}-----`,
    `-----END ${label}-----`,
    `-----BEGIN ${label}-----\n-----END ${label}-----`,
    `-----BEGIN ${label}-----END ${label}-----`,
  ]),
  ...["-----", "-", "BEGIN ", "END ", "\n", "A"],
];

/** Takes quadratic time, so only short texts are tried. */
const MAX_LENGTH = 20_000;

export const pems: Target = {
  name: "pems",
  seeds: () => seedsOf([fixture("cert.pem"), fixture("key.pem"), WORDS.join("\n"), WORDS.join("")]),
  generate: (random, seeds) => mutateBytes(random, seeds, WORDS),
  short: 500,
  run: (input) => {
    const text = textOf(input).slice(0, MAX_LENGTH);
    for (const label of LABELS) {
      const whole = new RegExp(`-----BEGIN (${label})-----[^]*?-----END \\1-----`, "g");
      checkSame(pemBlocks(text, label), text.match(whole) ?? [], `the blocks of ${label}`);
    }
  },
};

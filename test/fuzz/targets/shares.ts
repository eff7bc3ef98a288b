// Shares of a quorum: lines that holders hand over, among which strangers' may be.

import { split } from "shamir-secret-sharing";
import { generateX25519Identity } from "age-encryption";
import {
  formatShare,
  identitiesOf,
  parseShare,
  type Share,
} from "../../../shared/keys/recoveryfiles.ts";
import { mutateBytes } from "../mutate.ts";
import { seedsOf } from "../material.ts";
import { bytesOf, checkSame, Find, type Target, textOf } from "../target.ts";

const FINGERPRINT = `SHA256:${"A".repeat(43)}`;
const QUORUM = 2;
const WORDS = ["signet-share-1 ", FINGERPRINT, " 2 ", " 3 ", " 999 ", "\n", "AA==", "=", " "];
/** More lines than a person has. */
const MAX_LINES = 12;

/** What the seeds make; nothing else may come out but what a stranger's own shares make. */
let identity = "";

async function seeds(): Promise<Uint8Array[]> {
  identity = await generateX25519Identity();
  const shares = await split(bytesOf(identity), 3, QUORUM);
  const lines = shares.map((bytes) =>
    formatShare({ fingerprint: FINGERPRINT, quorum: QUORUM, bytes }),
  );
  return seedsOf([lines.join(""), lines.slice(1).join(""), ...lines]);
}

export const shares: Target = {
  name: "shares",
  seeds,
  generate: (random, all) => mutateBytes(random, all, WORDS),
  short: 200,
  run: async (input) => {
    const read: Share[] = [];
    for (const line of textOf(input).split("\n").slice(0, MAX_LINES)) {
      const share = parseShare(line);
      if (share === null) continue;
      checkSame(parseShare(formatShare(share)), share, "a share that was read and written");
      read.push(share);
    }
    for await (const made of identitiesOf(read)) {
      // The checksum lets nothing else through.
      if (made !== identity) throw new Find("other shares make another identity");
    }
  },
};

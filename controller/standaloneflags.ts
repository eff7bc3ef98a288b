// The flags of the standalone mode.
// SPEC.md, "Standalone mode".

import type { Command } from "commander";
import {
  addFlags,
  addFlagsWithEnvironment,
  type FlagRow,
  KEY_FLAGS,
  type KeyFlags,
  LOG_FLAGS,
  type LogFlags,
} from "./flags.ts";
import { readDuration } from "./flagreaders.ts";

export interface StandaloneFlags extends KeyFlags, LogFlags {
  readonly from: string[];
  readonly to: string;
  readonly keys: string;
  readonly namespace: string;
  readonly envFiles?: true;
  readonly writeCert?: string;
  readonly newKey?: true;
  readonly watch?: true;
  readonly interval: number;
}

const FOLDER_FLAGS: readonly FlagRow[] = [
  {
    flag: "--from <path...>",
    words: "sealed manifests: files and folders, such as a Git checkout",
    isRequired: true,
  },
  {
    flag: "--to <folder>",
    words: "gets the Secrets: NAMESPACE/NAME/ITEM, a file an item",
    isRequired: true,
  },
  {
    flag: "--keys <folder>",
    words: "the sealing keys; a first one is made where there is none",
    isRequired: true,
  },
  { flag: "--namespace <name>", words: "of SealedSecrets that name none", byDefault: "default" },
  { flag: "--env-files", words: "also write NAMESPACE/_env/NAME" },
  { flag: "--write-cert <file>", words: "write the certificate to seal with" },
  {
    flag: "--new-key",
    words: "make a new sealing key first; older ones still open what they sealed",
  },
  { flag: "--watch", words: "stay, and follow changes on both sides" },
  {
    flag: "--interval <duration>",
    words: "how often --watch looks",
    read: readDuration,
    byDefault: "1s",
  },
];

/** Adds the flags of the standalone mode to `command`, which then parses to `StandaloneFlags`. */
export function addStandaloneOptions(command: Command): Command {
  addFlags(command, FOLDER_FLAGS);
  return addFlagsWithEnvironment(command, [...KEY_FLAGS, ...LOG_FLAGS]);
}

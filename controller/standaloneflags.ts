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
    words: "files and folders with sealed manifests, such as a Git checkout",
    isRequired: true,
  },
  {
    flag: "--to <folder>",
    words: "output folder: one file per item, at NAMESPACE/NAME/ITEM",
    isRequired: true,
  },
  {
    flag: "--keys <folder>",
    words: "folder with the sealing keys; if it has none, the first one is created",
    isRequired: true,
  },
  {
    flag: "--namespace <name>",
    words: "namespace of SealedSecrets that have none",
    byDefault: "default",
  },
  { flag: "--env-files", words: "also write NAMESPACE/_env/NAME" },
  { flag: "--write-cert <file>", words: "write the certificate for sealing to this file" },
  {
    flag: "--new-key",
    words: "create a new sealing key first; older keys still open what they sealed",
  },
  { flag: "--watch", words: "keep running, and follow changes to manifests, keys and Secrets" },
  {
    flag: "--interval <duration>",
    words: "how often --watch checks for changes",
    read: readDuration,
    byDefault: "1s",
  },
];

/** Adds the flags of the standalone mode to `command`, which then parses to `StandaloneFlags`. */
export function addStandaloneOptions(command: Command): Command {
  addFlags(command, FOLDER_FLAGS);
  return addFlagsWithEnvironment(command, [...KEY_FLAGS, ...LOG_FLAGS]);
}

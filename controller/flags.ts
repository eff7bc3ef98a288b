// What a flag's row means, and the rows that both modes share.

import { type Command, Option } from "commander";
import { KEY_ORDERS, type KeyOrder } from "../shared/keys/keyfile.ts";
import { readBoolean, readDuration, readInteger, readKeyPrefix } from "./flagreaders.ts";
import type { LogFormat, LogLevel } from "./log.ts";

/** One flag. */
export interface FlagRow {
  /** Name and value as commander writes them, such as `--key-size <bits>`. */
  readonly flag: string;
  readonly words: string;
  /** Default: the text unchanged. */
  readonly read?: (text: string) => unknown;
  readonly choices?: readonly string[];
  /** In the flag's own syntax. */
  readonly byDefault?: string;
  /** The default as help shows it, if `byDefault` is not clear. */
  readonly shownDefault?: string;
  readonly isRequired?: boolean;
  /** Accepted, but not shown in the help. */
  readonly isHidden?: boolean;
}

export interface KeyFlags {
  readonly keyPrefix: string;
  readonly keySize: number;
  readonly hybridKeys: boolean;
  readonly keyTtl: number;
  readonly myCn: string;
  readonly keyOrderPriority: KeyOrder;
}

export interface LogFlags {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

export const KEY_FLAGS: readonly FlagRow[] = [
  {
    flag: "--key-prefix <text>",
    words: "name prefix of new sealing keys",
    read: readKeyPrefix,
    byDefault: "sealed-secrets-key",
  },
  {
    flag: "--key-size <bits>",
    words: "RSA key size of new sealing keys, in bits",
    read: readInteger,
    byDefault: "4096",
  },
  {
    flag: "--hybrid-keys [bool]",
    words: "add a post-quantum half to new sealing keys",
    read: readBoolean,
    byDefault: "false",
  },
  {
    flag: "--key-ttl <duration>",
    words: "validity of new certificates",
    read: readDuration,
    byDefault: "87600h",
  },
  {
    flag: "--my-cn <text>",
    words: "common name of new certificates",
    byDefault: "",
    shownDefault: "empty",
  },
  {
    flag: "--key-order-priority <moment>",
    words: "time that decides which sealing key is the newest",
    choices: KEY_ORDERS,
    byDefault: "CertNotBefore",
  },
];

export const LOG_FLAGS: readonly FlagRow[] = [
  {
    flag: "--log-level <level>",
    words: "minimum log level",
    choices: ["DEBUG", "INFO", "WARN", "ERROR"],
    byDefault: "INFO",
  },
  {
    flag: "--log-format <format>",
    words: "format of log lines",
    choices: ["text", "json"],
    byDefault: "text",
  },
];

/** Adds flags that only the command line can set. */
export function addFlags(command: Command, rows: readonly FlagRow[]): Command {
  for (const row of rows) command.addOption(optionOf(row));
  return command;
}

/**
 * Adds flags that the environment can also set; the variables have the same names as the
 * original's.
 */
export function addFlagsWithEnvironment(command: Command, rows: readonly FlagRow[]): Command {
  for (const row of rows) {
    const option = optionOf(row);
    const name = option.long?.slice(2).toUpperCase().replaceAll("-", "_") ?? "";
    command.addOption(option.env(`SEALED_SECRETS_${name}`));
  }
  return command;
}

function optionOf(row: FlagRow): Option {
  const { flag, words, read, choices, byDefault, shownDefault } = row;
  const option = new Option(flag, words);
  if (choices !== undefined) option.choices(choices);
  if (read !== undefined) option.argParser(read);
  // `--flag` alone means true, as Go's flags read it.
  if (read === readBoolean) option.preset("true");
  if (byDefault !== undefined) {
    const value = read === undefined ? byDefault : read(byDefault);
    // Commander quotes a default that is text.
    option.default(value, shownDefault ?? (typeof value === "string" ? undefined : byDefault));
  }
  if (row.isRequired === true) option.makeOptionMandatory();
  if (row.isHidden === true) option.hideHelp();
  return option;
}

// Structured log lines: constant messages, with variables as fields.

import { bounded } from "./bounded.ts";

export type LogLevel = "DEBUG" | "INFO" | "WARN" | "ERROR";
export type LogFormat = "text" | "json";
type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

const RANK: Record<LogLevel, number> = { DEBUG: 0, INFO: 1, WARN: 2, ERROR: 3 };

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Creates a log that passes each line of at least `level` to `write`. */
export function createLog(
  level: LogLevel,
  format: LogFormat,
  write: (line: string, level: LogLevel) => void,
  now: () => Date = () => new Date(),
): Log {
  const at =
    (lineLevel: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (RANK[lineLevel] < RANK[level]) return;
      const line = {
        time: now().toISOString(),
        level: lineLevel,
        msg: message,
        ...fieldsOf(fields),
      };
      write(format === "json" ? JSON.stringify(line) : formatText(line), lineLevel);
    };
  return { debug: at("DEBUG"), info: at("INFO"), warn: at("WARN"), error: at("ERROR") };
}

/** Shortens long texts, so that no error message fills the log. */
function fieldsOf(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === "string" ? bounded(value) : value,
    ]),
  );
}

function formatText(line: LogFields): string {
  return Object.entries(line)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const text = String(value);
      return `${key}=${/^[\w.:/+@-]+$/.test(text) ? text : JSON.stringify(text)}`;
    })
    .join(" ");
}

// Formats a Secret's items as an env file, quoted so that POSIX shells, systemd's EnvironmentFile and
// Compose's env_file read the same values.

/** `left`: items skipped because their name is not a variable name or their value is not text. */
export function formatEnvFile(items: ReadonlyMap<string, Uint8Array>): {
  readonly text: string;
  readonly left: readonly string[];
} {
  const lines: string[] = [];
  const left: string[] = [];
  for (const [item, bytes] of [...items].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const value = decode(bytes);
    if (value === null || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(item)) left.push(item);
    else lines.push(`${item}=${quote(value)}\n`);
  }
  return { text: lines.join(""), left };
}

function decode(bytes: Uint8Array): string | null {
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function quote(value: string): string {
  if (/^[\w@%+=:,./-]+$/.test(value)) return value;
  return `"${value.replace(/[\\"$`]/g, "\\$&")}"`;
}

// What a document shows below a command, compared with what came out of it.

/** What differs from run to run: fingerprints, hashes, moments, ages. */
function settled(text: string): string {
  return text
    .replaceAll(/SHA256:[A-Za-z0-9+/]+/g, "SHA256:*")
    .replaceAll(/\b[0-9a-f]{12}\b/g, "HASH")
    .replaceAll(/\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d[-+]\d\d:\d\d)?/g, "DATE")
    .replaceAll(/\b\d+(d|h|m|s)\b/g, "AGE")
    .replaceAll(/\b\d+ (days?|hours?|minutes?|seconds?)\b/g, "AGE")
    .replaceAll(/ {2,}/g, "  ")
    .replaceAll(/ +$/gm, "")
    .trim();
}

/** What came out, as `patternOf` takes it. */
export function comparable(output: string): string {
  return `${settled(output)}\n`;
}

/** A pattern of what a block shows: `...` is anything, alone on a line any lines. */
export function patternOf(output: readonly string[]): RegExp {
  const parts = settled(output.join("\n"))
    .split("\n")
    .map((line) =>
      line === "..."
        ? "(?:.*\n)*?"
        : `${line
            .split("...")
            .map((text) => text.replace(/[$()*+.?[\\\]^{|}]/g, "\\$&"))
            .join(".*")}\n`,
    );
  return new RegExp(`^${output.length === 0 ? "\n" : parts.join("")}$`);
}

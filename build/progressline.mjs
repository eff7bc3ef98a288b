// One line that says how long a build has taken so far, for a person who waits at a terminal.

/** Returns a function that removes the line. Prints nothing where standard error is not a terminal. */
export function showProgress(words) {
  if (!process.stderr.isTTY) return () => undefined;
  const startedMs = Date.now();
  const show = () => {
    const seconds = Math.round((Date.now() - startedMs) / 1000);
    process.stderr.write(`\r\x1b[K${words} ${seconds} s`);
  };
  show();
  const timer = setInterval(show, 1000);
  return () => {
    clearInterval(timer);
    process.stderr.write("\r\x1b[K");
  };
}

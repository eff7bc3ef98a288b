// Calls back when the page was not used for a while, and when a person leaves it.

const IDLE_MS = 10 * 60_000;

/** `forget` is called with true if the person is still on the page. */
export function whenUnused(forget: (isHere: boolean) => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const wait = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      forget(true);
    }, IDLE_MS);
  };
  for (const event of ["input", "pointerdown", "keydown"]) {
    document.addEventListener(event, wait, { passive: true });
  }
  // The browser may keep a page in its cache after a person left it, with its contents.
  window.addEventListener("pagehide", () => {
    forget(false);
  });
}

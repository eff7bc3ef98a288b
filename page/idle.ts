// Calls back when nobody has used the page for a while, and when somebody leaves it.

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
  // The browser may keep a page that was left, with all that is in it.
  window.addEventListener("pagehide", () => {
    forget(false);
  });
}

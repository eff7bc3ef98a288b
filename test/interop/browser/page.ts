// One page in a browser, as the tests see it, whichever browser it is.

export interface Page {
  open: (url: string) => Promise<void>;
  /** The value of an expression, awaited, and carried over as JSON. @throws Error what it threw */
  ask: (expression: string) => Promise<unknown>;
  /**
   * Every address that was asked for since the page was opened. Firefox leaves out files, and what the
   * page's policy refused, which is among the complaints.
   */
  readonly requests: string[];
  /** What the browser complains about: uncaught exceptions, and violations of the page's policy. */
  readonly complaints: string[];
  close: () => Promise<void>;
}

// The page on which people without a terminal seal: its text, with settings written into it.
// SPEC.md, "The page".

declare const __PAGE__: string;
declare const __PAGE_POLICY__: string;

/** What a page knows from the start. */
export interface PageSettings {
  readonly clusters: readonly PageCluster[];
  /** The scope that is chosen at first; strict if not given. */
  readonly scope?: string;
  /** Where the repository has a new file, with {cluster}, {namespace} and {name}. */
  readonly newFile?: string;
}

export interface PageCluster {
  readonly name: string;
  /** PEM: the certificate that seals, then those of former keys. Nothing else may be in it. */
  readonly certificates: string;
}

/** The Content-Security-Policy that the page states, and with which it is served. */
export const PAGE_POLICY = __PAGE_POLICY__;

/** The page before and after its settings; build/page.mjs writes the mark. */
const [BEFORE = "", AFTER = ""] = __PAGE__.split('"SETTINGS"');

/**
 * Returns the page with these settings, whatever is in them: they are JSON in an element that the
 * browser does not run, and without the characters with which that element could end.
 */
export function sealingPage(settings: PageSettings): string {
  const json = JSON.stringify(settings).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return BEFORE + json + AFTER;
}

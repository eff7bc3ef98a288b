// Which editor a person has chosen.

import { USUAL_EDITOR } from "../../host/platform.ts";

/** A command line, as `$VISUAL` and `$EDITOR` have it. */
export function chosenEditor(): string {
  const { VISUAL, EDITOR } = process.env;
  return VISUAL || EDITOR || USUAL_EDITOR;
}

// The template renderer of the commands, loaded only where a template is rendered.

import type { RenderTemplate } from "../../shared/sealing/unseal.ts";

export async function loadRenderer(): Promise<RenderTemplate> {
  const { renderTemplate } = await import("../../shared/template/template.ts");
  return (source, values) => renderTemplate(source, values, { clock: () => performance.now() });
}

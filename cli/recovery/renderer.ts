// The template renderer, loaded only where there is a template to render.

import type { RenderTemplate } from "../../shared/sealing/unseal.ts";

export async function loadRenderer(): Promise<RenderTemplate> {
  const { renderTemplate } = await import("../../shared/template/template.ts");
  return (source, values) => renderTemplate(source, values, { clock: () => performance.now() });
}

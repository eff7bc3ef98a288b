// The template renderer, loaded only where there is a template to render.

import type { RenderTemplates } from "../../shared/sealing/unseal.ts";

export async function loadRenderer(): Promise<RenderTemplates> {
  const { renderTemplates } = await import("../../shared/template/template.ts");
  return (templates, values) =>
    renderTemplates(templates, values, { clock: () => performance.now() });
}

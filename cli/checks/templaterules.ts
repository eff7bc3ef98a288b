// The rules of `signet verify` for spec.template: what the Secret would lack although it opens.
// SPEC.md, "Whole repositories".

import { SignetError } from "../../shared/errors.ts";
import { asObject } from "../../shared/kubernetes/object.ts";
import { lineCounter } from "../../shared/manifest/manifest.ts";
import { nodeAt } from "../../shared/manifest/tree.ts";
import { renderTemplate, templateFault } from "../../shared/template/template.ts";
import { type SealedFile, type SealedObject, writtenObject } from "../repository/sealedfiles.ts";
import type { Finding } from "./findings.ts";
import type { Rule } from "./rules.ts";

/** What a Secret has, as far as spec.template can set it. */
const TEMPLATE_FIELDS = new Set(["apiVersion", "kind", "metadata", "type", "immutable", "data"]);

/** What Go's templates print for an item that does not exist. */
const NO_VALUE = "<no value>";

/** A repository may hold very many templates. */
const LIMITS = { maxSteps: 10_000, maxOutputBytes: 1024 * 1024, maxMs: 100 };

/** Warnings about templates. */
export function checkTemplates(files: readonly SealedFile[]): Finding[] {
  return files.flatMap((file) => {
    const lineAt = lineCounter(file.text);
    return file.objects.flatMap((object) => {
      const { document, path, name } = object;
      const finding = (rule: Rule, field: readonly string[], message: string): Finding => {
        const node = nodeAt(document.root, [...path, "spec", "template", ...field]);
        const line = lineAt(node?.start ?? document.root.start);
        return { rule, severity: "warning", file: file.path, line, object: name, message };
      };
      return [
        ...droppedFields(object).map((field) =>
          finding("dropped-field", [field], `spec.template.${field}: ${droppedBecause(field)}`),
        ),
        ...itemFaults(object).map(({ rule, item, message }) =>
          finding(rule, ["data", item], `spec.template.data.${item}: ${message}`),
        ),
      ];
    });
  });
}

function droppedFields(object: SealedObject): string[] {
  const spec = asObject(writtenObject(object)["spec"] ?? null);
  const template = asObject(spec?.["template"] ?? null) ?? {};
  return Object.keys(template).filter((field) => !TEMPLATE_FIELDS.has(field));
}

function droppedBecause(field: string): string {
  return field === "stringData"
    ? "controllers ignore it; move its items to spec.template.data"
    : "controllers ignore this field";
}

const NO_VALUE_MESSAGE = `the Secret would hold "${NO_VALUE}" here, because the item is not in this file`;

interface ItemFault {
  readonly rule: Rule;
  readonly item: string;
  readonly message: string;
}

/** Rendered with a stand-in for each value. A template that does not fit the stand-in tells nothing. */
function itemFaults({ sealed }: SealedObject): ItemFault[] {
  if (sealed.legacyData !== undefined) return [];
  const standIn = new TextEncoder().encode("x");
  const values = new Map([...sealed.encryptedData.keys()].map((item) => [item, standIn]));
  const options = { limits: LIMITS, clock: () => performance.now() };
  return [...sealed.template.data].flatMap(([item, source]): ItemFault[] => {
    try {
      const rendered = renderTemplate(source, values, { ...options, name: item });
      if (!Buffer.from(rendered).includes(NO_VALUE)) return [];
      return [{ rule: "no-value", item, message: NO_VALUE_MESSAGE }];
    } catch (error) {
      if (!(error instanceof SignetError)) throw error;
      const fault = templateFault(source, item);
      if (fault === undefined) return [];
      return [{ rule: "bad-template", item, message: `the controller cannot render it: ${fault}` }];
    }
  });
}

// One renderer of templates: what the controller renders, `signet unseal`, `diff --recovery-key`,
// `kubeseal --recovery-unseal` and the library render too, and refuse with the same words.

import { afterAll, describe, expect, it } from "vitest";
import { loadRenderer } from "../../cli/recovery/renderer.ts";
import { Sandbox } from "../../controller/sandbox.ts";
import { unseal as unsealOfLibrary } from "../../library/library.ts";
import { SignetError } from "../../shared/errors.ts";
import { seal } from "../../shared/sealing/seal.ts";
import { type RenderTemplates, unseal } from "../../shared/sealing/unseal.ts";
import { first, SECRET } from "../shared/samples.ts";
import { keyringOf } from "../vectors/fixtures.ts";

const sandbox = new Sandbox();
afterAll(() => sandbox.close());

const inController: RenderTemplates = (templates, values, namespace) =>
  sandbox.render(namespace, templates, values);

async function openedBy(
  how: "controller" | "commands" | "library",
  templates: Readonly<Record<string, string>>,
): Promise<Record<string, string> | string> {
  const sealed = await seal(SECRET, first.certificate, "strict");
  const templated = {
    ...sealed,
    template: { ...sealed.template, data: new Map(Object.entries(templates)) },
  };
  const keyring = keyringOf(["first"]);
  try {
    const { secret } =
      how === "library"
        ? await unsealOfLibrary(templated, keyring)
        : await unseal(templated, keyring, {
            render: how === "controller" ? inController : await loadRenderer(),
          });
    return Object.fromEntries(
      [...secret.data].map(([item, value]) => [item, Buffer.from(value).toString("latin1")]),
    );
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return `${error.code}: ${error.place.field ?? ""}: ${error.message}`;
  }
}

describe("templates", () => {
  it.for<[string, Readonly<Record<string, string>>]>([
    [
      "call themselves by their name",
      {
        me: '{{ if kindIs "int" . }}{{ . }}{{ else }}{{ template "me" 1 }}{{ end }}',
        "a.conf":
          '{{ if kindIs "string" . }}{{ . }}{{ else }}{{ template "a.conf" .user }}{{ end }}',
      },
    ],
    ["define others", { a: '{{ define "x" }}[{{ . }}]{{ end }}{{ template "x" .password }}' }],
    ["see values and each other's source", { a: "{{ .password }}", b: "{{ .a }}{{ .none }}" }],
    ["use an item's odd name", { a: '{{ index . "password" | b64enc }}' }],
  ])("that %s are the same everywhere", async ([, templates]) => {
    const inCluster = await openedBy("controller", templates);
    expect(inCluster).toBeTypeOf("object");
    expect(await openedBy("commands", templates)).toEqual(inCluster);
    expect(await openedBy("library", templates)).toEqual(inCluster);
  });

  it.for<[string, Readonly<Record<string, string>>]>([
    ["call another item's", { a: "x", b: '{{ template "a" }}' }],
    ["call themselves without end", { a: '{{ template "a" . }}' }],
    ["fail", { a: "\n{{ fail .password }}" }],
    ["are no templates", { a: "{{" }],
    ["are random", { a: "{{ randAlphaNum 5 }}" }],
  ])("that %s are refused everywhere in the same words", async ([, templates]) => {
    const inCluster = await openedBy("controller", templates);
    expect(inCluster).toMatch(/^template-failed: spec\.template\.data\.[ab]: /);
    expect(await openedBy("commands", templates)).toBe(inCluster);
    expect(await openedBy("library", templates)).toBe(inCluster);
  });
});

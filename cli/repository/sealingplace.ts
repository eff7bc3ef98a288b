// The namespace that values are sealed for, where a file says none, as with Kustomize.
// SPEC.md, "Changing values".

import { SignetError } from "../../shared/errors.ts";
import { invalidNames } from "../../shared/kubernetes/object.ts";
import { bindsNamespace, scopeOf } from "../../shared/sealing/scope.ts";
import { checkPlace } from "../../shared/sealing/seal.ts";
import { type SealedSecret, sealedForOf } from "../../shared/sealing/sealedsecret.ts";
import type { SealedObject } from "./sealedfiles.ts";

/** The SealedSecret in the namespace of the file, or else of the path rule, as its values are sealed for. */
export function inRuledNamespace({ sealed, meaning }: SealedObject): SealedSecret {
  const { metadata } = sealed;
  const namespace = metadata.namespace === "" ? (meaning?.namespace ?? "") : metadata.namespace;
  return { ...sealed, metadata: { ...metadata, namespace } };
}

/**
 * The SealedSecret in the namespace of the file, or else in `given`, or in that of the path rule.
 * @throws SignetError secret-invalid if there is none, or if it differs from that of the file or
 *   of its values
 */
export function inItsNamespace(
  { sealed, meaning, scope }: SealedObject,
  given: string | undefined,
): SealedSecret {
  const declared = sealed.metadata.namespace;
  const place = { field: "metadata.namespace" };
  const ruled = meaning?.namespace ?? "";
  const said = declared === "" ? ruled : declared;
  if (given !== undefined && said !== "" && given !== said) {
    const words = declared === "" ? `is ${said} by the file's path` : `is ${said}`;
    throw new SignetError("secret-invalid", `${words}, but "${given}" was specified`, {
      hint: "omit --namespace",
      place,
    });
  }
  const namespace = said === "" ? (given ?? "") : said;
  const placed = { ...sealed, metadata: { ...sealed.metadata, namespace } };
  if (declared !== "" || !bindsNamespace(scopeOf(sealed.metadata.annotations))) return placed;
  checkPlace(placed);
  if (invalidNames(placed.metadata).includes("namespace")) {
    throw new SignetError("secret-invalid", "the namespace is not a name that Kubernetes accepts", {
      hint: "set it with --namespace",
      place,
    });
  }
  const known = sealedForOf(placed);
  if (known !== null && known.said !== known.needed) {
    throw new SignetError(
      "secret-invalid",
      `the values are sealed for ${known.said}, but this one would be sealed for ${known.needed}`,
      {
        hint: `all values of a ${scope} SealedSecret must be sealed for the same place; see --namespace`,
        place,
      },
    );
  }
  return placed;
}

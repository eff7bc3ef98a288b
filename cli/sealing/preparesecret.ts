// Checks a Secret before it is sealed, and adds the name, namespace and scope that it lacks.
// SPEC.md, "Command line", "Sealing".

import { currentContext } from "../../host/kubernetes/kubeconfigfiles.ts";
import { SignetError } from "../../shared/errors.ts";
import { parseSecret, type Secret } from "../../shared/kubernetes/secret.ts";
import { bindsNamespace, type Scope } from "../../shared/sealing/scope.ts";
import { declaredScope } from "../../shared/sealing/seal.ts";
import { say } from "../terminal/messages.ts";
import type { Prepare } from "./gather.ts";
import { checkType } from "../../shared/kubernetes/typeditems.ts";
import { checkFields, checkNotEmpty } from "./secretcheck.ts";

/** What the command line says about every Secret. */
export interface SecretOptions {
  readonly scope?: Scope;
  /** Where neither `scope` nor the Secret names one; strict by default. */
  readonly defaultScope?: Scope | undefined;
  readonly namespace?: string;
  readonly name?: string;
  readonly allowEmpty: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
}

/** Checks and completes a Secret that is sealed as a whole. */
export function preparing(options: SecretOptions): Prepare {
  const place = completing(options);
  return (object, where) => {
    checkFields(object);
    const secret = place(parseSecret(object));
    if (!options.allowEmpty) checkNotEmpty(secret);
    checkType(secret);
    return { secret, scope: scopeFor(secret, options), place: where };
  };
}

function scopeFor({ metadata }: Secret, { scope, defaultScope }: SecretOptions): Scope {
  if (scope !== undefined) return scope;
  const declared = declaredScope(metadata.annotations);
  return declared === "strict" ? (defaultScope ?? declared) : declared;
}

/** Adds the name and namespace that a Secret lacks. */
function completing(options: SecretOptions): (secret: Secret) => Secret {
  let context: ReturnType<typeof currentContext> | undefined;
  const fromContext = (name: string): string => {
    context ??= currentContext(options);
    if (context === null || context.namespace === "") return "";
    say(
      `note: ${name} declares no namespace: sealed for "${context.namespace}", the namespace of the ` +
        `kubeconfig's context "${context.name}"`,
    );
    return context.namespace;
  };
  return (secret) => {
    const { metadata } = secret;
    const { name, namespace } = complete(metadata, options);
    const scope = scopeFor(secret, options);
    if (name === "") {
      throw new SignetError("secret-invalid", "missing metadata.name in input Secret", {
        hint: "set it in the manifest, or use --name",
      });
    }
    if (namespace !== "" || !bindsNamespace(scope)) {
      return { ...secret, metadata: { ...metadata, name, namespace } };
    }
    const found = fromContext(name);
    if (found === "") {
      throw new SignetError("secret-invalid", "secret must declare a namespace", {
        hint: "set metadata.namespace in the manifest, or use --namespace",
      });
    }
    return { ...secret, metadata: { ...metadata, name, namespace: found } };
  };
}

/**
 * The name and namespace of `declared`, or of `given` where `declared` has none.
 * @throws SignetError secret-invalid where both have one and they differ
 */
export function complete(
  declared: { readonly name: string; readonly namespace: string },
  given: { readonly name?: string | undefined; readonly namespace?: string | undefined },
): { readonly name: string; readonly namespace: string } {
  for (const field of ["namespace", "name"] as const) {
    const [is, asked] = [declared[field], given[field]];
    if (asked === undefined || is === "" || is === asked) continue;
    throw new SignetError(
      "secret-invalid",
      field === "namespace"
        ? `namespace mismatch: input secret is in namespace "${is}" but "${asked}" was specified`
        : `name mismatch: input secret is named "${is}" but "${asked}" was specified`,
      { hint: `change metadata.${field} in the manifest, or omit --${field}` },
    );
  }
  return {
    name: declared.name === "" ? (given.name ?? "") : declared.name,
    namespace: declared.namespace === "" ? (given.namespace ?? "") : declared.namespace,
  };
}

// What a status says of the deliveries of a SealedSecret: how many, and the first that failed.
// SPEC.md, "Deliveries".

import { bounded } from "./bounded.ts";
import { listed, type Verdict } from "./verdict.ts";

/** What became of the deliveries that a SealedSecret asks for. */
export interface DeliveryReport {
  /** Why nothing is delivered anywhere; null if there is no such reason. */
  readonly fault: string | null;
  /** How many namespaces are to get the Secret. */
  readonly wanted: number;
  /** How many of them have it. */
  readonly delivered: number;
  /** Those in which it failed, in alphabetical order. */
  readonly failed: readonly {
    readonly namespace: string;
    readonly verdict: Pick<Verdict, "reason" | "message">;
  }[];
}

/** The condition `Delivered`. */
export interface DeliveryCondition {
  readonly is: boolean;
  readonly reason: "Delivered" | "Delivering" | "DeliveryFailed" | "DeliveryRefused";
  readonly message: string;
}

export function deliveryCondition(report: DeliveryReport): DeliveryCondition {
  const { fault, wanted, delivered, failed } = report;
  if (fault !== null) return { is: false, reason: "DeliveryRefused", message: bounded(fault) };
  if (wanted === 0) return { is: true, reason: "Delivered", message: "no other namespace matches" };
  const namespaces = `namespace${wanted === 1 ? "" : "s"}`;
  if (delivered + failed.length < wanted) {
    const message = `delivered to ${delivered} of ${wanted} ${namespaces} so far`;
    return { is: false, reason: "Delivering", message };
  }
  const [first] = failed;
  if (first !== undefined) {
    const { reason, message } = first.verdict;
    const names = listed(failed.map(({ namespace }) => namespace));
    return {
      is: false,
      reason: "DeliveryFailed",
      message: bounded(
        `delivered to ${delivered} of ${wanted} ${namespaces}, not to ${names}; ` +
          `${first.namespace}: ${reason}: ${message}`,
      ),
    };
  }
  return { is: true, reason: "Delivered", message: `delivered to ${wanted} ${namespaces}` };
}

// Every boundary that is tried, in the order of a run.

import type { Target } from "./target.ts";
import { backups } from "./targets/backups.ts";
import { certificates } from "./targets/certificates.ts";
import { edits } from "./targets/edits.ts";
import { envelopes } from "./targets/envelopes.ts";
import { folders } from "./targets/folders.ts";
import { histories } from "./targets/histories.ts";
import { hybrids } from "./targets/hybrids.ts";
import { keys } from "./targets/keys.ts";
import { manifests } from "./targets/manifests.ts";
import { patterns } from "./targets/patterns.ts";
import { pems } from "./targets/pems.ts";
import { recoveries } from "./targets/recoveries.ts";
import { reconciles } from "./targets/reconciles.ts";
import { requests } from "./targets/requests.ts";
import { secondKeys } from "./targets/secondkeys.ts";
import { sealedSecrets } from "./targets/sealedsecrets.ts";
import { kubeconfigs, projects } from "./targets/settings.ts";
import { shares } from "./targets/shares.ts";
import { templates } from "./targets/templates.ts";
import { texts } from "./targets/texts.ts";
import { scans, trees } from "./targets/trees.ts";
import { wrappedKeys } from "./targets/wrappedkeys.ts";

export const TARGETS: readonly Target[] = [
  ...[
    manifests,
    edits,
    sealedSecrets,
    envelopes,
    hybrids,
    certificates,
    secondKeys,
    pems,
    keys,
    backups,
    wrappedKeys,
    recoveries,
    shares,
    kubeconfigs,
    projects,
    patterns,
  ],
  ...[scans, histories, templates, texts, requests, reconciles, folders, trees],
];

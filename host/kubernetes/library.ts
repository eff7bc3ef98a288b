// The names of the Kubernetes library that we use. Importing them from here lets the bundler drop the
// rest of the library, which it cannot do if the library itself is imported lazily.

export { type Cluster, KubeConfig, type User } from "@kubernetes/client-node";

// The few names of the Kubernetes library that we use: imported by name from here, the bundler can
// leave the rest of it out, which it cannot where the library itself is imported lazily.

export { type Cluster, KubeConfig, type User } from "@kubernetes/client-node";

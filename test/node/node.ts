// One real node: containerd, runc, CNI's plugins, a kubelet and a kube-proxy in network, mount and
// process namespaces of their own. Killing its process 1 ends all of it, as a cut cable would.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Program, startProgram, untilReady, waitFor } from "../cluster/program.ts";
import { partPath } from "../parts/parts.ts";
import { type Image, PAUSE } from "./images.ts";

const CONTAINERD = "/run/containerd/containerd.sock";
const POD_NETWORK = "10.244.0.0/16";
/** Begins the names of our folders in the machine's hierarchies of cgroups. */
const CGROUP = "kube-signet-node-";
const CGROUPS = "/sys/fs/cgroup";

/**
 * Settings that the kubelet would change for the whole machine. Here it finds the expected values,
 * and changes nothing.
 */
const SYSCTLS: Readonly<Record<string, string>> = {
  "vm/overcommit_memory": "1",
  "vm/panic_on_oom": "0",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
  "kernel/keys/root_maxkeys": "1000000",
  "kernel/keys/root_maxbytes": "25000000",
};

/**
 * Process 1: gives the node its own folders where programs write, then reaps orphaned processes.
 */
const INIT = `set -e
work=$1
mount --make-rshared /
mount -t tmpfs tmpfs "$(realpath /run)"
mount --bind "$work/log" /var/log
mount -t tmpfs tmpfs /var/lib
for name in kubelet containerd; do
  mkdir "/var/lib/$name"
  mount --bind "$work/$name" "/var/lib/$name"
done
for file in $(cd "$work/sysctl" && find . -type f); do mount --bind "$work/sysctl/$file" "/proc/sys/$file"; done
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
echo started
while :; do sleep 3600 & wait $!; done
`;

interface Place {
  /** 1, 2... */
  readonly number: number;
  /** Folder for all of its files. */
  readonly work: string;
  readonly address: string;
}

/** Where another node sends what goes to this one's pods. */
interface Route {
  readonly to: string;
  readonly via: string;
}

export interface RealNode {
  readonly name: string;
  /** Takes an image into the node's store, as a pull would. */
  readonly load: (image: Image) => Promise<void>;
  /** The command that runs another one in the node's namespaces. */
  readonly inside: (command: readonly string[]) => string[];
  /** Ends kubelet and containerd; what runs in containers runs on. */
  readonly stopAgents: () => Promise<void>;
  readonly startAgents: () => Promise<void>;
  /** Ends all of its processes without notice, like a power failure. */
  readonly crash: () => Promise<void>;
  /** Waits until the probe answers true. @throws Error where the kubelet ends before that */
  readonly untilReady: (probe: () => Promise<boolean>) => Promise<void>;
  /** The output of its programs, for troubleshooting. */
  readonly logs: () => string;
  /** Ends what is left of it, and its cgroups. */
  readonly stop: () => Promise<void>;
}

interface NodeOptions {
  readonly place: Place;
  readonly name: string;
  /** Paths of kubeconfig files. */
  readonly kubeletConfig: string;
  readonly proxyConfig: string;
  /** Of this machine, on the nodes' network. */
  readonly gateway: string;
  readonly bridge: string;
  /** To the pods of the other nodes. */
  readonly routes: readonly Route[];
}

/** The pods' addresses on a node. */
export const podNetwork = (number: number): string => `10.244.${number}.0/24`;

const json = (value: unknown): string => JSON.stringify(value);

const containerdConfig = (runtime: string): string => `version = 2
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = ${json(CONTAINERD)}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ${json(PAUSE)}
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  # Lowering it takes CAP_SYS_RESOURCE, which root in a container may not have.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = ${json(join(runtime, "cni"))}
    conf_dir = "/run/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = ${json(join(runtime, "bin/runc"))}
        SystemdCgroup = false
`;

const podNetworkConfig = (number: number): object => ({
  cniVersion: "0.4.0",
  name: "pods",
  plugins: [
    {
      type: "ptp",
      ipMasq: false,
      ipam: {
        type: "host-local",
        subnet: podNetwork(number),
        dataDir: "/run/cni-addresses",
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
  ],
});

/** Nothing is said of images and disks: this machine's are not the node's own. */
const kubeletSettings = (place: Place, cgroup: string): object => ({
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  address: place.address,
  healthzPort: 0,
  readOnlyPort: 0,
  // Whoever reaches it is in the test bed.
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: "AlwaysAllow" },
  containerRuntimeEndpoint: `unix://${CONTAINERD}`,
  cgroupDriver: "cgroupfs",
  cgroupRoot: `/${cgroup}`,
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  nodeLeaseDurationSeconds: 8,
  syncFrequency: "5s",
  imageGCHighThresholdPercent: 100,
  imageGCLowThresholdPercent: 99,
  evictionHard: Object.fromEntries(
    ["memory", "nodefs", "imagefs"].map((name) => [`${name}.available`, "0%"]),
  ),
  // There is no DNS here. The machine's own file names a server that is out of reach.
  resolvConf: join(place.work, "resolv.conf"),
});

const proxySettings = (name: string, kubeconfig: string): object => ({
  apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
  kind: "KubeProxyConfiguration",
  mode: "nftables",
  clientConnection: { kubeconfig },
  clusterCIDR: POD_NETWORK,
  hostnameOverride: name,
  metricsBindAddress: "",
  // These are the machine's, not the namespace's.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
});

/** The folders that hold hierarchies of cgroups: one of version 2, or several of version 1. */
function hierarchies(): string[] {
  const isOne = (folder: string): boolean => existsSync(join(folder, "cgroup.procs"));
  if (isOne(CGROUPS)) return [CGROUPS];
  return readdirSync(CGROUPS)
    .map((name) => join(CGROUPS, name))
    .filter(isOne);
}

/** The kubelet requires its root cgroup to exist in each hierarchy. */
function makeCgroups(cgroup: string): void {
  for (const hierarchy of hierarchies()) {
    const folder = join(hierarchy, cgroup);
    mkdirSync(folder, { recursive: true });
    for (const name of ["cpuset.cpus", "cpuset.mems"]) {
      const file = join(folder, name);
      if (!existsSync(file) || existsSync(join(folder, "cgroup.controllers"))) continue;
      // In version 1, nothing can run in a new cpuset until its CPUs and memory nodes are set.
      writeFileSync(file, readFileSync(join(hierarchy, name)));
    }
  }
}

/** Removes a folder of cgroups, the deepest first; a process that is there still keeps it. */
function removeCgroup(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(folder, entry.name));
  }
  rmdirSync(folder);
}

/** Removes a node's, and those that a killed run left. */
function removeCgroups(mine: string): void {
  for (const hierarchy of hierarchies()) {
    for (const name of readdirSync(hierarchy)) {
      if (!name.startsWith(CGROUP)) continue;
      const [, pid = ""] = /^(\d+)-/.exec(name.slice(CGROUP.length)) ?? [];
      if (name !== mine && existsSync(`/proc/${pid}`)) continue;
      try {
        removeCgroup(join(hierarchy, name));
      } catch (error) {
        // Others may be of a process that is not seen from here.
        if (name === mine) throw error;
      }
    }
  }
}

/** @throws Error with the remedy where this process may not make a node */
export function checkNode(): void {
  const why = "a real node needs root of the machine: ";
  const remedy = "run `npm test` as root, or in a container with --privileged";
  // In a user namespace of one user, root is root of little.
  const [, , users = "0"] = readFileSync("/proc/self/uid_map", "utf8").trim().split(/\s+/);
  if (process.getuid?.() !== 0 || Number(users) === 1) throw new Error(`${why}${remedy}`);
  try {
    const [hierarchy = ""] = hierarchies();
    const probe = join(hierarchy, `${CGROUP}${process.pid}-probe`);
    mkdirSync(probe);
    rmdirSync(probe);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}cgroups cannot be made here (${reason}); ${remedy}`, { cause: error });
  }
}

function writeSettings(options: NodeOptions, runtime: string, cgroup: string): void {
  const { place, name, proxyConfig } = options;
  const file = (path: string): string => join(place.work, path);
  for (const folder of ["log", "kubelet", "containerd", "cni"]) mkdirSync(file(folder));
  for (const [path, value] of Object.entries(SYSCTLS)) {
    mkdirSync(join(file("sysctl"), path, ".."), { recursive: true });
    writeFileSync(join(file("sysctl"), path), `${value}\n`);
  }
  writeFileSync(file("resolv.conf"), "");
  writeFileSync(file("containerd.toml"), containerdConfig(runtime));
  writeFileSync(file("cni/10-pods.conflist"), json(podNetworkConfig(place.number)));
  writeFileSync(file("kubelet.json"), json(kubeletSettings(place, cgroup)));
  writeFileSync(file("proxy.json"), json(proxySettings(name, proxyConfig)));
}

/** Connects the namespace of process `init` with the bridge. */
function plugIn(init: number, options: NodeOptions): void {
  const { place, bridge, gateway, routes } = options;
  const port = `${bridge}-${place.number}`;
  const ip = (...args: string[]): unknown => execFileSync("ip", args);
  const inside = (...args: string[]): unknown =>
    execFileSync("nsenter", ["--target", String(init), "--net", "ip", ...args]);
  ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", String(init));
  ip("link", "set", port, "master", bridge, "up");
  inside("address", "add", `${place.address}/24`, "dev", "eth0");
  inside("link", "set", "eth0", "up");
  inside("route", "add", "default", "via", gateway);
  for (const { to, via } of routes) inside("route", "add", to, "via", via);
}

/** The process that `unshare` started. */
function childOf(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return Number(children[0]);
}

/** Starts a node. Its containers can run when this resolves; it registers itself meanwhile. */
export async function startRealNode(options: NodeOptions): Promise<RealNode> {
  const { place, name, kubeletConfig } = options;
  const { work } = place;
  const runtime = partPath("node-runtime");
  const cgroup = `${CGROUP}${process.pid}-${place.number}`;
  removeCgroups(cgroup);
  writeSettings(options, runtime, cgroup);
  makeCgroups(cgroup);
  const namespaces = ["-n", "-m", "-p", "--propagation", "private", "--mount-proc"];
  const unshare = ["unshare", ...namespaces, "--fork", "--kill-child"];
  const machine = startProgram([...unshare, "sh", "-c", INIT, "init", work]);
  await untilReady(name, machine, () => Promise.resolve(machine.logs().includes("started\n")));
  const init = childOf(machine.pid);
  plugIn(init, options);

  const path = `${join(runtime, "bin")}:${process.env["PATH"] ?? ""}`;
  const inside = (command: readonly string[]): string[] => [
    ...["nsenter", "--target", String(init), "--net", "--mount", "--pid", "--"],
    ...["env", `PATH=${path}`, ...command],
  ];
  /** It dies with its `nsenter`, and so with us. */
  const start = (...command: string[]): Program =>
    startProgram(inside(["setpriv", "--pdeathsig", "KILL", "--", ...command]));
  const ctr = (...args: string[]): string => {
    const [program = "", ...rest] = inside(["ctr", "--address", CONTAINERD, ...args]);
    return execFileSync(program, rest, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  };

  const programs = new Map<string, Program>();
  const startAgents = async (): Promise<void> => {
    const containerd = start("containerd", "--config", join(work, "containerd.toml"));
    programs.set("containerd", containerd);
    await untilReady("containerd", containerd, () => Promise.resolve(ctr("version") !== ""));
    const kubelet = [
      ...[`--config=${join(work, "kubelet.json")}`, `--kubeconfig=${kubeletConfig}`],
      ...[`--hostname-override=${name}`, `--node-ip=${place.address}`],
    ];
    programs.set("kubelet", start(partPath("kubelet"), ...kubelet));
  };
  const stopAgents = async (): Promise<void> => {
    for (const each of ["kubelet", "containerd"]) await programs.get(each)?.stop("SIGKILL");
  };
  const crash = async (): Promise<void> => {
    await machine.stop("SIGKILL");
    for (const program of programs.values()) await program.stop("SIGKILL");
  };

  // The configuration of the pods' network is looked for when containerd starts.
  const [program = "", ...rest] = inside(["ln", "-s", join(work, "cni"), "/run/cni"]);
  execFileSync(program, rest);
  await startAgents();
  programs.set("kube-proxy", start(partPath("kube-proxy"), `--config=${join(work, "proxy.json")}`));
  return {
    name,
    load: async ({ name: wanted, archive, nameInArchive }) => {
      const images = ["ctr", "--address", CONTAINERD, "--namespace", "k8s.io", "images"];
      const importing = startProgram(inside([...images, "import", archive]));
      if ((await importing.exited) !== 0) throw new Error(importing.logs());
      if (wanted !== nameInArchive) ctr(...images.slice(3), "tag", nameInArchive, wanted);
    },
    inside,
    stopAgents,
    startAgents,
    crash,
    untilReady: async (probe) => {
      const kubelet = programs.get("kubelet");
      if (kubelet !== undefined) await untilReady(name, kubelet, probe);
    },
    logs: () => [...programs].map(([each, { logs }]) => `--- ${each}\n${logs()}`).join("\n"),
    stop: async () => {
      await crash();
      await waitFor(`the end of ${name}'s processes`, () => {
        removeCgroups(cgroup);
        return true;
      });
    },
  };
}

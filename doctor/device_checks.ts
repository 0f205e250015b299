/** RDMA devices, GPUs, and the libraries of transports and TLS. */
import { isDeviceMap, parseDeviceMap } from "../client/transfer/device_map.ts";
import { errorText } from "../client/transfer/error_text.ts";
import { type RdmaPort, rdmaPort } from "../client/transfer/rdma_ports.ts";
import { readTls } from "../client/transfer/tls.ts";
import { devicesOf, discoverTopology } from "../client/transfer/topology.ts";
import { type Check, type Finding, note, ok, problem } from "./finding.ts";
import type { DoctorOptions } from "./flags.ts";
import type { Machine } from "./machine.ts";

const VERBS = "libibverbs.so.1";
const FABRIC = "libfabric.so.1";
const DRIVERS: Readonly<Record<string, string>> = { cuda: "libcuda.so.1", npu: "libascendcl.so" };

const verbs: Check = {
  name: "RDMA library",
  roles: ["store", "client"],
  run(machine, { node: { settings } }) {
    if (settings.protocol !== "rdma") return ok("not needed without --protocol=rdma");
    const fault = machine.loadFault(VERBS);
    if (fault === null) return ok(`${VERBS} is there`);
    const fix = "apt-get install libibverbs1 ibverbs-providers";
    return settings.allowFallback
      ? note(`${VERBS} cannot be loaded, tcp is used instead: ${fault}`, fix)
      : problem(`${VERBS} cannot be loaded: ${fault}`, fix);
  },
};

const rdma: Check = {
  name: "RDMA devices",
  roles: ["store", "client"],
  run(machine, options) {
    const { protocol, deviceName, allowFallback, rdmaPort: port } = options.node.settings;
    const present = machine.sysfs.list("class/infiniband");
    if (protocol !== "rdma") {
      return present.length === 0 ? ok("none") : note(
        `there are ${present.join(", ")}, which --protocol=${protocol} does not use`,
        "--protocol=rdma",
      );
    }
    const wanted = deviceName === ""
      ? present
      : isDeviceMap(deviceName)
      ? devicesOf(parseDeviceMap(deviceName))
      : deviceName.split(",");
    if (present.length === 0) {
      const text = "this machine has no RDMA device";
      const fix = "--protocol=tcp; or give the container /dev/infiniband and the host's devices; " +
        "or as root: rdma link add rxe0 type rxe netdev eth0";
      return allowFallback ? note(`${text}: tcp is used`, fix) : problem(text, fix);
    }
    const findings = wanted.map((name) => deviceFinding(machine, name, present, port, options));
    const isUsable = findings.some(({ status }) => status !== "problem");
    // Without names every device that can be used is, and the others are passed over.
    return deviceName !== "" || !isUsable
      ? findings
      : findings.map((finding) =>
        finding.status === "problem" ? { ...finding, status: "note" as const } : finding
      );
  },
};

function deviceFinding(
  machine: Machine,
  name: string,
  present: readonly string[],
  port: number,
  { node: { settings } }: DoctorOptions,
): Finding {
  if (!present.includes(name)) {
    return problem(
      `there is no RDMA device ${name}; there are ${present.join(", ")}`,
      `--device_name=${present.join(",")}`,
    )[0];
  }
  if (!machine.usable(name)) {
    return problem(
      `${name}: its node in /dev/infiniband is missing`,
      "give the container --device=/dev/infiniband, or as root: modprobe ib_uverbs",
    )[0];
  }
  const found = rdmaPort(machine.sysfs, name, port);
  if (found.state !== "ACTIVE") {
    return problem(
      `${name}: port ${port} is ${found.state}`,
      "bring its network interface up (ip link set DEV up), or choose another --device_name",
    )[0];
  }
  return gidFinding(name, port, found, settings.rdmaGidIndex);
}

function gidFinding(name: string, port: number, found: RdmaPort, index: number): Finding {
  const { gids, linkLayer } = found;
  const where = `${name} port ${port}`;
  const shown = gids.map(({ index, gid, type }) => `${index}: ${gid}${type && ` (${type})`}`);
  if (index >= 0 && !gids.some((gid) => gid.index === index)) {
    return problem(
      `${where} has no GID ${index}; there are ${shown.join(", ") || "none"}`,
      "another MC_GID_INDEX, or none, so that one is chosen",
    )[0];
  }
  if (linkLayer === "Ethernet" && gids.length === 0) {
    return problem(
      `${where} has no GID: RoCE needs an IP address`,
      "give its network interface an address: ip addr add ADDRESS/PREFIX dev DEV",
    )[0];
  }
  const routable = gids.some(({ type }) => type.includes("v2"));
  if (linkLayer === "Ethernet" && !routable && shown.length > 0 && gids[0].type !== "") {
    return note(
      `${where} is active and has no RoCE v2 GID, so that no router passes it on: ` +
        shown.join(", "),
    )[0];
  }
  return ok(`${where} is active, GIDs ${shown.slice(0, 4).join(", ") || "none"}`)[0];
}

const gpu: Check = {
  name: "GPU",
  roles: ["store", "client"],
  run(machine, { node: { settings } }) {
    const kind = settings.deviceMemory.split(":")[0];
    const { gpus } = discoverTopology(machine.sysfs);
    const names = gpus.map(({ name }) => name);
    if (kind === "") {
      if (names.length === 0) return ok("none, and none is asked for");
      const fault = machine.loadFault(DRIVERS.cuda);
      return fault === null ? ok(`${names.join(", ")}, and their driver's library`) : note(
        `there are ${names.join(", ")}; buffers in their memory need ${DRIVERS.cuda}: ` + fault,
        "give the container the driver (--gpus all), or install it",
      );
    }
    const library = DRIVERS[kind];
    const fault = machine.loadFault(library);
    if (fault === null) return ok(`${library} is there`);
    return problem(
      `memory of ${settings.deviceMemory} needs ${library}: ${fault}`,
      "give the container the driver (--gpus all), or install it",
    );
  },
};

const fabric: Check = {
  name: "libfabric",
  roles: ["store", "client"],
  run(machine, { node: { settings } }) {
    const { protocol } = settings;
    if (!["libfabric", "efa", "cxi"].includes(protocol)) return ok("not needed with this protocol");
    const fault = machine.loadFault(FABRIC);
    return fault === null
      ? ok(`${FABRIC} is there`)
      : problem(`--protocol=${protocol} needs ${FABRIC}: ${fault}`, "apt-get install libfabric1");
  },
};

const tls: Check = {
  name: "TLS",
  roles: ["store", "client"],
  run(machine, { node: { settings } }) {
    const { tlsCertFile: certFile, tlsKeyFile: keyFile, tlsCaFile: caFile } = settings;
    if (certFile === "") return ok("not asked for");
    const libraries = [
      machine.env.SNOWSKIN_CRYPTO_LIBRARY ?? "libcrypto.so.3",
      machine.env.SNOWSKIN_SSL_LIBRARY ?? "libssl.so.3",
    ];
    for (const library of libraries) {
      const fault = machine.loadFault(library);
      if (fault === null) continue;
      return problem(`TLS needs ${library} of OpenSSL 3: ${fault}`, "apt-get install libssl3");
    }
    try {
      readTls({ certFile, keyFile, caFile });
      return ok("OpenSSL and the files are there");
    } catch (error) {
      return problem(errorText(error), "snowskin store runs as a user who can read its PEM files");
    }
  },
};

export const deviceChecks: readonly Check[] = [verbs, rdma, gpu, fabric, tls];

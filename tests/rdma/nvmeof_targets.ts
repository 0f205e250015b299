/**
 * NVMe over fabrics in the machine of `main.ts nvmeof`: the kernel's own target exports disks in memory
 * over TCP and RDMA, and the kernel's own initiator attaches them as block devices. Each disk is exported more
 * than once, so that one machine has it at several devices, each with a page cache of its own, as
 * several hosts would.
 */
import { until } from "../support/until.ts";
import { command } from "./guest.ts";

const TARGET = "/sys/kernel/config/nvmet";
/** Ways to the target; what goes the `lossy` one can be lost. */
const WAYS = {
  tcp: { transport: "tcp", address: "127.0.0.1", service: "4420" },
  lossy: { transport: "tcp", address: "127.0.0.1", service: "4421" },
  rdma: { transport: "rdma", address: "10.0.0.1", service: "4422" },
} as const;
const HOST_ID = "5a1f4c6e-0000-4000-8000-000000000000";
const MODULES = [
  ...["brd", "nvmet", "nvmet-tcp", "nvme-tcp", "nvmet-rdma", "nvme-rdma"],
  ...["crc32c_generic", "ext4"],
  ...["sch_prio", "cls_u32", "sch_netem"],
];

/** Bytes of each disk. */
export const DISK_BYTES = 128 << 20;

/** Loads what is needed; what the machine's kernel lacks, or `null`. */
export function loadModules(): string | null {
  for (const module of MODULES) {
    const parameters = module === "brd" ? ["rd_nr=2", `rd_size=${DISK_BYTES >> 10}`] : [];
    const { success } = new Deno.Command("busybox", { args: ["modprobe", module, ...parameters] })
      .outputSync();
    if (!success) return `the machine's kernel has no module ${module}`;
  }
  for (const { transport, address, service } of Object.values(WAYS)) {
    const port = `${TARGET}/ports/${service}`;
    Deno.mkdirSync(port);
    Deno.writeTextFileSync(`${port}/addr_trtype`, transport);
    Deno.writeTextFileSync(`${port}/addr_adrfam`, "ipv4");
    Deno.writeTextFileSync(`${port}/addr_traddr`, address);
    Deno.writeTextFileSync(`${port}/addr_trsvcid`, service);
  }
  return null;
}

/** A disk that is exported, and attached again. */
export class Namespace {
  readonly #controller: string;

  private constructor(readonly device: string, controller: string) {
    this.#controller = controller;
  }

  /**
   * Exports a disk under a name, attaches it and finds its block device, such as `/dev/nvme0n1`.
   */
  static async attach(
    name: string,
    disk: string,
    way: keyof typeof WAYS = "tcp",
  ): Promise<Namespace> {
    const { transport, address, service } = WAYS[way];
    const subsystem = `${TARGET}/subsystems/${name}`;
    Deno.mkdirSync(subsystem);
    Deno.writeTextFileSync(`${subsystem}/attr_allow_any_host`, "1");
    Deno.mkdirSync(`${subsystem}/namespaces/1`);
    Deno.writeTextFileSync(`${subsystem}/namespaces/1/device_path`, disk);
    Deno.writeTextFileSync(`${subsystem}/namespaces/1/enable`, "1");
    Deno.symlinkSync(subsystem, `${TARGET}/ports/${service}/subsystems/${name}`);
    const file = await Deno.open("/dev/nvme-fabrics", { read: true, write: true });
    const options = [
      ...[`transport=${transport}`, `traddr=${address}`, `trsvcid=${service}`, `nqn=${name}`],
      ...[`hostnqn=nqn.2014-08.org.nvmexpress:uuid:${HOST_ID}`, `hostid=${HOST_ID}`],
      ...["reconnect_delay=1", "ctrl_loss_tmo=60", "nr_io_queues=2"],
    ];
    await file.write(new TextEncoder().encode(options.join(",")));
    const answer = new Uint8Array(256);
    const count = await file.read(answer);
    file.close();
    const instance = /instance=(\d+)/.exec(
      new TextDecoder().decode(answer.subarray(0, count ?? 0)),
    );
    if (instance === null) throw new Error(`${name} could not be attached`);
    return new Namespace(await blockDevice(name), `nvme${instance[1]}`);
  }

  /** The initiator gives the device up, as `nvme disconnect` does: it fails for who has it open. */
  detach(): void {
    Deno.writeTextFileSync(`/sys/class/nvme/${this.#controller}/delete_controller`, "1");
  }
}

/** Loses every packet that goes the `lossy` way from now on. */
export function losePackets(): void {
  const { service } = WAYS.lossy;
  command("tc qdisc add dev lo root handle 1: prio bands 4");
  command("tc qdisc add dev lo parent 1:4 handle 30: netem loss 100%");
  for (const end of ["sport", "dport"]) {
    command(
      `tc filter add dev lo parent 1: protocol ip u32 match ip ${end} ${service} 0xffff flowid 1:4`,
    );
  }
}

/** Ends that. */
export function deliverPackets(): void {
  command("tc qdisc del dev lo root");
}

/** The device of the subsystem with that name, once the kernel has made it. */
async function blockDevice(nqn: string): Promise<string> {
  const folder = "/sys/class/nvme-subsystem";
  let device = "";
  await until(() => {
    for (const { name } of Deno.readDirSync(folder)) {
      if (Deno.readTextFileSync(`${folder}/${name}/subsysnqn`).trim() !== nqn) continue;
      const heads = Array.from(Deno.readDirSync(`${folder}/${name}`), (entry) => entry.name)
        .filter((entry) => /^nvme\d+n\d+$/.test(entry));
      if (heads.length > 0) device = `/dev/${heads[0]}`;
    }
    return device !== "" && command(`cat /sys/block/${device.slice(5)}/size`).trim() !== "0" &&
      exists(device);
  }, 120_000);
  return device;
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isBlockDevice === true;
  } catch {
    return false;
  }
}

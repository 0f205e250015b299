import {
  chooseTransport,
  TransportAbsentError,
  type TransportChoice,
} from "./transfer/transport_names.ts";

/** Transports of the engine that a store does not take, and what to give instead. */
const REFUSED: Readonly<Record<string, string>> = {
  shm: "tcp, which uses it on one host",
  nvmeof: "in the transfer engine alone (te.ts), not here",
};

/** What of the settings says how bytes travel, and from what memory. */
interface TransportSettings extends TransportChoice {
  readonly protocol: string;
  readonly allowFallback: boolean;
  readonly deviceName: string;
  readonly deviceMemory: string;
  readonly memoryFile: string;
  readonly tlsCertFile: string;
}

/**
 * Checks that a transport and what is asked of it go together. `named` is what the user calls a
 * field; `refuse` throws that its value is none of what is allowed. A known transport that cannot be
 * had is left to who opens it.
 */
export function checkTransport(
  settings: TransportSettings,
  named: (field: keyof TransportSettings) => string,
  refuse: (field: keyof TransportSettings, allowed: string) => never,
): void {
  const { protocol, deviceMemory, memoryFile } = settings;
  const isSockets = ["tcp", "rpc_only"].includes(protocol);
  if (Object.hasOwn(REFUSED, protocol)) refuse("protocol", REFUSED[protocol]);
  try {
    chooseTransport(protocol, settings, { named, refused: Object.keys(REFUSED) });
  } catch (error) {
    if (!(error instanceof TransportAbsentError)) throw error;
  }
  if (!isSockets && protocol !== "rdma" && deviceMemory !== "") {
    const allowed = `empty with protocol ${protocol} (devices' memory goes over tcp and rdma)`;
    refuse("deviceMemory", allowed);
  }
  if (!isSockets && settings.tlsCertFile !== "") {
    refuse("tlsCertFile", `empty with protocol ${protocol} (only tcp is encrypted)`);
  }
  if (!isSockets && protocol !== "rdma" && settings.allowFallback) {
    refuse("allowFallback", `false with protocol ${protocol} (only rdma falls back)`);
  }
  if (deviceMemory !== "" && memoryFile !== "") refuse("memoryFile", "none with device_memory");
  if (protocol !== "rdma" && settings.deviceName !== "") {
    refuse("deviceName", `empty or auto-discovery (${protocol} uses no device)`);
  }
}

import { errorText } from "../client/transfer/error_text.ts";
import { systemClock } from "../client/transfer/clock.ts";
import type { MetadataKv } from "../client/transfer/kv_metadata.ts";
import { openMetadataKv, parseMetadataServer } from "../client/transfer/metadata_server.ts";
import { openAccess } from "../client/transfer/service_access.ts";
import { EngineCode, EngineError } from "./engine_code.ts";
import type { TransferEngineOptions } from "./options.ts";

/** Opens the service that an engine keeps its names in; `null` where the peers do that themselves. */
export function openServiceOf(options: TransferEngineOptions): MetadataKv | null {
  const { metadata = "P2PHANDSHAKE", metadataLogin, clock = systemClock } = options;
  const service = parseMetadataServer("metadata", metadata);
  if (service.kind === "p2p") return null;
  return openMetadataKv(service, { ...openAccess, ...metadataLogin }, clock);
}

/** Awaits what a service answers; what it rejects with becomes `EngineError` `METADATA`. */
export async function asked<T>(what: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    throw new EngineError(EngineCode.METADATA, `Cannot ${what}: ${errorText(cause)}`, { cause });
  }
}

/**
 * Entry of the Worker that is a member of the cluster, so that the thread that owns the core, which
 * waits in C, never holds up an election.
 */
import { eventfdWaker } from "../../ffi/wake.ts";
import { Logger } from "../logger.ts";
import { fetchCheckpoint } from "./checkpoint_fetch.ts";
import { openEngines } from "./engines.ts";
import { EngineError } from "./fact_log.ts";
import { readLogId, writeLogId } from "./identity.ts";
import { LocalCopy } from "./local_copy.ts";
import { type MemberParts, MemberThread } from "./member_thread.ts";
import { threadTimers } from "./timers.ts";
import type { MemberOrder, ToMember } from "./worker_protocol.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<ToMember>) => void;
};

let port: MessagePort;
let groupPort: MessagePort;

const thread = new MemberThread({
  timers: threadTimers,
  open,
  post: (message) => port.postMessage(message),
  postGroups(groups) {
    // Bytes from a socket are views of large buffers, which would be copied whole.
    const own = groups.map(({ sequence, bytes }) => ({ sequence, bytes: new Uint8Array(bytes) }));
    groupPort.postMessage(own, own.map(({ bytes }) => bytes.buffer));
  },
  wakerOf: eventfdWaker,
});

scope.onmessage = ({ data: message, ports }) => {
  if (message.type === "start") [port, groupPort] = ports;
  thread.take(message);
};

async function open({ ha, clusterId, dataPath, copy: start, log }: MemberOrder) {
  const logger = new Logger({
    ...{ source: "master_ha", pid: Deno.pid, ...log },
    now: () => performance.timeOrigin + performance.now(),
    write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
  });
  const info = (line: string) => logger.info(line);
  const warn = (line: string) => logger.warning(line);
  let copy: LocalCopy;
  const parts: MemberParts = {
    ...await openEngines(ha, clusterId, warn),
    ...{ id: crypto.randomUUID(), newId: () => crypto.randomUUID(), info, warn },
    openCopy: () => copy = new LocalCopy(start),
    logId: readLogId(dataPath),
    keepLogId: (logId) => writeLogId(dataPath, logId),
    async fetch(members, logId, base) {
      const release = () => copy.close();
      try {
        await fetchCheckpoint(members, logId, base, {
          ...{ dataPath, config: start.config, release, info },
        });
      } catch (error) {
        throw new EngineError(error instanceof Error ? error.message : String(error));
      }
    },
  };
  return parts;
}

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
import { type CoreSide, Member } from "./member.ts";
import { threadTimers } from "./timers.ts";
import type { FromMember, MemberOrder, ToMember } from "./worker_protocol.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<ToMember>) => void;
};

let member: Member | null = null;
let port: MessagePort;
let groupPort: MessagePort;
let wake = () => {};
/** What to add to this thread's clock for a time of the core's that is not too late. */
const clock = Promise.withResolvers<number>();

function post(message: FromMember): void {
  port.postMessage(message);
  wake();
}

scope.onmessage = ({ data: message, ports }) => {
  switch (message.type) {
    case "start":
      [port, groupPort] = ports;
      start(message.order).catch((error) => post({ type: "fatal", why: String(error.message) }));
      break;
    case "clock":
      clock.resolve(message.nowMs - performance.now());
      break;
    case "wake":
      wake = eventfdWaker(message.fd);
      break;
    case "append":
      member?.append(message.group);
      break;
    case "stop":
      // The descriptor is about to be closed, and its number may become another's.
      wake = () => {};
      void Promise.resolve(member?.stop()).then(() => post({ type: "stopped" }));
  }
};

async function start(order: MemberOrder): Promise<void> {
  const { ha, clusterId, dataPath, copy: copyStart, rpc, admin } = order;
  const logger = new Logger({
    ...{ source: "master_ha", pid: Deno.pid, ...order.log },
    now: () => performance.timeOrigin + performance.now(),
    write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
  });
  const info = (line: string) => logger.info(line);
  const warn = (line: string) => logger.warning(line);
  const id = crypto.randomUUID();
  const { elector, log } = await openEngines(ha, clusterId, warn);
  post({ type: "up" });
  const offsetMs = await clock.promise;
  const copy = new LocalCopy(copyStart);
  const core: CoreSide = {
    groups(groups) {
      // Bytes from a socket are views of large buffers, which would be copied whole.
      const own = groups.map(({ sequence, bytes }) => ({ sequence, bytes: new Uint8Array(bytes) }));
      groupPort.postMessage(own, own.map(({ bytes }) => bytes.buffer));
    },
    promoted: (epoch, sequence, untilMs) =>
      post({ type: "promoted", epoch, sequence, validUntilMs: untilMs + offsetMs }),
    valid: (untilMs) => post({ type: "valid", untilMs: untilMs + offsetMs }),
    acknowledged: (sequence) => post({ type: "acknowledged", sequence }),
    refused: (why) => post({ type: "refused", why }),
    over: (why) => post({ type: "over", why }),
    fatal: (why) => post({ type: "fatal", why: `--data_dir=${dataPath}: ${why}` }),
    status: (status) => post({ type: "status", status }),
  };
  member = new Member({
    ...{ elector, log, copy, core, info, warn, timers: threadTimers },
    self: { id, rpc, admin, checkpointToken: order.checkpointToken },
    ...{ leaseMs: ha.leaseMs, logBytes: ha.logBytes, logId: readLogId(dataPath) },
    keepLogId: (logId) => writeLogId(dataPath, logId),
    newId: () => crypto.randomUUID(),
    async fetch(members, logId, base) {
      const release = () => copy.close();
      const { config } = copyStart;
      try {
        await fetchCheckpoint(members, logId, base, { dataPath, config, release, info });
      } catch (error) {
        throw new EngineError(error instanceof Error ? error.message : String(error));
      }
    },
  });
  copy.readCheckpoint().catch((error) => warn(`the checkpoint cannot be read: ${error.message}`));
  member.start();
}

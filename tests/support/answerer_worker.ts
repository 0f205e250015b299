/** A Worker that answers every call with yes and says at which port. */
import { ScriptedRpcServer } from "./rpc_server.ts";

const server = await ScriptedRpcServer.start((call) => call.answer({ code: 0, value: true }));
(self as unknown as { postMessage(port: number): void }).postMessage(server.port);

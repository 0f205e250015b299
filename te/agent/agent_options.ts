import { refuse, type TransferEngineOptions } from "../options.ts";
import { AGENT_NAMES, isAgentName } from "./agent_metadata.ts";

/** What `TransferAgent.open` can be told: what its engine can, and this. */
export interface AgentOptions extends Omit<TransferEngineOptions, "onNotify"> {
  /**
   * Whether other agents may hand their metadata over, ask for those of this one, and take theirs
   * back, without being asked; default false.
   */
  listen?: boolean;
  /**
   * Called with each notification when it arrives, instead of keeping it for `takeNotifications`;
   * throwing refuses it.
   */
  onNotification?: (agent: string, message: Uint8Array) => void;
}

/** Refuses a name that is none, and splits what is for the agent from what is for its engine. */
export function checkAgentOptions(name: string, options: AgentOptions) {
  if (!isAgentName(name)) refuse("name", name ?? null, AGENT_NAMES);
  const { listen = false, onNotification, ...engine } = options;
  if (typeof listen !== "boolean") refuse("listen", listen, "true, false");
  if ("onNotify" in engine) refuse("onNotify", "...", "onNotification");
  return { listen, onNotification, engine };
}

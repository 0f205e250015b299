import type { AdminBackend } from "./backend.ts";

/** Why this master takes no changes at present, with the name of the one that does; `null` = it does. */
export async function standbyRefusal(
  backend: Pick<AdminBackend, "status">,
): Promise<string | null> {
  const { role, leaderAddress } = await backend.status();
  return role === "standby" ? standbyLine(leaderAddress) : null;
}

/** The sentence with which a standby refuses; the address is that of the leader's RPC port. */
export function standbyLine(leaderAddress: string | null): string {
  return "this master is a standby; " +
    (leaderAddress === null ? "no master leads at present" : `the leader is ${leaderAddress}`);
}

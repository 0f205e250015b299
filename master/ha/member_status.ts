/** What a master of a cluster knows about its own part in it. Structured-cloneable. */
export interface MemberStatus {
  readonly role: "leader" | "standby";
  /** As in `/ha_status`. */
  readonly state: "starting" | "standby" | "catching_up" | "serving";
  /** `host:port` of the leader, `null` = there is none, or it is not known. */
  readonly leaderAddress: string | null;
  readonly epoch: number | null;
  /** Last group that this master has applied. */
  readonly sequence: number;
  /** Last group that is known to be in the log. */
  readonly logSequence: number;
  /** Why a promotion would not keep the index, one sentence each; none = it would. */
  readonly obstacles: readonly string[];
  /** The last comparison of this master's checkpoint with the leader's. */
  readonly checked: { readonly sequence: number; readonly same: boolean } | null;
  readonly checkpointSequence: number | null;
}

export const startingStatus: MemberStatus = {
  ...{ role: "standby", state: "starting", leaderAddress: null, epoch: null },
  ...{ sequence: 0, logSequence: 0, checked: null, checkpointSequence: null },
  obstacles: ["the log has not been read yet"],
};

import { GuestMaster, inGuest } from "./guest.ts";

/** The master of all tests: an interpreted machine is slow to start one. It ends with the machine. */
export const master = inGuest ? await GuestMaster.start() : null;

/**
 * Every test of the machine with two Soft-RoCE devices, as one module, so that they share a master.
 * The last one ends a node of the wheel without a word, whose memory stays in the pool.
 */
import "./memory_test.ts";
import "./guest_test.ts";

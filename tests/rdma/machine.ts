/** Every test of the machine with two Soft-RoCE devices, as one module, so that they share a master. */
import "./guest_test.ts";
import "./memory_test.ts";

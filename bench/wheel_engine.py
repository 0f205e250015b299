"""The published wheel's transfer engine as a peer, told what to do on stdin.

Started as: wheel_engine.py BYTES
Prints {"name", "address"} of its registered memory, then for each line
{"op": "read"|"write", "peer", "address", "length", "count"} of stdin one result
{"p50_us", "p99_us", "seconds", "cpu_us"} of `count` synchronous transfers, one at a time.
"""

import ctypes
import json
import mmap
import resource
import sys
import time

from mooncake.engine import TransferEngine


def cpu_us():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def main():
    size = int(sys.argv[1])
    engine = TransferEngine()
    if engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", "") != 0:
        sys.exit("Cannot initialise the reference's transfer engine")
    memory = mmap.mmap(-1, size)
    view = (ctypes.c_char * size).from_buffer(memory)
    base = ctypes.addressof(view)
    ctypes.memset(base, 0x5A, size)
    if engine.register_memory(base, size) != 0:
        sys.exit("Cannot register memory with the reference's transfer engine")
    name = f"127.0.0.1:{engine.get_rpc_port()}"
    print(json.dumps({"name": name, "address": base}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        transfer = engine.transfer_sync_read if order["op"] == "read" else engine.transfer_sync_write
        peer, address, length = order["peer"], order["address"], order["length"]
        if transfer(peer, base, address, length) != 0:
            print(json.dumps({"error": f"{order['op']} of {length} bytes at {peer} failed"}), flush=True)
            continue
        latencies = []
        cpu = cpu_us()
        for _ in range(order["count"]):
            before = time.perf_counter()
            transfer(peer, base, address, length)
            latencies.append(time.perf_counter() - before)
        spent = cpu_us() - cpu
        latencies.sort()
        print(
            json.dumps(
                {
                    "p50_us": latencies[len(latencies) // 2] * 1e6,
                    "p99_us": latencies[len(latencies) * 99 // 100] * 1e6,
                    "seconds": sum(latencies),
                    "cpu_us": spent / len(latencies),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()

"""The published wheel's transfer engine as a peer, told what to do on stdin.

Started as: wheel_engine.py BYTES
Prints {"name", "address"} of its registered memory, then for each line
{"op": "read"|"write", "peer", "address", "length", "batch", "callers", "seconds"} of stdin one result
{"p50_us", "p99_us", "operations", "served", "seconds", "cpu_us"}: synchronous calls of `batch` transfers
each, by `callers` threads. Addresses are text in decimal; cpu_us is for one transfer, latencies are of a
call; "served" is "operations" with those of the warm-up.
"""

import ctypes
import json
import mmap
import resource
import sys
import threading
import time

from mooncake.engine import TransferEngine

WARM_UP = 2


def cpu_us():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e6


def call_of(engine, base, order, caller):
    """One call of one caller, which returns the engine's code."""
    peer, length, batch = order["peer"], order["length"], order["batch"]
    remote = int(order["address"])
    offsets = [(caller * batch + i) * length for i in range(batch)]
    read = order["op"] == "read"
    if batch == 1:
        transfer = engine.transfer_sync_read if read else engine.transfer_sync_write
        (offset,) = offsets
        return lambda: transfer(peer, base + offset, remote + offset, length)
    transfer = engine.batch_transfer_sync_read if read else engine.batch_transfer_sync_write
    locals_ = [base + offset for offset in offsets]
    remotes = [remote + offset for offset in offsets]
    lengths = [length] * batch
    return lambda: transfer(peer, locals_, remotes, lengths)


def loop(call, end, latencies, failures):
    now = time.perf_counter()
    while True:
        code = call()
        if code != 0:
            failures.append(code)
            return
        after = time.perf_counter()
        latencies.append(after - now)
        now = after
        if now >= end:
            return


def turn(engine, base, order):
    calls = [call_of(engine, base, order, caller) for caller in range(order["callers"])]
    for call in calls:
        for _ in range(WARM_UP):
            code = call()
            if code != 0:
                return {"error": f"{order['op']} of {order['length']} bytes at {order['peer']} failed: {code}"}
    latencies, failures = [], []
    cpu = cpu_us()
    begun = time.perf_counter()
    end = begun + order["seconds"]
    others = [threading.Thread(target=loop, args=(call, end, latencies, failures)) for call in calls[1:]]
    for thread in others:
        thread.start()
    loop(calls[0], end, latencies, failures)
    for thread in others:
        thread.join()
    seconds = time.perf_counter() - begun
    spent = cpu_us() - cpu
    if failures:
        return {"error": f"{order['op']} of {order['length']} bytes at {order['peer']} failed: {failures[0]}"}
    latencies.sort()
    operations = len(latencies) * order["batch"]
    return {
        "p50_us": latencies[len(latencies) // 2] * 1e6,
        "p99_us": latencies[len(latencies) * 99 // 100] * 1e6,
        "operations": operations,
        "served": operations + WARM_UP * len(calls) * order["batch"],
        "seconds": seconds,
        "cpu_us": spent / operations,
    }


def main():
    size = int(sys.argv[1])
    engine = TransferEngine()
    if engine.initialize("127.0.0.1", "P2PHANDSHAKE", "tcp", "") != 0:
        sys.exit("Cannot initialise the wheel's transfer engine")
    memory = mmap.mmap(-1, size)
    view = (ctypes.c_char * size).from_buffer(memory)
    base = ctypes.addressof(view)
    ctypes.memset(base, 0x5A, size)
    if engine.register_memory(base, size) != 0:
        sys.exit("Cannot register memory with the wheel's transfer engine")
    name = f"127.0.0.1:{engine.get_rpc_port()}"
    print(json.dumps({"name": name, "address": str(base)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(turn(engine, base, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()

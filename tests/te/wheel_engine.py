"""The published wheel's transfer engine, told what to do on stdin, one JSON line each way.

Started as: wheel_engine.py LOCAL_SERVER_NAME METADATA BYTES
Says {"name", "address"} of its registered memory first. Orders:
{"do": "fill", "seed"}, {"do": "sum"}: its memory as a pattern of the seed, and its sum
{"do": "read" | "write", "peer", "length"}: moves from or to the start of the peer's first buffer;
    with "notify" a message goes with it
{"do": "probe", "peer"}, {"do": "notifies"}
"""

import ctypes
import json
import mmap
import sys

from mooncake.engine import TransferEngine, TransferNotify, TransferOpcode


def main():
    local, metadata, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    engine = TransferEngine()
    if engine.initialize(local, metadata, "tcp", "") != 0:
        sys.exit("Cannot initialise the reference's transfer engine")
    memory = mmap.mmap(-1, size)
    base = ctypes.addressof((ctypes.c_char * size).from_buffer(memory))
    if engine.register_memory(base, size) != 0:
        sys.exit("Cannot register memory with the reference's transfer engine")
    name = f"127.0.0.1:{engine.get_rpc_port()}" if metadata == "P2PHANDSHAKE" else local
    print(json.dumps({"name": name, "address": base}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        peer = order.get("peer")
        if order["do"] == "fill":
            seed = order["seed"]
            memory[:] = bytes((i * 31 + seed * 17 + (i >> 8)) & 0xFF for i in range(size))
            result = 0
        elif order["do"] == "sum":
            result = sum(memory[:])
        elif order["do"] == "probe":
            result = engine.send_probe(peer)
        elif order["do"] == "notifies":
            result = [[one.name, one.msg] for one in engine.get_notifies()]
        else:
            opcode = TransferOpcode.Read if order["do"] == "read" else TransferOpcode.Write
            address = engine.get_first_buffer_address(peer)
            notify = order.get("notify")
            more = [TransferNotify(*notify)] if notify else []
            result = engine.transfer_sync(peer, base, address, order["length"], opcode, *more)
        print(json.dumps({"result": result}), flush=True)


if __name__ == "__main__":
    main()

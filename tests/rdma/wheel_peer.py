"""One store client of the published wheel over RDMA, told what to do on stdin, a JSON line each way.

Started as: wheel_peer.py MASTER METADATA SEGMENT_BYTES HOST DEVICE
Orders: {"do": "put", "key", "size"}, {"do": "get", "key"}, {"do": "time", "size", "count"}
Values are a pattern of their size; "time" answers seconds per call of each kind, best of count.
"""

import json
import sys
import time

from mooncake.store import MooncakeDistributedStore


def pattern(size):
    block = bytes((i * 31 + (i >> 8) * 7) & 0xFF for i in range(min(size, 65536)))
    return (block * (size // max(len(block), 1) + 1))[:size]


def measure(store, size, count):
    value, puts, gets = pattern(size), [], []
    for i in range(count):
        start = time.monotonic()
        code = store.put(f"wheel-{size}-{i}", value)
        puts.append(time.monotonic() - start)
        start = time.monotonic()
        right = store.get(f"wheel-{size}-{i}") == value
        gets.append(time.monotonic() - start)
        if code != 0 or not right:
            return {"code": code, "right": right}
    return {"code": 0, "put": sorted(puts)[count // 2], "get": sorted(gets)[count // 2]}


def main():
    master, metadata, segment, host, device = sys.argv[1:6]
    store = MooncakeDistributedStore()
    code = store.setup(host, metadata, int(segment), 64 << 20, "rdma", device, master)
    print(json.dumps({"code": code}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "put":
            result = {"code": store.put(order["key"], pattern(order["size"]))}
        elif order["do"] == "get":
            value = store.get(order["key"])
            result = {"size": len(value), "right": value == pattern(len(value))}
        else:
            result = measure(store, order["size"], order["count"])
        print(json.dumps(result), flush=True)
    store.close()


if __name__ == "__main__":
    main()

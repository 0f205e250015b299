"""One store client of the published wheel over RDMA, told what to do on stdin, a JSON line each way.

Started as: wheel_peer.py MASTER METADATA SEGMENT_BYTES HOST DEVICE
Orders: {"do": "put", "key", "size"}, {"do": "get", "key"}, {"do": "hostname"},
{"do": "time", "size", "count", "round", "segment"}. Values are a pattern of their size; "time" puts
them on a segment and answers the seconds of each call of a kind.
"""

import json
import sys
import time

from mooncake.store import MooncakeDistributedStore, ReplicateConfig


def pattern(size):
    block = bytes((i * 31 + (i >> 8) * 7) & 0xFF for i in range(min(size, 65536)))
    return (block * (size // max(len(block), 1) + 1))[:size]


def measure(store, size, count, number, segment):
    value, puts, gets = pattern(size), [], []
    config = ReplicateConfig()
    config.preferred_segment = segment
    for i in range(count):
        start = time.monotonic()
        code = store.put(f"wheel-{number}-{i}", value, config)
        puts.append(time.monotonic() - start)
        start = time.monotonic()
        got = store.get(f"wheel-{number}-{i}")
        gets.append(time.monotonic() - start)
        right = got == value
        if code != 0 or not right:
            return {"code": code, "right": right}
    return {"code": 0, "put": puts, "get": gets}


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
        elif order["do"] == "hostname":
            result = {"hostname": store.get_hostname()}
        else:
            result = measure(store, *(order[name] for name in ("size", "count", "round", "segment")))
        print(json.dumps(result), flush=True)
    store.close()


if __name__ == "__main__":
    main()

"""One store client of the published wheel, told what to do on stdin, one JSON line each way.

Started as: wheel_peer.py MASTER METADATA SEGMENT_BYTES
Orders: {"do": "put", "key", "size", "seed"}, {"do": "get", "key"}, {"do": "remove", "key"}
Values are a pattern of size and seed; "get" answers {"size", "sum", "head"}.
"""

import json
import sys

from mooncake.store import MooncakeDistributedStore


def pattern(size, seed):
    return bytes((i * 31 + seed * 17 + (i >> 8)) & 0xFF for i in range(size))


def main():
    master, metadata, segment = sys.argv[1], sys.argv[2], int(sys.argv[3])
    store = MooncakeDistributedStore()
    code = store.setup("127.0.0.1", metadata, segment, 32 << 20, "tcp", "", master)
    print(json.dumps({"code": code, "name": store.get_hostname()}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "put":
            result = {"code": store.put(order["key"], pattern(order["size"], order["seed"]))}
        elif order["do"] == "get":
            value = store.get(order["key"])
            result = {"size": len(value), "sum": sum(value), "head": value[:8].hex()}
        else:
            result = {"code": store.remove(order["key"], True)}
        print(json.dumps(result), flush=True)
    store.close()


if __name__ == "__main__":
    main()

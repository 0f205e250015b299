"""The published wheel's store client in a process of its own, told what to do on stdin.

Started as: wheel_store.py MASTER_HOST:PORT SEGMENT_BYTES BUFFER_BYTES, where SEGMENT_BYTES are lent
Prints {"ready"}, then for each line {"op": "fill"|"put"|"get", "memory": "buffer"|"bytes", "length",
"values", "seconds"} of stdin one result {"operations", "seconds", "p50_us", "cpu_us"} or {"error"}:
put_from and get_into with a registered buffer, put and get with bytes. Seconds are those of the
operations alone. "fill" puts the values that "get" reads.
"""

import ctypes
import json
import mmap
import os
import resource
import sys
import time

from mooncake.store import MooncakeDistributedStore

WARM_UP = 2


def mark(i):
    """What every byte of value i is."""
    return i % 251 + 1


class Client:
    def __init__(self, master, segment, size):
        self.store = MooncakeDistributedStore()
        code = self.store.setup("127.0.0.1", "P2PHANDSHAKE", segment, 64 << 20, "tcp", "", master)
        if code != 0:
            sys.exit(f"Cannot set up the wheel's client of {master}: {code}")
        self.memory = mmap.mmap(-1, size)
        self.view = (ctypes.c_char * size).from_buffer(self.memory)
        self.base = ctypes.addressof(self.view)
        ctypes.memset(self.base, 1, size)
        if self.store.register_buffer(self.base, size) != 0:
            sys.exit("Cannot register a buffer with the wheel's client")
        self.space = str(os.getpid())
        self.fresh = 0

    def put(self, length, value):
        self.fresh += 1
        key = f"{self.space}/{self.fresh}"
        begun = time.perf_counter()
        code = self.store.put_from(key, self.base, length) if value is None else self.store.put(key, value)
        spent = time.perf_counter() - begun
        if code != 0:
            raise RuntimeError(f"A put of {length} bytes failed: {code}")
        if self.store.remove(key, True) != 0:
            raise RuntimeError(f"A value of {length} bytes could not be removed")
        return spent

    def get(self, i, length, into):
        key = f"value/{length}/{i}"
        begun = time.perf_counter()
        found = self.store.get_into(key, self.base, length) if into else self.store.get(key)
        spent = time.perf_counter() - begun
        if (found if into else len(found)) != length:
            raise RuntimeError(f"Value {i} of {length} bytes is not there")
        ends = (self.memory[0], self.memory[length - 1]) if into else (found[0], found[-1])
        if ends != (mark(i), mark(i)):
            raise RuntimeError(f"Value {i} of {length} bytes came back as other bytes")
        return spent

    def fill(self, length, values):
        for i in range(values):
            ctypes.memset(self.base, mark(i), length)
            code = self.store.put_from(f"value/{length}/{i}", self.base, length)
            if code != 0:
                raise RuntimeError(f"A put of {length} bytes failed: {code}")
        return {"operations": values, "seconds": 0, "p50_us": 0, "cpu_us": 0}

    def turn(self, order):
        length, values = order["length"], order["values"]
        if order["op"] == "fill":
            return self.fill(length, values)
        buffer = order["memory"] == "buffer"
        value = None if buffer else b"\7" * length
        put = order["op"] == "put"

        def one(i):
            return self.put(length, value) if put else self.get(i % values, length, buffer)

        for i in range(WARM_UP):
            one(i)
        times = []
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        end = time.perf_counter() + order["seconds"]
        while True:
            times.append(one(WARM_UP + len(times)))
            if time.perf_counter() >= end:
                break
        after = resource.getrusage(resource.RUSAGE_SELF)
        spent = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
        return {
            "operations": len(times),
            "seconds": sum(times),
            "p50_us": sorted(times)[len(times) // 2] * 1e6,
            "cpu_us": spent * 1e6 / len(times),
        }


def main():
    client = Client(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        try:
            result = client.turn(json.loads(line))
        except RuntimeError as error:
            result = {"error": str(error)}
        print(json.dumps(result), flush=True)
    client.memory = None
    client.store.close()


if __name__ == "__main__":
    main()

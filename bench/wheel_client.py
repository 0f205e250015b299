"""The published wheel's store client as a load generator, told what to do on stdin.

Started as: wheel_client.py MASTER_HOST:PORT SEGMENT_BYTES NUMBER, where NUMBER tells its keys from those of others.
Each line of stdin is one measurement, {"kind", "n", "seconds"} (n = keys per call); each line of stdout
its result, {"calls", "keys", "failed", "reason", "seconds", "p50_us", "p99_us", "cpu_us"} (reason = what the
first failed call gave, after how long; cpu_us = of this process, all). "fill" puts n new keys of 64 bytes
instead. Values are 64 bytes, keys 61.
"""

import json
import resource
import sys
import time

from mooncake.store import MooncakeDistributedStore

HOT_KEYS = 4096
VALUE = b"v" * 64


def key(space, i):
    return f"{space}/{i:052d}/kvcache"[:61]


def differs(got, wanted):
    """None, or what was returned instead: a code or a count of bytes."""
    return None if got == wanted else f"{got} where {wanted} was due"


class Load:
    def __init__(self, master, segment, number):
        self.space = f"f{number}"
        self.store = MooncakeDistributedStore()
        code = self.store.setup("127.0.0.1", "P2PHANDSHAKE", segment, 64 << 20, "tcp", "", master)
        if code != 0:
            sys.exit(f"Cannot set up a client of {master}: {code}")
        self.fresh = 0
        self.hot = [key("h", i) for i in range(HOT_KEYS)]
        for at in range(0, HOT_KEYS, 512):
            keys = self.hot[at : at + 512]
            assert self.store.put_batch(keys, [VALUE] * len(keys)) == 0
        self.at = 0

    def some_hot(self, n):
        if self.at + n > HOT_KEYS:
            self.at = 0
        keys = self.hot[self.at : self.at + n]
        self.at += n
        return keys

    def some_new(self, n):
        self.fresh += n
        return [key(self.space, i) for i in range(self.fresh - n, self.fresh)]

    def call(self, kind, n):
        """Prepares the arguments, then returns the call to be timed, which gives None or what is wrong."""
        store = self.store
        if kind == "exist":
            (one,) = self.some_hot(1)
            return lambda: differs(store.is_exist(one), 1)
        if kind == "batch_is_exist":
            keys = self.some_hot(n)
            return lambda: differs(store.batch_is_exist(keys)[-1], 1)
        if kind == "get":
            (one,) = self.some_hot(1)
            return lambda: differs(len(store.get(one)), 64)
        if kind == "get_batch":
            keys = self.some_hot(n)
            return lambda: differs(len(store.get_batch(keys)[-1]), 64)
        if kind == "put":
            (one,) = self.some_new(1)
            return lambda: differs(store.put(one, VALUE), 0)
        if kind == "put_get":
            (one,) = self.some_new(1)
            return lambda: differs(store.put(one, VALUE), 0) or differs(len(store.get(one)), 64)
        if kind == "put_batch":
            keys = self.some_new(n)
            values = [VALUE] * n
            return lambda: differs(store.put_batch(keys, values), 0)
        sys.exit(f"Unknown kind {kind}")

    def measure(self, kind, n, seconds):
        latencies = []
        failed = 0
        reason = ""
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        start = time.perf_counter()
        end = start + seconds
        now = start
        while now < end:
            call = self.call(kind, n)
            before = time.perf_counter()
            wrong = call()
            now = time.perf_counter()
            if wrong is not None:
                failed += 1
                reason = reason or f"{wrong}, after {now - before:.3f} s"
            latencies.append(now - before)
        after = resource.getrusage(resource.RUSAGE_SELF)
        latencies.sort()
        calls = len(latencies)
        return {
            "calls": calls,
            "keys": calls * n,
            "failed": failed,
            "reason": reason,
            "seconds": sum(latencies),
            "p50_us": latencies[calls // 2] * 1e6,
            "p99_us": latencies[min(calls - 1, calls * 99 // 100)] * 1e6,
            "cpu_us": (after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime) * 1e6,
        }

    def fill(self, n):
        for at in range(0, n, 1000):
            keys = self.some_new(min(1000, n - at))
            code = self.store.put_batch(keys, [VALUE] * len(keys))
            if code != 0:
                return {"keys": at, "failed": code}
        return {"keys": n, "failed": 0}


def main():
    load = Load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if order["kind"] == "fill":
            result = load.fill(order["n"])
        else:
            result = load.measure(order["kind"], order["n"], order["seconds"])
        print(json.dumps(result), flush=True)
    load.store.close()


if __name__ == "__main__":
    main()

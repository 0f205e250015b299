"""Drives the published wheel through its store API, one JSON line per step.

The same script runs against the reference master and against ours; a step's result must not depend
on which of the two it is. Random values (addresses, ids, ports) are reduced to what must hold for
them before they are printed.

Usage: steps.py --master HOST:PORT --metadata P2PHANDSHAKE|URL [--segment BYTES] [--restart|--guests]
  --segment 0   the two clients lend no memory; the pool is somebody else's
  --restart     after the steps, print {"pause": "restart"}, wait for a line on stdin, go on
  --guests      the steps of clients that come and go only; this script runs itself so
"""

import argparse
import ctypes
import json
import re
import subprocess
import sys
import time

from mooncake.store import (
    MooncakeDistributedStore,
    ObjectDataType,
    ReplicaStatus,
    ReplicateConfig,
    SoftPinAction,
)

MIB = 1 << 20


class Recorder:
    def __init__(self):
        self.count = 0

    def step(self, name, call):
        try:
            result = call()
        except Exception as error:  # an exception's type is part of the API
            result = f"raised {type(error).__name__}"
        self.count += 1
        print(json.dumps({"step": name, "result": plain(result)}), flush=True)
        return result


class Guests:
    """
    A process with the clients that come and go: where the master is found in etcd, each close of the
    wheel takes up to half a minute, and holds its process up.
    """

    def __init__(self, args):
        command = [sys.executable, "-B", __file__, "--guests"]
        command += ["--master", args.master, "--metadata", args.metadata]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def relay(self, r):
        """Passes its steps on, until it begins to leave or has left."""
        for line in self.process.stdout:
            if not line.startswith("{"):
                continue
            if "leaving" in json.loads(line):
                return
            r.count += 1
            print(line, end="", flush=True)

    def leave(self, r):
        self.relay(r)
        r.step("the guests have left", self.process.wait)


def plain(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        value = bytes(value)
        return {"bytes": len(value), "sum": sum(value), "head": value[:16].hex()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in sorted(value.items())}
    if isinstance(value, ReplicaStatus):
        return value.name
    return value


def pattern(size, seed=1):
    block = bytes((i * 31 + seed * 17 + (i >> 8)) & 0xFF for i in range(min(size, 65536)))
    return (block * (size // max(len(block), 1) + 1))[:size]


def until(call, wanted, seconds=20.0):
    """Calls until the answer is the wanted one; returns the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = call()
        if answer == wanted or time.monotonic() > deadline:
            return answer
        time.sleep(0.02)


def replicas(store, key):
    return [
        (descriptor.status, descriptor.is_memory_replica(), descriptor.is_disk_replica())
        for descriptor in store.get_replica_desc(key)
    ]


def sizes(store, key):
    return [
        descriptor.get_memory_descriptor().buffer_descriptor.size
        for descriptor in store.get_replica_desc(key)
    ]


def endpoints(store, key):
    return sorted(
        descriptor.get_memory_descriptor().buffer_descriptor.transport_endpoint
        for descriptor in store.get_replica_desc(key)
    )


class Buffers:
    """Registered memory of one client, handed out in order."""

    def __init__(self, store, size):
        self.memory = ctypes.create_string_buffer(size)
        self.base = ctypes.addressof(self.memory)
        self.size = size
        self.registered = store.register_buffer(self.base, size)

    def fill(self, offset, data):
        ctypes.memmove(self.base + offset, data, len(data))
        return self.base + offset

    def read(self, offset, size):
        return ctypes.string_at(self.base + offset, size)

    def clear(self):
        ctypes.memset(self.base, 0, self.size)


def config(**fields):
    result = ReplicateConfig()
    for name, value in fields.items():
        setattr(result, name, value)
    return result


def core_steps(r, a, b):
    r.step("put", lambda: a.put("core/1", b"hello"))
    r.step("get by the writer", lambda: a.get("core/1"))
    r.step("get by another client", lambda: b.get("core/1"))
    r.step("put of an existing key keeps the old value", lambda: b.put("core/1", b"other"))
    r.step("get after it", lambda: a.get("core/1"))
    r.step("get_size", lambda: a.get_size("core/1"))
    r.step("get_size of a missing key", lambda: a.get_size("none"))
    r.step("get of a missing key", lambda: a.get("none"))
    r.step("get_buffer", lambda: bytes(a.get_buffer("core/1")))
    r.step("get_buffer size", lambda: b.get_buffer("core/1").size())
    r.step("get_buffer of a missing key", lambda: a.get_buffer("none") is None)
    r.step("is_exist", lambda: a.is_exist("core/1"))
    r.step("is_exist of a missing key", lambda: a.is_exist("none"))
    r.step("put of an empty value", lambda: a.put("core/empty", b""))
    r.step("is_exist after it", lambda: a.is_exist("core/empty"))
    r.step("put under an empty key", lambda: a.put("", b"x"))
    r.step("is_exist of the empty key", lambda: a.is_exist(""))
    r.step("get_size of the empty key", lambda: a.get_size(""))
    r.step("remove of the empty key", lambda: a.remove(""))
    for size in (1, 63, 64, 65, 4095, 4096, 4097, 65536, 1000003, 5 * MIB):
        r.step(f"put {size} bytes", lambda: a.put(f"size/{size}", pattern(size)))
        r.step(f"get {size} bytes", lambda: b.get(f"size/{size}"))
        r.step(f"get_size {size}", lambda: b.get_size(f"size/{size}"))
    for name in ("nul\0key", "ключ", "tab\tnewline\n", "../../etc/passwd", ".*", "a b%2F&?=", "x" * 255, "y" * 256, "z" * 70000):
        label = name if len(name) < 40 else f"{name[0]} x {len(name)}"
        r.step(f"put key {label!r}", lambda: a.put(name, name.encode()[:100]))
        r.step(f"get key {label!r}", lambda: b.get(name))
        r.step(f"exist key {label!r}", lambda: b.is_exist(name))
    r.step("put_parts", lambda: a.put_parts("core/parts", b"one", b"two", b"three"))
    r.step("get parts", lambda: b.get("core/parts"))
    r.step("put_parts without parts", lambda: a.put_parts("core/noparts"))
    r.step("replica of one key", lambda: replicas(a, "core/1"))
    r.step("replica sizes", lambda: sizes(b, "size/1000003"))
    r.step("replicas of a missing key", lambda: a.get_replica_desc("none"))
    r.step("batch replicas", lambda: {key: len(value) for key, value in a.batch_get_replica_desc(["core/1", "core/parts", "none"]).items()})
    r.step("hostname", lambda: bool(re.fullmatch(r"127\.0\.0\.1:\d+", a.get_hostname())))
    r.step("health_check", lambda: a.health_check())


def batch_steps(r, a, b):
    keys = [f"batch/{i}" for i in range(40)]
    values = [pattern(100 + i, i) for i in range(40)]
    r.step("put_batch", lambda: a.put_batch(keys, values))
    r.step("get_batch", lambda: b.get_batch(keys))
    r.step("get_batch with missing keys", lambda: b.get_batch([keys[0], "none", keys[39]]))
    r.step("get_batch of nothing", lambda: b.get_batch([]))
    r.step("put_batch of nothing", lambda: a.put_batch([], []))
    r.step("put_batch with lengths that differ", lambda: a.put_batch(keys[:2], values[:1]))
    r.step("put_batch again", lambda: a.put_batch(keys, values))
    r.step("put_batch new and old", lambda: a.put_batch(["batch/new", keys[0]], [b"new", b"old"]))
    r.step("get new", lambda: b.get("batch/new"))
    r.step("get old", lambda: b.get(keys[0]))
    r.step("put_batch with an empty value", lambda: a.put_batch(["batch/e1", "batch/e2"], [b"x", b""]))
    r.step("is e1 there", lambda: b.is_exist("batch/e1"))
    r.step("batch_is_exist", lambda: b.batch_is_exist(keys + ["none"]))
    r.step("batch_is_exist of nothing", lambda: b.batch_is_exist([]))
    many = [f"many/{i}" for i in range(500)]
    r.step("put_batch of 500", lambda: a.put_batch(many, [pattern(64, i) for i in range(500)]))
    r.step("batch_is_exist of 500", lambda: sum(b.batch_is_exist(many)))
    r.step("get_batch of 500", lambda: [sum(value) for value in b.get_batch(many)])
    buffers = b.batch_get_buffer(keys[:3] + ["none"])
    r.step("batch_get_buffer", lambda: [None if h is None else bytes(h) for h in buffers])
    r.step("batch_remove", lambda: a.batch_remove(["none", keys[0]], True))
    r.step("batch_is_exist after it", lambda: b.batch_is_exist(keys[:2]))


def buffer_steps(r, a, b):
    mine, theirs = Buffers(a, 4 * MIB), Buffers(b, 4 * MIB)
    r.step("register_buffer", lambda: [mine.registered, theirs.registered])
    data = pattern(300000, 7)
    r.step("put_from", lambda: a.put_from("zero/1", mine.fill(0, data), len(data)))
    r.step("get_into", lambda: b.get_into("zero/1", theirs.base, MIB))
    r.step("bytes", lambda: theirs.read(0, len(data)) == data)
    r.step("get_into too short", lambda: b.get_into("zero/1", theirs.base, 1000))
    r.step("get_into of a missing key", lambda: b.get_into("none", theirs.base, 1000))
    r.step("put_from of 0 bytes", lambda: a.put_from("zero/none", mine.base, 0))
    parts = [pattern(1000 + i, i) for i in range(8)]
    keys = [f"zero/b{i}" for i in range(8)]
    pointers = [mine.fill(i * 4096, part) for i, part in enumerate(parts)]
    r.step("batch_put_from", lambda: a.batch_put_from(keys, pointers, [len(p) for p in parts]))
    targets = [theirs.base + i * 4096 for i in range(8)]
    theirs.clear()
    r.step("batch_get_into", lambda: b.batch_get_into(keys, targets, [4096] * 8))
    r.step("batch bytes", lambda: [theirs.read(i * 4096, len(p)) == p for i, p in enumerate(parts)])
    r.step("batch_get_into with a missing key", lambda: b.batch_get_into([keys[0], "none"], targets[:2], [4096] * 2))
    r.step("batch_put_from again", lambda: a.batch_put_from(keys[:2], pointers[:2], [100, 100]))
    multi = [f"multi/{i}" for i in range(3)]
    r.step(
        "batch_put_from_multi_buffers",
        lambda: a.batch_put_from_multi_buffers(multi, [[pointers[0], pointers[1]], [pointers[2]], [pointers[3], pointers[4], pointers[5]]], [[1000, 1001], [1002], [1003, 1004, 1005]]),
    )
    theirs.clear()
    r.step(
        "batch_get_into_multi_buffers",
        lambda: b.batch_get_into_multi_buffers(multi, [[targets[0], targets[1]], [targets[2]], [targets[3], targets[4], targets[5]]], [[1000, 1001], [1002], [1003, 1004, 1005]]),
    )
    r.step("multi bytes", lambda: [theirs.read(i * 4096, 1000 + i) == parts[i] for i in range(6)])
    r.step("multi sizes", lambda: [b.get_size(key) for key in multi])
    theirs.clear()
    r.step("get_into_ranges", lambda: b.get_into_ranges([theirs.base], [["zero/1"]], [[[0, 100]]], [[[10, 5000]]], [[[100, 200]]]))
    r.step("range bytes", lambda: [theirs.read(0, 100) == data[10:110], theirs.read(100, 200) == data[5000:5200]])
    r.step("get_into_ranges past the end", lambda: b.get_into_ranges([theirs.base], [["zero/1"]], [[[0]]], [[[299990]]], [[[100]]]))
    r.step("get_into_ranges of a missing key", lambda: b.get_into_ranges([theirs.base], [["none"]], [[[0]]], [[[0]]], [[[100]]]))
    session_steps(r, a, b, mine, theirs)
    r.step("put_from_with_metadata", lambda: a.put_from_with_metadata("zero/meta", mine.fill(0, b"data"), mine.fill(64, b"meta"), 4, 4))
    r.step("get with metadata", lambda: b.get("zero/meta"))
    r.step("upsert_from", lambda: a.upsert_from("zero/1", mine.fill(0, data[::-1]), len(data)))
    r.step("bytes after upsert_from", lambda: b.get("zero/1") == data[::-1])
    r.step("batch_upsert_from", lambda: a.batch_upsert_from(keys[:2], pointers[2:4], [1002, 1003]))
    r.step("sizes after it", lambda: [b.get_size(key) for key in keys[:2]])
    r.step("unregister_buffer", lambda: [a.unregister_buffer(mine.base), b.unregister_buffer(theirs.base)])
    r.step("unregister_buffer twice", lambda: a.unregister_buffer(mine.base) != 0)


def session_steps(r, a, b, mine, theirs):
    keys = ["session/1", "session/2"]
    first, second = pattern(5000, 3), pattern(5000, 4)
    mine.fill(0, first)
    mine.fill(8192, second)
    r.step("put session start", lambda: a.batch_put_session_start(keys, [10000, 5000]))
    r.step("not visible yet", lambda: b.batch_is_exist(keys))
    r.step("get while unfinished", lambda: b.get_size(keys[0]))
    r.step(
        "put session ranges",
        lambda: a.batch_put_from_multi_buffer_ranges(keys, [[mine.base, mine.base + 8192], [mine.base]], [[5000, 5000], [5000]], [[0, 5000], [0]]),
    )
    r.step("put session end", lambda: a.batch_put_session_end(keys))
    r.step("visible", lambda: b.batch_is_exist(keys))
    r.step("session bytes", lambda: b.get(keys[0]) == first + second)
    r.step("put session start of existing keys", lambda: a.batch_put_session_start(keys, [10000, 5000]))
    r.step("put session revoke of nothing", lambda: a.batch_put_session_revoke(["session/none"]))
    r.step("put session start 3", lambda: a.batch_put_session_start(["session/3"], [100]))
    r.step("put session revoke", lambda: a.batch_put_session_revoke(["session/3"]))
    r.step("revoked is gone", lambda: b.get_size("session/3"))
    r.step("put again after revoke", lambda: a.put("session/3", b"again"))
    theirs.clear()
    r.step("get session start", lambda: b.batch_get_session_start(keys))
    r.step(
        "get session ranges",
        lambda: b.batch_get_into_multi_buffer_ranges(keys, [[theirs.base, theirs.base + 8192], [theirs.base + 16384]], [[100, 200], [300]], [[0, 5000], [0]]),
    )
    r.step("get session bytes", lambda: [theirs.read(0, 100) == first[:100], theirs.read(8192, 200) == second[:200], theirs.read(16384, 300) == first[:300]])
    r.step("get session end", lambda: b.batch_get_session_end(keys))


def upsert_steps(r, a, b):
    r.step("upsert of a new key", lambda: a.upsert("up/1", b"first"))
    r.step("get it", lambda: b.get("up/1"))
    r.step("upsert of equal size", lambda: b.upsert("up/1", b"secnd"))
    r.step("get the second", lambda: a.get("up/1"))
    r.step("upsert of another size", lambda: a.upsert("up/1", pattern(5000, 9)))
    r.step("get the third", lambda: b.get("up/1"))
    r.step("size of the third", lambda: b.get_size("up/1"))
    r.step("upsert of an empty value", lambda: a.upsert("up/1", b""))
    r.step("get after it", lambda: b.get("up/1"))
    r.step("upsert_parts", lambda: a.upsert_parts("up/2", b"ab", b"cd"))
    r.step("get parts", lambda: b.get("up/2"))
    r.step("upsert_batch", lambda: a.upsert_batch(["up/1", "up/3"], [b"one", b"three"]))
    r.step("get_batch", lambda: b.get_batch(["up/1", "up/3"]))
    r.step("upsert_batch with lengths that differ", lambda: a.upsert_batch(["up/1"], []))
    r.step("upsert 20 times", lambda: [a.upsert("up/4", pattern(2000, i)) for i in range(20)])
    r.step("the last one is there", lambda: b.get("up/4") == pattern(2000, 19))


def config_steps(r, a, b, own_segments):
    r.step("two replicas", lambda: a.put("cfg/two", b"t" * 1000, config(replica_num=2)))
    r.step("replicas of it", lambda: replicas(b, "cfg/two"))
    r.step("get it", lambda: b.get("cfg/two"))
    r.step("more replicas than segments", lambda: a.put("cfg/nine", b"n" * 100, config(replica_num=9)))
    r.step("how many it has", lambda: len(b.get_replica_desc("cfg/nine")))
    r.step("zero replicas", lambda: a.put("cfg/zero", b"z", config(replica_num=0)))
    r.step("nof replicas", lambda: a.put("cfg/nof", b"z", config(replica_num=1, nof_replica_num=1)))
    r.step("only nof replicas", lambda: a.put("cfg/nof2", b"z", config(replica_num=0, nof_replica_num=1)))
    r.step("dfs replicas", lambda: a.put("cfg/dfs", b"z", config(replica_num=1, dfs_replica_num=1)))
    if own_segments:
        r.step("preferred segment", lambda: a.put("cfg/pref", b"p" * 100, config(preferred_segment=b.get_hostname())))
        r.step("where it is", lambda: same_owner(b, "cfg/pref", "cfg/pref2", a))
        r.step("preferred segments", lambda: a.put("cfg/prefs", b"p", config(preferred_segments=[a.get_hostname()])))
    r.step("unknown preferred segment", lambda: a.put("cfg/unknown", b"u", config(preferred_segment="nowhere:1")))
    r.step("get it back", lambda: b.get("cfg/unknown"))
    r.step("prefer the same node", lambda: a.put("cfg/same", b"s", config(prefer_alloc_in_same_node=True)))
    r.step("hard pin", lambda: a.put("cfg/hard", b"h", config(with_hard_pin=True)))
    r.step("get hard", lambda: b.get("cfg/hard"))
    r.step("soft pin", lambda: a.put("cfg/soft", b"s", config(soft_pin_action=SoftPinAction.ENABLE)))
    r.step("soft pin with a time", lambda: a.put("cfg/soft2", b"s", config(soft_pin_action=SoftPinAction.ENABLE, soft_pin_ttl_ms=60000)))
    r.step("soft pin time without enable", lambda: a.put("cfg/soft3", b"s", config(soft_pin_ttl_ms=60000)))
    r.step("soft pin over a day", lambda: a.put("cfg/soft4", b"s", config(soft_pin_action=SoftPinAction.ENABLE, soft_pin_ttl_ms=86400001)))
    r.step("soft pin off by upsert", lambda: a.upsert("cfg/soft", b"t", config(soft_pin_action=SoftPinAction.DISABLE)))
    r.step("data type", lambda: a.put("cfg/type", b"d", config(data_type=ObjectDataType.KVCACHE)))
    r.step("one group", lambda: a.put("cfg/g1", b"1", config(group_ids=["g"])))
    r.step("two groups for one key", lambda: a.put("cfg/g2", b"2", config(group_ids=["g", "h"])))
    r.step("groups of a batch", lambda: a.put_batch(["cfg/g3", "cfg/g4"], [b"3", b"4"], config(group_ids=["g", "h"])))
    r.step("groups of a batch, wrong number", lambda: a.put_batch(["cfg/g5", "cfg/g6"], [b"5", b"6"], config(group_ids=["g"])))
    r.step("upsert into another group", lambda: a.upsert("cfg/g1", b"9", config(group_ids=["other"])))
    r.step("upsert in the same group", lambda: a.upsert("cfg/g1", b"8", config(group_ids=["g"])))
    r.step("get the group", lambda: b.get_batch(["cfg/g1", "cfg/g3", "cfg/g4"]))


def same_owner(b, key, probe, a):
    """Whether `key` lies where a put preferring b's own segment lies."""
    b.put(probe, b"x", config(preferred_segment=b.get_hostname()))
    return endpoints(a, key) == endpoints(a, probe)


def remove_steps(r, a, b, lease_ms):
    r.step("put", lambda: a.put("rm/1", b"1"))
    r.step("remove without a lease", lambda: a.remove("rm/1"))
    r.step("remove again", lambda: a.remove("rm/1"))
    r.step("put 2", lambda: a.put("rm/2", b"2"))
    r.step("read it", lambda: b.get("rm/2"))
    r.step("remove under a lease", lambda: a.remove("rm/2"))
    r.step("still there", lambda: b.is_exist("rm/2"))
    r.step("remove by force", lambda: a.remove("rm/2", True))
    r.step("gone", lambda: b.is_exist("rm/2"))
    r.step("put after force", lambda: a.put("rm/2", b"two"))
    r.step("read after force", lambda: b.get("rm/2"))
    r.step("lease runs out", lambda: until(lambda: a.remove("rm/2"), 0, 3 * lease_ms / 1000 + 2))
    for name in ("rx/a1", "rx/a2", "rx/b1", "ry/a1"):
        r.step(f"put {name}", lambda: a.put(name, b"v"))
    r.step("remove_by_regex", lambda: a.remove_by_regex("^rx/a"))
    r.step("what is left", lambda: b.batch_is_exist(["rx/a1", "rx/a2", "rx/b1", "ry/a1"]))
    r.step("remove_by_regex under a lease", lambda: a.remove_by_regex("^rx/"))
    r.step("remove_by_regex by force", lambda: a.remove_by_regex("b1$", True))
    r.step("regex is searched, not matched", lambda: a.remove_by_regex("y/a", True))
    r.step("bad regex", lambda: a.remove_by_regex("(["))
    r.step("regex that matches nothing", lambda: a.remove_by_regex("^nothing-here$"))
    r.step("put for replica clear", lambda: a.put_batch(["cl/1", "cl/2"], [b"1", b"2"]))
    r.step("batch_replica_clear by another", lambda: b.batch_replica_clear(["cl/1", "none"]))
    r.step("batch_replica_clear", lambda: sorted(a.batch_replica_clear(["cl/1", "none"])))
    r.step("cleared", lambda: b.batch_is_exist(["cl/1", "cl/2"]))
    r.step("batch_replica_clear on an unknown segment", lambda: a.batch_replica_clear(["cl/2"], "nowhere:1"))


def task_steps(r, a, b):
    r.step("put a's", lambda: a.put("task/1", pattern(70000, 2), config(preferred_segment=a.get_hostname())))
    r.step("copy task for a missing key", lambda: a.create_copy_task("none", [b.get_hostname()]))
    r.step("copy task to an unknown segment", lambda: a.create_copy_task("task/1", ["nowhere:1"]))
    r.step("copy task to nothing", lambda: a.create_copy_task("task/1", [])[1])
    task = a.create_copy_task("task/1", [b.get_hostname()])
    r.step("copy task", lambda: task[1])
    r.step("copy done", lambda: until(lambda: task_status(a, task[0]), "SUCCESS"))
    r.step("two replicas now", lambda: replicas(b, "task/1"))
    r.step("bytes", lambda: b.get("task/1") == pattern(70000, 2))
    r.step("task type", lambda: str(a.query_task(task[0])[0].type))
    r.step("query of an unknown task", lambda: a.query_task((1, 2)))
    r.step("put a second", lambda: a.put("task/2", pattern(7000, 3), config(preferred_segment=a.get_hostname())))
    before = endpoints(b, "task/2")
    move = a.create_move_task("task/2", a.get_hostname(), b.get_hostname())
    r.step("move task", lambda: move[1])
    r.step("move done", lambda: until(lambda: task_status(a, move[0]), "SUCCESS"))
    r.step("it moved", lambda: endpoints(a, "task/2") != before and len(endpoints(a, "task/2")))
    r.step("moved bytes", lambda: a.get("task/2") == pattern(7000, 3))
    r.step("move task from an unknown segment", lambda: a.create_move_task("task/2", "nowhere:1", b.get_hostname())[1])
    r.step("move task to an unknown segment", lambda: a.create_move_task("task/2", a.get_hostname(), "nowhere:1")[1])
    r.step("move task for a missing key", lambda: a.create_move_task("none", a.get_hostname(), b.get_hostname())[1])


def task_status(store, task):
    response, code = store.query_task(task)
    return response.status.name if code == 0 else code


def segment_steps(r, a, b):
    more = a.allocate_and_mount_segment(16 * MIB)
    r.step("allocate_and_mount_segment", lambda: [more["ret"], more["allocated_size"], len(more["segment_ids"])])
    r.step("put with it", lambda: a.put("seg/1", b"s"))
    r.step("unmount it", lambda: a.unmount_and_free_segment(more["segment_ids"]))
    r.step("unmount it twice", lambda: a.unmount_and_free_segment(more["segment_ids"]) != 0)
    r.step("mount of 0 bytes", lambda: a.allocate_and_mount_segment(0)["ret"] != 0)
    r.step("unmount_local_disk_segment", lambda: a.unmount_local_disk_segment() != 0)


def fill_steps(r, a, b, pool):
    size = 4 * MIB
    total = pool // size
    codes = [a.put(f"fill/{i}", pattern(size, i), config(with_hard_pin=True)) for i in range(total + 4)]
    r.step("the pool fills up with pinned objects", lambda: [codes[0], codes[-1]])
    stored = [i for i, code in enumerate(codes) if code == 0]
    r.step("everything stored is readable", lambda: all(b.get(f"fill/{i}") == pattern(size, i) for i in stored))
    r.step("larger than the pool", lambda: a.put("fill/huge", pattern(20 * MIB)))
    r.step("remove the filling", lambda: b.remove_by_regex("^fill/", True) == len(stored))


def error_steps(r, metadata, master):
    lonely = MooncakeDistributedStore()
    r.step("get before setup", lambda: lonely.get("x"))
    r.step("health before setup", lambda: lonely.health_check())
    third = MooncakeDistributedStore()
    r.step("third client without memory", lambda: third.setup("127.0.0.1", metadata, 0, 16 * MIB, "tcp", "", master))
    r.step("it reads", lambda: third.get("core/1"))
    r.step("it writes", lambda: third.put("err/1", b"third"))
    r.step("too large for its buffer", lambda: third.put("err/2", pattern(20 * MIB)))
    return third


def tenant_steps(r, metadata, master, without):
    tenant = MooncakeDistributedStore()
    r.step("client of a tenant", lambda: tenant.setup({"local_hostname": "127.0.0.1", "metadata_server": metadata, "global_segment_size": "0", "local_buffer_size": str(16 * MIB), "protocol": "tcp", "rdma_devices": "", "master_server_addr": master, "tenant_id": "t1"}))
    r.step("put as a tenant", lambda: tenant.put("tenant/1", b"t"))
    r.step("seen without tenants", lambda: without.get("tenant/1"))
    r.step("remove as a tenant", lambda: tenant.remove("tenant/1", True))
    return tenant


def guest_steps(metadata, master):
    r = Recorder()
    third = error_steps(r, metadata, master)
    tenant = tenant_steps(r, metadata, master, third)
    print(json.dumps({"leaving": True}), flush=True)
    r.step("close", lambda: third.close())
    r.step("health after close", lambda: third.health_check())
    r.step("close", lambda: tenant.close())


def restart_steps(r, a, b):
    old = {f"old/{i}": pattern(1000 + i, i) for i in range(8)}
    for i, (key, value) in enumerate(old.items()):
        r.step(f"before restart: put {key}", lambda: (b if i % 2 else a).put(key, value))
    r.step("before restart: remove", lambda: a.remove("old/7", True))
    print(json.dumps({"pause": "restart"}), flush=True)
    sys.stdin.readline()
    r.step("after restart: put works again", lambda: until(lambda: a.put("again/1", b"back"), 0, 60))
    r.step("after restart: get", lambda: until(lambda: b.get("again/1"), b"back"))
    r.step("after restart: the other client too", lambda: until(lambda: b.put("again/2", b"b"), 0, 60))
    keys = [f"old/{i}" for i in range(8)]
    r.step("after restart: old keys", lambda: until(lambda: a.batch_is_exist(keys), [1] * 7 + [0]))
    r.step("after restart: old values", lambda: [a.get(key) == old[key] for key in keys])
    r.step("after restart: old values, the other client", lambda: [b.get(key) == old[key] for key in keys])
    r.step("after restart: remove an old key", lambda: b.remove("old/3", True))
    r.step("after restart: upsert an old key", lambda: a.upsert("old/4", b"new"))
    r.step("after restart: its value", lambda: b.get("old/4"))
    r.step("after restart: batch", lambda: b.batch_is_exist(["again/1", "again/2", "none", "old/3"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--master", required=True)
    parser.add_argument("--metadata", required=True)
    parser.add_argument("--segment", type=int, default=64 * MIB)
    parser.add_argument("--lease-ms", type=int, default=1000)
    parser.add_argument("--pool", type=int, default=0, help="bytes of the whole pool, default: both segments")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--guests", action="store_true")
    args = parser.parse_args()
    if args.guests:
        return guest_steps(args.metadata, args.master)
    own = args.segment > 0
    r = Recorder()
    a, b = MooncakeDistributedStore(), MooncakeDistributedStore()
    for name, store in (("a", a), ("b", b)):
        r.step(f"setup {name}", lambda: store.setup("127.0.0.1", args.metadata, args.segment, 32 * MIB, "tcp", "", args.master))
    core_steps(r, a, b)
    batch_steps(r, a, b)
    buffer_steps(r, a, b)
    upsert_steps(r, a, b)
    config_steps(r, a, b, own)
    remove_steps(r, a, b, args.lease_ms)
    if own:
        task_steps(r, a, b)
        segment_steps(r, a, b)
    guests = Guests(args)
    guests.relay(r)
    fill_steps(r, a, b, args.pool or 2 * args.segment)
    if args.restart:
        restart_steps(r, a, b)
    r.step("remove_all", lambda: a.remove_all(True) > 0)
    r.step("nothing left", lambda: b.batch_is_exist(["core/1", "core/parts"]))
    r.step("close", lambda: [a.close(), b.close()])
    guests.leave(r)
    print(json.dumps({"steps": r.count}), flush=True)


if __name__ == "__main__":
    main()

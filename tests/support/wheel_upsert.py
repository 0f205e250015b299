"""Replaces a value with the wheel: wheel_upsert.py HOST METADATA MASTER KEY BYTE LENGTH; prints "done"."""
import sys

from mooncake.store import MooncakeDistributedStore

host, metadata, master, key, byte, length = sys.argv[1:]
store = MooncakeDistributedStore()
assert store.setup(host, metadata, 0, 64 << 20, "tcp", "", master) == 0
assert store.upsert(key, bytes([int(byte)]) * int(length)) == 0
store.close()
print("done")

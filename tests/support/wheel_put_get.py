"""Puts and gets a value with the wheel: wheel_put_get.py HOST METADATA MASTER; prints "same"."""
import sys

from mooncake.store import MooncakeDistributedStore

host, metadata, master = sys.argv[1:]
value = bytes(range(256)) * 1000
store = MooncakeDistributedStore()
assert store.setup(host, metadata, 0, 64 << 20, "tcp", "", master) == 0
assert store.put("from the wheel", value) == 0
assert store.get("from the wheel") == value
store.close()
print("same")

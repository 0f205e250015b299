"""A node of the published wheel whose memory is free in pieces; it stays until it is ended.

Arguments: address of the master, number of objects, bytes of an object. Object i consists of bytes
of the value i % 251; the ones with odd numbers are removed again.
"""

import signal
import sys

from mooncake.store import MooncakeDistributedStore

master, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
store = MooncakeDistributedStore()
code = store.setup("127.0.0.1", "P2PHANDSHAKE", 16 << 20, 16 << 20, "tcp", "", master)
assert code == 0, f"setup: {code}"
for i in range(count):
    code = store.put(f"k/{i}", bytes([i % 251]) * size)
    assert code == 0, f"put {i}: {code}"
for i in range(1, count, 2):
    code = store.remove(f"k/{i}")
    assert code == 0, f"remove {i}: {code}"
print("fragmented", flush=True)
signal.pause()

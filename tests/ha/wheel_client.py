"""The published wheel's client on a cluster whose leader goes away: puts before, during and after."""
import json
import os
import sys
import time

from mooncake.store import MooncakeDistributedStore

BEFORE = 200
AFTER = 100
LIMIT_S = 60


def value_of(key):
    return (key * 300).encode()


store = MooncakeDistributedStore()
code = store.setup("127.0.0.1", "P2PHANDSHAKE", 64 << 20, 16 << 20, "tcp", "", sys.argv[1])
if code != 0:
    sys.exit(f"setup failed: {code}")
stored = []
failed_at = None
back_after = None
started = time.monotonic()
i = 0
while time.monotonic() - started < LIMIT_S:
    key = f"wheel/{i}"
    i += 1
    if store.put(key, value_of(key)) == 0:
        stored.append(key)
        if failed_at is not None and back_after is None:
            back_after = time.monotonic() - failed_at
            print("back", flush=True)
            after = len(stored) + AFTER
    elif failed_at is None:
        failed_at = time.monotonic()
    if len(stored) == BEFORE:
        print("stored enough", flush=True)
    if back_after is not None and len(stored) >= after:
        break
    time.sleep(0.005)
values = {key: store.get(key) for key in stored}
missing = sum(len(value) == 0 for value in values.values())
wrong = sum(len(value) > 0 and value != value_of(key) for key, value in values.items())
print("result " + json.dumps({
    "stored": len(stored), "missing": missing, "wrong": wrong, "back_after_s": back_after,
}), flush=True)
os._exit(0)

"""A store client of the published wheel that lends nothing.

Started as: wheel_window.py MASTER CALL..., where a call is `get:KEY`, which prints the length of the
value and which bytes are in it, or `put:KEY:BYTES`, which prints the code of a put of so many nines.
"""

import sys

from mooncake.store import MooncakeDistributedStore


def main():
    store = MooncakeDistributedStore()
    code = store.setup("127.0.0.1", "P2PHANDSHAKE", 0, 64 << 20, "tcp", "", sys.argv[1])
    assert code == 0, f"setup failed: {code}"
    for call in sys.argv[2:]:
        word, key, *rest = call.split(":")
        if word == "get":
            value = store.get(key)
            print("got", key, len(value), set(value), flush=True)
        else:
            print("put", key, store.put(key, b"\x09" * int(rest[0])), flush=True)
    store.close()


if __name__ == "__main__":
    main()

"""A store client of the published wheel that speaks for a tenant.

Started as: wheel_tenant.py MASTER TENANT KEY..., and for each key it prints the code of a put and
what a get then returns; at last the code of a put into the name space of somebody else, if the
environment names one in OTHER_TENANT.
"""

import os
import sys

from mooncake.store import MooncakeDistributedStore


def connect(master, tenant):
    store = MooncakeDistributedStore()
    code = store.setup(
        "127.0.0.1", "P2PHANDSHAKE", 16 << 20, 16 << 20, "tcp", "", master, tenant_id=tenant
    )
    assert code == 0, f"setup failed: {code}"
    return store


def main():
    master, tenant, keys = sys.argv[1], sys.argv[2], sys.argv[3:]
    store = connect(master, tenant)
    for key in keys:
        print("put", key, store.put(key, f"{key} of a tenant".encode()), flush=True)
        print("get", key, store.get(key).decode(), flush=True)
    other = os.environ.get("OTHER_TENANT")
    if other is not None:
        stranger = connect(master, other)
        print("exists", stranger.is_exist(keys[0]), flush=True)
        print("put", "stranger", stranger.put("stranger", b"x"), flush=True)
        stranger.close()
    store.close()


if __name__ == "__main__":
    main()

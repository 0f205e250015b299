/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two transfer engines of one process: the second writes into memory of the first, which its caller
 * owns, and reads it back. Between processes the port and the remote address travel some other way.
 *
 *   cc -Iinclude two_engines.c -Llib -lsnowskin -Wl,-rpath,lib -o two_engines
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mc/transfer_engine_c.h"

#define SIZE (1u << 20)

static int check(const char *what, int result)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

static struct mc_engine *open_engine(void)
{
	struct mc_engine_options options = { .size = sizeof(options) };
	struct mc_engine *engine;

	check("mc_engine_open", mc_engine_open(&options, &engine));
	return engine;
}

static uint32_t reg(struct mc_engine *engine, void *memory, uint32_t flags,
		    struct mc_region_info *info)
{
	struct mc_region_options options = {
		.size = sizeof(options),
		.flags = flags,
		.length = SIZE,
		.address = (uintptr_t)memory, /* NULL: the engine allocates */
	};

	return (uint32_t)check("mc_region_register", mc_region_register(engine, &options, info));
}

/* Runs one operation to its end. */
static void move(struct mc_engine *engine, const struct mc_op *op)
{
	struct mc_completion done;

	check("mc_submit", mc_submit(engine, op, 1, 5000));
	while (check("mc_poll", mc_poll(engine, &done, 1, 5000)) == 0)
		;
	check(op->opcode == MC_OP_WRITE ? "write" : "read", done.result);
}

static void close_engine(struct mc_engine *engine)
{
	mc_engine_shutdown(engine);
	check("mc_engine_destroy", mc_engine_destroy(engine));
}

int main(void)
{
	struct mc_region_info lent, local;
	struct mc_engine *owner, *user;
	uint8_t *theirs, *mine;
	struct mc_op op = { .length = SIZE };
	struct mc_peer_options peer = {
		.size = sizeof(peer),
		.protocol_version = 2,
		.host = "127.0.0.1",
	};

	if (mc_abi_version() != MC_ABI_VERSION) {
		fprintf(stderr, "The library has version %d, not %d\n", mc_abi_version(),
			MC_ABI_VERSION);
		return 1;
	}
	owner = open_engine();
	user = open_engine();
	theirs = calloc(1, SIZE);
	if (!theirs)
		return 1;
	reg(owner, theirs, MC_REGION_PUBLISHED, &lent);
	peer.port = (uint32_t)check("mc_engine_listen", mc_engine_listen(owner, peer.host, 0));

	op.region = reg(user, NULL, 0, &local);
	op.peer = (uint32_t)check("mc_peer_open", mc_peer_open(user, &peer));
	op.remote = lent.remote_base;
	mine = (uint8_t *)(uintptr_t)local.address;
	memset(mine, 0x5a, SIZE);
	op.opcode = MC_OP_WRITE;
	move(user, &op);
	printf("wrote %u bytes, the last is 0x%02x\n", SIZE, theirs[SIZE - 1]);

	theirs[SIZE / 2] = 0xa5;
	op.opcode = MC_OP_READ;
	move(user, &op);
	printf("read them back, the middle is 0x%02x\n", mine[SIZE / 2]);

	close_engine(user);
	close_engine(owner);
	free(theirs);
	return 0;
}

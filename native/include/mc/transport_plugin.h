/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TRANSPORT_PLUGIN_H
#define MC_TRANSPORT_PLUGIN_H

#include <stdint.h>

/*
 * A transport as a library of its own, for networks whose software this project does not have. It
 * is loaded by path and exports mc_transport_plugin(). Includes nothing of the rest of the shim.
 *
 * A transport moves bytes one-sidedly between local memory and registered memory of a peer. What
 * it has to tell peers, an address and a key for each memory, are bytes of its own, which the
 * engines of both sides carry without looking at them.
 *
 * Results are 0 or -errno. Threads: one call at a time, but for memory_add, which may run beside
 * all but open and close. Only open, memory_add, memory_remove, stop and close may sleep, and the
 * first of these and memory_add only as long as the device takes. A transport may have threads of
 * its own. Nothing is printed, and no signal handler is changed.
 */

#define MC_TRANSPORT_PLUGIN_ABI 1u
#define MC_PLUGIN_ADDRESS_MAX 256u
#define MC_PLUGIN_KEY_MAX 64u

/* Numbers of enum mc_opcode. */
#define MC_PLUGIN_READ 0u  /* peer's memory -> local memory */
#define MC_PLUGIN_WRITE 1u /* local memory -> peer's memory */

/* Filled in by open; all zero before. */
struct mc_plugin_limits {
	uint64_t slice_bytes;  /* of one operation, at most; 0: 1 MiB */
	uint32_t max_slices;   /* operations under way, of all peers; 0: 256 */
	uint32_t needs_memory; /* 1: local memory has to be registered, too */
};

/* Bytes for peers. */
struct mc_plugin_blob {
	uint32_t size;
	uint8_t bytes[MC_PLUGIN_ADDRESS_MAX];
};

struct mc_plugin_slice {
	uint64_t token;  /* handed back with the completion */
	uint32_t opcode; /* MC_PLUGIN_READ or MC_PLUGIN_WRITE */
	uint32_t key_size;
	uint8_t *local;
	void *memory;    /* that memory_add gave for the local memory; NULL: not registered */
	uint64_t length; /* bytes, 1..slice_bytes */
	uint64_t offset; /* bytes from the start of the peer's memory; inside of it */
	const uint8_t *key; /* of the peer's memory, as its memory_add wrote it */
};

/*
 * result is 0 once the bytes have arrived, or: -EFAULT, the peer refused the memory; another
 * -errno, the way to the peer is broken, and everything else under way with it ends as well.
 */
struct mc_plugin_completion {
	uint64_t token;
	int32_t result;
	int32_t detail; /* number of the transport's own, for people; or 0 */
};

struct mc_transport_plugin {
	uint32_t size; /* sizeof(struct mc_transport_plugin) */
	uint32_t abi;  /* MC_TRANSPORT_PLUGIN_ABI */
	const char *standing; /* one line on what it has been run on; "fake: ..." when it is one */

	/*
	 * parameters is what the user gave, or "". Returns 0 and *transport, or -errno (-ENODEV: no
	 * device or library) with one line in why, NUL-terminated.
	 */
	int (*open)(const char *parameters, void **transport, struct mc_plugin_limits *limits,
		    char *why, uint32_t why_size);

	/* Of the network: [a-z0-9_/.-]{1,63}. Engines with the same one can reach each other. */
	const char *(*name)(void *transport);

	/* Ends serving peers: their operations fail. memory stays registered. */
	void (*stop)(void *transport);

	/* Frees everything. Every peer is disconnected and every memory removed. */
	void (*close)(void *transport);

	/* Where peers reach this transport; it may be another one after memory_remove. */
	int (*address)(void *transport, struct mc_plugin_blob *address);

	/*
	 * A descriptor that becomes readable when poll has something to return or to do, once arm
	 * has returned 0. It is not read by the engine. -1: the engine looks every 100 us instead
	 * while something is under way.
	 */
	int (*descriptor)(void *transport);

	/*
	 * Registers memory, which the caller keeps until memory_remove has returned. remote: peers
	 * may read and write it, and *key (at most MC_PLUGIN_KEY_MAX bytes) lets them; no key
	 * fits another registration, earlier or later.
	 */
	int (*memory_add)(void *transport, void *start, uint64_t length, int remote, void **memory,
			  struct mc_plugin_blob *key);

	/* When it returns, no peer touches the memory any more, whatever was under way. */
	void (*memory_remove)(void *transport, void *memory);

	/* Makes what is needed to reach an address, without waiting for the network. */
	int (*connect)(void *transport, const uint8_t *address, uint32_t size, void **peer);

	/*
	 * Frees it. What was under way is given up: when it returns, no local memory is touched for
	 * it any more, and poll never returns its tokens.
	 */
	void (*disconnect)(void *transport, void *peer);

	/*
	 * Begins one operation: 0; -EAGAIN, no room now, or the way is still being made (it is
	 * tried again after a completion, or a millisecond); or another -errno, the peer cannot be
	 * reached.
	 */
	int (*submit)(void *transport, void *peer, const struct mc_plugin_slice *slice);

	/* Moves what is ready; returns how many completions it wrote to out, at most max. */
	int (*poll)(void *transport, struct mc_plugin_completion *out, uint32_t max);

	/* Before the descriptor is waited for: 0, or 1 when poll has to be called first. */
	int (*arm)(void *transport);
};

/* What a plugin exports; abi is what the engine has. NULL: it has another one only. */
const struct mc_transport_plugin *mc_transport_plugin(uint32_t abi);

#endif

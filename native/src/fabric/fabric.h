/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FABRIC_H
#define MC_FABRIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "mc/transport_plugin.h"

#include "../list.h"
#include "abi.h"

/*
 * libfabric as a plugin: connectionless reliable endpoints, one-sided reads and writes. One
 * endpoint serves peers and has a thread that drives it, since most providers move nothing by
 * themselves. Each peer is reached over an endpoint of its own: closing that is the only way to
 * end an operation for sure.
 */

/* An endpoint with what it needs. */
struct fabric_end {
	struct mcf_av *av;
	struct mcf_cq *cq;
	struct mcf_ep *ep;
	int fd; /* becomes readable after trywait allowed to wait; -1: there is none */
};

struct fabric {
	const struct mcf_calls *calls;
	struct mcf_info *info;
	struct mcf_fabric *fabric;
	struct mcf_domain *domain;
	char name[64];
	bool has_fds;
	int epoll_fd; /* of the peers' queues */
	struct mc_list peers;

	struct fabric_end target;
	struct mc_plugin_blob address; /* of the target */
	pthread_t thread;
	bool serving;
	int stop_fd;
};

struct fabric_memory {
	struct mcf_mr *mr;
	bool remote;
};

struct fabric_peer {
	struct mc_list node;
	struct fabric *fabric;
	struct fabric_end end;
	uint64_t address; /* in the end's table */
	int64_t made_at;
	bool reached; /* an operation was taken once */
	struct mc_list flights, free_flights;
	struct fabric_flight *slots;
};

/* An operation that libfabric has; its first bytes are the provider's. */
struct fabric_flight {
	uint64_t scratch[8];
	struct mc_list node;
	uint64_t token;
};

/* Loads libfabric.so.1: its functions, or NULL with one line in why. */
const struct mcf_calls *fabric_load(char *why, uint32_t why_size);

/* Opens an endpoint, at an address if that is not NULL; 0 or -errno. */
int fabric_end_open(struct fabric *fabric, const struct mc_plugin_blob *at, struct fabric_end *end);
void fabric_end_close(struct fabric_end *end);

/* Opens the endpoint that serves peers, at its old address if it had one, and starts its thread. */
int fabric_target_start(struct fabric *fabric);

/* No peer's operation touches memory afterwards. */
void fabric_target_stop(struct fabric *fabric);

/* Functions of the plugin that deal with peers. */
int fabric_connect(void *transport, const uint8_t *address, uint32_t size, void **connected);
void fabric_disconnect(void *transport, void *peer);
int fabric_submit(void *transport, void *peer, const struct mc_plugin_slice *slice);
int fabric_poll(void *transport, struct mc_plugin_completion *out, uint32_t max);
int fabric_arm(void *transport);

#endif

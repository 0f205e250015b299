// SPDX-License-Identifier: Apache-2.0
/* An engine and its name. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "te.h"

#define FIRST_PORT 15000u
#define PORTS 2001u

void te_say(const char *format, ...)
{
	char line[512];
	va_list list;

	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	fprintf(stderr, "transfer engine: %s\n", line);
}

static bool is_loopback(const char *numeric)
{
	return !strncmp(numeric, "127.", 4) || !strcmp(numeric, "::1");
}

static int try_ports(struct te *te, const char *bind, uint32_t random)
{
	int got = -EADDRINUSE;

	for (uint32_t i = 0; i < PORTS && got == -EADDRINUSE; i++)
		got = mc_engine_listen(te->core, bind, FIRST_PORT + (random + i) % PORTS);
	return got;
}

/* Serves at the address of the name, or all of them; te->lock is held, since peers come at once. */
static int start_serving(struct te *te, const char *host)
{
	char numeric[64];
	uint32_t random = 0;
	int got;

	if (te_resolve(host, numeric) < 0) {
		te_say("the host \"%s\" has no address", host);
		return ERR_DNS;
	}
	if (getrandom(&random, sizeof(random), 0) < 0)
		random = (uint32_t)getpid();
	if (is_loopback(numeric)) {
		got = try_ports(te, numeric, random);
	} else {
		got = try_ports(te, "::", random);
		if (got < 0) /* without IPv6 */
			got = try_ports(te, "0.0.0.0", random);
	}
	if (got < 0) {
		te_say("no port of %u to %u can be had: %s", FIRST_PORT, FIRST_PORT + PORTS - 1,
		       strerror(-got));
		return ERR_SOCKET;
	}
	te->port = (uint32_t)got;
	snprintf(te->host, sizeof(te->host), "%s", numeric);
	snprintf(te->name, sizeof(te->name), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
		 te->port);
	return 0;
}

static int answer_handshakes(struct te *te)
{
	uint64_t random;
	char name[64];
	int err;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return ERR_SOCKET;
	snprintf(name, sizeof(name), "snowskin-te-%d-%016llx", getpid(),
		 (unsigned long long)random);
	err = te_answerer_start(te, name);
	if (err)
		return err;
	return mc_engine_answer_at(te->core, name) < 0 ? ERR_SOCKET : 0;
}

/* Requests to this engine itself. */
static int open_self(struct te *te)
{
	struct mc_peer_options options = {
		.size = sizeof(options),
		.protocol_version = 2,
		.port = te->port,
	};
	int peer;

	snprintf(options.host, sizeof(options.host), "%s", te->host);
	te->segments = calloc(1, sizeof(*te->segments));
	if (!te->segments)
		return ERR_MEMORY;
	peer = mc_peer_open(te->core, &options);
	if (peer < 0)
		return ERR_ENDPOINT;
	te->segments[0] = (struct te_segment){ .peer = (uint32_t)peer, .openings = 1 };
	te->segment_count = 1;
	return 0;
}

static bool host_of(const char *server_name, const char *ip, char host[TE_HOST_SIZE])
{
	const char *name = server_name && *server_name ? server_name : ip;
	uint32_t port;

	if (name && *name && te_parse_name(name, host, &port))
		return true;
	te_say("\"%s\" is no name of this engine; allowed: host, host:port", name ? name : "");
	return false;
}

transfer_engine_t createTransferEngine(const char *metadata, const char *server_name,
				       const char *ip, uint64_t rpc_port, int auto_discover)
{
	const struct mc_engine_options options = { .size = sizeof(options) };
	char host[TE_HOST_SIZE];
	struct te *te;
	int err;

	(void)rpc_port;
	if (!metadata || strcmp(metadata, "P2PHANDSHAKE")) {
		te_say("metadata \"%s\" is refused; allowed: P2PHANDSHAKE", metadata ? metadata : "");
		return NULL;
	}
	if (!host_of(server_name, ip, host))
		return NULL;
	te = calloc(1, sizeof(*te));
	if (!te)
		return NULL;
	te->last_note = &te->notes;
	atomic_init(&te->tcp, auto_discover != 0);
	err = mc_engine_open(&options, &te->core);
	if (err) {
		te_say("no engine can be had: %s", strerror(-err));
		free(te);
		return NULL;
	}
	pthread_mutex_init(&te->lock, NULL);
	pthread_mutex_lock(&te->lock);
	err = answer_handshakes(te);
	if (!err)
		err = start_serving(te, host);
	if (!err)
		err = open_self(te);
	pthread_mutex_unlock(&te->lock);
	if (!err && pthread_create(&te->poller, NULL, te_poll, te) == 0)
		return te;
	if (te->answerer)
		te_answerer_stop(te);
	mc_engine_shutdown(te->core);
	mc_engine_destroy(te->core);
	pthread_mutex_destroy(&te->lock);
	free(te->segments);
	free(te);
	return NULL;
}

void destroyTransferEngine(transfer_engine_t engine)
{
	struct te *te = engine;

	if (!te)
		return;
	te_answerer_stop(te);
	mc_engine_shutdown(te->core);
	pthread_join(te->poller, NULL);
	mc_engine_destroy(te->core);
	te_free_batches(te);
	for (struct te_memory *memory = te->memories, *next; memory; memory = next) {
		next = memory->next;
		free(memory);
	}
	for (struct te_note *note = te->notes, *next; note; note = next) {
		next = note->next;
		free(note->name);
		free(note->msg);
		free(note);
	}
	for (uint32_t i = 0; i < te->segment_count; i++)
		free(te->segments[i].name);
	free(te->segments);
	pthread_mutex_destroy(&te->lock);
	free(te);
}

int getLocalIpAndPort(transfer_engine_t engine, char *buf_out, size_t buf_len)
{
	const struct te *te = engine;
	size_t length;

	if (!te || !buf_out)
		return ERR_INVALID_ARGUMENT;
	length = strlen(te->name) + 1;
	if (buf_len < length)
		return ERR_INVALID_ARGUMENT;
	memcpy(buf_out, te->name, length);
	return 0;
}

transport_t installTransport(transfer_engine_t engine, const char *proto, void **args)
{
	struct te *te = engine;

	(void)args;
	if (!te)
		return NULL;
	if (!proto || strcmp(proto, "tcp")) {
		te_say("the transport \"%s\" is refused; allowed: tcp", proto ? proto : "");
		return NULL;
	}
	atomic_store(&te->tcp, true);
	return &te->tcp;
}

int uninstallTransport(transfer_engine_t engine, const char *proto)
{
	struct te *te = engine;

	if (!te || !proto || strcmp(proto, "tcp") || !atomic_exchange(&te->tcp, false))
		return ERR_INVALID_ARGUMENT;
	return 0;
}

// SPDX-License-Identifier: Apache-2.0
/* Engines that requests go to. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "te.h"

/* What an engine's document says of how it is reached. */
static int read_document(const char *name, const char *text, struct mc_peer_options *options)
{
	struct json_text document = { text, text + strlen(text) }, value;
	uint64_t port, version = 1;
	char host[TE_HOST_SIZE], *other = NULL, *local = NULL;
	uint32_t own_port;
	int err;

	if (!json_member(document, "tcp_data_port", &value))
		return ERR_MALFORMED_JSON;
	if (!json_number(value, UINT16_MAX, &port) || port == 0)
		return ERR_ENDPOINT;
	if (json_member(document, "tcp_proto_version", &value) &&
	    (!json_number(value, 2, &version) || version == 0))
		return ERR_MALFORMED_JSON;
	te_parse_name(name, host, &own_port);
	if (json_member(document, "tcp_data_host", &value))
		other = json_string(value);
	err = te_resolve(other && *other ? other : host, options->host);
	free(other);
	if (json_member(document, "snowskin_local_name", &value))
		local = json_string(value);
	if (local && strlen(local) < sizeof(options->local_name))
		strcpy(options->local_name, local);
	free(local);
	options->port = (uint32_t)port;
	options->protocol_version = (uint32_t)version;
	return err;
}

static int ask(const char *name, struct mc_peer_options *options)
{
	char *text = NULL;
	int err = te_exchange(name, TE_METADATA, "{}", &text);

	*options = (struct mc_peer_options){ .size = sizeof(*options) };
	if (!err)
		err = read_document(name, text, options);
	free(text);
	return err;
}

/* Of the engine of that name, te->lock is held; 0: there is none. */
static uint32_t find_segment(const struct te *te, const char *name)
{
	for (uint32_t i = 1; i < te->segment_count; i++) {
		if (!strcmp(te->segments[i].name, name))
			return i;
	}
	return 0;
}

/* Its number, under which it has no peer yet; te->lock is held. 0 without memory. */
static uint32_t add_segment(struct te *te, const char *name)
{
	struct te_segment *more =
		realloc(te->segments, (te->segment_count + 1) * sizeof(*te->segments));
	char *copy = strdup(name);

	if (more)
		te->segments = more;
	if (!more || !copy) {
		free(copy);
		return 0;
	}
	te->segments[te->segment_count] = (struct te_segment){ .name = copy };
	return te->segment_count++;
}

static void close_peer(struct te *te, struct te_segment *segment)
{
	if (segment->peer)
		mc_peer_close(te->core, segment->peer);
	segment->peer = 0;
	segment->openings = 0;
}

/* Turns to what the document says, which closes connections to where it was before. */
static int turn(struct te *te, const char *name, const struct mc_peer_options *options,
		uint32_t openings)
{
	int peer = mc_peer_open(te->core, options);
	uint32_t id;

	if (peer < 0)
		return ERR_ENDPOINT;
	id = find_segment(te, name);
	if (!id)
		id = add_segment(te, name);
	if (!id) {
		mc_peer_close(te->core, (uint32_t)peer);
		return ERR_MEMORY;
	}
	openings += te->segments[id].openings;
	close_peer(te, &te->segments[id]);
	te->segments[id].peer = (uint32_t)peer;
	te->segments[id].openings = openings;
	return (int)id;
}

static segment_id_t open_segment(struct te *te, const char *name, bool again)
{
	struct mc_peer_options options;
	uint32_t known;
	int result;

	if (!te || !name)
		return ERR_INVALID_ARGUMENT;
	while (*name == '/')
		name++;
	if (!strcmp(name, te->name))
		return LOCAL_SEGMENT;
	pthread_mutex_lock(&te->lock);
	known = again ? 0 : find_segment(te, name);
	if (known && te->segments[known].peer)
		te->segments[known].openings++;
	else
		known = 0;
	pthread_mutex_unlock(&te->lock);
	if (known)
		return (segment_id_t)known;
	result = ask(name, &options);
	if (result)
		return result;
	pthread_mutex_lock(&te->lock);
	result = turn(te, name, &options, 1);
	pthread_mutex_unlock(&te->lock);
	return result;
}

segment_id_t openSegment(transfer_engine_t engine, const char *segment_name)
{
	return open_segment(engine, segment_name, false);
}

segment_id_t openSegmentNoCache(transfer_engine_t engine, const char *segment_name)
{
	return open_segment(engine, segment_name, true);
}

int closeSegment(transfer_engine_t engine, segment_id_t segment_id)
{
	struct te *te = engine;
	int err = 0;

	if (!te || segment_id < 0)
		return ERR_INVALID_ARGUMENT;
	if (segment_id == LOCAL_SEGMENT)
		return 0;
	pthread_mutex_lock(&te->lock);
	if ((uint32_t)segment_id >= te->segment_count || !te->segments[segment_id].peer)
		err = ERR_INVALID_ARGUMENT;
	else if (--te->segments[segment_id].openings == 0)
		close_peer(te, &te->segments[segment_id]);
	pthread_mutex_unlock(&te->lock);
	return err;
}

int removeLocalSegment(transfer_engine_t engine, const char *segment_name)
{
	struct te *te = engine;
	uint32_t id;

	if (!te || !segment_name)
		return ERR_INVALID_ARGUMENT;
	pthread_mutex_lock(&te->lock);
	id = find_segment(te, segment_name);
	if (id)
		close_peer(te, &te->segments[id]);
	pthread_mutex_unlock(&te->lock);
	return id ? 0 : ERR_INVALID_ARGUMENT;
}

int syncSegmentCache(transfer_engine_t engine)
{
	struct te *te = engine;
	int first = 0;

	if (!te)
		return ERR_INVALID_ARGUMENT;
	for (uint32_t id = 1;; id++) {
		struct mc_peer_options options;
		char *name = NULL;
		bool last;
		int err;

		pthread_mutex_lock(&te->lock);
		last = id >= te->segment_count;
		if (!last && te->segments[id].peer)
			name = strdup(te->segments[id].name);
		pthread_mutex_unlock(&te->lock);
		if (last)
			return first;
		if (!name)
			continue;
		err = ask(name, &options);
		pthread_mutex_lock(&te->lock);
		if (!err && te->segments[id].peer)
			err = turn(te, name, &options, 0);
		pthread_mutex_unlock(&te->lock);
		free(name);
		first = err < 0 && !first ? err : first;
	}
}

// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../common.h"
#include "tcp_lane.h"

/* A lane that was quiet for longer is looked at before it is used. */
#define QUIET_NS 5000000

/* The buffer starts in the middle of a page, away from where bodies lie in a socket's. */
#define BOUNCE_ALIGNMENT 4096u
#define BOUNCE_OFFSET 2048u

int tcp_client_open(struct mc_engine *engine, const struct mc_engine_options *options,
		    struct tcp_client **opened)
{
	struct tcp_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	if (posix_memalign((void **)&client->bounce_block, BOUNCE_ALIGNMENT,
			   BOUNCE_OFFSET + TCP_BOUNCE_SIZE) != 0) {
		free(client);
		return -ENOMEM;
	}
	client->bounce = client->bounce_block + BOUNCE_OFFSET;
	mc_list_init(&client->links);
	mc_list_init(&client->ready);
	client->engine = engine;
	client->lanes_per_peer = options->lanes_per_peer;
	client->spill_bytes = options->lane_spill_bytes;
	client->connect_timeout = (int64_t)options->connect_timeout_ms * 1000000;
	*opened = client;
	return 0;
}

void tcp_client_stop(struct tcp_client *client)
{
	struct mc_list *node, *following;

	client->stopped = true;
	mc_list_each(node, following, &client->links) {
		struct tcp_link *link = mc_list_entry(node, struct tcp_link, entry);

		for (uint32_t i = 0; i < client->lanes_per_peer; i++) {
			if (link->lanes[i])
				tcp_lane_fail(link->lanes[i], -ECANCELED, 0);
		}
	}
}

void tcp_client_free(struct tcp_client *client)
{
	free(client->bounce_block);
	free(client);
}

uint64_t tcp_client_connects(struct tcp_client *client)
{
	return atomic_load(&client->connects);
}

int tcp_client_connect(struct tcp_client *client, const struct mc_peer_options *options,
		       void **opened)
{
	struct tcp_link *link;
	int err;

	if (options->port == 0 || options->port > UINT16_MAX)
		return -EINVAL;
	if (options->protocol_version != 1 && options->protocol_version != 2)
		return -EINVAL;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	err = tcp_parse_address(options->host, (uint16_t)options->port, &link->address,
				&link->address_length);
	if (err) {
		free(link);
		return err;
	}
	mc_list_init(&link->entry);
	link->client = client;
	link->acknowledged = options->protocol_version == 2;
	snprintf(link->server_name, sizeof(link->server_name), "%s",
		 options->server_name[0] ? options->server_name : options->host);
	*opened = link;
	return 0;
}

void tcp_client_disconnect(struct tcp_client *client, void *opened)
{
	struct tcp_link *link = opened;

	for (uint32_t i = 0; i < client->lanes_per_peer; i++) {
		if (!link->lanes[i])
			continue;
		tcp_lane_fail(link->lanes[i], -ECANCELED, 0);
		tcp_lane_free(link->lanes[i]);
	}
	if (client->engine->spin == &link->spin)
		client->engine->spin = NULL;
	mc_list_remove(&link->entry);
	free(link);
}

/*
 * The first lane that is not yet full, so that small requests share one connection and a
 * large one does not hold up the next; when all are full, the emptiest.
 */
static struct tcp_lane *choose_lane(struct tcp_client *client, struct tcp_link *link,
				    uint64_t length)
{
	struct tcp_lane *emptiest = NULL;

	for (uint32_t i = 0; i < client->lanes_per_peer; i++) {
		struct tcp_lane *lane = link->lanes[i];

		if (!lane)
			lane = link->lanes[i] = tcp_lane_new(link);
		if (!lane)
			break;
		if (lane->queued_bytes == 0 || lane->queued_bytes + length <= client->spill_bytes)
			return lane;
		if (!emptiest || lane->queued_bytes < emptiest->queued_bytes)
			emptiest = lane;
	}
	return emptiest;
}

void tcp_client_submit(struct tcp_client *client, struct mc_work *work)
{
	struct tcp_link *link = work->peer->link;
	struct tcp_lane *lane;
	int err;

	if (client->stopped) {
		mc_work_finish(client->engine, work, -ECANCELED, 0);
		return;
	}
	if (mc_list_empty(&link->entry))
		mc_list_append(&client->links, &link->entry);
	lane = choose_lane(client, link, work->length);
	if (!lane) {
		mc_work_finish(client->engine, work, -ENOMEM, ENOMEM);
		return;
	}
	if (lane->state == LANE_OPEN && !lane->queue.first &&
	    client->engine->now - lane->active > QUIET_NS)
		tcp_lane_check(lane);
	err = tcp_lane_push(lane, work);
	if (err)
		mc_work_finish(client->engine, work, -EHOSTUNREACH, -err);
}

bool tcp_client_progress(struct tcp_client *client, uint64_t *budget)
{
	while (*budget > 0 && !mc_list_empty(&client->ready)) {
		struct tcp_lane *lane = mc_list_entry(client->ready.next, struct tcp_lane, ready);

		mc_list_remove(&lane->ready);
		if (tcp_lane_run(lane, budget))
			tcp_lane_set_ready(lane);
	}
	return !mc_list_empty(&client->ready);
}

int64_t tcp_client_expire(struct tcp_client *client, int64_t now)
{
	int64_t next = MC_NEVER;
	struct mc_list *node, *following;

	mc_list_each(node, following, &client->links) {
		struct tcp_link *link = mc_list_entry(node, struct tcp_link, entry);

		for (uint32_t i = 0; i < client->lanes_per_peer; i++) {
			if (link->lanes[i])
				next = mc_earlier(next, tcp_lane_expire(link->lanes[i], now));
		}
	}
	return next;
}

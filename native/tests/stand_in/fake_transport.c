// SPDX-License-Identifier: Apache-2.0
/*
 * A FAKE transport: there is no network. Engines of one process that load this library reach each
 * other; a thread copies. It shows how a transport is written, and lets tests run the engine's side
 * of mc/transport_plugin.h. Parameters, joined by commas: absent (it has no device), stall (nothing
 * ever completes), needs_memory, no_descriptor, small (slices of 4 KiB, four at a time).
 */
#define _GNU_SOURCE
#include "mc/transport_plugin.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct memory {
	struct memory *next;
	struct transport *owner;
	uint8_t *start;
	uint64_t length, key;
	bool remote;
};

struct operation {
	struct operation *next;
	struct peer *peer;
	struct mc_plugin_slice slice;
	uint64_t key;
	int result;
};

struct peer {
	struct transport *transport;
	uint64_t address;
};

struct transport {
	struct transport *next;
	uint64_t address;
	bool serving, stalls, ending;
	struct mc_plugin_limits limits;
	uint32_t under_way;
	struct operation *begun, *done;
	pthread_t thread;
	pthread_cond_t work;
	int event;
};

/* The whole network, and its lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct transport *transports;
static struct memory *memories;
static uint64_t next_number = 0x5eed;

static void push(struct operation **list, struct operation *operation)
{
	while (*list)
		list = &(*list)->next;
	operation->next = NULL;
	*list = operation;
}

static struct transport *at(uint64_t address)
{
	struct transport *found = transports;

	while (found && found->address != address)
		found = found->next;
	return found && found->serving ? found : NULL;
}

static int copy(const struct operation *operation)
{
	const struct mc_plugin_slice *slice = &operation->slice;
	struct transport *owner = at(operation->peer->address);
	struct memory *memory = memories;
	uint8_t *remote;

	if (!owner)
		return -ECONNRESET;
	while (memory && !(memory->remote && memory->owner == owner && memory->key == operation->key))
		memory = memory->next;
	if (!memory || slice->offset > memory->length ||
	    slice->length > memory->length - slice->offset)
		return -EFAULT;
	remote = memory->start + slice->offset;
	if (slice->opcode == MC_PLUGIN_WRITE)
		memcpy(remote, slice->local, slice->length);
	else
		memcpy(slice->local, remote, slice->length);
	return 0;
}

static void *run(void *argument)
{
	struct transport *transport = argument;

	pthread_mutex_lock(&lock);
	while (!transport->ending) {
		struct operation *operation = transport->stalls ? NULL : transport->begun;

		if (!operation) {
			pthread_cond_wait(&transport->work, &lock);
			continue;
		}
		transport->begun = operation->next;
		operation->result = copy(operation);
		push(&transport->done, operation);
		eventfd_write(transport->event, 1);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int fake_open(const char *parameters, void **opened, struct mc_plugin_limits *limits,
		     char *why, uint32_t why_size)
{
	struct transport *transport;

	if (strstr(parameters, "absent")) {
		snprintf(why, why_size, "fake: it was told to have no device");
		return -ENODEV;
	}
	transport = calloc(1, sizeof(*transport));
	if (!transport)
		return -ENOMEM;
	transport->serving = true;
	transport->stalls = strstr(parameters, "stall");
	limits->needs_memory = strstr(parameters, "needs_memory") != NULL;
	if (strstr(parameters, "small")) {
		limits->slice_bytes = 4096;
		limits->max_slices = 4;
	}
	transport->limits = *limits;
	if (strstr(parameters, "no_descriptor"))
		transport->event = -1;
	else
		transport->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_cond_init(&transport->work, NULL);
	if (pthread_create(&transport->thread, NULL, run, transport)) {
		free(transport);
		return -ENOMEM;
	}
	pthread_mutex_lock(&lock);
	transport->address = next_number++;
	transport->next = transports;
	transports = transport;
	pthread_mutex_unlock(&lock);
	*opened = transport;
	return 0;
}

static const char *fake_name(void *transport)
{
	(void)transport;
	return "fake";
}

static void fake_stop(void *handle)
{
	struct transport *transport = handle;

	pthread_mutex_lock(&lock);
	transport->serving = false;
	pthread_mutex_unlock(&lock);
}

static void fake_close(void *handle)
{
	struct transport *transport = handle, **place = &transports;

	pthread_mutex_lock(&lock);
	transport->ending = true;
	pthread_cond_signal(&transport->work);
	while (*place != transport)
		place = &(*place)->next;
	*place = transport->next;
	pthread_mutex_unlock(&lock);
	pthread_join(transport->thread, NULL);
	pthread_cond_destroy(&transport->work);
	if (transport->event >= 0)
		close(transport->event);
	free(transport);
}

static void put_number(struct mc_plugin_blob *blob, uint64_t number)
{
	blob->size = sizeof(number);
	memcpy(blob->bytes, &number, sizeof(number));
}

static int fake_address(void *handle, struct mc_plugin_blob *address)
{
	put_number(address, ((struct transport *)handle)->address);
	return 0;
}

static int fake_descriptor(void *handle)
{
	return ((struct transport *)handle)->event;
}

static int fake_memory_add(void *handle, void *start, uint64_t length, int remote, void **added,
			   struct mc_plugin_blob *key)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return -ENOMEM;
	memory->owner = handle;
	memory->start = start;
	memory->length = length;
	memory->remote = remote;
	pthread_mutex_lock(&lock);
	memory->key = next_number++;
	memory->next = memories;
	memories = memory;
	pthread_mutex_unlock(&lock);
	put_number(key, memory->key);
	*added = memory;
	return 0;
}

static void fake_memory_remove(void *handle, void *removed)
{
	struct memory **place = &memories;

	(void)handle;
	pthread_mutex_lock(&lock);
	while (*place != removed)
		place = &(*place)->next;
	*place = (*place)->next;
	pthread_mutex_unlock(&lock);
	free(removed);
}

static int fake_connect(void *handle, const uint8_t *address, uint32_t size, void **connected)
{
	struct peer *peer;

	if (size != sizeof(peer->address))
		return -EINVAL;
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->transport = handle;
	memcpy(&peer->address, address, size);
	*connected = peer;
	return 0;
}

static void drop(struct transport *transport, struct operation **list, const struct peer *peer)
{
	while (*list) {
		struct operation *operation = *list;

		if (operation->peer != peer) {
			list = &operation->next;
			continue;
		}
		*list = operation->next;
		transport->under_way--;
		free(operation);
	}
}

static void fake_disconnect(void *handle, void *peer)
{
	struct transport *transport = handle;

	pthread_mutex_lock(&lock);
	drop(transport, &transport->begun, peer);
	drop(transport, &transport->done, peer);
	pthread_mutex_unlock(&lock);
	free(peer);
}

static int fake_submit(void *handle, void *peer, const struct mc_plugin_slice *slice)
{
	struct transport *transport = handle;
	struct operation *operation;
	int err = 0;

	if (slice->key_size != sizeof(operation->key) ||
	    (transport->limits.needs_memory && !slice->memory))
		return -EINVAL;
	operation = calloc(1, sizeof(*operation));
	if (!operation)
		return -ENOMEM;
	operation->peer = peer;
	operation->slice = *slice;
	memcpy(&operation->key, slice->key, sizeof(operation->key));
	pthread_mutex_lock(&lock);
	if (!at(operation->peer->address))
		err = -EHOSTUNREACH;
	else if (transport->limits.max_slices && transport->under_way == 2)
		err = -EAGAIN;
	if (!err) {
		transport->under_way++;
		push(&transport->begun, operation);
		pthread_cond_signal(&transport->work);
	}
	pthread_mutex_unlock(&lock);
	if (err)
		free(operation);
	return err;
}

static int fake_poll(void *handle, struct mc_plugin_completion *out, uint32_t max)
{
	struct transport *transport = handle;
	uint32_t count = 0;

	pthread_mutex_lock(&lock);
	while (count < max && transport->done) {
		struct operation *operation = transport->done;

		transport->done = operation->next;
		out[count].token = operation->slice.token;
		out[count].result = operation->result;
		out[count++].detail = 0;
		transport->under_way--;
		free(operation);
	}
	pthread_mutex_unlock(&lock);
	return (int)count;
}

static int fake_arm(void *handle)
{
	struct transport *transport = handle;
	eventfd_t value;
	int ready;

	pthread_mutex_lock(&lock);
	ready = transport->done != NULL;
	if (!ready)
		eventfd_read(transport->event, &value);
	pthread_mutex_unlock(&lock);
	return ready;
}

static const struct mc_transport_plugin fake = {
	.size = sizeof(fake),
	.abi = MC_TRANSPORT_PLUGIN_ABI,
	.standing = "fake: copies inside of one process, for tests",
	.open = fake_open,
	.name = fake_name,
	.stop = fake_stop,
	.close = fake_close,
	.address = fake_address,
	.descriptor = fake_descriptor,
	.memory_add = fake_memory_add,
	.memory_remove = fake_memory_remove,
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.submit = fake_submit,
	.poll = fake_poll,
	.arm = fake_arm,
};

EXPORT const struct mc_transport_plugin *mc_transport_plugin(uint32_t abi)
{
	return abi == MC_TRANSPORT_PLUGIN_ABI ? &fake : NULL;
}

// SPDX-License-Identifier: Apache-2.0
/* Memory of the caller, and the document that names what of it peers may reach. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "te.h"

#define TIMESTAMP_SIZE 32

/* Of memory that is known; te->lock is held. */
static struct te_memory **find_memory(struct te *te, const void *address, uint64_t length)
{
	uintptr_t start = (uintptr_t)address;

	for (struct te_memory **at = &te->memories; *at; at = &(*at)->next) {
		uintptr_t begin = (uintptr_t)(*at)->address;

		if (start < begin + (*at)->length && begin < start + length)
			return at;
	}
	return NULL;
}

static bool location_ok(const char *location)
{
	return !location || !*location || !strcmp(location, "*") || !strncmp(location, "cpu:", 4);
}

static int lend(struct te *te, struct te_memory *memory)
{
	const struct mc_region_options options = {
		.size = sizeof(options),
		.flags = MC_REGION_PUBLISHED | MC_REGION_AT_ADDRESS,
		.length = memory->length,
		.address = (uintptr_t)memory->address,
	};
	struct mc_region_info info;
	int region = mc_region_register(te->core, &options, &info);

	if (region < 0)
		return region == -ENOMEM ? ERR_MEMORY : ERR_INVALID_ARGUMENT;
	memory->region = (uint32_t)region;
	return 0;
}

int registerLocalMemory(transfer_engine_t engine, void *addr, size_t length, const char *location,
			int remote_accessible)
{
	struct te_memory *memory;
	struct te *te = engine;
	int err = 0;

	if (!te || !addr || length == 0 || (uintptr_t)addr + length < length)
		return ERR_INVALID_ARGUMENT;
	if (!location_ok(location)) {
		te_say("memory at \"%s\" is refused; allowed: cpu:N, *", location);
		return ERR_INVALID_ARGUMENT;
	}
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return ERR_MEMORY;
	memory->address = addr;
	memory->length = length;
	pthread_mutex_lock(&te->lock);
	if (find_memory(te, addr, length))
		err = ERR_ADDRESS_OVERLAPPED;
	else if (remote_accessible)
		err = lend(te, memory);
	if (!err) {
		memory->next = te->memories;
		te->memories = memory;
	}
	pthread_mutex_unlock(&te->lock);
	if (err)
		free(memory);
	return err;
}

int unregisterLocalMemory(transfer_engine_t engine, void *addr)
{
	struct te_memory **at, *memory;
	struct te *te = engine;
	int err = ERR_ADDRESS_NOT_REGISTERED;

	if (!te || !addr)
		return ERR_INVALID_ARGUMENT;
	pthread_mutex_lock(&te->lock);
	at = find_memory(te, addr, 1);
	if (at && (*at)->address == addr) {
		memory = *at;
		*at = memory->next;
		if (memory->region)
			mc_region_unregister(te->core, memory->region);
		free(memory);
		err = 0;
	}
	pthread_mutex_unlock(&te->lock);
	return err;
}

int registerLocalMemoryBatch(transfer_engine_t engine, buffer_entry_t *buffer_list,
			     size_t buffer_len, const char *location)
{
	for (size_t i = 0; i < buffer_len; i++) {
		int err = registerLocalMemory(engine, buffer_list[i].addr, buffer_list[i].length,
					      location, 1);

		if (!err)
			continue;
		while (i > 0)
			unregisterLocalMemory(engine, buffer_list[--i].addr);
		return err;
	}
	return 0;
}

int unregisterLocalMemoryBatch(transfer_engine_t engine, void **addr_list, size_t addr_len)
{
	int first = 0;

	for (size_t i = 0; i < addr_len; i++) {
		int err = unregisterLocalMemory(engine, addr_list[i]);

		first = first ? first : err;
	}
	return first;
}

bool supportFileBuffer(transfer_engine_t engine)
{
	(void)engine;
	return false;
}

int registerLocalFile(transfer_engine_t engine, const char *path, size_t size, file_id_t *id)
{
	(void)engine;
	(void)size;
	(void)id;
	te_say("the file \"%s\" is refused: there are no file buffers", path ? path : "");
	return ERR_NOT_IMPLEMENTED;
}

int unregisterLocalFile(transfer_engine_t engine, const char *path)
{
	(void)engine;
	(void)path;
	return ERR_NOT_IMPLEMENTED;
}

static void write_buffers(FILE *out, const struct te *te)
{
	const char *comma = "";

	for (const struct te_memory *one = te->memories; one; one = one->next) {
		if (!one->region)
			continue;
		fprintf(out, "%s{\"addr\":%llu,\"length\":%llu,\"name\":\"cpu:0\"}", comma,
			(unsigned long long)(uintptr_t)one->address,
			(unsigned long long)one->length);
		comma = ",";
	}
}

char *te_document(struct te *te)
{
	char local[MC_LOCAL_NAME_SIZE] = "", stamp[TIMESTAMP_SIZE], *text = NULL, *name;
	time_t now = time(NULL);
	struct tm parts;
	size_t size;
	FILE *out;

	name = json_quoted(te->name);
	out = name ? open_memstream(&text, &size) : NULL;
	if (!out) {
		free(name);
		return NULL;
	}
	gmtime_r(&now, &parts);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S.000000", &parts);
	pthread_mutex_lock(&te->lock);
	mc_engine_local_name(te->core, local, sizeof(local));
	fputs("{\"buffers\":[", out);
	write_buffers(out, te);
	fprintf(out,
		"],\"name\":%s,\"protocol\":\"tcp\",\"rdma_server_name\":\"\",\"tcp_data_host\":\"\","
		"\"tcp_data_port\":%u,\"tcp_proto_version\":2,\"timestamp\":\"%s\"",
		name, te->port, stamp);
	pthread_mutex_unlock(&te->lock);
	if (*local)
		fprintf(out, ",\"snowskin_local_name\":\"%s\"", local);
	fputc('}', out);
	free(name);
	if (fclose(out)) {
		free(text);
		return NULL;
	}
	return text;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that knows the names of the reference's C interface alone, told what to do on stdin, one
 * order in quotes each line. Started as: named_peer LOCAL_SERVER_NAME BYTES
 * Says {"name", "address"} of its registered memory first, then {"result"} to each of
 *   fill SEED, sum                its memory as a pattern of the seed, and its sum
 *   open NAME, again NAME         the id of an engine, as it is known or asked again
 *   read ID ADDRESS BYTES, write  one request to its end, in two of 64 KiB and the rest; the worst
 *                                 status; 0 bytes: a code
 *   writeNote ID ADDRESS BYTES    with a message
 *   notify ID, notes              leaves a message; how many came, after the first of them
 *   close ID, unregister, busy    codes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer_engine_c.h"

#define PART 65536u

static transfer_engine_t engine;
static uint8_t *memory;
static size_t size;

static void fill(unsigned int seed)
{
	for (size_t i = 0; i < size; i++)
		memory[i] = (uint8_t)(i * 31 + seed * 17 + (i >> 8));
}

static long long sum(void)
{
	long long total = 0;

	for (size_t i = 0; i < size; i++)
		total += memory[i];
	return total;
}

static int wait_for(batch_id_t batch, size_t tasks)
{
	int worst = STATUS_WAITING;

	for (size_t i = 0; i < tasks; i++) {
		struct transfer_status status = { 0, 0 };

		do {
			int err = getTransferStatus(engine, batch, i, &status);

			if (err)
				return err;
		} while (status.status == STATUS_WAITING || status.status == STATUS_PENDING);
		if (status.status > worst)
			worst = status.status;
	}
	return worst;
}

static int move(int opcode, int id, uint64_t address, size_t bytes, const notify_msg_t *note)
{
	size_t first = bytes < PART ? bytes : PART;
	struct transfer_request requests[2] = {
		{ opcode, memory, id, 0, address, first },
		{ opcode, memory + first, id, 0, address + first, bytes - first },
	};
	size_t count = bytes > first ? 2 : 1;
	batch_id_t batch = allocateBatchID(engine, count);
	int result;

	if (note)
		result = submitTransferWithNotify(engine, batch, requests, count, *note);
	else
		result = submitTransfer(engine, batch, requests, count);
	if (!result)
		result = wait_for(batch, count);
	if (freeBatchID(engine, batch))
		return -9999;
	return result;
}

static int notes(void)
{
	int count = 0;
	notify_msg_t *all = getNotifsFromEngine(engine, &count);

	for (int i = 0; i < count; i++)
		fprintf(stderr, "%s: %s\n", all[i].name, all[i].msg);
	if (count > 0 && strcmp(all[0].msg, "tab\tquote\"\xc3\xa9"))
		count = -count;
	freeNotifsMsgBuf(all, count < 0 ? -count : count);
	return count;
}

static long long answer(const char *order, const char *name, int id, unsigned long long address,
			unsigned long long bytes)
{
	notify_msg_t note = { (char *)"the program", (char *)"tab\tquote\"\xc3\xa9" };

	if (!strcmp(order, "fill"))
		return fill((unsigned int)id), 0;
	if (!strcmp(order, "sum"))
		return sum();
	if (!strcmp(order, "open"))
		return openSegment(engine, name);
	if (!strcmp(order, "again"))
		return openSegmentNoCache(engine, name);
	if (!strcmp(order, "read"))
		return move(OPCODE_READ, id, address, bytes, NULL);
	if (!strcmp(order, "write"))
		return move(OPCODE_WRITE, id, address, bytes, NULL);
	if (!strcmp(order, "writeNote"))
		return move(OPCODE_WRITE, id, address, bytes, &note);
	if (!strcmp(order, "notify"))
		return genNotifyInEngine(engine, (uint64_t)id, note);
	if (!strcmp(order, "notes"))
		return notes();
	if (!strcmp(order, "close"))
		return closeSegment(engine, id);
	if (!strcmp(order, "unregister"))
		return unregisterLocalMemory(engine, memory);
	if (!strcmp(order, "register"))
		return registerLocalMemory(engine, memory, size, "cpu:0", 1);
	return -10000;
}

int main(int argc, char **argv)
{
	char name[512], line[1024], order[32];
	int code;

	if (argc < 3)
		return 2;
	size = strtoul(argv[2], NULL, 10);
	memory = calloc(1, size);
	engine = createTransferEngine("P2PHANDSHAKE", argv[1], "", 0, 0);
	if (!engine || !memory)
		return 1;
	if (installTransport(engine, "rdma", NULL) || !installTransport(engine, "tcp", NULL))
		return 1;
	code = registerLocalMemory(engine, memory, size, "cpu:0", 1);
	if (code || getLocalIpAndPort(engine, name, sizeof(name)))
		return 1;
	printf("{\"name\":\"%s\",\"address\":%llu}\n", name, (unsigned long long)(uintptr_t)memory);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		unsigned long long address = 0, bytes = 0;
		char text[512] = "";
		int id = 0;

		line[strcspn(line, "\n")] = 0;
		line[strlen(line) - 1] = 0;
		sscanf(line + 1, "%31s %511s", order, text);
		sscanf(line + 1, "%*s %d %llu %llu", &id, &address, &bytes);
		printf("{\"result\":%lld}\n", answer(order, text, id, address, bytes));
		fflush(stdout);
	}
	destroyTransferEngine(engine);
	free(memory);
	return 0;
}

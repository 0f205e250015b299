/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One engine by the names of the reference's C interface, used by several threads at once: each moves
 * bytes between memory of its own, while one registers, leaves messages and opens the engine again.
 * Ends with 0, or with the line of what was wrong.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transfer_engine_c.h"

#define THREADS 4
#define ROUNDS 60
#define SIZE (256u << 10)
#define PARTS 8u

#define CHECK(condition)                                            \
	do {                                                        \
		if (!(condition)) {                                 \
			fprintf(stderr, "line %d\n", __LINE__);     \
			exit(__LINE__ % 200 + 1);                   \
		}                                                   \
	} while (0)

static transfer_engine_t engine;
static uint8_t lent[THREADS * SIZE];
static atomic_bool over;

static void run(int opcode, uint8_t *local, uint8_t *remote)
{
	struct transfer_request requests[PARTS];
	batch_id_t batch = allocateBatchID(engine, PARTS);
	struct transfer_status status;

	for (uint32_t i = 0; i < PARTS; i++)
		requests[i] = (struct transfer_request){
			.opcode = opcode,
			.source = local + i * (SIZE / PARTS),
			.target_id = LOCAL_SEGMENT,
			.target_offset = (uintptr_t)remote + i * (SIZE / PARTS),
			.length = SIZE / PARTS,
		};
	/* In two pieces. */
	CHECK(submitTransfer(engine, batch, requests, 3) == 0);
	CHECK(submitTransfer(engine, batch, requests + 3, PARTS - 3) == 0);
	CHECK(submitTransfer(engine, batch, requests, 1) == -2);
	for (uint32_t i = 0; i < PARTS; i++) {
		do
			CHECK(getTransferStatus(engine, batch, i, &status) == 0);
		while (status.status == STATUS_WAITING);
		CHECK(status.status == STATUS_COMPLETED);
		CHECK(status.transferred_bytes == SIZE / PARTS);
	}
	CHECK(freeBatchID(engine, batch) == 0);
}

static void *mover(void *argument)
{
	uint8_t *remote = argument, *local = malloc(SIZE);

	for (int round = 0; round < ROUNDS; round++) {
		memset(local, round + 1, SIZE);
		run(OPCODE_WRITE, local, remote);
		memset(local, 0, SIZE);
		run(OPCODE_READ, local, remote);
		for (uint32_t i = 0; i < SIZE; i++)
			CHECK(local[i] == round + 1);
	}
	free(local);
	return NULL;
}

static void *meddler(void *argument)
{
	notify_msg_t note = { (char *)"meddler", (char *)"again" };
	uint8_t *memory = argument;
	int size, seen = 0, left = 0;
	char name[300];

	CHECK(getLocalIpAndPort(engine, name, sizeof(name)) == 0);
	while (!atomic_load(&over) || left < 3) {
		notify_msg_t *notes;

		CHECK(registerLocalMemory(engine, memory, SIZE, "*", 1) == 0);
		CHECK(registerLocalMemory(engine, memory + 1, 1, "*", 0) == -7);
		CHECK(genNotifyInEngine(engine, LOCAL_SEGMENT, note) == 0);
		left++;
		CHECK(openSegment(engine, name) == LOCAL_SEGMENT);
		CHECK(syncSegmentCache(engine) == 0);
		CHECK(unregisterLocalMemory(engine, memory) == 0);
		notes = getNotifsFromEngine(engine, &size);
		seen += size;
		freeNotifsMsgBuf(notes, size);
	}
	CHECK(seen == left);
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS], other;
	uint8_t *memory = malloc(SIZE);

	engine = createTransferEngine("P2PHANDSHAKE", "127.0.0.1", "", 0, 1);
	CHECK(engine && memory);
	CHECK(registerLocalMemory(engine, lent, sizeof(lent), "cpu:0", 1) == 0);
	CHECK(pthread_create(&other, NULL, meddler, memory) == 0);
	for (int i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, mover, lent + (size_t)i * SIZE) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&over, true);
	pthread_join(other, NULL);
	/* What is under way when it ends is given up. */
	allocateBatchID(engine, 1);
	destroyTransferEngine(engine);
	free(memory);
	puts("ok");
	return 0;
}

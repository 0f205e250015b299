/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STAND_IN_GPU_H
#define STAND_IN_GPU_H

#include <stddef.h>
#include <stdint.h>

/*
 * What the stand-ins for driver libraries share: a device without hardware. Its memory lies in
 * memory of the host, but the addresses that it gives out cannot be touched: a program that does
 * not go through the driver's copies ends with a fault. Copies are made by a thread of each stream,
 * late, so that who does not wait for them sees wrong bytes.
 */
#define GPU_NAME "Snowskin stand-in, no GPU"
#define GPU_MEMORY (512ull << 20) /* bytes; STAND_IN_MEMORY sets another size */

enum gpu_result {
	GPU_OK,
	GPU_INVALID,
	GPU_NO_MEMORY,
	GPU_NOT_READY,
};

/* Should this call fail? It does once, after so many others of that name went through. */
int gpu_fails(const char *call);

enum gpu_result gpu_allocate(size_t length, uint64_t *address);
enum gpu_result gpu_release(uint64_t address);
enum gpu_result gpu_clear(uint64_t address, int value, size_t length);

/* The allocation that an address lies in; GPU_INVALID when it lies in none. */
enum gpu_result gpu_range(uint64_t address, uint64_t *start, size_t *length);
void gpu_room(size_t *unused, size_t *total);

/* A descriptor of the memory behind an allocation, not duplicated. */
enum gpu_result gpu_file(uint64_t address, int *fd, size_t *length);

/* An allocation over memory behind a descriptor, which is the callee's afterwards. */
enum gpu_result gpu_import(int fd, size_t length, uint64_t *address);

struct gpu_stream;
enum gpu_result gpu_stream_open(struct gpu_stream **stream);
enum gpu_result gpu_stream_close(struct gpu_stream *stream);
enum gpu_result gpu_stream_wait(struct gpu_stream *stream);
/* Which ends are on the device is told by to_device and from_device. */
enum gpu_result gpu_copy(struct gpu_stream *stream, uint64_t to, int to_device, uint64_t from,
			 int from_device, size_t length);
enum gpu_result gpu_wait_all(void);

struct gpu_event;
enum gpu_result gpu_event_open(struct gpu_event **event);
enum gpu_result gpu_event_close(struct gpu_event *event);
enum gpu_result gpu_event_record(struct gpu_event *event, struct gpu_stream *stream);
enum gpu_result gpu_event_query(struct gpu_event *event);
enum gpu_result gpu_event_wait(struct gpu_event *event);

#endif

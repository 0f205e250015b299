/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_DEVICE_H
#define MC_DEVICE_H

#include <stdint.h>

#include "mc/api.h"

struct mc_engine;

/* Bytes of "cuda:0", of a device's name, of a handle for other processes. */
#define MC_LOCATION_SIZE 32
#define MC_DEVICE_NAME_SIZE 96
#define MC_IPC_HANDLE_SIZE 72

enum mc_memory_kind {
	MC_MEMORY_HOST = 0,    /* of no device that the driver knows of */
	MC_MEMORY_PINNED = 1,  /* host memory that the driver knows of */
	MC_MEMORY_DEVICE = 2,
	MC_MEMORY_MANAGED = 3, /* moves between host and device */
};

/* What a driver knows of an address. */
struct mc_pointer_info {
	uint32_t kind;    /* enum mc_memory_kind */
	int32_t ordinal;  /* of the device; -1: of none */
	uint64_t start;   /* of the allocation; 0: not known */
	uint64_t length;  /* bytes of it */
};

enum mc_copy_direction {
	MC_COPY_TO_DEVICE = 0,
	MC_COPY_FROM_DEVICE = 1,
	MC_COPY_ON_DEVICE = 2,
};

struct mc_ipc_handle {
	uint8_t bytes[MC_IPC_HANDLE_SIZE];
};

/*
 * A kind of device, filled in by one file in src/device/. Results are 0 or -errno; -EOPNOTSUPP
 * where driver or device do not have it. handle is what open() gave; every function may be called
 * on any thread. With CUDA the thread's own context is as it was afterwards; with Ascend the thread
 * has our device as its current one.
 */
struct mc_device_ops {
	const char *vendor;   /* "cuda" */
	const char *prefix;   /* of locations: "cuda" in "cuda:0" */
	const char *standing; /* what it has been run on, for people */

	/* Loads the driver's library once: 0, or -ENODEV with a line that names it in why. */
	int (*load)(char *why, uint32_t why_size);
	int (*count)(uint32_t *count);
	int (*open)(uint32_t ordinal, void **handle);
	int (*name)(void *handle, char *name, uint32_t size);
	int (*room)(void *handle, uint64_t *unused, uint64_t *total);
	int (*kind_of)(void *handle, uint64_t address, struct mc_pointer_info *info);

	int (*allocate)(void *handle, uint64_t length, uint64_t *address);
	int (*release)(void *handle, uint64_t address);
	int (*clear)(void *handle, uint64_t address, uint64_t length); /* done when it returns */

	/* Host memory that the device copies from and to without a detour; pinned in place. */
	int (*host_allocate)(void *handle, uint64_t length, void **memory);
	int (*host_release)(void *handle, void *memory);
	int (*host_pin)(void *handle, void *memory, uint64_t length);
	int (*host_unpin)(void *handle, void *memory);

	/* Copies of one stream are made in order, after copy() has returned. */
	int (*stream_open)(void *handle, void **stream);
	int (*stream_close)(void *handle, void *stream);
	int (*stream_wait)(void *handle, void *stream);
	int (*copy)(void *handle, void *stream, uint32_t direction, uint64_t to, uint64_t from,
		    uint64_t length);

	/* Marks a place in a stream. ready: 0 once all before it is done, -EAGAIN before. */
	int (*event_open)(void *handle, void **event);
	int (*event_close)(void *handle, void *event);
	int (*event_record)(void *handle, void *event, void *stream);
	int (*event_ready)(void *handle, void *event);
	int (*event_wait)(void *handle, void *event);

	/*
	 * A handle by which another process on this host opens an allocation of that length; everybody
	 * closes what he opened before it is released.
	 */
	int (*ipc_export)(void *handle, uint64_t address, uint64_t length,
			  struct mc_ipc_handle *out);
	int (*ipc_open)(void *handle, const struct mc_ipc_handle *in, uint64_t *address);
	int (*ipc_close)(void *handle, uint64_t address);

	/* A dma-buf of a range that starts and ends at pages; the descriptor is the caller's. */
	int (*dmabuf)(void *handle, uint64_t address, uint64_t length, int *fd);
};

/* Every kind of device, ended by NULL. */
extern const struct mc_device_ops *const mc_device_kinds[];

struct mc_device_info {
	uint64_t unused;  /* bytes of free memory; 0 where the driver does not tell */
	uint64_t total;   /* bytes */
	char location[MC_LOCATION_SIZE];
	char name[MC_DEVICE_NAME_SIZE];     /* as the driver gives it */
	char standing[MC_DEVICE_NAME_SIZE]; /* of the code for this kind of device */
};

/*
 * Opens a device by its location, "cuda:0" or "npu:0", for the life of the process. Returns its id
 * (> 0), the same for every call, and *info, or an error with one line in why: -EINVAL (no such
 * form of location), -ENODEV (no driver library, or no such device), -EIO, -ENOMEM.
 */
MC_API int mc_device_open(const char *location, struct mc_device_info *info, char *why,
			  uint32_t why_size);

/*
 * Copies between a region, of host or device memory, and ordinary memory; done when it returns.
 * Returns 0, -ESTALE, -ERANGE, -EINVAL, -EIO (the device failed) or -ENOMEM. Any thread.
 */
MC_API int mc_region_load(struct mc_engine *engine, uint32_t region, uint64_t offset,
			  uint64_t length, uint8_t *to);
MC_API int mc_region_store(struct mc_engine *engine, uint32_t region, uint64_t offset,
			   uint64_t length, const uint8_t *from);

/* Continues a CRC-32C over a part of a region in *crc; results as mc_region_load(). */
MC_API int mc_region_crc32c(struct mc_engine *engine, uint32_t region, uint64_t offset,
			    uint64_t length, uint32_t *crc);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_DEVICE_INTERNAL_H
#define MC_DEVICE_INTERNAL_H

#include <stdint.h>

#include "mc/device.h"

/* An opened device; lives as long as the process. */
struct mc_device {
	const struct mc_device_ops *ops;
	void *handle;
	uint32_t ordinal;
	char location[MC_LOCATION_SIZE];
};

extern const struct mc_device_ops mc_cuda_ops;
extern const struct mc_device_ops mc_ascend_ops;

/*
 * Memory for a region: zeroed and new, or the caller's, which must be the device's own. Returns 0
 * and *address, or -errno; -EFAULT: what the caller gave is not of this device.
 */
int mc_device_place(struct mc_device *device, uint64_t given, uint64_t length, uint64_t *address);

/* The device of an id from mc_device_open(), or NULL. */
struct mc_device *mc_device_get(uint32_t id);

#endif

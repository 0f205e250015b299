// SPDX-License-Identifier: Apache-2.0
#include "device.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"

#define DEVICES_MAX 64u
#define ORDINAL_DIGITS 4u

const struct mc_device_ops *const mc_device_kinds[] = { &mc_cuda_ops, &mc_ascend_ops, NULL };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mc_device devices[DEVICES_MAX];
static uint32_t device_count; /* ids are places in devices, from 1 */

struct mc_device *mc_device_get(uint32_t id)
{
	struct mc_device *device;

	pthread_mutex_lock(&lock);
	device = id > 0 && id <= device_count ? &devices[id - 1] : NULL;
	pthread_mutex_unlock(&lock);
	return device;
}

/* Splits "cuda:0"; NULL when it is not of that form. */
static const struct mc_device_ops *parse(const char *location, uint32_t *ordinal)
{
	for (const struct mc_device_ops *const *kind = mc_device_kinds; *kind; kind++) {
		size_t length = strlen((*kind)->prefix);
		const char *digits = location + length + 1;

		if (strncmp(location, (*kind)->prefix, length) != 0 || location[length] != ':')
			continue;
		length = strspn(digits, "0123456789");
		if (length == 0 || length > ORDINAL_DIGITS || digits[length])
			return NULL;
		*ordinal = (uint32_t)strtoul(digits, NULL, 10);
		return *kind;
	}
	return NULL;
}

/* Opens a device that is not yet in the table; the id, or -errno. lock is held. */
static int add_device(const struct mc_device_ops *ops, uint32_t ordinal, char *why,
		      uint32_t why_size)
{
	struct mc_device *device = &devices[device_count];
	uint32_t count = 0;
	int err;

	if (device_count == DEVICES_MAX) {
		snprintf(why, why_size, "more than %u devices are open", DEVICES_MAX);
		return -ENOSPC;
	}
	err = ops->load(why, why_size);
	if (err)
		return err;
	err = ops->count(&count);
	if (err) {
		snprintf(why, why_size, "the %s driver finds no device", ops->vendor);
		return -ENODEV;
	}
	if (ordinal >= count) {
		snprintf(why, why_size, "there is no %s:%u: the %s driver has %u device%s",
			 ops->prefix, ordinal, ops->vendor, count, count == 1 ? "" : "s");
		return -ENODEV;
	}
	err = ops->open(ordinal, &device->handle);
	if (err) {
		snprintf(why, why_size, "%s:%u cannot be opened: %s", ops->prefix, ordinal,
			 strerror(-err));
		return err;
	}
	device->ops = ops;
	device->ordinal = ordinal;
	snprintf(device->location, sizeof(device->location), "%s:%u", ops->prefix, ordinal);
	return (int)++device_count;
}

static void describe(const struct mc_device *device, struct mc_device_info *info)
{
	memset(info, 0, sizeof(*info));
	memcpy(info->location, device->location, sizeof(info->location));
	snprintf(info->standing, sizeof(info->standing), "%s", device->ops->standing);
	if (device->ops->name(device->handle, info->name, sizeof(info->name)))
		info->name[0] = 0;
	if (device->ops->room(device->handle, &info->unused, &info->total))
		info->unused = info->total = 0;
}

int mc_device_open(const char *location, struct mc_device_info *info, char *why, uint32_t why_size)
{
	const struct mc_device_ops *ops;
	uint32_t ordinal;
	int id = 0;

	if (!location || !info || !why || why_size == 0)
		return -EINVAL;
	why[0] = 0;
	ops = parse(location, &ordinal);
	if (!ops) {
		snprintf(why, why_size, "allowed: cuda:N, npu:N");
		return -EINVAL;
	}
	pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < device_count && !id; i++) {
		if (devices[i].ops == ops && devices[i].ordinal == ordinal)
			id = (int)i + 1;
	}
	if (!id)
		id = add_device(ops, ordinal, why, why_size);
	pthread_mutex_unlock(&lock);
	if (id > 0)
		describe(&devices[id - 1], info);
	return id;
}

int mc_device_place(struct mc_device *device, uint64_t given, uint64_t length, uint64_t *address)
{
	const struct mc_device_ops *ops = device->ops;
	struct mc_pointer_info info;
	int err;

	if (!given) {
		err = ops->allocate(device->handle, length, address);
		if (err)
			return err;
		err = ops->clear(device->handle, *address, length);
		if (err)
			ops->release(device->handle, *address);
		return err;
	}
	err = ops->kind_of(device->handle, given, &info);
	if (err)
		return err;
	if (info.kind != MC_MEMORY_DEVICE || info.ordinal != (int32_t)device->ordinal)
		return -EFAULT;
	if (info.length && !mc_range_ok(given - info.start, length, info.length))
		return -EFAULT;
	*address = given;
	return 0;
}

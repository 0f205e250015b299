// SPDX-License-Identifier: Apache-2.0
/*
 * Ascend NPUs by way of libascendcl, which is loaded at run time. NOT YET RUN ON HARDWARE: names
 * and numbers are those of the documented AscendCL interface, and only a stand-in has answered.
 */
#include "device.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"
#include "../dynamic.h"

#define LIBRARY "libascendcl.so"

enum {
	ACL_ERROR_INVALID_PARAM = 100000,
	ACL_ERROR_REPEAT_INITIALIZE = 100002,
	ACL_ERROR_BAD_ALLOC = 200000,
	ACL_ERROR_RT_MEMORY_ALLOCATION = 207001,
	ACL_ERROR_RT_FEATURE_NOT_SUPPORT = 207000,
	ACL_MEM_MALLOC_HUGE_FIRST = 0,
	ACL_MEMCPY_HOST_TO_DEVICE = 1,
	ACL_MEMCPY_DEVICE_TO_HOST = 2,
	ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
	ACL_EVENT_RECORDED_STATUS_COMPLETE = 1,
	ACL_HBM_MEM = 1,
	ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION = 1,
	ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS = 1,
	/* With the zero at its end. */
	ACL_IPC_KEY_SIZE = 65,
};
_Static_assert(ACL_IPC_KEY_SIZE <= MC_IPC_HANDLE_SIZE, "room for a key");

struct acl_calls {
	int (*init)(const char *config);
	int (*device_count)(uint32_t *count);
	int (*set_device)(int32_t device);
	int (*device_wait)(void);
	const char *(*soc_name)(void);
	int (*memory_info)(int kind, size_t *unused, size_t *total);
	int (*memory_alloc)(void **address, size_t length, int policy);
	int (*memory_free)(void *address);
	int (*memory_set)(void *address, size_t room, int32_t value, size_t length);
	int (*host_alloc)(void **memory, size_t length);
	int (*host_free)(void *memory);
	int (*copy)(void *to, size_t room, const void *from, size_t length, int kind, void *stream);
	int (*stream_create)(void **stream);
	int (*stream_destroy)(void *stream);
	int (*stream_wait)(void *stream);
	int (*event_create)(void **event);
	int (*event_destroy)(void *event);
	int (*event_record)(void *event, void *stream);
	int (*event_query)(void *event, int *status);
	int (*event_wait)(void *event);
	int (*ipc_export)(void *address, size_t length, char *key, size_t size, uint64_t flags);
	int (*ipc_open)(void **address, const char *key, uint64_t flags);
	int (*ipc_close)(const char *key);
};

#define CALL(field, symbol) { symbol, offsetof(struct acl_calls, field), false }
#define CALL_IF_THERE(field, symbol) { symbol, offsetof(struct acl_calls, field), true }

static const struct mc_symbol wanted[] = {
	CALL(init, "aclInit"),
	CALL(device_count, "aclrtGetDeviceCount"),
	CALL(set_device, "aclrtSetDevice"),
	CALL(device_wait, "aclrtSynchronizeDevice"),
	CALL(soc_name, "aclrtGetSocName"),
	CALL(memory_info, "aclrtGetMemInfo"),
	CALL(memory_alloc, "aclrtMalloc"),
	CALL(memory_free, "aclrtFree"),
	CALL(memory_set, "aclrtMemset"),
	CALL(host_alloc, "aclrtMallocHost"),
	CALL(host_free, "aclrtFreeHost"),
	CALL(copy, "aclrtMemcpyAsync"),
	CALL(stream_create, "aclrtCreateStream"),
	CALL(stream_destroy, "aclrtDestroyStream"),
	CALL(stream_wait, "aclrtSynchronizeStream"),
	CALL(event_create, "aclrtCreateEvent"),
	CALL(event_destroy, "aclrtDestroyEvent"),
	CALL(event_record, "aclrtRecordEvent"),
	CALL(event_query, "aclrtQueryEventStatus"),
	CALL(event_wait, "aclrtSynchronizeEvent"),
	CALL_IF_THERE(ipc_export, "aclrtIpcMemGetExportKey"),
	CALL_IF_THERE(ipc_open, "aclrtIpcMemImportByKey"),
	CALL_IF_THERE(ipc_close, "aclrtIpcMemClose"),
};

static struct acl_calls acl;
static char failure[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int errno_of(int result)
{
	switch (result) {
	case 0:
		return 0;
	case ACL_ERROR_INVALID_PARAM:
		return -EINVAL;
	case ACL_ERROR_BAD_ALLOC:
	case ACL_ERROR_RT_MEMORY_ALLOCATION:
		return -ENOMEM;
	case ACL_ERROR_RT_FEATURE_NOT_SUPPORT:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static void load_once(void)
{
	const char *chosen = getenv("SNOWSKIN_ASCEND_LIBRARY");
	const char *library = chosen && chosen[0] ? chosen : LIBRARY;
	int result;

	if (mc_dynamic_load(library, wanted, MC_ARRAY_SIZE(wanted), &acl, failure,
			    sizeof(failure)))
		return;
	result = acl.init(NULL);
	if (result && result != ACL_ERROR_REPEAT_INITIALIZE)
		snprintf(failure, sizeof(failure), "%s does not start: ACL error %d", library,
			 result);
}

static int load(char *why, uint32_t why_size)
{
	pthread_once(&once, load_once);
	if (!failure[0])
		return 0;
	snprintf(why, why_size, "%s", failure);
	return -ENODEV;
}

/* A device's handle is its number, from 1. */
#define ON_DEVICE(handle, call)                                                 \
	__extension__({                                                         \
		int result_ = acl.set_device((int32_t)(uintptr_t)(handle) - 1); \
		if (!result_)                                                   \
			result_ = (call);                                       \
		errno_of(result_);                                              \
	})

static int count_devices(uint32_t *count)
{
	return errno_of(acl.device_count(count));
}

static int open_device(uint32_t ordinal, void **handle)
{
	*handle = (void *)(uintptr_t)(ordinal + 1);
	return ON_DEVICE(*handle, 0);
}

static int name_of(void *handle, char *name, uint32_t size)
{
	const char *found = acl.soc_name();

	(void)handle;
	snprintf(name, size, "%s", found ? found : "");
	return 0;
}

static int room(void *handle, uint64_t *unused, uint64_t *total)
{
	size_t left = 0, all = 0;
	int err = ON_DEVICE(handle, acl.memory_info(ACL_HBM_MEM, &left, &all));

	*unused = left;
	*total = all;
	return err;
}

/* AscendCL has no query of this kind that all its versions share. */
static int no_kind_of(void *handle, uint64_t address, struct mc_pointer_info *info)
{
	(void)handle;
	(void)address;
	(void)info;
	return -EOPNOTSUPP;
}

static int allocate(void *handle, uint64_t length, uint64_t *address)
{
	void *memory = NULL;
	int err = ON_DEVICE(handle, acl.memory_alloc(&memory, length, ACL_MEM_MALLOC_HUGE_FIRST));

	*address = (uintptr_t)memory;
	return err;
}

/* AscendCL closes by key what it has exported or opened. */
struct key {
	struct key *next;
	uint64_t address;
	char text[ACL_IPC_KEY_SIZE];
};

static pthread_mutex_t keys_lock = PTHREAD_MUTEX_INITIALIZER;
static struct key *keys;

static void keys_add(struct key *key, uint64_t address)
{
	key->address = address;
	pthread_mutex_lock(&keys_lock);
	key->next = keys;
	keys = key;
	pthread_mutex_unlock(&keys_lock);
}

/* The key of an address, now the caller's, or NULL. */
static struct key *keys_remove(uint64_t address)
{
	struct key **at, *found;

	pthread_mutex_lock(&keys_lock);
	for (at = &keys; *at && (*at)->address != address; at = &(*at)->next)
		;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&keys_lock);
	return found;
}

static int wait_and_free(uint64_t address)
{
	int waited = acl.device_wait();
	int freed = acl.memory_free((void *)(uintptr_t)address);

	return waited ? waited : freed;
}

static int release(void *handle, uint64_t address)
{
	struct key *key = keys_remove(address);

	if (key) {
		(void)ON_DEVICE(handle, acl.ipc_close(key->text));
		free(key);
	}
	return ON_DEVICE(handle, wait_and_free(address));
}

static int clear(void *handle, uint64_t address, uint64_t length)
{
	return ON_DEVICE(handle, acl.memory_set((void *)(uintptr_t)address, length, 0, length));
}

static int host_allocate(void *handle, uint64_t length, void **memory)
{
	return ON_DEVICE(handle, acl.host_alloc(memory, length));
}

static int host_release(void *handle, void *memory)
{
	return ON_DEVICE(handle, acl.host_free(memory));
}

static int no_pin(void *handle, void *memory, uint64_t length)
{
	(void)handle;
	(void)memory;
	(void)length;
	return -EOPNOTSUPP;
}

static int no_unpin(void *handle, void *memory)
{
	return no_pin(handle, memory, 0);
}

static int stream_open(void *handle, void **stream)
{
	return ON_DEVICE(handle, acl.stream_create(stream));
}

static int stream_close(void *handle, void *stream)
{
	return ON_DEVICE(handle, acl.stream_destroy(stream));
}

static int stream_wait(void *handle, void *stream)
{
	return ON_DEVICE(handle, acl.stream_wait(stream));
}

static int copy(void *handle, void *stream, uint32_t direction, uint64_t to, uint64_t from,
		uint64_t length)
{
	static const int kinds[] = {
		[MC_COPY_TO_DEVICE] = ACL_MEMCPY_HOST_TO_DEVICE,
		[MC_COPY_FROM_DEVICE] = ACL_MEMCPY_DEVICE_TO_HOST,
		[MC_COPY_ON_DEVICE] = ACL_MEMCPY_DEVICE_TO_DEVICE,
	};

	if (direction >= MC_ARRAY_SIZE(kinds))
		return -EINVAL;
	return ON_DEVICE(handle, acl.copy((void *)(uintptr_t)to, length,
					  (const void *)(uintptr_t)from, length, kinds[direction],
					  stream));
}

static int event_open(void *handle, void **event)
{
	return ON_DEVICE(handle, acl.event_create(event));
}

static int event_close(void *handle, void *event)
{
	return ON_DEVICE(handle, acl.event_destroy(event));
}

static int event_record(void *handle, void *event, void *stream)
{
	return ON_DEVICE(handle, acl.event_record(event, stream));
}

static int event_ready(void *handle, void *event)
{
	int status = 0;
	int err = ON_DEVICE(handle, acl.event_query(event, &status));

	return err ? err : status == ACL_EVENT_RECORDED_STATUS_COMPLETE ? 0 : -EAGAIN;
}

static int event_wait(void *handle, void *event)
{
	return ON_DEVICE(handle, acl.event_wait(event));
}

static bool has_ipc(void)
{
	return acl.ipc_export && acl.ipc_open && acl.ipc_close;
}

static int ipc_export(void *handle, uint64_t address, uint64_t length, struct mc_ipc_handle *out)
{
	struct key *key;
	int err;

	if (!has_ipc())
		return -EOPNOTSUPP;
	key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	err = ON_DEVICE(handle,
			acl.ipc_export((void *)(uintptr_t)address, length, key->text,
				       sizeof(key->text),
				       ACL_RT_IPC_MEM_EXPORT_FLAG_DISABLE_PID_VALIDATION));
	if (err) {
		free(key);
		return err;
	}
	memset(out, 0, sizeof(*out));
	memcpy(out->bytes, key->text, sizeof(key->text));
	keys_add(key, address);
	return 0;
}

static int ipc_open(void *handle, const struct mc_ipc_handle *in, uint64_t *address)
{
	struct key *key;
	void *memory = NULL;
	int err;

	if (!has_ipc())
		return -EOPNOTSUPP;
	key = calloc(1, sizeof(*key));
	if (!key)
		return -ENOMEM;
	memcpy(key->text, in->bytes, sizeof(key->text) - 1);
	err = ON_DEVICE(handle, acl.ipc_open(&memory, key->text,
					     ACL_RT_IPC_MEM_IMPORT_FLAG_ENABLE_PEER_ACCESS));
	if (err) {
		free(key);
		return err;
	}
	*address = (uintptr_t)memory;
	keys_add(key, *address);
	return 0;
}

static int ipc_close(void *handle, uint64_t address)
{
	struct key *key = keys_remove(address);
	int err;

	if (!key)
		return -EINVAL;
	err = ON_DEVICE(handle, acl.ipc_close(key->text));
	free(key);
	return err;
}

static int no_dmabuf(void *handle, uint64_t address, uint64_t length, int *fd)
{
	(void)handle;
	(void)address;
	(void)length;
	(void)fd;
	return -EOPNOTSUPP;
}

const struct mc_device_ops mc_ascend_ops = {
	.vendor = "ascend",
	.prefix = "npu",
	.standing = "not yet run on hardware",
	.load = load,
	.count = count_devices,
	.open = open_device,
	.name = name_of,
	.room = room,
	.kind_of = no_kind_of,
	.allocate = allocate,
	.release = release,
	.clear = clear,
	.host_allocate = host_allocate,
	.host_release = host_release,
	.host_pin = no_pin,
	.host_unpin = no_unpin,
	.stream_open = stream_open,
	.stream_close = stream_close,
	.stream_wait = stream_wait,
	.copy = copy,
	.event_open = event_open,
	.event_close = event_close,
	.event_record = event_record,
	.event_ready = event_ready,
	.event_wait = event_wait,
	.ipc_export = ipc_export,
	.ipc_open = ipc_open,
	.ipc_close = ipc_close,
	.dmabuf = no_dmabuf,
};

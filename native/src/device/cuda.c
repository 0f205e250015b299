// SPDX-License-Identifier: Apache-2.0
/*
 * CUDA by way of the driver's library, which is loaded at run time. Names and numbers are those of
 * NVIDIA's documented driver interface; neither its header nor its toolkit is needed to build.
 */
#include "device.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common.h"
#include "../dynamic.h"

#define LIBRARY "libcuda.so.1"

enum {
	CUDA_ERROR_INVALID_VALUE = 1,
	CUDA_ERROR_OUT_OF_MEMORY = 2,
	CUDA_ERROR_NO_DEVICE = 100,
	CUDA_ERROR_INVALID_DEVICE = 101,
	CUDA_ERROR_NOT_READY = 600,
	CUDA_ERROR_NOT_SUPPORTED = 801,
	CU_MEMHOSTALLOC_PORTABLE = 1,
	CU_STREAM_NON_BLOCKING = 1,
	CU_EVENT_BLOCKING_SYNC = 1,
	CU_EVENT_DISABLE_TIMING = 2,
	CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS = 1,
	CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
	CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
	CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
	CU_MEMORYTYPE_HOST = 1,
	CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD = 1,
};

/* Passed by value, so its size is the driver's. */
struct cuda_ipc_handle {
	uint8_t bytes[64];
};
_Static_assert(sizeof(struct cuda_ipc_handle) <= MC_IPC_HANDLE_SIZE, "room for a handle");

struct cuda_calls {
	int (*init)(unsigned int flags);
	int (*device_count)(int *count);
	int (*device_get)(int *device, int ordinal);
	int (*device_name)(char *name, int length, int device);
	int (*context_retain)(void **context, int device);
	int (*context_push)(void *context);
	int (*context_pop)(void **context);
	int (*context_wait)(void);
	int (*memory_info)(size_t *unused, size_t *total);
	int (*memory_alloc)(uint64_t *address, size_t length);
	int (*memory_free)(uint64_t address);
	int (*memory_set)(uint64_t address, unsigned char value, size_t length);
	int (*memory_range)(uint64_t *start, size_t *length, uint64_t address);
	int (*pointer_attribute)(void *value, int attribute, uint64_t address);
	int (*host_alloc)(void **memory, size_t length, unsigned int flags);
	int (*host_free)(void *memory);
	int (*host_register)(void *memory, size_t length, unsigned int flags);
	int (*host_unregister)(void *memory);
	int (*copy_to)(uint64_t to, const void *from, size_t length, void *stream);
	int (*copy_from)(void *to, uint64_t from, size_t length, void *stream);
	int (*copy_on)(uint64_t to, uint64_t from, size_t length, void *stream);
	int (*stream_create)(void **stream, unsigned int flags);
	int (*stream_destroy)(void *stream);
	int (*stream_wait)(void *stream);
	int (*event_create)(void **event, unsigned int flags);
	int (*event_destroy)(void *event);
	int (*event_record)(void *event, void *stream);
	int (*event_query)(void *event);
	int (*event_wait)(void *event);
	int (*ipc_get)(struct cuda_ipc_handle *handle, uint64_t address);
	int (*ipc_open)(uint64_t *address, struct cuda_ipc_handle handle, unsigned int flags);
	int (*ipc_close)(uint64_t address);
	int (*range_handle)(void *handle, uint64_t address, size_t length, int type,
			    unsigned long long flags);
};

#define CALL(field, symbol) { symbol, offsetof(struct cuda_calls, field), false }
#define CALL_IF_THERE(field, symbol) { symbol, offsetof(struct cuda_calls, field), true }

static const struct mc_symbol wanted[] = {
	CALL(init, "cuInit"),
	CALL(device_count, "cuDeviceGetCount"),
	CALL(device_get, "cuDeviceGet"),
	CALL(device_name, "cuDeviceGetName"),
	CALL(context_retain, "cuDevicePrimaryCtxRetain"),
	CALL(context_push, "cuCtxPushCurrent_v2"),
	CALL(context_pop, "cuCtxPopCurrent_v2"),
	CALL(context_wait, "cuCtxSynchronize"),
	CALL(memory_info, "cuMemGetInfo_v2"),
	CALL(memory_alloc, "cuMemAlloc_v2"),
	CALL(memory_free, "cuMemFree_v2"),
	CALL(memory_set, "cuMemsetD8_v2"),
	CALL(memory_range, "cuMemGetAddressRange_v2"),
	CALL(pointer_attribute, "cuPointerGetAttribute"),
	CALL(host_alloc, "cuMemHostAlloc"),
	CALL(host_free, "cuMemFreeHost"),
	CALL(host_register, "cuMemHostRegister_v2"),
	CALL(host_unregister, "cuMemHostUnregister"),
	CALL(copy_to, "cuMemcpyHtoDAsync_v2"),
	CALL(copy_from, "cuMemcpyDtoHAsync_v2"),
	CALL(copy_on, "cuMemcpyDtoDAsync_v2"),
	CALL(stream_create, "cuStreamCreate"),
	CALL(stream_destroy, "cuStreamDestroy_v2"),
	CALL(stream_wait, "cuStreamSynchronize"),
	CALL(event_create, "cuEventCreate"),
	CALL(event_destroy, "cuEventDestroy_v2"),
	CALL(event_record, "cuEventRecord"),
	CALL(event_query, "cuEventQuery"),
	CALL(event_wait, "cuEventSynchronize"),
	CALL(ipc_get, "cuIpcGetMemHandle"),
	CALL(ipc_open, "cuIpcOpenMemHandle_v2"),
	CALL(ipc_close, "cuIpcCloseMemHandle"),
	CALL_IF_THERE(range_handle, "cuMemGetHandleForAddressRange"),
};

static struct cuda_calls cuda;
static char failure[160];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A device and the context that the process's other users of CUDA share with us. */
struct cuda_device {
	void *context;
	int device;
};

static int errno_of(int result)
{
	switch (result) {
	case 0:
		return 0;
	case CUDA_ERROR_INVALID_VALUE:
		return -EINVAL;
	case CUDA_ERROR_OUT_OF_MEMORY:
		return -ENOMEM;
	case CUDA_ERROR_NO_DEVICE:
	case CUDA_ERROR_INVALID_DEVICE:
		return -ENODEV;
	case CUDA_ERROR_NOT_READY:
		return -EAGAIN;
	case CUDA_ERROR_NOT_SUPPORTED:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static void load_once(void)
{
	const char *chosen = getenv("SNOWSKIN_CUDA_LIBRARY");
	const char *library = chosen && chosen[0] ? chosen : LIBRARY;
	int result;

	if (mc_dynamic_load(library, wanted, MC_ARRAY_SIZE(wanted), &cuda, failure,
			    sizeof(failure)))
		return;
	result = cuda.init(0);
	if (result)
		snprintf(failure, sizeof(failure), "%s does not start: CUDA error %d", library,
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

/* Runs a call with the device's context and puts the thread's own back. */
#define WITH_CONTEXT(handle, call)                                         \
	__extension__({                                                    \
		struct cuda_device *device_ = (handle);                    \
		int result_ = cuda.context_push(device_->context);         \
		void *popped_;                                             \
		if (!result_) {                                            \
			result_ = (call);                                  \
			cuda.context_pop(&popped_);                        \
		}                                                          \
		errno_of(result_);                                         \
	})

static int count_devices(uint32_t *count)
{
	int found = 0, result = cuda.device_count(&found);

	*count = found > 0 ? (uint32_t)found : 0;
	return errno_of(result);
}

static int open_device(uint32_t ordinal, void **handle)
{
	struct cuda_device *device = calloc(1, sizeof(*device));
	int result;

	if (!device)
		return -ENOMEM;
	result = cuda.device_get(&device->device, (int)ordinal);
	if (!result)
		result = cuda.context_retain(&device->context, device->device);
	if (result) {
		free(device);
		return errno_of(result);
	}
	*handle = device;
	return 0;
}

static int name_of(void *handle, char *name, uint32_t size)
{
	struct cuda_device *device = handle;

	return errno_of(cuda.device_name(name, (int)size, device->device));
}

static int room(void *handle, uint64_t *unused, uint64_t *total)
{
	size_t left = 0, all = 0;
	int err = WITH_CONTEXT(handle, cuda.memory_info(&left, &all));

	*unused = left;
	*total = all;
	return err;
}

static int look_at(uint64_t address, struct mc_pointer_info *info)
{
	unsigned int type = 0, managed = 0;
	size_t length = 0;
	int result;

	/* The driver knows nothing of ordinary memory and says so with an error. */
	result = cuda.pointer_attribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address);
	if (result == CUDA_ERROR_INVALID_VALUE || (!result && !type))
		return 0;
	if (result)
		return result;
	if (cuda.pointer_attribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address))
		managed = 0;
	info->kind = managed			  ? MC_MEMORY_MANAGED :
		     type == CU_MEMORYTYPE_HOST ? MC_MEMORY_PINNED :
						    MC_MEMORY_DEVICE;
	if (cuda.pointer_attribute(&info->ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address))
		info->ordinal = -1;
	if (info->kind != MC_MEMORY_PINNED && !cuda.memory_range(&info->start, &length, address))
		info->length = length;
	return 0;
}

static int kind_of(void *handle, uint64_t address, struct mc_pointer_info *info)
{
	*info = (struct mc_pointer_info){ .kind = MC_MEMORY_HOST, .ordinal = -1 };
	return WITH_CONTEXT(handle, look_at(address, info));
}

static int allocate(void *handle, uint64_t length, uint64_t *address)
{
	return WITH_CONTEXT(handle, cuda.memory_alloc(address, length));
}

/* Copies that were started may not find the memory gone. */
static int wait_and_free(uint64_t address)
{
	int waited = cuda.context_wait();
	int freed = cuda.memory_free(address);

	return waited ? waited : freed;
}

static int release(void *handle, uint64_t address)
{
	return WITH_CONTEXT(handle, wait_and_free(address));
}

static int set_and_wait(uint64_t address, uint64_t length)
{
	int result = cuda.memory_set(address, 0, length);

	return result ? result : cuda.context_wait();
}

static int clear(void *handle, uint64_t address, uint64_t length)
{
	return WITH_CONTEXT(handle, set_and_wait(address, length));
}

static int host_allocate(void *handle, uint64_t length, void **memory)
{
	return WITH_CONTEXT(handle, cuda.host_alloc(memory, length, CU_MEMHOSTALLOC_PORTABLE));
}

static int host_release(void *handle, void *memory)
{
	return WITH_CONTEXT(handle, cuda.host_free(memory));
}

static int host_pin(void *handle, void *memory, uint64_t length)
{
	return WITH_CONTEXT(handle, cuda.host_register(memory, length, CU_MEMHOSTALLOC_PORTABLE));
}

static int host_unpin(void *handle, void *memory)
{
	return WITH_CONTEXT(handle, cuda.host_unregister(memory));
}

static int stream_open(void *handle, void **stream)
{
	return WITH_CONTEXT(handle, cuda.stream_create(stream, CU_STREAM_NON_BLOCKING));
}

static int stream_close(void *handle, void *stream)
{
	return WITH_CONTEXT(handle, cuda.stream_destroy(stream));
}

static int stream_wait(void *handle, void *stream)
{
	return WITH_CONTEXT(handle, cuda.stream_wait(stream));
}

static int start_copy(void *stream, uint32_t direction, uint64_t to, uint64_t from, uint64_t length)
{
	switch (direction) {
	case MC_COPY_TO_DEVICE:
		return cuda.copy_to(to, (const void *)(uintptr_t)from, length, stream);
	case MC_COPY_FROM_DEVICE:
		return cuda.copy_from((void *)(uintptr_t)to, from, length, stream);
	case MC_COPY_ON_DEVICE:
		return cuda.copy_on(to, from, length, stream);
	default:
		return CUDA_ERROR_INVALID_VALUE;
	}
}

static int copy(void *handle, void *stream, uint32_t direction, uint64_t to, uint64_t from,
		uint64_t length)
{
	return WITH_CONTEXT(handle, start_copy(stream, direction, to, from, length));
}

static int event_open(void *handle, void **event)
{
	return WITH_CONTEXT(handle, cuda.event_create(event, CU_EVENT_BLOCKING_SYNC |
								     CU_EVENT_DISABLE_TIMING));
}

static int event_close(void *handle, void *event)
{
	return WITH_CONTEXT(handle, cuda.event_destroy(event));
}

static int event_record(void *handle, void *event, void *stream)
{
	return WITH_CONTEXT(handle, cuda.event_record(event, stream));
}

static int event_ready(void *handle, void *event)
{
	return WITH_CONTEXT(handle, cuda.event_query(event));
}

static int event_wait(void *handle, void *event)
{
	return WITH_CONTEXT(handle, cuda.event_wait(event));
}

static int ipc_export(void *handle, uint64_t address, uint64_t length, struct mc_ipc_handle *out)
{
	struct cuda_ipc_handle got = { { 0 } };
	int err = WITH_CONTEXT(handle, cuda.ipc_get(&got, address));

	(void)length;
	memset(out, 0, sizeof(*out));
	memcpy(out->bytes, got.bytes, sizeof(got.bytes));
	return err;
}

static int ipc_open(void *handle, const struct mc_ipc_handle *in, uint64_t *address)
{
	struct cuda_ipc_handle given;

	memcpy(given.bytes, in->bytes, sizeof(given.bytes));
	return WITH_CONTEXT(handle,
			    cuda.ipc_open(address, given, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
}

static int ipc_close(void *handle, uint64_t address)
{
	return WITH_CONTEXT(handle, cuda.ipc_close(address));
}

static int dmabuf(void *handle, uint64_t address, uint64_t length, int *fd)
{
	if (!cuda.range_handle)
		return -EOPNOTSUPP;
	return WITH_CONTEXT(handle, cuda.range_handle(fd, address, length,
						      CU_MEM_RANGE_HANDLE_TYPE_DMA_BUF_FD, 0));
}

const struct mc_device_ops mc_cuda_ops = {
	.vendor = "cuda",
	.prefix = "cuda",
	.standing = "tested on a stand-in for the driver",
	.load = load,
	.count = count_devices,
	.open = open_device,
	.name = name_of,
	.room = room,
	.kind_of = kind_of,
	.allocate = allocate,
	.release = release,
	.clear = clear,
	.host_allocate = host_allocate,
	.host_release = host_release,
	.host_pin = host_pin,
	.host_unpin = host_unpin,
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
	.dmabuf = dmabuf,
};

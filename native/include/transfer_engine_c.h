/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSFER_ENGINE_C
#define TRANSFER_ENGINE_C

/*
 * The names, types and numbers of Mooncake's C interface of a transfer engine, over Snowskin's: a
 * program that was written for that one is compiled against this header and linked with
 * libtransfer_engine.so of `deno task build --install=DIR`. What is here is TCP, memory of the host
 * and peers that are found by their address (P2PHANDSHAKE), each of them an engine of Snowskin's or
 * of Mooncake's. What is refused says so in one line on the standard error output.
 *
 * Results are 0 or the reference's negative codes. Any thread may call; strings are copied.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define segment_handle_t int32_t
#define segment_id_t int32_t
#define file_id_t uint32_t
#define batch_id_t uint64_t

#define LOCAL_SEGMENT (0)
#define INVALID_BATCH UINT64_MAX

#define OPCODE_READ (0)	 /* from the segment to source */
#define OPCODE_WRITE (1) /* from source to the segment */

struct transfer_request {
	int opcode;
	void *source;
	segment_id_t target_id;
	file_id_t file_id; /* not used: there are no files */
	uint64_t target_offset; /* address in the process of the segment's owner */
	uint64_t length;	/* bytes */
};
typedef struct transfer_request transfer_request_t;

struct notify_msg {
	char *name;
	char *msg;
};
typedef struct notify_msg notify_msg_t;

#define STATUS_WAITING (0)
#define STATUS_PENDING (1)
#define STATUS_INVALID (2)
#define STATUS_CANCELED (3)
#define STATUS_COMPLETED (4)
#define STATUS_TIMEOUT (5)
#define STATUS_FAILED (6)

struct transfer_status {
	int status;
	uint64_t transferred_bytes;
};
typedef struct transfer_status transfer_status_t;

struct buffer_entry {
	void *addr;
	size_t length;
};
typedef struct buffer_entry buffer_entry_t;

typedef void *transfer_engine_t;
typedef void *transport_t;

#define TE_API __attribute__((visibility("default")))

/*
 * Opens an engine that serves handshakes and data on one free port of 15000 to 17000. The first
 * argument is "P2PHANDSHAKE"; the host of the second, or the third where that is empty, is what
 * peers reach it by, and a loopback address keeps others out. The port is chosen, not rpc_port.
 * With auto_discover TCP is installed. NULL if it cannot be had. destroyTransferEngine() when no
 * other call is under way.
 */
TE_API transfer_engine_t createTransferEngine(const char *metadata_conn_string,
					      const char *local_server_name,
					      const char *ip_or_host_name, uint64_t rpc_port,
					      int auto_discover);
TE_API void destroyTransferEngine(transfer_engine_t engine);

/* The name that peers open: "host:port". -1 when buf_len is too small for it. */
TE_API int getLocalIpAndPort(transfer_engine_t engine, char *buf_out, size_t buf_len);

/* "tcp" is there; NULL for others. args is not used. */
TE_API transport_t installTransport(transfer_engine_t engine, const char *proto, void **args);
TE_API int uninstallTransport(transfer_engine_t engine, const char *proto);

/*
 * Id (> 0) of the engine of that name, which is asked for its document unless it is known; or a
 * negative code. The other form asks in any case. closeSegment() ends one opening, and the
 * connections with the last one; removeLocalSegment() forgets the engine at once.
 */
TE_API segment_id_t openSegment(transfer_engine_t engine, const char *segment_name);
TE_API segment_id_t openSegmentNoCache(transfer_engine_t engine, const char *segment_name);
TE_API int closeSegment(transfer_engine_t engine, segment_id_t segment_id);
TE_API int removeLocalSegment(transfer_engine_t engine, const char *segment_name);
/* Asks all engines that are known for their documents; the first failure, or 0. */
TE_API int syncSegmentCache(transfer_engine_t engine);

/*
 * Lets peers reach memory of the caller at its addresses, if remote_accessible. location is "cpu:N"
 * or "*"; memory of devices is refused. unregisterLocalMemory() takes the first address; when it
 * returns no peer touches the memory any more.
 */
TE_API int registerLocalMemory(transfer_engine_t engine, void *addr, size_t length,
			       const char *location, int remote_accessible);
TE_API int unregisterLocalMemory(transfer_engine_t engine, void *addr);
/* All of them, or none and the first failure. */
TE_API int registerLocalMemoryBatch(transfer_engine_t engine, buffer_entry_t *buffer_list,
				    size_t buffer_len, const char *location);
TE_API int unregisterLocalMemoryBatch(transfer_engine_t engine, void **addr_list, size_t addr_len);

/* There are no files: false, and a code. */
TE_API bool supportFileBuffer(transfer_engine_t engine);
TE_API int registerLocalFile(transfer_engine_t engine, const char *path, size_t size,
			     file_id_t *id);
TE_API int unregisterLocalFile(transfer_engine_t engine, const char *path);

/*
 * Room for batch_size requests. submitTransfer() may be called several times until it is used up;
 * source stays untouched until the status of its request is final. freeBatchID() refuses a batch with
 * requests under way. A request fails after 30 s.
 */
TE_API batch_id_t allocateBatchID(transfer_engine_t engine, size_t batch_size);
TE_API int submitTransfer(transfer_engine_t engine, batch_id_t batch_id,
			  struct transfer_request *entries, size_t count);
/* The message is left with the first request's segment once all requests have completed. */
TE_API int submitTransferWithNotify(transfer_engine_t engine, batch_id_t batch_id,
				    struct transfer_request *entries, size_t count,
				    notify_msg_t notify_msg);
TE_API int getTransferStatus(transfer_engine_t engine, batch_id_t batch_id, size_t task_id,
			     struct transfer_status *status);
TE_API int freeBatchID(transfer_engine_t engine, batch_id_t batch_id);

/*
 * Messages that peers left here, oldest first: an array of *size for freeNotifsMsgBuf(), or NULL.
 * 1024 are kept. genNotifyInEngine() leaves one with an open segment.
 */
TE_API notify_msg_t *getNotifsFromEngine(transfer_engine_t engine, int *size);
TE_API int freeNotifsMsgBuf(notify_msg_t *msg, int size);
TE_API int genNotifyInEngine(transfer_engine_t engine, uint64_t target_id,
			     notify_msg_t notify_msg);

#ifdef __cplusplus
}
#endif

#endif

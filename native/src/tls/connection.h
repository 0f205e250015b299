/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_TLS_CONNECTION_H
#define MC_TLS_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tls.h"

/*
 * TLS on a non-blocking socket. Records that the socket does not take at once are kept, so bytes
 * are either sent as far as the caller is concerned or not at all. A connection belongs to one
 * thread or lock.
 */
struct mc_tls_connection;

/* How bytes get from and to a socket. */
struct bio_method_st *mc_tls_socket_method(const struct mcs_calls *calls);

/*
 * Takes a connected socket on; nothing is sent. name: what the peer's certificate has to cover, a
 * host name or a numeric address, where we connected; NULL where the peer did. NULL: no memory.
 */
struct mc_tls_connection *mc_tls_connection_new(struct mc_tls *tls, int fd, const char *name);

/* Tells the peer, if that can be done at once, and frees; the socket stays open. */
void mc_tls_connection_free(struct mc_tls_connection *connection);

/* Goes on with the handshake: 0 when it is over, -EAGAIN, or -EPROTO and it was reported. */
int mc_tls_connection_begin(struct mc_tls_connection *connection);

/* What came instead of TLS, at most 32 bytes of it; 0 when it was TLS. */
uint32_t mc_tls_connection_alien(const struct mc_tls_connection *connection, uint8_t *bytes);

/*
 * Bytes taken, -EAGAIN when the socket takes none, or -errno. Fewer than there are: the socket
 * takes no more.
 */
int64_t mc_tls_connection_send(struct mc_tls_connection *connection, const struct iovec *iov,
			       size_t count);

/* Sends what was kept: 0, -EAGAIN or -errno. */
int mc_tls_connection_flush(struct mc_tls_connection *connection);
bool mc_tls_connection_owes(const struct mc_tls_connection *connection);

/*
 * Bytes received, 0 at the end, -EAGAIN when there are none, or -errno. Fewer than asked for: there
 * are no more now. peek leaves them, of the first vector only.
 */
int64_t mc_tls_connection_receive(struct mc_tls_connection *connection, const struct iovec *iov,
				  size_t count, bool peek);

/* Has the end or a failure been met? No event of the socket tells of it any more. */
bool mc_tls_connection_ended(const struct mc_tls_connection *connection);

/* Tells the peer that nothing comes any more. */
void mc_tls_connection_finish(struct mc_tls_connection *connection);

#endif

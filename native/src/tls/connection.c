// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "connection.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../common.h"

#define RECORD_BYTES 16384u
/* Of a record beside its bytes: header, type, tag. */
#define RECORD_EXTRA 64u
/* Made ready before the socket gets them, so that the peer begins while the rest is made. */
#define OUT_BYTES (64u << 10)
#define ALIEN_BYTES 32u
/* First byte of an alert and of a handshake. */
#define RECORD_ALERT 21
#define RECORD_HANDSHAKE 22

/* out is kept while there is something in it, and while a call sends. */
struct mc_tls_connection {
	struct mc_tls *tls;
	struct ssl_st *ssl;
	int fd;
	bool served; /* the peer connected */
	bool heard, secured, finished;
	bool drained; /* in this call the socket had less than was asked for */
	bool ended;   /* met the end, or failed */
	int failure;  /* errno of that; 0: the end */
	uint32_t records; /* sent with the present key */
	uint8_t *out; /* records, to be sent from out_from to out_to */
	uint32_t out_from, out_to, out_size;
	uint32_t alien_size;
	uint8_t alien[ALIEN_BYTES];
};

/* Room for more records; false without memory. */
static bool reserve(struct mc_tls_connection *connection, uint32_t bytes)
{
	uint64_t size = (uint64_t)connection->out_to + bytes;
	uint8_t *grown;

	if (size <= connection->out_size)
		return true;
	if (size > UINT32_MAX / 2)
		return false;
	grown = realloc(connection->out, size);
	if (!grown)
		return false;
	connection->out = grown;
	connection->out_size = (uint32_t)size;
	return true;
}


/* Takes records of OpenSSL; it never has to wait, since they are kept here. */
static int keep_records(struct bio_st *bio, const char *bytes, int length)
{
	struct mc_tls_connection *connection = mcs_loaded()->BIO_get_data(bio);

	mcs_loaded()->BIO_clear_flags(bio, MCS_BIO_FLAGS_RWS | MCS_BIO_FLAGS_SHOULD_RETRY);
	if (length <= 0)
		return 0;
	if (!reserve(connection, (uint32_t)length))
		return -1;
	memcpy(connection->out + connection->out_to, bytes, (size_t)length);
	connection->out_to += (uint32_t)length;
	return length;
}

/* False when what comes first is no TLS. */
static bool begins_well(struct mc_tls_connection *connection, const char *bytes, ssize_t count)
{
	uint8_t type = (uint8_t)bytes[0];

	connection->heard = true;
	if (type == RECORD_HANDSHAKE || (type == RECORD_ALERT && !connection->served))
		return true;
	connection->alien_size = (uint32_t)mc_min((uint64_t)count, ALIEN_BYTES);
	memcpy(connection->alien, bytes, connection->alien_size);
	return false;
}

static int read_records(struct bio_st *bio, char *bytes, int length)
{
	const struct mcs_calls *ssl = mcs_loaded();
	struct mc_tls_connection *connection = ssl->BIO_get_data(bio);
	ssize_t count;

	ssl->BIO_clear_flags(bio, MCS_BIO_FLAGS_RWS | MCS_BIO_FLAGS_SHOULD_RETRY);
	if (connection->drained) {
		ssl->BIO_set_flags(bio, MCS_BIO_FLAGS_READ | MCS_BIO_FLAGS_SHOULD_RETRY);
		return -1;
	}
	do {
		count = recv(connection->fd, bytes, (size_t)length, 0);
	} while (count < 0 && errno == EINTR);
	connection->drained = count > 0 && count < length;
	if (count < 0 && errno == EAGAIN)
		ssl->BIO_set_flags(bio, MCS_BIO_FLAGS_READ | MCS_BIO_FLAGS_SHOULD_RETRY);
	if (count > 0 && !connection->heard && !begins_well(connection, bytes, count)) {
		errno = EPROTO;
		return -1;
	}
	return (int)count;
}

static long control(struct bio_st *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == MCS_BIO_CTRL_FLUSH;
}

struct bio_method_st *mc_tls_socket_method(const struct mcs_calls *ssl)
{
	struct bio_method_st *method = ssl->BIO_meth_new(MCS_BIO_TYPE_SOURCE_SINK, "snowskin");

	if (!method)
		return NULL;
	ssl->BIO_meth_set_write(method, keep_records);
	ssl->BIO_meth_set_read(method, read_records);
	ssl->BIO_meth_set_ctrl(method, control);
	return method;
}

static bool is_address(const char *name)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST };
	struct addrinfo *found;

	if (getaddrinfo(name, NULL, &hints, &found) != 0)
		return false;
	freeaddrinfo(found);
	return true;
}

/* Has the peer's certificate asked for a name. */
static bool expect(struct mc_tls_connection *connection, const char *name)
{
	const struct mcs_calls *ssl = connection->tls->calls;

	if (is_address(name))
		return ssl->X509_VERIFY_PARAM_set1_ip_asc(ssl->SSL_get0_param(connection->ssl),
							  name) == 1;
	ssl->SSL_set_hostflags(connection->ssl, MCS_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return ssl->SSL_set1_host(connection->ssl, name) == 1 &&
	       ssl->SSL_ctrl(connection->ssl, MCS_CTRL_SET_TLSEXT_HOSTNAME,
			     MCS_TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)name) == 1;
}

struct mc_tls_connection *mc_tls_connection_new(struct mc_tls *tls, int fd, const char *name)
{
	const struct mcs_calls *ssl = tls->calls;
	struct mc_tls_connection *connection = calloc(1, sizeof(*connection));
	struct bio_st *bio = NULL;

	if (!connection)
		return NULL;
	connection->tls = tls;
	connection->fd = fd;
	connection->served = !name;
	connection->ssl = mc_tls_new(tls);
	if (connection->ssl)
		bio = ssl->BIO_new(tls->socket);
	if (bio) {
		ssl->BIO_set_data(bio, connection);
		ssl->BIO_set_init(bio, 1);
		ssl->SSL_set_bio(connection->ssl, bio, bio);
	}
	if (!bio || (name && !expect(connection, name))) {
		ssl->ERR_clear_error();
		mc_tls_connection_free(connection);
		return NULL;
	}
	if (name)
		ssl->SSL_set_connect_state(connection->ssl);
	else
		ssl->SSL_set_accept_state(connection->ssl);
	return connection;
}

void mc_tls_connection_free(struct mc_tls_connection *connection)
{
	if (!connection)
		return;
	mc_tls_connection_finish(connection);
	if (connection->ssl)
		connection->tls->calls->SSL_free(connection->ssl);
	free(connection->out);
	free(connection);
}

static void report(struct mc_tls_connection *connection, const char *text)
{
	mc_tls_report(connection->tls, connection->fd, connection->served, text);
}

/* Tells why, unless a connection just ended, which is none of TLS's business. */
static void report_failure(struct mc_tls_connection *connection, int kind, unsigned long error)
{
	const struct mcs_calls *ssl = connection->tls->calls;
	const char *who = connection->served ? "its" : "the peer's";
	long verdict = ssl->SSL_get_verify_result(connection->ssl);
	const char *reason = ssl->ERR_reason_error_string(error);
	char text[160];

	if (connection->alien_size) {
		report(connection, "it speaks no TLS");
	} else if (verdict != MCS_V_OK) {
		snprintf(text, sizeof(text), "%s certificate is refused: %s", who,
			 ssl->X509_verify_cert_error_string(verdict));
		report(connection, text);
	} else if (kind == MCS_ERROR_SSL &&
		   (error & 0x7fffff) != MCS_R_UNEXPECTED_EOF_WHILE_READING) {
		report(connection, reason ? reason : "TLS failed");
	} else if (!connection->secured && !connection->served) {
		report(connection, "it hung up in the handshake: it may speak no TLS");
	} else if (!connection->secured && connection->heard) {
		report(connection, "it hung up in the handshake");
	}
}

/* What a call into OpenSSL that did not succeed means: 0 at the end, -EAGAIN, or -errno. */
static int failed(struct mc_tls_connection *connection, int result)
{
	const struct mcs_calls *ssl = connection->tls->calls;
	int system = errno;
	int kind = ssl->SSL_get_error(connection->ssl, result);

	if (kind == MCS_ERROR_WANT_READ || kind == MCS_ERROR_WANT_WRITE)
		return -EAGAIN;
	connection->ended = true;
	if (kind == MCS_ERROR_ZERO_RETURN)
		return 0;
	report_failure(connection, kind, ssl->ERR_peek_error());
	ssl->ERR_clear_error();
	connection->failure = kind == MCS_ERROR_SYSCALL && system ? system : EPROTO;
	if (connection->secured)
		connection->failure = ECONNRESET;
	return -connection->failure;
}

/* Sends what is ready and keeps its memory: 0, -EAGAIN or -errno. */
static int send_records(struct mc_tls_connection *connection)
{
	while (connection->out_from < connection->out_to) {
		ssize_t count = send(connection->fd, connection->out + connection->out_from,
				     connection->out_to - connection->out_from, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		connection->out_from += (uint32_t)count;
	}
	connection->out_from = connection->out_to = 0;
	return 0;
}

static void give_memory_back(struct mc_tls_connection *connection)
{
	if (connection->out_to > 0)
		return;
	free(connection->out);
	connection->out = NULL;
	connection->out_size = 0;
}

int mc_tls_connection_flush(struct mc_tls_connection *connection)
{
	int err = send_records(connection);

	give_memory_back(connection);
	return err;
}

bool mc_tls_connection_owes(const struct mc_tls_connection *connection)
{
	return connection->out_from < connection->out_to;
}

int mc_tls_connection_begin(struct mc_tls_connection *connection)
{
	const struct mcs_calls *ssl = connection->tls->calls;
	int result, flushed;

	if (connection->failure)
		return -EPROTO;
	ssl->ERR_clear_error();
	connection->drained = false;
	errno = 0;
	result = ssl->SSL_do_handshake(connection->ssl);
	if (result != 1)
		result = failed(connection, result);
	flushed = mc_tls_connection_flush(connection);
	if (result != 1 && result != -EAGAIN) {
		connection->failure = EPROTO;
		return -EPROTO;
	}
	if (result == -EAGAIN)
		return flushed && flushed != -EAGAIN ? -EPROTO : -EAGAIN;
	connection->secured = true;
	return 0;
}

uint32_t mc_tls_connection_alien(const struct mc_tls_connection *connection, uint8_t *bytes)
{
	memcpy(bytes, connection->alien, connection->alien_size);
	return connection->alien_size;
}

/* Where in a list of vectors the next bytes are. */
struct cursor {
	const struct iovec *iov;
	size_t left;  /* vectors */
	size_t done;  /* bytes of the first */
};

static void skip_empty(struct cursor *cursor)
{
	while (cursor->left > 0 && cursor->done == cursor->iov->iov_len) {
		cursor->iov++;
		cursor->left--;
		cursor->done = 0;
	}
}

/* The next bytes of a record: long ones where they are, short ones gathered in room. */
static const uint8_t *next_bytes(struct cursor *cursor, uint8_t *room, size_t *length)
{
	size_t gathered = 0;

	if (cursor->left == 1 || cursor->iov->iov_len - cursor->done >= RECORD_BYTES) {
		const uint8_t *bytes = (const uint8_t *)cursor->iov->iov_base + cursor->done;

		*length = mc_min(cursor->iov->iov_len - cursor->done, RECORD_BYTES);
		cursor->done += *length;
		skip_empty(cursor);
		return bytes;
	}
	while (cursor->left > 0 && gathered < RECORD_BYTES) {
		size_t part = mc_min(cursor->iov->iov_len - cursor->done, RECORD_BYTES - gathered);

		memcpy(room + gathered, (const uint8_t *)cursor->iov->iov_base + cursor->done, part);
		cursor->done += part;
		gathered += part;
		skip_empty(cursor);
	}
	*length = gathered;
	return room;
}

/* New keys before the present ones have done too much; peers follow by themselves. */
static bool rekey(struct mc_tls_connection *connection)
{
	const struct mcs_calls *ssl = connection->tls->calls;

	if (++connection->records <= connection->tls->rekey_records)
		return true;
	connection->records = 0;
	return ssl->SSL_key_update(connection->ssl, MCS_KEY_UPDATE_NOT_REQUESTED) == 1;
}

/* Makes records until enough is ready. Returns 0 or -errno. */
static int encrypt(struct mc_tls_connection *connection, struct cursor *cursor, int64_t *taken)
{
	const struct mcs_calls *ssl = connection->tls->calls;
	uint8_t room[RECORD_BYTES];

	while (cursor->left > 0 && connection->out_to < OUT_BYTES) {
		size_t length, written;
		const uint8_t *bytes = next_bytes(cursor, room, &length);

		if (!rekey(connection) ||
		    ssl->SSL_write_ex(connection->ssl, bytes, length, &written) != 1) {
			(void)failed(connection, 0);
			connection->ended = true;
			connection->failure = ECONNRESET;
			return -ECONNRESET;
		}
		*taken += (int64_t)length;
	}
	return 0;
}

static uint64_t total_of(const struct iovec *iov, size_t count)
{
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += iov[i].iov_len;
	return total;
}

int64_t mc_tls_connection_send(struct mc_tls_connection *connection, const struct iovec *iov,
			       size_t count)
{
	struct cursor cursor = { .iov = iov, .left = count };
	uint64_t total = total_of(iov, count);
	int64_t taken = 0;
	int err;

	if (connection->failure)
		return -connection->failure;
	connection->tls->calls->ERR_clear_error();
	skip_empty(&cursor);
	err = send_records(connection);
	while (!err && cursor.left > 0) {
		uint64_t wanted = mc_min(total - (uint64_t)taken, OUT_BYTES + RECORD_BYTES);

		wanted += (wanted / RECORD_BYTES + 2) * RECORD_EXTRA;
		err = reserve(connection, (uint32_t)wanted) ? 0 : -ENOMEM;
		if (!err)
			err = encrypt(connection, &cursor, &taken);
		if (!err)
			err = send_records(connection);
	}
	give_memory_back(connection);
	return taken > 0 ? taken : err;
}

int64_t mc_tls_connection_receive(struct mc_tls_connection *connection, const struct iovec *iov,
				  size_t count, bool peek)
{
	const struct mcs_calls *ssl = connection->tls->calls;
	struct cursor cursor = { .iov = iov, .left = count };
	int64_t done = 0;
	int status = connection->ended ? -connection->failure : 1;

	skip_empty(&cursor);
	ssl->ERR_clear_error();
	connection->drained = false;
	while (status == 1 && cursor.left > 0) {
		uint8_t *to = (uint8_t *)cursor.iov->iov_base + cursor.done;
		size_t wanted = cursor.iov->iov_len - cursor.done, got = 0;

		errno = 0;
		status = (peek ? ssl->SSL_peek_ex : ssl->SSL_read_ex)(connection->ssl, to, wanted,
								      &got);
		if (status != 1)
			status = failed(connection, status);
		done += (int64_t)got;
		cursor.done += got;
		skip_empty(&cursor);
		if (peek)
			break;
	}
	if (mc_tls_connection_owes(connection))
		(void)mc_tls_connection_flush(connection);
	return done > 0 ? done : status == 1 ? 0 : status;
}

bool mc_tls_connection_ended(const struct mc_tls_connection *connection)
{
	return connection->ended;
}

void mc_tls_connection_finish(struct mc_tls_connection *connection)
{
	const struct mcs_calls *ssl = connection->tls->calls;

	if (connection->finished || !connection->secured || connection->failure)
		return;
	connection->finished = true;
	ssl->ERR_clear_error();
	if (ssl->SSL_shutdown(connection->ssl) < 0)
		ssl->ERR_clear_error();
	(void)mc_tls_connection_flush(connection);
}

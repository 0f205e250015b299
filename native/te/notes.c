// SPDX-License-Identifier: Apache-2.0
/* Messages that engines leave with each other. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "te.h"

#define NOTES_MAX 1024u

bool te_keep_note(struct te *te, char *name, char *msg)
{
	struct te_note *note = malloc(sizeof(*note));
	bool kept = false;

	pthread_mutex_lock(&te->lock);
	if (note && te->note_count < NOTES_MAX) {
		*note = (struct te_note){ .name = name, .msg = msg };
		*te->last_note = note;
		te->last_note = &note->next;
		te->note_count++;
		kept = true;
	}
	pthread_mutex_unlock(&te->lock);
	if (!kept) {
		free(note);
		free(name);
		free(msg);
	}
	return kept;
}

notify_msg_t *getNotifsFromEngine(transfer_engine_t engine, int *size)
{
	notify_msg_t *notes = NULL;
	struct te *te = engine;
	int count = 0;

	if (!te || !size)
		return NULL;
	pthread_mutex_lock(&te->lock);
	if (te->note_count > 0)
		notes = calloc(te->note_count, sizeof(*notes));
	while (notes && te->notes) {
		struct te_note *note = te->notes;

		notes[count++] = (notify_msg_t){ note->name, note->msg };
		te->notes = note->next;
		free(note);
	}
	if (notes) {
		te->last_note = &te->notes;
		te->note_count = 0;
	}
	pthread_mutex_unlock(&te->lock);
	*size = count;
	return notes;
}

int freeNotifsMsgBuf(notify_msg_t *msg, int size)
{
	for (int i = 0; msg && i < size; i++) {
		free(msg[i].name);
		free(msg[i].msg);
	}
	free(msg);
	return 0;
}

int genNotifyInEngine(transfer_engine_t engine, uint64_t target_id, notify_msg_t notify_msg)
{
	char *name = NULL, *who, *what, *body = NULL, *answer = NULL;
	struct te *te = engine;
	int err = ERR_MEMORY;

	if (!te || !notify_msg.name || !notify_msg.msg)
		return ERR_INVALID_ARGUMENT;
	pthread_mutex_lock(&te->lock);
	if (target_id == LOCAL_SEGMENT)
		name = strdup(te->name);
	else if (target_id < te->segment_count && te->segments[target_id].peer)
		name = strdup(te->segments[target_id].name);
	pthread_mutex_unlock(&te->lock);
	if (!name)
		return ERR_INVALID_ARGUMENT;
	who = json_quoted(notify_msg.name);
	what = json_quoted(notify_msg.msg);
	if (who && what && asprintf(&body, "{\"name\":%s,\"notify_msg\":%s}", who, what) > 0)
		err = te_exchange(name, TE_NOTIFY, body, &answer);
	if (!err) {
		struct json_text document = { answer, answer + strlen(answer) }, value;
		char *said = json_member(document, "notify_msg", &value) ? json_string(value) : NULL;

		err = said && *said ? 0 : ERR_REJECT_HANDSHAKE;
		free(said);
	}
	free(answer);
	free(body);
	free(who);
	free(what);
	free(name);
	return err;
}

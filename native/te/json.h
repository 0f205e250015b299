/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TE_JSON_H
#define TE_JSON_H

#include <stdbool.h>
#include <stdint.h>

/*
 * As much of JSON as handshakes need: members of an object, texts, whole numbers, and texts to be
 * written. Nothing is read behind the end, whatever the bytes.
 */
struct json_text {
	const char *at, *end;
};

/* Finds a member of the object that the text begins with; false when there is none, or no object. */
bool json_member(struct json_text object, const char *name, struct json_text *value);

/* A text, NUL-terminated, for free(); NULL when it is none, holds a NUL, or there is no memory. */
char *json_string(struct json_text value);

/* Whether the value is a whole number of at most limit. */
bool json_number(struct json_text value, uint64_t limit, uint64_t *number);

/* The text in quotes, escaped where it has to be; for free(), NULL without memory. */
char *json_quoted(const char *text);

#endif

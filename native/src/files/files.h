/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MC_FILES_INTERNAL_H
#define MC_FILES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mc/files.h"

#include "../engine.h"
#include "../list.h"

/* What is written as a whole: pages of the cache, and no sector of a device is longer. */
#define FILES_PAGE 4096u
/* Of a slice, which ends at a multiple of it in the file. */
#define FILES_SLICE (1u << 20)
/* A slice with the rest of the pages at its ends. */
#define FILES_BOUNCE (FILES_SLICE + 2 * FILES_PAGE)

/* A file of a segment. */
struct files_file {
	uint64_t start;  /* address of its first byte in the segment */
	uint64_t length; /* bytes that the segment has of it */
	int fd;          /* through the page cache */
	int direct;      /* past it; -1: the file has none */
	bool device;     /* a block device */
	bool writable;
	char path[];
};

int files_file_open(const char *path, uint64_t length, struct files_file **file, char *why,
		    uint32_t why_size);
void files_file_close(struct files_file *file);

/*
 * Reads into bounce, FILES_BOUNCE bytes at a page: 0 and where the bytes begin, or -errno. offset
 * and length are a slice's.
 */
int files_read(const struct files_file *file, uint64_t offset, uint64_t length, uint8_t *bounce,
	       uint8_t **begin);

/* Writes bytes that begin in bounce at offset % FILES_PAGE: 0 or -errno. */
int files_write(const struct files_file *file, uint64_t offset, uint64_t length,
		const uint8_t *bounce);

/* Who uses the memory of a slice's work. */
enum files_stage {
	FILES_QUEUED, /* nobody yet */
	FILES_IO,     /* nobody: the thread is busy with the file */
	FILES_COPY,   /* the thread */
	FILES_DONE,   /* nobody any more */
};

/* Part of a work, within one file. */
struct files_slice {
	struct mc_list of_link; /* under progress_lock */
	struct mc_list entry;   /* of the segment's queue, or of what is done; under crew->lock */
	struct files_link *link;
	struct mc_work *work;
	const struct files_file *file;
	uint64_t offset; /* in the file */
	uint64_t length;
	uint8_t *local;
	uint32_t opcode;
	int result;
	enum files_stage stage; /* under crew->lock, as the next ones */
	bool given_up;          /* in FILES_IO: the thread frees it and tells nobody */
	bool unwanted;          /* in FILES_COPY: a WRITE that is not to begin */
};

/*
 * What the threads of an engine share. It outlives the engine while one of them waits for a device
 * that does not answer.
 */
struct files_crew {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a thread ended, or a copy */
	struct mc_list running; /* threads */
	struct mc_list ended;   /* and those that are to be joined */
	bool orphaned; /* the engine has gone: the last thread frees it */
	int wake_fd;   /* counts what is done; valid while not orphaned */
	struct mc_list done;
	atomic_bool has_done;
};

/* The files of a link and the threads that work on them; the last of these frees it. */
struct files_segment {
	struct files_crew *crew;
	pthread_cond_t work;
	struct mc_list queue;
	uint32_t queued; /* slices */
	uint32_t threads;
	uint32_t idle;
	bool closed;
	uint64_t length; /* bytes of all files */
	uint32_t count;
	struct files_file **files; /* by address */
	char failure[512];
};

int files_crew_open(struct files_crew **crew);

/* Waits for the threads for a moment, and leaves the rest to themselves. */
void files_crew_leave(struct files_crew *crew);

int files_segment_open(struct files_crew *crew, struct files_segment **segment);

/* Frees it, once no slice is left that anybody waits for. */
void files_segment_close(struct files_segment *segment);

/* Has a slice carried out: 0, or -errno when there is no thread for it. */
int files_segment_begin(struct files_segment *segment, struct files_slice *slice);

/*
 * Gives a slice up: whether it is gone, from the list of its link, too. If not, its memory is in use
 * for the time of a copy, after which it is done. progress_lock is held, as for the next one.
 */
bool files_give_up(struct files_crew *crew, struct files_slice *slice);

/* Sleeps until no thread copies for a link. */
void files_await_copies(struct files_crew *crew, const struct mc_list *slices);

/* A link of the engine to a segment. */
struct files_link {
	struct mc_list node;
	struct mc_work_queue waiting;
	struct mc_list slices;
	uint32_t under_way;
	bool used;
	struct files_segment *segment;
};

#endif

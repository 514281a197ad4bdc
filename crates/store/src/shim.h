/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/*
 * The parts of GlusterFS that the plugin SDK needs: macros, and fields of structures. One function per use, without
 * policy, which is in Rust. src/abi.rs declares the same functions.
 */
#ifndef CLOUDSYNC_STORE_SHIM_H
#define CLOUDSYNC_STORE_SHIM_H

#include "cloudsync-common.h"

/* A write in flight. Rust owns it; C sees only the callback. */
struct css_write {
    void (*done)(struct css_write *write, int32_t op_ret, int32_t op_errno); /* called once; frees the write */
};

/* Called for each text option. Both strings live as long as the dictionary. */
typedef void (*css_option_t)(void *data, const char *name, const char *value);

/* Makes `this` the calling thread's translator. Returns the previous one. */
xlator_t *
css_enter(xlator_t *this);

/* Writes one line to the host's log, under the name of `this` (NULL: the calling thread's translator). */
void
css_log(xlator_t *this, const char *file, const char *function, int32_t line, int level, int errnum, uint64_t id,
        const char *text);

/* CS_HOST_STAMP of the headers that this was compiled with. */
extern const uint64_t css_host;

/* The address of CS_HOST_SYMBOL. */
const void *
css_host_symbol(void);

/* The process's log level: less important messages are dropped. */
int
css_log_level(void);

/* The translator's options from its volume file. */
dict_t *
css_xlator_options(xlator_t *this);

/* Calls `found` for every text option in `options`. */
void
css_options(dict_t *options, css_option_t found, void *data);

/* The configuration that this plugin's fop_init returned for `this`, or NULL. */
void *
css_config(xlator_t *this);

xlator_t *
css_frame_xlator(call_frame_t *frame);

const char *
css_frame_key(call_frame_t *frame);

/* The required version of the object, or NULL. */
const char *
css_frame_version(call_frame_t *frame);

uint64_t
css_frame_size(call_frame_t *frame);

int
css_frame_cancelled(call_frame_t *frame);

void
css_frame_fail(call_frame_t *frame, int op_errno);

/* A buffer of at least `size` bytes from the host's pool, or NULL. */
struct iobuf *
css_buffer_new(xlator_t *this, size_t size);

void *
css_buffer_bytes(struct iobuf *buffer);

void
css_buffer_free(struct iobuf *buffer);

/*
 * Sends `size` bytes of `buffer` to the frame's dlfd at `offset`. Returns 0, and write->done will be called, perhaps
 * before this returns; or an errno, and it will not. May block: that is the translator's back-pressure. The caller
 * keeps its reference of `buffer`.
 */
int
css_frame_writev(call_frame_t *frame, struct iobuf *buffer, size_t size, off_t offset, struct css_write *write);

#endif /* CLOUDSYNC_STORE_SHIM_H */

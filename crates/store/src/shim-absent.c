/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* In place of shim.c in a debug build on a machine without GlusterFS's headers: what needs no host can be tested there.
 */
#include <stdint.h>
#include <stdlib.h>

const uint64_t css_host = 0;

#define ABSENT(name) \
    void name(void)  \
    {                \
        abort();     \
    }

ABSENT(css_buffer_bytes)
ABSENT(css_buffer_free)
ABSENT(css_buffer_new)
ABSENT(css_config)
ABSENT(css_enter)
ABSENT(css_frame_cancelled)
ABSENT(css_frame_fail)
ABSENT(css_frame_key)
ABSENT(css_frame_size)
ABSENT(css_frame_version)
ABSENT(css_frame_writev)
ABSENT(css_frame_xlator)
ABSENT(css_host_symbol)
ABSENT(css_log)
ABSENT(css_log_level)
ABSENT(css_options)
ABSENT(css_xlator_options)

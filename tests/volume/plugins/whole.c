/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later */
/* The store of shelf.c as compiled against a header without `fetch`: its second table is shorter by that. */
#define store_ops_ext shelf_ops_ext
#include "shelf.c"
#undef store_ops_ext

store_methods_ext_t store_ops_ext = {
    .size = offsetof(store_methods_ext_t, fetch),
    .head = shelf_head,
};

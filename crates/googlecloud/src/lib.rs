// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store [`GoogleCloud`](cloudsync_objectstore::GoogleCloud) as the plugin libgooglecloud.so.

cloudsync_store::export_store!(cloudsync_encoding::Encoded<cloudsync_objectstore::GoogleCloud>);

#[global_allocator]
static ALLOCATOR: cloudsync_store::Pages = cloudsync_store::Pages;

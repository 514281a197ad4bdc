// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store [`AzureBlob`](cloudsync_objectstore::AzureBlob) as the plugin libazureblob.so.

cloudsync_store::export_store!(cloudsync_encoding::Encoded<cloudsync_objectstore::AzureBlob>);

#[global_allocator]
static ALLOCATOR: cloudsync_store::Pages = cloudsync_store::Pages;

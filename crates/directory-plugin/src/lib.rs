// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The store [`Directory`](cloudsync_directory::Directory) as the plugin libdirectory.so.

cloudsync_store::export_store!(cloudsync_encoding::Encoded<cloudsync_directory::Directory>);

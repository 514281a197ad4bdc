// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A test lab: a real glusterd, volumes, FUSE mounts and a real S3 server (Ceph's RADOS Gateway) in private mount,
//! network and pid namespaces.
//!
//! Nothing outside is touched: the lab has its own `/run`, `/var/lib/glusterd` and `/var/log/glusterfs`, its own copy
//! of the translator tree and its own loopback network with the address 10.99.0.1. It ends with the process that
//! started it, even if that is killed. If its supervisor is killed, one directory `cloudsync-lab-*` stays in the
//! temporary directory until the next lab removes it.
//!
//! ```no_run
//! use cloudsync_lab::{Backing, Lab, Layout, MountOptions, Options};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), cloudsync_lab::Failure> {
//! let lab = Lab::shared(Options::default);
//! let volume = lab.volume("demo", Layout::Single, Backing::Ram)?;
//! let mount = volume.mount(&MountOptions::default())?;
//! let file = mount.path().join("file");
//! let read = mount.within(Duration::from_secs(10), "write and read", move || {
//!     std::fs::write(&file, "bytes")?;
//!     std::fs::read(&file)
//! });
//! # let _ = read;
//! let bucket = lab.s3()?.bucket("demo")?;
//! bucket.put("key", b"bytes")?;
//! # Ok(())
//! # }
//! ```
//!
//! It needs root, glusterfs-server, ceph-mon, ceph-osd, radosgw, curl, openssl and iproute2.
//! With `CLOUDSYNC_MEMCHECK=DIR` clients run under valgrind ([`memcheck`]).
//! `CLOUDSYNC_LAB_LOGS=DIR` keeps every lab's logs in a subdirectory of DIR.
#![forbid(unsafe_code)]

mod artifacts;
mod bucket;
mod ceph;
mod claim;
mod client;
mod diagnose;
pub mod far;
pub mod glacier;
pub mod http;
mod lab;
pub mod machine;
pub mod marks;
pub mod memcheck;
mod mount;
mod percent;
mod pids;
mod process;
pub mod relay;
mod release;
mod run;
mod samba;
mod server;
mod signed;
mod space;
mod speed;
mod statedump;
mod tls;
mod volume;

pub use artifacts::Artifacts;
pub use bucket::{Bucket, Head};
pub use ceph::{S3Server, User};
pub use claim::claim;
pub use lab::{Lab, Options};
pub use mount::{Mount, MountOptions};
pub use relay::Relay;
pub use release::Release;
pub use run::{Failure, Outcome, until};
pub use samba::Samba;
pub use server::Server;
pub use space::ADDRESS;
pub use speed::megabytes_per_second;
pub use volume::{Backing, Layout, Volume};

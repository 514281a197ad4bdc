// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! One request for bytes of an object: from chunks as the network has them to chunks as readers and bricks like them.

#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ops::Range;

use cloudsync_format::checksum::Checksum;

use crate::errno::{Errno, Failure};
use crate::host::buffer::Buffer;
use crate::host::guard;
use crate::plugin::store::{self, Part, Sink};
use crate::recall::workers;
use crate::remote::limits::{LIMITS, Lease, Use};
use crate::remote::object::{Chunk, Object};
use crate::remote::sizes::PIECE;
use crate::sync::Arc;

/// Threads for requests that readers wait for. With its stack, and what a request allocates, each costs the process some
/// 400 KiB.
const THREADS: usize = 48;

/// Hears of a chunk that came, and where it begins.
pub type Came<'a> = dyn FnMut(u64, &Arc<Chunk>) -> Result<(), Failure> + 'a;

/// Whether bytes are wanted still, and if not, why not.
pub type GoOn<'a> = dyn Fn() -> Result<(), Failure> + Sync + 'a;

/// What to get, for whom.
pub struct Get<'a> {
    range: Range<u64>,
    /// Bytes of the first chunk; those behind it are as large as a piece.
    first: u64,
    what: Use,
    go_on: &'a GoOn<'a>,
}

impl std::fmt::Debug for Get<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Get({:?}, {:?})", self.range, self.what)
    }
}

impl<'a> Get<'a> {
    /// Bytes of a file that is brought back.
    pub fn recall(range: Range<u64>, what: Use, go_on: &'a GoOn<'a>) -> Self {
        Self {
            range,
            first: PIECE,
            what,
            go_on,
        }
    }
}

/// Fetches a range that is on its way, on a thread of its own. Never blocks.
pub fn start(object: &Arc<Object>, range: Range<u64>, first: u64) {
    let task = {
        let (object, range) = (Arc::clone(object), range.clone());
        let running = object.busy.begin();
        move || {
            let entered = object.this.enter();
            let get = Get {
                range,
                first,
                what: Use::Read,
                go_on: &|| match object.is_ending() {
                    true => Err(Failure::Cancelled),
                    false => Ok(()),
                },
            };
            // Who waits was told.
            let _told = run(&object, get, &mut |_, _| Ok(()));
            drop(object);
            drop(entered);
            drop(running);
        }
    };
    if workers::READS.run(THREADS, task).is_err() {
        object.gone(&range, Some(Errno::ENOMEM));
    }
}

/// Fetches a range that is on its way. Who waits for it hears how it went; `each` gets the chunks as well. Blocks.
///
/// # Errors
/// Why the bytes did not come, or what `each` said.
pub fn run(object: &Arc<Object>, get: Get<'_>, each: &mut Came<'_>) -> Result<(), Failure> {
    let mut coming = Coming {
        object,
        left: get.range.clone(),
        errno: Some(Errno::EIO),
    };
    let done = guard::catch(Err(Failure::Bug), || fetch(object, &get, &mut coming, each));
    if let Err(failure) = &done {
        // A recall that is given up says nothing of the object. (One that lost its lock does: who waits must not get
        // bytes of what may not be the file any more.)
        let ours = matches!(failure, Failure::Brick { .. } | Failure::Cancelled);
        coming.errno = (!ours).then(|| failure.errno());
        if coming.errno.is_some() && get.what == Use::Read {
            let key = object.key().to_string_lossy();
            log::warn!("object {key}, bytes {:?}: {failure}", get.range);
        }
    }
    done
}

/// What has not come yet. Whatever happens, it does not stay "on its way".
struct Coming<'a> {
    object: &'a Arc<Object>,
    left: Range<u64>,
    errno: Option<Errno>,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        if !self.left.is_empty() {
            self.object.gone(&self.left, self.errno);
        }
    }
}

fn fetch(
    object: &Arc<Object>,
    get: &Get<'_>,
    coming: &mut Coming<'_>,
    each: &mut Came<'_>,
) -> Result<(), Failure> {
    let bytes = get.range.end - get.range.start;
    let _connection = LIMITS.connection(get.what, bytes);
    let version = object.version()?;
    let part = |version| Part {
        key: &object.identity.key,
        version,
        size: object.identity.size,
        range: get.range.clone(),
    };
    let mut filling = Filling {
        object,
        get,
        coming,
        buffer: None,
        piece: None,
        each,
        failed: None,
    };
    let mut fetched = object.store.fetch(&part(version.as_deref()), &mut filling);
    if fetched == Err(Errno::ESTALE)
        && filling.failed.is_none()
        && let Some(adopted) = adopt(object, version.as_deref())?
    {
        fetched = object.store.fetch(&part(Some(&adopted)), &mut filling);
    }
    let failed = filling.failed.take();
    if failed.is_none()
        && fetched.is_ok()
        && let Some(piece) = filling.piece.take()
    {
        if let Some(expected) = object.checksum()? {
            let found = expected.algorithm().of(piece.buffer().bytes());
            compare(object.key(), expected, found)?;
        }
        filling.hand_out(&piece)?;
    }
    let left = coming.left.end - coming.left.start;
    match (failed, fetched) {
        (Some(failure), _) => Err(failure),
        (None, Err(errno)) => {
            // The plugin looks whether it should go on, too. If not, its error says nothing of the object.
            (get.go_on)()?;
            if errno == Errno::EREMOTEIO {
                // Nonsense, as for a range of an object that is not the file. Asking tells.
                object.describe()?;
            }
            Err(Failure::Store(errno))
        }
        (None, Ok(())) if left > 0 => Err(Failure::Incomplete {
            got: get.range.end - get.range.start - left,
            want: get.range.end - get.range.start,
        }),
        (None, Ok(())) => Ok(()),
    }
}

struct Filling<'a, 'b, 'c, 'd> {
    object: &'a Arc<Object>,
    get: &'a Get<'b>,
    coming: &'a mut Coming<'c>,
    buffer: Option<(Buffer, Lease<'static>)>,
    /// An object of one piece, all of it: nobody sees it before it was compared.
    piece: Option<Arc<Chunk>>,
    each: &'a mut Came<'d>,
    /// Ours, which the plugin only hands through.
    failed: Option<Failure>,
}

impl Filling<'_, '_, '_, '_> {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        LIMITS.pace(bytes.len() as u64);
        while !bytes.is_empty() {
            let (mut buffer, lease) = match self.buffer.take() {
                Some(filling) => filling,
                None => self.room()?,
            };
            let (now, later) = bytes.split_at(bytes.len().min(buffer.room()));
            buffer.push(now);
            bytes = later;
            if buffer.room() > 0 {
                self.buffer = Some((buffer, lease));
                continue;
            }
            let chunk = Arc::new(Chunk {
                buffer,
                _lease: lease,
            });
            if self.object.is_one_piece() {
                self.piece = Some(chunk);
            } else {
                self.hand_out(&chunk)?;
            }
        }
        Ok(())
    }

    fn hand_out(&mut self, chunk: &Arc<Chunk>) -> Result<(), Failure> {
        let at = self.coming.left.start;
        self.coming.left.start += chunk.buffer().bytes().len() as u64;
        self.object.came(at, Arc::clone(chunk));
        LIMITS.keep(self.object, at);
        (self.each)(at, chunk)
    }

    fn room(&self) -> Result<(Buffer, Lease<'static>), Failure> {
        let left = self.coming.left.end - self.coming.left.start;
        let begins = self.coming.left.start == self.get.range.start;
        let most = if begins && !self.object.is_one_piece() {
            self.get.first
        } else {
            PIECE
        };
        let size = left.min(most);
        if size == 0 || self.piece.is_some() {
            return Err(Failure::TooLong(self.get.range.end));
        }
        let lease = LIMITS.memory(size);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let buffer = Buffer::new(self.object.this, size).map_err(|errno| Failure::Brick {
            step: "take memory for a write",
            errno,
        })?;
        Ok((buffer, lease))
    }
}

impl Sink for Filling<'_, '_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        (self.get.go_on)()
            .and_then(|()| self.take(bytes))
            .map_err(|failure| {
                let errno = failure.errno();
                self.failed = Some(failure);
                errno
            })
    }

    fn cancelled(&self) -> bool {
        (self.get.go_on)().is_err()
    }

    fn describe(&mut self, found: store::Object) {
        // One that is not the file is none that we know: whoever needs to know more asks, and hears why.
        if let Ok(found) = checked(self.object, found) {
            self.object.learn(found);
        }
    }
}

/// Whether an object's checksum is what it should be.
///
/// # Errors
/// [`Failure::Object`].
pub fn compare(key: &CStr, expected: Checksum, found: Checksum) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Object {
        key: key.to_string_lossy().into_owned(),
        why: format!("checksum {found}, should be {expected}"),
        errno: Errno::EBADMSG,
    })
}

/// The store says that it is another version than `refused`: asks whether it is the same object all the same. `None`: it
/// cannot be told.
///
/// # Errors
/// It is not, or why the store does not say.
fn adopt(object: &Object, refused: Option<&CStr>) -> Result<Option<CString>, Failure> {
    head(object)?;
    Ok(object
        .adopted()
        .filter(|adopted| refused != Some(adopted.as_c_str())))
}

/// Asks the store what the object is, and whether that is the file.
///
/// # Errors
/// Why not.
pub(super) fn head(object: &Object) -> Result<store::Object, Failure> {
    let found = object
        .store
        .head(&object.identity.key)
        .map_err(Failure::Store)?
        .ok_or(Failure::Store(Errno::EOPNOTSUPP))?;
    checked(object, found)
}

/// What the store says of the object, if that is the file.
fn checked(object: &Object, found: store::Object) -> Result<store::Object, Failure> {
    let identity = &object.identity;
    let other = |why: String, errno| Failure::Object {
        key: identity.key.to_string_lossy().into_owned(),
        why,
        errno,
    };
    let version = identity.version.as_deref().map(CStr::to_string_lossy);
    if let Some(version) =
        version.filter(|version| !found.etag.is_empty() && *version != found.etag)
    {
        let now = &found.etag;
        let proven = found.size == identity.size
            && identity.checksum.is_some()
            && identity.checksum == found.checksum;
        let adopted = CString::new(now.as_str()).ok().filter(|_| proven);
        let Some(adopted) = adopted else {
            let why = format!(
                "it is version {now} in the store, the file was archived as {version}, and size and checksum do not prove \
                 that it is the same (cloudsync verify --adopt)"
            );
            return Err(other(why, Errno::ESTALE));
        };
        if object.adopted().as_ref() != Some(&adopted) {
            log::info!(
                "object {}: it is version {now} now, it was {version}; size and checksum are the file's",
                identity.key.to_string_lossy()
            );
            object.adopt(adopted);
        }
    }
    if found.size != identity.size {
        let (stored, size) = (found.size, identity.size);
        let why = format!("it has {stored} bytes in the store, the file has {size}");
        return Err(other(why, Errno::EBADMSG));
    }
    Ok(found)
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Compares bytes in a cold file with its object: see [`cloudsync_logic::protocol::heal`].

#![forbid(unsafe_code)]

use std::sync::Arc;

use cloudsync_logic::errno::Failure;
use cloudsync_logic::gfid::Gfid;
use cloudsync_logic::protocol::heal::{self, Marks, Origin, conclude, without_parts};

use crate::bricks::file::File;
use crate::host::child::Status;
use crate::host::fd::Fd;
use crate::objects::Object;
use crate::sizes::PART;
use crate::volume::Volume;
use cloudsync_logic::objects::limits::Use;

/// Determines the origin of bytes in a cold file. Blocks.
///
/// # Errors
/// Why it cannot be determined.
pub fn compare(
    volume: &Arc<Volume>,
    file: &File<'_>,
    fd: &Fd,
    gfid: Gfid,
    status: &Status,
    marks: Marks,
) -> Result<Origin, Failure> {
    let own_times = volume.keeps_own_times();
    let compared = match volume.store_of(status) {
        Err(failure) => Err(failure),
        Ok(store) if !store.can_fetch() => {
            return without_parts(status, marks, own_times);
        }
        Ok(store) => {
            let object = volume.objects.open(volume.this, &store, gfid, status);
            object.and_then(|object| is_in(&object, file, fd, status.on_bricks, marks.recalled))
        }
    };
    let known = heal::Volume {
        own_times,
        coded: volume.is_erasure_coded(),
    };
    conclude(compared, status, marks, known)
}

/// Whether the first `bytes` bytes of the file equal the object's. `holes`: zeros are not compared.
///
/// # Errors
/// The file or the object cannot be read.
pub fn is_in(
    object: &Arc<Object>,
    file: &File<'_>,
    fd: &Fd,
    bytes: u64,
    holes: bool,
) -> Result<bool, Failure> {
    let mut mine = vec![0; usize::try_from(PART.min(bytes)).unwrap_or(0)];
    let mut at = 0;
    while at < bytes {
        if holes {
            match file.child.next_data(fd, at) {
                Some(data) => at = data.clamp(at, bytes),
                None => return Ok(true),
            }
        }
        let end = bytes.min(at + PART);
        let mine = &mut mine[..usize::try_from(end - at).unwrap_or(0)];
        file.child.read_exact(fd, at, mine)?;
        let ignored = holes && mine.iter().all(|byte| *byte == 0);
        if !ignored && !is_same_as(object, at, mine, holes)? {
            return Ok(false);
        }
        at = end;
    }
    Ok(true)
}

fn is_same_as(object: &Arc<Object>, from: u64, mine: &[u8], holes: bool) -> Result<bool, Failure> {
    let mut differs = false;
    let end = from + mine.len() as u64;
    let streamed = object.stream(
        from..end,
        Use::Recall,
        &|| Ok(()),
        &mut |at, chunk, which| {
            let theirs = &chunk.buffer().bytes()[which];
            let start = usize::try_from(at - from).unwrap_or(0);
            differs = !is_same(&mine[start..][..theirs.len()], theirs, holes);
            if differs {
                Err(Failure::Cancelled)
            } else {
                Ok(())
            }
        },
    );
    match streamed {
        _ if differs => Ok(false),
        streamed => streamed.map(|()| true),
    }
}

fn is_same(mine: &[u8], theirs: &[u8], holes: bool) -> bool {
    if mine == theirs {
        return true;
    }
    holes
        && mine
            .iter()
            .zip(theirs)
            .all(|(mine, theirs)| *mine == 0 || mine == theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_say_nothing_only_where_a_recall_made_room() {
        assert!(is_same(b"abc", b"abc", false));
        assert!(!is_same(b"a\0c", b"abc", false));
        assert!(is_same(b"a\0c", b"abc", true));
        assert!(!is_same(b"a\0d", b"abc", true));
    }
}

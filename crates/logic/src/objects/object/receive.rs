// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! What happens when bytes of an object arrive, fail to arrive, or are evicted.

#![forbid(unsafe_code)]

use std::ops::Range;

use super::{Object, Read, length};
use crate::errno::Errno;
use crate::host::{Host, Ticket as _};
use crate::objects::chunk::Chunk;
use crate::objects::get::Receiver;
use crate::objects::limits::{Evict, LIMITS};
use crate::objects::source::Source;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

impl<H: Host> Receiver for Object<H> {
    type Host = H;

    fn source(&self) -> &Source<H> {
        &self.source
    }

    fn received(self: &Arc<Self>, at: u64, chunk: Arc<Chunk<H::Buffer>>) {
        let mut state = self.lock();
        state.coverage.arrive(at..at + length::<H>(&chunk), chunk);
        let mut ready = Vec::new();
        let reads = std::mem::take(&mut state.reads);
        for read in reads {
            match state.coverage.extents(&read.range) {
                Some(extents) => ready.push((read, extents)),
                None => state.reads.push(read),
            }
        }
        drop(state);
        self.changed.notify_all();
        for (read, extents) in ready {
            self.answer(read.ticket, &read.range, &extents, read.goes_on);
        }
        LIMITS.add_evictable(self, at);
    }

    fn failed(self: &Arc<Self>, range: &Range<u64>, errno: Option<Errno>) {
        self.stale.fetch_or(errno.is_some(), Ordering::AcqRel);
        let ending = self.source.is_ending().then_some(Errno::ECANCELED);
        let errno = errno.or(ending);
        let mut state = self.lock();
        state.coverage.give_up(range.start);
        if errno.is_some() {
            state.failures += 1;
            state.failed = errno;
        }
        let reads = std::mem::take(&mut state.reads);
        let (affected, others): (Vec<_>, Vec<_>) = reads
            .into_iter()
            .partition(|read| read.range.start < range.end && range.start < read.range.end);
        state.reads = others;
        drop(state);
        self.changed.notify_all();
        for read in affected {
            match errno {
                // It is not in the store, or is another version: perhaps it is no longer the file's object.
                Some(errno @ (Errno::ENODATA | Errno::ESTALE)) => read.ticket.fail_if_asked(errno),
                Some(errno) => read.ticket.fail(errno),
                None => self.read(read.ticket, false),
            }
        }
    }
}

impl<H: Host> Evict for Object<H> {
    fn evict(&self, at: u64) -> bool {
        let mut state = self.lock();
        let Some(range) = state.coverage.extent_at(at) else {
            return true;
        };
        let needed = |read: &Read<H>| read.range.start < range.end && at < read.range.end;
        if state.reads.iter().any(needed) {
            return false;
        }
        let chunk = state.coverage.evict(at);
        drop(state);
        drop(chunk);
        true
    }
}

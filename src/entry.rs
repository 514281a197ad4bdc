// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Entry points for the host: the table `xlator_api` and the functions behind the shim. Each is a trampoline: it turns
//! pointers into handles, catches panics, and calls the instance.

use std::cell::UnsafeCell;
use std::ffi::{CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use crate::ask;
use crate::fops;
use crate::host::arguments::Arguments;
use crate::host::dict::DictRef;
use crate::host::reply::Reply;
use crate::host::ticket::{Answered, Route, Settling, Ticket, release};
use crate::host::write::PluginWrite;
use crate::host::xlator::Xlator;
use crate::host::{guard, log as host_log, thread, write};
use crate::instance::{self, Instance, Settled};
use crate::plugin::{store, table};
use crate::read;
use crate::recall::plugin_writes;
use crate::recall::truncation;
use crate::report;
use crate::sys;
use cloudsync_format::build;
use cloudsync_format::message;
use cloudsync_logic::decision::Class;
use cloudsync_logic::errno::Errno;

/// How long `fini` waits for jobs; about as long as gfapi's own shutdown takes.
const SHUTDOWN: Duration = Duration::from_secs(30);

/// The exported table. Mutable, because the host writes into it.
#[repr(transparent)]
#[derive(Debug)]
pub struct Table(UnsafeCell<sys::xlator_api_t>);

// SAFETY: written by the host only, while it loads us.
unsafe impl Sync for Table {}

const IDENTIFIER: &std::ffi::CStr = c"cloudsync";

/// The only export, which the host looks up after dlopen. cloudsync.sym lists it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static xlator_api: Table = Table(UnsafeCell::new(sys::xlator_api_t {
    op_version: [40100, 0, 0, 0], // GlusterFS 4.1, as the stock translator
    identifier: IDENTIFIER.as_ptr().cast_mut(),
    options: &raw mut sys::cs_options as *mut sys::volume_option_t,
    category: sys::gf_category_t::GF_TECH_PREVIEW,
    init: Some(init),
    fini: Some(fini),
    reconfigure: Some(reconfigure),
    mem_acct_init: Some(sys::cs_shim_mem_acct_init),
    notify: Some(sys::cs_shim_notify),
    fops: &raw mut sys::cs_fops,
    cbks: &raw mut sys::cs_cbks,
    dumpops: &raw mut sys::cs_dumpops,
    // SAFETY: zero means "not provided" in every other field.
    ..unsafe { std::mem::zeroed() }
}));

static OPS: sys::cs_rs_ops_t = sys::cs_rs_ops_t {
    enter: Some(enter),
    settle: Some(settle),
    recheck: Some(recheck),
    release: Some(release_ticket),
    plugin_writes: Some(plugin_writes),
    write_end: Some(write::end),
    remote_answered: Some(store::remote::answered),
    late: Some(late),
    dump: Some(dump),
    notify: Some(notify),
};

/// How a ticket gets back to the modules above it.
static ROUTE: Route = Route {
    again: |ticket| match instance(ticket.xlator()) {
        Some(instance) => instance.proceed(ticket),
        None => ticket.fail(Errno::EIO),
    },
    read: |ticket| match instance(ticket.xlator()) {
        Some(instance) => {
            let inode = ticket.inode();
            read::serve(&instance.engine, ticket, inode);
        }
        None => ticket.fail(Errno::EIO),
    },
};

/// The instance behind a translator of the host's.
fn instance(this: Xlator) -> Option<Arc<Instance>> {
    let raw = NonNull::new(this.private())?.cast::<Instance>();
    // SAFETY: `private` is the Arc stored by init; fini removes it when no operation is in progress.
    unsafe { Arc::increment_strong_count(raw.as_ptr()) };
    // SAFETY: as above; the count was incremented for this Arc.
    Some(unsafe { Arc::from_raw(raw.as_ptr()) })
}

/// What this library is: see [`cloudsync_format::build`].
static BUILD: &str = cloudsync_format::build_text!("translator");

/// Whether we were built against the headers of this host: it has just written these fields at *its* offsets, and we
/// must read the same values at ours.
fn host_fits(this: Xlator) -> bool {
    // SAFETY: the host passes a live translator. If the layout differs, we read other fields of it: it is larger than
    // the part that we read.
    let raw = unsafe { &*this.as_ptr() };
    let fops: *mut sys::xlator_fops = &raw mut sys::cs_fops;
    // SAFETY: reads the host's thread-local.
    let current = unsafe { sys::cs_shim_this() };
    // SAFETY: returns a function's address. The call keeps the reference by which the dynamic linker refuses another major
    // version of the host.
    let symbol = unsafe { sys::cs_shim_host_symbol() };
    !symbol.is_null()
        && ptr::eq(raw.fops, fops)
        && ptr::eq(raw.identifier, IDENTIFIER.as_ptr())
        && raw.category == sys::gf_category_t::GF_TECH_PREVIEW
        && !raw.ctx.is_null()
        && ptr::eq(current, this.as_ptr())
}

unsafe extern "C" fn init(raw: *mut sys::xlator_t) -> i32 {
    // SAFETY: guaranteed by the host: `raw` is live until after fini.
    let Some(this) = (unsafe { Xlator::from_raw(raw) }) else {
        return -1;
    };
    // SAFETY: the table is a constant.
    unsafe { sys::cs_shim_register(&raw const OPS) };
    host_log::install();
    guard::install_panic_hook();
    guard::catch(-1, || {
        log::info!(id = message::STARTED; "{}", build::shown(BUILD));
        if !host_fits(this) {
            log::error!(
                id = message::WRONG_HOST;
                "built for another GlusterFS than the one that loads it: rebuild cloudsync against the installed headers"
            );
            return -1;
        }
        if this.children() != 1 {
            log::error!(
                id = message::WRONG_GRAPH;
                "needs exactly one translator below, the volume file has {}",
                this.children()
            );
            return -1;
        }
        // SAFETY: live; init runs once.
        if unsafe { sys::cs_shim_pool_new(raw) } != 0 {
            log::error!(id = message::NO_MEMORY; "out of memory");
            return -1;
        }
        // SAFETY: the host keeps the options as long as the translator.
        let options = unsafe { DictRef::from_raw((*raw).options) };
        let instance = Instance::new(this, options);
        // SAFETY: live; nothing reads `private` before init returns.
        unsafe { (*raw).private = Arc::into_raw(instance).cast_mut().cast() };
        0
    })
}

unsafe extern "C" fn fini(raw: *mut sys::xlator_t) {
    // SAFETY: the host's word.
    let Some(this) = (unsafe { Xlator::from_raw(raw) }) else {
        return;
    };
    guard::catch((), || {
        let Some(instance) = instance(this) else {
            return;
        };
        if !instance.shut_down(SHUTDOWN) {
            // Jobs still use the instance: leak it rather than free it.
            log::warn!(
                id = message::NOT_FREED;
                "recalls did not end within {} s: the instance is not freed",
                SHUTDOWN.as_secs()
            );
            return;
        }
        // SAFETY: live; no operation is in progress in fini.
        unsafe { (*raw).private = ptr::null_mut() };
        // SAFETY: releases the reference that init stored in `private`.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(&instance)) };
    });
}

unsafe extern "C" fn reconfigure(raw: *mut sys::xlator_t, options: *mut sys::dict_t) -> i32 {
    // SAFETY: the host's word.
    let Some(this) = (unsafe { Xlator::from_raw(raw) }) else {
        return -1;
    };
    guard::catch(-1, || {
        // SAFETY: live for the call.
        let Some(options) = (unsafe { DictRef::from_raw(options) }) else {
            return -1;
        };
        match instance(this) {
            Some(instance) if instance.volume.reconfigure(options) => 0,
            _ => -1,
        }
    })
}

unsafe extern "C" fn notify(raw: *mut sys::xlator_t, event: i32) -> i32 {
    // SAFETY: the host's word.
    let Some(this) = (unsafe { Xlator::from_raw(raw) }) else {
        return 0;
    };
    guard::catch(0, || {
        use sys::glusterfs_event_t as Event;
        let Some(instance) = instance(this) else {
            return 0;
        };
        match event.cast_unsigned() {
            Event::GF_EVENT_PARENT_DOWN => {
                instance.stop();
                return keep_child_up(instance).into();
            }
            // A distributed volume reports the loss of any of its subvolumes as the second event.
            Event::GF_EVENT_CHILD_DOWN | Event::GF_EVENT_SOME_DESCENDENT_DOWN => {
                instance.volume.bricks.went_away();
                instance.engine.a_brick_disconnected();
            }
            Event::GF_EVENT_CHILD_UP | Event::GF_EVENT_SOME_DESCENDENT_UP => {
                instance.volume.bricks.came_back();
            }
            _ => {}
        }
        0
    })
}

/// Postpones `PARENT_DOWN` for the child until no work needs it: the child goes down on this event, and the host then
/// frees the volume, inodes first. However long that takes: a job that ran on would use what was freed. Returns whether
/// the event was postponed.
fn keep_child_up(instance: Arc<Instance>) -> bool {
    const BETWEEN_LINES: Duration = Duration::from_secs(15);
    if instance.volume.busy.wait_until_idle(Duration::ZERO) {
        return false;
    }
    let this = instance.volume.this;
    let later = move || {
        let _entered = this.enter();
        while !instance.volume.busy.wait_until_idle(BETWEEN_LINES) {
            log::warn!(
                id = message::SHUTDOWN_WAITS;
                "the volume is being taken down and waits for work in progress, probably for an answer of the store"
            );
        }
        drop(instance);
        // SAFETY: the host does not free a translator whose child is up.
        unsafe { sys::cs_shim_parent_down(this.as_ptr()) };
    };
    thread::spawn(String::from("glfs_csend"), later).is_ok()
}

unsafe extern "C" fn enter(raw: *mut sys::xlator_t, call: *const sys::cs_call_t) -> i32 {
    let taken = sys::CS_TAKEN.cast_signed();
    // SAFETY: the host's word.
    let Some(this) = (unsafe { Xlator::from_raw(raw) }) else {
        return taken;
    };
    // SAFETY: the shim keeps it on its stack for the call.
    let Some(call) = (unsafe { call.as_ref() }) else {
        return taken;
    };
    guard::catch(taken, || {
        // SAFETY: the host holds what it has just passed to the shim, until this returns.
        let arguments = unsafe { Arguments::borrowed(call) };
        // If this panics, the operation must still be answered.
        let judged = guard::catch(None, || {
            let mark = fops::mark_to_remove(&arguments);
            Some((fops::classify(&arguments), mark))
        });
        if matches!(judged, Some((Class::Pass, None))) {
            return sys::CS_PASS.cast_signed();
        }
        let class = judged.map_or(Class::Forbidden, |judged| judged.0);
        // SAFETY: the host has just called the shim with these arguments; only the ticket answers the operation.
        let Some(mut ticket) = (unsafe { Ticket::arrive(this, call, class, &ROUTE) }) else {
            return taken;
        };
        match judged {
            None => ticket.fail(Errno::EIO),
            Some((_, None)) => ticket.again(),
            Some((_, Some(mark))) => match ticket.rename(mark) {
                Ok(()) => ticket.again(),
                Err(errno) => ticket.fail(errno),
            },
        }
        taken
    })
}

unsafe extern "C" fn settle(ticket: *mut c_void, reply: *mut sys::cs_reply_t) -> i32 {
    let answer = sys::CS_ANSWER.cast_signed();
    let taken = sys::CS_TAKEN.cast_signed();
    let Some(ticket) = NonNull::new(ticket) else {
        return answer;
    };
    // A panic drops the ticket, which answers EIO; C must not answer then.
    guard::catch(taken, || {
        // SAFETY: it was `frame->local` of an operation that the child has answered.
        let settling = unsafe { Settling::take(ticket) };
        // SAFETY: C keeps the reply on its stack for the call.
        let Some(reply) = (unsafe { reply.as_mut() }) else {
            return taken;
        };
        // SAFETY: what it points to is live until the callback returns.
        let mut reply = unsafe { Reply::from_raw(reply) };
        let xlator = settling.ticket().xlator();
        match instance::settle(&|| instance(xlator), settling, &mut reply) {
            Settled::Answer => answer,
            Settled::Recheck => sys::CS_RECHECK.cast_signed(),
            Settled::Taken => taken,
        }
    })
}

unsafe extern "C" fn recheck(ticket: *mut c_void, answer: *mut sys::call_stub_t) {
    let (Some(ticket), Some(answer)) = (NonNull::new(ticket), NonNull::new(answer)) else {
        return;
    };
    guard::catch((), || {
        // SAFETY: settle released the ticket; C has put the answer into a stub and uses neither again.
        let answered = unsafe { Answered::take(ticket, answer) };
        if let Some(instance) = instance(answered.xlator()) {
            ask::recheck(&instance.volume, answered);
        }
    });
}

unsafe extern "C" fn release_ticket(ticket: *mut c_void) {
    if let Some(ticket) = NonNull::new(ticket) {
        // SAFETY: settle released the ticket, and C has unwound the operation.
        guard::catch((), || unsafe { release(ticket) });
    }
}

unsafe extern "C" fn late(ticket: *mut c_void, errnum: i32) {
    let Some(ticket) = NonNull::new(ticket) else {
        return;
    };
    guard::catch((), || {
        // SAFETY: a job has left the operation, and the child has answered it.
        let ticket = unsafe { Ticket::take_late(ticket) };
        let answer = if errnum == 0 {
            Ok(())
        } else {
            Err(Errno::new(errnum))
        };
        truncation::resume(ticket, answer);
    });
}

unsafe extern "C" fn plugin_writes(
    frame: *mut sys::call_frame_t,
    fd: *mut sys::fd_t,
    vector: *const sys::iovec,
    count: i32,
    offset: i64,
) {
    // SAFETY: the plugin's frame, which C passes on once.
    let Some(write) = (unsafe { PluginWrite::take(frame) }) else {
        return;
    };
    guard::catch((), || {
        let (Ok(offset), Ok(count)) = (u64::try_from(offset), usize::try_from(count)) else {
            return write.answer(Err(Errno::EINVAL));
        };
        let piece = |place| {
            // SAFETY: the plugin's vector has `count` elements.
            let piece = unsafe { &*vector.add(place) };
            let Some(bytes) = NonNull::new(piece.iov_base.cast::<u8>()) else {
                return [].as_slice();
            };
            // SAFETY: the plugin's bytes, which it leaves alone until it is answered.
            unsafe { std::slice::from_raw_parts(bytes.as_ptr(), piece.iov_len) }
        };
        let pieces: Vec<&[u8]> = (0..count).map(piece).collect();
        plugin_writes::write(write, fd.addr(), offset, &pieces);
    });
}

unsafe extern "C" fn dump(raw: *mut sys::xlator_t) {
    // SAFETY: the host's word.
    let Some(this) = (unsafe { Xlator::from_raw(raw) }) else {
        return;
    };
    guard::catch((), || {
        let Some(instance) = instance(this) else {
            return;
        };
        for (key, value) in report::statedump(&instance.engine) {
            line(key, &value);
        }
    });
}

fn line(key: &std::ffi::CStr, value: &str) {
    if let Ok(value) = CString::new(value) {
        // SAFETY: the host has opened the section of the dump; both strings outlive the call.
        unsafe { sys::cs_shim_dump(key.as_ptr().cast::<c_char>(), value.as_ptr()) };
    }
}

/// Runs when the dynamic linker loads us. In glusterd, which only reads our option table, it fills the list of stores
/// that `gluster volume set` accepts: the installed ones. In other processes any name is accepted, because a client
/// must mount whatever is set.
extern "C" fn loaded() {
    guard::catch((), || {
        // SAFETY: reads the host's globals; no other thread uses this library yet.
        if unsafe { sys::cs_shim_is_glusterd() } == 0 {
            return;
        }
        let mut names = table::installed(&store::folder());
        if names.is_empty() {
            names = table::PLUGINS
                .iter()
                .map(|plugin| plugin.name.to_owned())
                .collect();
        }
        for name in names {
            if let Ok(name) = CString::new(name) {
                // SAFETY: as above; the name is copied. If the table is full, the name is left out.
                unsafe { sys::cs_shim_allow_store(name.as_ptr()) };
            }
        }
    });
}

#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = loaded;

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Forwards the `log` crate to the host's log, with the current translator's name, our file and line, and the host's
//! level. A message's number is its key `id`: `log::warn!(id = message::GUARD; "...")`.

use std::ffi::{CStr, CString, c_char};
use std::sync::Once;

use cloudsync_format::message;
use log::kv::Key;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::sys;

// Our numbers are none of the host's.
const _: () = assert!((sys::_msgid_comp::GLFS_MSGID_END as u64) < message::TRANSLATOR);

struct HostLog;

/// Installs the logger. Further calls do nothing.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails if a logger is already set in this shared object, as in tests.
        if log::set_logger(&HostLog).is_ok() {
            log::set_max_level(LevelFilter::Trace);
        }
    });
}

const fn host_level(level: Level) -> sys::gf_loglevel_t::Type {
    match level {
        Level::Error => sys::gf_loglevel_t::GF_LOG_ERROR,
        Level::Warn => sys::gf_loglevel_t::GF_LOG_WARNING,
        Level::Info => sys::gf_loglevel_t::GF_LOG_INFO,
        Level::Debug => sys::gf_loglevel_t::GF_LOG_DEBUG,
        Level::Trace => sys::gf_loglevel_t::GF_LOG_TRACE,
    }
}

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // SAFETY: reads a thread-local of the host.
        let this = unsafe { sys::cs_shim_this() };
        // A translator may have a level of its own, by the option `log-level`.
        let own = if this.is_null() {
            0
        } else {
            // SAFETY: the current translator is live.
            unsafe { (*this).loglevel }
        };
        let wanted = match own {
            // SAFETY: reads the process's log level.
            0 => unsafe { sys::gf_log_get_loglevel() },
            own => own,
        };
        host_level(metadata.level()) <= wanted
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // A NUL in the message, for example from a server's answer, must not lose the line.
        let message = record.args().to_string().replace('\0', "?");
        let (Ok(message), Ok(file), Ok(function)) = (
            CString::new(message),
            CString::new(record.file().unwrap_or("cloudsync")),
            CString::new(record.target()),
        ) else {
            return;
        };
        // SAFETY: reads a thread-local of the host.
        let this = unsafe { sys::cs_shim_this() };
        let name: *const c_char = if this.is_null() {
            c"cloudsync".as_ptr()
        } else {
            // SAFETY: the current translator is live.
            unsafe { (*this).name }
        };
        let id = record.key_values().get(Key::from_str("id"));
        let id = id.and_then(|id| id.to_u64()).unwrap_or(0);
        let format: &CStr = c"%s";
        // SAFETY: all strings are NUL-terminated and outlive the call; the format takes one string.
        unsafe {
            sys::_gf_msg(
                name,
                file.as_ptr(),
                function.as_ptr(),
                record.line().unwrap_or(0).cast_signed(),
                host_level(record.level()),
                0,
                0,
                id,
                format.as_ptr(),
                message.as_ptr(),
            )
        };
    }

    fn flush(&self) {}
}

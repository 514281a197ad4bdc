// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Sends messages of the crate `log` to the host's log, under the name of the calling thread's translator, which
//! includes the volume's name.

use std::ffi::CString;
use std::ptr;
use std::sync::Once;

use cloudsync_format::message;
use log::{LevelFilter, Log, Metadata, Record};

use super::{About, css_log_level, log};
use crate::Level;

struct Lines;

/// Sends the plugin's log messages to the host. Further calls have no effect.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // It fails if the plugin has set a logger of its own, which then stays.
        if log::set_logger(&Lines).is_ok() {
            // Trace messages of store clients may contain whole requests, and so secrets.
            log::set_max_level(LevelFilter::Debug);
        }
    });
}

const fn level(level: log::Level) -> Level {
    match level {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warning,
        log::Level::Info => Level::Info,
        log::Level::Debug | log::Level::Trace => Level::Debug,
    }
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // SAFETY: reads the process's log level.
        let wanted = unsafe { css_log_level() };
        level(metadata.level()) as i32 <= wanted
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let function = CString::new(record.target()).unwrap_or_default();
        let at = (record.file().unwrap_or("?"), record.line().unwrap_or(0));
        let text = record.args().to_string();
        let about = About {
            id: message::PLUGIN_LIBRARY,
            level: level(record.level()),
            errno: 0,
            function: &function,
        };
        log(ptr::null_mut(), about, at, &text);
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_louder_than_it_was_said() {
        let all = [
            (log::Level::Error, Level::Error),
            (log::Level::Warn, Level::Warning),
            (log::Level::Info, Level::Info),
            (log::Level::Debug, Level::Debug),
        ];
        for (from, to) in all {
            assert_eq!(level(from), to);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Finds GlusterFS's logs and the lines of the history in them.
//!
//! A line is `[2026-11-29 10:56:55.123456 +0000] I [MSGID: 190020] [history.rs:120:...] 0-VOLUME-cloudsync: TEXT`; older
//! versions and `--log-format no-msg-id` lack parts of it (`_gf_msg` in GlusterFS's logging.c).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cloudsync_format::history::Event;
use flate2::bufread::MultiGzDecoder;

use crate::exit::Error;

/// Where clients write their logs, unless they are told otherwise.
pub(super) const FOLDER: &str = "/var/log/glusterfs";

/// A line of the history.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) time: SystemTime,
    pub(super) volume: String,
    pub(super) event: Event,
}

/// The logs that `places` name, and those in folders among them, that were written after `since`; rotated ones, too.
pub(super) fn files(places: &[PathBuf], since: SystemTime) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for place in places {
        let failed = |error| Error::start(place.display(), error);
        if !fs::metadata(place).map_err(failed)?.is_dir() {
            files.push(place.clone());
            continue;
        }
        for entry in fs::read_dir(place).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // It may be rotated away meanwhile.
            let Ok(data) = fs::metadata(&path) else {
                continue;
            };
            let recent = data.modified().is_ok_and(|written| written >= since);
            if data.is_file() && recent && name.contains(".log") {
                files.push(path);
            }
        }
    }
    files.sort();
    // Places may overlap.
    let mut seen = HashSet::new();
    files.retain(|path| {
        let file = fs::metadata(path).map(|data| (data.dev(), data.ino()));
        file.map_or(true, |file| seen.insert(file))
    });
    Ok(files)
}

/// Adds the lines of a log that are `wanted`.
pub(super) fn read(
    path: &Path,
    wanted: impl Fn(&Entry) -> bool,
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    let mut log = BufReader::new(File::open(path)?);
    if log.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return lines(MultiGzDecoder::new(log), wanted, entries);
    }
    lines(log, wanted, entries)
}

fn lines(
    log: impl Read,
    wanted: impl Fn(&Entry) -> bool,
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while log.read_until(b'\n', &mut line)? > 0 {
        let entry = std::str::from_utf8(&line).ok().and_then(parse);
        entries.extend(entry.filter(&wanted));
        line.clear();
    }
    Ok(())
}

/// Parses a line; `None` if it is none of the history.
fn parse(line: &str) -> Option<Entry> {
    /// Ends the name of our translator.
    const OURS: &str = "-cloudsync: ";
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (before, text) = rest.split_once(OURS)?;
    let event = Event::find(text.trim_end())?;
    // `0-VOLUME`: the number of the graph comes first.
    let (_, name) = before.rsplit_once(' ')?;
    let (_, volume) = name.split_once('-')?;
    let time = time.split(" +").next()?;
    Some(Entry {
        time: humantime::parse_rfc3339_weak(time).ok()?,
        volume: volume.to_owned(),
        event,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const UNLISTED: &str = r#"unlisted {"event":"unlisted","recalled":7,"failed":0,"archived":0,"recalled_bytes":1,"archived_bytes":0,"client":"n"}"#;

    fn line(before: &str) -> String {
        format!("[2026-11-29 10:56:55.123456{before}-cloudsync: {UNLISTED}\n")
    }

    #[test]
    fn lines_of_every_form_are_understood() {
        for before in [
            " +0000] I [MSGID: 190023] [history.rs:120:x] 0-my-vol",
            " +0000] I [history.rs:120:x] 2-my-vol",
            "] I [history.rs:120:x] 0-my-vol",
        ] {
            let entry = parse(&line(before)).unwrap();
            assert_eq!(entry.volume, "my-vol");
            let time = humantime::format_rfc3339_millis(entry.time).to_string();
            assert_eq!(time, "2026-11-29T10:56:55.123Z");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for line in [
            "",
            "[2026-11-29 10:56:55.123456 +0000] I [x] 0-vol-cloudsync: recalled files",
            "[yesterday] I [x] 0-vol-cloudsync: unlisted {}",
            "a line of something else",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn compressed_and_binary_logs_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = [b"\xff\xfe\n", line(" +0000] I [x] 0-v").as_bytes()].concat();
        let plain = folder.path().join("mnt.log");
        fs::write(&plain, &text).unwrap();
        let packed = folder.path().join("mnt.log.1.gz");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        fs::write(&packed, gzip.finish().unwrap()).unwrap();
        fs::write(folder.path().join("other.txt"), &text).unwrap();
        let places = [folder.path().to_owned()];
        let found = files(&places, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(found, [plain, packed]);
        let mut entries = Vec::new();
        for path in found {
            read(&path, |_| true, &mut entries).unwrap();
        }
        assert_eq!(entries.len(), 2);
        let later = SystemTime::now() + std::time::Duration::from_secs(60);
        assert!(files(&places, later).unwrap().is_empty());
    }
}

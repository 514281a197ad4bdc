// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! The table of servers in docs/OPTIONS.md says what the tests know.

use crate::server::Dialect;
use crate::servers;

/// The row of a server.
fn row(dialect: &Dialect) -> String {
    let settings = match dialect.settings {
        "" => "none".to_owned(),
        settings => format!("`{settings}`"),
    };
    let Dialect {
        name,
        version,
        cannot,
        ..
    } = dialect;
    format!("| {name} {version} | {settings} | {cannot} |")
}

#[test]
fn the_table_in_the_document_is_what_was_tried() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPTIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut dialects = vec![&servers::MOTO, &servers::S3RVER];
    #[cfg(feature = "emulators-built")]
    dialects.push(&servers::S3S);
    for dialect in dialects.drain(..) {
        let row = row(dialect);
        assert!(text.contains(&row), "docs/OPTIONS.md needs the row\n{row}");
    }
}

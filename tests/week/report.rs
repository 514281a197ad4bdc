// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Prints the weeks, writes them down side by side, and checks what must be so.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::Answer;
use crate::ledger::{Ledger, SCALE, real};

/// A name, and the cell for a week.
type Row = (&'static str, fn(&Ledger) -> String);

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", real(bytes) / 1e6)
}

/// Prints a week, day by day.
pub(crate) fn print_week(week: &Ledger) {
    println!("\n{}", week.variant);
    println!(
        "day archived uploaded    MB  recalled    MB unasked waited refused remote-reads   put   get  head soon-again"
    );
    for (number, day) in week.days.iter().enumerate() {
        println!(
            "{:3} {:8} {:8} {:>5} {:9} {:>5} {:7} {:6} {:7} {:12} {:5} {:5} {:5} {:10}",
            number + 1,
            day.archived,
            day.uploaded,
            megabytes(day.uploaded_bytes),
            day.recalled,
            megabytes(day.recalled_bytes),
            day.not_asked_for,
            day.waited_for,
            day.refused,
            day.remote_reads,
            day.put,
            day.get,
            day.head,
            day.soon_again
        );
    }
    let [requests, read, stored] = week.bill();
    println!(
        "bill, times {SCALE}: requests {requests:.2} $, read {read:.2} $, stored {stored:.2} $"
    );
}

const ROWS: [Row; 11] = [
    ("files archived", |week| {
        week.sum(|day| day.archived).to_string()
    }),
    ("of them uploaded", |week| {
        let (files, bytes) = (
            week.sum(|day| day.uploaded),
            week.sum(|day| day.uploaded_bytes),
        );
        format!("{files} ({} MB)", megabytes(bytes))
    }),
    ("archived within three days after they came back", |week| {
        week.count(|day| day.soon_again).to_string()
    }),
    ("files recalled", |week| {
        let (files, bytes) = (
            week.sum(|day| day.recalled),
            week.sum(|day| day.recalled_bytes),
        );
        format!("{files} ({} MB)", megabytes(bytes))
    }),
    ("of them nobody's wish", |week| {
        week.count(|day| day.not_asked_for).to_string()
    }),
    ("cold files that people used", |week| {
        week.count(|day| day.waited_for).to_string()
    }),
    ("files refused to the scanner", |week| {
        week.count(|day| day.refused).to_string()
    }),
    ("reads from the store", |week| {
        week.sum(|day| day.remote_reads).to_string()
    }),
    ("requests that write, that read", |week| {
        let (writes, reads) = (
            week.sum(|day| day.put + day.other),
            week.sum(|day| day.get + day.head),
        );
        format!("{writes}, {reads}")
    }),
    ("bill: requests, bytes read, stored", |week| {
        let [requests, read, stored] = week.bill();
        format!("{requests:.2} $, {read:.2} $, {stored:.2} $")
    }),
    ("bill", |week| format!("**{:.2} $**", week.total())),
];

/// Prints the weeks side by side, and writes them to `week/report.md` in the target directory.
pub(crate) fn write(weeks: &[Ledger]) -> Answer<()> {
    let mut text = String::from("| |");
    for week in weeks {
        write!(text, " {} |", week.variant)?;
    }
    write!(text, "\n|---|{}", "---|".repeat(weeks.len()))?;
    for (name, cell) in ROWS {
        write!(text, "\n| {name} |")?;
        for week in weeks {
            write!(text, " {} |", cell(week))?;
        }
    }
    println!("\n{text}");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let folder = target.join("week");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("report.md"), text + "\n")?;
    Ok(())
}

/// What must be so, whatever the machine. Each is one test.
pub(crate) fn check(weeks: &[Ledger]) -> bool {
    let mut failed = 0;
    let mut passed = 0;
    let mut test = |name: String, good: bool, found: String| {
        let word = if good { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({found})");
        if good {
            passed += 1;
        } else {
            failed += 1;
        }
    };
    println!();
    for week in weeks {
        let name = week.variant.name();
        let wrong = week.count(|day| day.wrong) + week.wrong_at_the_end;
        test(
            format!("{name}::nobody_reads_wrong_bytes"),
            wrong == 0,
            format!("{wrong} differences"),
        );
        test(
            format!("{name}::every_run_ends_well"),
            week.failures.is_empty(),
            week.failures.join("; "),
        );
        let soon = week.count(|day| day.soon_again);
        let which = week.days.iter().map(|day| day.which.as_str());
        let which: Vec<_> = which.filter(|which| !which.is_empty()).collect();
        let kept = match week.variant.residency {
            true => soon == 0,
            false => soon > 0,
        };
        test(
            format!("{name}::what_came_back_stays_if_residency_says_so"),
            kept,
            format!("{soon} files were archived soon: {}", which.join("; ")),
        );
        let (unasked, refused) = (
            week.count(|day| day.not_asked_for),
            week.count(|day| day.refused),
        );
        let held = match week.variant.callers {
            true => unasked == 0 && refused > 0,
            false => unasked > 0 && refused == 0,
        };
        test(
            format!("{name}::the_scanner_brings_back_only_what_it_may"),
            held,
            format!("{unasked} came back without a wish, {refused} were refused"),
        );
    }
    if let (Some(first), Some(last)) = (weeks.first(), weeks.last()) {
        let (without, with) = (first.total(), last.total());
        test(
            "the_rules_make_it_cheaper".to_owned(),
            with < without,
            format!("{with:.2} $ instead of {without:.2} $"),
        );
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed");
    failed == 0
}

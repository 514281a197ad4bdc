// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Lists that come in pages.

#![forbid(unsafe_code)]

use std::ops::ControlFlow;

use crate::{Listed, StoreError};

/// Shows `each` what is on the pages, until it says that it has seen enough. `page` fetches one: the first for `None`,
/// and then what the one before named. `each` may ask the store in its turn, so `page` must have left the runtime.
///
/// # Errors
/// What `page` says.
pub fn in_pages<Next>(
    mut page: impl FnMut(Option<Next>) -> Result<(Vec<Listed>, Option<Next>), StoreError>,
    each: &mut dyn FnMut(Listed) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let mut next = None;
    loop {
        let (objects, more) = page(next)?;
        if objects.into_iter().any(|object| each(object).is_break()) || more.is_none() {
            return Ok(());
        }
        next = more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// Three pages of two objects, which are numbered. Returns the pages that were asked for.
    fn list(each: &mut dyn FnMut(Listed) -> ControlFlow<()>) -> (Vec<usize>, bool) {
        let mut asked = Vec::new();
        let done = in_pages(
            |next: Option<usize>| {
                let number = next.unwrap_or(0);
                asked.push(number);
                if number == 3 {
                    return Err(StoreError::Other(String::from("no more")));
                }
                let object = |which: usize| Listed {
                    key: which.to_string(),
                    size: 0,
                    modified: SystemTime::UNIX_EPOCH,
                };
                Ok((
                    [2 * number, 2 * number + 1].map(object).into(),
                    Some(number + 1),
                ))
            },
            each,
        );
        (asked, done.is_ok())
    }

    #[test]
    fn pages_come_in_order_and_an_error_ends_the_list() {
        let mut seen = Vec::new();
        let listed = list(&mut |one| {
            seen.push(one.key);
            ControlFlow::Continue(())
        });
        assert_eq!(listed, (vec![0, 1, 2, 3], false));
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5"]);
    }

    #[test]
    fn who_has_seen_enough_is_shown_no_more() {
        let mut seen = 0;
        let listed = list(&mut |_| {
            seen += 1;
            if seen == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((listed, seen), ((vec![0, 1], true), 3));
    }

    #[test]
    fn the_last_page_names_no_other() {
        let mut pages = 0;
        let page = |_: Option<()>| {
            pages += 1;
            Ok((Vec::new(), None))
        };
        assert!(in_pages(page, &mut |_| ControlFlow::Continue(())).is_ok());
        assert_eq!(pages, 1);
    }
}

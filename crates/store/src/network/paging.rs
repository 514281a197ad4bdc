// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Listings in pages, and detection of endless ones.

#![forbid(unsafe_code)]

use std::ops::ControlFlow;

use crate::{Listed, StoreError};

/// Detects pages that lead in a circle of any length (Brent's algorithm): each page's reference to the next one is
/// compared with a kept one, which is replaced after 1, 2, 4, ... pages. Memory does not grow with the list.
#[derive(Debug)]
pub struct Circle<Next> {
    kept: Option<Next>,
    pages: u64,
    renew: u64,
}

impl<Next> Default for Circle<Next> {
    fn default() -> Self {
        Self {
            kept: None,
            pages: 0,
            renew: 1,
        }
    }
}

impl<Next: PartialEq + Clone> Circle<Next> {
    /// Whether `next` has been the next page before.
    pub fn closes(&mut self, next: &Next) -> bool {
        if self.kept.as_ref() == Some(next) {
            return true;
        }
        self.pages += 1;
        if self.pages == self.renew {
            self.renew *= 2;
            self.kept = Some(next.clone());
        }
        false
    }
}

/// Calls `each` for every object of all pages, until it breaks. `page` fetches one page: the first for `None`, then the
/// one that the page before referred to. `each` may call the store, so `page` must have left the runtime.
///
/// # Errors
/// The error of `page`.
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

    /// Lists pages of two numbered objects, the fourth of which fails. Returns the pages that were requested.
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
    fn a_circle_is_noticed_and_a_long_list_is_none() {
        let mut circle = Circle::default();
        assert!((0..10_000).all(|page| !circle.closes(&page)));
        for length in [1, 2, 3, 7, 100] {
            let mut circle = Circle::default();
            let pages = (0..5).chain((0..).map(|page| 5 + page % length));
            let noticed = pages.take(1000).position(|page| circle.closes(&page));
            assert!(
                noticed.is_some_and(|at| at <= 4 * (length + 5)),
                "{length}: {noticed:?}"
            );
        }
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

// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! A few bytes by hand, and random events compared with a reference that tracks each byte.

use super::*;
use proptest::prelude::*;

/// Bytes 10..20 and 20..30 present, 40..60 in flight.
fn some() -> Coverage<char> {
    let mut coverage = Coverage::default();
    for (range, data) in [(10..20, 'a'), (20..30, 'b')] {
        coverage.request(&range);
        coverage.arrive(range, data);
    }
    coverage.request(&(40..60));
    coverage
}

#[test]
fn place_includes_how_far_it_extends() {
    let coverage = some();
    let extent = Extent {
        range: 10..20,
        data: 'a',
    };
    assert_eq!(coverage.place(10, 100), Place::Present(&extent));
    assert_eq!(coverage.place(19, 20), Place::Present(&extent));
    assert_eq!(coverage.place(40, 50), Place::InFlight { until: 60 });
    assert_eq!(coverage.place(0, 100), Place::Missing { until: 10 });
    assert_eq!(coverage.place(0, 5), Place::Missing { until: 5 });
    assert_eq!(coverage.place(30, 100), Place::Missing { until: 40 });
    assert_eq!(coverage.place(60, 100), Place::Missing { until: 100 });
}

#[test]
fn gaps_are_missing_ranges_no_longer_than_a_part() {
    let coverage = some();
    assert_eq!(
        coverage.gaps(&(0..100), 25),
        [0..10, 30..40, 60..75, 75..100]
    );
    assert_eq!(coverage.gaps(&(12..28), 25), []);
    assert_eq!(coverage.gaps(&(45..50), 25), []);
    assert_eq!(coverage.gaps(&(5..5), 25), []);
}

#[test]
fn extents_are_returned_only_if_they_cover_the_range() {
    let coverage = some();
    let data = |range| -> Option<Vec<char>> {
        let extents = coverage.extents(&range)?;
        Some(extents.into_iter().map(|extent| extent.data).collect())
    };
    assert_eq!(data(15..25), Some(vec!['a', 'b']));
    assert_eq!(data(25..26), Some(vec!['b']));
    assert_eq!(data(7..7), Some(vec![]));
    assert_eq!(data(25..31), None);
    assert_eq!(data(40..41), None);
}

#[test]
fn request_arrives_in_order_and_the_rest_can_be_given_up() {
    let mut coverage = some();
    coverage.arrive(40..45, 'c');
    assert_eq!(coverage.place(44, 60), coverage.place(40, 60));
    assert_eq!(coverage.place(45, 60), Place::InFlight { until: 60 });
    coverage.give_up(45);
    assert_eq!(coverage.gaps(&(35..60), 100), [35..40, 45..60]);
    coverage.request(&(45..60));
    coverage.arrive(45..60, 'd');
    assert_eq!(coverage.gaps(&(40..60), 100), []);
}

#[test]
fn evicted_bytes_are_missing() {
    let mut coverage = some();
    assert_eq!(coverage.extent_at(20), Some(20..30));
    assert_eq!(coverage.evict(20), Some('b'));
    assert_eq!(coverage.evict(20), None);
    assert_eq!(coverage.extent_at(20), None);
    assert_eq!(coverage.gaps(&(5..40), 100), [5..10, 20..40]);
}

const SIZE: u64 = 40;

/// An event on an object of [`SIZE`] bytes.
#[derive(Clone, Debug)]
enum Event {
    /// Requests the gaps of a range, in pieces.
    Read(Range<u64>, u64),
    /// The n-th request delivers this number of bytes.
    Arrive(usize, u64),
    /// The n-th request fails.
    Fail(usize),
    /// The n-th extent is evicted.
    Evict(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..SIZE, 0..SIZE, 1..SIZE)
            .prop_map(|(a, b, most)| Event::Read(a.min(b)..a.max(b) + 1, most)),
        4 => (any::<usize>(), 1..SIZE).prop_map(|(which, bytes)| Event::Arrive(which, bytes)),
        1 => any::<usize>().prop_map(Event::Fail),
        1 => any::<usize>().prop_map(Event::Evict),
    ]
}

/// One byte of the reference: missing, in flight with the number of its request, or present with that of its extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    Missing,
    InFlight(u64),
    Present(u64),
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

fn set(bytes: &mut [Byte], range: &Range<u64>, to: Byte) {
    for at in range.clone() {
        bytes[index(at)] = to;
    }
}

fn check(coverage: &Coverage<u64>, bytes: &[Byte]) -> Result<(), TestCaseError> {
    for (at, byte) in (0..).zip(bytes) {
        let place = coverage.place(at, SIZE);
        let until = match (&place, byte) {
            (Place::Present(extent), Byte::Present(number)) => {
                prop_assert_eq!(extent.data, *number);
                extent.range.end
            }
            (Place::InFlight { until }, Byte::InFlight(_))
            | (Place::Missing { until }, Byte::Missing) => *until,
            other => return Err(TestCaseError::fail(format!("byte {at}: {other:?}"))),
        };
        let rest = &bytes[index(at)..];
        let same = rest.iter().take_while(|other| *other == byte).count();
        prop_assert_eq!(until, at + same as u64, "byte {}: {:?}", at, place);
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_byte_is_tracked(events in prop::collection::vec(event(), 0..40)) {
        let mut coverage = Coverage::default();
        let mut bytes = vec![Byte::Missing; index(SIZE)];
        let (mut requests, mut extents) = (Vec::<Range<u64>>::new(), Vec::<Range<u64>>::new());
        for (number, event) in (0..).zip(events) {
            match event {
                Event::Read(range, most) => {
                    let whole = range.clone().all(|at| matches!(bytes[index(at)], Byte::Present(_)));
                    prop_assert_eq!(coverage.extents(&range).is_some(), whole);
                    for (piece, gap) in (0..).zip(coverage.gaps(&range, most)) {
                        prop_assert!(gap.start >= range.start && gap.end <= range.end);
                        prop_assert!(gap.end > gap.start && gap.end - gap.start <= most);
                        for at in gap.clone() {
                            prop_assert_eq!(bytes[index(at)], Byte::Missing);
                        }
                        coverage.request(&gap);
                        set(&mut bytes, &gap, Byte::InFlight(number * SIZE + piece));
                        requests.push(gap);
                    }
                    // And none of it is missing any more.
                    prop_assert_eq!(coverage.gaps(&range, most), []);
                }
                Event::Arrive(which, length) if !requests.is_empty() => {
                    let which = which % requests.len();
                    let request = requests[which].clone();
                    let range = request.start..request.end.min(request.start + length);
                    set(&mut bytes, &range, Byte::Present(number));
                    coverage.arrive(range.clone(), number);
                    requests[which].start = range.end;
                    if requests[which].is_empty() {
                        requests.remove(which);
                    }
                    extents.push(range);
                }
                Event::Fail(which) if !requests.is_empty() => {
                    let request = requests.remove(which % requests.len());
                    coverage.give_up(request.start);
                    set(&mut bytes, &request, Byte::Missing);
                }
                Event::Evict(which) if !extents.is_empty() => {
                    let extent = extents.remove(which % extents.len());
                    prop_assert_eq!(coverage.extent_at(extent.start), Some(extent.clone()));
                    prop_assert!(coverage.evict(extent.start).is_some());
                    set(&mut bytes, &extent, Byte::Missing);
                }
                Event::Arrive(..) | Event::Fail(_) | Event::Evict(_) => {}
            }
            check(&coverage, &bytes)?;
        }
    }
}

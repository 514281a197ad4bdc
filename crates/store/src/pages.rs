// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An allocator for plugins that read from a network: large blocks are mapped from the system, and unmapped when freed.
//!
//! An HTTP client reads into a new block of some hundred KiB for each read. Once such a block has been freed, glibc's
//! malloc takes the next ones from its heaps, which cannot shrink below the small blocks that remain: a hundred
//! concurrent recalls left a client 55 MiB larger. (The threshold could be fixed with mallopt, but only for the whole
//! process, which is the host's.)
//!
//! A few are kept for the next read. For a new block, the kernel has to clear every page, which takes it longer than to copy the
//! received bytes into it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// From this size on, a block has its own pages. The same as malloc's initial threshold.
const LARGE: usize = 128 << 10;

/// Pages are at least this large on every supported machine.
const PAGE: usize = 4096;

/// How many blocks are kept, and the size of the largest: together, they are at most 2 MiB.
const KEPT: usize = 4;
const LARGEST_KEPT: usize = 512 << 10;

/// The blocks that are kept. Each begins with its size.
static BLOCKS: [AtomicPtr<usize>; KEPT] = [const { AtomicPtr::new(ptr::null_mut()) }; KEPT];

/// The allocator, for `#[global_allocator]` in a plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages;

fn has_pages(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

/// Maps zeroed pages; NULL on failure.
fn map(size: usize) -> *mut u8 {
    // SAFETY: requests new memory at an address of the kernel's choice.
    let mapped = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    mapped.cast()
}

fn unmap(block: *mut u8, size: usize) {
    // SAFETY: `map` created it with this size, and it is not used any more. munmap cannot fail for a whole mapping.
    unsafe { libc::munmap(block.cast(), size) };
}

/// Returns a block that was kept, with any contents, or maps a new one; NULL on failure.
fn take(size: usize) -> *mut u8 {
    if size > LARGEST_KEPT {
        return map(size);
    }
    for place in &BLOCKS {
        let block = place.swap(ptr::null_mut(), Ordering::AcqRel);
        if block.is_null() {
            continue;
        }
        // SAFETY: `give` wrote its size there, and nobody else has it now.
        let kept = unsafe { block.read() };
        if kept == size {
            return block.cast();
        }
        unmap(block.cast(), kept);
    }
    map(size)
}

/// Keeps a block, or unmaps it.
fn give(block: *mut u8, size: usize) {
    if size > LARGEST_KEPT {
        return unmap(block, size);
    }
    let block = block.cast::<usize>();
    // SAFETY: pages are aligned, and this one is not used any more.
    unsafe { block.write(size) };
    let keeps = |place: &AtomicPtr<usize>| {
        let (none, order) = (ptr::null_mut(), Ordering::AcqRel);
        let kept = place.compare_exchange(none, block, order, Ordering::Relaxed);
        kept.is_ok()
    };
    if !BLOCKS.iter().any(keeps) {
        unmap(block.cast(), size);
    }
}

// SAFETY: a block's layout determines who allocated it: `map`, or the system's allocator, which keeps this contract.
// Blocks from `map` are page-aligned, exclusive, and not touched after they are unmapped.
unsafe impl GlobalAlloc for Pages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if has_pages(layout) {
            return take(layout.size());
        }
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if has_pages(layout) {
            return map(layout.size());
        }
        // SAFETY: guaranteed by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if has_pages(layout) {
            return give(block, layout.size());
        }
        // SAFETY: guaranteed by the caller.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that `size` is not 0 and, rounded up to the alignment, at most isize::MAX.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (has_pages(layout), has_pages(wanted)) {
            // SAFETY: guaranteed by the caller.
            (false, false) => unsafe { System.realloc(block, layout, size) },
            (true, true) => {
                // SAFETY: `map` created it with this size; if it moves, the caller does not use the old address.
                let moved = unsafe {
                    libc::mremap(block.cast(), layout.size(), size, libc::MREMAP_MAYMOVE)
                };
                if moved == libc::MAP_FAILED {
                    return ptr::null_mut();
                }
                moved.cast()
            }
            _ => {
                // SAFETY: the layout is the caller's, with another size that is not 0.
                let Some(moved) = NonNull::new(unsafe { self.alloc(wanted) }) else {
                    return ptr::null_mut();
                };
                // SAFETY: both blocks have that number of bytes, and they are distinct.
                unsafe {
                    ptr::copy_nonoverlapping(block, moved.as_ptr(), layout.size().min(size));
                }
                // SAFETY: the caller gives up the old block.
                unsafe { self.dealloc(block, layout) };
                moved.as_ptr()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a block so that neighbouring bytes differ.
    fn fill(block: *mut u8, size: usize) {
        for at in 0..size {
            // SAFETY: within the block.
            unsafe { block.add(at).write(u8::try_from(at % 251).unwrap()) };
        }
    }

    fn is_filled(block: *const u8, size: usize) -> bool {
        // SAFETY: within the block, which was filled.
        (0..size).all(|at| usize::from(unsafe { block.add(at).read() }) == at % 251)
    }

    #[test]
    fn blocks_keep_their_bytes_when_they_grow_and_shrink_across_the_border() {
        let sizes = [
            1,
            100,
            LARGE - 1,
            LARGE,
            LARGE + 1,
            3 * LARGE,
            LARGE,
            7,
            5 * LARGE,
            1000,
        ];
        for align in [1, 64, PAGE, 2 * PAGE] {
            let mut layout = Layout::from_size_align(10, align).unwrap();
            // SAFETY: the size is not 0.
            let mut block = unsafe { Pages.alloc(layout) };
            for size in sizes {
                assert!(!block.is_null() && block.addr().is_multiple_of(align));
                fill(block, layout.size());
                // SAFETY: allocated with that layout.
                block = unsafe { Pages.realloc(block, layout, size) };
                assert!(is_filled(block, layout.size().min(size)), "{size}");
                layout = Layout::from_size_align(size, align).unwrap();
            }
            // SAFETY: allocated with that layout.
            unsafe { Pages.dealloc(block, layout) };
        }
    }

    #[test]
    fn a_few_blocks_are_kept_for_others_of_their_size() {
        // No other test allocates blocks of this size.
        let layout = Layout::from_size_align(LARGE + 3 * PAGE, 16).unwrap();
        // SAFETY: the size is not 0.
        let blocks: Vec<_> = (0..2 * KEPT)
            .map(|_| unsafe { Pages.alloc(layout) })
            .collect();
        for block in &blocks {
            fill(*block, 100);
            // SAFETY: allocated with that layout.
            unsafe { Pages.dealloc(*block, layout) };
        }
        let kept = || {
            BLOCKS
                .iter()
                .filter(|place| !place.load(Ordering::Acquire).is_null())
        };
        assert!(kept().count() <= KEPT);
        // SAFETY: the size is not 0.
        let again = unsafe { Pages.alloc(layout) };
        fill(again, layout.size());
        assert!(is_filled(again, layout.size()));
        // SAFETY: allocated with that layout.
        unsafe { Pages.dealloc(again, layout) };
    }

    #[test]
    fn large_blocks_go_back_and_new_ones_are_zeroed() {
        let layout = Layout::from_size_align(4 * LARGE, 16).unwrap();
        for _ in 0..1000 {
            // SAFETY: the size is not 0.
            let block = unsafe { Pages.alloc_zeroed(layout) };
            // SAFETY: within the block.
            let (first, last) = unsafe { (block.read(), block.add(4 * LARGE - 1).read()) };
            assert_eq!((first, last), (0, 0));
            fill(block, 10);
            // SAFETY: allocated with that layout.
            unsafe { Pages.dealloc(block, layout) };
        }
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(maps.lines().count() < 1000, "{maps}");
    }
}

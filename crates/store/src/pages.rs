// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! An allocator for plugins that read from a network: large blocks come from the system, and go back to it when they are
//! freed.
//!
//! An HTTP client reads into blocks of some hundred KiB, a new one for each read. glibc's malloc, once it has seen such a
//! block freed, takes the next ones from its heaps, which do not shrink between the small blocks that stay: a hundred
//! recalls at once left a client 55 MiB larger. (Its threshold could be fixed, for the whole process; but the process is
//! the host's.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};

/// From here on a block has pages of its own. What malloc begins with, too.
const LARGE: usize = 128 << 10;

/// A page of any of our machines is at least as large.
const PAGE: usize = 4096;

/// The allocator: for `#[global_allocator]` in a plugin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages;

fn has_pages(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

/// Zeroed pages, or null.
fn map(size: usize) -> *mut u8 {
    // SAFETY: asks for new memory, at no address that anybody has.
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

// SAFETY: a block's layout says who made it: `map` or the system's allocator, whose contract this is. What `map` makes is
// aligned to a page, belongs to nobody else, and is not touched after it was unmapped.
unsafe impl GlobalAlloc for Pages {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if has_pages(layout) {
            return map(layout.size());
        }
        // SAFETY: by the caller's word.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if has_pages(layout) {
            return map(layout.size());
        }
        // SAFETY: by the caller's word.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if has_pages(layout) {
            // SAFETY: `map` made it, of this size, and nobody uses it any more. It cannot fail for what is mapped.
            unsafe { libc::munmap(block.cast(), layout.size()) };
            return;
        }
        // SAFETY: by the caller's word.
        unsafe { System.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's word: `size` is not 0 and, rounded up to the alignment, no more than isize::MAX.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (has_pages(layout), has_pages(wanted)) {
            // SAFETY: by the caller's word.
            (false, false) => unsafe { System.realloc(block, layout, size) },
            (true, true) => {
                // SAFETY: `map` made it, of this size; if it moves, the caller does not use the old place.
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
                // SAFETY: both blocks have as many bytes, and they are two.
                unsafe {
                    ptr::copy_nonoverlapping(block, moved.as_ptr(), layout.size().min(size));
                }
                // SAFETY: the caller gives it up.
                unsafe { self.dealloc(block, layout) };
                moved.as_ptr()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block's bytes, each another than its neighbours.
    fn fill(block: *mut u8, size: usize) {
        for at in 0..size {
            // SAFETY: inside of the block.
            unsafe { block.add(at).write(u8::try_from(at % 251).unwrap()) };
        }
    }

    fn is_filled(block: *const u8, size: usize) -> bool {
        // SAFETY: inside of the block, which was filled.
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
            // SAFETY: not of no bytes.
            let mut block = unsafe { Pages.alloc(layout) };
            for size in sizes {
                assert!(!block.is_null() && block.addr().is_multiple_of(align));
                fill(block, layout.size());
                // SAFETY: made with that layout.
                block = unsafe { Pages.realloc(block, layout, size) };
                assert!(is_filled(block, layout.size().min(size)), "{size}");
                layout = Layout::from_size_align(size, align).unwrap();
            }
            // SAFETY: made with that layout.
            unsafe { Pages.dealloc(block, layout) };
        }
    }

    #[test]
    fn large_blocks_go_back_and_new_ones_are_zeroed() {
        let layout = Layout::from_size_align(4 * LARGE, 16).unwrap();
        for _ in 0..1000 {
            // SAFETY: not of no bytes.
            let block = unsafe { Pages.alloc_zeroed(layout) };
            // SAFETY: inside of the block.
            let (first, last) = unsafe { (block.read(), block.add(4 * LARGE - 1).read()) };
            assert_eq!((first, last), (0, 0));
            fill(block, 10);
            // SAFETY: made with that layout.
            unsafe { Pages.dealloc(block, layout) };
        }
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(maps.lines().count() < 1000, "{maps}");
    }
}

//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mllmseg::allocator::KeepingAllocator;

/// The allocator of the command, counting the bytes in use. On the CPU every tensor lies in memory that
/// it gave out.
#[derive(Debug)]
pub struct CountingAllocator;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use; 0 where [`CountingAllocator`] is not the program's allocator.
pub fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

/// The most bytes in use since the last [`reset_peak`].
pub fn peak_in_use() -> usize {
    PEAK.load(Relaxed)
}

/// Makes the bytes in use now the peak.
pub fn reset_peak() {
    PEAK.store(in_use(), Relaxed);
}

/// Counts `size` bytes at `place`, unless the system had none to give.
fn counted(place: *mut u8, size: usize) -> *mut u8 {
    if !place.is_null() {
        PEAK.fetch_max(IN_USE.fetch_add(size, Relaxed) + size, Relaxed);
    }
    place
}

// SAFETY: every call is passed on unchanged to the command's allocator, which keeps the contract.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
#[expect(clippy::undocumented_unsafe_blocks, reason = "one reason for all, above")]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        counted(unsafe { KeepingAllocator.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        counted(unsafe { KeepingAllocator.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        unsafe { KeepingAllocator.dealloc(place, layout) };
        IN_USE.fetch_sub(layout.size(), Relaxed);
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let moved = counted(unsafe { KeepingAllocator.realloc(place, layout, size) }, size);
        if !moved.is_null() {
            IN_USE.fetch_sub(layout.size(), Relaxed);
        }
        moved
    }
}

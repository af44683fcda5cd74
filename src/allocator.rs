//! An allocator that keeps large blocks for the next request of the same size.
//!
//! On the CPU a forward pass asks for the same few sizes of some megabytes again and again. Systems
//! give such blocks back at once and map fresh, zeroed pages for the next: a quarter of the time of a
//! pass. The command uses this allocator; programs that use the library choose their own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;

/// The fewest bytes of a block that is kept; systems keep smaller ones themselves.
const LARGE: usize = 1 << 17;
/// Blocks that are kept.
const BLOCKS: usize = 128;
/// Bytes that are kept.
const BYTES: usize = 192 << 20;

/// The system's allocator, which keeps up to 192 MiB of large blocks.
#[derive(Debug)]
pub struct KeepingAllocator;

/// A block that nobody uses.
#[derive(Clone, Copy)]
struct Block {
    /// Its address; 0 is no block.
    address: usize,
    layout: Layout,
}

/// The blocks kept, the latest last.
struct Kept {
    blocks: [Block; BLOCKS],
    count: usize,
    bytes: usize,
}

static KEPT: Mutex<Kept> = Mutex::new(Kept {
    blocks: [Block { address: 0, layout: Layout::new::<()>() }; BLOCKS],
    count: 0,
    bytes: 0,
});

impl Kept {
    /// Removes a block and returns it.
    fn remove(&mut self, index: usize) -> Block {
        let block = self.blocks[index];
        self.blocks.copy_within(index + 1..self.count, index);
        self.count -= 1;
        self.bytes -= block.layout.size();
        block
    }

    /// The latest block of a layout: of all, it is the likeliest to be in a cache.
    fn take(&mut self, layout: Layout) -> Option<Block> {
        let index = self.blocks[..self.count].iter().rposition(|block| block.layout == layout)?;
        Some(self.remove(index))
    }

    /// Removes the oldest block if there is no room for `size` bytes more.
    fn make_room(&mut self, size: usize) -> Option<Block> {
        let full = self.count == BLOCKS || (self.count > 0 && self.bytes + size > BYTES);
        full.then(|| self.remove(0))
    }

    fn add(&mut self, block: Block) {
        self.blocks[self.count] = block;
        self.count += 1;
        self.bytes += block.layout.size();
    }
}

/// Keeps large blocks out of the memory that small ones come from, in a process that runs for long.
///
/// GNU's allocator takes large blocks from there too once it has seen a few; the small ones between
/// them then keep it from growing together again, and a server grows by a quarter.
pub fn map_large_blocks_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "a function of C")]
    // SAFETY: it sets one number of the allocator, under the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE as libc::c_int);
    }
}

/// Runs `change` on the blocks kept; `None` if another thread panicked meanwhile.
fn with_kept<T>(change: impl FnOnce(&mut Kept) -> Option<T>) -> Option<T> {
    KEPT.lock().ok().and_then(|mut kept| change(&mut kept))
}

fn is_large(layout: Layout) -> bool {
    (LARGE..=BYTES).contains(&layout.size())
}

/// A block that is kept, if there is one of this layout.
fn take(layout: Layout) -> Option<*mut u8> {
    let block = is_large(layout).then(|| with_kept(|kept| kept.take(layout))).flatten()?;
    Some(std::ptr::with_exposed_provenance_mut(block.address))
}

// SAFETY: a block is the system's, with the layout it was asked for. It is either in use or kept:
// `dealloc` puts it in once, and `alloc` takes it out once, under a lock. The lock itself allocates
// at most a few bytes, which never reach it.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
#[expect(clippy::undocumented_unsafe_blocks, reason = "one reason for all, above")]
unsafe impl GlobalAlloc for KeepingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout).unwrap_or_else(|| unsafe { System.alloc(layout) })
    }

    // Zeros in a block that is kept take less time than fresh pages, which are zero already.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match take(layout) {
            Some(place) => {
                unsafe { place.write_bytes(0, layout.size()) };
                place
            }
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if !is_large(layout) {
            return unsafe { System.dealloc(place, layout) };
        }
        while let Some(old) = with_kept(|kept| kept.make_room(layout.size())) {
            let place = std::ptr::with_exposed_provenance_mut(old.address);
            unsafe { System.dealloc(place, old.layout) };
        }
        let block = Block { address: place.expose_provenance(), layout };
        let room = |kept: &mut Kept| {
            let fits = kept.count < BLOCKS && kept.bytes + layout.size() <= BYTES;
            fits.then(|| kept.add(block))
        };
        if with_kept(room).is_none() {
            unsafe { System.dealloc(place, layout) };
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { System.realloc(place, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(size: usize) -> Layout {
        Layout::from_size_align(size, 64).unwrap()
    }

    /// A block is given out again for its own layout alone, and what is kept is bounded.
    #[test]
    #[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
    fn blocks_of_the_same_size_are_used_again() {
        // SAFETY: each block is freed once, with its layout.
        unsafe {
            let first = KeepingAllocator.alloc(bytes(LARGE));
            first.write_bytes(1, LARGE);
            KeepingAllocator.dealloc(first, bytes(LARGE));
            let larger = KeepingAllocator.alloc(bytes(2 * LARGE));
            let second = KeepingAllocator.alloc(bytes(LARGE));
            assert_eq!(first, second);
            assert_ne!(first, larger);
            let third = KeepingAllocator.alloc(bytes(LARGE));
            assert_ne!(second, third);
            KeepingAllocator.dealloc(second, bytes(LARGE));
            let zeroed = KeepingAllocator.alloc_zeroed(bytes(LARGE));
            assert_eq!(second, zeroed);
            assert_eq!(*zeroed, 0);
            for (place, size) in [(larger, 2 * LARGE), (zeroed, LARGE), (third, LARGE)] {
                KeepingAllocator.dealloc(place, bytes(size));
            }
            for size in [BYTES / 2, BYTES / 2 + 1, BYTES + 1] {
                KeepingAllocator.dealloc(KeepingAllocator.alloc(bytes(size)), bytes(size));
            }
            for _ in 0..2 {
                let blocks = [(); BLOCKS + 1].map(|()| KeepingAllocator.alloc(bytes(LARGE)));
                for place in blocks {
                    KeepingAllocator.dealloc(place, bytes(LARGE));
                }
            }
        }
        let kept = KEPT.lock().unwrap();
        assert!(kept.count == BLOCKS && kept.bytes == BLOCKS * LARGE, "{}", kept.bytes);
    }
}

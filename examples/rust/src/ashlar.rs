// SPDX-License-Identifier: MIT
//! ashlar as a Rust program's allocator: copy this file, and put
//!
//!     #[global_allocator]
//!     static HEAP: ashlar::Ashlar = ashlar::Ashlar;
//!
//! beside `main`. C code in the same program gets ashlar, too, because
//! libashlar.a defines malloc itself.
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::os::raw::{c_char, c_int, c_uint, c_void};

extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn realloc(p: *mut c_void, size: usize) -> *mut c_void;
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free_sized(p: *mut c_void, size: usize);
    fn free_aligned_sized(p: *mut c_void, align: usize, size: usize);
    fn ashlar_stats(out: *mut Stats, size: usize) -> c_int;
    fn ashlar_version() -> *const c_char;
}

pub struct Ashlar;

/// malloc aligns to 16 bytes, and to 8 where no more than 8 are asked for.
fn malloc_is_aligned(layout: &Layout, size: usize) -> bool {
    layout.align() <= 16 && layout.align() <= size
}

/// Rust knows the layout again when it frees: `dealloc` needs no look at the object.
unsafe impl GlobalAlloc for Ashlar {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let p = if malloc_is_aligned(&layout, layout.size()) {
            malloc(layout.size())
        } else {
            aligned_alloc(layout.align(), layout.size())
        };
        p.cast()
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if malloc_is_aligned(&layout, layout.size()) {
            return calloc(1, layout.size()).cast();
        }
        let p = self.alloc(layout);
        if !p.is_null() {
            p.write_bytes(0, layout.size());
        }
        p
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if malloc_is_aligned(&layout, layout.size()) {
            free_sized(p.cast(), layout.size());
        } else {
            free_aligned_sized(p.cast(), layout.align(), layout.size());
        }
    }

    /// In place where ashlar can; realloc knows no alignment above malloc's.
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if malloc_is_aligned(&layout, new_size) {
            return realloc(p.cast(), new_size).cast();
        }
        let new_layout = Layout::from_size_align_unchecked(new_size, layout.align());
        let new = self.alloc(new_layout);
        if !new.is_null() {
            new.copy_from_nonoverlapping(p, layout.size().min(new_size));
            self.dealloc(p, layout);
        }
        new
    }
}

/// `struct ashlar_stats` of <ashlar/ashlar.h>.
#[repr(C)]
#[derive(Default)]
pub struct Stats {
    pub held: usize,
    pub in_use: usize,
    pub small_in_use: usize,
    pub large_in_use: usize,
    pub cached: usize,
    pub slab: usize,
    pub dirty: usize,
    pub metadata: usize,
    pub reserved: usize,
    pub purged: usize,
    pub purge_calls: usize,
    pub narenas: c_uint,
    pub nthreads: c_uint,
}

pub fn stats() -> Stats {
    let mut stats = Stats::default();
    let error = unsafe { ashlar_stats(&mut stats, std::mem::size_of::<Stats>()) };
    assert_eq!(error, 0);
    stats
}

pub fn version() -> String {
    unsafe { CStr::from_ptr(ashlar_version()) }.to_string_lossy().into_owned()
}

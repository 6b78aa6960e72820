// SPDX-License-Identifier: MIT
//! The GlobalAlloc of examples/rust with every alignment and many sizes. If this
//! fails, Rust programs get misaligned or unzeroed memory, or free with a size
//! and alignment that the object was not allocated with (check:full stops at that).
#[path = "ASHLAR_RS"]
#[allow(dead_code)]
mod ashlar;

use std::alloc::{alloc, alloc_zeroed, dealloc, realloc, Layout};

#[global_allocator]
static HEAP: ashlar::Ashlar = ashlar::Ashlar;

fn sizes() -> Vec<usize> {
    let mut sizes: Vec<usize> = (1..70).collect();
    for doubling in 7..18 {
        sizes.extend([(1 << doubling) - 1, 1 << doubling, (1 << doubling) + 1]);
    }
    sizes
}

unsafe fn filled(p: *mut u8, layout: Layout, mark: u8) -> *mut u8 {
    assert!(!p.is_null() && p as usize % layout.align() == 0, "{:?} at {:?}", layout, p);
    p.write_bytes(mark, layout.size());
    p
}

unsafe fn one_layout(layout: Layout, sizes: &[usize]) {
    dealloc(filled(alloc(layout), layout, 1), layout);
    let zeroed = alloc_zeroed(layout);
    assert!(std::slice::from_raw_parts(zeroed, layout.size()).iter().all(|&byte| byte == 0));
    dealloc(filled(zeroed, layout, 2), layout);
    for &size in sizes.iter().step_by(7) {
        let p = filled(alloc(layout), layout, 3);
        let new = Layout::from_size_align(size, layout.align()).expect("a layout");
        let p = realloc(p, layout, size);
        let kept = layout.size().min(size);
        assert!(std::slice::from_raw_parts(p, kept).iter().all(|&byte| byte == 3));
        dealloc(filled(p, new, 4), new);
    }
}

fn main() {
    let sizes = sizes();
    let mut layouts = 0;
    for lg_align in 0..=16 {
        for &size in &sizes {
            let layout = Layout::from_size_align(size, 1 << lg_align).expect("a layout");
            unsafe { one_layout(layout, &sizes) };
            layouts += 1;
        }
    }
    println!("{} layouts", layouts);
}

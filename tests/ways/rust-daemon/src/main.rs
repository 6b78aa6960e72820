// SPDX-License-Identifier: MIT
//! A key-value daemon on the functions of the jemalloc-sys crate, used as the jemallocator crates use them.
use jemalloc_sys as jemalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::raw::{c_char, c_int, c_void};
use std::sync::{Arc, RwLock};

struct Jemalloc;

/// As C programs have it from plain malloc: 16 from 16 bytes on.
fn flags(layout: Layout) -> c_int {
    if layout.align() <= 16 && layout.align() <= layout.size() {
        0
    } else {
        jemalloc::MALLOCX_ALIGN(layout.align())
    }
}

unsafe impl GlobalAlloc for Jemalloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match flags(layout) {
            0 => jemalloc::malloc(layout.size()) as *mut u8,
            flags => jemalloc::mallocx(layout.size(), flags) as *mut u8,
        }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match flags(layout) {
            0 => jemalloc::calloc(1, layout.size()) as *mut u8,
            flags => jemalloc::mallocx(layout.size(), flags | jemalloc::MALLOCX_ZERO) as *mut u8,
        }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        jemalloc::sdallocx(p as *mut c_void, layout.size(), flags(layout))
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match flags(Layout::from_size_align_unchecked(size, layout.align())) {
            0 => jemalloc::realloc(p as *mut c_void, size) as *mut u8,
            flags => jemalloc::rallocx(p as *mut c_void, size, flags) as *mut u8,
        }
    }
}

#[global_allocator]
static HEAP: Jemalloc = Jemalloc;

unsafe fn read<T: Default>(name: &str) -> T {
    let mut value = T::default();
    let mut size = std::mem::size_of::<T>();
    let status = jemalloc::mallctl(
        name.as_ptr() as *const c_char,
        &mut value as *mut T as *mut c_void,
        &mut size,
        std::ptr::null_mut(),
        0,
    );
    assert!(status == 0 && size == std::mem::size_of::<T>(), "{}: {}", name, status);
    value
}

/// What the daemon says of its heap.
fn statistics() -> String {
    unsafe {
        let mut epoch = 1u64;
        let refreshed = jemalloc::mallctl(
            "epoch\0".as_ptr() as *const c_char,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            &mut epoch as *mut u64 as *mut c_void,
            std::mem::size_of::<u64>(),
        );
        assert_eq!(refreshed, 0);
        format!(
            "decay {} allocated {} active {} of-C {}",
            read::<isize>("opt.dirty_decay_ms\0"),
            read::<usize>("stats.allocated\0"),
            read::<usize>("stats.active\0"),
            // Not of this heap unless the override took malloc's name, too.
            (libc::malloc as usize == jemalloc::malloc as usize)
        )
    }
}

fn answer(line: &str, map: &RwLock<HashMap<String, String>>) -> String {
    let mut words = line.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some("SET"), Some(key), Some(value)) => {
            map.write().unwrap().insert(key.to_string(), value.to_string());
            "stored".to_string()
        }
        (Some("GET"), Some(key), None) => map.read().unwrap().get(key).cloned().unwrap_or_default(),
        (Some("CLEAR"), None, None) => {
            *map.write().unwrap() = HashMap::new();
            "cleared".to_string()
        }
        (Some("STATS"), None, None) => statistics(),
        (Some("STOP"), None, None) => std::process::exit(0),
        _ => "what?".to_string(),
    }
}

fn serve(stream: TcpStream, map: Arc<RwLock<HashMap<String, String>>>) {
    let mut to = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let reply = answer(&line.unwrap(), &map) + "\n";
        if to.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let map = Arc::new(RwLock::new(HashMap::new()));
    for stream in listener.incoming() {
        let map = map.clone();
        std::thread::spawn(move || serve(stream.unwrap(), map));
    }
}

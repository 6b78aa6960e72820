// SPDX-License-Identifier: MIT
//! A Rust program on ashlar: four threads fill maps of strings and grow vectors,
//! one hands over what another frees, and the heap is asked what it holds.
mod ashlar;

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

#[global_allocator]
static HEAP: ashlar::Ashlar = ashlar::Ashlar;

const THREADS: usize = 4;
const KEYS: usize = 20_000;

/// Two cache lines, 64-byte aligned: aligned_alloc serves it.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line([u64; 16]);

fn fill(thread: usize) -> HashMap<String, Vec<u32>> {
    let mut map = HashMap::new();
    for key in 0..KEYS {
        let numbers: &mut Vec<u32> = map.entry(format!("{}-{}", thread, key % (KEYS / 4))).or_default();
        numbers.push(key as u32);
    }
    map.retain(|_, numbers| numbers[0] % 2 == 0);
    map
}

fn sum(map: &HashMap<String, Vec<u32>>) -> u64 {
    map.values().flatten().map(|&number| u64::from(number)).sum()
}

/// Grown by realloc, aligned above what realloc knows, zeroed.
fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for n in 0..5_000u64 {
        lines.push(Line([n; 16]));
        assert_eq!(lines.as_ptr() as usize % 64, 0);
    }
    lines.shrink_to(6_000);
    assert!(lines.iter().zip(0..).all(|(line, n)| line.0 == [n; 16]));
    assert!(vec![0u8; 3_000_000].iter().all(|&byte| byte == 0));
    lines
}

fn main() {
    let before = ashlar::stats().in_use;
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let sender = sender.clone();
            thread::spawn(move || sender.send(fill(n)).expect("a receiver"))
        })
        .collect();
    drop(sender);
    let maps: Vec<_> = receiver.iter().collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let kept = lines();
    let total: u64 = maps.iter().map(sum).sum();
    let grown = ashlar::stats().in_use - before;
    let strings: usize = maps.iter().flatten().map(|(key, numbers)| key.len() + 4 * numbers.len()).sum();
    let live = strings + kept.len() * std::mem::size_of::<Line>();
    drop((maps, kept));
    let left = ashlar::stats().in_use.saturating_sub(before);

    println!("ashlar {}", ashlar::version());
    println!("sum {}: {} bytes of text, numbers and lines in {} bytes in use, after drop {}", total, live, grown, left);
}

//! How fast the machine's memory can be read by all of the model's threads.

use std::time::Instant;

use harness_core::Bandwidth;
use rayon::prelude::*;

use crate::memory;

/// Bytes that are read at most: several times what the caches of the largest CPUs hold.
const MOST: u64 = 2 << 30;
/// Bytes under which caches would be measured.
const LEAST: u64 = 256 << 20;
/// Words that a thread takes at once: 1 MiB.
const CHUNK: usize = 1 << 17;
/// Sums side by side, so that no addition waits for the one before.
const LANES: usize = 16;
const READS: usize = 9;

/// Reads a large block again and again.
pub(crate) fn measure() -> Result<Bandwidth, String> {
    // A quarter of what is left spoils nobody's day.
    let room = memory::available().map_or(MOST, |bytes| bytes / 4).min(MOST);
    if room < LEAST {
        return Err(format!("{LEAST} bytes would have to be read, and a quarter of the free memory is {room}"));
    }
    let mut block: Vec<u64> = vec![0; (room / 8) as usize];
    // A page that was never written is no memory yet.
    block.par_chunks_mut(CHUNK).for_each(|chunk| chunk.fill(1));
    let bytes = block.len() as u64 * 8;
    let seconds: Vec<f64> = (0..READS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(read(&block));
            start.elapsed().as_secs_f64()
        })
        .collect();
    let threads = rayon::current_num_threads();
    Bandwidth::of(bytes, &seconds, &format!("{threads} threads of the CPU"))
        .ok_or_else(|| "the clock did not move while memory was read".into())
}

fn read(block: &[u64]) -> u64 {
    block.par_chunks(CHUNK).map(sum).reduce(|| 0, u64::wrapping_add)
}

fn sum(words: &[u64]) -> u64 {
    let mut lanes = [0u64; LANES];
    let (whole, rest) = words.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane = lane.wrapping_add(*word);
        }
    }
    lanes.iter().chain(rest).fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read() {
        for length in [0, 1, LANES, 3 * CHUNK + 5] {
            let words: Vec<u64> = (0..length as u64).collect();
            assert_eq!(read(&words), (length as u64).wrapping_mul(length.saturating_sub(1) as u64) / 2, "{length}");
        }
    }

    #[test]
    fn memory_is_read_at_a_speed_that_memory_has() {
        match measure() {
            Ok(found) => assert!(found.rate > 1e8 && found.rate < 1e13 && found.bytes >= LEAST, "{found:?}"),
            Err(why) => assert!(why.contains("a quarter of the free memory"), "{why}"),
        }
    }
}

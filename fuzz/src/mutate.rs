//! New input out of old.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// A few changes to one input of `corpus`: bytes, words, pieces of another input.
pub fn mutated(corpus: &[Vec<u8>], words: &[&str], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = corpus.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=6) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(0..=8)).min(bytes.len());
        let piece: Vec<u8> = match rng.random_range(0..8) {
            0 => Vec::new(),
            1 => vec![rng.random()],
            2 => vec![*b"\r\n\t \0:;,#/*?%\"\x0b\x7f\xff0".choose(rng).unwrap_or(&0)],
            3 => bytes[at..end].repeat(2),
            4 => {
                let other = corpus.choose(rng).map(Vec::as_slice).unwrap_or_default();
                let start = rng.random_range(0..=other.len());
                let end = (start + rng.random_range(0..=64)).min(other.len());
                other[start..end].to_vec()
            }
            5 => {
                let mut many = vec![rng.random()];
                many = many.repeat(1 << rng.random_range(0..13));
                many
            }
            _ => words.choose(rng).map(|word| word.as_bytes().to_vec()).unwrap_or_default(),
        };
        // Put in, or put in place of some bytes.
        let end = if rng.random() { at } else { end };
        bytes.splice(at..end, piece);
        bytes.truncate(BYTES_MAX);
    }
    let _ = rng.next_u32();
    bytes
}

const BYTES_MAX: usize = 64 * 1024;

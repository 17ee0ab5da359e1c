//! The same bytes in all kinds of pieces.

use std::hash::{DefaultHasher, Hash, Hasher};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::message::Kind;
use crate::reading::{Reading, read};

/// What our reader makes of `bytes`; the same however they come.
pub(crate) fn read_however_it_comes(kind: Kind, bytes: &[u8]) -> Reading {
    let whole = read(kind, [bytes]);
    let same = |reading: Reading, how: &str| assert_eq!(reading, whole, "{how}: {}", bytes.escape_ascii());
    same(read(kind, bytes.chunks(1)), "byte by byte");
    let mut rng = rng_of(bytes);
    let mut split = |at: usize| {
        let (first, second) = bytes.split_at(at);
        same(read(kind, [first, second]), &format!("split at {at}"));
    };
    if bytes.len() <= EVERY_SPLIT {
        (1..bytes.len()).for_each(&mut split);
    } else {
        (0..SOME_SPLITS).for_each(|_| split(rng.random_range(1..bytes.len())));
    }
    for _ in 0..RANDOM_PIECES {
        same(read(kind, random_pieces(bytes, &mut rng)), "in random pieces");
    }
    whole
}

/// Pieces of a few bytes.
pub(crate) fn random_pieces<'a>(mut bytes: &'a [u8], rng: &mut StdRng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let most = 1 << rng.random_range(1..10);
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(rng.random_range(1..=most).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// The same for the same bytes, so that what is found once is found again.
pub(crate) fn rng_of(bytes: &[u8]) -> StdRng {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    StdRng::seed_from_u64(hasher.finish())
}

const EVERY_SPLIT: usize = 200;
const SOME_SPLITS: usize = 20;
const RANDOM_PIECES: usize = 3;

//! What each client has of something, over all threads: connections, or bytes.
//!
//! Counted in cells that a hash with a secret chooses: no lock, a few instructions, and no crowd makes them more. Two
//! clients may share a cell; then they count as one. Neighbours never do, and nobody can choose whose cell it shares.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::peer::Client;

/// The client of a connection; those of Unix sockets are one.
pub type Whose = Option<Client>;

/// All of them.
#[derive(Debug)]
pub struct PerClient {
    cells: Box<[AtomicUsize]>,
    factor: u64,
}

/// Where a client is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellOf(u16);

impl Default for PerClient {
    fn default() -> Self {
        let cells = (0..1 << CELL_BITS).map(|_| AtomicUsize::new(0)).collect();
        // Odd, so that none of the client's bits is lost.
        Self { cells, factor: RandomState::new().hash_one(0) | 1 }
    }
}

impl PerClient {
    /// That client's cell. Those of Unix sockets have none: whoever they are, they are not told apart.
    pub fn cell_of(&self, whose: Whose) -> Option<CellOf> {
        let bits = whose?.bits();
        let network = (bits >> CELL_BITS).wrapping_mul(self.factor) >> (u64::BITS - CELL_BITS);
        Some(CellOf((network ^ bits & ((1 << CELL_BITS) - 1)) as u16))
    }

    /// So much more; how much it is then.
    pub fn add(&self, cell: CellOf, more: usize) -> usize {
        self.cells[usize::from(cell.0)].fetch_add(more, Ordering::Relaxed).saturating_add(more)
    }

    /// So much less.
    pub fn subtract(&self, cell: CellOf, less: usize) {
        self.cells[usize::from(cell.0)].fetch_sub(less, Ordering::Relaxed);
    }

    /// How much that client has.
    pub fn of(&self, whose: Whose) -> usize {
        self.cell_of(whose).map_or(0, |cell| self.cells[usize::from(cell.0)].load(Ordering::Relaxed))
    }

    /// The cell of the client that has most, and how much.
    pub fn greatest(&self) -> Option<(CellOf, usize)> {
        let counts = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        let (index, count) = counts.enumerate().max_by_key(|(_, count)| *count)?;
        Some((CellOf(u16::try_from(index).ok()?), count))
    }
}

/// 4,096 cells, 32 KiB.
const CELL_BITS: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_that_has_most_is_known_and_those_without_an_address_are_not_counted() {
        let clients = PerClient::default();
        let client = |text: &str| Some(Client::of(text.parse().unwrap()));
        let (v4, v6) = (client("192.0.2.1"), client("2001:db8:1:2::1"));
        let enter = |whose| _ = clients.add(clients.cell_of(whose).unwrap(), 1);
        (0..3).for_each(|_| enter(v4));
        (0..5).for_each(|_| enter(v6));
        assert_eq!(clients.cell_of(None), None);
        assert_eq!(clients.greatest().map(|(cell, _)| cell), clients.cell_of(client("2001:db8:1:2::ff")));
        assert!(clients.of(v6) >= 5 && clients.of(v4) >= 3 && clients.of(None) == 0);
        (0..5).for_each(|_| clients.subtract(clients.cell_of(v6).unwrap(), 1));
        assert_eq!(clients.greatest(), clients.cell_of(v4).map(|cell| (cell, 3)));
    }

    #[test]
    fn neighbours_share_no_cell() {
        let clients = PerClient::default();
        for number in 0..1_u32 << CELL_BITS {
            let whose = Some(Client::of(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number).into()));
            clients.add(clients.cell_of(whose).unwrap(), 1);
        }
        assert_eq!(clients.greatest().map(|(_, most)| most), Some(1));
    }
}

//! Turns of weighted endpoints, spread as evenly as they go.

/// A cycle of endpoint numbers in which each stands as often as its weight says, far from itself.
///
/// Made by the smooth weighted round robin of nginx (commit 52327e0627): every turn each endpoint gains its weight, the
/// one with most takes the turn and pays the total.
#[derive(Debug)]
pub(super) struct Sequence(Vec<u16>);

impl Sequence {
    /// `weights[i]` ≥ 1 is the share of endpoint `i`.
    pub(super) fn new(weights: &[u16]) -> Self {
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let mut shares: Vec<u64> = weights.iter().map(|&weight| u64::from(weight / divisor)).collect();
        let total: u64 = shares.iter().sum();
        if total > LENGTH_MAX {
            for share in &mut shares {
                *share = (*share * LENGTH_MAX / total).max(1);
            }
        }
        let total: i64 = shares.iter().sum::<u64>() as i64;
        if shares.iter().all(|&share| share == 1) {
            return Self((0..shares.len()).map(|index| index as u16).collect());
        }
        let mut credits = vec![0_i64; shares.len()];
        let turns = (0..total).map(|_| {
            for (credit, &share) in credits.iter_mut().zip(&shares) {
                *credit += share as i64;
            }
            // The first of equals, as nginx does.
            let winner = (0..credits.len()).rev().max_by_key(|&index| credits[index]).unwrap_or_default();
            credits[winner] -= total;
            winner as u16
        });
        Self(turns.collect())
    }

    /// Number of turns in a cycle.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whose turn is number `turn`, counted for ever; `None` without endpoints.
    pub(super) fn at(&self, turn: usize) -> Option<usize> {
        let index = turn.checked_rem(self.0.len())?;
        Some(usize::from(self.0[index]))
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Longer cycles are rounded to this many turns: making one costs turns × endpoints.
const LENGTH_MAX: u64 = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_smooth() {
        assert_eq!(Sequence::new(&[5, 1, 1]).0, [0, 0, 1, 0, 2, 0, 0], "nginx's own example");
        assert_eq!(Sequence::new(&[1, 1, 1]).0, [0, 1, 2]);
        assert_eq!(Sequence::new(&[10, 20]).0, [1, 0, 1]);
    }

    #[test]
    fn a_cycle_has_a_bound() {
        let sequence = Sequence::new(&[255, 256, 251].repeat(40));
        assert!(sequence.len() <= LENGTH_MAX as usize + 120);
    }

    #[test]
    fn no_endpoints_have_no_turn() {
        assert_eq!(Sequence::new(&[]).at(3), None);
    }
}

//! Priorities and weights of SRV records (RFC 2782) as ours. Pure.

use crate::config::WEIGHT_MAX;

/// For each priority and weight: the weight, 1 to [`WEIGHT_MAX`], and whether it is a backup.
pub(super) fn shares(records: &[(u16, u16)]) -> Vec<(u16, bool)> {
    let first = records.iter().map(|(priority, _)| *priority).min().unwrap_or_default();
    let heaviest = records.iter().map(|(_, weight)| *weight).max().unwrap_or_default();
    let same = records.iter().all(|(_, weight)| *weight == heaviest);
    let share = |weight: u16| match heaviest {
        // The usual case: all are alike.
        _ if same => 1,
        ..=WEIGHT_MAX => weight.max(1),
        heaviest => {
            let scaled = u32::from(weight) * u32::from(WEIGHT_MAX) / u32::from(heaviest);
            u16::try_from(scaled).unwrap_or(WEIGHT_MAX).max(1)
        }
    };
    records.iter().map(|(priority, weight)| (share(*weight), *priority > first)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_shares_and_a_lower_priority_is_a_backup() {
        assert_eq!(shares(&[(0, 100), (0, 100)]), [(1, false), (1, false)]);
        assert_eq!(shares(&[(1, 3), (1, 0), (2, 1)]), [(3, false), (1, false), (1, true)]);
        assert_eq!(shares(&[(0, 65_535), (0, 32_768), (0, 0)]), [(256, false), (128, false), (1, false)]);
        assert_eq!(shares(&[]), []);
    }
}

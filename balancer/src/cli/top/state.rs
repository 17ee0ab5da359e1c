//! What is shown: the last status, what was seen before it, and what the person at the terminal has chosen.
//!
//! Decides which rows are shown and how long history is. Called by [`super`], [`super::keys`] and [`super::draw`]. Never grows beyond the rows
//! of one status.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::Value;

use super::ask::LookedAt;
use super::rows::{self, Sort, TopRow, plain};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Screenful {
    pub(super) status: Value,
    /// Those that pass the filter, in order.
    pub(super) shown: Vec<TopRow>,
    all: Vec<TopRow>,
    seen: Option<Instant>,
    /// Requests a second of each row, the last at the end.
    history: BTreeMap<(String, String), VecDeque<u64>>,
    pub(super) events: Vec<String>,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) mode: KeyMode,
    /// Which row is chosen, by name: it stays chosen wherever it goes.
    chosen: Option<(String, String)>,
    /// What the last order came to, or why there is no answer.
    pub(super) message: Option<String>,
    /// Why what is shown is old.
    pub(super) lost: Option<String>,
}

/// What keys mean.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum KeyMode {
    #[default]
    Watch,
    /// They are part of the filter.
    Filter,
    /// Whether that is to be done.
    Confirm { question: String, path: String },
    /// Any ends the help.
    Help,
}

impl Screenful {
    /// The instance has answered.
    pub(super) fn saw(&mut self, seen: &LookedAt, now: Instant) {
        let mut all = rows::of(&seen.status);
        let seconds = self.seen.map_or(0.0, |before| now.saturating_duration_since(before).as_secs_f64());
        rows::compare(&mut all, &self.all, seconds);
        let mut history = std::mem::take(&mut self.history);
        // Of rows that are gone nothing is kept.
        for row in &all {
            let key = key(row);
            let mut rates = history.remove(&key).unwrap_or_default();
            if let Some(rate) = row.rate {
                rates.push_back(rate.round() as u64);
                rates.drain(..rates.len().saturating_sub(HISTORY));
            }
            self.history.insert(key, rates);
        }
        self.events = seen.events.iter().map(|line| plain(line)).collect();
        (self.status, self.all, self.seen, self.lost) = (seen.status.clone(), all, Some(now), None);
        self.arrange();
    }

    /// It has not.
    pub(super) fn saw_nothing(&mut self, why: String) {
        self.lost = Some(plain(&why));
    }

    /// What an order came to.
    pub(super) fn say(&mut self, text: String) {
        self.message = Some(plain(&text.lines().collect::<Vec<_>>().join("; ")));
    }

    /// Sorts and filters anew.
    pub(super) fn arrange(&mut self) {
        let wanted = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        let is_wanted = |row: &&TopRow| [&row.pool, &row.name, &row.state].into_iter().any(|text| has(text));
        self.shown = self.all.iter().filter(is_wanted).cloned().collect();
        let sort = self.sort;
        self.shown.sort_by(|a, b| sort.order(a, b));
    }

    /// Requests a second of a row, the oldest first.
    pub(super) fn history(&self, row: &TopRow) -> Vec<u64> {
        self.history.get(&key(row)).map(|rates| rates.iter().copied().collect()).unwrap_or_default()
    }

    /// Which of those shown is chosen: the first, where the chosen one is not among them.
    pub(super) fn chosen(&self) -> Option<usize> {
        let found = self.chosen.as_ref().and_then(|chosen| self.shown.iter().position(|row| key(row) == *chosen));
        found.or(if self.shown.is_empty() { None } else { Some(0) })
    }

    /// Chooses the row so many further down, or up.
    pub(super) fn choose(&mut self, further: isize) {
        let Some(at) = self.chosen() else { return };
        let at = at.saturating_add_signed(further).min(self.shown.len().saturating_sub(1));
        self.chosen = self.shown.get(at).map(key);
    }
}

fn key(row: &TopRow) -> (String, String) {
    (row.pool.clone(), row.name.clone())
}

/// Looks of which rates are kept: what a sparkline shows at most.
const HISTORY: usize = 60;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn seen(requests: &[(&str, u64)]) -> LookedAt {
        let endpoint = |(name, requests): &(&str, u64)| json!({ "name": name, "state": "up", "figures": { "requests": requests } });
        let endpoints: Vec<Value> = requests.iter().map(endpoint).collect();
        LookedAt {
            status: json!({ "pools": [{ "name": "app", "rows": endpoints }] }),
            events: vec!["12:00:00 a\u{1b}[2J".into()],
        }
    }

    #[test]
    fn the_chosen_row_stays_chosen_while_others_come_and_go() {
        let (mut state, now) = (Screenful::default(), Instant::now());
        assert_eq!(state.chosen(), None);
        state.choose(1);
        state.saw(&seen(&[("a", 1), ("b", 1), ("c", 1)]), now);
        state.choose(1);
        assert_eq!(state.chosen(), Some(1));
        state.saw(&seen(&[("0", 1), ("a", 1), ("b", 1)]), now);
        assert_eq!(state.chosen(), Some(2), "b");
        state.choose(9);
        state.choose(-9);
        assert_eq!(state.chosen(), Some(0));
        state.choose(2);
        state.saw(&seen(&[("a", 1)]), now);
        assert_eq!((state.chosen(), state.events[0].as_str()), (Some(0), "12:00:00 a\u{b7}[2J"));
    }

    #[test]
    fn history_has_an_end_and_goes_with_its_row() {
        let (mut state, mut now) = (Screenful::default(), Instant::now());
        for look in 0..100 {
            now += Duration::from_secs(1);
            state.saw(&seen(&[("a", look * 10), ("b", 0)]), now);
        }
        assert_eq!(state.history(&state.shown[0]), vec![10; 60]);
        state.saw(&seen(&[("b", 0)]), now);
        assert_eq!((state.history.len(), state.shown.len()), (1, 1));
    }

    #[test]
    fn a_filter_leaves_rows_by_pool_name_and_state() {
        let mut state = Screenful::default();
        state.saw(&seen(&[("alpha", 1), ("beta", 1)]), Instant::now());
        for (filter, count) in [("ALP", 1), ("app", 2), ("up", 2), ("nothing", 0), ("", 2)] {
            state.filter = filter.to_owned();
            state.arrange();
            assert_eq!(state.shown.len(), count, "{filter}");
        }
    }
}

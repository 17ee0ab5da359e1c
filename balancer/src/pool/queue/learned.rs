//! What has been learned of a pool's requests, in a form that outlives the process: pure.
//!
//! Decides what of it is worth keeping and what of a text is believed. Called by `app`, through the pool. Never reads a file.

use std::time::Instant;

use serde_json::{Value, json};

use super::forecast::{DAY, Entry, FORGOTTEN, Forecast, KIND_OF, Kind, Mean, SECONDS_OF, SETS, TYPICAL_OF, WAYS};

/// How long requests of a pool take, by kind.
#[derive(Debug, Clone)]
pub struct Learned {
    typical: Mean,
    seconds: Mean,
    /// The last is how many seconds ago it was used.
    kinds: Vec<(Kind, Mean, u32)>,
}

impl Learned {
    /// As it is written.
    pub fn to_json(&self) -> Value {
        let kinds = self.kinds.iter().map(|(kind, mean, ago)| json!([kind.0, mean.value, mean.count, ago]));
        json!({
            "typical": [self.typical.value, self.typical.count],
            "seconds": [self.seconds.value, self.seconds.count],
            "kinds": kinds.collect::<Vec<_>>(),
        })
    }

    /// Reads what [`Self::to_json`] has written; `None` where any of it cannot be.
    pub fn from_json(value: &Value) -> Option<Self> {
        let typical = mean(value.get("typical")?.as_array()?, LOGARITHM, TYPICAL_OF)?;
        let seconds = mean(value.get("seconds")?.as_array()?, (0.0, DAY), SECONDS_OF)?;
        let kinds = value.get("kinds")?.as_array().filter(|kinds| kinds.len() <= SETS * WAYS)?;
        let kind = |entry: &Value| {
            let entry = entry.as_array()?;
            let kind = Kind(entry.first()?.as_u64().filter(|kind| *kind > 0)?);
            let ago = u32::try_from(entry.get(3)?.as_u64()?).ok().filter(|ago| *ago <= FORGOTTEN)?;
            Some((kind, mean(&entry[1..], LOGARITHM, KIND_OF)?, ago))
        };
        Some(Self { typical, seconds, kinds: kinds.iter().map(kind).collect::<Option<_>>()? })
    }
}

impl Forecast {
    /// What is known by now; `None` where nothing is.
    pub(in crate::pool) fn learned(&self, now: Instant) -> Option<Learned> {
        let age = self.age(now);
        let entries = self.sets.iter().flatten().filter(|entry| entry.kind != Kind::default());
        let kinds = entries.map(|entry| (entry.kind, entry.mean, age.saturating_sub(entry.used)));
        let kinds = kinds.filter(|(_, _, ago)| *ago <= FORGOTTEN).collect();
        (self.typical.count > 0).then_some(Learned { typical: self.typical, seconds: self.seconds, kinds })
    }

    /// Goes on from what was learned before, unless something is known already. The time in between does not count.
    pub(in crate::pool) fn remember(&mut self, learned: &Learned, now: Instant) {
        if self.typical.count > 0 {
            return;
        }
        (self.typical, self.seconds) = (learned.typical, learned.seconds);
        let age = self.age(now);
        for &(kind, mean, ago) in &learned.kinds {
            let set = &mut self.sets[kind.0 as usize % SETS];
            let free = set.iter_mut().find(|entry| entry.kind == Kind::default() || entry.kind == kind);
            if let Some(entry) = free {
                *entry = Entry { kind, mean, used: age.saturating_sub(ago) };
            }
        }
        self.typical_changed();
    }
}

/// A value and a count, as far as they can be.
fn mean(pair: &[Value], (least, most): (f32, f32), count_max: u16) -> Option<Mean> {
    let value = pair.first()?.as_f64()? as f32;
    let count = u16::try_from(pair.get(1)?.as_u64()?).ok()?;
    let is_possible = (least..=most).contains(&value) && (1..=count_max).contains(&count);
    is_possible.then_some(Mean { value, count })
}

/// Of seconds, from a microsecond to a day.
const LOGARITHM: (f32, f32) = (-14.0, 11.5);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;

    fn kind(path: &str) -> Kind {
        Kind::of(&Method::GET, path)
    }

    fn taught(now: Instant) -> Forecast {
        let mut forecast = Forecast::new(now);
        for _ in 0..20 {
            forecast.learn(kind("/a"), Duration::from_millis(5), true, now);
        }
        for _ in 0..2 {
            forecast.learn(kind("/report"), Duration::from_secs(1), true, now);
        }
        forecast
    }

    fn slow(forecast: &Forecast, path: &str, now: Instant) -> bool {
        forecast.slow(kind(path), || 4, now).is_some()
    }

    #[test]
    fn what_was_learned_is_known_after_a_restart_and_forgotten_no_later() {
        let now = Instant::now();
        let text = taught(now).learned(now + Duration::from_secs(400)).unwrap().to_json().to_string();
        let learned = Learned::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        let (mut forecast, begun) = (Forecast::new(now), now);
        forecast.remember(&learned, begun);
        assert!(slow(&forecast, "/report", begun) && !slow(&forecast, "/a", begun));
        assert!(slow(&forecast, "/report", begun + Duration::from_secs(200)));
        assert!(!slow(&forecast, "/report", begun + Duration::from_secs(201)), "400 s were over before");
        assert_eq!(forecast.learned(begun).unwrap().to_json().to_string(), text);
    }

    #[test]
    fn nothing_is_kept_of_nothing_and_nothing_known_is_replaced() {
        let now = Instant::now();
        assert!(Forecast::new(now).learned(now).is_none());
        let mut other = Forecast::new(now);
        other.learn(kind("/report"), Duration::from_millis(5), true, now);
        other.remember(&taught(now).learned(now).unwrap(), now);
        assert!(!slow(&other, "/report", now));
        assert!(taught(now).learned(now + Duration::from_secs(700)).unwrap().kinds.is_empty());
    }

    #[test]
    fn what_nobody_can_have_written_is_not_believed() {
        let good = taught(Instant::now()).learned(Instant::now()).unwrap().to_json();
        assert!(Learned::from_json(&good).is_some());
        let many = vec![json!([1, 0.0, 1, 0]); SETS * WAYS + 1];
        for (key, bad) in [
            ("typical", json!(null)),
            ("typical", json!([1e30, 5])),
            ("typical", json!([-5.0, 0])),
            ("typical", json!([-5.0, 65_536])),
            ("seconds", json!([-1.0, 5])),
            ("seconds", json!("x")),
            ("kinds", json!([[0, -5.0, 1, 0]])),
            ("kinds", json!([[1, -5.0, 1]])),
            ("kinds", json!([[1, -5.0, 17, 0]])),
            ("kinds", json!([[1, -5.0, 1, 601]])),
            ("kinds", json!([[-1, -5.0, 1, 0]])),
            ("kinds", json!([[]])),
            ("kinds", json!({})),
            ("kinds", json!(many)),
        ] {
            let mut value = good.clone();
            value[key] = bad;
            assert!(Learned::from_json(&value).is_none(), "{key}: {}", value[key]);
        }
        for bad in [json!(null), json!([]), json!({})] {
            assert!(Learned::from_json(&bad).is_none());
        }
    }
}

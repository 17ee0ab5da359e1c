//! When a worker is replaced though it runs, and what it has to do before it takes requests. Decides on the limits; called
//! by [`super::workers`]; never looks at a worker.

use std::time::Duration;

use super::question::{self, Question};
use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;
use crate::config::syntax::units::{DURATION_MAX, DURATION_MIN};

/// Limits of one run of a worker; the supervisor moves each by up to a tenth at random.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recycle {
    /// Replaced after so many requests; at least 1.
    pub requests_max: Option<u64>,
    /// Replaced when its process is as old.
    pub age_max: Option<Duration>,
    /// Replaced when its process group uses more bytes.
    pub memory_max: Option<u64>,
    /// Replaced, and at once, when a request's response header takes longer.
    pub hang_timeout: Option<Duration>,
}

/// Requests a worker answers before it takes traffic, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmUp {
    /// What each asks.
    pub question: Question,
    /// How many at most; at least 1.
    pub requests: u32,
    /// Done sooner when three in a row were answered within this time.
    pub settle: Option<Duration>,
}

pub(in crate::config) fn read(section: &mut Section<'_>) -> Recycle {
    Recycle {
        requests_max: section.take("requests_max").and_then(|item| item.integer(1..=REQUESTS_LARGE)),
        age_max: section.take("age_max").and_then(|item| item.duration(AGE_SMALL..=DURATION_MAX)),
        memory_max: section.take("memory_max").and_then(|item| item.size(MEMORY_SMALL..=MEMORY_LARGE)),
        hang_timeout: section.take("hang_timeout").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX)),
    }
}

/// The key `warm_up`.
pub(in crate::config) fn warm_up(item: &Item<'_>) -> Option<WarmUp> {
    let example = "{ path = \"/\", requests = 20, settle = \"200ms\" }";
    let mut section = item.section("pool.NAME.workers.warm_up", example)?;
    let path = section.take("path").map_or(Some("/".to_owned()), |item| question::path(&item));
    let (host, fields) = question::read(&mut section, true);
    let requests = section.take("requests").map_or(Some(REQUESTS), |item| item.integer(1..=REQUESTS_MAX));
    let settle = section.take("settle").and_then(|item| item.duration(DURATION_MIN..=DURATION_MAX));
    section.finish();
    Some(WarmUp { question: Question { host, fields, ..Question::of(path?) }, requests: requests?, settle })
}

const REQUESTS: u32 = 20;
const REQUESTS_MAX: u32 = 10_000;
const REQUESTS_LARGE: u64 = 1 << 53;
/// Less would replace workers all the time.
const AGE_SMALL: Duration = Duration::from_secs(1);
/// Less than this no program needs.
const MEMORY_SMALL: u64 = 1 << 20;
const MEMORY_LARGE: u64 = 1 << 50;

//! Which word somebody may have meant. Decides what is alike enough to be suggested; called where a word is not known, in a file and
//! on the command line; never knows what the words mean.

/// The candidate a tired person may have meant by `name`.
pub fn nearest<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.to_lowercase();
    let likeness = |candidate| (strsim::jaro_winkler(&name, candidate), candidate);
    let best = candidates.into_iter().map(likeness).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, candidate)| candidate)
}

/// The three candidates likest to `name`, however little that is.
pub(super) fn likest<'n>(name: &str, candidates: &[&'n str]) -> Vec<&'n str> {
    let mut all = candidates.to_vec();
    all.sort_by(|a, b| strsim::jaro_winkler(name, b).total_cmp(&strsim::jaro_winkler(name, a)));
    all.truncate(3);
    all
}

/// Below it a suggestion confuses more often than it helps; `leastconn` and `least_connections` are 0.91 alike.
const LIKENESS_MIN: f64 = 0.8;

//! The metrics as OpenMetrics 1.0, for whoever asks for that.
//!
//! Decides who gets it, and changes what differs from the text format of Prometheus. Called by [`super::route`]. Counts nothing.

use http::HeaderMap;
use http::header::ACCEPT;

/// The media type.
pub(super) const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a client prefers it: it is named, and not as what is refused.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let wants = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        // RFC 9110 §12.4.2: a weight of 0 is a refusal.
        named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0)))
    };
    all.into_iter().any(wants)
}

/// `text` is in the format of Prometheus. A counter's family has no `_total`, numbers in labels are canonical, and the end is told.
pub(super) fn of(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for line in text.lines() {
        match line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) {
            Some((word @ ("HELP" | "TYPE"), rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let name = name.strip_suffix("_total").unwrap_or(name);
                out.extend(["# ", word, " ", name, " ", rest]);
            }
            _ => match line.split_once("le=\"").and_then(|(before, rest)| Some((before, rest.split_once('"')?))) {
                Some((before, (bound, rest))) if bound.bytes().all(|byte| byte.is_ascii_digit()) => {
                    out.extend([before, "le=\"", bound, ".0\"", rest]);
                }
                _ => out.push_str(line),
            },
        }
        out.push('\n');
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_counters_and_bounds_are_named_as_the_format_wants() {
        let text = "# HELP a_total Some.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\
            # TYPE b histogram\nb_bucket{le=\"0.5\"} 1\nb_bucket{p=\"q\",le=\"10\"} 1\nb_bucket{le=\"+Inf\"} 1\n";
        let expected = "# HELP a Some.\n# TYPE a counter\na_total{x=\"1\"} 2\n\
            # TYPE b histogram\nb_bucket{le=\"0.5\"} 1\nb_bucket{p=\"q\",le=\"10.0\"} 1\nb_bucket{le=\"+Inf\"} 1\n# EOF\n";
        assert_eq!(of(text), expected);
    }

    #[test]
    fn only_who_names_it_gets_it() {
        let wanted = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(wanted(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(wanted("text/plain, Application/OpenMetrics-Text"));
        for other in ["*/*", "text/plain", "application/openmetrics-text;q=0", "application/*", ""] {
            assert!(!wanted(other), "{other}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}

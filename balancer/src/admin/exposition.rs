//! The text format of Prometheus (exposition format 0.0.4): families, samples, histograms.
//!
//! Decides how a name, a label and a number are written. Called by [`super::prometheus`]. Knows nothing of what is counted.

use std::borrow::Cow;
use std::fmt::Write;

use crate::observe::{BOUNDS, Times};

/// What is written so far.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    pub(super) fn times(&mut self, name: &str, labels: Labels<'_>, times: &Times) {
        let (bucket, mut below) = (format!("{name}_bucket"), 0);
        for (bound, count) in BOUNDS.iter().zip(&times.buckets) {
            below += count;
            let bound = (*bound as f64 / 1e6).to_string();
            self.sample(&bucket, &with(labels, &bound), below as f64);
        }
        self.sample(&bucket, &with(labels, "+Inf"), times.count() as f64);
        self.sample(&format!("{name}_sum"), labels, times.sum);
        self.sample(&format!("{name}_count"), labels, times.count() as f64);
    }

    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to memory does not fail, here and below.
        let _ = writeln!(self.0, "# HELP balancer_{name} {help}\n# TYPE balancer_{name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        let _ = write!(self.0, "balancer_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = escaped(text);
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn with<'a>(labels: Labels<'a>, bound: &'a str) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain([("le", bound)]).collect()
}

/// What stands between the quotes of a label; seldom anything else than the text itself.
fn escaped(text: &str) -> Cow<'_, str> {
    match text.contains(['\\', '"', '\n']) {
        false => Cow::Borrowed(text),
        true => text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into(),
    }
}

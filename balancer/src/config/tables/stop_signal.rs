//! `stop_signal`. Decides which signals may ask a worker to stop; called by [`super::workers`]; never sends one.

use crate::config::syntax::diagnostics::quote;
use crate::config::syntax::item::Item;

/// Signal of a polite stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGWINCH.
    Winch,
}

pub(super) fn stop_signal(item: &Item<'_>) -> Option<StopSignal> {
    match item.as_text().map(|text| (text, text.to_ascii_uppercase())) {
        Some((text, upper)) if matches!(upper.trim_start_matches("SIG"), "KILL" | "STOP") => {
            let help = "write \"TERM\"; KILL follows after `stop_timeout`, at once if that is \"0s\"";
            item.wrong(format!("no worker can act on {}", quote(text)), help);
            None
        }
        Some((text, upper))
            if SIGNALS.iter().any(|(name, _)| *name == upper.trim_start_matches("SIG") && *name != text) =>
        {
            item.wrong(
                format!("`stop_signal` cannot be {}", quote(text)),
                format!("write \"{}\"", upper.trim_start_matches("SIG")),
            );
            None
        }
        _ => item.choice(SIGNALS),
    }
}

/// Signals a worker may take as a polite stop.
const SIGNALS: &[(&str, StopSignal)] = &[
    ("TERM", StopSignal::Term),
    ("INT", StopSignal::Int),
    ("QUIT", StopSignal::Quit),
    ("HUP", StopSignal::Hup),
    ("USR1", StopSignal::Usr1),
    ("USR2", StopSignal::Usr2),
    ("WINCH", StopSignal::Winch),
];

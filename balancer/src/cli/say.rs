//! What a command says, and the code it ends with. Decides nothing; called by every command. Never fails for want of a reader.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::observe::printable;

/// One line on stderr, or several.
pub(super) fn say(text: &str) {
    // There is nowhere left to complain to.
    let _ = writeln!(io::stderr(), "{}", printable::lines(text));
}

/// One line on stderr, and the exit code of a failure at run time.
pub(super) fn fail(text: &str) -> ExitCode {
    say(text);
    ExitCode::FAILURE
}

/// Writes a command's answer to stdout. A reader that has had enough (`| head`) is no failure.
pub(super) fn print(bytes: &[u8]) -> ExitCode {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&format!("balancer: cannot write: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

/// The same with what an instance has said, which may repeat others.
pub(super) fn show(text: &str) -> ExitCode {
    print(printable::lines(text).as_bytes())
}

/// EX_CONFIG of sysexits.h.
pub(super) const WRONG_CONFIGURATION: u8 = 78;
/// As clap ends with.
pub(super) const WRONG_ARGUMENTS: u8 = 2;

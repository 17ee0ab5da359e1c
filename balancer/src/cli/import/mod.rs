//! `balancer import FILE`: another program's file as an `lb.toml` on stdout.
//!
//! Decides which reader a file gets, and the exit code. Called by [`super`]. Never writes a file, and never starts what it has read.

mod command;
mod compose;
mod ecosystem;
mod front;
mod kind;
mod nginx;
mod procfile;
mod setup;
mod supervisord;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use super::say::{WRONG_CONFIGURATION, print, say};
use crate::config::{self, read_text};
use kind::Format;
use setup::{Setup, Unreadable, Weight};

/// What to read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code 1: something that clients see has no counterpart; the file says what.\n\
    Try it: balancer import /etc/nginx/nginx.conf > lb.toml && balancer check --config lb.toml")]
pub(super) struct Options {
    /// The file of another program
    file: PathBuf,

    /// What it is a file of [default: by its name and text]
    #[arg(long, value_enum)]
    kind: Option<Format>,
}

pub(super) fn run(options: &Options) -> ExitCode {
    let path = options.file.as_path();
    let shown = path.display().to_string();
    let text = match read_text(path) {
        Ok(text) => text,
        Err(cause) => return refused(&format!("cannot read {shown}: {cause}")),
    };
    if text.trim().is_empty() {
        return refused(&format!("{shown} is empty: there is nothing to import"));
    }
    if text.contains('\0') {
        return refused(&format!("cannot read {shown}: it is no text"));
    }
    let Some(kind) = options.kind.or_else(|| kind::of(path, &text)) else {
        return refused(&format!(
            "{shown}: neither its name nor its text tells what it is a file of: add --kind {KINDS}"
        ));
    };
    match read(kind, &text, path) {
        Ok(mut setup) => {
            setup
                .remarks
                .sort_by(|one, other| (&one.place.file, one.place.line).cmp(&(&other.place.file, other.place.line)));
            written(&setup, &shown)
        }
        Err(mistake) => refused(&mistake.to_string()),
    }
}

fn refused(text: &str) -> ExitCode {
    say(text);
    ExitCode::from(WRONG_CONFIGURATION)
}

fn read(kind: Format, text: &str, path: &Path) -> Result<Setup, Unreadable> {
    let file: Rc<str> = path.display().to_string().into();
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    match kind {
        Format::Nginx => {
            let other = |name: &str| {
                let path = directory.join(name);
                let text = read_text(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
                Ok((path.display().to_string().into(), text))
            };
            nginx::read(text, &file, &directory, &other)
        }
        Format::Pm2 => ecosystem::read(text, &file, &directory),
        Format::Procfile => procfile::read(text, &file, &directory, directory.join(".env").is_file()),
        Format::Supervisord => supervisord::read(text, &file, &directory),
        Format::Compose => compose::read(text, &file),
    }
}

/// Prints what came of a file, and tells what of it is not as it was.
fn written(setup: &Setup, file: &str) -> ExitCode {
    let text = writer::write(setup, file);
    let mistakes = if setup.pools.is_empty() { Vec::new() } else { mistakes(&text) };
    let refusal: String = mistakes.iter().map(|mistake| format!("#   {}\n", writer::on_one_line(mistake))).collect();
    let text = match refusal.is_empty() {
        true => text,
        false => format!("# `balancer check` refuses this file as it stands:\n{refusal}#\n{text}"),
    };
    match print(text.as_bytes()) {
        code if code != ExitCode::SUCCESS => return code,
        _ => {}
    }
    for remark in setup.remarks.iter().filter(|remark| remark.weight == Weight::Seen) {
        say(&writer::on_one_line(&format!("{}: {}", remark.place, remark.text)));
    }
    for mistake in &mistakes {
        say(&format!("`balancer check` will say: {mistake}"));
    }
    if setup.pools.is_empty() {
        say(&format!("{file}: nothing in it can be served here: no pool came of it"));
        return ExitCode::FAILURE;
    }
    match mistakes.is_empty() && !setup.changes_what_clients_see() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What our own reader says of a text.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = config::parse(text, "lb.toml").err();
    let told = |one: &config::Diagnostic| format!("{}; {}", one.message, one.help);
    mistakes.iter().flat_map(|mistakes| mistakes.iter()).map(told).collect()
}

/// As `--kind` has them.
const KINDS: &str = "nginx, pm2, procfile, supervisord or compose";

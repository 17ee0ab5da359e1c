//! `balancer man`: a page for each command, made of what it says of itself and of what all of them have in common.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::say::{WRONG_ARGUMENTS, WRONG_CONFIGURATION, fail, print, say};
use crate::config::nearest;

/// Which pages, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Of which command [default: of the program]
    command: Option<String>,

    /// Write every page into this folder, which is made: balancer.1, balancer-check.1, …
    #[arg(long, short, value_name = "FOLDER", conflicts_with = "command")]
    directory: Option<PathBuf>,
}

pub(super) fn run(options: &Options, root: Command) -> ExitCode {
    let commands = commands(root);
    if let Some(directory) = &options.directory {
        return match write_all(&commands, directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("balancer: cannot write the pages into {}: {error}", directory.display())),
        };
    }
    let wanted = options.command.as_deref().unwrap_or_default();
    let is_it = |command: &&Command| title(command) == "balancer" && wanted.is_empty() || command.get_name() == wanted;
    let Some(command) = commands.iter().find(is_it) else {
        let near = nearest(wanted, commands.iter().map(Command::get_name));
        let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        say(&format!("balancer: there is no command {wanted}{near}"));
        return ExitCode::from(WRONG_ARGUMENTS);
    };
    match page(command, &commands) {
        Ok(page) => print(&page),
        Err(error) => fail(&format!("balancer: {error}")),
    }
}

/// The program, then what it can be told to do.
fn commands(root: Command) -> Vec<Command> {
    let mut root = root.disable_help_subcommand(true);
    root.build();
    let below = root.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    [root.clone()].into_iter().chain(below).collect()
}

fn write_all(commands: &[Command], directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    commands.iter().try_for_each(|command| {
        let file = directory.join(format!("{}.1", title(command)));
        fs::write(file, page(command, commands)?)
    })
}

/// `balancer` or `balancer-check`.
fn title(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &Command, all: &[Command]) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let source = concat!("balancer ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("User Commands").render(&mut page)?;
    let kind = Kind::of(command.get_name());
    let mut rest = Roff::new();
    if matches!(kind, Kind::Serves | Kind::Tries) {
        list(&mut rest, "SIGNALS", SIGNALS);
    }
    let codes: Vec<(&str, &str)> =
        EXIT_STATUS.iter().filter(|(_, of, _)| of.contains(&kind)).map(|(code, _, text)| (*code, *text)).collect();
    list(&mut rest, "EXIT STATUS", &codes);
    let files: Vec<(&str, &str)> =
        FILES.iter().filter(|(_, of, _)| of.contains(&kind)).map(|(path, _, text)| (*path, *text)).collect();
    if !files.is_empty() {
        list(&mut rest, "FILES", &files);
    }
    let others: Vec<String> =
        all.iter().filter(|other| title(other) != title(command)).map(|other| format!("{}(1)", title(other))).collect();
    rest.control("SH", ["SEE ALSO"]);
    rest.text([roman(others.join(", "))]);
    rest.to_writer(&mut page)?;
    Ok(page)
}

fn list(page: &mut Roff, heading: &str, entries: &[(&str, &str)]) {
    page.control("SH", [heading]);
    for (term, text) in entries {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*text)]);
    }
}

/// What a command has to do with a running instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is one, of a file.
    Serves,
    /// It is one without a file.
    Tries,
    /// It looks at its file.
    Checks,
    /// It asks one, or tells it what to do.
    Asks,
    /// It reads the file of another program.
    Imports,
    /// Nothing.
    Prints,
}

impl Kind {
    fn of(command: &str) -> Self {
        match command {
            "balancer" => Self::Serves,
            "demo" | "run" => Self::Tries,
            "check" => Self::Checks,
            "import" => Self::Imports,
            "backend" | "completions" | "man" => Self::Prints,
            _ => Self::Asks,
        }
    }
}

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGTERM, SIGINT, SIGQUIT",
        "Take no new requests, let those in flight finish, stop the workers. A second one: now.",
    ),
    (
        "SIGHUP",
        "Read the configuration again, as balancer reload does. Without a file (demo, run): stop, unless HUP is ignored (nohup).",
    ),
    ("SIGUSR1", "Open the file of the access log again, after it was rotated."),
];

const EXIT_STATUS: &[(&str, &[Kind], &str)] = &[
    ("0", &[Kind::Serves, Kind::Tries], "Stopped as asked."),
    ("0", &[Kind::Checks], "The file is correct; there may be warnings."),
    ("0", &[Kind::Asks, Kind::Prints], "Done."),
    ("0", &[Kind::Imports], "All of the file was taken, or what was not is nothing that clients see."),
    ("1", &[Kind::Imports], "Something that clients see has no counterpart; the output and the messages say what."),
    ("1", &[Kind::Serves, Kind::Tries, Kind::Prints], "Failed; the message says why."),
    (
        "1",
        &[Kind::Asks],
        "Failed; the message says why. Of certificates also: one is missing, expires soon, or was not renewed.",
    ),
    (
        "2",
        &[Kind::Serves, Kind::Tries, Kind::Checks, Kind::Asks, Kind::Prints, Kind::Imports],
        "Wrong arguments, or an order that makes no sense.",
    ),
    ("3", &[Kind::Asks], "No running instance; of status also: no pool can serve."),
    ("78", &[Kind::Serves, Kind::Checks, Kind::Asks], "The configuration is wrong; every mistake of it was told."),
    ("78", &[Kind::Imports], "The file cannot be read as what it is."),
    ("126, 127", &[Kind::Tries], "Of run: the program may not be executed, is not there."),
];

const FILES: &[(&str, &[Kind], &str)] = &[
    (
        "./lb.toml, /etc/balancer/lb.toml",
        &[Kind::Serves, Kind::Checks, Kind::Asks],
        "The configuration, where neither --config nor $BALANCER_CONFIG names another.",
    ),
    (
        "$XDG_RUNTIME_DIR/balancer/, /run/balancer/",
        &[Kind::Serves, Kind::Tries, Kind::Asks],
        "Sockets by which commands reach the instances that run.",
    ),
    (
        "$STATE_DIRECTORY",
        &[Kind::Serves],
        "What is remembered over a restart, where the configuration has no state_dir.",
    ),
    ("$CACHE_DIRECTORY", &[Kind::Serves], "Where large request bodies wait, where the configuration has no spool_dir."),
];

const _: () = assert!(WRONG_CONFIGURATION == 78 && WRONG_ARGUMENTS == 2, "as the pages have it");

//! `[program:NAME]` → a pool with workers. Decides which of our keys each of supervisord's becomes; called by [`super`]; never compares
//! programs.

use std::time::Duration;

use toml::{Table, Value};

use super::expand::{Expanded, Fillings};
use super::ini::{IniEntry, IniSection};
use crate::cli::import::command::{self, ListenArgument};
use crate::cli::import::front::{self, Reached};
use crate::cli::import::setup::{PoolDraft, Setup, TableKeys, shortened};
use crate::config::show_duration;

/// Where its clients find it, if it serves HTTP; nothing where it is not taken at all.
pub(super) fn read(section: &IniSection, name: &str, here: &str, setup: &mut Setup) -> Option<Reached> {
    let Some(command) = section.get("command") else {
        setup.unseen(&section.place, format!("program {name}: it has no command: left out"));
        return None;
    };
    if section.text("autostart").is_some_and(is_false) {
        setup.unseen(&section.place, format!("program {name}: autostart=false: left out, for all pools are started"));
        return None;
    }
    let number = |key: &str| section.text(key)?.parse::<u64>().ok();
    let names = Fillings { program: name, here, first: number("numprocs_start").unwrap_or(0) };
    let Some(words) = command::words(&command.value) else {
        setup.seen(&command.place, format!("program {name}: a quotation mark of its command has no other: left out"));
        return None;
    };
    let mut program = Program { name: setup.free_name(name), workers: TableKeys::default(), names, setup };
    let count = number("numprocs").unwrap_or(1).clamp(1, COUNT_MAX);
    let (mut words, first_port) = program.arguments(&words, command);
    let bound = command::listening(&mut words);
    program.workers.set("command", words);
    if count > 1 {
        program.workers.set("count", i64::try_from(count).unwrap_or(1));
    }
    let listen = match (first_port, bound) {
        // Clients know them by these.
        (Some(port), _) => {
            program.workers.set("first_port", i64::from(port));
            Some(None)
        }
        (None, Some(ListenArgument::Port { host, port })) => {
            Some((count == 1).then(|| Value::from(format!("{host}:{port}"))))
        }
        (None, Some(ListenArgument::Socket(path))) => {
            program.workers.set("socket", true);
            Some((count == 1).then(|| front::socket(&path)))
        }
        (None, None) => None,
    };
    section.entries.iter().for_each(|entry| program.key(entry));
    if listen.is_none() {
        let seconds = number("startsecs").unwrap_or(1).clamp(1, ALIVE_MAX);
        program.workers.set("ready", Table::from_iter([("alive".to_owned(), format!("{seconds}s").into())]));
    }
    let (pool, workers) = (program.name, program.workers);
    setup.pools.push(PoolDraft { name: pool.clone(), keys: TableKeys::default(), workers: Some(workers) });
    if let Some(first) = first_port {
        let last = u64::from(first) + count - 1;
        let text = format!(
            "program {name}: clients find its workers behind `listen`; ports {first} to {last} are those of its workers, \
             which change when one is replaced"
        );
        setup.seen(&command.place, text);
    }
    listen.map(|listen| Reached { pool, place: section.place.clone(), listen, found: None })
}

struct Program<'a> {
    name: String,
    workers: TableKeys,
    names: Fillings<'a>,
    setup: &'a mut Setup,
}

impl Program<'_> {
    /// The words of the command as ours has them, and the first port that is made of a number.
    fn arguments(&mut self, words: &[String], command: &IniEntry) -> (Vec<String>, Option<u16>) {
        let expanded: Vec<Expanded> = words.iter().map(|word| self.names.argument(word)).collect();
        for unknown in expanded.iter().flat_map(|one| &one.unknown) {
            let text = format!("program {}: %({unknown})s is not filled in", self.name);
            self.setup.seen(&command.place, text);
        }
        let port = expanded.iter().find_map(|one| one.first_port);
        (expanded.into_iter().map(|one| one.text).collect(), port)
    }

    fn key(&mut self, entry: &IniEntry) {
        let value = self.names.value(&entry.value);
        let text = value.text.as_str();
        match entry.key.as_str() {
            "directory" => self.workers.set("directory", text),
            "user" => self.workers.set("user", text),
            "environment" => self.environment(entry),
            "autorestart" if is_false(text) => self.workers.set("restart", "never"),
            "autorestart" if text.eq_ignore_ascii_case("unexpected") => self.workers.set("restart", "on_failure"),
            "stopwaitsecs" => {
                if let Some(time) = entry.value.parse::<u64>().ok().filter(|time| *time > 0) {
                    self.workers.set("stop_timeout", show_duration(Duration::from_secs(time.min(MONTH))));
                }
            }
            "stopsignal" => self.stop_signal(entry),
            "stdout_logfile" => match entry.value.to_ascii_uppercase().as_str() {
                "NONE" | "/DEV/NULL" => self.workers.set("output", "null"),
                "AUTO" | "/DEV/STDOUT" | "/DEV/STDERR" | "/DEV/FD/1" | "/DEV/FD/2" | "/PROC/SELF/FD/1" => {}
                _ => self.unseen(
                    entry,
                    "lines go to stdout, each behind its worker's name; output = \"file\" with output_dir keeps files",
                ),
            },
            "startretries" => self.unseen(entry, "a worker is started again without end, ever later: `backoff`"),
            "exitcodes" if entry.value != "0" => {
                self.unseen(entry, "with restart = \"on_failure\" exit code 0 alone is no failure")
            }
            "priority" => self.unseen(entry, "`after` says which pools are ready before these workers start"),
            "umask" => self.unseen(entry, "workers have the umask that balancer is started with"),
            "command" | "numprocs" | "numprocs_start" | "process_name" | "autostart" | "autorestart" | "startsecs"
            | "stopasgroup" | "killasgroup" | "redirect_stderr" | "stderr_logfile" | "serverurl" | "exitcodes" => {}
            key if key.ends_with("_maxbytes")
                || key.ends_with("_backups")
                || key.ends_with("_enabled")
                || key.ends_with("_syslog") => {}
            _ => self.unseen(entry, "nothing is known of it here"),
        }
        for unknown in value.unknown.iter().filter(|_| ["directory", "user"].contains(&entry.key.as_str())) {
            self.unseen(entry, &format!("%({unknown})s is not filled in"));
        }
    }

    /// `A="b",C=d`.
    fn environment(&mut self, entry: &IniEntry) {
        let known = self.workers.get("env").and_then(Value::as_table).cloned().unwrap_or_default();
        let read: Vec<(String, String)> = pairs(&entry.value);
        let values = read.into_iter().map(|(name, value)| (name, self.names.value(&value).text.into()));
        let all: Table = known.into_iter().chain(values).collect();
        if !all.is_empty() {
            self.workers.set("env", all);
        }
    }

    fn stop_signal(&mut self, entry: &IniEntry) {
        let signal = entry.value.to_ascii_uppercase();
        let signal = signal.strip_prefix("SIG").unwrap_or(&signal);
        match signal {
            "TERM" => {}
            "INT" | "QUIT" | "HUP" | "USR1" | "USR2" | "WINCH" => self.workers.set("stop_signal", signal),
            _ => self.unseen(entry, "workers are told to stop by TERM, and KILL ends those that do not"),
        }
    }

    fn unseen(&mut self, entry: &IniEntry, why: &str) {
        let text = format!("program {}: {}={}: {why}", self.name, entry.key, shortened(&entry.value));
        self.setup.unseen(&entry.place, text);
    }
}

/// The pairs of `environment`: values may stand in quotation marks, which hide a comma.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), text.trim());
    while let Some((name, behind)) = rest.split_once('=') {
        let behind = behind.trim_start();
        let mark = behind.chars().next().filter(|mark| ['"', '\''].contains(mark));
        let (value, after) = match mark.and_then(|mark| Some((mark, behind[1..].split_once(mark)?))) {
            Some((_, (value, after))) => (value, after.trim_start()),
            None => {
                let end = behind.find([',', '\n']).unwrap_or(behind.len());
                (behind[..end].trim_end(), &behind[end..])
            }
        };
        let name = name.trim_matches([',', ' ', '\n', '\t']);
        if !name.is_empty() {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        rest = after.trim_start_matches([',', ' ', '\n', '\t']);
    }
    pairs
}

fn is_false(text: &str) -> bool {
    ["false", "no", "off", "0"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// As our file has them.
const COUNT_MAX: u64 = 4_096;
const MONTH: u64 = 30 * 24 * 3_600;
const ALIVE_MAX: u64 = 3_600;

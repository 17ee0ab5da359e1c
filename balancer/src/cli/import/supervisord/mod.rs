//! `supervisord.conf` → a set-up: one pool a program.
//!
//! Decides which sections become pools. Called by [`super`] with the text. Never looks at the machine.

mod expand;
mod ini;
mod program;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::rc::Rc;

use toml::{Table, Value};

use super::front;
use super::setup::{FileLine, Setup, Unreadable, plain};
use ini::IniSection;

/// Reads a text; `file` is what it is called, `directory` where it is.
pub(super) fn read(text: &str, file: &Rc<str>, directory: &Path) -> Result<Setup, Unreadable> {
    let sections = ini::read(text, file)?;
    let mut setup = Setup::default();
    let here = directory.display().to_string();
    let mut served = Vec::new();
    let programs = sections.iter().filter(|section| section.name.starts_with("program:")).count();
    if programs > POOLS_MAX {
        let message = format!("{programs} programs, and {POOLS_MAX} are the most");
        return Err(Unreadable { place: FileLine { file: Rc::clone(file), line: 1 }, message });
    }
    for section in &sections {
        match section.name.split_once(':') {
            Some(("program", name)) => served.extend(program::read(section, name.trim(), &here, &mut setup)),
            Some((kind, name)) => other(section, kind, name, &mut setup),
            None => other(section, &section.name, "", &mut setup),
        }
    }
    if programs == 0 {
        let included =
            sections.iter().find(|section| section.name == "include").and_then(|section| section.text("files"));
        let message = match included {
            Some(files) => format!("there is no [program:NAME] in it; import the files that it includes: {files}"),
            None => "there is no [program:NAME] in it".to_owned(),
        };
        return Err(Unreadable { place: FileLine { file: Rc::clone(file), line: 1 }, message });
    }
    for_all(&sections, &mut setup);
    if served.is_empty() && !setup.pools.is_empty() {
        let place = FileLine { file: Rc::clone(file), line: 1 };
        setup.unseen(
            &place,
            "no command says where it listens, so no program is taken for one with HTTP: `ready` says it is alive",
        );
    }
    front::add(&served, &free_listen(&setup), &mut setup);
    Ok(setup)
}

/// The environment that all programs have.
fn for_all(sections: &[IniSection], setup: &mut Setup) {
    let environment =
        sections.iter().find(|section| section.name == "supervisord").and_then(|section| section.text("environment"));
    let pairs = program::pairs(environment.unwrap_or_default());
    for workers in setup.pools.iter_mut().filter_map(|pool| pool.workers.as_mut()).filter(|_| !pairs.is_empty()) {
        let own = workers.get("env").and_then(Value::as_table).cloned().unwrap_or_default();
        let wide = pairs.iter().map(|(name, value)| (name.clone(), plain(value).into()));
        workers.set("env", wide.chain(own).collect::<Table>());
    }
}

/// Sections that are no programs.
fn other(section: &IniSection, kind: &str, name: &str, setup: &mut Setup) {
    let place = &section.place;
    match kind {
        "supervisord" | "supervisorctl" | "rpcinterface" => {}
        "unix_http_server" => setup
            .unseen(place, format!("[{kind}]: each instance has a socket of its own for its commands: [admin] socket")),
        "inet_http_server" => {
            setup.unseen(place, format!("[{kind}]: the live page, metrics and commands have [admin] address"))
        }
        "group" => setup.unseen(place, format!("[group:{name}]: a pool is a group of its own")),
        "eventlistener" => {
            setup.unseen(place, format!("[eventlistener:{name}]: left out; `balancer events -f` prints what happens"))
        }
        "include" => {
            let files = section.text("files").unwrap_or_default();
            setup.seen(place, format!("[include] {files}: the files are not read: import each by itself"));
        }
        "fcgi-program" => {
            setup.seen(place, format!("[fcgi-program:{name}]: FastCGI is not spoken to workers: left out"))
        }
        _ => setup.unseen(place, format!("[{}]: nothing is known of it here", section.name)),
    }
}

/// A port that no worker has.
fn free_listen(setup: &Setup) -> String {
    let taken = |port: i64| {
        setup.pools.iter().filter_map(|pool| pool.workers.as_ref()).any(|workers| {
            let number = |key: &str| workers.get(key).and_then(Value::as_integer);
            let first = number("first_port");
            first.is_some_and(|first| (first..first + 2 * number("count").unwrap_or(1)).contains(&port))
        })
    };
    let port = [8080, 80, 8888, 9080].into_iter().find(|port| !taken(*port)).unwrap_or(8080);
    format!("127.0.0.1:{port}")
}

/// More than anybody has.
const POOLS_MAX: usize = 256;

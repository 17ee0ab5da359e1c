//! `Procfile` → a set-up: one pool a line. Decides which lines serve HTTP; called by [`super`]; never looks at the machine.

use std::path::Path;
use std::rc::Rc;

use toml::Table;

use super::command::{CommandLine, for_shell};
use super::front::{self, Reached};
use super::setup::{FileLine, PoolDraft, Setup, TableKeys, Unreadable, plain, shortened};

/// Reads a text; `directory` is that of the file, and `has_env` whether an `.env` is beside it.
pub(super) fn read(text: &str, file: &Rc<str>, directory: &Path, has_env: bool) -> Result<Setup, Unreadable> {
    let mut setup = Setup::default();
    let mut served = Vec::new();
    let place = |line| FileLine { file: Rc::clone(file), line };
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (place, line) = (place(index + 1), line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, command)) = process(line) else {
            setup.unseen(&place, format!("{}: no `name: command`, so left out", shortened(line)));
            continue;
        };
        if name == "release" {
            setup.unseen(&place, "release: it runs once for each release: run it before `balancer reload`");
            continue;
        }
        if setup.pools.len() == POOLS_MAX {
            return Err(Unreadable { place, message: format!("more than {POOLS_MAX} processes") });
        }
        let is_http = name == "web" || command.contains("$PORT") || command.contains("${PORT");
        let name = setup.free_name(name);
        let mut workers = workers(&for_shell(command));
        if !directory.as_os_str().is_empty() {
            workers.set("directory", plain(&directory.display().to_string()));
        }
        if has_env {
            workers.set("env_file", plain(&directory.join(".env").display().to_string()));
        }
        match is_http {
            true => served.push(Reached { pool: name.clone(), place, listen: None, found: None }),
            false => workers.set("ready", Table::from_iter([("alive".to_owned(), "1s".into())])),
        }
        setup.pools.push(PoolDraft { name, keys: TableKeys::default(), workers: Some(workers) });
    }
    if setup.pools.is_empty() {
        let message = "there is no line `name: command` in it, such as `web: node server.js`".to_owned();
        return Err(Unreadable { place: place(1), message });
    }
    // `web` has the port that is known.
    served.sort_by_key(|one| one.pool != "web");
    // As foreman has it, and platforms set it.
    front::add(&served, "0.0.0.0:${PORT:-5000}", &mut setup);
    Ok(setup)
}

/// Whether a text has a line of a process and no other.
pub(super) fn is_one(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    lines.peek().is_some() && lines.all(|line| process(line).is_some())
}

fn process(line: &str) -> Option<(&str, &str)> {
    let (name, command) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let command = command.trim();
    (is_name && !command.is_empty()).then_some((name, command))
}

fn workers(command: &CommandLine) -> TableKeys {
    let mut workers = TableKeys::default();
    workers.set("command", command.words.clone());
    if !command.env.is_empty() {
        workers
            .set("env", Table::from_iter(command.env.iter().map(|(name, value)| (name.clone(), plain(value).into()))));
    }
    workers
}

/// More than anybody has.
const POOLS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::writer;

    fn lines(text: &str) -> Vec<String> {
        let setup = read(text, &Rc::from("Procfile"), Path::new(""), false).unwrap();
        let written = writer::write(&setup, "Procfile");
        crate::config::parse(&written, "lb.toml").unwrap_or_else(|mistakes| panic!("{written}\n{mistakes}"));
        written.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn each_line_is_a_pool_and_those_without_a_port_serve_no_http() {
        let text = "# app\nweb: RACK_ENV=production puma -p ${PORT:-3000}\nworker: sidekiq -q a | tee log\nrelease: rake db:migrate\n";
        let expected = [
            "listen = \"0.0.0.0:${PORT:-5000}\"",
            "[pool.web.workers]",
            "command = [\"puma\", \"-p\", \"{port}\"]",
            "env = { RACK_ENV = \"production\" }",
            "[pool.worker.workers]",
            "command = [\"sh\", \"-c\", \"sidekiq -q a | tee log\"]",
            "ready = { alive = \"1s\" }",
            "[[route]]",
            "pool = \"web\"",
        ];
        assert_eq!(lines(text), expected);
    }

    #[test]
    fn the_second_program_with_a_port_has_a_path_which_clients_see() {
        let text = "api: api --port $PORT\nweb: web\nnot a line\n";
        let setup = read(text, &Rc::from("Procfile"), Path::new(""), false).unwrap();
        assert!(setup.changes_what_clients_see());
        let said: Vec<String> = setup.remarks.iter().map(|one| format!("{}: {}", one.place, one.text)).collect();
        let expected = [
            "Procfile:3: not a line: no `name: command`, so left out",
            "Procfile:1: pool api: clients have found it at an address of its own; here it has /api at 0.0.0.0:${PORT:-5000}, or a balancer of its own",
        ];
        assert_eq!(said, expected);
        assert!(
            lines(text).join("; ").ends_with("[[route]]; pool = \"web\"; [[route]]; path = \"/api\"; pool = \"api\"")
        );
    }

    #[test]
    fn a_file_without_a_process_is_refused() {
        let refused = read("# nothing\n", &Rc::from("Procfile"), Path::new(""), false).unwrap_err().to_string();
        assert_eq!(refused, "Procfile:1: there is no line `name: command` in it, such as `web: node server.js`");
        assert!(is_one("web: a\n") && !is_one("a: b\nc\n") && !is_one(""));
    }
}

//! Short files, and what becomes of them.

use super::*;
use crate::cli::import::writer;

fn set_up(text: &str) -> Result<Setup, Unreadable> {
    read(text, &Rc::from("s.conf"), Path::new("/srv"))
}

fn lines(text: &str) -> Vec<String> {
    let written = writer::write(&set_up(text).unwrap(), "s.conf");
    crate::config::parse(&written, "lb.toml").unwrap_or_else(|mistakes| panic!("{written}\n{mistakes}"));
    written.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn remarks(text: &str) -> Vec<String> {
    set_up(text).unwrap().remarks.iter().map(|one| format!("{}: {}", one.place, one.text)).collect()
}

#[test]
fn a_program_at_a_port_is_found_there_as_before() {
    let text = "[program:web]\ncommand=gunicorn --bind 127.0.0.1:8000 shop.wsgi ; the site\ndirectory=%(here)s\nuser=nobody\n\
                environment=A=\"b,c\",D=%(ENV_HOME)s\nautorestart=unexpected\nstopwaitsecs=90\nstopsignal=QUIT\nstdout_logfile=NONE\n";
    let expected = [
        "listen = \"127.0.0.1:8000\"",
        "[pool.web.workers]",
        "command = [\"gunicorn\", \"--bind\", \"127.0.0.1:{port}\", \"shop.wsgi\"]",
        "directory = \"/srv\"",
        "user = \"nobody\"",
        "env = { A = \"b,c\", D = \"${HOME}\" }",
        "restart = \"on_failure\"",
        "stop_timeout = \"90s\"",
        "stop_signal = \"QUIT\"",
        "output = \"null\"",
    ];
    assert_eq!(lines(text), expected);
    assert_eq!(remarks(text), [""; 0]);
}

#[test]
fn processes_with_ports_by_their_numbers_are_workers_with_a_first_port() {
    let text = "[program:site]\ncommand=python3 app.py --port=80%(process_num)02d\nnumprocs=4\nprocess_name=%(program_name)s-%(process_num)02d\n";
    let expected = [
        "listen = \"127.0.0.1:8080\"",
        "[pool.site.workers]",
        "command = [\"python3\", \"app.py\", \"--port={port}\"]",
        "count = 4",
        "first_port = 8000",
    ];
    assert_eq!(lines(text), expected);
    let told = "program site: clients find its workers behind `listen`; ports 8000 to 8003 are those of its workers, which change when one is replaced";
    assert_eq!(remarks(text), [format!("s.conf:2: {told}")]);
}

#[test]
fn a_program_without_a_port_serves_no_http() {
    let text = "[supervisord]\nenvironment=LANG=C\n[program:jobs]\ncommand=celery -A shop worker\nstartsecs=10\nautorestart=false\n";
    let expected = [
        "listen = \"127.0.0.1:8080\"",
        "[pool.jobs.workers]",
        "command = [\"celery\", \"-A\", \"shop\", \"worker\"]",
        "restart = \"never\"",
        "ready = { alive = \"10s\" }",
        "env = { LANG = \"C\" }",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn a_program_at_a_socket_keeps_it_for_clients() {
    let text = "[program:web]\ncommand=uvicorn app:app\n  --uds /run/app.sock\n";
    let expected = [
        "listen = { address = \"unix:/run/app.sock\", mode = \"0666\" }",
        "[pool.web.workers]",
        "command = [\"uvicorn\", \"app:app\", \"--uds\", \"{socket}\"]",
        "socket = true",
    ];
    assert_eq!(lines(text), expected);
}

#[test]
fn what_is_left_out_is_told_with_its_line() {
    let text = "[unix_http_server]\nfile=/s\n[include]\nfiles = conf.d/*.ini\n[program:a]\ncommand=a -p 8000\npriority=10\n\
                [program:b]\ncommand=b\nautostart=false\n[program:c]\n[fcgi-program:d]\n";
    let expected = [
        "s.conf:1: [unix_http_server]: each instance has a socket of its own for its commands: [admin] socket",
        "s.conf:3: [include] conf.d/*.ini: the files are not read: import each by itself",
        "s.conf:7: program a: priority=10: `after` says which pools are ready before these workers start",
        "s.conf:8: program b: autostart=false: left out, for all pools are started",
        "s.conf:11: program c: it has no command: left out",
        "s.conf:12: [fcgi-program:d]: FastCGI is not spoken to workers: left out",
    ];
    assert_eq!(remarks(text), expected);
    assert!(set_up(text).unwrap().changes_what_clients_see());
}

#[test]
fn what_is_no_file_of_supervisord_is_refused_with_its_line() {
    for (text, expected) in [
        ("a=b", "s.conf:1: `a=b` stands above the first [section]"),
        ("[program:a\n", "s.conf:1: `[program:a` has no `]`"),
        ("[program:a]\nhello\n", "s.conf:2: `hello` is no `key=value`"),
        ("[supervisord]\n", "s.conf:1: there is no [program:NAME] in it"),
        (
            "[include]\nfiles=a.ini\n",
            "s.conf:1: there is no [program:NAME] in it; import the files that it includes: a.ini",
        ),
    ] {
        assert_eq!(set_up(text).unwrap_err().to_string(), expected);
    }
}

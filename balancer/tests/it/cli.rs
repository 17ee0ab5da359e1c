//! Commands that answer and end: what they print, where, and their exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::net::TcpListener;
use std::process::Stdio;

use crate::program::{PROGRAM, balancer, file, printed, run, said, scratch, workers};

#[test]
fn a_correct_file_is_answered_with_one_line_on_stdout() {
    let path = file("check-correct", &workers(2));
    for arguments in [["check", "--config"], ["-t", "--config"]] {
        let output = run(&[&arguments[..], &[path.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let counted = "correct; 1 listener, 1 pool, 0 fixed endpoints, 2 workers, 0 warnings";
        assert_eq!(printed(&output), format!("{}: {counted}\n", path.display()));
        assert_eq!(said(&output), "");
    }
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once_with_their_places() {
    let mistakes =
        "listen = \"127.0.0.1:99999\"\nthread = 4\n[pool.app]\npolcy = \"random\"\n[pool.app.workers]\ncount = 0\n";
    let path = file("check-mistakes", mistakes);
    let path = path.to_str().unwrap();
    for arguments in [&["check", "--config", path][..], &["-t", "-c", path], &["-c", path]] {
        let output = run(arguments);
        assert_eq!((output.status.code(), printed(&output).as_str()), (Some(78), ""), "{arguments:?}");
        let said = said(&output);
        for part in [
            "`127.0.0.1:99999` is not an address to listen on",
            "did you mean `threads`?",
            "unknown key `polcy`",
            "did you mean `policy`?",
            "`count` cannot be `0`",
            "`command` is missing",
            &format!("{path}:1:10"),
            &format!("{path}:4:1"),
            "5 mistakes",
        ] {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
}

#[test]
fn a_file_that_is_none_ends_with_78_and_says_what_to_do() {
    let folder = scratch("check-none");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("empty.toml"), "# nothing yet\n").unwrap();
    std::fs::write(path("binary.toml"), b"listen = \"\xff\"").unwrap();
    for (name, expected) in [
        ("nowhere.toml", "nowhere.toml: No such file or directory"),
        ("nowhere.toml", "Name a file with --config FILE, or try `balancer demo`"),
        ("empty.toml", "empty.toml is empty. A configuration needs two things"),
        ("binary.toml", "binary.toml: not UTF-8 text: line 1, column 11"),
        (".", ": Is a directory"),
    ] {
        for command in ["check", "-t", "--log-level=info"] {
            let output = run(&[command, "--config", &path(name)]);
            assert_eq!(output.status.code(), Some(78), "{command} {name}");
            assert!(said(&output).contains(expected), "{}", said(&output));
        }
    }
    // Root may read everything.
    if !nix::unistd::geteuid().is_root() {
        std::fs::write(path("secret.toml"), "").unwrap();
        std::fs::set_permissions(path("secret.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        let output = run(&["check", "--config", &path("secret.toml")]);
        assert!(output.status.code() == Some(78) && said(&output).contains("Permission denied"), "{}", said(&output));
    }
}

#[test]
fn without_a_file_named_lb_toml_is_looked_for_here() {
    let folder = scratch("check-here");
    let check = || balancer(&["check"]).current_dir(&folder).output().unwrap();
    let output = check();
    assert!(output.status.code() == Some(78) && said(&output).contains("cannot read lb.toml: No such file"));
    std::fs::write(folder.join("lb.toml"), workers(1)).unwrap();
    assert!(printed(&check()).starts_with("lb.toml: correct; "));
    let other = file("check-environment", &workers(3));
    let output = balancer(&["check"]).current_dir(&folder).env("BALANCER_CONFIG", &other).output().unwrap();
    assert!(printed(&output).contains("3 workers"), "{}", printed(&output));
}

#[test]
fn check_warns_of_what_would_go_wrong_here() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let config = format!(
        "listen = [\"{taken}\", \"unix:/nowhere/lb.sock\"]\n\
         [pool.a]\nendpoints = [\"no-such-name.invalid:80\", \"unix:/nowhere/app.sock\"]\n\
         [pool.b.workers]\ncommand = [\"no-such-program\", \"{{port}}\"]\n\
         [admin]\nsocket = \"/nowhere/admin.sock\"\n\
         [[route]]\npool = \"a\"\n[[route]]\npath = \"/b\"\npool = \"b\"\n"
    );
    let path = file("check-warnings", &config);
    let output = run(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "a warning is no mistake: {}", said(&output));
    assert!(printed(&output).ends_with(", 6 warnings\n"), "{}", printed(&output));
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let who = format!("{} (pid {}) listens there", name.trim(), std::process::id());
    for part in [
        format!("warning: cannot listen on {taken}: {who}"),
        "warning: pool a: no-such-name.invalid:80 does not resolve: ".to_owned(),
        "warning: cannot listen on unix:/nowhere/lb.sock: /nowhere: No such file or directory".to_owned(),
        "warning: cannot open the admin socket /nowhere/admin.sock: /nowhere: No such file".to_owned(),
        "warning: pool a: there is no socket /nowhere/app.sock".to_owned(),
        "warning: pool b: command `no-such-program` not found; looked for it in PATH (".to_owned(),
    ] {
        assert!(said(&output).contains(&part), "no {part:?} in {}", said(&output));
    }
}

#[test]
fn check_shows_what_it_took_from_the_environment_and_no_secret() {
    let config = "listen = \"127.0.0.1:${PORT:-0}\"\ndrain_timeout = \"${DRAIN}\"\n[pool.a.workers]\ncommand = [\"sh\", \"-c\", \"exec a $PORT\"]\nenv = { DB = \"${DB_URL}\" }\n";
    let path = file("check-variables", config);
    let check = |command: &mut std::process::Command| command.arg("--config").arg(&path).output().unwrap();
    let output = check(balancer(&["check"]).env("DRAIN", "7s").env("DB_URL", "db://hunter2").env_remove("PORT"));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let printed = printed(&output);
    for part in [
        "from the environment: PORT in listen (line 1): not set, so \"0\"\n",
        "from the environment: DRAIN in drain_timeout (line 2): \"7s\"\n",
        "from the environment: DB_URL in pool.a.workers.env.DB (line 5): set, and not shown\n",
    ] {
        assert!(printed.contains(part), "no {part} in {printed}");
    }
    assert!(!printed.contains("hunter2"));
    let output = check(balancer(&["check"]).env_remove("DRAIN").env("DB_URL", "db://hunter2"));
    assert!(output.status.code() == Some(78) && said(&output).contains("`DRAIN` is not set"), "{}", said(&output));
}

#[test]
fn arguments_that_are_wrong_end_with_2_and_say_which() {
    for (arguments, expected) in [
        (&["frobnicate"][..], "unrecognized subcommand 'frobnicate'"),
        (&["--colour"], "unexpected argument '--colour'"),
        (&["demo", "-n", "0"], "invalid value '0' for '--count <N>'"),
        (
            &["demo", "--listen", "80800"],
            "invalid value '80800' for '--listen <ADDRESS>': write 8080 or 127.0.0.1:8080 for",
        ),
        (&["--log-level", "loud", "demo"], "--log-level (or RUST_LOG) loud: write error, warn, info, debug, trace"),
        (&["demo", "--log-level", "a=b=c"], "--log-level (or RUST_LOG) a=b=c: write error, warn, "),
        (&["completions", "tcsh"], "invalid value 'tcsh' for '<SHELL>'"),
    ] {
        let output = run(arguments);
        assert_eq!((output.status.code(), printed(&output).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn completions_name_the_commands_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = printed(&output);
        assert!(["demo", "check", "log-level", "balancer"].iter().all(|word| script.contains(word)), "{script}");
    }
}

#[test]
fn the_manual_page_is_roff() {
    let page = printed(&run(&["man"]));
    assert!(page.contains("\n.TH balancer 1") && page.contains("\n.SH SYNOPSIS"), "{page}");
}

#[test]
fn version_and_help_go_to_stdout() {
    assert_eq!(printed(&run(&["--version"])), format!("balancer {}\n", env!("CARGO_PKG_VERSION")));
    let help = printed(&run(&["--help"]));
    assert!(help.contains("balancer demo") && help.contains("check"), "{help}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    for arguments in [&["man"][..], &["completions", "zsh"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = balancer(arguments).stdout(Stdio::from(writer)).output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_built_in_worker_says_why_it_cannot_listen() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let output = run(&["backend", &port]);
    assert_eq!(output.status.code(), Some(1), "{PROGRAM}");
    let expected = format!("balancer backend: cannot listen on 127.0.0.1:{port}: ");
    assert!(said(&output).starts_with(&expected), "{}", said(&output));
}

use std::{fs, path::PathBuf, process::Command};

use nix::sys::signal::Signal;

use super::{Stage, said};

/// With a repository of two commits.
fn stage() -> Stage {
    let stage = Stage::new();
    fs::create_dir(repository(&stage)).unwrap();
    // Instructions are counted by this one: never, for no test here gets so far.
    stage.script("valgrind", "exit 1");
    git(&stage, &["init", "--quiet", "--initial-branch=main"]);
    for text in ["one", "two"] {
        fs::write(repository(&stage).join("file"), text).unwrap();
        git(&stage, &["add", "file"]);
        git(&stage, &["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "-m", text]);
    }
    stage
}

fn repository(stage: &Stage) -> PathBuf {
    stage.0.join("repository")
}

fn git(stage: &Stage, arguments: &[&str]) -> String {
    let output = Command::new("git").current_dir(repository(stage)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn guard(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.bench(&[&["guard"], arguments].concat());
    command.current_dir(repository(stage)).env("CARGO", "/no/such/cargo");
    command
}

fn checkouts(stage: &Stage) -> usize {
    git(stage, &["worktree", "list"]).lines().count() - 1
}

#[test]
fn what_is_missing_is_named() {
    let stage = stage();
    let output = guard(&stage, &["--base", "v9.9", "--only", "instructions"]).output().unwrap();
    let top = fs::canonicalize(repository(&stage)).unwrap();
    let expected = format!("bench: v9.9 names no commit of {}; give another with --base\n", top.display());
    assert_eq!((said(&output), output.status.code(), output.stdout.len()), (expected, Some(1), 0));
    let output = guard(&stage, &[]).current_dir(&stage.0).output().unwrap();
    assert!(said(&output).contains(" is in no git repository with a working tree"), "{}", said(&output));
    let output = guard(&stage, &[]).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(said(&output), "bench: no instruction counts: apt-get install valgrind\n");
    let output = guard(&stage, &[]).env("PATH", &stage.0).output().unwrap();
    assert_eq!(said(&output), "bench: missing: git. Install with: apt-get install git\n");
}

#[test]
fn a_base_that_does_not_build_is_named_and_its_checkout_removed() {
    let stage = stage();
    let cargo = stage.script("cargo", "case \"$PWD $*\" in *guard/base*) echo 'broken' >&2; exit 101;; esac");
    let output = guard(&stage, &[]).env("CARGO", cargo).output().unwrap();
    let text = said(&output);
    assert!(text.contains("base: ") && text.contains(" one (HEAD~1, for no file is changed)"), "{text}");
    assert!(text.contains("guard/checkout: cargo build failed (exit code 101)"), "{text}");
    assert_eq!((output.status.code(), output.stdout.len(), checkouts(&stage)), (Some(1), 0, 0));
}

#[test]
fn an_interrupted_build_is_ended_and_its_checkout_removed_and_a_second_one_is_refused() {
    let stage = stage();
    // While the first one builds, a second would build into the same folder.
    let second = format!("{} guard > second.out 2> second.err", env!("CARGO_BIN_EXE_bench"));
    let script = format!(
        "case \"$*\" in *guard/base*) echo $$ > cargo.pid; (cd repository; {}); echo > started; exec sleep 600;; esac",
        second.replace("second.", "../second.")
    );
    let cargo = stage.script("cargo", &script);
    let mut command = guard(&stage, &[]);
    command.env("CARGO", cargo);
    let output = stage.signalled(command, Signal::SIGINT);
    assert_eq!((output.status.code(), checkouts(&stage)), (Some(130), 0), "{}", said(&output));
    let refused = fs::read_to_string(stage.0.join("second.err")).unwrap();
    assert!(refused.starts_with("bench: another guard is at work in "), "{refused}");
    stage.assert_all_gone();
}

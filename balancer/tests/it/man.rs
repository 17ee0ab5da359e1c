//! The pages of the manual: one for each command.

use std::fs;
use std::process::Command;

use super::program::{needs, printed, run, said, scratch};

/// What `--help` lists.
fn commands() -> Vec<String> {
    let help = printed(&run(&["--help"]));
    let (_, list) = help.split_once("Commands:\n").unwrap();
    // A description that goes on in the next line is indented further.
    let lines = list.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn every_command_has_a_page_with_its_exit_codes() {
    let folder = scratch("man");
    let output = run(&["man", "--directory", folder.to_str().unwrap()]);
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    let page = |name: &str| fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for name in &commands {
        let text = page(&format!("balancer-{name}"));
        assert!(text.contains(".SH \"EXIT STATUS\"") && text.contains(".SH \"SEE ALSO\""), "{name}: {text}");
        assert_eq!(text.contains(".SH SIGNALS"), ["demo", "run"].contains(&name.as_str()), "{name}");
        assert_eq!(printed(&run(&["man", name])), text);
    }
    let main = page("balancer");
    assert!([".SH SIGNALS", ".SH FILES", "/etc/balancer/lb.toml"].iter().all(|part| main.contains(part)), "{main}");
    assert_eq!(printed(&run(&["man"])), main);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), commands.len() + 1, "no page of nothing");
}

#[test]
#[cfg_attr(not(has = "man"), ignore = "needs man")]
fn man_reads_the_pages_without_a_warning() {
    needs("man");
    let folder = scratch("man-warnings");
    run(&["man", "--directory", folder.to_str().unwrap()]);
    for entry in fs::read_dir(&folder).unwrap() {
        let page = entry.unwrap().path();
        let mut man = Command::new("man");
        let output = man.args(["--warnings", "-l"]).arg(&page).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").output();
        let output = output.unwrap();
        assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()), "{}", page.display());
        assert!(printed(&output).contains("EXIT STATUS"), "{}", printed(&output));
    }
}

#[test]
fn a_command_that_is_none_is_answered_with_one_that_is() {
    let output = run(&["man", "relod"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(said(&output), "balancer: there is no command relod; did you mean reload?\n");
}

//! What is shipped for systemd and its fellows: each file is right in the eyes of the program that reads it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::program::{PROGRAM, needs, needs_root, repository, scratch, tool};

/// The units in a directory of their own, with the program of this build; the stricter settings where they are wanted.
fn units(test: &str, strict: bool) -> String {
    let folder = scratch(test);
    let unit = fs::read_to_string(repository("deploy/balancer.service")).unwrap();
    assert_eq!(unit.matches("=balancer check").count() + unit.matches("=balancer --config").count(), 2);
    let service = folder.join("balancer.service");
    fs::write(&service, unit.replace("=balancer ", &format!("={PROGRAM} "))).unwrap();
    fs::copy(repository("deploy/balancer.socket"), folder.join("balancer.socket")).unwrap();
    if strict {
        let dropped_in = folder.join("balancer.service.d");
        fs::create_dir(&dropped_in).unwrap();
        fs::copy(repository("deploy/systemd/proxy-only.conf"), dropped_in.join("proxy-only.conf")).unwrap();
    }
    service.display().to_string()
}

#[test]
#[cfg_attr(not(has = "systemd-analyze"), ignore = "needs systemd-analyze")]
fn systemd_finds_nothing_wrong_with_the_units() {
    needs("systemd-analyze");
    for strict in [false, true] {
        let service = units("units-verify", strict);
        let socket = service.replace(".service", ".socket");
        let output = Command::new("systemd-analyze").args(["verify", "--man=no", &service, &socket]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        // What other units of this machine lack is none of ours.
        let said = String::from_utf8_lossy(&said).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("balancer")).collect();
        assert!(output.status.success() && ours.is_empty(), "{said}");
    }
}

#[test]
#[cfg_attr(not(has = "systemd-analyze"), ignore = "needs systemd-analyze")]
fn the_units_expose_no_more_than_they_have_to() {
    needs("systemd-analyze");
    // Tenths of systemd's measure, 0 to 10: with workers, which may be any program, and without.
    for (strict, threshold) in [(false, 55), (true, 22)] {
        let service = units("units-security", strict);
        let threshold = format!("--threshold={threshold}");
        tool(Command::new("systemd-analyze").args(["security", "--offline=true", "--no-pager", &threshold, &service]));
    }
}

#[test]
#[cfg_attr(not(has = "systemd-analyze"), ignore = "needs systemd-analyze")]
fn a_mistake_in_the_stricter_settings_would_be_found() {
    needs("systemd-analyze");
    let service = units("units-unknown", true);
    let dropped_in = Path::new(&service).with_file_name("balancer.service.d").join("proxy-only.conf");
    let text = fs::read_to_string(&dropped_in).unwrap();
    fs::write(&dropped_in, text.replace("PrivateTmp=", "PrivatTmp=")).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no", &service]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("PrivatTmp"), "{said}");
}

#[test]
#[cfg_attr(not(has = "systemd-sysusers"), ignore = "needs systemd-sysusers")]
fn the_account_is_what_systemd_reads() {
    needs("systemd-sysusers");
    let root = scratch("units-sysusers");
    fs::create_dir(root.join("etc")).unwrap();
    let root = format!("--root={}", root.display());
    tool(Command::new("systemd-sysusers").args([&root, &file("balancer.sysusers")]));
    let passwd = fs::read_to_string(Path::new(&root["--root=".len()..]).join("etc/passwd")).unwrap();
    assert!(passwd.lines().any(|line| line.starts_with("balancer:") && line.contains("nologin")), "{passwd}");
}

#[test]
#[cfg_attr(not(all(has = "root", has = "logrotate")), ignore = "needs root and logrotate")]
fn the_rotation_is_what_logrotate_reads() {
    needs("logrotate");
    needs_root();
    let folder = scratch("units-logrotate");
    let log = folder.join("access.log");
    fs::write(&log, "a line\n").unwrap();
    // The account is not there, and nobody is told where nobody runs.
    let text = fs::read_to_string(file("balancer.logrotate")).unwrap();
    let text = text.replace("/var/log/balancer", &folder.display().to_string());
    let text = text
        .replace("    su balancer balancer\n", "    su root root\n")
        .replace("0640 balancer balancer", "0640 root root");
    let (config, state) = (folder.join("logrotate.conf"), folder.join("state"));
    fs::write(&config, text).unwrap();
    tool(Command::new("logrotate").arg("--force").arg("--state").arg(&state).arg(&config));
    assert_eq!(fs::read_to_string(folder.join("access.log.1")).unwrap(), "a line\n");
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}

fn file(name: &str) -> String {
    repository(&format!("deploy/systemd/{name}")).display().to_string()
}

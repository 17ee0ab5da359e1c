//! Bodies that wait on the disk for a place.

use std::path::{Path, PathBuf};

use super::harness::{Balancer, Client, Ended, Gate, Origin, directory, eventually, ok};
use super::slots::{count, slots_of};

const MIB: usize = 1 << 20;

/// A balancer with a directory for bodies.
fn spooling(origin: &Origin, top: &str, keys: &str) -> (Balancer, PathBuf) {
    let spool = directory();
    std::fs::create_dir_all(&spool).unwrap();
    let balancer = Balancer::start(&format!("spool_dir = {spool:?}\n{top}"), &slots_of(&[origin], keys));
    (balancer, spool)
}

/// Answers with the length of each body, and whether it is the right one.
fn counting() -> Origin {
    Origin::start(|mut exchange| {
        while let Some(head) = exchange.head() {
            let request = exchange.body(head);
            if request.ended != Ended::Framed {
                return;
            }
            let right = request.body == super::streaming::pattern(request.body.len());
            exchange.send(ok(&format!("{} {right}", request.body.len())));
        }
    })
}

/// What of a file system without names is in use there.
fn spooled(balancer: &Balancer, spool: &Path) -> Vec<u64> {
    let files = std::fs::read_dir(format!("/proc/{}/fd", balancer.pid())).unwrap().flatten();
    let of_spool = files.filter(|file| std::fs::read_link(file.path()).is_ok_and(|link| link.starts_with(spool)));
    of_spool.filter_map(|file| Some(std::fs::metadata(file.path()).ok()?.len())).collect()
}

#[test]
fn a_large_slow_upload_takes_no_place_before_it_is_there_and_leaves_nothing_behind() {
    let origin = counting();
    let (balancer, spool) = spooling(&origin, "", "slots = 1\n");
    let body = super::streaming::pattern(5 * MIB);
    for (framing, frame) in [("Content-Length: 5242880", false), ("Transfer-Encoding: chunked", true)] {
        let seen = origin.requests().len();
        let mut slow = Client::of(&balancer);
        slow.send(format!(
            "POST /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{}",
            if frame { "500000\r\n" } else { "" }
        ));
        slow.send(&body[..4 * MIB]);
        eventually(
            || "a body on the disk".into(),
            || (spooled(&balancer, &spool).iter().sum::<u64>() > 2 << 20).then_some(()),
        );
        // The worker is free.
        assert_eq!(Client::of(&balancer).get("/").text(), "0 true");
        assert_eq!(origin.requests().len(), seen + 1);
        slow.send(&body[4 * MIB..]);
        slow.send(if frame { "\r\n0\r\n\r\n" } else { "" });
        assert_eq!(slow.response().text(), "5242880 true");
        assert_eq!(origin.requests()[seen + 1].field("content-length"), Some("5242880"));
        assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0, "it has no name");
        eventually(|| "a file that is closed".into(), || spooled(&balancer, &spool).is_empty().then_some(()));
    }
    std::fs::remove_dir_all(spool).unwrap();
}

#[test]
fn what_does_not_fit_on_the_disk_streams_and_arrives_whole() {
    let origin = counting();
    let (balancer, spool) = spooling(&origin, "spool_max = \"1MiB\"", "slots = 1\nbuffer_request = \"64KiB\"\n");
    let body = super::streaming::pattern(6 * MIB);
    for framing in ["Content-Length: 6291456", "Transfer-Encoding: chunked"] {
        let mut client = Client::of(&balancer);
        client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        match framing {
            "Transfer-Encoding: chunked" => {
                for piece in body.chunks(100_000) {
                    client.send(format!("{:x}\r\n", piece.len()));
                    client.send(piece);
                    client.send("\r\n");
                }
                client.send("0\r\n\r\n");
            }
            _ => client.send(&body),
        }
        assert_eq!(client.response().text(), "6291456 true", "{framing}");
    }
    std::fs::remove_dir_all(spool).unwrap();
}

#[test]
fn a_body_on_the_disk_is_sent_again_where_its_method_allows_it() {
    let gate = Gate::default();
    let go = gate.clone();
    // The first worker that gets it dies of it in the middle, the next takes all.
    let origin = Origin::start(move |mut exchange| {
        while let Some(head) = exchange.head() {
            if exchange.number == 0 {
                exchange.take(3 * MIB);
                go.open();
                return exchange.reset();
            }
            let request = exchange.body(head);
            let right = request.body == super::streaming::pattern(4 * MIB);
            exchange.send(ok(&right.to_string()));
        }
    });
    let (balancer, spool) = spooling(&origin, "", "slots = 1\n");
    let mut client = Client::of(&balancer);
    client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 4 * MIB));
    client.send(super::streaming::pattern(4 * MIB));
    assert!(gate.wait());
    assert_eq!(client.response().text(), "true");
    balancer.logged(&["\"target\":\"/up\"", "\"attempts\":2"]);
    std::fs::remove_dir_all(spool).unwrap();
}

#[test]
fn many_slow_uploads_hold_no_place_and_little_memory() {
    let origin = counting();
    let (balancer, spool) = spooling(&origin, "", "slots = 1\nbuffer_request = \"64KiB\"\n");
    let before = balancer.memory("RssAnon");
    let mut uploads: Vec<Client> = (0..40).map(|_| Client::of(&balancer)).collect();
    for upload in &mut uploads {
        upload.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 * MIB));
        upload.send(super::streaming::pattern(MIB));
    }
    let all = || (spooled(&balancer, &spool).iter().filter(|length| **length > 900_000).count() == 40).then_some(());
    eventually(|| format!("40 bodies on the disk, not {:?}", spooled(&balancer, &spool)), all);
    for _ in 0..20 {
        assert_eq!(Client::of(&balancer).get("/").text(), "0 true");
    }
    let grown = balancer.memory("RssAnon").saturating_sub(before);
    assert!(grown < 24 * 1024, "{grown} KiB");
    drop(uploads);
    eventually(|| "files that are closed".into(), || spooled(&balancer, &spool).is_empty().then_some(()));
    let told = || (count(&balancer, "\"reason\":\"client_gone\"") == 40).then_some(());
    eventually(|| "40 clients that have left".into(), told);
    std::fs::remove_dir_all(spool).unwrap();
}

#[test]
fn one_client_leaves_as_much_of_the_disk_to_others_as_it_has() {
    let origin = counting();
    let (mut balancer, spool) = spooling(&origin, "spool_max = \"8MiB\"", "slots = 1\nbuffer_request = \"64KiB\"\n");
    let upload = |balancer: &Balancer, from: &str, first: usize| {
        let mut client = super::slots::from(balancer, from);
        client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 2 * MIB));
        client.send(&super::streaming::pattern(2 * MIB)[..first]);
        client
    };
    let _greedy: Vec<Client> = (0..6).map(|_| upload(&balancer, "127.0.0.2", MIB)).collect();
    balancer
        .await_stderr("client 127.0.0.2 holds as much of 8 MiB as it leaves to others; further bodies are streamed");
    let taken = spooled(&balancer, &spool).iter().sum::<u64>();
    assert!(taken <= 4 << 20, "{taken}");
    let mut other = upload(&balancer, "127.0.0.3", 7 * MIB / 4);
    let held = || spooled(&balancer, &spool).into_iter().find(|length| *length > (3 << 20) / 2);
    eventually(|| "another client's body on the disk".into(), held);
    other.send(&super::streaming::pattern(2 * MIB)[7 * MIB / 4..]);
    assert_eq!(other.response().text(), "2097152 true");
    std::fs::remove_dir_all(spool).unwrap();
}

#[test]
fn a_directory_in_which_no_file_can_be_made_ends_the_start() {
    let file = directory();
    std::fs::create_dir_all(&file).unwrap();
    let config = file.join("lb.toml");
    let text = "listen = \"127.0.0.1:0\"\nspool_dir = \"/proc\"\n[pool.app]\nendpoints = [\"127.0.0.1:1\"]\n";
    std::fs::write(&config, text).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_balancer"));
    let output = command.arg("--config").arg(&config).env("XDG_RUNTIME_DIR", &file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("cannot make files in `spool_dir`"), "{said}");
    std::fs::remove_dir_all(file).unwrap();
}

//! Short files, and what becomes of them.

use super::*;
use crate::cli::import::writer;

fn set_up(text: &str) -> Result<Setup, Unreadable> {
    read(text, &Rc::from("c.yml"))
}

fn lines(text: &str) -> Vec<String> {
    let written = writer::write(&set_up(text).unwrap(), "c.yml");
    crate::config::parse(&written, "lb.toml").unwrap_or_else(|mistakes| panic!("{written}\n{mistakes}"));
    written.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn remarks(text: &str) -> Vec<String> {
    set_up(text).unwrap().remarks.iter().map(|one| format!("{}: {}", one.place.line, one.text)).collect()
}

#[test]
fn a_published_service_is_a_pool_of_its_containers() {
    let text = "services:\n  web:\n    build: .\n    ports: [\"8080:3000\"]\n    deploy: { replicas: 4 }\n    healthcheck:\n\
                \x20     test: [\"CMD\", \"curl\", \"-f\", \"http://localhost:3000/up\"]\n      interval: 10s\n      retries: 5\n\
                \x20 db:\n    image: postgres:16\n    ports: [\"5432:5432\"]\n  jobs:\n    build: .\n";
    let expected = [
        "listen = \"0.0.0.0:3000\"",
        "[pool.web]",
        "dns = \"web:3000\"",
        "probe = { fall = 5, interval = \"10s\", path = \"/up\" }",
    ];
    assert_eq!(lines(text), expected);
    let expected = [
        "2: service web: give its `ports` to the service of balancer, which listens at 3000 too",
        "10: service db: no HTTP: left out, clients go on to reach it themselves",
        "13: service jobs: it has no port: left out",
    ];
    assert_eq!(remarks(text), expected);
    assert!(!set_up(text).unwrap().changes_what_clients_see());
}

#[test]
fn a_front_gives_its_place_to_balancer() {
    let text = "services:\n  proxy:\n    image: nginx:1.27\n    ports: [\"80:80\", \"443:443\"]\n  app:\n    build: .\n    expose: [8000]\n";
    assert_eq!(lines(text), ["listen = \"0.0.0.0:80\"", "[pool.app]", "dns = \"app:8000\""]);
    assert!(remarks(text)[0].contains("service proxy: left out, as balancer takes its place"), "{:?}", remarks(text));
}

#[test]
fn a_second_service_has_a_path_which_clients_see() {
    let text = "services:\n  web:\n    ports:\n      - target: 80\n        published: 8080\n        host_ip: 127.0.0.1\n  api:\n    ports: [\"${API:-9000}:9000\"]\n  inner:\n    expose: [1]\n";
    let expected = "listen = \"0.0.0.0:80\"; [pool.web]; dns = \"web:80\"; [pool.api]; dns = \"api:9000\"; [[route]]; pool = \"web\"; \
                    [[route]]; path = \"/api\"; pool = \"api\"";
    assert_eq!(lines(text).join("; "), expected);
    let all = remarks(text);
    assert!(
        all.iter()
            .any(|text| text.contains("pool api: clients have found it at 0.0.0.0:${API:-9000}; here it has /api")),
        "{all:?}"
    );
    assert!(all.iter().any(|text| text.contains("service inner: no port of it is published")), "{all:?}");
}

#[test]
fn what_is_no_compose_file_is_refused_with_its_line() {
    for (text, expected) in [
        ("name: a\n", "c.yml:1: there are no `services` in it"),
        ("services:\n", "c.yml:1: there are no `services` in it"),
        ("- a\n", "c.yml:1: there are no `services` in it"),
    ] {
        assert_eq!(set_up(text).unwrap_err().to_string(), expected);
    }
    assert!(set_up("services:\n\tweb: {}\n").unwrap_err().to_string().starts_with("c.yml:2: that is no YAML: "));
}

//! One row for each kind of mistake: what was written, where it is underlined, what is said.

use super::super::parse;

#[test]
fn a_wrong_listen_address_is_answered_with_a_right_one() {
    check("{}\n[pool.app]\nendpoints = [\"a:1\"]\n", LISTEN);
}

#[test]
fn a_wrong_value_of_the_top_level_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n{}\n[pool.app]\nendpoints = [\"a:1\"]\n", TOP_LEVEL);
}

#[test]
fn a_wrong_value_of_a_pool_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app]\nendpoints = [\"a:1\"]\n{}\n", POOL);
}

#[test]
fn a_wrong_endpoint_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app]\nendpoints = {}\n", ENDPOINTS);
}

#[test]
fn a_wrong_command_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app.workers]\n{}\n", COMMAND);
}

#[test]
fn a_wrong_value_of_workers_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app.workers]\ncommand = [\"a\"]\n{}\n", WORKERS);
}

#[test]
fn a_wrong_route_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app]\nendpoints = [\"a:1\"]\n[[route]]\n{}\n", ROUTE);
}

#[test]
fn a_wrong_access_log_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app]\nendpoints = [\"a:1\"]\n[access_log]\n{}\n", ACCESS_LOG);
}

#[test]
fn a_wrong_admin_is_answered_with_a_right_one() {
    check("listen = \"127.0.0.1:8080\"\n[pool.app]\nendpoints = [\"a:1\"]\n[admin]\n{}\n", ADMIN);
}

#[test]
fn what_is_wrong_with_the_file_as_a_whole_is_said_once() {
    check("{}", FILE);
}

#[test]
fn a_file_with_several_mistakes_shows_all_of_them_in_order() {
    let text = r#"# Made in a hurry.
lisen = "127.0.0.1:8080"
header_timeout = 5

[pool.app]
policy = "roundrobin"
dns_interval = 1

[pool.app.workers]
command = ["julia", "server.jl", "{prt}"]
	count = 0
"#;
    let expected = r#"error: unknown key `lisen`
 --> lb.toml:2:1
  |
2 | lisen = "127.0.0.1:8080"
  | ^^^^^
  |
  = help: did you mean `listen`?

error: `header_timeout` must be a duration with its unit, not a number
 --> lb.toml:3:18
  |
3 | header_timeout = 5
  |                  ^
  |
  = help: write "5s"

error: `policy` cannot be `roundrobin`
 --> lb.toml:6:10
  |
6 | policy = "roundrobin"
  |          ^^^^^^^^^^^^
  |
  = help: did you mean "round_robin"? It is one of "round_robin", "least_connections", "two_choices", "random", "hash"

error: `dns_interval` has no effect without a name to look up
 --> lb.toml:7:1
  |
7 | dns_interval = 1
  | ^^^^^^^^^^^^
  |
  = help: add dns = "app:8000", or leave it out

error: nothing is known to fill in for `{prt}`
  --> lb.toml:10:34
   |
10 | command = ["julia", "server.jl", "{prt}"]
   |                                  ^^^^^^^
   |
   = help: did you mean {port}?

error: `count` cannot be `0`
  --> lb.toml:11:10
   |
11 |     count = 0
   |             ^
   |
   = help: write a whole number from 1 to 4096

lb.toml: 6 mistakes"#;
    let diagnostics = parse(text, "lb.toml").unwrap_err();
    assert_eq!(diagnostics.to_string(), expected);

    let colored = diagnostics.render(true);
    assert!(colored.contains("\u{1b}[") && colored.ends_with("lb.toml: 6 mistakes"), "{colored:?}");
}

#[test]
fn mistakes_of_toml_and_of_values_are_shown_together() {
    let text = "listen = 127.0.0.1:8080\nthreads = 0\n[pool.app]\nendpoints = [\"app\"]\n";
    let diagnostics = parse(text, "lb.toml").unwrap_err();
    let lines: Vec<_> = diagnostics.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [1, 2, 4]);
}

#[test]
fn every_documented_key_that_is_to_come_is_refused_as_such() {
    let file = |[top, pool, route]: [&str; 3]| {
        let pool = format!("[pool.a]\nendpoints = [\"a:1\"]\n{pool}\n");
        format!("listen = \"127.0.0.1:8080\"\n{top}\n{pool}[[route]]\npool = \"a\"\n{route}\n")
    };
    let top = ["listener", "acme", "compress"];
    let route =
        ["files", "fallback", "redirect", "respond", "strip_prefix", "request_fields", "response_fields", "basic_auth"];
    let more = ["allow", "rate", "canary", "mirror", "compress"];
    let of_top = top.map(|key| (key, file([&format!("{key} = 1"), "", ""])));
    let of_route = route.into_iter().chain(more).map(|key| (key, file(["", "", &format!("{key} = 1")])));
    for (key, text) in of_top.into_iter().chain(of_route) {
        let diagnostics = parse(&text, "lb.toml").unwrap_err();
        let said: Vec<_> = diagnostics.iter().map(|it| (&text[it.span.clone()], it.message.clone())).collect();
        assert_eq!(said, [(key, format!("\"{key}\" is not supported yet"))]);
    }
}

#[test]
fn mistakes_of_tls_are_told_with_what_is_needed() {
    let said = |listen: &str, tls: &str| -> Vec<(String, String)> {
        let text = format!("listen = {listen}\n{tls}\n[pool.a]\nendpoints = [\"a:1\"]\n");
        let Err(diagnostics) = parse(&text, "lb.toml") else { return Vec::new() };
        diagnostics.iter().map(|it| (it.message.clone(), it.help.clone())).collect()
    };
    let pair = "certificates = [{ certificate = \"/a\", key = \"/b\" }]";
    let encrypted = "\"tls:0.0.0.0:443\"";
    assert!(said(encrypted, &format!("[tls]\n{pair}")).is_empty());
    assert!(said("\"tls:fd:https\"", &format!("[tls]\n{pair}\nclient_ca = \"/c\"\nhsts = \"30d\"")).is_empty());
    for (listen, tls, message) in [
        (encrypted, "", "`tls:0.0.0.0:443` has no certificate to show"),
        (encrypted, "[tls]", "`[tls]` has no certificate"),
        (encrypted, "[tls]\ncertificates = []", "`[tls]` has no certificate"),
        (encrypted, "[tls]\ncertificates = [{ certificate = \"/a\" }]", "`key` is missing"),
        ("\"0.0.0.0:80\"", &format!("[tls]\n{pair}"), "no listener speaks TLS"),
        ("\"tls:443\"", &format!("[tls]\n{pair}"), "`443` is not an address to listen on"),
        ("\"tls:tls:0.0.0.0:443\"", &format!("[tls]\n{pair}"), "`tls:0.0.0.0:443` is not an address to listen on"),
        (
            "[\"0.0.0.0:443\", \"tls:0.0.0.0:443\"]",
            &format!("[tls]\n{pair}"),
            "`0.0.0.0:443` takes `tls:0.0.0.0:443` too",
        ),
        (
            encrypted,
            &format!("[tls]\n{pair}\nclient_auth = \"optional\""),
            "`client_auth` needs to know who vouches for clients",
        ),
        (encrypted, &format!("[tls]\n{pair}\nhsts = \"11y\""), "`11y` is not a duration"),
        (
            encrypted,
            &format!("[tls]\n{pair}\nredirect_https = 1"),
            "`redirect_https` must be true or false, not a number",
        ),
    ] {
        let all = said(listen, tls);
        assert!(all.len() == 1 && all[0].0 == message && !all[0].1.is_empty(), "{listen} {tls}: {all:?}");
    }
}

#[test]
fn mistakes_of_tls_to_endpoints_are_told_with_what_is_needed() {
    let said = |pool: &str, tls: &str| -> Vec<(String, String)> {
        let text = format!("listen = \"127.0.0.1:8080\"\n[pool.a]\n{pool}\n{tls}\n");
        let Err(diagnostics) = parse(&text, "lb.toml") else { return Vec::new() };
        diagnostics.iter().map(|it| (it.message.clone(), it.help.clone())).collect()
    };
    let (fixed, socket) = ("endpoints = [\"a:1\"]", "endpoints = [\"unix:/s\"]");
    let worker = "workers = { command = [\"true\", \"{socket}\"], socket = true }";
    for tls in ["tls = {}", "[pool.a.tls]\nca = \"/a\"\nname = \"::1\"\ncertificate = \"/b\"\nkey = \"/c\""] {
        assert!(said(fixed, tls).is_empty(), "{tls}");
    }
    assert!(said(socket, "tls = { name = \"app.test\" }").is_empty());
    for (pool, tls, message) in [
        (fixed, "tls = true", "`tls` must be a table, not true or false"),
        (fixed, "tls = { name = \"a.test:443\" }", "`a.test:443` is no name that a certificate could have"),
        (fixed, "tls = { certificate = \"/a\" }", "`certificate` needs its key"),
        (fixed, "tls = { key = \"/a\" }", "`key` needs its certificate"),
        (fixed, "tls = { cert = \"/a\" }", "unknown key `cert`"),
        (socket, "tls = {}", "an endpoint at a Unix socket has no host that its certificate could be for"),
        (worker, "tls = {}", "an endpoint at a Unix socket has no host that its certificate could be for"),
    ] {
        let all = said(pool, tls);
        assert!(all.len() == 1 && all[0].0 == message && !all[0].1.is_empty(), "{pool} {tls}: {all:?}");
    }
}

#[test]
fn names_that_no_ca_gives_a_certificate_for_are_told_apart() {
    let said = |keys: &str| -> Vec<String> {
        let text = format!("listen = \"tls:0.0.0.0:443\"\n[tls]\n{keys}\n[pool.a]\nendpoints = [\"a:1\"]\n");
        let Err(diagnostics) = parse(&text, "lb.toml") else { return Vec::new() };
        diagnostics.iter().map(|it| it.message.clone()).collect()
    };
    let url = "directory = \"https://ca.example:14000/dir\"";
    for right in [
        "names = [\"Example.com\", \"www.example.com\"]",
        "names = [\"xn--bcher-kva.example\"]\nemail = \"a+b@example.com\"\ndirectory = \"staging\"\ndirectory_ca = \"/ca.pem\"",
        &format!("names = [\"localhost\"]\n{url}"),
        &format!("names = [\"a.test\"]\n{url}\neab = {{ key_id = \"k\", mac_key = \"zWNDZM6e-_AA\" }}"),
        "names = []\ncertificates = [{ certificate = \"/a\", key = \"/b\" }]",
    ] {
        assert_eq!(said(right), [""; 0], "{right}");
    }
    for (keys, message) in [
        ("names = [\"10.0.0.1\"]", "`10.0.0.1` is an address, for which no certificate is ordered"),
        ("names = [\"::1\"]", "`::1` is an address, for which no certificate is ordered"),
        (
            "names = [\"*.a.test\"]",
            "`*.a.test` is a wildcard, which a CA gives by dns-01 alone, and that is not supported",
        ),
        ("names = [\"bücher.example\"]", "`bücher.example` is no name in ASCII"),
        ("names = [\"https://a.test\"]", "`https://a.test` is no name of a host"),
        ("names = [\"a.test:443\"]", "`a.test:443` is no name of a host"),
        ("names = [\"../a\"]", "`../a` is no name of a host"),
        ("names = [\"\"]", "the empty text is no name of a host"),
        ("names = [\"intranet\"]", "`intranet` is a name that only this network knows"),
        ("names = [\"a.test\", \"A.test\"]", "`A.test` is there twice"),
        ("names = \"a.test\"", "`names` must be a list, not a text"),
        ("names = []", "`[tls]` has no certificate"),
        ("names = [\"a.test\"]\nemail = \"mailto:a@b.test\"", "`mailto:a@b.test` is no address of mail"),
        ("names = [\"a.test\"]\nemail = \"nobody\"", "`nobody` is no address of mail"),
        ("names = [\"a.test\"]\ndirectory = \"http://ca.test/\"", "`http://ca.test/` is no directory of a CA"),
        ("names = [\"a.test\"]\ndirectory = \"zerossl\"", "`zerossl` is no directory of a CA"),
        ("names = [\"a.test\"]\neab = { key_id = \"k\" }", "`mac_key` is missing"),
        (
            "names = [\"a.test\"]\neab = { key_id = \"k\", mac_key = \"a+/b\" }",
            "`mac_key` is not in the base64 of addresses",
        ),
        (
            "email = \"a@b.test\"\ncertificates = [{ certificate = \"/a\", key = \"/b\" }]",
            "`email` has no effect without `names`",
        ),
    ] {
        assert_eq!(said(keys), [message], "{keys}");
    }
}

#[test]
fn a_file_that_is_something_else_is_refused_at_once() {
    let log = "127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 12\n".repeat(15_000);
    let rendered = parse(&log, "access.log").unwrap_err().to_string();
    assert_eq!(rendered.matches("error: ").count(), 100);
    assert!(rendered.ends_with("the other 14900 are not shown\n\naccess.log: 15000 mistakes"), "{rendered}");
}

#[test]
fn what_http_2_cannot_do_is_said() {
    for (pool, message) in [
        ("http2 = true\nproxy_protocol = \"v1\"", "pool `a` has `http2` and `proxy_protocol`"),
        ("probe = { grpc = \"\" }", "the probe of pool `a` asks in gRPC"),
        ("http2 = true\nprobe = { grpc = \"a b\" }", "`a b` cannot be the name of a service"),
        ("http2 = true\nprobe = { grpc = \"a\", path = \"/\" }", "`grpc` and `path` are two questions"),
        ("http2 = \"yes\"", "`http2` must be true or false, not a text"),
        ("proxy_protocol = \"v3\"", "`proxy_protocol` cannot be `v3`"),
    ] {
        let text = format!("listen = \"127.0.0.1:8080\"\n[pool.a]\nendpoints = [\"b:1\"]\n{pool}\n");
        let diagnostics = parse(&text, "lb.toml").expect_err(pool);
        let said: Vec<_> = diagnostics.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(said, [message], "{pool}");
    }
}

#[test]
fn hostile_text_is_shown_harmlessly() {
    let text = format!("listen = \"\\u001b[2J{}\"\n\"a\\nb\\u202e\" = 1\n", "x".repeat(500));
    let rendered = parse(&text, "lb.toml").unwrap_err().to_string();
    assert!(!rendered.contains('\u{1b}') && !rendered.contains('\u{202e}'), "{rendered:?}");
    assert!(rendered.contains("unknown key `a\\nb\\u{202e}`"), "{rendered}");
    assert!(rendered.contains("xxx…` is not an address to listen on"), "{rendered}");
}

/// Puts each row's text into `file` and compares all that is said of it.
fn check(file: &str, rows: &[Row]) {
    for (written, expected) in rows {
        let text = file.replace("{}", written);
        let diagnostics = parse(&text, "lb.toml").expect_err(written);
        let said: Vec<_> = diagnostics
            .iter()
            .map(|it| (it.line, it.column, &text[it.span.clone()], it.message.as_str(), it.help.as_str()))
            .collect();
        assert_eq!(said, *expected, "{written}");
    }
}

/// What is written, and every mistake: line, column, underlined text, message, help.
type Row = (&'static str, &'static [(usize, usize, &'static str, &'static str, &'static str)]);

const LISTEN: &[Row] = &[
    (
        r#"listen = "fd:web:a""#,
        &[(
            1,
            10,
            r#""fd:web:a""#,
            "`fd:web:a` names no listener",
            r#"write the name that its .socket unit gives it (FileDescriptorName=), as in "fd:web""#,
        )],
    ),
    (r#"listen = ["fd:web", "fd:web"]"#, &[(1, 21, r#""fd:web""#, "`fd:web` is there twice", "keep one of the two")]),
    (
        r#"listen = { address = "fd:web", mode = "0660" }"#,
        &[(
            1,
            32,
            "mode",
            "`mode` is for Unix sockets",
            "leave it out: the .socket unit says it (SocketMode=, SocketGroup=)",
        )],
    ),
    ("listen = []", &[(1, 10, "[]", "`listen` is empty", r#"write where clients connect, as in "127.0.0.1:8080""#)]),
    (
        "listen = 8080",
        &[(
            1,
            10,
            "8080",
            "`listen` must be an address and a port",
            r#"write "0.0.0.0:8080" for every address of this machine, or "127.0.0.1:8080" for this machine alone"#,
        )],
    ),
    (
        r#"listen = "8080""#,
        &[(
            1,
            10,
            r#""8080""#,
            "`8080` is not an address to listen on",
            r#"write "0.0.0.0:8080" for every address of this machine, or "127.0.0.1:8080" for this machine alone"#,
        )],
    ),
    (
        r#"listen = ":8080""#,
        &[(
            1,
            10,
            r#"":8080""#,
            "`:8080` is not an address to listen on",
            r#"write "0.0.0.0:8080" for every address of this machine, or "127.0.0.1:8080" for this machine alone"#,
        )],
    ),
    (
        r#"listen = "*:8080""#,
        &[(
            1,
            10,
            r#""*:8080""#,
            "`*:8080` is not an address to listen on",
            r#"write "0.0.0.0:8080" for every address of this machine, or "127.0.0.1:8080" for this machine alone"#,
        )],
    ),
    (
        r#"listen = "localhost:8080""#,
        &[(
            1,
            10,
            r#""localhost:8080""#,
            "`localhost:8080` is not an address to listen on",
            r#"names are not looked up here: write "127.0.0.1:8080", "[::1]:8080" or both in a list"#,
        )],
    ),
    (
        r#"listen = "127.0.0.1""#,
        &[(
            1,
            10,
            r#""127.0.0.1""#,
            "`127.0.0.1` is not an address to listen on",
            r#"add the port: write "127.0.0.1:8080""#,
        )],
    ),
    (
        r#"listen = "::1:8080""#,
        &[(1, 10, r#""::1:8080""#, "`::1:8080` is not an address to listen on", r#"write "[::1]:8080""#)],
    ),
    (
        r#"listen = "http://127.0.0.1:8080/""#,
        &[(
            1,
            10,
            r#""http://127.0.0.1:8080/""#,
            "`http://127.0.0.1:8080/` is not an address to listen on",
            r#"write "127.0.0.1:8080""#,
        )],
    ),
    (
        r#"listen = "https://127.0.0.1""#,
        &[(
            1,
            10,
            r#""https://127.0.0.1""#,
            "`https://127.0.0.1` is not an address to listen on",
            r#"write an address and a port, as in "tls:0.0.0.0:443""#,
        )],
    ),
    (
        r#"listen = "127.0.0.1:80800""#,
        &[(1, 10, r#""127.0.0.1:80800""#, "`127.0.0.1:80800` is not an address to listen on", "ports are 0 to 65535")],
    ),
    (
        r#"listen = "example.com:80""#,
        &[(
            1,
            10,
            r#""example.com:80""#,
            "`example.com:80` is not an address to listen on",
            r#"names are not looked up here: write an address of this machine, or "0.0.0.0:80" for all"#,
        )],
    ),
    (
        r#"listen = "/run/lb.sock""#,
        &[(
            1,
            10,
            r#""/run/lb.sock""#,
            "`/run/lb.sock` is not an address to listen on",
            r#"write "unix:/run/lb.sock""#,
        )],
    ),
    (
        r#"listen = "unix:lb.sock""#,
        &[(
            1,
            10,
            r#""unix:lb.sock""#,
            "a Unix socket needs an absolute path",
            r#"write the whole path, as in "unix:/run/lb.sock""#,
        )],
    ),
    (
        r#"listen = "unix:/run/""#,
        &[(1, 10, r#""unix:/run/""#, "`/run/` is a directory, not a socket", "write the path of the socket")],
    ),
    ("listen = true", &[(1, 10, "true", "`listen` must be a text, not true or false", r#"write "127.0.0.1:8080""#)]),
    (
        r#"listen = ["unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]"#,
        &[(
            1,
            11,
            r#""unix:/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#,
            "the path of this Unix socket is too long",
            "107 bytes are the most the kernel takes, this has 111",
        )],
    ),
    (
        r#"listen = ["127.0.0.1:81", { address = "unix:/run/a.sock", mode = "0755", group = "no-such-group" }]"#,
        &[
            (
                1,
                66,
                r#""0755""#,
                "`0755` is not the mode of a socket",
                r#"write "0600" for our own account, "0660" for its group too, or "0666" for every account"#,
            ),
            (
                1,
                82,
                r#""no-such-group""#,
                "there is no group `no-such-group` on this machine",
                "write one that `getent group` lists, or a number",
            ),
        ],
    ),
    (
        r#"listen = { address = "127.0.0.1:81", mode = "0660", modus = 1 }"#,
        &[
            (
                1,
                38,
                "mode",
                "`mode` is for Unix sockets",
                "leave it out: every client that reaches the port may connect; a firewall can restrict that",
            ),
            (1, 53, "modus", "unknown key `modus`", "did you mean `mode`?"),
        ],
    ),
    (
        r#"listen = ["unix:/run/a.sock", { address = "unix:/run/a.sock", mode = "0660" }]"#,
        &[(
            1,
            31,
            r#"{ address = "unix:/run/a.sock", mode = "0660" }"#,
            "`unix:/run/a.sock` is there twice",
            "keep one of the two",
        )],
    ),
    (
        "listen = { mode = \"0660\" }",
        &[(1, 10, "{ mode = \"0660\" }", "`address` is missing", "add address = \"unix:/run/lb.sock\"")],
    ),
    (
        r#"listen = """#,
        &[(
            1,
            10,
            r#""""#,
            "the empty text is not an address to listen on",
            r#"write an address and a port, as in "127.0.0.1:8080", or "unix:/path""#,
        )],
    ),
    (
        r#"listen = ["[::1]:80", "[::1]:80"]"#,
        &[(1, 23, r#""[::1]:80""#, "`[::1]:80` is there twice", "keep one of the two")],
    ),
    (
        r#"listen = ["127.0.0.1:80", "0.0.0.0:80"]"#,
        &[(
            1,
            27,
            r#""0.0.0.0:80""#,
            "`0.0.0.0:80` takes `127.0.0.1:80` too",
            "keep one of the two, or give them different ports",
        )],
    ),
];

const TOP_LEVEL: &[Row] = &[
    ("threads = 0", &[(2, 11, "0", "`threads` cannot be `0`", "write a whole number from 1 to 1024")]),
    (
        r#"threads = "4""#,
        &[(2, 11, r#""4""#, "`threads` must be a number, not a text", "write 4, without quotation marks")],
    ),
    (
        "threads = 1.5",
        &[(
            2,
            11,
            "1.5",
            "`threads` must be a whole number, not a number with a fraction",
            "write a whole number from 1 to 1024",
        )],
    ),
    (
        "connections_max = -1",
        &[(2, 19, "-1", "`connections_max` cannot be `-1`", "write a whole number from 1 to 10000000")],
    ),
    (
        "connections_max = 99999999999999999999",
        &[(
            2,
            19,
            "99999999999999999999",
            "`connections_max` cannot be `99999999999999999999`",
            "write a whole number from 1 to 10000000",
        )],
    ),
    (
        "header_timeout = 5",
        &[(2, 18, "5", "`header_timeout` must be a duration with its unit, not a number", r#"write "5s""#)],
    ),
    (r#"header_timeout = "5""#, &[(2, 18, r#""5""#, "`5` is not a duration", r#"write "5s""#)]),
    (r#"header_timeout = "5 sec""#, &[(2, 18, r#""5 sec""#, "`5 sec` is not a duration", r#"write "5s""#)]),
    (
        r#"header_timeout = "0s""#,
        &[(2, 18, r#""0s""#, r#"`header_timeout` cannot be as small as "0s""#, r#""1ms" is the smallest"#)],
    ),
    (
        r#"header_timeout = "31d""#,
        &[(2, 18, r#""31d""#, r#"`header_timeout` cannot be as large as "31d""#, r#""30d" is the largest"#)],
    ),
    (
        "header_timeout = true",
        &[(
            2,
            18,
            "true",
            "`header_timeout` must be a duration with its unit, not true or false",
            r#"write a text as in "5s""#,
        )],
    ),
    (
        "body_timeout = -1",
        &[(2, 16, "-1", "`body_timeout` must be a duration with its unit, not a number", r#"write a text as in "5s""#)],
    ),
    (
        "body_rate_min = 500",
        &[(2, 17, "500", "`body_rate_min` must be a size with its unit, not a number", r#"write "500B""#)],
    ),
    (r#"body_rate_min = "500""#, &[(2, 17, r#""500""#, "`500` is not a size", r#"write "500B""#)]),
    (
        r#"header_bytes_max = "4KiB""#,
        &[(2, 20, r#""4KiB""#, r#"`header_bytes_max` cannot be as small as "4KiB""#, r#""8KiB" is the smallest"#)],
    ),
    (
        r#"header_bytes_max = "2MiB""#,
        &[(2, 20, r#""2MiB""#, r#"`header_bytes_max` cannot be as large as "2MiB""#, r#""1MiB" is the largest"#)],
    ),
    (r#"body_bytes_max = "10mb""#, &[(2, 18, r#""10mb""#, "`10mb` is not a size", r#"write "10MB""#)]),
    (
        r#"body_bytes_max = ["1B"]"#,
        &[(
            2,
            18,
            r#"["1B"]"#,
            "`body_bytes_max` must be a size with its unit, not a list",
            r#"write a text as in "64KiB""#,
        )],
    ),
    (
        r#"ambiguous_fields = "dorp""#,
        &[(
            2,
            20,
            r#""dorp""#,
            "`ambiguous_fields` cannot be `dorp`",
            r#"did you mean "drop"? It is one of "drop", "refuse", "pass""#,
        )],
    ),
    (
        r#"ambiguous_fields = "block""#,
        &[(2, 20, r#""block""#, "`ambiguous_fields` cannot be `block`", r#"write one of "drop", "refuse", "pass""#)],
    ),
    (
        "ambiguous_fields = true",
        &[(
            2,
            20,
            "true",
            "`ambiguous_fields` must be a text, not true or false",
            r#"write one of "drop", "refuse", "pass""#,
        )],
    ),
    (
        r#"state_dir = "state""#,
        &[(2, 13, r#""state""#, "`state` is no absolute path", "write a path that begins with a slash")],
    ),
    (
        r#"state_dir = "/no/such/place""#,
        &[(
            2,
            13,
            r#""/no/such/place""#,
            "there is no directory `/no/such/place`",
            "make it first: mkdir -p /no/such/place",
        )],
    ),
    (
        r#"upgrades = "websocket""#,
        &[(2, 12, r#""websocket""#, "`upgrades` must be a list, not a text", r#"write ["websocket"]"#)],
    ),
    (
        r#"upgrades = ["websocket", "H2C", "WebSocket", "a b"]"#,
        &[
            (
                2,
                26,
                r#""H2C""#,
                "`h2c` cannot become a tunnel: requests inside would pass routes, limits and the log unseen",
                "leave it out; clients go on in HTTP/1.1 without it",
            ),
            (2, 33, r#""WebSocket""#, "`websocket` is there twice", "keep one of the two"),
            (2, 46, r#""a b""#, "`a b` is not a protocol", r#"write its name alone, as in "websocket""#),
        ],
    ),
    (
        r#"upgrades = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]"#,
        &[(2, 12, r#"["a", "b", "c", "d", "e", "f", "g", "h", "i"]"#, "9 protocols are too many", "8 are the most")],
    ),
    (
        r#"trusted_proxies = "10.0.0.0/8""#,
        &[(2, 19, r#""10.0.0.0/8""#, "`trusted_proxies` must be a list, not a text", r#"write ["10.0.0.0/8"]"#)],
    ),
    (
        r#"trusted_proxies = ["10.0.0.1/8"]"#,
        &[(
            2,
            20,
            r#""10.0.0.1/8""#,
            "`10.0.0.1/8` is not a network of addresses",
            r#"write "10.0.0.0/8", without bits behind the prefix"#,
        )],
    ),
    (
        r#"trusted_proxies = ["10.0.0.0/33"]"#,
        &[(
            2,
            20,
            r#""10.0.0.0/33""#,
            "`10.0.0.0/33` is not a network of addresses",
            r#"write an address and the length of its prefix, as in "10.0.0.0/8" or "fd00::/8""#,
        )],
    ),
    (
        r#"trusted_proxies = ["private", "fd00::/8"]"#,
        &[(
            2,
            20,
            r#""private""#,
            "`private` is not a network of addresses",
            r#"write an address and the length of its prefix, as in "10.0.0.0/8" or "fd00::/8""#,
        )],
    ),
    (
        r#"user = "nobody-here""#,
        &[(
            2,
            8,
            r#""nobody-here""#,
            "there is no user `nobody-here` on this machine",
            "write one that `getent passwd` lists, or a number",
        )],
    ),
    (
        r#"group = "nobody-here""#,
        &[(
            2,
            9,
            r#""nobody-here""#,
            "there is no group `nobody-here` on this machine",
            "write one that `getent group` lists, or a number",
        )],
    ),
    ("user = -1", &[(2, 8, "-1", "`-1` is no number of a user", "numbers are 0 to 4294967294")]),
    (
        r#"user = "4294967295""#,
        &[(2, 8, r#""4294967295""#, "`4294967295` is no number of a user", "numbers are 0 to 4294967294")],
    ),
    (
        r#"spool_dir = "/nowhere/at/all""#,
        &[(
            2,
            13,
            r#""/nowhere/at/all""#,
            "there is no directory `/nowhere/at/all`",
            "write the path of one that is there",
        )],
    ),
    ("acme = {}", &[(2, 1, "acme", r#""acme" is not supported yet"#, "leave it out for now")]),
    ("acces_log = {}", &[(2, 1, "acces_log", "unknown key `acces_log`", "did you mean `access_log`?")]),
    (r#"policy = "random""#, &[(2, 1, "policy", "unknown key `policy`", "`policy` belongs in pool.NAME")]),
    (
        "zzz = 1",
        &[(
            2,
            1,
            "zzz",
            "unknown key `zzz`",
            "the nearest keys are `listen`, `http2`, `tls`; deploy/lb.example.toml has every key",
        )],
    ),
    (
        "drain_timeout = 2026-01-01",
        &[(
            2,
            17,
            "2026-01-01",
            "`drain_timeout` must be a duration with its unit, not a date",
            r#"write a text as in "5s""#,
        )],
    ),
];

const POOL: &[Row] = &[
    (
        r#"policy = "leastconn""#,
        &[(
            4,
            10,
            r#""leastconn""#,
            "`policy` cannot be `leastconn`",
            r#"did you mean "least_connections"? It is one of "round_robin", "least_connections", "two_choices", "random", "hash""#,
        )],
    ),
    (
        r#"policy = "fastest""#,
        &[(
            4,
            10,
            r#""fastest""#,
            "`policy` cannot be `fastest`",
            r#"write one of "round_robin", "least_connections", "two_choices", "random", "hash""#,
        )],
    ),
    (
        "policy = 1",
        &[(
            4,
            10,
            "1",
            "`policy` must be a text, not a number",
            r#"write one of "round_robin", "least_connections", "two_choices", "random", "hash""#,
        )],
    ),
    (
        r#"hash_key = "uri""#,
        &[(
            4,
            12,
            r#""uri""#,
            r#"`hash_key` has no effect without policy = "hash""#,
            r#"add policy = "hash", or leave it out"#,
        )],
    ),
    (
        "policy = \"hash\"\nhash_key = \"header\"",
        &[(5, 12, r#""header""#, "`hash_key` cannot be `header`", r#"name the field, as in "header:X-Tenant""#)],
    ),
    (
        "policy = \"hash\"\nhash_key = \"cookie:a b\"",
        &[(
            5,
            12,
            r#""cookie:a b""#,
            "`hash_key` cannot be `cookie:a b`",
            r#"name the cookie, as in "cookie:session""#,
        )],
    ),
    (
        "policy = \"hash\"\nhash_key = \"ip\"",
        &[(
            5,
            12,
            r#""ip""#,
            "`hash_key` cannot be `ip`",
            r#"write "client_ip", "uri", "header:NAME" or "cookie:NAME""#,
        )],
    ),
    (
        "affinity = true",
        &[(4, 12, "true", "`affinity` must be a table, not true or false", r#"write affinity = { cookie = "lb" }"#)],
    ),
    (
        "affinity = {}",
        &[(4, 12, "{}", "`cookie` is missing", r#"name the cookie, as in affinity = { cookie = "lb" }"#)],
    ),
    (
        r#"affinity = { cookie = "a b" }"#,
        &[(
            4,
            23,
            r#""a b""#,
            "`a b` cannot be the name of a cookie",
            r#"write letters, digits, `-` and `_`, as in "lb""#,
        )],
    ),
    (r#"affinity = { coookie = "a" }"#, &[(4, 14, "coookie", "unknown key `coookie`", "did you mean `cookie`?")]),
    (
        r#"connect_timeout = "0s""#,
        &[(4, 19, r#""0s""#, r#"`connect_timeout` cannot be as small as "0s""#, r#""1ms" is the smallest"#)],
    ),
    ("attempts_max = 0", &[(4, 16, "0", "`attempts_max` cannot be `0`", "write a whole number from 1 to 16")]),
    ("attempts_max = 17", &[(4, 16, "17", "`attempts_max` cannot be `17`", "write a whole number from 1 to 16")]),
    (
        "retry_budget = 0.2",
        &[(
            4,
            16,
            "0.2",
            "`retry_budget` must be a share with its `%`, not a number with a fraction",
            r#"write "20%""#,
        )],
    ),
    (
        "retry_budget = 20",
        &[(4, 16, "20", "`retry_budget` must be a share with its `%`, not a number", r#"write "20%""#)],
    ),
    (r#"retry_budget = "20""#, &[(4, 16, r#""20""#, "`20` is not a share", r#"write "20%""#)]),
    (
        r#"retry_budget = "2000%""#,
        &[(4, 16, r#""2000%""#, r#"`retry_budget` cannot be as large as "2000%""#, r#""1000%" is the largest"#)],
    ),
    (
        "retry_budget = true",
        &[(4, 16, "true", "`retry_budget` must be a share with its `%`, not true or false", r#"write "20%""#)],
    ),
    (
        "idle_connections_max = -1",
        &[(4, 24, "-1", "`idle_connections_max` cannot be `-1`", "write a whole number from 0 to 65536")],
    ),
    ("dns = 1", &[(4, 7, "1", "`dns` must be a text, not a number", r#"write "app:8000""#)]),
    (
        r#"dns = "10.0.0.1:80""#,
        &[(
            4,
            7,
            r#""10.0.0.1:80""#,
            "`10.0.0.1:80` is not a name to ask DNS for",
            "an address needs no DNS: write it into `endpoints`",
        )],
    ),
    (
        "dns_hold = \"-1s\"\ndns_interval = \"999ms\"",
        &[
            (
                4,
                12,
                r#""-1s""#,
                "`-1s` is not a duration",
                r#"write a whole number and a unit (ms, s, m, h, d), as in "5s" or "1m 30s""#,
            ),
            (5, 16, r#""999ms""#, r#"`dns_interval` cannot be as small as "999ms""#, r#""1s" is the smallest"#),
        ],
    ),
    ("slots = -1", &[(4, 9, "-1", "`slots` cannot be `-1`", "write a whole number from 0 to 65536")]),
    (
        "queue_max = 5",
        &[(
            4,
            1,
            "queue_max",
            "`queue_max` has no effect without `slots`",
            "add slots = 1, or as many requests as an endpoint takes at once, or leave it out",
        )],
    ),
    (
        "slots = 1\nqueue_max = -1",
        &[(5, 13, "-1", "`queue_max` cannot be `-1`", "write a whole number from 0 to 1000000")],
    ),
    (
        "slots = 1\nqueue_timeout = \"1ms\"",
        &[(5, 17, "\"1ms\"", r#"`queue_timeout` cannot be as small as "1ms""#, r#""10ms" is the smallest"#)],
    ),
    (
        "slots = 1\nslow_lane = 1",
        &[(
            5,
            13,
            "1",
            "`slow_lane` must be true or false, not a number",
            "write true or false, without quotation marks",
        )],
    ),
    (
        "slots = 1\nshed = \"newest\"",
        &[(
            5,
            8,
            "\"newest\"",
            "`shed` cannot be `newest`",
            r#"did you mean "newest_first"? It is one of "fifo", "newest_first""#,
        )],
    ),
    (
        "buffer_request = 1",
        &[(4, 18, "1", "`buffer_request` must be a size with its unit, not a number", r#"write "1B""#)],
    ),
    ("slot = 1", &[(4, 1, "slot", "unknown key `slot`", "did you mean `slots`?")]),
    ("count = 2", &[(4, 1, "count", "unknown key `count`", "`count` belongs in pool.NAME.workers")]),
    (
        r#"header_timeout = "1s""#,
        &[(
            4,
            1,
            "header_timeout",
            "unknown key `header_timeout`",
            "`header_timeout` belongs at the top of the file, before the first [table]",
        )],
    ),
    ("eject_after = 1001", &[(4, 15, "1001", "`eject_after` cannot be `1001`", "write a whole number from 0 to 1000")]),
    (
        r#"eject_time = "6m""#,
        &[(4, 14, r#""6m""#, r#"`eject_time` cannot be as large as "6m""#, r#""5m" is the largest"#)],
    ),
    (
        r#"panic_threshold = "101%""#,
        &[(4, 19, r#""101%""#, r#"`panic_threshold` cannot be as large as "101%""#, r#""100%" is the largest"#)],
    ),
    (
        r#"slow_start = "2h""#,
        &[(4, 14, r#""2h""#, r#"`slow_start` cannot be as large as "2h""#, r#""1h" is the largest"#)],
    ),
    (
        r#"probe = "/health""#,
        &[(
            4,
            9,
            r#""/health""#,
            "`probe` must be a table, not a text",
            "write [pool.app.probe], with single brackets",
        )],
    ),
    (r#"probe.path = "health""#, &[(4, 14, r#""health""#, "`health` does not begin with `/`", r#"write "/health""#)]),
    (
        r#"probe.interval = "9ms""#,
        &[(4, 18, r#""9ms""#, r#"`interval` cannot be as small as "9ms""#, r#""10ms" is the smallest"#)],
    ),
    (
        r#"probe.timeout = "0s""#,
        &[(4, 17, r#""0s""#, r#"`timeout` cannot be as small as "0s""#, r#""1ms" is the smallest"#)],
    ),
    ("probe.rise = 0", &[(4, 14, "0", "`rise` cannot be `0`", "write a whole number from 1 to 1000")]),
    ("probe.fall = 0", &[(4, 14, "0", "`fall` cannot be `0`", "write a whole number from 1 to 1000")]),
    (
        r#"probe.status = "200""#,
        &[(4, 16, r#""200""#, "`status` has no effect without `path`", r#"add path = "/health", or leave it out"#)],
    ),
    (
        r#"probe = { path = "/", status = 200 }"#,
        &[(4, 32, "200", "`status` must be a text, not a number", r#"write "200""#)],
    ),
    (
        r#"probe = { path = "/", status = "2xx" }"#,
        &[(
            4,
            32,
            r#""2xx""#,
            "`2xx` is not a set of statuses",
            r#"write codes from 100 to 599 and ranges of them, as in "200-399" or "200,204""#,
        )],
    ),
    (
        r#"probe = { path = "/", status = "399-200" }"#,
        &[(
            4,
            32,
            r#""399-200""#,
            "`399-200` is not a set of statuses",
            r#"write codes from 100 to 599 and ranges of them, as in "200-399" or "200,204""#,
        )],
    ),
    ("probe.rises = 2", &[(4, 7, "rises", "unknown key `rises`", "did you mean `rise`?")]),
];

const ENDPOINTS: &[Row] = &[
    (
        "[]",
        &[(
            3,
            13,
            "[]",
            "`endpoints` is empty",
            r#"write at least one address, as in ["127.0.0.1:8000"], or leave it out"#,
        )],
    ),
    (
        r#""127.0.0.1:8000""#,
        &[(3, 13, r#""127.0.0.1:8000""#, "`endpoints` must be a list, not a text", r#"write ["127.0.0.1:8000"]"#)],
    ),
    (
        "[8000]",
        &[(3, 14, "8000", "`endpoints` must be an address and a port, not a number", r#"write "127.0.0.1:8000""#)],
    ),
    (r#"["8000"]"#, &[(3, 14, r#""8000""#, "`8000` is not the address of an endpoint", r#"write "127.0.0.1:8000""#)]),
    (
        r#"[":8000"]"#,
        &[(3, 14, r#"":8000""#, "`:8000` is not the address of an endpoint", r#"write "127.0.0.1:8000""#)],
    ),
    (
        r#"["127.0.0.1"]"#,
        &[(
            3,
            14,
            r#""127.0.0.1""#,
            "`127.0.0.1` is not the address of an endpoint",
            r#"add the port: write "127.0.0.1:8000""#,
        )],
    ),
    (
        r#"["::1:8000"]"#,
        &[(3, 14, r#""::1:8000""#, "`::1:8000` is not the address of an endpoint", r#"write "[::1]:8000""#)],
    ),
    (
        r#"["app"]"#,
        &[(3, 14, r#""app""#, "`app` is not the address of an endpoint", r#"add the port: write "app:8000""#)],
    ),
    (
        r#"["http://app:8000/"]"#,
        &[(
            3,
            14,
            r#""http://app:8000/""#,
            "`http://app:8000/` is not the address of an endpoint",
            r#"write "app:8000", without a scheme and a path"#,
        )],
    ),
    (
        r#"["http://app"]"#,
        &[(
            3,
            14,
            r#""http://app""#,
            "`http://app` is not the address of an endpoint",
            r#"write "app:80", without a scheme and a path"#,
        )],
    ),
    (
        r#"["https://app"]"#,
        &[(
            3,
            14,
            r#""https://app""#,
            "`https://app` is not the address of an endpoint",
            "write \"app:443\", and add a table [pool.NAME.tls]",
        )],
    ),
    (
        r#"["127.0.0.256:80"]"#,
        &[(
            3,
            14,
            r#""127.0.0.256:80""#,
            "`127.0.0.256:80` is not the address of an endpoint",
            "an IPv4 address is four numbers from 0 to 255",
        )],
    ),
    (
        r#"["app:0"]"#,
        &[(3, 14, r#""app:0""#, "`app:0` is not the address of an endpoint", "an endpoint's port is 1 to 65535")],
    ),
    (
        r#"["app:http"]"#,
        &[(
            3,
            14,
            r#""app:http""#,
            "`app:http` is not the address of an endpoint",
            "behind the last `:` comes a port from 1 to 65535",
        )],
    ),
    (
        r#"["a b:80"]"#,
        &[(
            3,
            14,
            r#""a b:80""#,
            "`a b:80` is not the address of an endpoint",
            r#"write "host:port" or "unix:/path", as in "127.0.0.1:8000""#,
        )],
    ),
    (
        r#"["0.0.0.0:8000"]"#,
        &[(
            3,
            14,
            r#""0.0.0.0:8000""#,
            "`0.0.0.0:8000` is not the address of an endpoint",
            r#"0.0.0.0 is for listening, not for connecting: write "127.0.0.1:8000""#,
        )],
    ),
    (
        r#"["unix:run/a"]"#,
        &[(
            3,
            14,
            r#""unix:run/a""#,
            "a Unix socket needs an absolute path",
            r#"write the whole path, as in "unix:/run/run/a""#,
        )],
    ),
    (
        r#"["/run/a.sock"]"#,
        &[(
            3,
            14,
            r#""/run/a.sock""#,
            "`/run/a.sock` is not the address of an endpoint",
            r#"write "unix:/run/a.sock""#,
        )],
    ),
    (
        r#"["a:1", "a:1"]"#,
        &[(
            3,
            21,
            r#""a:1""#,
            "`a:1` is there twice",
            "keep one of the two; for a larger share write { address = …, weight = 2 }",
        )],
    ),
    (
        r#"[{ address = "a:1", backup = true }]"#,
        &[(
            3,
            13,
            r#"[{ address = "a:1", backup = true }]"#,
            "every endpoint is a `backup`",
            "a backup serves when no other can: leave at least one without `backup`",
        )],
    ),
    ("[{ weight = 2 }]", &[(3, 14, "{ weight = 2 }", "`address` is missing", r#"add address = "127.0.0.1:8000""#)]),
    (
        r#"[{ address = "a:1", weight = 0 }]"#,
        &[(3, 42, "0", "`weight` cannot be `0`", "write a whole number from 1 to 256")],
    ),
    (
        r#"[{ address = "a:1", weight = 257 }]"#,
        &[(3, 42, "257", "`weight` cannot be `257`", "write a whole number from 1 to 256")],
    ),
    (
        r#"[{ address = "a:1", backup = "yes" }]"#,
        &[(3, 42, r#""yes""#, "`backup` must be true or false, not a text", "write true, without quotation marks")],
    ),
    (r#"[{ address = "a:1", wieght = 2 }]"#, &[(3, 33, "wieght", "unknown key `wieght`", "did you mean `weight`?")]),
    (
        r#"["127.0.0.1:8080"]"#,
        &[(
            3,
            14,
            r#""127.0.0.1:8080""#,
            "`127.0.0.1:8080` is where balancer itself listens",
            r#"`listen` has "127.0.0.1:8080": write the address of the program behind balancer"#,
        )],
    ),
    (
        r#"["localhost:8080"]"#,
        &[(
            3,
            14,
            r#""localhost:8080""#,
            "`localhost:8080` is where balancer itself listens",
            r#"`listen` has "127.0.0.1:8080": write the address of the program behind balancer"#,
        )],
    ),
];

const COMMAND: &[Row] = &[
    (
        r#"command = "julia server.jl {port}""#,
        &[(
            3,
            11,
            r#""julia server.jl {port}""#,
            "`command` must be a list, the program and each argument apart, not a text",
            r#"write ["julia", "server.jl", "{port}"]"#,
        )],
    ),
    (
        "command = []",
        &[(
            3,
            11,
            "[]",
            "`command` is empty",
            r#"write the program and its arguments, as in ["julia", "server.jl", "{port}"]"#,
        )],
    ),
    (
        r#"command = [""]"#,
        &[(
            3,
            12,
            r#""""#,
            "the program is empty",
            r#"write its name or path first, as in ["julia", "server.jl", "{port}"]"#,
        )],
    ),
    (r#"command = ["a", 1]"#, &[(3, 17, "1", "`command` must be a text, not a number", r#"write "1""#)]),
    (
        r#"command = ["a", "{prt}"]"#,
        &[(3, 17, r#""{prt}""#, "nothing is known to fill in for `{prt}`", "did you mean {port}?")],
    ),
    (
        r#"command = ["a", "{PORT}"]"#,
        &[(3, 17, r#""{PORT}""#, "nothing is known to fill in for `{PORT}`", "did you mean {port}?")],
    ),
    (
        r#"command = ["a", "{name}"]"#,
        &[(
            3,
            17,
            r#""{name}""#,
            "nothing is known to fill in for `{name}`",
            "{port} or {socket}, {index} and {pool} are filled in",
        )],
    ),
    (
        r#"command = ["a", "{socket}"]"#,
        &[(
            3,
            17,
            r#""{socket}""#,
            "without `socket = true` a worker has no socket",
            "write socket = true too, or {port}",
        )],
    ),
    (
        "command = [\"a\", \"{port}\"]\nsocket = true",
        &[(3, 17, r#""{port}""#, "with `socket = true` a worker has no port", "write {socket}")],
    ),
    (
        "command = [\"a\", \"{port}\"]\nsocket = \"yes\"",
        &[(4, 10, r#""yes""#, "`socket` must be true or false, not a text", "write true, without quotation marks")],
    ),
    (
        "script = [\"a\"]\ninstances = 2\nstopwaitsecs = 3",
        &[
            (3, 1, "script", "unknown key `script`", "it is called `command` here, in pool.NAME.workers"),
            (4, 1, "instances", "unknown key `instances`", "it is called `count` here, in pool.NAME.workers"),
            (
                5,
                1,
                "stopwaitsecs",
                "unknown key `stopwaitsecs`",
                "it is called `stop_timeout` here, in pool.NAME.workers",
            ),
        ],
    ),
    (
        "command = [\"a\", \"{socket}\"]\nsockets = true",
        &[(4, 1, "sockets", "unknown key `sockets`", "did you mean `socket`?")],
    ),
    (
        "command = [\"a\", \"$SOCKET\"]\nsocket = true",
        &[(
            3,
            17,
            r#""$SOCKET""#,
            "no shell is there to fill in `$SOCKET`",
            r#"write "{socket}", or a shell: ["sh", "-c", "…"]"#,
        )],
    ),
    (
        r#"command = ["a", "$PORT"]"#,
        &[(
            3,
            17,
            r#""$PORT""#,
            "no shell is there to fill in `$PORT`",
            r#"write "{port}", or a shell: ["sh", "-c", "…"]"#,
        )],
    ),
    (
        r#"command = ["gunicorn", "-c", "conf.py", "--bind", "$HOST:$PORT", "--port=${PORT}", "$PORTS"]"#,
        &[
            (
                3,
                51,
                r#""$HOST:$PORT""#,
                "no shell is there to fill in `$HOST:$PORT`",
                r#"write "127.0.0.1:{port}", or a shell: ["sh", "-c", "…"]"#,
            ),
            (
                3,
                66,
                r#""--port=${PORT}""#,
                "no shell is there to fill in `--port=${PORT}`",
                r#"write "--port={port}", or a shell: ["sh", "-c", "…"]"#,
            ),
        ],
    ),
    (r#"command = ["a\u0000"]"#, &[(3, 12, r#""a\u0000""#, "`command` contains a NUL character", "leave it out")]),
];

const READY_CHOICES: &str = r#"write { path = "/health" }, { host = "app.example" }, { line = "Listening" }, { connect = true } or { alive = "1s" }"#;

const WORKERS: &[Row] = &[
    ("count = 0", &[(4, 9, "0", "`count` cannot be `0`", "write a whole number from 1 to 4096")]),
    (
        r#"count = "cpu""#,
        &[(4, 9, r#""cpu""#, r#"`count` must be a number or "cpus", not a text"#, r#"write a number or "cpus""#)],
    ),
    (r#"count = "2""#, &[(4, 9, r#""2""#, "`count` must be a number, not a text", "write 2, without quotation marks")]),
    (
        "count = 2.5",
        &[(
            4,
            9,
            "2.5",
            "`count` must be a whole number, not a number with a fraction",
            "write a whole number from 1 to 4096",
        )],
    ),
    ("first_port = 0", &[(4, 14, "0", "`first_port` cannot be `0`", "write a whole number from 1 to 65535")]),
    (
        "first_port = 65536",
        &[(4, 14, "65536", "`first_port` cannot be `65536`", "write a whole number from 1 to 65535")],
    ),
    (
        "count = 4\nfirst_port = 65530",
        &[(
            5,
            14,
            "65530",
            "4 workers from port 65530 would need ports up to 65537",
            "each needs two, for itself and its replacement: 65528 is the largest first port",
        )],
    ),
    (
        "first_port = 8080",
        &[(
            4,
            14,
            "8080",
            "pool `app` takes ports 8080 to 8081, two for each worker, and balancer listens on `127.0.0.1:8080`",
            "write a first port beyond, or leave it out for free ports",
        )],
    ),
    (
        r#"directory = "/nowhere""#,
        &[(4, 13, r#""/nowhere""#, "there is no directory `/nowhere`", "write the path of one that is there")],
    ),
    (
        r#"directory = "/etc/passwd""#,
        &[(4, 13, r#""/etc/passwd""#, "there is no directory `/etc/passwd`", "write the path of one that is there")],
    ),
    (
        r#"env = { "A=B" = "c" }"#,
        &[(4, 9, r#""A=B""#, "`A=B` cannot be the name of a variable", "write letters, digits and `_`")],
    ),
    ("env = { DEBUG = 1 }", &[(4, 17, "1", "`DEBUG` must be a text, not a number", r#"write "1""#)]),
    (
        r#"env = { PORT = "1" }"#,
        &[(4, 9, "PORT", "balancer sets `PORT` for each worker", "leave it out; ports are chosen by `first_port`")],
    ),
    (r#"env = "A=B""#, &[(4, 7, r#""A=B""#, "`env` must be a table, not a text", r#"write { NAME = "value" }"#)]),
    (
        r#"env_file = "/nowhere""#,
        &[(
            4,
            12,
            r#""/nowhere""#,
            "cannot read `/nowhere`: No such file or directory (os error 2)",
            "write the path of a file with NAME=value lines that balancer may read",
        )],
    ),
    (
        r#"env_file = "/""#,
        &[(
            4,
            12,
            r#""/""#,
            "cannot read `/`: Is a directory (os error 21)",
            "write the path of a file with NAME=value lines that balancer may read",
        )],
    ),
    (
        "env_clear = 1",
        &[(
            4,
            13,
            "1",
            "`env_clear` must be true or false, not a number",
            "write true or false, without quotation marks",
        )],
    ),
    (r#"ready = "connect""#, &[(4, 9, r#""connect""#, "`ready` must be a table, not a text", READY_CHOICES)]),
    ("ready = {}", &[(4, 9, "{}", "`ready` is empty", READY_CHOICES)]),
    ("ready = { connect = false }", &[(4, 21, "false", "a worker must become ready by something", READY_CHOICES)]),
    (
        r#"ready = { path = "health" }"#,
        &[(4, 18, r#""health""#, "`health` does not begin with `/`", r#"write "/health""#)],
    ),
    (
        r#"ready = { path = "/a b" }"#,
        &[(
            4,
            18,
            r#""/a b""#,
            "`/a b` has characters that must be percent-encoded",
            "percent-encode what is not printable ASCII: a space is `%20`",
        )],
    ),
    (
        r#"ready = { path = "/a?b c" }"#,
        &[(4, 18, r#""/a?b c""#, "`/a?b c` has characters that must be percent-encoded", "percent-encode it")],
    ),
    (
        r#"ready = { line = "" }"#,
        &[(
            4,
            18,
            r#""""#,
            "the empty text is not a piece of a line",
            r#"write a piece of one line of its output, as in "Listening""#,
        )],
    ),
    (
        r#"ready = { connect = true, line = "x" }"#,
        &[(4, 9, r#"{ connect = true, line = "x" }"#, "`ready` can be only one thing", READY_CHOICES)],
    ),
    (
        r#"ready = { line = "x", host = "a" }"#,
        &[(4, 23, "host", "`host` has no effect without `path`", r#"add path = "/", or leave it out"#)],
    ),
    (
        r#"ready = { host = "a/b" }"#,
        &[(4, 18, r#""a/b""#, "`a/b` cannot be a Host", r#"write a name, perhaps with a port, as in "app.example""#)],
    ),
    (
        r#"ready = { path = "/", fields = { Host = "a" } }"#,
        &[(4, 34, "Host", "balancer writes `Host` itself", "leave it out; `host` is a key of its own")],
    ),
    (
        r#"after = ["app"]"#,
        &[(2, 7, "app", "pool `app` starts after itself", "its `after` leads back to it: leave one of them out")],
    ),
    (
        r#"after = ["db"]"#,
        &[(
            2,
            7,
            "app",
            "pool `app` starts after `db`, which is no pool with workers",
            "name pools of this file that have workers",
        )],
    ),
    (r#"ready = { lines = "x" }"#, &[(4, 11, "lines", "unknown key `lines`", "did you mean `line`?")]),
    (r#"stop_signal = "SIGTERM""#, &[(4, 15, r#""SIGTERM""#, "`stop_signal` cannot be `SIGTERM`", r#"write "TERM""#)]),
    (r#"stop_signal = "int""#, &[(4, 15, r#""int""#, "`stop_signal` cannot be `int`", r#"write "INT""#)]),
    (
        r#"stop_signal = "KILL""#,
        &[(
            4,
            15,
            r#""KILL""#,
            "no worker can act on `KILL`",
            r#"write "TERM"; KILL follows after `stop_timeout`, at once if that is "0s""#,
        )],
    ),
    (
        r#"stop_signal = "STOPP""#,
        &[(
            4,
            15,
            r#""STOPP""#,
            "`stop_signal` cannot be `STOPP`",
            r#"write one of "TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH""#,
        )],
    ),
    (
        "stop_signal = 15",
        &[(
            4,
            15,
            "15",
            "`stop_signal` must be a text, not a number",
            r#"write one of "TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "WINCH""#,
        )],
    ),
    (
        r#"backoff = { min = "1m" }"#,
        &[(
            4,
            11,
            r#"{ min = "1m" }"#,
            r#"`min` is "1m", above `max`, "30s""#,
            "delays grow from `min` to `max`: write both, the smaller first",
        )],
    ),
    (
        r#"backoff = { min = "0s" }"#,
        &[(4, 19, r#""0s""#, r#"`min` cannot be as small as "0s""#, r#""1ms" is the smallest"#)],
    ),
    (
        r#"backoff = "1s""#,
        &[(4, 11, r#""1s""#, "`backoff` must be a table, not a text", r#"write { min = "100ms", max = "30s" }"#)],
    ),
    (
        r#"output = "stdout""#,
        &[(4, 10, r#""stdout""#, "`output` cannot be `stdout`", r#"write one of "prefix", "json", "file", "null""#)],
    ),
    (
        "output = \"file\"",
        &[(4, 10, r#""file""#, "files need a directory", "add `output_dir`, the path of one that is there")],
    ),
    (
        "output = \"file\"\noutput_dir = \"/nowhere\"",
        &[(5, 14, r#""/nowhere""#, "there is no directory `/nowhere`", "write the path of one that is there")],
    ),
    (
        "age_max = \"10ms\"",
        &[(4, 11, r#""10ms""#, r#"`age_max` cannot be as small as "10ms""#, r#""1s" is the smallest"#)],
    ),
    (
        "memory_max = 100",
        &[(4, 14, "100", "`memory_max` must be a size with its unit, not a number", r#"write "100B""#)],
    ),
    (
        "warm_up = { path = \"up\", requests = 0 }",
        &[
            (4, 20, r#""up""#, "`up` does not begin with `/`", r#"write "/up""#),
            (4, 37, "0", "`requests` cannot be `0`", "write a whole number from 1 to 10000"),
        ],
    ),
    (
        "hang_timeout = \"2m\"",
        &[(
            2,
            11,
            "workers",
            r#"`hang_timeout` is "2m", above `response_timeout`, "1m""#,
            "no request lives so long: write at most that, or a longer `response_timeout`",
        )],
    ),
    (
        "socket = true\nfirst_port = 8000",
        &[(5, 1, "first_port", "workers on Unix sockets have no ports", "leave out `first_port`, or `socket = true`")],
    ),
    (
        "socket = true\nenv = { SOCKET = \"/a\" }",
        &[(
            5,
            9,
            "SOCKET",
            "balancer sets `SOCKET` for each worker",
            "leave it out; balancer chooses the paths, a new one at each start",
        )],
    ),
    (
        r#"user = "nobody-here""#,
        &[(
            4,
            8,
            r#""nobody-here""#,
            "there is no user `nobody-here` on this machine",
            "write one that `getent passwd` lists, or a number",
        )],
    ),
    ("commands = []", &[(4, 1, "commands", "unknown key `commands`", "did you mean `command`?")]),
];

const ROUTE: &[Row] = &[
    (
        "host = \"example.com:80\"\npool = \"app\"",
        &[(5, 8, r#""example.com:80""#, "`example.com:80` is not a host", r#"write "example.com", the name alone"#)],
    ),
    (
        "host = \"http://example.com/\"\npool = \"app\"",
        &[(
            5,
            8,
            r#""http://example.com/""#,
            "`http://example.com/` is not a host",
            r#"write "example.com", the name alone"#,
        )],
    ),
    ("host = \"*\"\npool = \"app\"", &[(5, 8, r#""*""#, "`*` is not a host", "leave `host` out to take every host")]),
    (
        "host = \".example.com\"\npool = \"app\"",
        &[(5, 8, r#"".example.com""#, "`.example.com` is not a host", r#"write "*.example.com""#)],
    ),
    (
        "host = \"*example.com\"\npool = \"app\"",
        &[(
            5,
            8,
            r#""*example.com""#,
            "`*example.com` is not a host",
            r#"write a name, as in "example.com", or "*.example.com" for every name below it"#,
        )],
    ),
    (
        "host = \"example.com.\"\npool = \"app\"",
        &[(5, 8, r#""example.com.""#, "`example.com.` is not a host", r#"write "example.com", the name alone"#)],
    ),
    ("host = \"::1\"\npool = \"app\"", &[(5, 8, r#""::1""#, "`::1` is not a host", r#"write "[::1]""#)]),
    (
        "host = [\"a\"]\npool = \"app\"",
        &[(
            5,
            8,
            r#"["a"]"#,
            "`host` must be a text, not a list",
            r#"write "example.com", or a [[route]] for each host"#,
        )],
    ),
    (
        "host = \"bücher.de\"\npool = \"app\"",
        &[(5, 8, r#""bücher.de""#, "`bücher.de` is not a host", "write the name in ASCII (`xn--…`)")],
    ),
    ("path = \"api\"\npool = \"app\"", &[(5, 8, r#""api""#, "`api` does not begin with `/`", r#"write "/api""#)]),
    (
        "path = \"/api/*\"\npool = \"app\"",
        &[(
            5,
            8,
            r#""/api/*""#,
            "`/api/*` ends with `*`",
            r#"write "/api/": a path matches everything that begins with it"#,
        )],
    ),
    ("path = \"/a?b=c\"\npool = \"app\"", &[(5, 8, r#""/a?b=c""#, "`/a?b=c` is more than a path", r#"write "/a""#)]),
    (
        "path = \"/a b\"\npool = \"app\"",
        &[(
            5,
            8,
            r#""/a b""#,
            "`/a b` has characters that must be percent-encoded",
            "percent-encode what is not printable ASCII: a space is `%20`",
        )],
    ),
    (
        "path = \"/a;b\"\npool = \"app\"",
        &[(
            5,
            8,
            r#""/a;b""#,
            "`/a;b` holds `;`, which servers read in different ways",
            "write a path without it: requests whose readings lead to different pools are refused",
        )],
    ),
    (
        "path = \"/a%20b/c%20/d\"\npool = \"app\"",
        &[(
            5,
            8,
            r#""/a%20b/c%20/d""#,
            "`/a%20b/c%20/d` holds `%20`, which servers read in different ways",
            "write a path without it: requests whose readings lead to different pools are refused",
        )],
    ),
    (
        "path = \"/a/../b\"\npool = \"app\"",
        &[(5, 8, r#""/a/../b""#, "`/a/../b` would match nothing", "leave out empty segments, `.` and `..`")],
    ),
    (
        "path = \"https://a/b\"\npool = \"app\"",
        &[(5, 8, r#""https://a/b""#, "`https://a/b` begins with `https:`", r#"write "/b", the path alone"#)],
    ),
    (r#"pool = "ap""#, &[(5, 8, r#""ap""#, "there is no pool `ap`", r#"did you mean "app"?"#)]),
    (r#"pool = "web""#, &[(5, 8, r#""web""#, "there is no pool `web`", r#"the pools of this file are "app""#)]),
    (
        r#"path = "/""#,
        &[(4, 1, "[[route]]", "`pool` is missing", r#"add pool = "NAME", the pool that takes these requests"#)],
    ),
    (
        "pool = \"app\"\n[[route]]\npath = \"/\"\npool = \"app\"",
        &[(
            6,
            1,
            "[[route]]",
            "an earlier route has the same host and path",
            "this one would never be used: change it or leave it out",
        )],
    ),
];

const ADMIN: &[Row] = &[
    (
        r#"socket = "lb.sock""#,
        &[(
            5,
            10,
            r#""lb.sock""#,
            "a Unix socket needs an absolute path",
            r#"write the whole path, as in "unix:/run/lb.sock""#,
        )],
    ),
    (
        r#"address = "localhost:9100""#,
        &[(
            5,
            11,
            r#""localhost:9100""#,
            "`localhost:9100` is not an address to listen on",
            r#"write one as in "127.0.0.1:9100""#,
        )],
    ),
    (
        r#"address = "0.0.0.0:9100""#,
        &[(
            5,
            11,
            r#""0.0.0.0:9100""#,
            "every client that reaches `0.0.0.0:9100` could stop balancer",
            r#"add token_file, or write "127.0.0.1:9100""#,
        )],
    ),
    (
        r#"address = "127.0.0.1:8080""#,
        &[(
            5,
            11,
            r#""127.0.0.1:8080""#,
            "`127.0.0.1:8080` has that address already",
            "give the admin service a port of its own",
        )],
    ),
    (
        r#"token_file = "src/main.rs""#,
        &[(
            5,
            14,
            r#""src/main.rs""#,
            "`src/main.rs` does not hold a word of 16 characters",
            "write the path of a file that holds one long random word",
        )],
    ),
    (
        r#"token_file = "/dev/null""#,
        &[(
            5,
            14,
            r#""/dev/null""#,
            "cannot read `/dev/null`: it is a pipe or a device, not a regular file",
            "write the path of a file that holds one long random word",
        )],
    ),
];

const ACCESS_LOG: &[Row] = &[
    (
        r#"format = "clf""#,
        &[(5, 10, r#""clf""#, "`format` cannot be `clf`", r#"write one of "combined", "json", "off""#)],
    ),
    (
        r#"format = "combned""#,
        &[(
            5,
            10,
            r#""combned""#,
            "`format` cannot be `combned`",
            r#"did you mean "combined"? It is one of "combined", "json", "off""#,
        )],
    ),
    (
        r#"path = "stdot""#,
        &[(
            5,
            8,
            r#""stdot""#,
            r#"`stdot` is neither "stdout" nor "stderr" nor a path"#,
            r#"write "stdout" or "./stdot""#,
        )],
    ),
    (
        r#"path = "/nowhere/access.log""#,
        &[(5, 8, r#""/nowhere/access.log""#, "there is no directory `/nowhere`", "make it first: mkdir -p /nowhere")],
    ),
    (r#"path = "/tmp/""#, &[(5, 8, r#""/tmp/""#, "`/tmp/` is a directory", "write the path of a file")]),
    (r#"pth = "/tmp/a""#, &[(5, 1, "pth", "unknown key `pth`", "did you mean `path`?")]),
];

const FILE: &[Row] = &[
    (
        "",
        &[
            (1, 1, "", "`listen` is missing", r#"write where clients connect, as in listen = "127.0.0.1:8080""#),
            (
                1,
                1,
                "",
                "there is no pool to pass requests to",
                "write a [pool.app] with `endpoints`, or a [pool.app.workers] with `command`",
            ),
        ],
    ),
    (
        r#"listen = "127.0.0.1:1""#,
        &[(
            1,
            1,
            "",
            "there is no pool to pass requests to",
            "write a [pool.app] with `endpoints`, or a [pool.app.workers] with `command`",
        )],
    ),
    (
        "[pool.a]\nendpoints = [\"a:1\"]",
        &[(1, 1, "", "`listen` is missing", r#"write where clients connect, as in listen = "127.0.0.1:8080""#)],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a]",
        &[(
            2,
            1,
            "[pool.a]",
            "pool `a` has neither endpoints nor workers",
            "add `endpoints` for addresses that are there, `dns` for a name that has them, or a table `workers` for processes we start",
        )],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.\"a b\"]\nendpoints = [\"a:1\"]",
        &[(
            2,
            7,
            r#""a b""#,
            "`a b` cannot be the name of a pool",
            "write 1 to 64 letters, digits, `-` and `_`, as in [pool.app]",
        )],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool]\nendpoints = [\"a:1\"]",
        &[(3, 1, "endpoints", "`pool` holds pools by name, `endpoints` is none", "write it below a header [pool.app]")],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[[pool.a]]\nendpoints = [\"a:1\"]",
        &[(2, 1, "[[pool.a]]", "`a` must be a table, not a list", "write [pool.app], with single brackets")],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[[pool]]\nname = \"a\"",
        &[(2, 1, "[[pool]]", "`pool` must be a table, not a list", "write [pool.app]: a pool has a name")],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool]",
        &[(
            1,
            1,
            "",
            "there is no pool to pass requests to",
            "write a [pool.app] with `endpoints`, or a [pool.app.workers] with `command`",
        )],
    ),
    (
        "[pool.a]\nendpoints = [\"a:1\"]\nlisten = \"127.0.0.1:1\"",
        &[(
            3,
            1,
            "listen",
            "unknown key `listen`",
            "`listen` belongs at the top of the file, before the first [table]",
        )],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a.worker]\ncommand = [\"a\"]",
        &[(2, 9, "worker", "unknown key `worker`", "did you mean `workers`?")],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a.workers]\ncount = 2",
        &[(
            2,
            1,
            "[pool.a.workers]",
            "`command` is missing",
            r#"write the program and its arguments, as in ["julia", "server.jl", "{port}"]"#,
        )],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a]\nendpoints = [\"a:1\"]\n[pool.b]\nendpoints = [\"b:1\"]",
        &[(
            4,
            7,
            "b",
            "there are 2 pools and no route",
            r#"add a [[route]] for each, as in: [[route]] host = "example.com" pool = "b""#,
        )],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a]\nendpoints = [\"a:1\"]\n[route]\npool = \"a\"",
        &[(4, 1, "[route]", "`route` must be a list of tables", "write [[route]], with double brackets")],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a.workers]\ncommand = [\"a\"]\ncount = 2\nfirst_port = 8000\n[pool.b.workers]\ncommand = [\"a\"]\nfirst_port = 8003\n[[route]]\npool = \"a\"",
        &[(
            8,
            14,
            "8003",
            "pool `b` takes ports 8003 to 8004, two for each worker, and pool `a` 8000 to 8003",
            "write 8004 or more, or leave it out for free ports",
        )],
    ),
    (
        "listen = \"unix:/run/a\"\n[pool.a]\nendpoints = [\"unix:/run/a\"]",
        &[(
            3,
            14,
            r#""unix:/run/a""#,
            "`unix:/run/a` is where balancer itself listens",
            r#"`listen` has "unix:/run/a": write the address of the program behind balancer"#,
        )],
    ),
    (
        "listen = \"[::]:80\"\n[pool.a]\nendpoints = [\"127.0.0.1:80\"]",
        &[(
            3,
            14,
            r#""127.0.0.1:80""#,
            "`127.0.0.1:80` is where balancer itself listens",
            r#"`listen` has "[::]:80": write the address of the program behind balancer"#,
        )],
    ),
    (
        "listen = \"[::]:80\"\nadmin.address = \"127.0.0.1:80\"\n[pool.a]\nendpoints = [\"127.0.0.1:1\"]",
        &[(
            2,
            17,
            r#""127.0.0.1:80""#,
            "`[::]:80` has that address already",
            "give the admin service a port of its own",
        )],
    ),
    (r#"listen = "127.0.0.1:1"#, &[(1, 22, "", "invalid basic string", r#"close the text with `"`"#)]),
    (
        "listen = 127.0.0.1:1",
        &[(
            1,
            15,
            ".0.1:1",
            "invalid float",
            "a text stands between quotation marks, a number is digits alone; see https://toml.io",
        )],
    ),
    ("listen =\n[pool.a]", &[(1, 9, "", "string values must be quoted", "write a value behind the `=`")]),
    (
        "listen = [\"127.0.0.1:1\"\n[pool.a]\nendpoints = [\"a:1\"]",
        &[(1, 24, "", "this list is not closed", "close the list with `]`")],
    ),
    (
        "listen = \"127.0.0.1:1\"\n[pool.a\nendpoints = [\"a:1\"]",
        &[(2, 8, "", "unclosed table", "close the header with `]`")],
    ),
    (
        r#"listen = "a\q""#,
        &[(1, 13, "", "missing escaped value", r#"write `\\` for a backslash, or put the text between '…'"#)],
    ),
    (
        "listen = \"127.0.0.1:1\"\nthreads = 1\nthreads = 2",
        &[(3, 1, "threads", "`threads` is set twice", "keep one of the two")],
    ),
    (
        r#"listen: "127.0.0.1:1""#,
        &[(1, 7, ":", "invalid unquoted key", "a key is letters, digits, `-` and `_`, and `=` follows it")],
    ),
    (r#"listen = "127.0.0.1:1";"#, &[(1, 23, "", "unexpected key or value", "expected here: newline, `#`")]),
    (
        "listen = “127.0.0.1:1”",
        &[(1, 10, "“127.0.0.1:1”", "string values must be quoted", r#"write straight quotation marks: "127.0.0.1:1""#)],
    ),
    (
        "server {\n listen 80;\n}",
        &[
            (1, 8, "", "key with no value", "expected here: `=`"),
            (2, 9, "", "key with no value", "expected here: `=`"),
            (3, 1, "", "invalid key-value pair", "expected here: key"),
        ],
    ),
    ("listen = '127.0.0.1:1", &[(1, 22, "", "invalid literal string", "expected here: `'`")]),
];

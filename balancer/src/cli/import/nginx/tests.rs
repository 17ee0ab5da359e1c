//! Short files, and what becomes of them.

use std::path::Path;
use std::rc::Rc;

use super::*;
use crate::cli::import::setup::Weight;
use crate::cli::import::writer;

fn set_up(text: &str) -> Result<Setup, Unreadable> {
    let other = |name: &str| match name {
        "upstreams.conf" => Ok(("upstreams.conf".into(), "upstream app { server 10.0.0.1:80; }".to_owned())),
        "circle.conf" => Ok(("circle.conf".into(), "include circle.conf;".to_owned())),
        _ => Err("No such file or directory".to_owned()),
    };
    read(text, &Rc::from("x.conf"), Path::new("/etc/nginx"), &other)
}

/// The lines of the result that are no comment, without empty ones.
fn lines(text: &str) -> Vec<String> {
    let written = writer::write(&set_up(text).unwrap(), "x.conf");
    crate::config::parse(&written, "lb.toml").unwrap_or_else(|mistakes| panic!("{written}\n{mistakes}"));
    written.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// What has no counterpart: what clients see first.
fn remarks(text: &str) -> [Vec<String>; 2] {
    let setup = set_up(text).unwrap();
    [Weight::Seen, Weight::Unseen].map(|weight| {
        let those = setup.remarks.iter().filter(|remark| remark.weight == weight);
        those.map(|remark| format!("{}: {}", remark.place, remark.text)).collect()
    })
}

fn server(inside: &str) -> String {
    format!("server {{ listen 80; {inside} }}")
}

#[test]
fn the_set_up_of_the_article_is_three_lines() {
    let text = "events { worker_connections 10000; }\nhttp { upstream myproject { server 127.0.0.1:8000; server 127.0.0.1:8001; }\n\
                server { listen 8080; server_name localhost; location / { proxy_pass http://myproject; } } }";
    let expected =
        ["listen = \"0.0.0.0:8080\"", "[pool.myproject]", "endpoints = [\"127.0.0.1:8000\", \"127.0.0.1:8001\"]"];
    assert_eq!(lines(text), expected);
    assert_eq!(remarks(text)[0], [""; 0]);
}

#[test]
fn what_is_no_file_of_nginx_is_refused_with_its_line() {
    for (text, expected) in [
        ("http {\n server {\n", "x.conf:2: `server {` is not closed, nor is the block around it: add the `}`"),
        ("http { }\n}", "x.conf:2: this `}` closes nothing"),
        ("server { listen 80 }", "x.conf:1: there is no `;` behind `listen 80`"),
        ("\n\nlisten 80", "x.conf:3: there is no `;` behind `listen 80`"),
        ("a \"b;\n", "x.conf:1: a quotation mark of this line has no other"),
        ("{ }", "x.conf:1: this `{` has no name in front of it"),
        ("user www-data;", "x.conf:1: there is no `server` and no `upstream` in it"),
        ("include circle.conf; server { }", "circle.conf:1: include circle.conf: files include each other without end"),
        ("http { content_by_lua_block { if a { ", "x.conf:1: `content_by_lua_block {` is not closed"),
    ] {
        assert_eq!(set_up(text).unwrap_err().to_string(), expected, "{text}");
    }
    let deep = "a { ".repeat(40);
    assert!(set_up(&deep).unwrap_err().message.contains("more than 32 blocks"));
    let long = "server { } ".repeat(60_000);
    assert!(set_up(&long).unwrap_err().message.contains("60000 words"));
}

#[test]
fn words_are_read_as_nginx_reads_them() {
    let text = "server { # a comment ; {\n listen '80'; location / { proxy_pass \"http://10.0.0.1:80\"; set $a ${b}c; \
                content_by_lua_block { if a == '}' then -- }\n end } } }";
    let tree = tree::read(text, &Rc::from("x.conf")).unwrap();
    let location = &tree[0].children()[1];
    assert_eq!(location.children()[0].args, ["http://10.0.0.1:80"]);
    assert_eq!(location.children()[1].args, ["$a", "${b}c"]);
    assert_eq!(location.children()[2].name, "content_by_lua_block");
    assert_eq!((tree.len(), location.children().len()), (1, 3));
}

#[test]
fn a_file_that_is_included_is_read_and_one_that_is_not_there_is_told() {
    let text = "include upstreams.conf; server { listen 80; location / { proxy_pass http://app; } }";
    assert!(lines(text).contains(&"endpoints = [\"10.0.0.1:80\"]".to_owned()));
    let [seen, _] = remarks(&format!("include conf.d/*.conf;\ninclude more.conf;\n{text}"));
    let expected = [
        "x.conf:1: include conf.d/*.conf: the files are not read: import each by itself",
        "x.conf:2: include more.conf: not read: No such file or directory",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn addresses_are_written_as_ours_are() {
    for (theirs, ours) in [
        ("8080", "\"0.0.0.0:8080\""),
        ("*:8080", "\"0.0.0.0:8080\""),
        ("[::]:80 ipv6only=on", "\"[::]:80\""),
        ("localhost:80", "\"127.0.0.1:80\""),
        ("127.0.0.1", "\"127.0.0.1:80\""),
        ("unix:/run/a.sock", "{ address = \"unix:/run/a.sock\", mode = \"0666\" }"),
    ] {
        let text = format!("server {{ listen {theirs}; location / {{ proxy_pass http://10.0.0.1; }} }}");
        assert_eq!(lines(&text)[0], format!("listen = {ours}"), "{theirs}");
    }
    let several =
        "server { listen 127.0.0.1:80; listen 80; listen [::]:80; location / { proxy_pass http://10.0.0.1; } }";
    assert_eq!(lines(several)[0], "listen = [\"0.0.0.0:80\", \"[::]:80\"]");
    let without = "server { location / { proxy_pass http://10.0.0.1; } }";
    assert_eq!(lines(without)[0], "listen = \"0.0.0.0:80\"");
}

#[test]
fn the_rules_of_an_upstream_are_those_of_a_pool() {
    let pool = |inside: &str| {
        let text = format!("upstream app {{ {inside} }} {}", server("location / { proxy_pass http://app; }"));
        lines(&text)[2..].join("; ")
    };
    let two = "endpoints = [\"10.0.0.1:80\", \"10.0.0.2:80\"]";
    for (inside, expected) in [
        ("least_conn;", "policy = \"least_connections\""),
        ("ip_hash;", "policy = \"hash\""),
        ("hash $request_uri consistent;", "policy = \"hash\"; hash_key = \"uri\""),
        ("hash $http_x_tenant;", "policy = \"hash\"; hash_key = \"header:x-tenant\""),
        ("random two least_conn;", "policy = \"two_choices\""),
        ("sticky cookie srv expires=1h;", "affinity = { cookie = \"srv\" }"),
    ] {
        assert_eq!(
            pool(&format!("{inside} server 10.0.0.1; server 10.0.0.2;")),
            format!("{two}; {expected}"),
            "{inside}"
        );
    }
    for (inside, expected) in [
        (
            "server 10.0.0.1 max_conns=4; queue 10 timeout=3s;",
            "endpoints = [\"10.0.0.1:80\"]; queue_max = 10; queue_timeout = \"3s\"; slots = 4",
        ),
        ("server 10.0.0.1 fail_timeout=0;", "endpoints = [\"10.0.0.1:80\"]; eject_after = 0"),
        (
            "server 10.0.0.1 max_fails=2 fail_timeout=1h;",
            "endpoints = [\"10.0.0.1:80\"]; eject_after = 2; eject_time = \"5m\"",
        ),
        ("server app.test:3000;", "dns = \"app.test:3000\""),
        ("server app.test service=http resolve;", "dns = \"_http._tcp.app.test\""),
        ("server app.test:1; server b.test:2;", "endpoints = [\"app.test:1\", \"b.test:2\"]"),
        ("server localhost:3000;", "endpoints = [\"localhost:3000\"]"),
        ("server [::1]:3000; server 10.0.0.1:1 down;", "endpoints = [\"[::1]:3000\"]"),
        ("server 10.0.0.1; server 10.0.0.1;", "endpoints = [\"10.0.0.1:80\"]"),
    ] {
        assert_eq!(pool(inside), expected, "{inside}");
    }
}

#[test]
fn a_health_check_is_a_probe() {
    let text = server("location / { proxy_pass http://10.0.0.1; health_check uri=/up interval=5 fails=2; }");
    assert_eq!(lines(&text)[3], "probe = { fall = 2, interval = \"5s\", path = \"/up\" }");
    assert_eq!(remarks(&text), [const { Vec::<String>::new() }; 2]);
}

#[test]
fn what_a_pool_cannot_say_is_told() {
    let [seen, unseen] = remarks(&format!(
        "upstream app {{ hash $arg_id; server 10.0.0.1 max_conns=4; server 10.0.0.2 weight=900; server 10.0.0.3 down; }}\nupstream b {{ server 10.0.0.4; }}\n{}",
        server("location / { proxy_pass http://app; }")
    ));
    assert_eq!(seen, ["x.conf:1: hash $arg_id: `hash_key` knows client_ip, uri, header:NAME, cookie:NAME"]);
    assert!(unseen.iter().any(|text| text.contains("256 is the largest weight")), "{unseen:?}");
    assert!(unseen.iter().any(|text| text.contains("left out, as it is down")), "{unseen:?}");
    assert!(unseen.iter().any(|text| text.contains("max_conns is not the same for all")), "{unseen:?}");
    assert!(unseen.iter().any(|text| text.contains("upstream b: no location passes to it")), "{unseen:?}");
    let [seen, _] = remarks(&format!("upstream app {{ }} {}", server("location / { proxy_pass http://app; }")));
    assert_eq!(seen, ["x.conf:1: location /: app: upstream app has no server"]);
}

#[test]
fn paths_become_routes() {
    let routes = |inside: &str| {
        let lines = lines(&server(inside));
        let at = lines.iter().position(|line| line == "[[route]]").unwrap_or(lines.len());
        lines[at..].join("; ").replace("[[route]]; ", "")
    };
    let both = "location / { proxy_pass http://10.0.0.1; } location /api/ { proxy_pass http://10.0.0.2; }";
    assert_eq!(routes(both), "pool = \"app\"; path = \"/api\"; pool = \"api\"");
    assert_eq!(routes("location / { proxy_pass http://10.0.0.1/; }"), "");
    assert_eq!(routes("location ^~ /api { proxy_pass http://10.0.0.2/api; }"), "path = \"/api\"; pool = \"api\"");
    assert_eq!(routes("location ~ ^/api/(.*)$ { proxy_pass http://10.0.0.2; }"), "path = \"/api\"; pool = \"api\"");
    let nested = "location /a { proxy_pass http://10.0.0.1; location /a/b { proxy_pass http://10.0.0.2; } }";
    assert_eq!(routes(nested), "path = \"/a\"; pool = \"a\"; path = \"/a/b\"; pool = \"a-2\"");
}

#[test]
fn what_a_location_does_besides_passing_on_is_seen_by_clients() {
    for (inside, part) in [
        ("location / { proxy_pass http://10.0.0.1/v2/; }", "does not become /v2/"),
        ("location /api/ { proxy_pass http://10.0.0.1/; }", "does not become /: let the app take /api"),
        ("location ~ \\.php$ { proxy_pass http://10.0.0.1; }", "no pattern"),
        ("location ~ \\.php$ { fastcgi_pass 10.0.0.1; }", "FastCGI is not spoken"),
        ("location /s/ { root /srv; }", "no files are served here"),
        ("location /s/ { try_files $uri =404; }", "no files are served here"),
        ("location /h { return 200 ok; }", "routes answer nothing themselves"),
        ("location /x { proxy_pass https://10.0.0.1; }", "TLS to endpoints is not imported"),
        ("location /x { proxy_pass http://$host; }", "made up for each request"),
        (
            "location /x { proxy_pass http://10.0.0.1; proxy_set_header X-Tenant a; }",
            "fields of requests are not set here",
        ),
        ("location /x { proxy_pass http://10.0.0.1; if ($a) { return 403; } }", "they go to the pool"),
        ("location /x { proxy_pass http://10.0.0.1; add_header A b; }", "let the app set it"),
        ("location /x { proxy_pass http://10.0.0.1; allow 10.0.0.0/8; deny all; }", "EVERYBODY GETS IN"),
        (
            "location /x { proxy_pass http://10.0.0.1; proxy_next_upstream error http_500; }",
            "proxy_next_upstream http_500",
        ),
        ("location /x { proxy_pass http://10.0.0.1; surprising on; }", "surprising on: nothing is known of it here"),
        ("location /x { internal; proxy_pass http://10.0.0.1; }", "internal in `location /x`: no client gets there"),
        ("gzip on;", "gzip on: responses go out as the app writes them"),
        ("if ($a) { return 403; }", "no conditions"),
    ] {
        let [seen, _] = remarks(&server(&format!("{inside} location / {{ proxy_pass http://10.0.0.9; }}")));
        assert!(seen.iter().any(|text| text.contains(part)), "{inside}: {seen:?}");
    }
    let usual = "gzip off; location / { proxy_pass http://10.0.0.1; proxy_http_version 1.1; proxy_set_header Host $host; \
                 proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_buffering off; \
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; }";
    assert_eq!(remarks(&server(usual)), [const { Vec::<String>::new() }; 2]);
}

#[test]
fn the_longest_time_of_all_locations_holds_but_for_tunnels() {
    let pool = |inside: &str| lines(&format!("upstream app {{ server 10.0.0.1; }} {}", server(inside)))[3..].join("; ");
    let tunnel =
        "location /ws { proxy_pass http://app; proxy_set_header Upgrade $http_upgrade; proxy_read_timeout 1d; }";
    assert_eq!(
        pool("location / { proxy_pass http://app; proxy_read_timeout 90; }"),
        "response_timeout = \"90s\"; idle_timeout = \"90s\""
    );
    assert_eq!(pool(&format!("location / {{ proxy_pass http://app; }} {tunnel}")), "");
    let text = format!(
        "upstream app {{ server 10.0.0.1; }} {}",
        server(
            "location / { proxy_pass http://app; }\nlocation /slow { proxy_pass http://app; proxy_read_timeout 5m; }"
        )
    );
    assert_eq!(
        remarks(&text)[0],
        ["x.conf:1: pool app has one `response_timeout` for all its requests: 5m, the longest"]
    );
}

#[test]
fn a_server_that_leads_to_tls_needs_no_route() {
    let secure = "server { listen 443 ssl; server_name a.test; ssl_certificate a.pem; ssl_certificate_key /k/a.key; location / { proxy_pass http://10.0.0.1; } }";
    for plain in [
        "return 301 https://$host$request_uri;",
        "location / { return 301 https://a.test$request_uri; }",
        "rewrite ^(.*)$ https://$host$1 permanent;",
        "if ($host = a.test) { return 301 https://$host$request_uri; } return 404;",
    ] {
        let text = format!("server {{ listen 80; server_name a.test; {plain} }} {secure}");
        let expected = [
            "listen = [\"0.0.0.0:80\", \"tls:0.0.0.0:443\"]",
            "[tls]",
            "certificates = [{ certificate = \"/etc/nginx/a.pem\", key = \"/k/a.key\" }]",
            "[pool.app]",
            "endpoints = [\"10.0.0.1:80\"]",
        ];
        assert_eq!(lines(&text), expected, "{plain}");
        assert_eq!(remarks(&text)[0], [""; 0], "{plain}");
    }
    // Who serves both ways goes on doing so.
    let both = secure.replace("listen 443 ssl;", "listen 80; listen 443 ssl;");
    assert!(lines(&both).contains(&"redirect_https = false".to_owned()));
    let other = "server { listen 80; return 301 https://elsewhere.test$request_uri; } server { listen 81; location / { proxy_pass http://10.0.0.1; } }";
    assert!(
        remarks(other)[0].iter().any(|text| text.contains("routes answer nothing themselves")),
        "{:?}",
        remarks(other)
    );
}

#[test]
fn servers_of_other_hosts_have_routes_of_their_own() {
    let text = "server { listen 80 default_server; return 444; }\n\
                server { listen 80; server_name a.test .b.test; location / { proxy_pass http://10.0.0.1; } }\n\
                server { listen 80; server_name c.test ~^d; location / { proxy_pass http://10.0.0.2; } }";
    let lines = lines(text).join("; ");
    let routes = "[[route]]; host = \"*.b.test\"; pool = \"app\"; [[route]]; host = \"a.test\"; pool = \"app\"; \
                  [[route]]; host = \"b.test\"; pool = \"app\"; [[route]]; host = \"c.test\"; pool = \"app-2\"";
    assert!(lines.ends_with(routes), "{lines}");
    assert_eq!(remarks(text)[0], ["x.conf:3: server_name ~^d: a host is a name, or `*.` and a name: left out"]);
    let ports = "server { listen 80; location / { proxy_pass http://10.0.0.1; } }\nserver { listen 81; location / { proxy_pass http://10.0.0.2; } }";
    assert!(
        remarks(ports)[0][0].starts_with("x.conf:2: server: only its address or port tells it"),
        "{:?}",
        remarks(ports)
    );
}

#[test]
fn limits_of_clients_and_trust_are_at_the_top() {
    let text = format!(
        "worker_processes 2; http {{ client_max_body_size 10m; keepalive_timeout 30 30; client_header_timeout 5s; send_timeout 40; \
         large_client_header_buffers 4 16k; underscores_in_headers on; set_real_ip_from 10.1.2.3/8; real_ip_header X-Forwarded-For; access_log off; {} }}",
        server("location / { proxy_pass http://10.0.0.1; client_max_body_size 50m; }")
    );
    let expected = "listen = \"0.0.0.0:80\"; threads = 2; header_timeout = \"5s\"; body_timeout = \"40s\"; keep_alive_timeout = \"30s\"; \
                    body_bytes_max = \"50MiB\"; header_bytes_max = \"64KiB\"; ambiguous_fields = \"pass\"; trusted_proxies = [\"10.0.0.0/8\"]; \
                    [pool.app]; endpoints = [\"10.0.0.1:80\"]; [access_log]; format = \"off\"";
    assert_eq!(lines(&text).join("; "), expected);
    assert_eq!(
        remarks(&text)[0],
        ["x.conf:1: client_max_body_size 10m: `body_bytes_max` is one for all: 50MiB, the largest"]
    );
}

#[test]
fn what_clients_must_not_reach_gets_no_route() {
    let text =
        server("location / { proxy_pass http://10.0.0.1; } location /inner/ { internal; proxy_pass http://10.0.0.2; }");
    assert_eq!(lines(&text)[1..], ["[pool.app]", "endpoints = [\"10.0.0.1:80\"]"]);
}

#[test]
fn what_an_upstream_says_of_its_connections_is_no_limit_of_clients() {
    let upstream = "upstream app { server 10.0.0.1; keepalive 8; keepalive_timeout 5s; }";
    let text = format!("{upstream} {}", server("location / { proxy_pass http://app; }"));
    assert_eq!(lines(&text), ["listen = \"0.0.0.0:80\"", "[pool.app]", "endpoints = [\"10.0.0.1:80\"]"]);
}

#[test]
fn addresses_that_set_makes_are_filled_in() {
    let text = server("set $app app; location / { set $app_port 3000; proxy_pass http://$app:${app_port}; }");
    assert!(lines(&text).contains(&"dns = \"app:3000\"".to_owned()), "{:?}", lines(&text));
}

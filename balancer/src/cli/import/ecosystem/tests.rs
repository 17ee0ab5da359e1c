//! Short files, and what becomes of them.

use super::*;
use crate::cli::import::writer;

fn set_up(text: &str) -> Result<Setup, Unreadable> {
    read(text, &Rc::from("ecosystem.config.js"), Path::new(""))
}

fn lines(text: &str) -> Vec<String> {
    let written = writer::write(&set_up(text).unwrap(), "ecosystem.config.js");
    crate::config::parse(&written, "lb.toml").unwrap_or_else(|mistakes| panic!("{written}\n{mistakes}"));
    written.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn remarks(text: &str) -> Vec<String> {
    set_up(text).unwrap().remarks.iter().map(|one| format!("{}: {}", one.place.line, one.text)).collect()
}

#[test]
fn an_app_in_cluster_mode_is_a_pool_of_workers() {
    let text = "// shop\n'use strict';\nmodule.exports = {\n  apps: [{\n    name: 'shop', /* the site */ script: './server.js',\n    instances: 'max',\n\
                exec_mode: \"cluster\", env: { NODE_ENV: 'production', PORT: 3000, DEBUG: false },\n    max_memory_restart: '300M', kill_timeout: 5000,\n\
                listen_timeout: 8_000, args: ['--color', '--level', 2], node_args: '--max-old-space-size=256',\n  }],\n};\n";
    let expected = [
        "listen = \"0.0.0.0:3000\"",
        "[pool.shop.workers]",
        "command = [\"node\", \"--max-old-space-size=256\", \"./server.js\", \"--color\", \"--level\", \"2\"]",
        "count = \"cpus\"",
        "env = { DEBUG = \"false\", NODE_ENV = \"production\" }",
        "memory_max = \"300MiB\"",
        "stop_timeout = \"5s\"",
        "ready_timeout = \"8s\"",
        "stop_signal = \"INT\"",
    ];
    assert_eq!(lines(text), expected);
    assert_eq!(remarks(text), [""; 0]);
}

#[test]
fn json_is_read_too_and_interpreters_follow_from_the_name() {
    let command = |app: &str| {
        let lines = lines(&format!("{{\"apps\": [{app}]}}"));
        lines.into_iter().find(|line| line.starts_with("command")).unwrap()
    };
    for (app, expected) in [
        ("{\"script\": \"a.py\", \"port\": 8000}", "command = [\"python3\", \"a.py\"]"),
        ("{\"script\": \"npm\", \"args\": \"run start\"}", "command = [\"npm\", \"run\", \"start\"]"),
        ("{\"script\": \"npm start\"}", "command = [\"npm\", \"start\"]"),
        ("{\"script\": \"./app\", \"interpreter\": \"none\"}", "command = [\"./app\"]"),
        ("{\"script\": \"a.js\", \"interpreter\": \"bun\"}", "command = [\"bun\", \"a.js\"]"),
        ("{\"script\": \"a.js\", \"args\": \"--port 4000\"}", "command = [\"node\", \"a.js\", \"--port\", \"{port}\"]"),
    ] {
        assert_eq!(command(app), expected, "{app}");
    }
}

#[test]
fn apps_without_a_port_beside_others_serve_no_http() {
    let text = "module.exports = { apps: [\n{ name: 'web', script: 'a.js', env: { PORT: '80' } },\n{ name: 'mail', script: 'b.js', autorestart: false },\n\
                { name: 'api', script: 'c.js', env: { PORT: 81 } } ] }";
    let expected = "listen = \"0.0.0.0:80\"; [pool.web.workers]; command = [\"node\", \"a.js\"]; stop_signal = \"INT\"; [pool.mail.workers]; \
                    command = [\"node\", \"b.js\"]; restart = \"never\"; stop_signal = \"INT\"; ready = { alive = \"1s\" }; [pool.api.workers]; \
                    command = [\"node\", \"c.js\"]; stop_signal = \"INT\"; [[route]]; pool = \"web\"; [[route]]; path = \"/api\"; pool = \"api\"";
    assert_eq!(lines(text).join("; "), expected);
    assert_eq!(
        remarks(text),
        ["4: pool api: clients have found it at 0.0.0.0:81; here it has /api at 0.0.0.0:80, or a balancer of its own"]
    );
}

#[test]
fn what_has_no_counterpart_is_told_with_its_line() {
    let text = "module.exports = { apps: [{ script: 'a.js',\ninstances: -1,\nwatch: ['src'],\nmax_restarts: 5,\nwait_ready: true,\ncron_restart: '0 3 * * *',\n\
                out_file: '/a.log',\nenv_production: {},\nsurprise: 1 }],\ndeploy: {} };";
    let all = remarks(text);
    for (line, part) in [
        (2, "one for each CPU; write a number for fewer"),
        (3, "files are not watched"),
        (4, "without end"),
        (5, "needs no process.send('ready')"),
        (6, "`age_max`"),
        (7, "output = \"file\""),
        (8, "`env` is taken"),
        (9, "surprise: nothing is known of it here"),
        (10, "deploy: nothing is copied"),
        (1, "its port stands nowhere in this file"),
    ] {
        assert!(
            all.iter().any(|text| text.starts_with(&format!("{line}: ")) && text.contains(part)),
            "{line} {part}: {all:#?}"
        );
    }
}

#[test]
fn what_is_computed_is_refused_with_what_to_type() {
    for (text, line, part) in [
        ("const path = require('path');\nmodule.exports = {}", 1, "const path"),
        ("module.exports = {\n apps: [{ script: path.join('a') }] }", 2, "path.join"),
        ("module.exports = { apps: [{ name: `a-${b}`, script: 'a' }] }", 1, "${b}"),
        ("module.exports = { apps: [{ name: 'a' + b }] }", 1, "+ b"),
        ("module.exports = { ...base }", 1, "...base"),
        ("module.exports = () => ({})", 1, "() =>"),
        ("module.exports = { apps: [] }\nrun();", 2, "run()"),
        ("module.exports = { apps }", 1, "apps }"),
    ] {
        let refused = set_up(text).unwrap_err().to_string();
        let begin = format!("ecosystem.config.js:{line}: `");
        assert!(refused.starts_with(&begin) && refused.contains(part), "{text}: {refused}");
        assert!(
            refused.contains("node -p \"JSON.stringify(require('./ecosystem.config.js'))\" > ecosystem.config.json"),
            "{refused}"
        );
    }
    for (text, expected) in [
        ("module.exports = {\n apps: [", "ecosystem.config.js:2: `[` is not closed"),
        ("module.exports = { a: 'b\n' }", "ecosystem.config.js:1: a quotation mark of this line has no other"),
        ("/* ", "ecosystem.config.js:1: `/*` is not closed"),
        ("// nothing\n", "ecosystem.config.js:2: there is no `module.exports = {…}` in it"),
        ("{\"name\": \"package\"}", "ecosystem.config.js:1: there are no `apps` in it"),
    ] {
        assert_eq!(set_up(text).unwrap_err().to_string(), expected, "{text}");
    }
    let deep = format!("module.exports = {}", "[".repeat(50));
    assert!(set_up(&deep).unwrap_err().message.contains("more than 32"));
}

//! A real browser without a screen, driven by WebDriver (W3C) through Chromium's driver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{PATIENCE, directory, eventually};

/// A window of a browser; both end with it.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: PathBuf,
}

impl Browser {
    /// A browser with a profile of its own.
    pub(crate) fn start() -> Self {
        let mut driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
        let profile = directory();
        let mut browser = Self { driver, port: port.unwrap(), session: String::new(), profile };
        let profile = format!("--user-data-dir={}", browser.profile.display());
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", &profile];
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let opened = browser.ask("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = opened["sessionId"].as_str().unwrap_or_else(|| panic!("{opened}")).to_owned();
        browser
    }

    /// Goes to a page.
    pub(crate) fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns something true.
    pub(crate) fn until(&self, what: &str, script: &str) -> Value {
        eventually(
            || format!("{what}: {}", self.run("return document.body.innerText")),
            || Some(self.run(script)).filter(|found| !matches!(found, Value::Null | Value::Bool(false))),
        )
    }

    /// What stands in the console: mistakes of the page.
    pub(crate) fn console(&self) -> Value {
        self.command("se/log", &json!({ "type": "browser" }))
    }

    fn command(&self, name: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{name}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // The browser itself has to start, on a busy machine.
        stream.set_read_timeout(Some(PATIENCE * 4)).unwrap();
        let body = body.to_string();
        write!(&stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .unwrap();
        // It keeps the connection, so what it says has a length.
        let (mut answer, mut length) = (BufReader::new(stream), 0);
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            match line.strip_prefix("content-length:") {
                Some(text) => length = text.trim().parse().unwrap(),
                None if line.is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).unwrap();
        let answer = String::from_utf8(body).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]);
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without it the browser would outlive its driver.
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.driver.id().cast_signed()),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

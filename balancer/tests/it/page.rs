//! The live page in a real browser.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::admin::{admin_address, status, until_ready, workers};
use super::harness::browser::Browser;
use super::harness::{Balancer, Client, directory};
use super::program::needs;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";
/// The text of a row by its name.
const ROW: &str = "const row = name => [...document.querySelectorAll('tbody tr')].find(row => row.querySelector('th').innerText === name);";

fn browser() -> Browser {
    needs("chromedriver");
    Browser::start()
}

fn click(browser: &Browser, label: &str) {
    browser.until(label, &format!("return document.querySelector('[aria-label=\"{label}\"]') !== null"));
    browser.run(&format!("document.querySelector('[aria-label=\"{label}\"]').click()"));
}

fn confirm(browser: &Browser) {
    browser.until("the question", "return document.getElementById('ask').open");
    browser.run("document.getElementById('yes').click()");
}

fn no_complaint(browser: &Browser) {
    assert_eq!(browser.console(), json!([]), "the console of the browser");
}

#[test]
#[cfg_attr(not(has = "chromedriver"), ignore = "needs chromedriver")]
fn the_page_changes_where_it_stands_and_keeps_selection_and_scroll() {
    let browser = browser();
    let mut balancer = Balancer::start("", &format!("{}{ADMIN}", workers(2)));
    until_ready(&balancer, 2);
    browser.open(&format!("http://{}/", admin_address(&mut balancer)));
    browser.until(
        "two rows",
        &format!("{ROW} return document.readyState === 'complete' && row('app.1') && row('app.2') && true"),
    );
    browser.until("events", "return document.querySelectorAll('#events li').length >= 4");
    browser.run(
        "const text = document.querySelector('section.pool h2').firstChild;
         getSelection().setBaseAndExtent(text, 0, text, 3);
         document.body.style.minHeight = '5000px'; scrollTo(0, 200);
         document.querySelectorAll('tbody tr').forEach(row => { row.mark = 'same'; });",
    );
    let figures = "return document.querySelector('section.pool .figures').innerText";
    assert!(browser.run(figures).as_str().unwrap().contains(" 0 requests"));
    assert_eq!(Client::of(&balancer).get("/").status(), 200);
    browser.until(
        "the request",
        "return document.querySelector('section.pool .figures').innerText.includes(' 1 requests')",
    );
    let kept = browser.run(
        "return [getSelection().toString(), scrollY, [...document.querySelectorAll('tbody tr')].map(row => row.mark)]",
    );
    assert_eq!(kept, json!(["app", 200, ["same", "same"]]));
    // What a screen reader goes by.
    let found = browser.run(
        "return ['header', 'main', 'thead th[scope=col]', 'tbody th[scope=row]', '#banner[aria-live]', 'caption', 'link[rel=icon]', 'html[lang]',
            'figure svg[role=img][aria-label]'].filter(name => document.querySelector(name) === null)",
    );
    assert_eq!(found, json!([]));
    browser.until(
        "points of a chart",
        "return (document.querySelector('.chart path').getAttribute('d') || '').startsWith('M')",
    );
    no_complaint(&browser);
}

#[test]
#[cfg_attr(not(has = "chromedriver"), ignore = "needs chromedriver")]
fn a_killed_worker_and_why_is_seen_within_two_seconds_and_events_are_filtered() {
    let browser = browser();
    let mut balancer = Balancer::start("", &format!("{}{ADMIN}", workers(3)));
    until_ready(&balancer, 3);
    browser.open(&format!("http://{}/", admin_address(&mut balancer)));
    browser.until("rows", &format!("{ROW} return Boolean(row('app.1') && row('app.3'))"));
    // The page itself notes when a row first says so: what asks it would come late.
    browser.run(
        "window.seen = {};
         const look = () => document.querySelectorAll('tbody tr').forEach(row => {
             const name = row.querySelector('th').innerText;
             if (row.innerText.includes('SIGKILL, ')) window.seen[name] = window.seen[name] || Date.now();
         });
         new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });",
    );
    let rows = status(&balancer)["pools"][0]["rows"].as_array().unwrap().clone();
    let mut took: Vec<u128> = Vec::new();
    for name in ["app.1", "app.3", "app.2"] {
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        let pid = Pid::from_raw(row["worker"]["pid"].as_i64().unwrap().try_into().unwrap());
        let killed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        kill(pid, Signal::SIGKILL).unwrap();
        let seen = browser.until(name, &format!("return window.seen['{name}'] || false")).as_u64().unwrap();
        took.push(u128::from(seen).saturating_sub(killed));
    }
    // One of three may meet a moment in which the machine does something else.
    took.sort_unstable();
    assert!(took[1] < 2_000, "milliseconds from the end of a worker until the page shows it: {took:?}");
    browser.until("its event", "return document.getElementById('events').innerText.includes('app.2 (pid ')");
    browser.until("the next one", &format!("{ROW} return row('app.2').querySelector('.state').innerText === 'up'"));
    browser.run("const filter = document.getElementById('filter'); filter.value = 'KILLED by'; filter.dispatchEvent(new Event('input'));");
    let shown =
        "return [...document.querySelectorAll('#events li')].filter(item => !item.hidden).map(item => item.innerText)";
    let shown = browser.run(shown);
    assert!(
        shown.as_array().unwrap().len() == 3 && shown[0].as_str().unwrap().contains("killed by signal 9"),
        "{shown}"
    );
    no_complaint(&browser);
}

#[test]
#[cfg_attr(not(has = "chromedriver"), ignore = "needs chromedriver")]
fn an_operator_drains_restarts_and_scales_after_a_question() {
    let browser = browser();
    let mut balancer = Balancer::start("", &format!("{}{ADMIN}", workers(2)));
    until_ready(&balancer, 2);
    browser.open(&format!("http://{}/", admin_address(&mut balancer)));
    let state = |name: &str, state: &str| {
        let is_so = format!("{ROW} return row('{name}')?.querySelector('.state').innerText === '{state}'");
        browser.until(&format!("{name} {state}"), &is_so);
    };
    state("app.1", "up");
    click(&browser, "Drain app.1");
    browser.until("the question", "return document.getElementById('ask').open");
    browser.run("document.getElementById('no').click()");
    assert_eq!(status(&balancer)["pools"][0]["endpoints"][0]["state"], "up", "it was only asked");
    click(&browser, "Drain app.1");
    confirm(&browser);
    state("app.1", "drained");
    click(&browser, "Drain app.2");
    browser.until(
        "the question of the last one",
        "return document.getElementById('question').innerText.includes('last endpoint')",
    );
    confirm(&browser);
    state("app.2", "drained");
    click(&browser, "Take back app.1");
    state("app.1", "up");
    let pid = |balancer: &Balancer| -> Value {
        let rows = status(balancer)["pools"][0]["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["name"] == "app.1").unwrap()["worker"]["pid"].clone()
    };
    let before = pid(&balancer);
    click(&browser, "Restart app.1");
    confirm(&browser);
    browser.until("its end", "return document.getElementById('told').innerText.includes('app.1 replaced in')");
    assert_ne!(pid(&balancer), before);
    click(&browser, "Scale app");
    browser.run("document.getElementById('number').value = 3");
    confirm(&browser);
    state("app.3", "up");
    no_complaint(&browser);
}

#[test]
#[cfg_attr(not(has = "chromedriver"), ignore = "needs chromedriver")]
fn names_and_lines_of_others_run_nothing() {
    let browser = browser();
    let hostile = "<img src=x onerror=document.title=1><script>document.title=1</script>";
    let script = format!("echo '{hostile}'; exit 3");
    let endpoint = "unix:/tmp/<img src=x onerror=document.title=1>";
    let tables = format!(
        "[pool.app]\nendpoints = [\"{endpoint}\"]\n[pool.api.workers]\ncommand = [\"sh\", \"-c\", \"{script}\"]\n\
         backoff = {{ min = \"20s\", max = \"20s\" }}\n[[route]]\npool = \"app\"\n[[route]]\npath = \"/api\"\npool = \"api\"\n{ADMIN}"
    );
    let mut balancer = Balancer::start("", &tables);
    browser.open(&format!("http://{}/", admin_address(&mut balancer)));
    browser.until("the line", "return document.body.innerText.includes('it printed: <img src=x onerror')");
    browser.until(
        "the banner",
        "return document.getElementById('banner').innerText.includes('NOT READY: api (api.1 is in back-off: <img')",
    );
    browser.until("the name", "return document.body.innerText.includes('/tmp/<img')");
    browser.until("the event", "return document.getElementById('events').innerText.includes('<script>')");
    assert_eq!(browser.run("return document.images.length + document.querySelectorAll('body script').length"), 0);
    assert!(browser.run("return document.title").as_str().unwrap().contains("balancer"));
    no_complaint(&browser);
}

#[test]
#[cfg_attr(not(has = "chromedriver"), ignore = "needs chromedriver")]
fn with_a_token_the_page_shows_nothing_until_it_is_given() {
    let browser = browser();
    let directory = directory();
    let token = directory.join("token");
    std::fs::write(&token, "a-long-random-word-0\n").unwrap();
    let admin = format!("{}[admin]\naddress = \"127.0.0.1:0\"\ntoken_file = {token:?}\n", workers(1));
    let mut balancer = Balancer::start_in(directory, "", &admin);
    until_ready(&balancer, 1);
    browser.open(&format!("http://{}/", admin_address(&mut balancer)));
    let give = |word: &str| {
        browser.until("the question", "return !document.getElementById('login').hidden");
        browser.run(&format!(
            "document.getElementById('token').value = '{word}'; document.querySelector('#login button').click()"
        ));
    };
    give("another-long-word-0");
    browser.until("a refusal", "return document.getElementById('banner').innerText === 'The token is wrong.'");
    assert_eq!(browser.run("return document.querySelectorAll('section.pool').length"), 0);
    give("a-long-random-word-0");
    browser.until("a row", &format!("{ROW} return Boolean(row('app.1')) && document.getElementById('banner').hidden"));
}

//! `balancer top`: a running instance, live, in the terminal.
//!
//! Decides what is waited for: keys, signals, and the instance's next answer. Called by [`super`]. Leaves the terminal as it was, however it ends.

mod ask;
mod draw;
mod keys;
mod orders;
mod rows;
mod screen;
mod state;

use std::io::{self, IsTerminal};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::say::{fail, say};
use super::target::{NOT_RUNNING, Target};
use crate::config::duration;
use ask::{LookedAt, StatusSource};
use keys::KeyOutcome;
use screen::Screen;
use state::Screenful;

/// How.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Ask the instance so often
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = every)]
    every: Duration,

    #[command(flatten)]
    target: Target,
}

/// What has happened.
enum News {
    /// Somebody at the terminal.
    Terminal(Event),
    /// The instance has answered, or has not.
    Seen(Box<Result<LookedAt, String>>),
    /// An order is done.
    Done(String),
    /// The terminal is gone.
    Gone,
}

pub(super) fn run(options: Options, config: Option<PathBuf>) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return fail("balancer: top needs a terminal; `balancer status` says the same once");
    }
    let target = options.target.or(config);
    let asker = match target.place(false) {
        Ok(place) => StatusSource::new(place),
        Err(code) => return code,
    };
    // Before the screen is taken: why there is nothing to see can be read afterwards.
    let first = match asker.look() {
        Ok(first) => first,
        Err(why) => {
            say(&format!("balancer: {why}"));
            return ExitCode::from(NOT_RUNNING);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("balancer: {error}")),
    };
    let outcome = runtime.block_on(watch(&asker, first, options.every));
    // An order that is under way is not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("balancer: the terminal: {error}")),
    }
}

/// Until somebody, a signal or the end of the terminal ends it.
async fn watch(asker: &StatusSource, first: LookedAt, every: Duration) -> io::Result<()> {
    let (news, mut heard) = mpsc::channel(NEWS_MAX);
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut hup, mut quit) = (signal(SignalKind::hangup())?, signal(SignalKind::quit())?);
    let screen = Screen::take(io::stdout())?;
    // Dropped, it would say on stderr that the cursor cannot be shown, and panic where the terminal is gone; `screen` shows it.
    let mut terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
    let mut state = Screenful::default();
    state.saw(&first, Instant::now());
    read_terminal(news.clone());
    look_again(asker.clone(), every, news.clone());
    loop {
        terminal.draw(|frame| draw::all(frame, &state))?;
        let one = tokio::select! {
            one = heard.recv() => one.unwrap_or(News::Gone),
            _ = term.recv() => News::Gone,
            _ = int.recv() => News::Gone,
            _ = quit.recv() => News::Gone,
            _ = hup.recv() => News::Gone,
        };
        match one {
            News::Gone => break,
            News::Seen(seen) => match *seen {
                Ok(seen) => state.saw(&seen, Instant::now()),
                Err(why) => state.saw_nothing(why),
            },
            News::Done(text) => state.say(text),
            News::Terminal(Event::Key(key)) => match keys::pressed(&mut state, key) {
                None => {}
                Some(KeyOutcome::End) => break,
                Some(KeyOutcome::Order(path)) => order(asker.clone(), path, news.clone()),
            },
            News::Terminal(_) => {}
        }
    }
    screen.give_back();
    Ok(())
}

/// Keys, and changes of the size. In a thread that nobody waits for: of a terminal that is gone, crossterm reads for ever.
fn read_terminal(news: mpsc::Sender<News>) {
    std::thread::spawn(move || {
        while !news.is_closed() {
            let one = match event::poll(LOOK).and_then(|some| if some { event::read().map(Some) } else { Ok(None) }) {
                Ok(Some(event)) => News::Terminal(event),
                Ok(None) => continue,
                Err(_) => News::Gone,
            };
            let is_end = matches!(one, News::Gone);
            if news.blocking_send(one).is_err() || is_end {
                return;
            }
        }
    });
}

fn look_again(asker: StatusSource, every: Duration, news: mpsc::Sender<News>) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(every).await;
            let asker = asker.clone();
            let Ok(seen) = tokio::task::spawn_blocking(move || asker.look()).await else { return };
            if news.send(News::Seen(Box::new(seen))).await.is_err() {
                return;
            }
        }
    });
}

fn order(asker: StatusSource, path: String, news: mpsc::Sender<News>) {
    tokio::task::spawn_blocking(move || {
        let text = asker.order(&path).unwrap_or_else(|why| why);
        // Whoever has left wants no answer.
        let _ = news.blocking_send(News::Done(text));
    });
}

fn every(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    match (EVERY_MIN..=EVERY_MAX).contains(&every) {
        true => Ok(every),
        false => Err("write a time from 200ms to 1m".to_owned()),
    }
}

/// Keys that are pressed faster than they are answered wait.
const NEWS_MAX: usize = 64;
/// Until the thread that reads keys looks whether somebody still wants them.
const LOOK: Duration = Duration::from_millis(250);
const EVERY_MIN: Duration = Duration::from_millis(200);
const EVERY_MAX: Duration = Duration::from_secs(60);

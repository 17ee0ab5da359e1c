//! `fuzz TARGET [--seconds N] [--seed S]` runs a target on mutations of its corpus; `fuzz reviewed` lists where other readers of
//! HTTP/1 may differ from ours.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fuzz::mutate::mutated;
use fuzz::{Reader, TARGETS, compared, reviewed_list};
use rand::SeedableRng;
use rand::rngs::StdRng;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "reviewed") {
        reviewed_list().for_each(|line| say(&line));
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let Some(target) = TARGETS.iter().find(|target| Some(target.name) == arguments.first().map(String::as_str)) else {
        let names = TARGETS.map(|target| target.name).join(" | ");
        say(&format!("usage: fuzz {names} [--seconds N] [--seed S], or fuzz reviewed"));
        return ExitCode::from(2);
    };
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (seconds, seed) = (number("--seconds", 60), number("--seed", clock.as_nanos() as u64));
    let mut readers = Vec::new();
    if target.compare.is_some() {
        for reader in Reader::all() {
            match reader {
                Ok(reader) => readers.push(reader),
                Err(missing) => say(&format!("left out: {}", missing.0)),
            }
        }
    }
    count_panics();
    let (mut rng, mut corpus) = (StdRng::seed_from_u64(seed), target.corpus());
    let (begun, mut runs) = (Instant::now(), 0_u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let input = mutated(&corpus, target.words, &mut rng);
        let before = compared();
        let run = || {
            (target.run)(&input);
            target.compare.iter().for_each(|compare| compare(&input, &mut readers));
        };
        let failed = catch_unwind(AssertUnwindSafe(run)).is_err();
        runs += 1;
        // A panic of another thread, which served on, is one too.
        if failed || PANICS.load(Ordering::SeqCst) > 0 {
            let file = format!("{}-{seed}-{runs}", target.name);
            let path = std::env::temp_dir().join(file);
            let kept = std::fs::write(&path, &input);
            say(&format!("{}: found after {runs} inputs: {} ({kept:?})", target.name, path.display()));
            return ExitCode::FAILURE;
        }
        // What was let pass becomes material, so that changes add up. Where readers are asked, only what they were asked about:
        // of other material less and less is a message.
        let let_pass = readers.is_empty() || compared() > before;
        if let_pass && runs % 64 == 0 && corpus.len() < CORPUS_MAX {
            corpus.push(input);
        }
    }
    let (took, compared) = (begun.elapsed(), compared());
    let name = target.name;
    say(&format!("{name}: {runs} inputs in {took:.0?}, {compared} messages compared, seed {seed}: nothing found"));
    ExitCode::SUCCESS
}

fn count_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        tell(panic);
    }));
}

fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stdout(), "{line}");
}

static PANICS: AtomicUsize = AtomicUsize::new(0);
const CORPUS_MAX: usize = 2_000;

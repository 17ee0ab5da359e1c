//! Has this change made us slower? The working tree against an earlier revision of itself, in instructions a request; and the
//! same count of one program.
//!
//! Decides the order: find the revision, build both, count both in every manner of asking. Called by `main`. Never judges: it
//! prints ratios and leaves the verdict to the reader.

mod instructions;
mod revision;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

pub(crate) use instructions::Origin;
use revision::Repository;

use crate::lab::{Builds, Lab};
use crate::programs::{self, cargo_build};
use crate::report::figure::{Figure, Unit};
use crate::report::{Layout, Report, Section};
use crate::{events::Events, failure::Failure, manner::Manner, say, statistics::whole};

/// The arguments of `guard`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// The revision to compare with [default: where this branch left main; on main, HEAD where files are changed, else
    /// HEAD~1]
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Requests over which instructions are counted
    #[arg(long, value_name = "N", default_value_t = COUNTED, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    counted: u32,
    /// What is compared: instructions are all there is
    #[arg(long, hide = true)]
    only: Option<Only>,
}

/// What [`Plan`] may be told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Only {
    Instructions,
}

/// The arguments of `instructions`: one program, nothing to compare it with.
#[derive(Args, Clone, Debug)]
pub(crate) struct One {
    #[command(flatten)]
    builds: Builds,
    /// Requests over which instructions are counted
    #[arg(long, value_name = "N", default_value_t = COUNTED, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    counted: u32,
}

/// Counts both builds.
pub(crate) fn guard(plan: &Plan, events: &Arc<Events>) -> Result<Report, Failure> {
    valgrind()?;
    let repository = Repository::find(Path::new("."))?;
    let base = repository.base(plan.base.as_deref())?;
    let folder = repository.top.join("target/guard");
    fs::create_dir_all(&folder).map_err(|e| Failure::file("create", &folder, e))?;
    let _lock = lock(&folder)?;
    say(&format!("base: {} {} ({})", base.short, base.subject, base.why));
    let ours = folder.join("tree");
    cargo_build(&["balancer", "backend"], &repository.top, Some(&ours), events)?;
    let theirs = build_base(&repository, &base.commit, &folder, events)?;
    let program = |name| Some(ours.join("release").join(name));
    let mut lab = Lab::of(&Builds { balancer: program("balancer"), backend: program("backend") }, events)?;
    let tree = lab.program("balancer")?;
    let mut figures = Vec::new();
    let origin = Origin::start(&lab)?;
    for manner in Manner::ALL {
        lab.put("balancer", &theirs);
        let before = origin.count("base", manner, plan.counted, &lab)?;
        lab.put("balancer", &tree);
        let after = origin.count("tree", manner, plan.counted, &lab)?;
        figures.extend(counted(manner, "base", before));
        figures.extend(counted(manner, "tree", after));
        let ratio = if before > 0.0 { after / before } else { f64::NAN };
        figures.push(Figure::seen(manner.name(), ratio, Unit::Thousandths).of("tree ÷ base"));
    }
    let head = vec![
        format!("base: {} {} ({})", base.short, base.subject, base.why),
        format!("tree: {}", repository.tree()?),
        format!("the balancer with one thread over two `backend`; {}", lab.cores.describe()),
    ];
    Ok(Report::of(head, section(figures, plan.counted)))
}

/// Counts one program.
pub(crate) fn one(one: &One, events: &Arc<Events>) -> Result<Report, Failure> {
    valgrind()?;
    let lab = Lab::of(&one.builds, events)?;
    let origin = Origin::start(&lab)?;
    let mut figures = Vec::new();
    for manner in Manner::ALL {
        figures.extend(counted(manner, "balancer", origin.count("balancer", manner, one.counted, &lab)?));
    }
    let head =
        format!("{}\nwith one thread over two `backend`; {}", lab.program("balancer")?.display(), lab.cores.describe());
    Ok(Report::of(vec![head], section(figures, one.counted)))
}

fn counted(manner: Manner, of: &str, each: f64) -> Option<Figure> {
    Some(Figure::seen(manner.name(), each, Unit::Count).of(of))
}

/// With a row for what the access log adds to the first manner.
fn section(mut figures: Vec<Figure>, requests: u32) -> Section {
    let of_manner = |manner: Manner| figures.iter().filter(move |figure| figure.what == manner.name());
    let added = of_manner(Manner::AccessLog).filter(|figure| figure.unit == Unit::Count).filter_map(|with| {
        let without = of_manner(Manner::KeepAlive).find(|plain| plain.of == with.of)?;
        Some(Figure::seen("  of which a line of the log", with.median()? - without.median()?, Unit::Count).of(&with.of))
    });
    let mut added: Vec<Figure> = added.collect();
    if let [base, tree] = added.as_slice() {
        let ratio = tree.median().unwrap_or(f64::NAN) / base.median().filter(|base| *base > 0.0).unwrap_or(f64::NAN);
        added.push(Figure::seen(base.what.clone(), ratio, Unit::Thousandths).of("tree ÷ base"));
    }
    figures.extend(added);
    let note = format!(
        "Instructions: callgrind, all threads, over {} requests one after another, after a start that is not counted.",
        whole(requests.into())
    );
    Section { notes: vec![note], ..Section::new(Layout::Columns, "instructions/request, user space", vec![figures]) }
}

/// The base's balancer; checked out and built unless the last run left it behind.
fn build_base(repository: &Repository, commit: &str, folder: &Path, events: &Arc<Events>) -> Result<PathBuf, Failure> {
    let (target, stamp) = (folder.join("base"), folder.join("base-is"));
    // Another toolchain makes another program of the same source.
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_default();
    let is = format!("{commit} {toolchain}\n");
    let program = target.join("release/balancer");
    if fs::read_to_string(&stamp).is_ok_and(|was| was == is) && program.exists() {
        return Ok(program);
    }
    let checkout = repository.check_out(commit, &folder.join("checkout"))?;
    let _ = fs::remove_file(&stamp);
    cargo_build(&["balancer"], &checkout.path, Some(&target), events)?;
    fs::write(&stamp, is).map_err(|e| Failure::file("write", &stamp, e))?;
    Ok(program)
}

fn valgrind() -> Result<PathBuf, Failure> {
    let missing = || Failure::Missing("no instruction counts: apt-get install valgrind".to_owned());
    programs::find("valgrind").ok_or_else(missing)
}

/// Two at a time would build into one folder and measure each other.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join("lock");
    let opened = File::options().create(true).append(true).open(&path);
    let file = opened.map_err(|e| Failure::file("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::Missing(format!("another guard is at work in {}", folder.display())))
        }
        Err(TryLockError::Error(e)) => Err(Failure::file("lock", &path, e)),
    }
}

const COUNTED: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_builds_have_their_ratios_and_one_has_none() {
        let counts = |of, plain, log| {
            [(Manner::KeepAlive, plain), (Manner::AccessLog, log)].map(|(manner, each)| counted(manner, of, each))
        };
        let base = counts("base", 20_000.0, 22_000.0).into_iter().flatten();
        let both = base.clone().chain(counts("tree", 20_100.0, 21_100.0).into_iter().flatten()).collect();
        let text = section(both, 1_000).body();
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        for part in [
            "base tree tree ÷ base",
            "keep-alive, as wrk 20,000 20,100",
            "a line of the log 2,000 1,000 0.500",
            "over 1,000 requests",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let one = section(base.collect(), 10).body();
        assert!(one.contains("of which a line of the log        2,000\n") && !one.contains('÷'), "{one}");
    }
}

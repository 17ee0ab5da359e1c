//! Has this change made us slower? The working tree against an earlier revision of itself.
//!
//! Decides the order: find the revision, build both, measure in pairs, count instructions. Called by `main`. Never judges:
//! it prints ratios and leaves the verdict to the reader.

mod arguments;
mod build;
mod clock;
mod instructions;
mod report;
mod revision;
mod worktree;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arguments::Part;
pub(crate) use arguments::{Arguments, One, Plan};
use revision::Repository;
use worktree::Worktree;

use crate::cores::Cores;
use crate::events::Events;
use crate::failure::Failure;
use crate::programs;
use crate::say;
use crate::scratch::Scratch;
use crate::side::{self, Ground, Side};

/// Measures both and returns the table.
///
/// # Errors
/// Whatever keeps a figure from being measured, or a signal; everything started has ended, and the base's checkout is
/// gone, when this returns.
pub(crate) fn guard(plan: &Plan, events: &Arc<Events>) -> Result<String, Failure> {
    let tools = Tools::find(plan)?;
    let repository = Repository::find(&plan.folder)?;
    let base = repository.base(plan.base.as_deref())?;
    let folder = repository.top.join("target/guard");
    fs::create_dir_all(&folder).map_err(|e| Failure::file("create", &folder, e))?;
    let _lock = lock(&folder)?;
    say(&format!("base: {} {} ({})", base.short, base.subject, base.why));

    let ours = build::build(&repository.top, &folder.join("tree"), &["balancer", "backend"], events)?;
    let theirs = build_base(&repository, &base.commit, &folder, events)?;

    let (cores, scratch) = (Cores::find(), Scratch::create()?);
    let ground = Ground { cores: &cores, scratch: &scratch, events };
    let origin = side::Origin::start(&ours[1], &ground)?;
    let sides = [Side { name: "base", program: &theirs }, Side { name: "tree", program: &ours[0] }];
    let clock = match &tools.generators {
        Some(generators) => clock::measure(plan, generators, &sides, &origin, &ground)?,
        None => Vec::new(),
    };
    let instructions = match &tools.valgrind {
        Some(valgrind) => instructions::count(plan.counted, valgrind, &sides, &origin, &ground)?,
        None => Vec::new(),
    };
    Ok(report::render(&repository.tree()?, &base, &cores.describe(), &clock, &instructions, tools.note.as_deref()))
}

/// Counts the instructions of one program, in all manners, and returns the table.
///
/// # Errors
/// Whatever keeps them from being counted, or a signal; everything started has ended when this returns.
pub(crate) fn one(one: &One, events: &Arc<Events>) -> Result<String, Failure> {
    let valgrind = programs::find("valgrind").ok_or_else(|| Failure::Missing(NO_VALGRIND.to_owned()))?;
    let given = [("balancer", one.balancer.as_deref()), ("backend", one.backend.as_deref())];
    let [balancer, backend] = programs::ours(given, events)?;
    let (cores, scratch) = (Cores::find(), Scratch::create()?);
    let ground = Ground { cores: &cores, scratch: &scratch, events };
    let origin = side::Origin::start(&backend, &ground)?;
    let side = Side { name: "balancer", program: &balancer };
    let counts = instructions::count(one.counted, &valgrind, &[side], &origin, &ground)?;
    Ok(report::render_one(&balancer.display().to_string(), &cores.describe(), &counts))
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
    let checkout = Worktree::add(repository, commit, &folder.join("checkout"))?;
    let _ = fs::remove_file(&stamp);
    let mut built = build::build(checkout.path(), &target, &["balancer"], events)?;
    fs::write(&stamp, is).map_err(|e| Failure::file("write", &stamp, e))?;
    Ok(built.swap_remove(0))
}

/// What is installed of what the plan needs.
struct Tools {
    generators: Option<clock::Generators>,
    valgrind: Option<PathBuf>,
    /// What was left out and how to get it.
    note: Option<String>,
}

impl Tools {
    /// # Errors
    /// Something is missing without which nothing of what was asked for could be measured.
    fn find(plan: &Plan) -> Result<Tools, Failure> {
        let generators = match plan.only {
            Some(Part::Instructions) => None,
            _ => Some(clock::Generators::find()?),
        };
        let valgrind = if plan.only == Some(Part::Clock) { None } else { programs::find("valgrind") };
        match (plan.only, &valgrind) {
            (Some(Part::Instructions), None) => Err(Failure::Missing(NO_VALGRIND.to_owned())),
            (None, None) => Ok(Tools { generators, valgrind, note: Some(NO_VALGRIND.to_owned()) }),
            _ => Ok(Tools { generators, valgrind, note: None }),
        }
    }
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

const NO_VALGRIND: &str = "no instruction counts: apt-get install valgrind";

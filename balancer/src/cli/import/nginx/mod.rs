//! `nginx.conf`, or a file that it includes → a set-up.
//!
//! Decides the order in which a file is read. Called by [`super`] with the text. Never opens a file itself: it is handed how.

mod include;
mod known;
mod lexer;
mod listening;
mod location;
mod pass;
mod pools;
mod routes;
mod scope;
mod server;
#[cfg(test)]
mod tests;
mod top;
mod tree;
mod upstream;
mod values;

use std::path::Path;
use std::rc::Rc;

use pools::Pools;
use scope::Scope;
use tree::Directive;

pub(super) use include::ReadOther;

use super::setup::{FileLine, Setup, Unreadable};

/// Reads a text; `file` is what it is called, `directory` where relative paths in it begin, and `others` reads what it includes.
pub(super) fn read(text: &str, file: &Rc<str>, directory: &Path, others: ReadOther<'_>) -> Result<Setup, Unreadable> {
    let mut setup = Setup::default();
    let all = include::read(text, file, others, &mut setup)?;
    bounded(&all, file)?;
    // A file of `sites-enabled` has no `http` around its servers.
    let within = all.iter().filter(|one| one.name == "http").flat_map(Directive::children);
    let beside = all.iter().filter(|one| one.name != "http");
    let http: Vec<Directive> = within.chain(beside).cloned().collect();
    let Some(_) = http.iter().find(|one| ["server", "upstream"].contains(&one.name.as_str())) else {
        let place = FileLine { file: Rc::clone(file), line: 1 };
        let message = if setup.remarks.is_empty() {
            "there is no `server` and no `upstream` in it".to_owned()
        } else {
            let included: Vec<String> =
                setup.remarks.iter().map(|remark| format!("{}: {}", remark.place, remark.text)).collect();
            format!("there is no `server` and no `upstream` in it. {}", included.join(". "))
        };
        return Err(Unreadable { place, message });
    };
    let blocks = |name: &'static str| http.iter().filter(move |one| one.name == name);
    let upstreams: Vec<_> = blocks("upstream").map(|one| upstream::read(one, &mut setup)).collect();
    let mut pools = Pools::new(&upstreams);
    let scope = Scope::new(&http);
    let servers: Vec<_> = blocks("server").map(|one| server::read(one, &scope, &mut pools, &mut setup)).collect();
    pools.finish(&mut setup);
    known::remark(&all, &mut setup);
    routes::add(&servers, &mut setup);
    listening::add(&servers, &mut setup);
    let scopes: Vec<_> = blocks("server").map(|one| (one, scope.within(one.children()))).collect();
    listening::tls(&servers, &scopes, directory, &mut setup);
    top::read(&all, &mut setup);
    listening::announced(&servers, &mut setup);
    let Setup { pools, routes, .. } = &mut setup;
    pools.retain(|pool| routes.iter().any(|route| route.pool == pool.name));
    Ok(setup)
}

/// A file with very many directives would take very long.
fn bounded(all: &[Directive], file: &Rc<str>) -> Result<(), Unreadable> {
    fn count(directives: &[Directive]) -> usize {
        directives.iter().map(|one| 1 + one.args.len() + count(one.children())).sum()
    }
    match count(all) {
        words if words <= WORDS_MAX => Ok(()),
        words => {
            let message = format!("it has {words} words with what it includes, and {WORDS_MAX} are the most");
            Err(Unreadable { place: FileLine { file: Rc::clone(file), line: 1 }, message })
        }
    }
}

/// Ten times what large files have.
const WORDS_MAX: usize = 50_000;

//! `include`: the directives of another file in its place. Decides which files are followed; called by [`super`]; reads them by a function
//! that it is handed.

use std::rc::Rc;

use super::tree::{self, Directive};
use crate::cli::import::setup::{Setup, Unreadable};

/// The text of a file that an `include` names, or why there is none; the first text is what to call it.
pub(in crate::cli::import) type ReadOther<'a> = &'a dyn Fn(&str) -> Result<(Rc<str>, String), String>;

/// The directives of `text` and of all files it includes.
pub(super) fn read(
    text: &str,
    file: &Rc<str>,
    others: ReadOther<'_>,
    setup: &mut Setup,
) -> Result<Vec<Directive>, Unreadable> {
    let mut included = Included { others, setup, count: 0 };
    included.expand(tree::read(text, file)?, 0)
}

struct Included<'a> {
    others: ReadOther<'a>,
    setup: &'a mut Setup,
    count: usize,
}

impl Included<'_> {
    fn expand(&mut self, directives: Vec<Directive>, depth: usize) -> Result<Vec<Directive>, Unreadable> {
        let mut all = Vec::with_capacity(directives.len());
        for mut directive in directives {
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.expand(block, depth)?);
            }
            match directive.name.as_str() {
                "include" => all.extend(self.follow(&directive, depth)?),
                _ => all.push(directive),
            }
        }
        Ok(all)
    }

    fn follow(&mut self, include: &Directive, depth: usize) -> Result<Vec<Directive>, Unreadable> {
        let name = include.arg(0);
        let place = &include.place;
        // Types of files that are sent, and modules, are nothing to us.
        if name.ends_with("mime.types") || name.contains("modules-enabled/") {
            return Ok(Vec::new());
        }
        if name.contains(['*', '?', '[']) {
            let what = format!("{}: the files are not read: import each by itself", include.shown());
            self.setup.seen(place, what);
            return Ok(Vec::new());
        }
        self.count += 1;
        if depth == DEPTH_MAX || self.count > COUNT_MAX {
            let message = format!("{}: files include each other without end", include.shown());
            return Err(Unreadable { place: place.clone(), message });
        }
        match (self.others)(name) {
            Ok((file, text)) => {
                let directives = tree::read(&text, &file)?;
                self.expand(directives, depth + 1)
            }
            Err(why) => {
                // Of Debian and of certbot; nothing in them is unknown.
                let known = ["proxy_params", "fastcgi_params", "options-ssl-nginx.conf"];
                let is_known = known.iter().any(|known| name.ends_with(known));
                if !is_known {
                    self.setup.seen(place, format!("{}: not read: {why}", include.shown()));
                }
                Ok(Vec::new())
            }
        }
    }
}

/// Files in each other.
const DEPTH_MAX: usize = 8;
/// Files in all.
const COUNT_MAX: usize = 64;

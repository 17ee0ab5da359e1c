//! `ecosystem.config.js` or `.json` of PM2 → a set-up: one pool an app.
//!
//! Decides where the apps are. Called by [`super`] with the text. Never runs what it reads.

mod app;
mod javascript;
mod literal;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::rc::Rc;

use super::front;
use super::setup::{FileLine, Setup, Unreadable};
use literal::{Literal, LiteralNode};

/// Reads a text; `file` is what it is called, `directory` where it is.
pub(super) fn read(text: &str, file: &Rc<str>, directory: &Path) -> Result<Setup, Unreadable> {
    let place = |line| FileLine { file: Rc::clone(file), line };
    let root = javascript::read(text, file)?;
    let apps: Vec<&LiteralNode> = match (&root.value, root.get("apps").map(|apps| (&apps.value, apps))) {
        (_, Some((Literal::List(apps), _))) | (Literal::List(apps), None) => apps.iter().collect(),
        (_, Some((Literal::Object(_), app))) => vec![app],
        (Literal::Object(_), None) if root.get("script").is_some() => vec![&root],
        _ => Vec::new(),
    };
    if apps.is_empty() {
        return Err(Unreadable { place: place(root.line), message: "there are no `apps` in it".to_owned() });
    }
    if apps.len() > POOLS_MAX {
        return Err(Unreadable {
            place: place(root.line),
            message: format!("{} apps, and {POOLS_MAX} are the most", apps.len()),
        });
    }
    let mut setup = Setup::default();
    if let Some(deploy) = root.get("deploy") {
        setup.unseen(&place(deploy.line), "deploy: nothing is copied to other machines here");
    }
    let mut served = Vec::new();
    for one in &apps {
        served.extend(app::read(one, apps.len() == 1, directory, &place, &mut setup));
    }
    front::add(&served, "0.0.0.0:8080", &mut setup);
    Ok(setup)
}

/// More than anybody has.
const POOLS_MAX: usize = 256;

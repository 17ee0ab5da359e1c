//! What holds in a block: its own directives, and those of the blocks around it. Decides which of them counts; called by the files beside it;
//! never knows what a directive means.

use super::tree::Directive;

/// A block and those around it, the outermost first.
#[derive(Debug, Clone)]
pub(super) struct Scope<'a>(Vec<&'a [Directive]>);

impl<'a> Scope<'a> {
    pub(super) fn new(outermost: &'a [Directive]) -> Self {
        Self(vec![outermost])
    }

    /// The scope of a block in this one.
    pub(super) fn within(&self, block: &'a [Directive]) -> Self {
        Self(self.0.iter().copied().chain([block]).collect())
    }

    /// The directive of that name that counts.
    pub(super) fn find(&self, name: &str) -> Option<&'a Directive> {
        self.all(name).into_iter().next()
    }

    /// All of the innermost block that has some: those of the blocks around it do not count then.
    pub(super) fn all(&self, name: &str) -> Vec<&'a Directive> {
        let named = |block: &&'a [Directive]| block.iter().filter(|one| one.name == name).collect::<Vec<_>>();
        self.0.iter().rev().map(named).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// Those of every block, the outermost first.
    pub(super) fn every(&self, name: &str) -> impl Iterator<Item = &'a Directive> {
        self.0.iter().copied().flatten().filter(move |one| one.name == name)
    }

    /// The text with every variable that `set` gave a fixed value filled in.
    pub(super) fn filled_in(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        let is_short = |set: &&Directive| set.arg(1).len() <= VALUE_MAX && !set.arg(1).contains('$');
        // The innermost is the last to be set, and longer names first, for `$app` begins `$app_port` too.
        let mut set: Vec<_> = self.every("set").filter(is_short).collect();
        set.reverse();
        set.sort_by_key(|set| usize::MAX - set.arg(0).len());
        for set in set {
            let Some(name) = set.arg(0).strip_prefix('$').filter(|name| !name.is_empty()) else { continue };
            if filled.len() <= VALUE_MAX {
                filled = filled.replace(&format!("${{{name}}}"), set.arg(1)).replace(&format!("${name}"), set.arg(1));
            }
        }
        filled
    }
}

/// Far above any address; texts that hold each other again and again must not fill the memory.
const VALUE_MAX: usize = 1 << 10;

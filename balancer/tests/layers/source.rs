//! The source of a crate as the tests of its structure see it: files, what each defines, and whom each names. Tests are left out of it.
//!
//! Read as tokens, not as text: a name in a comment or in a message is no import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The path of a module, without `crate`.
pub(crate) type Module = Vec<String>;

/// Each file by the module that it is.
pub(crate) struct Crate(BTreeMap<Module, File>);

/// One file.
#[derive(Default)]
pub(crate) struct File {
    /// Lines without those of tests.
    pub(crate) lines: usize,
    /// Functions by name, and their lines.
    pub(crate) functions: Vec<(String, usize)>,
    defines: BTreeSet<String>,
    uses: Vec<Use>,
    /// Paths elsewhere than in `use`.
    paths: Vec<Vec<String>>,
    /// Modules that are built for tests only: by the name of a file beside this one, or of a module below it.
    tests: Vec<(bool, String)>,
}

struct Use {
    path: Vec<String>,
    name: String,
    /// Handed on to others, which is no use of it.
    is_handed_on: bool,
}

impl Crate {
    /// The crate whose source is in that folder.
    pub(crate) fn read(source: &Path) -> Self {
        let mut files = Vec::new();
        collect(source, &mut files);
        Self::of(files.into_iter().map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (module_of(file.strip_prefix(source).unwrap()), text)
        }))
    }

    /// A crate of these files.
    pub(crate) fn of(files: impl IntoIterator<Item = (Module, String)>) -> Self {
        let mut all: BTreeMap<_, _> = files.into_iter().map(|(module, text)| (module, File::of(&text))).collect();
        let tests: Vec<Module> = all
            .iter()
            .flat_map(|(module, file)| {
                file.tests.iter().map(|(is_beside, name)| {
                    let above = if *is_beside { &module[..module.len() - 1] } else { &module[..] };
                    [above, std::slice::from_ref(name)].concat()
                })
            })
            .collect();
        all.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        Self(all)
    }

    /// All files.
    pub(crate) fn files(&self) -> &BTreeMap<Module, File> {
        &self.0
    }

    /// Whom each file imports: the files in which what it names is defined. A name that a file only hands on (`pub use`) leads to where it
    /// comes from, and is no import of that file.
    pub(crate) fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut imports = BTreeMap::new();
        for (module, file) in &self.0 {
            let used = file.uses.iter().filter(|used| !used.is_handed_on).map(|used| &used.path);
            let named = used.chain(&file.paths).filter_map(|path| self.home(module, path, STEPS_MAX));
            let others: BTreeSet<Module> = named.filter(|other| other != module).collect();
            imports.insert(module.clone(), others);
        }
        imports
    }

    /// The file that defines what `path` names within `module`; nothing where that is another crate's.
    fn home(&self, module: &[String], path: &[String], steps: usize) -> Option<Module> {
        let steps = steps.checked_sub(1)?;
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Module::new(),
            "self" => module.to_vec(),
            "super" => {
                let mut above = module.split_last()?.1;
                while let [name, more @ ..] = rest
                    && name == "super"
                {
                    (above, rest) = (above.split_last()?.1, more);
                }
                above.to_vec()
            }
            name => {
                rest = path;
                if !self.0.contains_key(&child(module, name)) {
                    let used = self.used(module, name)?;
                    return (used.path != path).then(|| self.home(module, &used.then(&path[1..]), steps))?;
                }
                module.to_vec()
            }
        };
        while let [name, more @ ..] = rest
            && self.0.contains_key(&child(&at, name))
        {
            (at, rest) = (child(&at, name), more);
        }
        let Some((name, more)) = rest.split_first() else { return Some(at) };
        let file = self.0.get(&at)?;
        if file.defines.contains(name) || at == module {
            return Some(at);
        }
        // Handed on from elsewhere, or else a name that comes with a macro.
        let elsewhere = self.used(&at, name).and_then(|used| self.home(&at, &used.then(more), steps));
        Some(elsewhere.unwrap_or(at))
    }

    fn used(&self, module: &[String], name: &str) -> Option<&Use> {
        self.0.get(module)?.uses.iter().find(|used| used.name == name)
    }
}

impl Use {
    fn then(&self, rest: &[String]) -> Vec<String> {
        [&self.path, rest].concat()
    }
}

impl File {
    fn of(text: &str) -> Self {
        let stream: TokenStream = text.parse().unwrap();
        let mut file = Self { lines: text.lines().count(), ..Self::default() };
        file.walk(&stream.into_iter().collect::<Vec<_>>(), true);
        file
    }

    fn walk(&mut self, trees: &[TokenTree], is_top: bool) {
        let mut at = 0;
        while at < trees.len() {
            if let Some(length) = self.test_item(&trees[at..]) {
                self.lines -= last_line(&trees[at + length - 1]) - trees[at].span().start().line + 1;
                at += length;
                continue;
            }
            at += self.take(&trees[at..], is_top);
        }
    }

    /// Takes what the trees begin with, and says how many they were.
    fn take(&mut self, trees: &[TokenTree], is_top: bool) -> usize {
        let name = |at: usize| trees.get(at).and_then(ident);
        match (&trees[0], name(0).as_deref()) {
            (TokenTree::Group(group), _) => {
                self.walk(&group.stream().into_iter().collect::<Vec<_>>(), false);
                1
            }
            // `pub(in crate::room)` names a room and imports nothing.
            (_, Some("pub")) if matches!(trees.get(1), Some(TokenTree::Group(_))) => {
                if name(2).as_deref() == Some("use") { 2 + self.take_use(&trees[2..], true) } else { 2 }
            }
            (_, Some("pub")) if name(1).as_deref() == Some("use") => 1 + self.take_use(&trees[1..], true),
            (_, Some("use")) if !is_punct(trees.get(1), '<') => self.take_use(trees, false),
            (_, Some("fn")) if name(1).is_some() => {
                let body = trees.iter().position(ends_item).map(|end| &trees[end]);
                if let Some(TokenTree::Group(body)) = body {
                    let lines = body.span_close().end().line - trees[0].span().start().line + 1;
                    self.functions.push((name(1).unwrap(), lines));
                }
                self.defines.extend(name(1).filter(|_| is_top));
                2
            }
            (_, Some("struct" | "enum" | "trait" | "type" | "const" | "static" | "union")) if is_top => {
                self.defines.extend(name(1));
                1
            }
            (_, Some("macro_rules")) => {
                self.defines.extend(name(2));
                2
            }
            (_, Some(first)) if is_path(&trees[1..]) => {
                let (mut path, mut at) = (vec![first.to_owned()], 1);
                while let (true, Some(next)) = (is_path(&trees[at..]), name(at + 2)) {
                    path.push(next);
                    at += 3;
                }
                self.paths.push(path);
                at
            }
            _ => 1,
        }
    }

    fn take_use(&mut self, trees: &[TokenTree], is_handed_on: bool) -> usize {
        let end = trees.iter().position(|tree| is_punct(Some(tree), ';')).unwrap();
        self.leaves(&trees[1..end], &[], is_handed_on);
        end + 1
    }

    /// The names of a tree of imports below `prefix`.
    fn leaves(&mut self, trees: &[TokenTree], prefix: &[String], is_handed_on: bool) {
        let mut path = prefix.to_vec();
        for (at, tree) in trees.iter().enumerate() {
            match (tree, ident(tree)) {
                (TokenTree::Group(group), _) => {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    for one in inner.split(|tree| is_punct(Some(tree), ',')).filter(|one| !one.is_empty()) {
                        self.leaves(one, &path, is_handed_on);
                    }
                    return;
                }
                (_, Some(name)) if name == "as" => {
                    let name = ident(&trees[at + 1]).unwrap();
                    self.uses.push(Use { path, name, is_handed_on });
                    return;
                }
                (_, Some(name)) if name == "self" && !path.is_empty() => {}
                (_, Some(name)) => path.push(name),
                _ => {}
            }
        }
        let name = path.last().unwrap().clone();
        self.uses.push(Use { path, name, is_handed_on });
    }

    /// How many trees an item takes that is built for tests only.
    fn test_item(&mut self, trees: &[TokenTree]) -> Option<usize> {
        attribute(trees).filter(|text| text == "cfg(test)")?;
        let (mut at, mut beside) = (2, None);
        while let Some(text) = attribute(&trees[at..]) {
            beside =
                text.strip_prefix("path=\"").and_then(|rest| rest.strip_suffix(".rs\"")).map(str::to_owned).or(beside);
            at += 2;
        }
        let end = at + trees[at..].iter().position(ends_item)?;
        if ident(&trees[at]).as_deref() == Some("mod") && is_punct(Some(&trees[end]), ';') {
            let name = ident(&trees[at + 1])?;
            self.tests.push((beside.is_some(), beside.unwrap_or(name)));
        }
        Some(end + 1)
    }
}

/// Edges that belong to a circle.
pub(crate) fn circles(edges: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let mut found = Vec::new();
    for (from, next) in edges {
        for to in next.iter().filter(|to| reaches(edges, to, from)) {
            found.push(format!("{} imports {}", from.join("/"), to.join("/")));
        }
    }
    found
}

fn reaches(edges: &BTreeMap<Module, BTreeSet<Module>>, from: &Module, to: &Module) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(one) = open.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            open.extend(edges.get(one).into_iter().flatten());
        }
    }
    false
}

/// The text of an attribute without blanks, where the trees begin with one.
fn attribute(trees: &[TokenTree]) -> Option<String> {
    match trees {
        [hash, TokenTree::Group(group), ..] if is_punct(Some(hash), '#') && group.delimiter() == Delimiter::Bracket => {
            Some(group.stream().to_string().replace(' ', ""))
        }
        _ => None,
    }
}

fn ends_item(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace) || is_punct(Some(tree), ';')
}

fn is_path(trees: &[TokenTree]) -> bool {
    is_punct(trees.first(), ':') && is_punct(trees.get(1), ':')
}

fn is_punct(tree: Option<&TokenTree>, punct: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}

fn ident(tree: &TokenTree) -> Option<String> {
    if let TokenTree::Ident(name) = tree { Some(name.to_string()) } else { None }
}

fn last_line(tree: &TokenTree) -> usize {
    tree.span().end().line
}

fn child(module: &[String], name: &str) -> Module {
    [module, &[name.to_owned()]].concat()
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; the root is nothing.
fn module_of(file: &Path) -> Module {
    let mut names: Vec<String> =
        file.iter().map(|name| name.to_str().unwrap().trim_end_matches(".rs").to_owned()).collect();
    let is_root = names.len() == 1 && names[0] == "lib";
    if is_root || names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

/// Every file of Rust below a folder.
pub(crate) fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Of names that are handed on from one file to the next.
const STEPS_MAX: usize = 16;

//! `output` and `output_dir` of workers. Decides where a worker's stdout and stderr go; called by [`super::workers`]; never
//! opens a file.

use std::path::PathBuf;

use crate::config::syntax::item::Item;
use crate::config::syntax::section::Section;

/// Where a worker's stdout and stderr go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To ours, each line behind `pool.index | `.
    Prefix,
    /// To ours, each line an object of JSON.
    Json,
    /// To a file for each worker in this directory, rotated by size.
    File(PathBuf),
    /// Nowhere.
    Null,
}

/// Both keys, of which the second may stay when it is not needed; `directory` reads the path of one that is there.
pub(in crate::config) fn read(
    section: &mut Section<'_>,
    directory: impl Fn(&Item<'_>) -> Option<PathBuf>,
    default: Output,
) -> Output {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Prefix,
        Json,
        File,
        Null,
    }
    let kinds = [("prefix", Kind::Prefix), ("json", Kind::Json), ("file", Kind::File), ("null", Kind::Null)];
    let item = section.take("output");
    let kind = item.as_ref().and_then(|item| item.choice(&kinds));
    let directory_item = section.take("output_dir");
    let path = directory_item.as_ref().and_then(directory);
    match (kind, directory_item) {
        (Some(Kind::File), None) => {
            if let Some(item) = item {
                item.wrong("files need a directory", "add `output_dir`, the path of one that is there");
            }
            default
        }
        (Some(Kind::File), Some(_)) => path.map_or(default, Output::File),
        (Some(Kind::Prefix), _) => Output::Prefix,
        (Some(Kind::Json), _) => Output::Json,
        (Some(Kind::Null), _) => Output::Null,
        (None, _) => default,
    }
}

//! Pictures as files.
//!
//! Decides how SVG becomes PNG and how both reach the disk. Called by [`super::Picture::write`]. Never leaves half a file
//! under its name.

use std::fs;
use std::path::{Path, PathBuf};

use resvg::{tiny_skia, usvg};

use super::font;
use crate::failure::Failure;

/// The same picture in pixels, one for each unit of the SVG.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, String> {
    let tree = usvg::Tree::from_str(svg, &font::options()).map_err(|e| e.to_string())?;
    let size = tree.size().to_int_size();
    let pixmap = tiny_skia::Pixmap::new(size.width(), size.height());
    let mut pixmap = pixmap.ok_or_else(|| format!("{} × {} pixels are too many", size.width(), size.height()))?;
    resvg::render(&tree, tiny_skia::Transform::default(), &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|e| e.to_string())
}

/// Writes both.
pub(super) fn write(folder: &Path, name: &str, svg: &str, png: &[u8]) -> Result<[PathBuf; 2], Failure> {
    let paths = ["svg", "png"].map(|end| folder.join(format!("{name}.{end}")));
    for (path, bytes) in paths.iter().zip([svg.as_bytes(), png]) {
        write_whole(path, bytes)?;
    }
    Ok(paths)
}

/// Writes a file under a passing name first: who looks meanwhile sees the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let passing = path.with_added_extension(format!("{}.tmp", std::process::id()));
    let written = fs::write(&passing, bytes).and_then(|()| fs::rename(&passing, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&passing);
        Failure::file("write", path, e)
    })
}

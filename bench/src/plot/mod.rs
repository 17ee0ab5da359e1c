//! Pictures of figures, each as SVG and as PNG.
//!
//! Decides what a picture looks like: size, colours, font, where the names stand. Called by the commands, with names and
//! numbers, when all is measured. Never measures, and never fails on a number: what cannot be drawn leaves a gap.

mod axis;
mod bars;
mod files;
mod font;
mod lines;
mod palette;
mod percentiles;
mod sheet;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub(crate) use axis::{Axis, Scale};
pub(crate) use bars::{Bar, Bars, Panel};
pub(crate) use files::write_whole;
pub(crate) use lines::Lines;
pub(crate) use percentiles::{curve, percentiles};

use crate::failure::Failure;

/// One line of a picture.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Place in the palette, the same for one target in all pictures; 0 is the grey of base lines.
    pub(crate) hue: usize,
    /// x and y in the units their axes name, in the order they are joined; NaN and infinity leave a gap.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Anything that can be drawn.
pub(crate) trait Picture {
    /// The whole picture as SVG.
    ///
    /// # Errors
    /// Why it cannot be drawn, in words.
    fn svg(&self) -> Result<String, String>;

    /// Writes `NAME.svg` and `NAME.png` into `folder`, each whole or not at all, and returns where they are.
    ///
    /// # Errors
    /// When it cannot be drawn or a file cannot be written.
    fn write(&self, folder: &Path, name: &str) -> Result<[PathBuf; 2], Failure> {
        let drawing = |what| Failure::system(format!("draw {name}"), std::io::Error::other(what));
        let svg = self.svg().map_err(drawing)?;
        let png = files::png(&svg).map_err(drawing)?;
        files::write(folder, name, &svg, &png)
    }
}

/// Width and height of a picture, pixels: twice what it takes on a page, for coordinates are whole numbers.
const SIZE: (u32, u32) = (1600, 900);

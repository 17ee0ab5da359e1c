//! Pictures of figures, as SVG.
//!
//! Decides what a picture looks like: size, colours, letters. Called by the commands, with names and numbers, when all is
//! measured. Never measures, and never fails on a number: what has no place on an axis leaves a gap.

mod axis;
mod bars;
mod lines;

use plotters::style::{IntoFont as _, RGBColor, TextStyle};

pub(crate) use axis::{Axis, Scale};
pub(crate) use bars::{Bar, Bars, Panel};
pub(crate) use lines::{Lines, Series, percentiles};

use crate::failure::Failure;

/// A picture and what a page says of it.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    /// Of its file, without an ending.
    pub(crate) name: String,
    pub(crate) caption: String,
    pub(crate) svg: String,
}

impl Drawing {
    pub(crate) fn of(name: &str, caption: &str, drawn: Drawn<String>) -> Result<Drawing, Failure> {
        let failed = |e: Box<dyn std::error::Error>| {
            Failure::system(format!("draw {name}"), std::io::Error::other(e.to_string()))
        };
        Ok(Drawing { name: name.to_owned(), caption: caption.to_owned(), svg: drawn.map_err(failed)? })
    }
}

/// What a library of several parts, each with its own errors, comes to.
pub(crate) type Drawn<T> = Result<T, Box<dyn std::error::Error>>;

/// The colour at a place; after the last it begins anew behind the grey. The hues are Okabe and Ito's
/// (<https://jfly.uni-koeln.de/color/>), which colour-blind readers tell apart, without the yellow that a white page swallows.
fn hue(place: usize) -> RGBColor {
    const HUES: [RGBColor; 7] = [
        RGBColor(110, 110, 110),
        RGBColor(0, 114, 178),
        RGBColor(213, 94, 0),
        RGBColor(0, 158, 115),
        RGBColor(204, 121, 167),
        RGBColor(230, 159, 0),
        RGBColor(86, 180, 233),
    ];
    HUES[if place < HUES.len() { place } else { 1 + (place - 1) % (HUES.len() - 1) }]
}

const INK: RGBColor = RGBColor(34, 34, 34);
const GRID: RGBColor = RGBColor(225, 225, 225);
/// Whichever letters a browser has, so large.
fn text(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

/// Width and height, pixels: twice what it takes on a page, for coordinates are whole numbers.
const SIZE: (u32, u32) = (1600, 900);

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(scale: Scale, points: Vec<(f64, f64)>) -> String {
        let axis = |scale| Axis { label: "latency, ms".to_owned(), scale };
        let series = vec![Series { name: "a <name>".to_owned(), hue: 9, points }];
        let (title, subtitle) = ("Title".to_owned(), String::new());
        Lines { title, subtitle, x: axis(Scale::Linear), y: axis(scale), series }.svg().unwrap()
    }

    #[test]
    fn lines_have_their_name_and_their_numbers() {
        let svg = lines(Scale::Logarithmic, vec![(1.0, 6.5), (2.0, f64::NAN), (3.0, 80.0), (4.0, 81.0)]);
        for part in ["Title", "a &lt;name&gt;", "latency, ms", "\n50\n", "\n100\n", "</svg>"] {
            assert!(svg.contains(part), "{part} is not in\n{svg}");
        }
    }

    #[test]
    fn every_number_can_be_drawn() {
        let odd = [f64::NAN, f64::INFINITY, -0.0, 1e-300, 1e-13, 1.0, 50.0, 100.0, -9.9e14, 1e300];
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Nines] {
            for first in odd {
                odd.into_iter().for_each(|second| _ = lines(scale, vec![(first, second), (second, first)]));
            }
            lines(scale, Vec::new());
        }
        let bar = |parts| Bar { name: "nginx".to_owned(), hue: 2, parts };
        let bars = odd.into_iter().map(|number| bar([number, 1.0])).collect();
        let panels =
            vec![Panel { name: "keepalive".to_owned(), bars }, Panel { name: "none".to_owned(), bars: Vec::new() }];
        let (title, subtitle) = ("CPU".to_owned(), "µs".to_owned());
        let svg = Bars { title, subtitle, parts: ["user", "kernel"], panels }.svg().unwrap();
        assert!(svg.contains("keepalive") && svg.contains("nginx") && svg.contains("kernel"), "{svg}");
    }
}

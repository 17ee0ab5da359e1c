//! The colours of pictures.
//!
//! Decides which hue a target has. Called by all that draws. Never chooses two that look alike to a colour-blind reader:
//! these are Okabe and Ito's (<https://jfly.uni-koeln.de/color/>), without the yellow that a white page swallows.

use plotters::style::RGBColor;

/// The colour at a place; after the last it begins anew behind the grey.
pub(super) fn hue(place: usize) -> RGBColor {
    let place = if place < HUES.len() { place } else { 1 + (place - 1) % (HUES.len() - 1) };
    HUES[place]
}

/// Text and axes.
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
/// Text of second rank.
pub(super) const FAINT: RGBColor = RGBColor(96, 96, 96);
/// Lines that help reading.
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);
pub(super) const PAPER: RGBColor = RGBColor(255, 255, 255);

const HUES: [RGBColor; 7] = [
    RGBColor(110, 110, 110),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

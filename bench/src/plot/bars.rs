//! Bars split in two, a panel for each scenario.
//!
//! Decides the grid of panels and the scale of each. Called by the commands. Never compares scenarios: each panel has its
//! own scale, and the number stands beside the bar.

use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};

use super::palette::{FAINT, GRID, INK, hue};
use super::sheet::{MARGIN, Sheet};
use super::{Picture, SIZE, font};
use crate::statistics::three_digits;

/// A picture of bars.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// A second line in small letters, with the unit; may be empty.
    pub(crate) subtitle: String,
    /// What the dark and the light part of a bar stand for.
    pub(crate) parts: [&'static str; 2],
    pub(crate) panels: Vec<Panel>,
}

/// One scenario.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// One target.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// As in [`super::Series`].
    pub(crate) hue: usize,
    /// Both parts, in the picture's unit. What is not a number above zero is drawn as nothing.
    pub(crate) parts: [f64; 2],
}

impl Picture for Bars {
    fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        let sheet = Sheet::new(&mut svg)?;
        sheet.head(&self.title, &self.subtitle)?;
        let parts = self.parts.iter().enumerate().map(|(place, name)| (*name, place));
        let top = sheet.names(148, parts, |sheet, (x, y), place| {
            sheet.bar([(x - 24, y - 14), (x + 24, y + 14)], &INK.mix(SHADES[place.min(1)]))
        })?;
        let columns = match self.panels.len() {
            0..=1 => 1,
            2..=4 => 2,
            _ => 3,
        };
        let rows = self.panels.len().div_ceil(columns).max(1) as i32;
        let height = (SIZE.1 as i32 - top - 30) / rows;
        let width = (SIZE.0 as i32 - 2 * MARGIN + GUTTER) / columns as i32;
        for (nth, panel) in self.panels.iter().enumerate() {
            let (column, row) = ((nth % columns) as i32, (nth / columns) as i32);
            let place = Place {
                left: MARGIN + column * width,
                right: MARGIN + (column + 1) * width - GUTTER,
                top: top + row * height,
                bottom: top + (row + 1) * height,
            };
            panel.draw(&sheet, &place)?;
        }
        if self.panels.iter().all(|panel| panel.bars.is_empty()) {
            let middle = (SIZE.0 as i32 / 2, SIZE.1 as i32 / 2);
            sheet.text("no figures", middle, font::text(36.0), FAINT, (HPos::Center, VPos::Center))?;
        }
        sheet.finish()?;
        Ok(svg)
    }
}

/// Where a panel stands, pixels.
struct Place {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Panel {
    fn draw(&self, sheet: &Sheet<'_>, place: &Place) -> Result<(), String> {
        let &Place { left, right, top, bottom } = place;
        sheet.text(&self.name, (left, top + 12), font::bold(30.0), INK, (HPos::Left, VPos::Top))?;
        let size = 28.0;
        let names = self.bars.iter().map(|bar| sheet.width(&bar.name, font::text(size))).max().unwrap_or(0);
        let from = left + names + 16;
        // The number stands behind the longest bar too.
        let room = f64::from((right - from - 96).max(1));
        let longest = self.bars.iter().map(Bar::sum).fold(0.0, f64::max);
        let pixels = |value: f64| if longest > 0.0 { (value / longest * room).round() as i32 } else { 0 };
        let first = top + 66;
        let step = ((bottom - first) / self.bars.len().max(1) as i32).min(74);
        let thickness = (step * 2 / 3).max(4);
        for (nth, bar) in self.bars.iter().enumerate() {
            let upper = first + nth as i32 * step;
            let (lower, middle) = (upper + thickness, upper + thickness / 2);
            let [dark, light] = bar.parts.map(sound);
            let (split, end) = (from + pixels(dark), from + pixels(dark + light));
            sheet.text(&bar.name, (from - 16, middle), font::text(size), INK, (HPos::Right, VPos::Center))?;
            sheet.bar([(from, upper), (split, lower)], &hue(bar.hue).mix(SHADES[0]))?;
            sheet.bar([(split, upper), (end, lower)], &hue(bar.hue).mix(SHADES[1]))?;
            let number = if bar.sum() > 0.0 { three_digits(bar.sum()) } else { "–".to_owned() };
            sheet.text(&number, (end + 12, middle), font::text(size), INK, (HPos::Left, VPos::Center))?;
        }
        sheet.path(vec![(from, first - 6), (from, first + self.bars.len() as i32 * step)], &GRID, 2)
    }
}

impl Bar {
    fn sum(&self) -> f64 {
        self.parts.map(sound).iter().sum()
    }
}

fn sound(value: f64) -> f64 {
    if value.is_finite() && value > 0.0 { value.min(1e15) } else { 0.0 }
}

/// How much ink each part has.
const SHADES: [f64; 2] = [1.0, 0.45];
/// Between two panels.
const GUTTER: i32 = 40;

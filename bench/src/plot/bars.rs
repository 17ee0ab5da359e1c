//! Bars split in two, a panel for each scenario.
//!
//! Decides the grid of panels and the scale of each. Called by the commands. Never compares scenarios: each panel has its own
//! scale, and the number stands beside the bar.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Drawn, SIZE, hue, text};
use crate::statistics::three_digits;

/// A picture of bars.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// A second line in small letters, with the unit.
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

/// One program.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// As in [`super::Series`].
    pub(crate) hue: usize,
    /// Both parts, in the picture's unit. What is not a number above zero is drawn as nothing.
    pub(crate) parts: [f64; 2],
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Bars {
    pub(crate) fn svg(&self) -> Drawn<String> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let [dark, light] = self.parts;
        let subtitle = format!("{}; dark: {dark}, light: {light}", self.subtitle);
        let rest = area.titled(&self.title, text(46))?.titled(&subtitle, text(28))?;
        let columns = match self.panels.len() {
            0..=1 => 1,
            2..=4 => 2,
            _ => 3,
        };
        let rows = self.panels.len().div_ceil(columns).max(1);
        for (area, panel) in rest.margin(20, 20, 40, 40).split_evenly((rows, columns)).iter().zip(&self.panels) {
            panel.draw(area)?;
        }
        area.present()?;
        drop(rest);
        drop(area);
        Ok(svg)
    }
}

impl Panel {
    fn draw(&self, area: &Area<'_>) -> Drawn<()> {
        let write =
            |words: &str, place, side| area.draw_text(words, &text(26).pos(Pos::new(side, VPos::Center)), place);
        area.draw_text(&self.name, &text(34), (0, 0))?;
        let (width, height) = area.dim_in_pixel();
        let (width, height) = (width as i32, height as i32);
        // Names to the left, numbers to the right of the longest.
        let (from, room) = (width / 3, f64::from(width / 2));
        let longest = self.bars.iter().map(Bar::sum).fold(f64::MIN_POSITIVE, f64::max);
        let step = ((height - 60) / self.bars.len().max(1) as i32).min(60);
        for (nth, bar) in (0..).zip(&self.bars) {
            let top = 56 + nth * step;
            let (middle, bottom) = (top + step / 3, top + step * 2 / 3);
            let [dark, light] = bar.parts.map(|part| (sound(part) / longest * room).round() as i32);
            write(&bar.name, (from - 12, middle), HPos::Right)?;
            let colour = hue(bar.hue);
            area.draw(&Rectangle::new([(from, top), (from + dark, bottom)], colour.filled()))?;
            let paler = colour.mix(0.45).filled();
            area.draw(&Rectangle::new([(from + dark, top), (from + dark + light, bottom)], paler))?;
            write(&three_digits(bar.sum()), (from + dark + light + 12, middle), HPos::Left)?;
        }
        Ok(())
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

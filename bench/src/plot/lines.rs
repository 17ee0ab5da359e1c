//! Lines over two axes.
//!
//! Decides where axes and lines stand and when points are marked. Called by [`super::percentiles()`] and by the commands.
//! Never joins points over one that has no place.

use plotters::style::text_anchor::{HPos, VPos};

use super::axis::{Axis, Extent, Scale};
use super::palette::{FAINT, GRID, INK, hue};
use super::sheet::{MARGIN, Point, Sheet};
use super::{Picture, SIZE, Series, font};

/// A picture of lines: one for each series.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    /// A second line in small letters: what was done; may be empty.
    pub(crate) subtitle: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

impl Picture for Lines {
    fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        let sheet = Sheet::new(&mut svg)?;
        sheet.head(&self.title, &self.subtitle)?;
        let names = self.series.iter().map(|series| (series.name.as_str(), series.hue));
        let top = sheet.names(148, names, |sheet, (x, y), place| {
            sheet.path(vec![(x - 24, y), (x + 24, y)], &hue(place), LINE_WIDTH)?;
            sheet.mark((x, y), place)
        })?;
        let frame = self.frame(&sheet, top);
        self.axes(&sheet, &frame)?;
        for series in &self.series {
            self.line(&sheet, &frame, series)?;
        }
        if !self.series.iter().flat_map(|series| &series.points).any(|point| frame.point(self, *point).is_some()) {
            let middle = (i32::midpoint(frame.left, frame.right), i32::midpoint(frame.top, frame.bottom));
            sheet.text("no figures", middle, font::text(36.0), FAINT, (HPos::Center, VPos::Center))?;
        }
        sheet.finish()?;
        Ok(svg)
    }
}

impl Lines {
    fn frame(&self, sheet: &Sheet<'_>, top: i32) -> Frame {
        let points = || self.series.iter().flat_map(|series| &series.points);
        // A value stands for an axis only when its partner has a place too.
        let drawn = || points().filter(|(x, y)| self.x.scale.place(*x).and(self.y.scale.place(*y)).is_some());
        let x = self.x.scale.extent(drawn().map(|point| point.0));
        let y = self.y.scale.extent(drawn().map(|point| point.1));
        let numbers = y.ticks.iter().map(|(_, text)| sheet.width(text, font::text(TICK_SIZE))).max().unwrap_or(0);
        let (width, height) = (SIZE.0 as i32, SIZE.1 as i32);
        // The label of the y axis stands above it, where it can be read without turning one's head.
        Frame { left: MARGIN + numbers + 14, right: width - MARGIN - 24, top: top + 52, bottom: height - 118, x, y }
    }

    fn axes(&self, sheet: &Sheet<'_>, frame: &Frame) -> Result<(), String> {
        let Frame { left, right, top, bottom, .. } = *frame;
        sheet.text(&self.y.label, (MARGIN, top - 22), font::text(LABEL_SIZE), INK, (HPos::Left, VPos::Bottom))?;
        sheet.text(&self.x.label, (right, bottom + 64), font::text(LABEL_SIZE), INK, (HPos::Right, VPos::Top))?;
        for (place, number) in &frame.y.ticks {
            let y = frame.down(*place);
            sheet.path(vec![(left, y), (right, y)], &GRID, 2)?;
            sheet.text(number, (left - 14, y), font::text(TICK_SIZE), INK, (HPos::Right, VPos::Center))?;
        }
        for (place, number) in &frame.x.ticks {
            let x = frame.across(*place);
            sheet.path(vec![(x, top), (x, bottom)], &GRID, 2)?;
            sheet.text(number, (x, bottom + 16), font::text(TICK_SIZE), INK, (HPos::Center, VPos::Top))?;
        }
        sheet.path(vec![(left, bottom), (right, bottom)], &INK, 2)
    }

    fn line(&self, sheet: &Sheet<'_>, frame: &Frame, series: &Series) -> Result<(), String> {
        let points: Vec<Option<Point>> = series.points.iter().map(|point| frame.point(self, *point)).collect();
        for stretch in points.split(Option::is_none) {
            let stretch: Vec<Point> = stretch.iter().copied().flatten().collect();
            if stretch.len() > 1 {
                sheet.path(stretch.clone(), &hue(series.hue), LINE_WIDTH)?;
            }
            if points.len() <= MARKED_MAX || stretch.len() == 1 {
                stretch.into_iter().try_for_each(|point| sheet.mark(point, series.hue))?;
            }
        }
        Ok(())
    }
}

/// Where the axes stand, pixels, and what they show.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    x: Extent,
    y: Extent,
}

impl Frame {
    fn point(&self, lines: &Lines, (x, y): (f64, f64)) -> Option<Point> {
        let place = |scale: Scale, value| scale.place(value);
        Some((self.across(place(lines.x.scale, x)?), self.down(place(lines.y.scale, y)?)))
    }

    fn across(&self, place: f64) -> i32 {
        self.left + along(&self.x, place, self.right - self.left)
    }

    fn down(&self, place: f64) -> i32 {
        self.bottom - along(&self.y, place, self.bottom - self.top)
    }
}

fn along(extent: &Extent, place: f64, length: i32) -> i32 {
    ((place - extent.from) / (extent.to - extent.from) * f64::from(length)).round() as i32
}

const LINE_WIDTH: u32 = 5;
const TICK_SIZE: f64 = 30.0;
const LABEL_SIZE: f64 = 32.0;
/// More points than this are a curve; marks would hide it.
const MARKED_MAX: usize = 24;

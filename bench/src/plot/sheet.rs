//! The paper a picture is drawn on.
//!
//! Decides strokes and letters, the head and the list of names. Called by [`super::lines`] and [`super::bars`]. Never
//! knows what a stroke stands for.

use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, IntoTextStyle as _, RGBColor};

use super::palette::{FAINT, INK, PAPER, hue};
use super::{SIZE, font};

/// A point, pixels from the upper left corner.
pub(super) type Point = (i32, i32);

/// An empty picture that fills.
pub(super) struct Sheet<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl<'a> Sheet<'a> {
    pub(super) fn new(svg: &'a mut String) -> Result<Sheet<'a>, String> {
        font::register();
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        area.fill(&PAPER).map_err(|e| e.to_string())?;
        Ok(Sheet(area))
    }

    /// Writes the end of the SVG.
    pub(super) fn finish(self) -> Result<(), String> {
        self.0.present().map_err(|e| e.to_string())
    }

    /// Title and subtitle, upper left.
    pub(super) fn head(&self, title: &str, subtitle: &str) -> Result<(), String> {
        self.text(title, (MARGIN, 30), font::bold(46.0), INK, (HPos::Left, VPos::Top))?;
        self.text(subtitle, (MARGIN, 92), font::text(30.0), FAINT, (HPos::Left, VPos::Top))
    }

    /// The names with their marks, in one line or more from `top`; where the next thing may begin.
    pub(super) fn names<'n>(
        &self,
        top: i32,
        names: impl IntoIterator<Item = (&'n str, usize)>,
        mark: impl Fn(&Self, Point, usize) -> Result<(), String>,
    ) -> Result<i32, String> {
        let (mut left, mut middle) = (MARGIN, top + 20);
        for (name, place) in names {
            let width = NAME_MARK + self.width(name, font::text(NAME_SIZE)) + NAME_GAP;
            if left > MARGIN && left + width > SIZE.0 as i32 {
                (left, middle) = (MARGIN, middle + 44);
            }
            mark(self, (left + 24, middle), place)?;
            self.text(name, (left + NAME_MARK, middle), font::text(NAME_SIZE), INK, (HPos::Left, VPos::Center))?;
            left += width;
        }
        Ok(middle + 34)
    }

    /// How wide a text is at most, pixels: a little more than it is measured, for another font may stand in for ours
    /// where the SVG is read.
    pub(super) fn width(&self, text: &str, font: FontDesc<'static>) -> i32 {
        let size = self.0.estimate_text_size(text, &font.into_text_style(&self.0));
        size.map_or(0, |(width, _)| i32::try_from(width * 9 / 8).unwrap_or(0))
    }

    pub(super) fn text(
        &self,
        text: &str,
        at: Point,
        font: FontDesc<'static>,
        colour: RGBColor,
        (horizontal, vertical): (HPos, VPos),
    ) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let style = font.into_text_style(&self.0).color(&colour).pos(Pos::new(horizontal, vertical));
        self.0.draw(&Text::new(text.to_owned(), at, style)).map_err(|e| e.to_string())
    }

    /// Straight strokes from point to point.
    pub(super) fn path(&self, points: Vec<Point>, colour: &impl Color, width: u32) -> Result<(), String> {
        self.0.draw(&PathElement::new(points, colour.stroke_width(width))).map_err(|e| e.to_string())
    }

    /// A filled rectangle.
    pub(super) fn bar(&self, corners: [Point; 2], colour: &impl Color) -> Result<(), String> {
        self.0.draw(&Rectangle::new(corners, colour.filled())).map_err(|e| e.to_string())
    }

    /// The mark of a series at a point: its shape tells it from others where colours cannot.
    pub(super) fn mark(&self, (x, y): Point, place: usize) -> Result<(), String> {
        let (colour, r) = (hue(place), MARK_RADIUS);
        let corners = match place % 4 {
            0 => vec![(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            1 => return self.0.draw(&Circle::new((x, y), r, colour.filled())).map_err(|e| e.to_string()),
            2 => vec![(x, y - r - 2), (x + r + 2, y + r), (x - r - 2, y + r)],
            _ => vec![(x, y - r - 3), (x + r + 3, y), (x, y + r + 3), (x - r - 3, y)],
        };
        self.0.draw(&Polygon::new(corners, colour.filled())).map_err(|e| e.to_string())
    }
}

/// Left and right of everything.
pub(super) const MARGIN: i32 = 48;
const NAME_SIZE: f64 = 32.0;
/// Room for a mark before a name, and behind it.
const NAME_MARK: i32 = 62;
const NAME_GAP: i32 = 44;
const MARK_RADIUS: i32 = 9;

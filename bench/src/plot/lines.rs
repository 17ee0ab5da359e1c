//! Lines over two axes.
//!
//! Decides where axes and lines stand and when points are marked. Called by the commands. Never joins points over one that
//! has no place.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Axis, Drawn, GRID, SIZE, Scale, hue, text};

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

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Place in the palette, the same for one program in all pictures; 0 is the grey of base lines.
    pub(crate) hue: usize,
    /// In the units of the axes, in the order they are joined; NaN and infinity leave a gap.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Latencies in milliseconds at percentiles. The slowest of all is not drawn: 100 % has no place where 90, 99 and 99.9 are evenly
/// apart.
pub(crate) fn percentiles(title: impl Into<String>, subtitle: impl Into<String>, series: Vec<Series>) -> Lines {
    let latencies = series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let drawn = latencies.filter(|value| *value > 0.0 && value.is_finite());
    let (least, most) = drawn.fold((f64::INFINITY, 0.0_f64), |(a, b), value| (a.min(value), b.max(value)));
    // Close together, the distance itself is what one wants to see; far apart, how many times longer.
    let scale = if most > least * 8.0 { Scale::Logarithmic } else { Scale::Linear };
    Lines {
        title: title.into(),
        subtitle: subtitle.into(),
        x: Axis { label: "percentile of requests, %".to_owned(), scale: Scale::Nines },
        y: Axis { label: "latency, ms".to_owned(), scale },
        series,
    }
}

impl Lines {
    pub(crate) fn svg(&self) -> Drawn<String> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        self.draw(&area)?;
        area.present()?;
        drop(area);
        Ok(svg)
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Drawn<()> {
        area.fill(&WHITE)?;
        let area = area.titled(&self.title, text(46))?.titled(&self.subtitle, text(28))?;
        let lines: Vec<Vec<Option<(f64, f64)>>> = self.series.iter().map(|series| self.places(series)).collect();
        let points = || lines.iter().flatten().flatten();
        let x = self.x.scale.extent(points().map(|point| point.0));
        let y = self.y.scale.extent(points().map(|point| point.1));
        let mut chart = ChartBuilder::on(&area)
            .margin(24)
            .margin_right(48)
            .x_label_area_size(96)
            .y_label_area_size(150)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text(28))
            .axis_desc_style(text(30))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_label_formatter(&|place| self.x.scale.number(*place))
            .y_label_formatter(&|place| self.y.scale.number(*place))
            .draw()?;
        for (series, points) in self.series.iter().zip(lines) {
            let colour = hue(series.hue);
            let stretches = points.split(Option::is_none).map(|stretch| stretch.iter().copied().flatten().collect());
            let stretches: Vec<Vec<(f64, f64)>> = stretches.collect();
            chart
                .draw_series(stretches.iter().map(|stretch| PathElement::new(stretch.clone(), colour.stroke_width(5))))?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 36, y)], colour.stroke_width(5)));
            // More points are a curve; marks would hide it.
            let marked = stretches.iter().filter(|stretch| points.len() <= MARKED_MAX || stretch.len() == 1).flatten();
            chart.draw_series(marked.map(|point| Circle::new(*point, 8, colour.filled())))?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .legend_area_size(48)
            .background_style(WHITE.mix(0.8))
            .border_style(GRID)
            .label_font(text(28))
            .draw()?;
        Ok(())
    }

    /// A value stands on an axis only when its partner has a place too.
    fn places(&self, series: &Series) -> Vec<Option<(f64, f64)>> {
        series.points.iter().map(|(x, y)| self.x.scale.place(*x).zip(self.y.scale.place(*y))).collect()
    }
}

const MARKED_MAX: usize = 24;

//! Every picture as a file, with sound figures and with odd ones.

use std::fs;

use resvg::tiny_skia::Pixmap;

use super::*;
use crate::scratch::Scratch;

fn series(name: &str, hue: usize, points: &[(f64, f64)]) -> Series {
    Series { name: name.to_owned(), hue, points: points.to_vec() }
}

fn lines(scales: [Scale; 2], series: Vec<Series>) -> Lines {
    let axis = |label: &str, scale| Axis { label: label.to_owned(), scale };
    let [x, y] = scales;
    Lines {
        title: "Throughput".to_owned(),
        subtitle: String::new(),
        x: axis("connections", x),
        y: axis("r/s", y),
        series,
    }
}

fn bars(panels: Vec<Panel>) -> Bars {
    Bars { title: "CPU".to_owned(), subtitle: "µs a request".to_owned(), parts: ["user", "kernel"], panels }
}

fn panel(name: &str, bars: &[(&str, [f64; 2])]) -> Panel {
    let bar = |(hue, (name, parts)): (usize, &(&str, [f64; 2]))| Bar { name: (*name).to_owned(), hue, parts: *parts };
    Panel { name: name.to_owned(), bars: bars.iter().enumerate().map(bar).collect() }
}

/// Writes the picture and reads both files again: the SVG's text, and how many pixels of the PNG are not paper.
fn written(picture: &impl Picture) -> (String, usize) {
    let folder = Scratch::create().unwrap();
    let [svg, png] = picture.write(folder.path(), "picture").unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["picture.png", "picture.svg"], "nothing else is left behind");
    let pixmap = Pixmap::decode_png(&fs::read(png).unwrap()).unwrap();
    assert_eq!((pixmap.width(), pixmap.height()), SIZE);
    let inked = pixmap.pixels().iter().filter(|pixel| pixel.red() < 250 || pixel.green() < 250).count();
    (fs::read_to_string(svg).unwrap(), inked)
}

#[test]
fn a_picture_of_lines_names_its_series_axes_and_title() {
    let all =
        vec![series("direct", 0, &[(1.0, 10.0), (64.0, 80.0)]), series("a < b & c", 1, &[(1.0, 9.0), (64.0, 70.0)])];
    let (svg, inked) = written(&lines([Scale::Logarithmic, Scale::Linear], all.clone()));
    for text in ["direct", "a &lt; b &amp; c", "connections", "r/s", "Throughput"] {
        assert!(svg.contains(text), "{text} is missing in {svg}");
    }
    let (_, without) = written(&lines(
        [Scale::Logarithmic, Scale::Linear],
        vec![series("direct", 0, &[]), series("a < b & c", 1, &[])],
    ));
    assert!(inked > without + 1000, "the lines are drawn: {inked} against {without}");
}

#[test]
fn letters_are_drawn_in_the_png_without_a_font_of_the_system() {
    let mut picture = lines([Scale::Linear; 2], Vec::new());
    let (_, with) = written(&picture);
    picture.title = String::new();
    let (_, without) = written(&picture);
    assert!(with > without + 1000, "{with} against {without}");
}

#[test]
fn a_picture_of_bars_names_panels_targets_parts_and_sums() {
    let panels = vec![
        panel("keep-alive", &[("nginx", [2.4, 10.2]), ("balancer", [2.0, 9.0])]),
        panel("1 MB", &[("nginx", [70.0, 500.0])]),
    ];
    let (svg, _) = written(&bars(panels));
    for text in ["keep-alive", "1 MB", "nginx", "balancer", "user", "kernel", "12.6", "11.0", "570"] {
        assert!(svg.contains(text), "{text} is missing in {svg}");
    }
}

#[test]
fn percentile_curves_name_their_percentiles() {
    let points = [(50.0, 6.5), (90.0, 993.0), (99.0, 2662.0), (99.9, 3600.0), (100.0, 3640.0)];
    let (svg, _) = written(&percentiles("Fast", "of 4 workers", vec![series("nginx", 2, &points)]));
    for text in ["nginx", "latency, ms", "90", "99.9", "1,000"] {
        assert!(svg.contains(text), "{text} is missing in {svg}");
    }
}

#[test]
fn odd_figures_leave_gaps() {
    let odd =
        [(f64::NAN, 1.0), (0.0, 0.0), (-1.0, f64::INFINITY), (1e300, 5.0), (50.0, f64::NEG_INFINITY), (60.0, f64::MAX)];
    for scale in [Scale::Linear, Scale::Logarithmic, Scale::Nines] {
        for other in [Scale::Linear, Scale::Logarithmic] {
            for points in [&odd[..], &[], &[(7.0, 7.0)], &[(0.0, 0.0)], &[(5.0, 1.0), (f64::NAN, 2.0), (9.0, 3.0)]] {
                let (svg, _) = written(&lines([scale, other], vec![series("one", 9, points), series("", 100, &odd)]));
                assert!(svg.contains("one") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
    let (svg, _) = written(&lines([Scale::Logarithmic; 2], vec![series("one", 1, &odd)]));
    assert!(svg.contains("no figures"));
    let parts = [[f64::NAN, 1.0], [f64::INFINITY, 0.0], [-1.0, -2.0], [f64::MAX, f64::MAX]];
    let all: Vec<_> = parts.into_iter().map(|parts| ("target", parts)).collect();
    let (svg, _) = written(&bars(vec![panel("odd", &all), panel("", &[])]));
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(written(&bars(Vec::new())).0.contains("no figures"));
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Scratch::create().unwrap();
    let missing = folder.path().join("no/such");
    let text = lines([Scale::Linear; 2], Vec::new()).write(&missing, "rss").unwrap_err().to_string();
    assert!(text.starts_with("cannot write ") && text.contains("no/such/rss.svg"), "{text}");
}

#[test]
fn many_long_names_stay_on_the_picture() {
    let all = (0..9).map(|nth| series(&format!("a target with quite a long name {nth}"), nth, &[(1.0, 2.0)])).collect();
    let (svg, _) = written(&lines([Scale::Linear; 2], all));
    assert!(svg.contains("name 8"));
}

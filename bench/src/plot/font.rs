//! The letters of pictures.
//!
//! Decides the font, carried in the program: the machines where one measures seldom have any. Called by all that draws or
//! measures text. Never looks for the system's fonts, so a picture looks the same everywhere.

use std::sync::Once;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};
use resvg::usvg;

/// Text of this size, pixels; usable once [`register`] was called.
pub(super) fn text(size: f64) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, size, FontStyle::Normal)
}

/// The same in bold.
pub(super) fn bold(size: f64) -> FontDesc<'static> {
    FontDesc::new(FontFamily::SansSerif, size, FontStyle::Bold)
}

/// Makes the font known where text is measured. May be called any number of times.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (style, bytes) in [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)] {
            // A font that cannot be read would make the drawing fail later, with a reason.
            let _ = register_font(FontFamily::SansSerif.as_str(), style, bytes);
        }
    });
}

/// What turns SVG into pixels, with our font for every family.
pub(super) fn options() -> usvg::Options<'static> {
    let mut options = usvg::Options { font_family: FAMILY.to_owned(), ..usvg::Options::default() };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(notosans::REGULAR_TTF.to_vec());
    fonts.load_font_data(notosans::BOLD_TTF.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    options
}

const FAMILY: &str = "Noto Sans";

//! The live page and its parts: what they are called, and what they are.
//!
//! Decides nothing. Called by `route` and `access`: who may see the page may see all of its parts, for they hold nothing of an instance.

/// A part of the page by its path: its media type and its text.
pub(super) fn part(path: &str) -> Option<(&'static str, &'static str)> {
    PARTS.iter().find(|(own, ..)| *own == path).map(|(_, kind, text)| (*kind, *text))
}

const PARTS: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let bytes: usize = PARTS.iter().map(|(_, _, text)| text.len()).sum();
        assert!(bytes <= 60 * 1024, "{bytes}");
        for (path, _, text) in PARTS {
            let outside = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains("//cdn") && !outside.contains("http:") && !outside.contains("https:"), "{path}");
            for unsafe_way in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\"", "onclick="]
            {
                assert!(!text.contains(unsafe_way), "{path}: {unsafe_way}");
            }
        }
    }
}

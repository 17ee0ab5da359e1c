//! Tables as commands show them.

/// Rows below each other, each cell as wide as its column.
pub(super) fn aligned(out: &mut String, rows: &[Vec<String>]) {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or_default();
            format!("  {cell:width$}")
        });
        let line: String = cells.collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// A name that takes no more than `width`: its beginning and its end, which tell it from others.
pub(super) fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let (begin, end) = (width / 2, width - width / 2 - 1);
    name.chars().take(begin).chain(['…']).chain(name.chars().skip(length - end)).collect()
}

/// A line as wide as a terminal shows it.
pub(super) fn cut(line: &str) -> String {
    match line.chars().nth(WIDTH) {
        None => line.to_owned(),
        Some(_) => line.chars().take(WIDTH - 1).chain(['…']).collect(),
    }
}

/// Of the terminals that people have.
const WIDTH: usize = 100;

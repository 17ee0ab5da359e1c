//! Tables, times and sizes as commands show them, in one form everywhere.

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

/// Seconds that have passed.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
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

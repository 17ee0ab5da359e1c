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

/// Rows below each other as lines; columns in `numbers` end below each other, the others begin so.
pub(super) fn columns(rows: &[Vec<String>], numbers: &[usize]) -> Vec<String> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or_default();
            match numbers.contains(&column) {
                true => format!("  {cell:>width$}"),
                false => format!("  {cell:width$}"),
            }
        });
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A sentence on as many lines as it needs, all but the first indented.
pub(super) fn wrapped(sentence: &str) -> String {
    wrapped_after("", "  ", sentence)
}

/// The same where `first` stands before its first line, and `others` before each other one.
pub(super) fn wrapped_after(first: &str, others: &str, sentence: &str) -> String {
    let (mut out, mut width, mut begins) = (first.to_owned(), first.chars().count(), true);
    for word in sentence.split_whitespace() {
        // What has no end of a word is broken anywhere.
        for (at, piece) in pieces(word).into_iter().enumerate() {
            let length = piece.chars().count();
            if !begins && width + 1 + length > WIDTH {
                out.push('\n');
                out.push_str(others);
                width = others.chars().count();
            } else if !begins && at == 0 {
                out.push(' ');
                width += 1;
            }
            begins = false;
            out.push_str(&piece);
            width += length;
        }
    }
    out.push('\n');
    out
}

fn pieces(word: &str) -> Vec<String> {
    let characters: Vec<char> = word.chars().collect();
    characters.chunks(WIDTH - 10).map(|piece| piece.iter().collect()).collect()
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
pub(super) const WIDTH: usize = 100;

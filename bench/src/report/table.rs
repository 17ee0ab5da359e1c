//! A table in plain text.
//!
//! Decides widths and alignment. Called by [`crate::report`]. Never knows what the cells mean.

/// Rows of cells: the first column to the left, figures to the right. An empty row separates.
#[derive(Default)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A row with its label and its cells.
    pub(crate) fn row(&mut self, label: impl Into<String>, cells: impl IntoIterator<Item = String>) {
        self.0.push(std::iter::once(label.into()).chain(cells).collect());
    }

    /// A blank line.
    pub(crate) fn gap(&mut self) {
        self.0.push(Vec::new());
    }

    /// The text, each line ended, none with blanks at its end.
    pub(crate) fn render(&self) -> String {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.0 {
            let mut line = String::new();
            for (nth, (cell, width)) in row.iter().zip(&widths).enumerate() {
                line += &if nth == 0 { format!("{cell:<width$}") } else { format!("   {cell:>width$}") };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::default();
        table.row("ms", ["direct".to_owned(), "nginx".to_owned()]);
        table.gap();
        table.row("50 %", ["1 (1–2)".to_owned(), "12".to_owned()]);
        assert_eq!(table.render(), "ms      direct   nginx\n\n50 %   1 (1–2)      12\n");
    }
}

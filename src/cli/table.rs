//! Columns as wide as their widest cell, two spaces apart.

use super::exit::Stop;
use super::ui::{Ui, printable};

/// A column's heading, and whether it holds numbers (which stand to the right).
pub(crate) type Column = (&'static str, bool);

/// A table that may come in pages: widths only grow, the heading comes once.
pub(crate) struct Table {
    columns: &'static [Column],
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
    has_heading: bool,
}

impl Table {
    pub(crate) fn new(columns: &'static [Column]) -> Self {
        Self { columns, widths: columns.iter().map(|(name, _)| name.len()).collect(), rows: Vec::new(), has_heading: false }
    }

    /// Keeps a row for the next [`Table::write`].
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let cells: Vec<String> = cells.iter().map(|cell| printable(cell)).collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// Writes the rows kept since the last time.
    pub(crate) fn write(&mut self, ui: &mut Ui) -> Result<(), Stop> {
        if !std::mem::replace(&mut self.has_heading, true) {
            let heading: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            ui.line(self.line(&heading))?;
        }
        for row in std::mem::take(&mut self.rows) {
            ui.line(self.line(&row))?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for ((cell, &width), (_, is_number)) in cells.iter().zip(&self.widths).zip(self.columns) {
            let cell = if *is_number { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
            line.push_str(&cell);
        }
        line.trim_end().to_owned()
    }
}

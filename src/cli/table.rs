//! Columns as wide as their widest cell, two spaces apart. On a terminal no line is wider than it: first columns go that one can do without,
//! then texts are shortened. What goes to a file or a program is whole.

use super::exit::Stop;
use super::ui::{Ui, printable};

/// A column's heading, and whether it holds numbers (which stand to the right).
pub(crate) type Column = (&'static str, bool);

/// What a narrow terminal does without, the first first: all of it is in `show`, and in every other format.
const EXPENDABLE: &[&str] =
    &["CREATED (UTC)", "STARTED (UTC)", "FINISHED (UTC)", "PRIORITY", "ATTEMPT", "OWNER", "FILE", "RUNNING", "TASKS", "SLOTS"];
/// A text is not made shorter than this to make room.
const TEXT_MIN_COLUMNS: usize = 8;
const BETWEEN: usize = 2;

/// A table that may come in pages: widths only grow, the heading comes once.
pub(crate) struct Table {
    columns: &'static [Column],
    widths: Vec<usize>,
    /// By column, whether it is left out; decided at the first page.
    hidden: Vec<bool>,
    rows: Vec<Vec<String>>,
    has_heading: bool,
}

impl Table {
    pub(crate) fn new(columns: &'static [Column]) -> Self {
        let widths = columns.iter().map(|(name, _)| name.len()).collect();
        Self { columns, widths, hidden: vec![false; columns.len()], rows: Vec::new(), has_heading: false }
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
        let room = ui.out_columns.unwrap_or(usize::MAX);
        if !std::mem::replace(&mut self.has_heading, true) {
            self.hide(room);
            let heading: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            self.shorten(room);
            ui.line(self.line(&heading, room))?;
        }
        self.shorten(room);
        for row in std::mem::take(&mut self.rows) {
            ui.line(self.line(&row, room))?;
        }
        Ok(())
    }

    fn width(&self) -> usize {
        let shown = self.widths.iter().zip(&self.hidden).filter(|(_, hidden)| !**hidden);
        shown.map(|(width, _)| width + BETWEEN).sum::<usize>().saturating_sub(BETWEEN)
    }

    fn hide(&mut self, room: usize) {
        for name in EXPENDABLE {
            if self.width() <= room {
                return;
            }
            if let Some(at) = self.columns.iter().position(|(column, _)| column == name) {
                self.hidden[at] = true;
            }
        }
    }

    /// The widest text gives way, as far as it can. The first column names the row, and stays.
    fn shorten(&mut self, room: usize) {
        while self.width() > room {
            let too_wide = self.width() - room;
            let texts = (1..self.columns.len()).filter(|at| !self.columns[*at].1 && !self.hidden[*at]);
            let Some(widest) = texts.max_by_key(|at| self.widths[*at]).filter(|at| self.widths[*at] > TEXT_MIN_COLUMNS) else { return };
            // Down to the next widest would be fairer, and harder to read.
            self.widths[widest] = self.widths[widest].saturating_sub(too_wide).max(TEXT_MIN_COLUMNS);
        }
    }

    fn line(&self, cells: &[String], room: usize) -> String {
        let mut line = String::new();
        for (at, cell) in cells.iter().enumerate().filter(|(at, _)| !self.hidden[*at]) {
            let width = self.widths[at];
            let cell = cut(cell, width);
            let cell = if self.columns[at].1 { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&cell);
            line.push_str(&" ".repeat(BETWEEN));
        }
        cut(line.trim_end(), room)
    }
}

/// The beginning, if it is longer.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(columns.checked_sub(1).map(|_| '…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[("ID", false), ("NAME", false), ("PRIORITY", true), ("DONE", true), ("CREATED (UTC)", false)];

    fn lines(room: usize) -> Vec<String> {
        let mut table = Table::new(COLUMNS);
        for id in ["j1", "j12"] {
            table.row([id, "a-rather-long-name", "-3", "170", "2023-11-14 22:13:20"].map(str::to_owned).into());
        }
        table.hide(room);
        table.shorten(room);
        let rows = std::mem::take(&mut table.rows);
        rows.iter().map(|row| table.line(row, room)).collect()
    }

    #[test]
    fn a_narrow_terminal_loses_columns_first_and_letters_then() {
        assert_eq!(lines(usize::MAX)[0], "j1   a-rather-long-name        -3   170  2023-11-14 22:13:20");
        assert_eq!(lines(40)[1], "j12  a-rather-long-name        -3   170");
        assert_eq!(lines(30)[1], "j12  a-rather-long-name   170");
        assert_eq!(lines(24)[1], "j12  a-rather-lon…   170");
        assert_eq!(lines(12)[1], "j12  a-rath…");
        assert!((0..80).all(|room| lines(room).iter().all(|line| line.chars().count() <= room)));
    }
}

//! Where text is put on a screen: what does not fit is cut, and what is outside is nowhere.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::Span;

use crate::cli::ui::printable;

/// How something looks. There is no more than this, and none of it says what the words do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    /// Less important.
    Dim,
    Strong,
    /// A heading, or the row picked.
    Marked,
    Good,
    Careful,
    Bad,
}

impl Look {
    fn style(self, has_colour: bool) -> Style {
        let colour = |colour| if has_colour { Style::new().fg(colour) } else { Style::new() };
        match self {
            Self::Plain => Style::new(),
            Self::Dim => Style::new().add_modifier(Modifier::DIM),
            Self::Strong => Style::new().add_modifier(Modifier::BOLD),
            Self::Marked => Style::new().add_modifier(Modifier::REVERSED),
            Self::Good => colour(Color::Green),
            Self::Careful => colour(Color::Yellow),
            Self::Bad => colour(Color::Red),
        }
    }
}

/// The columns that a text takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Rows of a screen.
pub(super) struct Canvas<'a> {
    buffer: &'a mut Buffer,
    pub(super) area: Rect,
    has_colour: bool,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(buffer: &'a mut Buffer, has_colour: bool) -> Self {
        let area = buffer.area;
        Self { buffer, area, has_colour }
    }

    pub(super) fn columns(&self) -> usize {
        usize::from(self.area.width)
    }

    pub(super) fn rows(&self) -> usize {
        usize::from(self.area.height)
    }

    /// Rows of it, as a canvas.
    pub(super) fn part(&mut self, from: usize, rows: usize) -> Canvas<'_> {
        let from = u16::try_from(from).unwrap_or(u16::MAX).min(self.area.height);
        let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(self.area.height - from);
        let area = Rect { y: self.area.y + from, height: rows, ..self.area };
        Canvas { buffer: &mut *self.buffer, area, has_colour: self.has_colour }
    }

    /// A text in so many columns at most; one that is longer ends in `…`.
    pub(super) fn put(&mut self, column: usize, row: usize, room: usize, text: &str, look: Look) {
        let room = room.min(self.columns().saturating_sub(column));
        if room == 0 || row >= self.rows() {
            return;
        }
        let (x, y) = (self.area.x + column as u16, self.area.y + row as u16);
        let (text, style) = (printable(text), look.style(self.has_colour));
        if width(&text) <= room {
            self.buffer.set_stringn(x, y, text, room, style);
        } else {
            let (end, _) = self.buffer.set_stringn(x, y, text, room - 1, style);
            self.buffer.set_stringn(end, y, "…", 1, style);
        }
    }

    /// A text in a row of its own, which looks alike to its end.
    pub(super) fn line(&mut self, row: usize, text: &str, look: Look) {
        self.put(0, row, self.columns(), text, look);
        self.tint(row, look);
    }

    /// The whole row looks so.
    pub(super) fn tint(&mut self, row: usize, look: Look) {
        if row < self.rows() {
            let rect = Rect { y: self.area.y + row as u16, height: 1, ..self.area };
            self.buffer.set_style(rect, look.style(self.has_colour));
        }
    }

    /// Words over as many rows as there are, from a row on; the next free row.
    pub(super) fn paragraph(&mut self, mut row: usize, text: &str, look: Look) -> usize {
        let text = printable(text);
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && width(&line) + 1 + width(word) > self.columns() {
                self.put(0, row, self.columns(), &line, look);
                line.clear();
                row += 1;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.put(0, row, self.columns(), &line, look);
        row + usize::from(!line.is_empty())
    }
}

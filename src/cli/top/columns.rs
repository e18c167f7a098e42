//! How wide the columns of a list are on a screen.

use super::canvas::width;

/// Between two.
pub(super) const GAP: usize = 1;
/// A text is not made shorter than this; a narrower screen does without a column first.
const TEXT_MIN: usize = 6;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// When the screen is too narrow the highest goes first; 0 stays.
    pub(super) goes: u8,
}

/// What stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    /// A text that can be cut.
    Text,
    /// It takes the room that is left, between these widths.
    Bar(usize, usize),
}

/// The widths, 0 for a column that is left out, for rows of cells and so much room.
pub(super) fn widths(columns: &[Column], rows: &[Vec<String>], room: usize) -> Vec<usize> {
    let natural = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0);
    let wish = |at: usize| match columns[at].kind {
        Kind::Bar(least, _) => least.max(columns[at].name.len()),
        Kind::Word | Kind::Number | Kind::Text => natural(at).max(columns[at].name.len()),
    };
    let wishes: Vec<usize> = (0..columns.len()).map(wish).collect();
    let mut widths: Vec<usize> = (0..columns.len())
        .map(|at| if columns[at].kind == Kind::Text { wishes[at].min(TEXT_MIN.max(columns[at].name.len())) } else { wishes[at] })
        .collect();
    let taken = |widths: &[usize]| widths.iter().filter(|width| **width > 0).map(|width| width + GAP).sum::<usize>().saturating_sub(GAP);
    while taken(&widths) > room {
        let going = (0..columns.len()).filter(|at| widths[*at] > 0 && columns[*at].goes > 0).max_by_key(|at| columns[*at].goes);
        let Some(going) = going else { break };
        widths[going] = 0;
    }
    // What is left goes to texts, and then to the bar.
    let mut left = room.saturating_sub(taken(&widths));
    let texts = (0..columns.len()).map(|at| (at, wishes[at]));
    let bars = columns.iter().enumerate().filter_map(|(at, column)| match column.kind {
        Kind::Bar(_, most) => Some((at, most)),
        Kind::Word | Kind::Number | Kind::Text => None,
    });
    for (at, most) in texts.chain(bars) {
        if widths[at] > 0 {
            let more = most.saturating_sub(widths[at]).min(left);
            widths[at] += more;
            left -= more;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { name: "ID", kind: Kind::Word, goes: 0 },
        Column { name: "BAR", kind: Kind::Bar(4, 20), goes: 1 },
        Column { name: "PRIO", kind: Kind::Number, goes: 2 },
        Column { name: "NAME", kind: Kind::Text, goes: 3 },
    ];

    #[test]
    fn texts_give_way_then_columns_go_and_the_bar_takes_what_is_left() {
        let rows = [["j1", "", "-3", "日本語の名前"].map(str::to_owned).to_vec()];
        let of = |room| widths(COLUMNS, &rows, room);
        assert_eq!(of(100), [2, 20, 4, 12]);
        assert_eq!(of(30), [2, 9, 4, 12]);
        assert_eq!(of(23), [2, 4, 4, 10]);
        assert_eq!(of(12), [2, 4, 4, 0]);
        assert_eq!((of(7), of(1)), (vec![2, 4, 0, 0], vec![2, 0, 0, 0]));
    }
}

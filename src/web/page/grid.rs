//! The tasks of a job, a cell each.

use maud::{Markup, html};

use crate::actors::job::JobSnapshot;
use crate::engine::grid::{Grid, Look, Run, Tasks};

use super::bar::swatch;

/// Cells of a line.
const COLUMNS: u32 = 100;

/// The look's class in the style, and its name.
fn look(look: Look) -> (&'static str, &'static str) {
    match look {
        Look::Failed => ("fill-failed", "failed"),
        Look::Running => ("fill-running", "running"),
        Look::Part => ("fill-part", "in part done"),
        Look::Waiting => ("fill-waiting", "not started"),
        Look::Dropped => ("fill-dropped", "dropped"),
        Look::Done => ("fill-done", "done"),
    }
}

/// The rectangles of a run: the rest of its first line, whole lines, the begin of its last.
fn rects(run: &Run) -> Vec<(u32, u32, u32, u32)> {
    let (mut at, mut rects) = (run.first, Vec::new());
    while at < run.end {
        let (x, y) = (at % COLUMNS, at / COLUMNS);
        let (width, height) =
            if x == 0 && run.end - at >= COLUMNS { (COLUMNS, (run.end - at) / COLUMNS) } else { ((COLUMNS - x).min(run.end - at), 1) };
        rects.push((x, y, width, height));
        at += if width == COLUMNS { width * height } else { width };
    }
    rects
}

/// The grid of a job that is split.
pub(super) fn grid(job: &JobSnapshot) -> Markup {
    let Some(total) = job.record.total.filter(|total| *total > 1) else { return Markup::default() };
    let running: Vec<_> = job.out.iter().filter(|out| out.started).map(|out| out.no).collect();
    let record = &job.record;
    let is_stopped = record.stopping().is_some() || job.view.state.is_final();
    let grid = Grid::of(Tasks { total, succeeded: &record.succeeded, failed: &record.failed, running: &running, is_stopped });
    let cells = grid.runs.last().map_or(0, |run| run.end);
    let lines = cells.div_ceil(COLUMNS).max(1);
    let of = if grid.per_cell == 1 { "a cell a task".into() } else { format!("a cell {} tasks", grid.per_cell) };
    let looks = [Look::Done, Look::Running, Look::Waiting, Look::Part, Look::Failed, Look::Dropped];
    let columns = COLUMNS.min(cells.max(50));
    html! {
        h2 { "Tasks" }
        svg.grid viewBox={ "0 0 " (columns) " " (lines) } role="img" aria-label={ "all tasks in their order, " (of) } {
            @for run in &grid.runs {
                @for (x, y, width, height) in rects(run) {
                    rect class=(look(run.look).0) x=(x) y=(y) width=(width) height=(height) {}
                }
            }
        }
        ul.key {
            li.faint { (of) }
            @for one in looks.into_iter().filter(|one| grid.runs.iter().any(|run| run.look == *one)) {
                li { (swatch(look(one).0)) (look(one).1) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_rectangles_of_a_run_cover_its_cells_once(first in 0u32..1_000, len in 1u32..1_000) {
            let run = Run { first, end: first + len, look: Look::Done };
            let rects = rects(&run);
            let mut cells: Vec<u32> = rects.iter().flat_map(|(x, y, width, height)| {
                (*y..y + height).flat_map(move |y| (*x..x + width).map(move |x| y * COLUMNS + x))
            }).collect();
            cells.sort_unstable();
            prop_assert_eq!(cells, (first..first + len).collect::<Vec<_>>());
            prop_assert!(rects.len() <= 3);
        }
    }
}

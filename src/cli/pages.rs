//! Listings: page by page from the head, item by item to the output, so that ten million tasks need no more memory than a page.

use serde::Serialize;
use std::io::Write as _;

use super::exit::Stop;
use super::table::{Column, Table};
use super::ui::{Format, Ui};
use crate::domain::Error;

/// Writes a listing in whatever format is asked for.
pub(crate) struct Listing {
    key: &'static str,
    table: Table,
    is_empty: bool,
}

impl Listing {
    /// `key` names the array in the JSON document.
    pub(crate) fn begin(ui: &mut Ui, key: &'static str, columns: &'static [Column]) -> Result<Self, Stop> {
        if ui.format == Format::Json {
            write!(ui.out, "{{\"version\":1,\"{key}\":[")?;
        }
        Ok(Self { key, table: Table::new(columns), is_empty: true })
    }

    /// One item: as a document, an id, or a row.
    pub(crate) fn item(&mut self, ui: &mut Ui, id: &str, document: impl Serialize, row: Vec<String>) -> Result<(), Stop> {
        let is_first = std::mem::replace(&mut self.is_empty, false);
        match ui.format {
            Format::Table => self.table.row(row),
            Format::Id => ui.line(id)?,
            Format::Jsonl => ui.json(&document)?,
            Format::Json => {
                let text = serde_json::to_string(&document).map_err(|error| Error::internal(format!("can't write JSON: {error}")))?;
                write!(ui.out, "{}{text}", if is_first { "" } else { "," })?;
            }
        }
        Ok(())
    }

    /// After the items of a page.
    pub(crate) fn end_of_page(&mut self, ui: &mut Ui) -> Result<(), Stop> {
        if ui.format == Format::Table { self.table.write(ui) } else { Ok(()) }
    }

    /// After the last page.
    pub(crate) fn end(mut self, ui: &mut Ui) -> Result<(), Stop> {
        match ui.format {
            Format::Json => ui.line("]}"),
            Format::Table if self.is_empty => {
                ui.note(format_args!("no {}", self.key));
                Ok(())
            }
            Format::Table => self.table.write(ui),
            Format::Jsonl | Format::Id => Ok(()),
        }
    }
}

/// Fetches page after page; `fetch` gets a page token and gives items and the next token, `each` takes a page.
pub(crate) async fn each<T>(
    fetch: impl AsyncFn(String) -> Result<(Vec<T>, String), Error>,
    mut each: impl FnMut(Vec<T>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut token = String::new();
    loop {
        let (items, next) = fetch(token.clone()).await?;
        each(items)?;
        if next.is_empty() {
            return Ok(());
        }
        if next == token {
            return Err(Error::internal("the head gives the same page again and again").into());
        }
        token = next;
    }
}

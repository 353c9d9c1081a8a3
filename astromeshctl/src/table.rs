//! Columns without boxes: a header in capitals, two spaces between columns, nothing after the last.

use crate::text::styled;
use anstyle::Style;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::borrow::Cow;

const HEADER: Style = Style::new().bold();

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    alignment: CellAlignment,
}

impl Column {
    /// For words.
    pub(crate) const fn left(title: &'static str) -> Self {
        Self {
            title,
            alignment: CellAlignment::Left,
        }
    }

    /// For figures.
    pub(crate) const fn right(title: &'static str) -> Self {
        Self {
            title,
            alignment: CellAlignment::Right,
        }
    }
}

/// A line below the header: a cell for each column, and the style of the whole.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Each within one line; one that is very long is cut.
    pub(crate) cells: Vec<String>,
    /// Says nothing that the cells do not say.
    pub(crate) style: Style,
}

/// Lays the rows out, as wide as their text is on a terminal.
pub(crate) fn render(columns: &[Column], rows: &[Row]) -> String {
    let styles = [HEADER].into_iter().chain(rows.iter().map(|row| row.style));
    let lines: Vec<String> = lay_out(columns, rows)
        .lines()
        .zip(styles)
        .map(|(line, style)| styled(style, line.trim_end()))
        .collect();
    lines.join("\n")
}

fn lay_out(columns: &[Column], rows: &[Row]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().map(|column| column.title))
        .add_rows(
            rows.iter()
                .map(|row| row.cells.iter().map(|cell| cut(cell))),
        );
    for (laid, column) in table.column_iter_mut().zip(columns) {
        laid.set_padding((0, 2));
        laid.set_cell_alignment(column.alignment);
    }
    table
}

/// The longest URL there is still fits; a list without end does not.
fn cut(cell: &str) -> Cow<'_, str> {
    const LONGEST: usize = 256;
    match cell.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &cell[..end]).into(),
        None => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[[&str; 3]]) -> String {
        let rows: Vec<Row> = rows
            .iter()
            .map(|cells| Row {
                cells: cells.iter().map(|&cell| cell.to_owned()).collect(),
                style: Style::new(),
            })
            .collect();
        let drawn = render(
            &[
                Column::left("NAME"),
                Column::right("SINCE"),
                Column::left("URL"),
            ],
            &rows,
        );
        anstream::adapter::strip_str(&drawn).to_string()
    }

    #[test]
    fn columns_are_as_wide_as_a_terminal_shows_them() {
        let drawn = table(&[
            ["工作者", "6s", "http://a:1"],
            ["ärger", "14m", "-"],
            ["🚀", "3h", "b"],
        ]);
        let expected = [
            "NAME    SINCE  URL",
            "工作者     6s  http://a:1",
            "ärger     14m  -",
            "🚀         3h  b",
        ];
        assert_eq!(drawn, expected.join("\n"));
    }

    #[test]
    fn a_cell_without_end_is_cut() {
        let drawn = table(&[["a", "1s", &"x".repeat(100_000)]]);
        assert!(drawn.ends_with("x…") && drawn.len() < 1_000);
    }
}

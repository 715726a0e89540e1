//! Tables for people: columns as wide as their widest cell. Never used for machines.

use std::io::IsTerminal;

/// Between two columns.
const GAP: &str = "  ";

/// A table with a heading for each column. The heading is bold on a terminal.
pub(super) fn table<const COLUMNS: usize>(
    headings: [&str; COLUMNS],
    rows: &[[String; COLUMNS]],
) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().map(|row| width(&row[column]));
        cells.chain([width(headings[column])]).max().unwrap_or_default()
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width_of);
    let heading = line(&headings, &widths);
    let heading = if is_bold() { format!("\x1b[1m{heading}\x1b[0m") } else { heading };
    let mut lines = vec![heading];
    lines.extend(rows.iter().map(|row| line(row, &widths)));
    lines.join("\n")
}

fn line<const COLUMNS: usize>(
    cells: &[impl AsRef<str>; COLUMNS],
    widths: &[usize; COLUMNS],
) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, wide)| {
        let cell = cell.as_ref();
        format!("{cell}{}", " ".repeat(wide - width(cell)))
    });
    padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
}

/// What a cell takes, of texts that are ASCII but for some paths.
fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// Whether standard output is a terminal that takes it (<https://no-color.org>).
fn is_bold() -> bool {
    let is_set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|it| it == "dumb");
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

//! Lists for a spreadsheet: comma-separated values in UTF-8, marked as such, so that Vietnamese is shown right.

use crate::cli::out;

/// What tells a spreadsheet that a file is UTF-8.
const MARK: &str = "\u{feff}";

/// Writes the header.
pub fn header(columns: &[&str]) {
    out::line(format!("{MARK}{}", line(columns)));
}

/// Writes a row.
pub fn row(cells: &[&str]) {
    out::line(line(cells));
}

fn line(cells: &[&str]) -> String {
    cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",")
}

/// A cell that reads back as it is; what a spreadsheet would take for a formula is made a text.
fn quoted(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r']) || cell.trim() != cell {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_are_never_formulas() {
        let cells = ["AT-S", "Áo, thun", "cỡ \"S\"", " AT-S ", "two\nlines", "=1+1", "-5", "-A", "@x", ""];
        assert_eq!(line(&cells), "AT-S,\"Áo, thun\",\"cỡ \"\"S\"\"\",\" AT-S \",\"two\nlines\",'=1+1,-5,'-A,'@x,");
    }
}

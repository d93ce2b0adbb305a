//! Writes answers: tables for people, one object a line for programs. A reader that has gone (`| head`) ends nothing.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::domain::clock::Millis;
use crate::domain::time;

/// Nobody reads standard output any more.
static GONE: AtomicBool = AtomicBool::new(false);
/// Standard output could not be written for another reason.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Writes one line of the answer.
pub fn line(text: impl Display) {
    if GONE.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        GONE.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            FAILED.store(true, Ordering::Relaxed);
            note(format!("error: the answer cannot be written: {error}"));
        }
    }
}

/// Writes one line beside the answer, to standard error.
pub fn note(text: impl Display) {
    // Nobody can be told where standard error is closed.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a part of the answer was lost.
pub fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Writes one object as a line.
pub fn json(object: &Value) {
    line(object);
}

/// A row as JSON, its times as ISO-8601 text.
pub fn row(row: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(row).unwrap_or(Value::Null);
    write_times(&mut value);
    value
}

fn write_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                let is_time = key == "at" || key.ends_with("_at") || key == "version" || key == "orders_from";
                match field.as_i64().filter(|_| is_time) {
                    Some(moment) => *field = time::format(moment).into(),
                    None => write_times(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_times),
        _ => {}
    }
}

/// A row's JSON with more fields; those that are there already are replaced.
pub fn with(mut row: Value, more: &[(&str, Value)]) -> Value {
    if let Value::Object(fields) = &mut row {
        for (key, value) in more {
            fields.insert((*key).to_owned(), value.clone());
        }
    }
    row
}

/// Writes a table: drawn and as wide as the terminal, or one plain line a row where nobody looks at it.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    if io::stdout().is_terminal() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width().unwrap_or(120));
    } else {
        table.load_style(presets::NOTHING);
    }
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.into_iter().map(|cell| cell.replace('\n', " ")).collect::<Vec<_>>());
    }
    for text in table.lines() {
        line(text.trim_end());
    }
}

/// Writes a list: at most `limit` rows, and that there are more where there are.
pub fn list<T: Serialize>(
    as_json: bool,
    limit: i64,
    rows: &[T],
    header: &[&str],
    cells: impl Fn(&T) -> Vec<String>,
    object: impl Fn(&T) -> Value,
) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    let shown = &rows[..rows.len().min(limit)];
    if as_json {
        for row in shown {
            json(&object(row));
        }
    } else if shown.is_empty() {
        note("nothing found");
    } else {
        table(header, shown.iter().map(cells).collect());
    }
    if more {
        note("… more rows; use --limit or a filter");
    }
}

/// The beginning of an event's id: enough to name it.
pub fn short(id: &str) -> String {
    id.chars().take(18).collect()
}

/// A moment for people.
pub fn local(at: Millis) -> String {
    time::local(at)
}

/// A text that may be missing.
pub fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or("–").to_owned()
}

/// The terminal's width, asked of the terminal itself.
fn width() -> Option<u16> {
    let terminal = File::open("/dev/tty").ok()?;
    let asked = Command::new("stty").arg("size").stdin(terminal).stderr(Stdio::null()).output().ok()?;
    let columns = String::from_utf8(asked.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()?;
    (columns >= 40).then_some(columns)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_of_a_row_are_iso_text_wherever_they_stand() {
        let given = json!({"received_at": 1_772_421_323_000_i64, "attempts": 3, "version": null, "story": [{"at": 1_772_421_323_000_i64, "step": "call"}]});
        let expected = json!({"received_at": "2026-03-02T03:15:23Z", "attempts": 3, "version": null, "story": [{"at": "2026-03-02T03:15:23Z", "step": "call"}]});
        assert_eq!(row(&given), expected);
    }

    #[test]
    fn a_row_takes_more_fields() {
        assert_eq!(
            with(json!({"code": "refused"}), &[("outcome", "dead".into())]),
            json!({"code": "refused", "outcome": "dead"})
        );
    }
}

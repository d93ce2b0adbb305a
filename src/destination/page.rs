//! Pages of lists, row by row: one row that cannot be read spoils no other.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::WireError;
use super::fields;

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// Its rows, in the API's order.
    pub items: Vec<Result<Item<T>, BadRow>>,
    /// How many rows the whole list has, where the API says so.
    pub total: Option<u64>,
    /// Its number, from 1.
    pub page: u32,
    /// Rows in a full page: the API's own figure where it says one (it may clamp ours).
    pub limit: u32,
}

/// One row that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<T> {
    /// What it says.
    pub value: T,
    /// The object's own JSON, so that an import's event can carry it.
    pub raw: Bytes,
}

/// One row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Its id, where at least that can be read.
    pub id: Option<String>,
    /// What is wrong with it; names fields, never values.
    pub reason: String,
}

impl<T> Page<T> {
    /// Whether another page may follow.
    ///
    /// Without a total only an empty page ends a list, since the API may give fewer rows than were asked for.
    pub fn more(&self) -> bool {
        let so_far = u64::from(self.page) * u64::from(self.limit);
        !self.items.is_empty() && self.total.is_none_or(|total| so_far < total)
    }

    /// The rows that could be read.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.items.into_iter().flatten().map(|item| item.value)
    }
}

/// Reads a JSON array row by row.
pub(super) fn split<T>(
    rows: &RawValue,
    read: impl Fn(&[u8]) -> Result<T, WireError>,
) -> Result<Vec<Result<Item<T>, BadRow>>, WireError> {
    let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).map_err(|_| WireError::NotAnObject)?;
    Ok(rows.into_iter().map(|row| item(row.get(), &read)).collect())
}

fn item<T>(row: &str, read: impl Fn(&[u8]) -> Result<T, WireError>) -> Result<Item<T>, BadRow> {
    match read(row.as_bytes()) {
        Ok(value) => Ok(Item { value, raw: Bytes::copy_from_slice(row.as_bytes()) }),
        Err(error) => {
            let id = serde_json::from_str::<Value>(row).ok().and_then(|row| fields::id(&row, "id"));
            Err(BadRow { id, reason: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_at_its_total_or_where_none_is_told_at_an_empty_page() {
        let page = |rows: usize, total, page| Page {
            items: vec![Ok(Item { value: 0, raw: Bytes::new() }); rows],
            total,
            page,
            limit: 2,
        };
        assert!(page(2, Some(3), 1).more());
        assert!(!page(1, Some(3), 2).more());
        assert!(!page(2, Some(2), 1).more());
        assert!(page(1, None, 1).more());
        assert!(!page(0, None, 2).more());
        assert!(!page(0, Some(9), 2).more());
    }
}

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

    /// The id of its first row.
    fn begins(&self) -> Option<String> {
        match self.items.first()? {
            Ok(item) => serde_json::from_slice::<Value>(&item.raw).ok().and_then(|row| fields::id(&row, "id")),
            Err(bad) => bad.id.clone(),
        }
    }

    /// The rows that could be read.
    pub fn into_values(self) -> impl Iterator<Item = T> {
        self.items.into_iter().flatten().map(|item| item.value)
    }
}

/// Pages after which a list without a total is taken for one without an end.
const MOST_PAGES: u32 = 10_000;

/// What comes after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another page may follow.
    More,
    /// It was the last one.
    End,
    /// It was the page before once more, with nothing new in it; the list goes no further.
    Repeated {
        /// It is a full page, so that the API may be keeping back what should follow.
        full: bool,
    },
}

/// Follows a list page by page to its end, also where the API tells none.
#[derive(Debug, Default)]
pub struct Pages {
    begins: Option<String>,
    read: u32,
}

impl Pages {
    /// What comes after a page; to be asked once for each, in their order.
    pub fn next<T>(&mut self, page: &Page<T>) -> Next {
        let before = std::mem::replace(&mut self.begins, page.begins());
        self.read += 1;
        if !page.more() {
            return Next::End;
        }
        // A total ends a list by itself, and a page that moves while it is read may begin as the one before.
        if page.total.is_none() {
            let repeats = before.is_some() && before == self.begins;
            if repeats || self.read >= MOST_PAGES {
                return Next::Repeated { full: !repeats || page.items.len() >= page.limit as usize };
            }
        }
        Next::More
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

    #[test]
    fn a_list_that_repeats_a_page_ends_there_and_says_whether_more_may_be_kept_back() {
        let page = |ids: &[u32], total, page| Page {
            items: ids.iter().map(|id| Ok(Item { value: 0, raw: format!(r#"{{"id":{id}}}"#).into() })).collect(),
            total,
            page,
            limit: 2,
        };
        let mut short = Pages::default();
        let last = page(&[3], None, 2);
        assert_eq!((short.next(&page(&[1, 2], None, 1)), short.next(&last)), (Next::More, Next::More));
        assert_eq!(short.next(&last), Next::Repeated { full: false });
        let mut deaf = Pages::default();
        assert_eq!(deaf.next(&page(&[1, 2], None, 1)), Next::More);
        assert_eq!(deaf.next(&page(&[1, 2], None, 2)), Next::Repeated { full: true });
        let mut moving = Pages::default();
        assert_eq!(moving.next(&page(&[1, 2], Some(5), 1)), Next::More);
        assert_eq!(moving.next(&page(&[1, 2], Some(5), 2)), Next::More);
        assert_eq!(moving.next(&page(&[3], Some(5), 3)), Next::End);
        // An API that makes rows up for ever.
        let mut endless = Pages::default();
        let end = (1..=MOST_PAGES + 1).find(|number| endless.next(&page(&[*number, 0], None, *number)) != Next::More);
        assert_eq!(end, Some(MOST_PAGES));
    }
}

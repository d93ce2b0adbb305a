//! Lists: filters and pages.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::sandbox::clock::parse;
use crate::sandbox::form;

/// A query string, as the lists read it; what they do not know they ignore.
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    /// The parameter `ids`, read once: a list of thousands is asked for each of its objects.
    ids: Option<HashSet<u64>>,
    /// `created_on_min`, `created_on_max`, `modified_on_min`, `modified_on_max`.
    bounds: [Option<i64>; 4],
}

impl Query {
    /// Reads a query string.
    pub fn read(text: &str) -> Self {
        let pairs = form::pairs(text);
        let names = ["created_on_min", "created_on_max", "modified_on_min", "modified_on_max"];
        let bounds = names.map(|name| form::get(&pairs, name).and_then(parse));
        let mut query = Self { pairs, ids: None, bounds };
        query.ids = query.set("ids");
        query
    }

    /// A parameter that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        form::get(&self.pairs, name)
    }

    /// Whether the parameter `ids` names this id, or is absent.
    pub fn names(&self, id: u64) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
    }

    /// A comma list of ids; what is no id is passed over.
    pub fn set(&self, name: &str) -> Option<HashSet<u64>> {
        self.get(name).map(|ids| ids.split(',').filter_map(|id| id.trim().parse().ok()).collect())
    }

    /// Whether a comma list has this word, or is absent.
    pub fn allows(&self, name: &str, word: &str) -> bool {
        self.get(name).is_none_or(|list| list.split(',').any(|wanted| wanted.trim() == word))
    }

    /// Whether times lie within `created_on_` and `modified_on_` `min` and `max`, all inclusive.
    pub fn spans(&self, created: i64, modified: i64) -> bool {
        let [created_min, created_max, modified_min, modified_max] = self.bounds;
        created_min.is_none_or(|min| created >= min)
            && created_max.is_none_or(|max| created <= max)
            && modified_min.is_none_or(|min| modified >= min)
            && modified_max.is_none_or(|max| modified <= max)
    }

    /// Whether one of some texts contains `query`, whatever the case; as stored, with no thought of phones.
    pub fn finds(&self, texts: &[&str]) -> bool {
        self.get("query").is_none_or(|query| {
            let query = query.to_lowercase();
            texts.iter().any(|text| text.to_lowercase().contains(&query))
        })
    }

    /// Omni's page of ids, and the list's metadata.
    pub fn page<T: Copy>(&self, found: &[T], max: usize) -> (Vec<T>, Value) {
        let (page, limit) = self.page_and_limit(20, max);
        (self.cut(found, 20, max), json!({"total": found.len(), "page": page, "limit": limit}))
    }

    /// One page of ids: `usual` many where the query does not say, and never more than `max`.
    pub fn cut<T: Copy>(&self, found: &[T], usual: usize, max: usize) -> Vec<T> {
        let (page, limit) = self.page_and_limit(usual, max);
        found.iter().copied().skip((page - 1).saturating_mul(limit)).take(limit).collect()
    }

    fn page_and_limit(&self, usual: usize, max: usize) -> (usize, usize) {
        let number =
            |name: &str, usual: usize| self.get(name).and_then(|text| text.parse().ok()).unwrap_or(usual).max(1);
        (number("page", 1), number("limit", usual).min(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_at_the_most_that_the_api_gives() {
        let found: Vec<u64> = (0..300).collect();
        let (items, metadata) = Query::read("page=2&limit=999").page(&found, 250);
        assert_eq!(items.len(), 50);
        assert_eq!(metadata, json!({"total": 300, "page": 2, "limit": 250}));
        assert_eq!(Query::read("").page(&found, 250).0.len(), 20);
    }

    #[test]
    fn phones_are_found_only_as_they_are_stored() {
        assert!(Query::read("query=0912").finds(&["0912000001"]));
        assert!(!Query::read("query=0912000001").finds(&["+84 912 000 001"]));
        assert!(Query::read("query=%C3%81O").finds(&["Áo thun"]));
    }

    #[test]
    fn times_are_inclusive() {
        let query = Query::read("created_on_min=2026-03-02T02:01:04Z&created_on_max=2026-03-02T02:01:04Z");
        let second = parse("2026-03-02T02:01:04Z").unwrap();
        assert!(query.spans(second, 0));
        assert!(!query.spans(second + 1, 0));
    }
}

//! Every code that a row can carry has words, and no words stand for a code that nobody writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::*;
use crate::domain::linking::Side;
use crate::domain::outcome::Cause;

/// Codes of events alone: the ledger has them, and no row ever carries one.
const OF_EVENTS: [&str; 29] = [
    "after_cancel",
    "already_returned",
    "cancel",
    "direction_not_synchronised",
    "echo",
    "finished",
    "fulfil",
    "no_phone",
    "not_connected",
    "not_of_this_channel",
    "nothing_asked",
    "ok",
    "ours_unknown",
    "paid",
    "panic",
    "part_shipped",
    "poison",
    "returned",
    "same_class",
    "stale",
    "still_installed",
    "stopped",
    "store_refused",
    "superseded",
    "topic_not_synchronised",
    "unchanged",
    "undeliverable",
    "unknown_product",
    "unreadable",
];

const PRODUCT: &[LinkKind] = &[LinkKind::Product];
const ORDER: &[LinkKind] = &[LinkKind::Order];

/// Whose rows the codes of which files reach, by the beginnings of their paths below `src/`; the first that fits counts.
const FILES: [(&str, &[LinkKind]); 17] = [
    ("work/categories.rs", &[LinkKind::Category]),
    ("work/customers.rs", &[LinkKind::Customer]),
    ("work/create.rs", LinkKind::ALL),
    ("work/components.rs", PRODUCT),
    ("work/products.rs", PRODUCT),
    ("work/web/linking", PRODUCT),
    ("work/web/products.rs", PRODUCT),
    ("work/web/push.rs", PRODUCT),
    ("work/", ORDER),
    ("map/web/product.rs", &[]),
    ("map/web/", ORDER),
    ("map/abaha/order.rs", ORDER),
    ("map/totals.rs", ORDER),
    ("destination/abaha/", &[]),
    ("destination/oauth.rs", &[]),
    ("destination/", &[LinkKind::Product, LinkKind::Order]),
    ("domain/linking.rs", PRODUCT),
];

/// What a code follows that a link takes, or that an API's answer comes to.
const ERRORS: [&str; 6] = ["fail(", "failing(", "code:", "],", "unwrap_or(", "map_or("];
/// What the code of an outcome follows; an order of a web shows it.
const OUTCOMES: [&str; 3] = ["dead(", "skipped(", "nothing("];

#[test]
fn every_code_that_a_row_can_carry_has_words() {
    let written = written();
    let codes: BTreeSet<&str> = written.iter().map(|(code, ..)| code.as_str()).collect();
    assert!(codes.len() > 70, "the codes are not found any more, only {codes:?}");
    let silent: Vec<_> = written
        .iter()
        .filter(|(code, kind, _)| why(System::Web, *kind, code).is_none() && !OF_EVENTS.contains(&code.as_str()))
        .collect();
    assert!(
        silent.is_empty(),
        "codes without words: give them some in src/cli/links/why.rs or, where no row carries them, name them in \
         OF_EVENTS: {silent:#?}"
    );
    let gone: Vec<_> = OF_EVENTS.iter().filter(|code| !codes.contains(*code)).collect();
    assert!(gone.is_empty(), "nobody writes these any more: {gone:?}");
}

#[test]
fn what_an_order_waits_for_and_what_a_side_lacks_has_words() {
    let waits = Cause::ALL.iter().filter(|cause| !cause.is_time() && !matches!(cause, Cause::Paused | Cause::Replay));
    for code in waits.map(|cause| cause.as_str()).chain(["linked", "status_back"]) {
        assert!(why(System::Web, LinkKind::Order, code).is_some(), "{code}");
    }
    for side in Side::ALL {
        assert!(why(System::Web, LinkKind::Product, side.alone_code()).is_some(), "{side}");
        for kind in [LinkKind::Product, LinkKind::Order] {
            for channel in [System::Web, System::Abaha] {
                assert!(why(channel, kind, side.gone_code()).is_some(), "{kind} {side} {channel}");
            }
        }
    }
}

#[test]
fn one_code_of_two_kinds_of_rows_has_the_words_of_each() {
    let told = |kind, code| why(System::Web, kind, code).unwrap();
    for (kind, code, words) in [
        (LinkKind::Product, "deleted", "đã xóa trên POS: "),
        (LinkKind::Order, "deleted", "đơn đã xóa trên POS: "),
        (LinkKind::Product, "gone_on_channel", "đã xóa trên web: "),
        (LinkKind::Order, "gone_on_channel", "đơn đã xóa trên web: "),
        (LinkKind::Customer, "deleted", "khách hàng đã xóa trên POS"),
        (LinkKind::Product, "ambiguous", "mã bị trùng: "),
        (LinkKind::Order, "ambiguous", "nhiều khách hàng trên POS "),
    ] {
        assert!(told(kind, code).starts_with(words), "{kind} {code}: {}", told(kind, code));
    }
    for kind in [LinkKind::Product, LinkKind::Order] {
        let of_abaha = why(System::Abaha, kind, "gone_on_channel").unwrap();
        assert!(of_abaha.contains("đã xóa trên Abaha") && !of_abaha.contains("web"), "{of_abaha}");
    }
    assert_eq!(why(System::Web, LinkKind::Order, "no_such_code"), None);
}

#[test]
fn words_stand_once_and_for_codes_that_are_written() {
    let mut program = String::new();
    for (path, text) in files() {
        if !path.starts_with("cli/") {
            program.push_str(&text);
        }
    }
    for words in [PRODUCTS, ORDERS, CUSTOMERS, ABAHA_PRODUCTS, ABAHA_ORDERS, ANSWERS] {
        let mut seen = BTreeSet::new();
        for (code, words) in words {
            assert!(seen.insert(code), "{code} stands twice");
            assert!(!words.is_empty() && !OF_EVENTS.contains(code), "{code}");
            assert!(program.contains(&format!("\"{code}\"")), "{code} is written nowhere");
        }
    }
}

#[test]
fn a_code_is_found_wherever_it_may_be_written() {
    let constants = BTreeMap::from([("NEW", "of_a_constant")]);
    for text in [
        "Outcome::dead(\n            \"new_code\",\n            \"a reason\",\n        )",
        "Asked::nothing(\"new_code\", \"a reason\")",
        "set_link_error(&link, Some((\"new_code\", reason)))",
        "link.fail(\"new_code\", reason)",
        "CallError::failing(\"new_code\", Done::No)",
        "Trouble::Refused { code: \"new_code\", reason, answer: None }",
        "    (&[\"đã trùng\"], \"new_code\"),",
        "link.code.filter(|code| x).unwrap_or(\"new_code\")",
    ] {
        assert_eq!(codes(text, &constants, true), BTreeSet::from(["new_code"]), "{text}");
    }
    assert_eq!(codes("Outcome::skipped(\n    NEW,\n    \"x y\")", &constants, true), BTreeSet::from(["of_a_constant"]));
    for text in
        ["run.step(\"note\", text)", "Some((\"paid\", note))", "Outcome::done(\"created\", text)", "dead(NEWER)"]
    {
        assert!(codes(text, &constants, true).is_empty(), "{text}");
    }
    assert!(codes("Outcome::skipped(\"not_pushed\", text)", &constants, false).is_empty());
    let code =
        "    fn alone_code(self) -> &str {\n        match self {\n            Self::A => \"one\",\n        }\n    }\n";
    assert_eq!(arms(code), BTreeSet::from(["one"]));
    assert!(arms(&code.replace("alone_code", "name")).is_empty());
    assert_eq!(self::constants("pub const NEW: &str = \"one\";\nconst LONG: &str = \"a b\";"), [("NEW", "one")]);
}

/// Every code, whose rows it reaches, and the file that writes it.
fn written() -> BTreeSet<(String, LinkKind, String)> {
    let files = files();
    let of_rows: Vec<(&String, &String)> = files.iter().filter(|(path, _)| !kinds(path).is_empty()).collect();
    let constants: BTreeMap<&str, &str> = of_rows.iter().flat_map(|&(_, text)| constants(text)).collect();
    let mut written = BTreeSet::new();
    for (path, text) in of_rows {
        let kinds = kinds(path);
        let mut found = codes(text, &constants, false);
        if path.starts_with("map/") || path.starts_with("domain/") {
            found.extend(arms(text));
        }
        if path.starts_with("domain/") {
            found.extend(self::constants(text).into_iter().map(|(_, code)| code));
        }
        for kind in kinds {
            written.extend(found.iter().map(|code| ((*code).to_owned(), *kind, path.clone())));
        }
        if kinds.contains(&LinkKind::Order) {
            let of_outcomes = codes(text, &constants, true).into_iter();
            written.extend(of_outcomes.map(|code| (code.to_owned(), LinkKind::Order, path.clone())));
        }
    }
    written
}

fn kinds(path: &str) -> &'static [LinkKind] {
    for (begin, kinds) in FILES {
        if path.starts_with(begin) {
            return kinds;
        }
    }
    &[]
}

/// The source files by their paths below `src/`, without comments and tests.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    assert!(!files.is_empty(), "the source is not there");
    files
}

fn read(folder: &Path, below: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            read(&path, &format!("{below}{name}/"), files);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let program = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let lines: Vec<&str> = program.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            files.insert(format!("{below}{name}"), lines.join("\n") + "\n");
        }
    }
}

/// The constants of a file that hold a word, by their names.
fn constants(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((_, constant)) = line.split_once("const ") else { continue };
        let Some((name, value)) = constant.split_once(": &str = \"") else { continue };
        found.extend(word(value).map(|word| (name, word)));
    }
    found
}

/// The codes in a file's text; those of outcomes too where they are asked for.
fn codes<'a>(text: &'a str, constants: &BTreeMap<&str, &'a str>, outcomes: bool) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let stands = |at: usize| {
        let before = text[..at].trim_end();
        let follows = |heads: &[&str]| heads.iter().any(|head| before.ends_with(head));
        let of_link = before.ends_with("Some((")
            && before.rfind("set_link_error(").is_some_and(|begin| before.len() - begin < 80);
        of_link || follows(&ERRORS) || (outcomes && follows(&OUTCOMES))
    };
    for (at, _) in text.match_indices('"') {
        found.extend(word(&text[at + 1..]).filter(|_| stands(at)));
    }
    for (name, code) in constants {
        let whole = |at: usize| !text[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if text.match_indices(name).any(|(at, _)| whole(at) && stands(at)) {
            found.insert(*code);
        }
    }
    found
}

/// The codes that the arms of a function `code` give.
fn arms(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("fn ") {
        let body = text[at..].split_once("\n    }\n").map_or("", |(body, _)| body);
        if body.split_once('(').is_some_and(|(name, _)| name.ends_with("code")) {
            found.extend(body.match_indices("=> \"").filter_map(|(arm, head)| word(&body[arm + head.len()..])));
        }
    }
    found
}

/// The code that begins here and ends with a quote.
fn word(text: &str) -> Option<&str> {
    text.split_once('"').map(|(word, _)| word).filter(|word| is_code(word))
}

fn is_code(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

//! Holds the import table and the rules of the form "only this place may": see `src/lib.rs` for the map they protect.

use std::fmt;
use std::fs;
use std::path::Path;

/// Which top-level modules each one may use, besides itself and the [`SHARED`] ones.
const TABLE: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("map", &["domain"]),
    ("destination", &["domain"]),
    ("store", &["domain"]),
    ("broker", &["domain"]),
    ("receive", &["domain", "broker", "store"]),
    ("work", &["domain", "map", "broker", "destination", "store"]),
    ("sync", &["domain", "map", "broker", "destination", "store", "work"]),
    ("console", &["domain", "broker", "store", "sync"]),
    ("sandbox", &["domain"]),
    ("config", &[]),
    ("shutdown", &[]),
    ("observe", &[]),
];

/// Modules that every other one may use, except `domain`, which stays pure, and each other.
const SHARED: [&str; 3] = ["config", "shutdown", "observe"];

/// Modules that know everything.
const ASSEMBLY: [&str; 4] = ["app", "cli", "main", "lib"];

/// The longest file that a reader is asked to hold in mind.
const LONGEST: usize = 600;

/// One line that crosses a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.file, self.line, self.rule)
    }
}

#[test]
fn no_module_crosses_its_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, "", &mut files);
    assert!(!files.is_empty(), "no Rust file below {}", root.display());
    files.sort();
    let crossings: Vec<String> =
        files.iter().flat_map(|(path, text)| check(path, text)).map(|violation| violation.to_string()).collect();
    assert!(crossings.is_empty(), "{} lines cross a rule:\n{}", crossings.len(), crossings.join("\n"));
}

/// Collects every Rust file with its path below `src/`.
fn rust_files(folder: &Path, below: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            rust_files(&path, &format!("{below}{name}/"), files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push((format!("{below}{name}"), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Finds every crossing in one file, given its path below `src/`.
fn check(path: &str, text: &str) -> Vec<Violation> {
    let tokens = tokens(&code(text));
    let paths = paths(&tokens, &module_of(path));
    let mut found: Vec<(usize, String)> = Vec::new();
    for used in &paths {
        found.extend(crossing(path, &used.segments).map(|rule| (used.line, rule)));
        found.extend(reserved(path, &used.segments).map(|rule| (used.line, rule)));
    }
    for pair in tokens.windows(2) {
        if pair[1].text == "!" && ["todo", "unimplemented", "dbg"].contains(&pair[0].text.as_str()) {
            found.push((pair[0].line, format!("`{}!` is unfinished work", pair[0].text)));
        }
    }
    let length = text.lines().count();
    if length > LONGEST {
        found.push((LONGEST + 1, format!("{length} lines; no file has over {LONGEST}")));
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(line, rule)| Violation { file: path.to_owned(), line, rule }).collect()
}

/// The rule that an import of another top-level module crosses.
fn crossing(path: &str, segments: &[String]) -> Option<String> {
    if segments.first()? != "crate" {
        return None;
    }
    let from = top_level(path);
    let to = segments.get(1).map_or("*", String::as_str);
    if from == to || ASSEMBLY.contains(&from) {
        return None;
    }
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == from) else {
        return Some(format!("module `{from}` has no row in the import table; give it one"));
    };
    let shared = SHARED.contains(&to) && from != "domain" && !SHARED.contains(&from);
    if shared || allowed.contains(&to) {
        return None;
    }
    let may = if allowed.is_empty() { "no other module".to_owned() } else { format!("only {}", allowed.join(", ")) };
    Some(format!("`{from}` uses `{to}`; it may use {may}"))
}

/// The rule that a name crosses where only one place may use it.
fn reserved(path: &str, segments: &[String]) -> Option<String> {
    let has = |first: &str, second: &str| segments.windows(2).any(|pair| pair[0] == first && pair[1] == second);
    let sql = segments.first().is_some_and(|first| first == "sqlx")
        && segments
            .get(1)
            .is_some_and(|name| name.starts_with("query") || ["QueryBuilder", "raw_sql", "*"].contains(&name.as_str()));
    if sql && !(top_level(path) == "store" || path.starts_with("broker/embedded")) {
        return Some("only `store` and the embedded broker's queue file have SQL".to_owned());
    }
    let environment = has("std", "env") || (segments[0] == "env" && segments.len() > 1);
    if environment && top_level(path) != "config" {
        return Some("only `config` reads the environment".to_owned());
    }
    if (has("SystemTime", "now") || has("Timestamp", "now")) && !["domain/clock.rs", "sandbox/clock.rs"].contains(&path)
    {
        return Some(
            "only `domain::clock` reads the time (and the sandbox's own clock: its shops are other machines)"
                .to_owned(),
        );
    }
    let client = segments[0] == "reqwest"
        && segments.get(1).is_some_and(|name| ["Client", "ClientBuilder", "*"].contains(&name.as_str()));
    if client && !(path == "destination/http.rs" || top_level(path) == "sandbox") {
        return Some("only `destination::http` and the sandbox send over HTTP".to_owned());
    }
    None
}

/// The top-level module that a file belongs to.
fn top_level(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or(path);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The module that a file is, from the crate root down.
fn module_of(path: &str) -> Vec<String> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut names: Vec<String> = path.split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&path) {
        names.pop();
    }
    names
}

/// Blanks comments and the insides of text literals, so that only code is left, line for line.
fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.push(' ');
            out.extend(chars[at..end].iter().filter(|c| **c == '\n'));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that starts here; the same place where none does.
fn literal_or_comment(chars: &[char], at: usize) -> usize {
    let peek = |ahead: usize| chars.get(at + ahead).copied().unwrap_or('\0');
    match (chars[at], peek(1)) {
        ('/', '/') => chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length),
        ('/', '*') => end_of_block_comment(chars, at),
        ('"', _) => end_of_quoted(chars, at, '"'),
        ('\'', '\\') => end_of_quoted(chars, at, '\''),
        ('\'', _) if peek(2) == '\'' => at + 3,
        ('r', '"' | '#') if at == 0 || !is_word(chars[at - 1]) || "bc".contains(chars[at - 1]) => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            if peek(1 + hashes) == '"' { end_of_raw(chars, at + 2 + hashes, hashes) } else { at }
        }
        _ => at,
    }
}

/// The end of a block comment, which may hold others.
fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// The end of a literal in which a backslash protects the next character.
fn end_of_quoted(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw literal: a quote and as many hashes as it began with.
fn end_of_raw(chars: &[char], start: usize, hashes: usize) -> usize {
    (start..chars.len())
        .find(|at| chars[*at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes)
        .map_or(chars.len(), |quote| quote + 1 + hashes)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word, `::`, or one other character, with its line.
#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(is_word)
    }
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            tokens.push(Token { text: token.to_owned(), line: line + 1 });
            rest = after.trim_start();
        }
    }
    tokens
}

/// A path of two names or more, with groups written out and `self` and `super` resolved to `crate`.
#[derive(Debug)]
struct Used {
    segments: Vec<String>,
    line: usize,
}

/// Every path in a file, whether imported or written where it is used.
fn paths(tokens: &[Token], module: &[String]) -> Vec<Used> {
    let mut found = Vec::new();
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let text = |place: usize| tokens.get(place).map_or("", |token| token.text.as_str());
        match text(at) {
            "mod" if text(at + 2) == "{" => {
                inside.push((text(at + 1).to_owned(), depth));
                depth += 1;
                at += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if inside.last().is_some_and(|(_, outside)| *outside == depth) {
                    inside.pop();
                }
            }
            _ => {}
        }
        let continues = at > 1 && text(at - 1) == "::" && (tokens[at - 2].is_word() || text(at - 2) == ">");
        if tokens[at].is_word() && text(at + 1) == "::" && !continues {
            let here = module.iter().chain(inside.iter().map(|(name, _)| name)).cloned().collect();
            at = tree(tokens, at, &Place { here, path: Vec::new() }, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Where a path is read: the module around it, and what of the path came before.
struct Place {
    here: Vec<String>,
    path: Vec<String>,
}

/// Reads one path with its groups, and returns the place behind it.
fn tree(tokens: &[Token], start: usize, place: &Place, found: &mut Vec<Used>) -> usize {
    let text = |place: usize| tokens.get(place).map_or("", |token| token.text.as_str());
    let mut segments = place.path.clone();
    let mut at = start;
    loop {
        if text(at) == "{" {
            at += 1;
            while at < tokens.len() && text(at) != "}" {
                let inner = Place { here: place.here.clone(), path: segments.clone() };
                // A group holds paths, commas and `as` names; whatever else stands there is stepped over.
                at = if tokens[at].is_word() || text(at) == "*" { tree(tokens, at, &inner, found) } else { at + 1 };
                if text(at) == "as" {
                    at += 2;
                }
            }
            return at + 1;
        }
        step(&mut segments, text(at), &place.here);
        let line = tokens[at].line;
        at += 1;
        let goes_on = text(at) == "::"
            && tokens.get(at + 1).is_some_and(|next| next.is_word() || ["{", "*"].contains(&next.text.as_str()));
        if !goes_on {
            found.push(Used { segments, line });
            return at;
        }
        at += 1;
    }
}

/// Adds one name to a path.
fn step(segments: &mut Vec<String>, name: &str, here: &[String]) {
    let root = || std::iter::once("crate".to_owned());
    match name {
        "self" if segments.is_empty() => segments.extend(root().chain(here.iter().cloned())),
        "self" => {}
        "super" => {
            if segments.is_empty() {
                segments.extend(root().chain(here.iter().cloned()));
            }
            if segments.len() > 1 {
                segments.pop();
            }
        }
        // The program's own name is the crate as its binary and its macros see it.
        "sapo_sync" if segments.is_empty() => segments.extend(root()),
        _ => segments.push(name.to_owned()),
    }
}

mod tests {
    use super::check;

    /// The lines and rules that a file crosses, as `line: rule`.
    fn crossings(path: &str, text: &str) -> Vec<String> {
        check(path, text).iter().map(|found| format!("{}: {}", found.line, found.rule)).collect()
    }

    #[test]
    fn a_crossing_names_file_line_and_rule() {
        let found = check("receive/router.rs", "use std::fmt;\n\nuse crate::work::Window;\n");
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["src/receive/router.rs:3: `receive` uses `work`; it may use only domain, broker, store"]);
    }

    #[test]
    fn every_way_to_write_an_import_is_seen() {
        let ways = [
            ("work/process.rs", "use crate::console::pages;"),
            ("work/process.rs", "use crate::{domain::Sku, console::{pages, auth as a}};"),
            ("work/process.rs", "use crate::{\n    domain,\n    console,\n};"),
            ("work/process.rs", "fn f() { crate::console::show() }"),
            ("work/process.rs", "use super::super::console;"),
            ("work/process.rs", "use super::{super::console, settle};"),
            ("work/process.rs", "use self::super::super::console::x;"),
            ("work/mod.rs", "use super::console;"),
            ("work.rs", "use super::console;"),
            ("work/mod.rs", "mod inner { use super::super::console; }"),
            ("work/mod.rs", "macro_rules! m { () => { $crate::console::x() } }"),
            ("work/mod.rs", "type X = Vec<crate::console::Page>;"),
            ("work/mod.rs", "use sapo_sync::console;"),
        ];
        for (path, text) in ways {
            let found = crossings(path, text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains("`work` uses `console`"), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_stays_inside_the_table_is_silent() {
        let fine = [
            ("work/process.rs", "use crate::{domain::Sku, map, broker, destination::{self, Call}, store::links};"),
            ("work/process.rs", "use crate::work::settle; use super::window; use self::inner::X;"),
            ("work/process.rs", "mod tests { use super::*; use super::super::settle; }"),
            ("work/process.rs", "use crate::observe; use crate::config::Settings; use crate::shutdown;"),
            (
                "work/process.rs",
                "// use crate::console;\n/* crate::receive::x /* nested */ */ const A: &str = \"crate::console::x\";",
            ),
            (
                "work/process.rs",
                "const B: &str = r#\"\"crate::console::x\"#; const C: char = '\"'; const D: char = '\\'';",
            ),
            ("work/process.rs", "pub(crate) fn f<'a>(x: &'a str) -> &'a str { x }"),
            ("sync/import.rs", "use crate::{map, broker};"),
            ("console/mod.rs", "use crate::sync::plan;"),
            ("app.rs", "use crate::{receive, work, console, sandbox};"),
            ("cli/up.rs", "use crate::app::App; use crate::work;"),
            ("main.rs", "use sapo_sync::cli; fn main() { cli::run() }"),
            ("lib.rs", "pub mod domain;\npub mod work;"),
        ];
        for (path, text) in fine {
            assert_eq!(crossings(path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn each_row_of_the_table_refuses_what_it_does_not_list() {
        let crossing = [
            ("domain/sku.rs", "store"),
            ("domain/sku.rs", "config"),
            ("map/web/order.rs", "store"),
            ("store/links.rs", "broker"),
            ("broker/mod.rs", "store"),
            ("destination/http.rs", "map"),
            ("receive/mod.rs", "destination"),
            ("receive/mod.rs", "console"),
            ("sync/plan.rs", "receive"),
            ("console/pages.rs", "destination"),
            ("sandbox/mod.rs", "map"),
            ("config.rs", "domain"),
            ("observe/mod.rs", "config"),
            ("work/mod.rs", "app"),
            ("work/mod.rs", "newcomer"),
            ("newcomer/mod.rs", "domain"),
        ];
        for (path, to) in crossing {
            assert_eq!(crossings(path, &format!("use crate::{to};")).len(), 1, "{path} uses {to}");
        }
    }

    #[test]
    fn what_only_one_place_may_do_is_refused_elsewhere() {
        let reserved = [
            ("sqlx::query(\"select 1\")", "sync/plan.rs", "store/links.rs"),
            ("use sqlx::{query_as, Row};", "broker/rabbitmq.rs", "broker/embedded/file.rs"),
            ("use sqlx::QueryBuilder;", "app.rs", "broker/embedded.rs"),
            ("let x = std::env::var(name);", "cli/mod.rs", "config.rs"),
            ("use std::{env, fmt};", "app.rs", "config/mod.rs"),
            ("SystemTime::now()", "work/mod.rs", "domain/clock.rs"),
            ("jiff::Timestamp::now()", "domain/time.rs", "domain/clock.rs"),
            ("use reqwest::{Client, Url};", "destination/omni/client.rs", "destination/http.rs"),
            ("reqwest::Client::new()", "cli/mod.rs", "sandbox/webhooks.rs"),
        ];
        for (text, elsewhere, at_home) in reserved {
            assert_eq!(crossings(elsewhere, text).len(), 1, "{elsewhere}: {text}");
            assert_eq!(crossings(at_home, text), [""; 0], "{at_home}: {text}");
        }
        assert_eq!(crossings("work/mod.rs", "Instant::now(); env!(\"X\"); sqlx::Error::RowNotFound;"), [""; 0]);
    }

    #[test]
    fn unfinished_work_and_long_files_are_refused() {
        assert_eq!(crossings("work/mod.rs", "\nfn f() { todo!() }"), ["2: `todo!` is unfinished work"]);
        assert_eq!(crossings("app.rs", "unimplemented!(\"x\"); dbg!(1);").len(), 2);
        assert_eq!(crossings("app.rs", &"\n".repeat(600)), [""; 0]);
        assert_eq!(crossings("app.rs", &"\n".repeat(601)), ["601: 601 lines; no file has over 600"]);
    }
}

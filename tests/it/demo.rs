//! The demo as people run it: the real binary beside its own shop, site and webs, which judges itself at the end.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::wire::head;

/// Long enough for about a dozen orders of the app and of each web.
const SHORT: &str = "demo --for 5s --rate 30 --products 30 --customers 15 --json";

/// How a run ended.
struct Ended {
    code: Option<i32>,
    /// Its last line.
    verdict: Value,
    /// All that it said, on both outputs.
    told: String,
}

impl Ended {
    /// The codes of what it found wrong.
    fn problems(&self) -> Vec<&str> {
        let problems = self.verdict["problems"].as_array().map_or(&[][..], Vec::as_slice);
        problems.iter().filter_map(|problem| problem["code"].as_str()).collect()
    }
}

/// Runs the binary on a data dir; `prepare` gets the address of the sandbox's control API before anything happens there.
fn run(dir: &Path, line: &str, prepare: impl FnOnce(&str)) -> Ended {
    let errors = dir.join("stderr");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sapo-sync"))
        .arg("--data-dir")
        .arg(dir.join("state"))
        .args(line.split_whitespace())
        .env("SAPO_SYNC__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let (mut prepare, mut verdict, mut told) = (Some(prepare), Value::Null, String::new());
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        verdict = serde_json::from_str(&line).unwrap_or_default();
        if let Some((_, control)) = verdict["text"].as_str().and_then(|text| text.split_once("control http://"))
            && let Some(prepare) = prepare.take()
        {
            prepare(control);
        }
        told = told + &line + "\n";
    }
    let code = child.wait().unwrap().code();
    Ended { code, verdict, told: told + &fs::read_to_string(errors).unwrap() }
}

/// Tells the sandbox's control API of a fault.
fn fault(control: &str, asked: &Value) {
    let body = asked.to_string();
    let mut stream = TcpStream::connect(control).unwrap();
    let head = head("POST", "/faults", &[("content-length", &body.len().to_string())]);
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_short_demo_brings_orders_of_the_app_and_of_both_webs_across_and_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(dir.path(), SHORT, |_| {});
    let Ended { code, verdict, told } = &ended;
    assert_eq!((*code, &verdict["type"], &verdict["agrees"]), (Some(0), &json!("agreement"), &json!(true)), "{told}");
    assert!(ended.problems().is_empty(), "{told}");
    let webs = verdict["orders_from_webs"].as_object().unwrap();
    assert_eq!(webs.keys().collect::<Vec<_>>(), ["demo-1-web", "demo-1-web2"], "{told}");
    let ways = [&verdict["orders_to_abaha"], &verdict["orders_to_sapo"], &webs["demo-1-web"], &webs["demo-1-web2"]];
    for (way, sides) in ["Sapo → Abaha", "Abaha → Sapo", "the first web", "the second web"].iter().zip(ways) {
        assert!(sides["there"].as_u64() > Some(0), "{way}: {told}");
        assert_eq!((&sides["missing"], &sides["doubled"]), (&json!([]), &json!(0)), "{way}: {told}");
    }
}

#[test]
fn a_demo_with_odd_products_ends_well_too_and_they_are_shown_with_their_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let line = "demo --odd --webs 1 --for 4s --rate 20 --products 30 --customers 15 --json";
    let ended = run(dir.path(), line, |_| {});
    assert_eq!((ended.code, &ended.verdict["agrees"]), (Some(0), &json!(true)), "{}", ended.told);
    let listed = run(dir.path(), "links list --connection demo-1-web1 --limit 1000 --json", |_| {});
    assert_eq!(listed.code, Some(0), "{}", listed.told);
    let rows: Vec<Value> = listed.told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (state, code, at_least) in
        [("error", "ambiguous", 2), ("unlinked", "no_sku", 2), ("unlinked", "only_on_web", 5)]
    {
        let is_so = |row: &&Value| row["state"] == state && row["code"] == code;
        let number = rows.iter().filter(is_so).count();
        assert!(number >= at_least, "{number} rows are {state}, {code}: {}", listed.told);
    }
}

#[test]
fn a_demo_whose_webs_tell_of_no_order_fails_and_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(dir.path(), SHORT, |control| {
        fault(control, &json!({"api": "web", "topic": "orders/", "times": 1_000_000, "effect": "drop"}));
    });
    let Ended { code, verdict, told } = &ended;
    assert_eq!((*code, &verdict["agrees"]), (Some(1), &json!(false)), "{told}");
    // What did not come is different as well; nothing else is wrong.
    assert_eq!(ended.problems(), ["no_orders", "no_orders", "differences"], "{told}");
    for web in ["demo-1-web", "demo-1-web2"] {
        assert_eq!(verdict["orders_from_webs"][web]["there"], 0, "{told}");
        assert!(told.contains(&format!("lỗi / error: {web} → Sapo")), "{told}");
    }
    assert_eq!(verdict["orders_to_sapo"]["missing"], json!([]), "{told}");
}

//! What lies under `deploy/` speaks of this program as it is: its metrics, its commands, its settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sapo_sync::config::REFERENCE;
use sapo_sync::observe::metric::{self, Kind};
use serde_json::Value;

const RULES: &str = "deploy/prometheus/rules.yml";
const DASHBOARD: &str = "deploy/grafana/sapo-sync.json";

#[test]
fn alerts_and_dashboard_use_only_metrics_that_exist() {
    let real = series();
    for (file, text) in [(RULES, read(RULES)), (DASHBOARD, expressions().join("\n"))] {
        let used = words(&text, "sapo_sync_", |c| c.is_ascii_lowercase() || c == '_');
        assert!(used.len() > 5, "{file} names {} metrics only", used.len());
        let unknown: Vec<_> = used.iter().filter(|name| !real.contains_key(name.as_str())).collect();
        assert!(unknown.is_empty(), "{file} names metrics that /metrics does not have: {unknown:?}");
    }
}

#[test]
fn every_metric_is_drawn_or_alarms() {
    let real = series();
    let text = read(RULES) + &expressions().join("\n");
    let used: BTreeSet<_> = words(&text, "sapo_sync_", |c| c.is_ascii_lowercase() || c == '_')
        .into_iter()
        .filter_map(|name| real.get(name.as_str()))
        .collect();
    let unseen: Vec<_> = metric::ALL.iter().map(|metric| metric.name).filter(|name| !used.contains(name)).collect();
    assert!(unseen.is_empty(), "neither {RULES} nor {DASHBOARD} uses {unseen:?}");
}

/// Quantiles of summaries cannot be added up over processes; buckets can.
#[test]
fn times_are_rendered_as_buckets() {
    let page = metric::recorder();
    metrics::histogram!("sapo_sync_api_call_seconds", "system" => "deploy", "method" => "get").record(0.3);
    let text = page.render();
    let of_ours = |le: &str| {
        let wanted = format!("le=\"{le}\"");
        text.lines()
            .filter(|line| line.starts_with("sapo_sync_api_call_seconds_bucket{") && line.contains("\"deploy\""))
            .find(|line| line.contains(&wanted))
            .and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
    };
    assert_eq!((of_ours("0.25"), of_ours("0.5"), of_ours("+Inf")), (Some(0), Some(1), Some(1)), "{text}");
}

#[test]
fn every_setting_named_exists() {
    let known = settings();
    assert!(known.contains("SAPO_SYNC__BROKER__URL_FILE"), "the reference is not read rightly: {known:?}");
    let mut seen = 0;
    for (path, text) in files() {
        for name in words(&text, "SAPO_SYNC__", |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_') {
            seen += 1;
            assert!(known.contains(&name), "{} sets {name}, which `sapo-sync config` does not know", path.display());
        }
    }
    assert!(seen > 20, "{seen} settings found only");
}

#[test]
fn every_command_named_exists() {
    let mut commands: BTreeMap<Vec<String>, PathBuf> = BTreeMap::new();
    for (path, text) in files() {
        for command in commands_of(&path, &text) {
            commands.entry(command).or_insert_with(|| path.clone());
        }
    }
    for role in ["up", "receive", "work", "keeper", "migrate", "healthcheck"] {
        assert!(commands.keys().any(|command| command[0] == role), "{role} is started nowhere");
    }
    for (command, path) in commands {
        let asked = Command::new(env!("CARGO_BIN_EXE_sapo-sync")).args(&command).arg("--help").output().unwrap();
        let told = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{} runs `sapo-sync {}`: {told}", path.display(), command.join(" "));
    }
}

#[test]
fn a_stop_is_given_longer_than_the_program_takes() {
    // Ours is 20 s (`app`): what ends us sooner would cut off what was started.
    let told = [
        ("docker-compose.yml", "stop_grace_period: "),
        ("deploy/systemd/sapo-sync.service", "TimeoutStopSec="),
        ("deploy/systemd/sapo-sync-receive.service", "TimeoutStopSec="),
        ("deploy/systemd/sapo-sync-work@.service", "TimeoutStopSec="),
        ("deploy/systemd/sapo-sync-keeper.service", "TimeoutStopSec="),
        ("deploy/kubernetes/receive.yaml", "terminationGracePeriodSeconds: "),
        ("deploy/kubernetes/work.yaml", "terminationGracePeriodSeconds: "),
        ("deploy/kubernetes/keeper.yaml", "terminationGracePeriodSeconds: "),
    ];
    for (file, key) in told {
        let text = read(file);
        let given: Vec<u64> =
            text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_end_matches('s').parse().ok()).collect();
        assert!(!given.is_empty() && given.iter().all(|&seconds| seconds > 25), "{file}: {key}{given:?}");
    }
}

#[test]
fn a_new_broker_and_a_running_one_get_the_same_policies() {
    let script = read("deploy/rabbitmq/set-policies.sh");
    let definitions: Value = serde_json::from_str(&read("deploy/rabbitmq/definitions.template.json")).unwrap();
    let policies = definitions["policies"].as_array().unwrap();
    assert_eq!(policies.len(), script.matches("\nset_policy ").count());
    for policy in policies {
        let name = policy["name"].as_str().unwrap().strip_prefix("sapo-sync").unwrap();
        let (_, rest) = script.split_once(&format!("\nset_policy \"$prefix{name}\" \"${{begins}}")).unwrap();
        let (pattern, rest) = rest.split_once("\" \\\n    '").unwrap();
        let (definition, _) = rest.split_once('\'').unwrap();
        // What the shell makes of it between double quotes.
        let pattern = format!(r"^sapo-sync\.{}", pattern.replace(r"\\", r"\").replace(r"\$", "$"));
        assert_eq!(policy["pattern"], pattern.as_str());
        assert_eq!(policy["definition"], serde_json::from_str::<Value>(definition).unwrap(), "{name}");
    }
}

/// Every name that `/metrics` shows, with the metric that it belongs to.
fn series() -> BTreeMap<String, &'static str> {
    let mut names = BTreeMap::new();
    for metric in metric::ALL {
        let endings: &[&str] = if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        for ending in endings {
            names.insert(format!("{}{ending}", metric.name), metric.name);
        }
    }
    names
}

/// The queries of the dashboard's panels.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if key == "expr" || key == "query" => found.push(text.clone()),
                        _ => collect(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(&read(DASHBOARD)).unwrap(), &mut found);
    found
}

/// The environment's name of every key in the reference, those that are commented out too.
fn settings() -> BTreeSet<String> {
    let mut section = String::new();
    let mut names = BTreeSet::new();
    for line in REFERENCE.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{}__", name.to_uppercase());
        } else if let Some((key, _)) = line.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            names.insert(format!("SAPO_SYNC__{section}{}", key.to_uppercase()));
        }
    }
    names
}

/// The commands that a file runs or tells people to run, without their arguments.
fn commands_of(path: &Path, text: &str) -> Vec<Vec<String>> {
    let before: &[&str] = match path.extension().and_then(|ending| ending.to_str()) {
        Some("service") => &["ExecStart=/usr/local/bin/sapo-sync "],
        Some("yaml") => &["args: ["],
        Some("yml") => &["command: [", "`sapo-sync ", "run --rm cli ", "/usr/local/bin/sapo-sync\", \""],
        Some("md") => &["`sapo-sync ", "run --rm cli ", "bin/sapo-sync "],
        _ if path.ends_with("Dockerfile") => &["\nCMD [\"", "/usr/local/bin/sapo-sync\", \""],
        _ => &[],
    };
    let mut found = Vec::new();
    for mark in before {
        for (at, _) in text.match_indices(mark) {
            let line = text[at + mark.len()..].lines().next().unwrap_or_default();
            let end = line.find(['`', ']', '"', '#']).unwrap_or(line.len());
            let words: Vec<String> = line[..end]
                .split([' ', ','])
                .take_while(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
                .map(str::to_owned)
                .collect();
            if !words.is_empty() {
                found.push(words);
            }
        }
    }
    found
}

/// Every text file below `deploy/`, and the compose file.
fn files() -> Vec<(PathBuf, String)> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Not in the repository: what `make-secrets.sh` made, what npm and pip installed.
            if path.is_dir()
                && !["secrets", "node_modules", ".venv", "__pycache__"].iter().any(|name| path.ends_with(name))
            {
                below(&path, found);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("docker-compose.yml")];
    below(&root.join("deploy"), &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// Every word of the text that begins so and goes on with such characters.
fn words(text: &str, beginning: &str, goes_on: impl Fn(char) -> bool) -> BTreeSet<String> {
    text.match_indices(beginning)
        .map(|(at, _)| {
            let rest = &text[at + beginning.len()..];
            let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            format!("{beginning}{}", &rest[..end])
        })
        .collect()
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

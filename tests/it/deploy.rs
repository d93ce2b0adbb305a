//! What lies under `deploy/` speaks of this program as it is: its metrics, its commands, its settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sapo_sync::config::{Config, REFERENCE};
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

#[test]
fn every_metric_that_is_emitted_is_described_as_what_it_is_and_no_other() {
    let word = |kind| match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let mut emitted = BTreeSet::new();
    let mut files = Vec::new();
    below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram].map(word) {
            let call = format!("{kind}!(");
            // `describe_counter!` and its like emit nothing.
            for (at, _) in text.match_indices(&call).filter(|(at, _)| !text[..*at].ends_with('_')) {
                let name =
                    text[at + call.len()..].trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                let told = || panic!("{}: the name of a {kind} is not written where it is emitted", path.display());
                emitted.insert((name.unwrap_or_else(told).to_owned(), kind));
            }
        }
    }
    assert!(emitted.len() > 10, "{emitted:?} are emitted only");
    let described: BTreeSet<_> = metric::ALL.iter().map(|metric| (metric.name.to_owned(), word(metric.kind))).collect();
    assert_eq!(described.len(), metric::ALL.len(), "one is described twice");
    let unknown: Vec<_> = emitted.difference(&described).collect();
    assert!(unknown.is_empty(), "emitted, and not in metric::ALL: {unknown:?}");
    let idle: Vec<_> = described.difference(&emitted).collect();
    assert!(idle.is_empty(), "in metric::ALL, and emitted nowhere: {idle:?}");
    assert!(metric::ALL.iter().all(|metric| !metric.help.is_empty()));
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

/// Each process starts with what its unit, container or pod is given: settings, and files of the secrets handed over.
#[test]
fn what_each_process_is_given_loads() {
    for unit in ["sapo-sync", "sapo-sync-migrate", "sapo-sync-receive", "sapo-sync-work@", "sapo-sync-keeper"] {
        let file = format!("deploy/systemd/{unit}.service");
        let text = read(&file).replace("%S", "/var/lib").replace("%i", "1");
        let lines = |key: &'static str| text.lines().filter_map(move |line| line.strip_prefix(key));
        let handed: Vec<&str> = lines("LoadCredential=").map(|line| line.split_once(':').unwrap().0).collect();
        let config = load(&file, lines("Environment=").map(|line| line.split_once('=').unwrap()), &handed, "%d");
        assert_eq!(config.is_scaled(), unit != "sapo-sync", "{file}: roles apart share a database and a queue");
        assert!(config.master_key.is_some(), "{file}: no master key");
    }
    let compose = read("docker-compose.yml");
    let (shared, _) = compose.split_once("\nservices:").unwrap();
    let handed = shared.split_once("\n  secrets: [").unwrap().1.split_once(']').unwrap().0;
    let handed: Vec<&str> = handed.split(", ").collect();
    let given = shared.lines().filter_map(|line| line.trim().split_once(": "));
    let given = given.filter(|(name, _)| name.starts_with("SAPO_SYNC__"));
    let given = given.map(|(name, value)| (name, value.trim_matches('"')));
    assert!(load("docker-compose.yml", given, &handed, "/run/secrets").is_scaled());

    let handed =
        words(&read("deploy/kubernetes/secret.example.yaml"), "--from-file=", |c| c.is_ascii_lowercase() || c == '-');
    let handed: Vec<&str> = handed.iter().map(|word| word.trim_start_matches("--from-file=")).collect();
    let settings = read("deploy/kubernetes/kustomization.yaml");
    let given = settings.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once('='));
    assert!(load("deploy/kubernetes/kustomization.yaml", given, &handed, "/run/secrets/sapo-sync").is_scaled());
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
    // What was started has its time, then the queue and the database are closed: what ends us sooner would cut that off.
    let source = read("src/app/running.rs");
    let (_, deadline) = source.split_once("STOP_DEADLINE: Duration = Duration::from_secs(").unwrap();
    let needed = deadline.split_once(')').unwrap().0.parse::<u64>().unwrap() + 20;
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
        // Of the same time is the wait before a pod is told to stop.
        let waits =
            text.split_once("sleep: { seconds: ").and_then(|(_, rest)| rest.split_once(' ')?.0.parse::<u64>().ok());
        assert_eq!(
            waits.is_some(),
            file.ends_with("receive.yaml"),
            "{file}: who takes webhooks waits, and nobody else"
        );
        let needed = needed + waits.unwrap_or(0);
        assert!(!given.is_empty() && given.iter().all(|&seconds| seconds >= needed), "{file}: {key}{given:?}");
    }
}

/// Services that build side by side would give the same name to several images.
#[test]
fn one_service_of_compose_builds_the_image_and_none_asks_a_registry_for_it() {
    let text = read("docker-compose.yml");
    let (shared, services) = text.split_once("\nservices:").unwrap();
    assert!(shared.contains("\n  pull_policy: never\n") && !shared.contains("build:"));
    let builds: Vec<&str> = services.split("\n\n").filter(|service| service.contains("\n    build: ")).collect();
    assert_eq!(builds.len(), 1, "{builds:?}");
    assert!(builds[0].trim_start_matches('\n').starts_with("  migrate:"), "{}", builds[0]);
}

/// An upgrade goes one role after the other: in Kubernetes by a label that each object bears, in Compose by name.
#[test]
fn an_upgrade_reaches_every_process_in_its_turn() {
    let guide = read("deploy/README.md");
    let mut at = 0;
    for role in ["migrate", "keeper", "work", "receive"] {
        let label =
            format!("\n  labels: {{ app.kubernetes.io/name: sapo-sync, app.kubernetes.io/component: {role} }}\n");
        for object in read(&format!("deploy/kubernetes/{role}.yaml")).split("\n---\n") {
            assert!(object.contains(&label), "an object of {role}.yaml is not labelled so:{label}{object}");
        }
        let asked = if role == "migrate" { "of settings,migrate &&".to_owned() } else { format!(" of {role} &&") };
        at += guide[at..].find(&asked).unwrap_or_else(|| panic!("{asked:?} is missing, or before its turn"));
    }
    let settings = read("deploy/kubernetes/kustomization.yaml");
    assert!(settings.contains("labels: { app.kubernetes.io/component: settings }"), "the Job needs the new ConfigMap");

    let compose = read("docker-compose.yml");
    let is_ours = |name: &&str| ["keeper", "work", "receive"].iter().any(|role| name.starts_with(role));
    let (_, services) = compose.split_once("\nservices:").unwrap();
    let (services, _) = services.split_once("\nvolumes:").unwrap();
    let names = services.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(':').map(|(name, _)| name));
    let all: BTreeSet<&str> = names.filter(is_ours).collect();
    let (_, turns) = guide.split_once("for service in ").unwrap();
    let turns: Vec<&str> = turns.split_once(';').unwrap().0.split(' ').collect();
    assert_eq!(turns.iter().copied().collect::<BTreeSet<_>>(), all);
    let rank = |name: &&str| ["keeper", "work", "receive"].iter().position(|role| name.starts_with(role));
    assert!(turns.is_sorted_by_key(rank), "{turns:?}");
}

#[test]
fn alerts_look_at_the_job_that_the_operator_names_and_at_the_worst_of_several_processes() {
    let rules = read(RULES);
    assert_eq!(words(&rules, "job=\"", |c| c != '"'), BTreeSet::from(["job=\"sapo-sync".to_owned()]));
    // The value of this label, which every pod bears, is the job.
    assert!(read("deploy/kubernetes/receive.yaml").contains("\n#   jobLabel: app.kubernetes.io/name\n"));
    for masking in ["min by", "avg by", "min(", "avg("] {
        assert!(!rules.contains(masking), "{masking}: an idle process hides a busy one");
    }
}

/// Where no server can be started, `test.sh` leaves out the tests that start some, and says so.
#[test]
fn the_script_knows_the_tests_that_start_servers() {
    let script = read("deploy/test.sh");
    let told = script.lines().find(|line| line.contains("servers of their own\")")).unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found = 0;
    for entry in fs::read_dir(tests).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if text.contains("use crate::servers::") && !["servers", "deploy"].contains(&module) {
            found += 1;
            assert!(told.contains(&format!("{module}::")), "{module} starts servers: {told}");
        }
    }
    assert!(found > 0);
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

/// The program's settings with such an environment, where `folder` holds made-up secrets of these names.
fn load<'a>(
    file: &str,
    environment: impl Iterator<Item = (&'a str, &'a str)>,
    handed_over: &[&str],
    folder: &str,
) -> Config {
    let dir = tempfile::tempdir().unwrap();
    for name in handed_over {
        let secret = match *name {
            "master-key" => "5a".repeat(32),
            "database-url" => "postgres://sapo_sync:made-up@database/sapo_sync".to_owned(),
            "broker-url" => "amqp://sapo-sync:made-up@broker/sapo-sync".to_owned(),
            other => panic!("{file}: nothing reads {other}"),
        };
        fs::write(dir.path().join(name), secret).unwrap();
    }
    let here = dir.path().display().to_string();
    let lines: Vec<String> = environment
        .map(|(name, value)| {
            let key = name.strip_prefix("SAPO_SYNC__").unwrap().to_lowercase().replace("__", ".");
            format!("{key} = {:?}", value.replace(folder, &here))
        })
        .collect();
    let settings = dir.path().join("settings.toml");
    fs::write(&settings, lines.join("\n")).unwrap();
    Config::load(Some(&settings)).unwrap_or_else(|error| panic!("{file}: {error}"))
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
        Some("yml") => {
            &["command: [", "`sapo-sync ", "run --rm cli ", "run --rm -T cli ", "/usr/local/bin/sapo-sync\", \""]
        }
        Some("md") => &["`sapo-sync ", "run --rm cli ", "run --rm -T cli ", ":/sheets cli ", "bin/sapo-sync "],
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![root.join("docker-compose.yml")];
    below(&root.join("deploy"), &mut found);
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// Every file below a folder.
fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Not in the repository: what `make-secrets.sh` made, what npm and pip installed.
        if path.is_dir() && !["secrets", "node_modules", ".venv", "__pycache__"].iter().any(|name| path.ends_with(name))
        {
            below(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
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

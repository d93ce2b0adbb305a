//! The commands about connections, run as a shop's owner or a script runs them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use sapo_sync::destination::OmniClient;
use sapo_sync::domain::event::System;
use sapo_sync::sandbox::{Api, ApiEffect, ApiFault, SandboxConfig, WebSite};
use sapo_sync::sync::connect::SOLE_POS;
use sapo_sync::sync::connect::oauth::Standing;
use serde_json::{Value, json};

use crate::backend::environment;
use crate::harness::{Setup, World};
use crate::links_commands::{sapo_sync, sapo_sync_reading};
use crate::oauth::{Landing, hex_form, seconds, signed};
use crate::web_world::{web_alias, webs};
use crate::wire::SECRET;

/// The connection as the issue has it, word for word.
const WEB: &str = r#"
[[connection]]
name = "mau-web1"
store = "cuahangmau"
channel = "web"
site = "webmau"                            # https://webmau.mysapo.net
access_token = "…"                         # or api_key and api_secret; each with its _file twin
webhook_secret = ["…"]
base_url = "http://127.0.0.1:9102"         # optional
stock_branches = [58001, 58002]            # default: the shop's default branch
order_branch = 58001
customers = true
customer_identity = "phone"                # or "email"
orders = true
approve_orders = false
price = { sync = true, from = "BANLE", compare_at = "none" }
stock_buffer = { units = 0, percent = 0 }
status_back = false
reserve_unapproved = false
# optional: staff, source, payment_method, walk_in_customer, web_location (where the web has more than one), stock_basis, orders_from
"#;

/// Writes settings that name where the receiver is, and an app at Sapo Omni; tells the flag that takes them.
fn settings(world: &World, public_url: &str) -> String {
    let file = world.dir.path().join("settings.toml");
    let text = format!("public_url = {public_url:?}\n[oauth.omni]\nclient_id = \"khoa\"\nclient_secret = {SECRET:?}\n");
    std::fs::write(&file, text).unwrap();
    format!("--config {}", file.display())
}

/// What was confirmed of a connection, and who changed what of it.
async fn confirmed(world: &World, name: &str) -> (Option<String>, Vec<String>) {
    let row = world.store().snapshot().await.unwrap().connections[name].clone();
    let mut audit = world.store().audit_rows(100).await.unwrap();
    audit.retain(|row| row.actor == "cli" && row.subject == name);
    (row.confirmed.clone(), audit.into_iter().map(|row| format!("{}: {}", row.action, row.detail)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_file_is_applied_by_a_script_and_stays_unconfirmed_until_somebody_confirms() {
    let site = WebSite::named("webmau");
    let sandbox = SandboxConfig { web_sites: vec![site.clone()], ..Setup::default().sandbox };
    let world = World::with(Setup { sandbox, ..Setup::default() }).await;
    let url = world.sandbox.web_url("webmau");
    let text = WEB
        .replace("access_token = \"…\"", &format!("access_token = {:?}", site.access_token))
        .replace("[\"…\"]", &format!("[{:?}]", site.webhook_secret))
        .replace("http://127.0.0.1:9102", url.strip_suffix("/webmau").unwrap());
    let file = world.dir.path().join("connections.toml");
    std::fs::write(&file, text).unwrap();
    let apply = format!("connect apply {}", file.display());

    let (code, rows, told) = sapo_sync(&world, &format!("{apply} --json")).await;
    assert_eq!((code, &rows[0]["unconfirmed"]), (0, &json!(["mau-web1"])), "{told}");
    let (state, audit) = confirmed(&world, "mau-web1").await;
    assert_eq!((state, audit.len()), (None, 1), "{audit:?}");
    let known = world.store().snapshot().await.unwrap();
    let settings = &known.connections["mau-web1"].connection.settings;
    assert_eq!((settings.branch, &*settings.web.stock_branches), (Some(58_001), &[58_001, 58_002][..]));
    for line in [&*apply, "connect list", "connect show mau-web1", "connect check mau-web1"] {
        let (code, _, told) = sapo_sync(&world, line).await;
        let said = ["mau-web1 is unconfirmed", SOLE_POS, "sole_pos = true", "--yes"];
        assert!(code == 0 && said.iter().all(|words| told.contains(words)), "{line}: {told}");
    }
    for line in ["connect list --json", "connect show mau-web1 --json", "connect check mau-web1 --json"] {
        let (_, rows, told) = sapo_sync(&world, line).await;
        let row = rows.iter().find(|row| row["name"] == "mau-web1").unwrap();
        assert_eq!(row["unconfirmed"], true, "{line}: {told}");
    }

    // What a container cannot read of its host comes by standard input.
    let input = std::fs::File::open(&file).unwrap();
    let (code, rows, told) = sapo_sync_reading(&world, "connect apply - --json", input.into()).await;
    assert_eq!((code, &rows[0]["changes"]), (0, &json!([])), "{told}");
    let (code, _, told) = sapo_sync(&world, "connect apply -").await;
    assert_eq!((code, told.contains("nothing changed")), (0, true), "an empty file removes nothing: {told}");

    // It runs already; the confirmation is recorded all the same.
    let (code, rows, told) = sapo_sync(&world, &format!("{apply} --yes --json")).await;
    assert_eq!((code, &rows[0]["unconfirmed"]), (0, &json!([])), "{told}");
    let (state, audit) = confirmed(&world, "mau-web1").await;
    assert_eq!(state.as_deref(), Some(SOLE_POS));
    assert_eq!(audit[0], "connect apply: confirmed by the owner: linked to no other POS");
    for line in ["connect list", "connect check"] {
        let (code, _, told) = sapo_sync(&world, line).await;
        assert!(code == 0 && !told.contains("unconfirmed"), "{line}: {told}");
    }
    let (code, rows, told) = sapo_sync(&world, &format!("{apply} --json")).await;
    let stays = rows[0]["changes"] == json!([]) && rows[0]["unconfirmed"] == json!([]);
    assert!(code == 0 && stays, "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorize_prints_the_shops_address_and_a_link_of_our_own_that_leads_there() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let line = format!("connect authorize --store CuaHangMau --no-wait {}", settings(&world, &landing.base));
    let (code, rows, told) = sapo_sync(&world, &format!("{line} --json")).await;
    assert_eq!((code, rows.len()), (0, 1), "{told}");
    let word = |key: &str| rows[0][key].as_str().unwrap();
    assert!(word("url").starts_with(&format!("{}/admin/oauth/authorize?", world.sandbox.omni_url())), "{told}");
    assert_eq!(word("redirect_uri"), format!("{}/oauth/omni/callback", landing.base));
    assert!(word("link").starts_with(&format!("{}/oauth/omni/start?state=", landing.base)), "{told}");
    let page = landing.get(word("link")).await;
    assert_eq!((page.status, page.header("location")), (302, Some(word("url"))));
    assert!(!told.contains(SECRET), "{told}");

    let (code, _, told) = sapo_sync(&world, &line).await;
    assert_eq!(code, 0, "{told}");
    for words in ["/admin/oauth/authorize?", "/oauth/omni/start?state=", "/oauth/omni/callback"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authorize_ends_at_once_with_the_owners_no() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sapo-sync"));
    command
        .args(format!("connect authorize --store cuahangmau --json {}", settings(&world, &landing.base)).split(' '))
        .envs(environment(&world.config))
        .env("SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS", "true")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let begun = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        (child, out, first)
    });
    let (mut child, mut out, first) = begun.await.unwrap();
    let asked: Value = serde_json::from_str(&first).unwrap();
    let state = asked["link"].as_str().unwrap().rsplit_once('=').unwrap().1;
    assert_eq!(landing.oauth.standing(state).await.unwrap(), Standing::Open);
    let now = seconds(&world);
    let no = signed(&[("error", "access_denied"), ("state", state), ("timestamp", &now)], SECRET, hex_form);
    assert_eq!(landing.get(&landing.redirect(System::Omni, &no)).await.status, 400);
    let ended = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        (child.wait().unwrap().code(), rest)
    });
    let (code, rest) = ended.await.unwrap();
    let told: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(
        (code, &told["granted"], &told["account"]),
        (Some(1), &json!(false), &json!("omni:cuahangmau")),
        "{told}"
    );
    assert!(told["reason"].as_str().unwrap().contains("did not agree"), "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_lists_what_a_connections_file_may_name() {
    let world = webs(1, "").await;
    let (code, rows, told) = sapo_sync(&world, "connect choices --store cuahangmau --web webmau1 --json").await;
    assert_eq!(code, 0, "{told}");
    let of = |list: &str| {
        let rows = rows.iter().filter(|row| row["list"] == list && row["usable"] == true);
        rows.map(|row| row["value"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("branch"), of("staff")), (vec!["58001", "58002"], vec!["72001"]), "{told}");
    assert_eq!(of("price_list"), ["BANLE", "BANBUON"], "a list of costs is none: {told}");
    assert_eq!(of("web_location"), [world.sandbox.web(&web_alias(1)).locations()[0].to_string()], "{told}");
    let (code, _, told) = sapo_sync(&world, "connect choices --store khac --json").await;
    assert!(code == 1 && told.contains("connect authorize --store khac"), "{told}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_told_and_mended_side_by_side_and_one_that_fails_hides_no_other() {
    let world = webs(1, "").await;
    let http = &world.running().context().http;
    let omni = OmniClient::new(http, "cuahangmau", "sandbox-access-token".into(), Some(&world.sandbox.omni_url()));
    let other = "https://other.example/webhooks/omni/cuahangmau?key=hush";
    omni.unwrap().create_webhook("orders/create", other).await.unwrap();
    let line = format!("connect webhooks --store cuahangmau --json {}", settings(&world, "https://sync.example.com"));
    let (code, rows, told) = sapo_sync(&world, &line).await;
    assert_eq!((code, rows.len()), (3, 2), "{told}");
    assert_eq!((&rows[0]["system"], &rows[1]["system"]), (&json!("omni"), &json!("web")));
    assert_eq!((&rows[0]["foreign"], &rows[0]["elsewhere"]), (&json!(1), &json!(["other.example"])), "{told}");
    assert!(rows[1]["missing"].as_array().unwrap().contains(&json!("orders/updated")), "{told}");
    assert!(!told.contains("hush"), "{told}");

    let refused = ApiEffect::Status { code: 401, retry_after: None };
    let fault = ApiFault { api: Api::Omni, method: None, path: "webhooks".into(), skip: 0, times: 1, effect: refused };
    world.sandbox.faults().api(fault);
    let (code, rows, told) = sapo_sync(&world, &format!("{line} --repair")).await;
    assert_eq!((code, rows.len()), (1, 2), "{told}");
    assert_eq!((&rows[0]["name"], &rows[0]["error"]), (&json!("cuahangmau"), &json!("unauthorised")), "{told}");
    assert_eq!((&rows[1]["name"], &rows[1]["repaired"]), (&json!("webmau1"), &json!(true)), "{told}");

    let addresses = || {
        let hooks = world.sandbox.omni().registered_webhooks();
        hooks.iter().map(|hook| hook["address"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (code, _, told) = sapo_sync(&world, &format!("{line} --repair")).await;
    assert_eq!(code, 0, "{told}");
    assert!(addresses().contains(&other.to_owned()), "left alone");
    let (code, rows, told) = sapo_sync(&world, &format!("{line} --repair --from otter.example")).await;
    assert_eq!((code, &rows[0]["unmatched"]), (0, &json!(["otter.example"])), "{told}");
    assert!(told.contains("--from otter.example: ") && told.contains("again with --from other.example"), "{told}");
    assert!(addresses().contains(&other.to_owned()) && !told.contains("hush"), "{told}");
    let (code, _, told) = sapo_sync(&world, &format!("{line} --repair --from other.example")).await;
    assert_eq!(code, 0, "{told}");
    assert!(!addresses().contains(&other.to_owned()) && !told.contains("no webhook is there"), "moved: {told}");
    let (code, _, told) = sapo_sync(&world, &format!("{line} --repair --from other.example")).await;
    assert!(code == 0 && told.contains("no webhook is there") && told.contains("leave --from out"), "{told}");
    let (code, rows, told) = sapo_sync(&world, &format!("{line} --check")).await;
    assert!(code == 0 && rows.iter().all(|row| row["missing"] == json!([])), "{told}");
    world.finish(&[]).await;
}

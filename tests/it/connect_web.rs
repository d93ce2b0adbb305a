//! Connections with Sapo Web sites: the file, its checks against shop and web, and what is kept of them.

use std::collections::HashMap;

use sapo_sync::domain::connection::Identity;
use sapo_sync::domain::event::System;
use sapo_sync::sync::connect::file::Defaults;
use sapo_sync::sync::connect::{Applied, ConnectError, SOLE_POS, apply, check, file};

use crate::harness::World;
use crate::web_world::{connections, web_connection, webs};

const ALL: (bool, bool, bool) = (true, true, true);

async fn try_apply(world: &World, text: &str) -> Result<Applied, ConnectError> {
    let parsed = file::parse(text, world.dir.path())?;
    let context = world.running().context();
    let applied = apply(&context.store, &context.http, &parsed, false, false, "test").await?;
    context.snapshot.refresh().await.unwrap();
    Ok(applied)
}

fn assert_names(what: &str, error: &ConnectError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not in {text:?}");
    }
    assert!(!text.contains("token-of-"), "{what}: a secret is in {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_the_guides_default_configuration() {
    let world = webs(1, "").await;
    let snapshot = world.store().snapshot().await.unwrap();
    let row = &snapshot.connections[&web_connection(1)];
    let settings = &row.connection.settings;
    assert_eq!((settings.products, settings.customers, settings.orders), (true, true, true));
    assert_eq!((settings.branch, settings.staff, settings.source, settings.payment_method), (None, None, None, None));
    let web = &settings.web;
    assert!(web.stock_branches.is_empty() && !web.approve_orders && !web.status_back && !web.reserve_unapproved);
    assert_eq!((web.customer_identity, web.walk_in_customer), (Identity::Phone, None));
    assert_eq!((web.price.sync, &*web.price.from, &*web.price.compare_at), (true, "BANLE", "none"));
    assert_eq!(row.confirmed.as_deref(), Some(SOLE_POS), "what the owner confirmed is on record");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_wrong_in_itself_names_the_key_and_the_cure() {
    let world = webs(1, "").await;
    let text = connections(&world.sandbox, ALL, "");
    let more = |lines: &str| connections(&world.sandbox, ALL, lines);
    let token = text.lines().filter(|line| line.contains("access_token")).nth(1).unwrap();
    let without = text.replace(token, "");
    let secret = text.lines().filter(|line| line.contains("webhook_secret")).nth(1).unwrap();
    for (what, text, words) in [
        ("a key of Abaha", more("status_profile = \"detailed\""), vec!["status_profile", "status_back"]),
        ("one branch for all", more("branch = 58001"), vec!["branch", "order_branch", "stock_branches"]),
        ("a switch that webs have not", more("products = false"), vec!["products", "price"]),
        ("an unknown key", more("colour = 1"), vec!["colour"]),
        ("no branch at all", more("stock_branches = []"), vec!["stock_branches", "default branch"]),
        ("a branch twice", more("stock_branches = [58001, 58001]"), vec!["stock_branches", "twice"]),
        ("the cost price", more("price = { from = \"GIANHAP\" }"), vec!["price.from", "cost"]),
        ("no price list", more("price = { from = \"none\" }"), vec!["price.from", "sync = false"]),
        ("compared with itself", more("price = { compare_at = \"BANLE\" }"), vec!["price.compare_at", "same list"]),
        ("a wrong key of price", more("price = { to = \"x\" }"), vec!["price", "sync"]),
        ("an unknown identity", more("customer_identity = \"name\""), vec!["customer_identity", "phone", "email"]),
        ("a buffer of more than all", more("stock_buffer = { percent = 101 }"), vec!["stock_buffer", "100"]),
        ("a buffer of a blank SKU", more("stock_buffer = { by_sku = { \" \" = { units = 1 } } }"), vec!["by_sku"]),
        ("no access", without.clone(), vec!["access_token", "api_key", "connect authorize --web webmau1"]),
        ("half a private app", without.replace("sole_pos", "api_key = \"token-of-x\"\nsole_pos"), vec!["api_secret"]),
        ("two ways", more("api_key = \"a\"\napi_secret = \"token-of-y\""), vec!["access_token", "keep one"]),
        ("no secret", text.replace(secret, ""), vec!["webhook_secret", "missing"]),
        ("a whole address", text.replace("\"webmau1\"", "\"webmau1.mysapo.net\""), vec!["site", "mysapo.net"]),
        ("an unknown channel", text.replace("\"web\"", "\"shop\""), vec!["channel", "abaha", "web"]),
    ] {
        let error = file::parse(&text, world.dir.path()).map(|_| ()).expect_err(what);
        assert_names(what, &error, &words);
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shop_and_web_do_not_have_is_refused_before_anything_is_written() {
    let world = webs(1, "").await;
    let text = connections(&world.sandbox, ALL, "");
    let more = |lines: &str| connections(&world.sandbox, ALL, lines);
    for (what, text, words) in [
        ("a strange branch", more("stock_branches = [58001, 58009]"), vec!["stock_branches", "58009", "58002"]),
        ("a strange branch for orders", more("order_branch = 58009"), vec![", order_branch:", "58009", "58001"]),
        ("a price list that is not there", more("price = { from = \"VIP\" }"), vec!["price.from", "VIP", "BANLE"]),
        ("of compare-at", more("price = { compare_at = \"VIP\" }"), vec!["price.compare_at", "BANBUON"]),
        ("a strange location", more("web_location = 1"), vec!["web_location"]),
        ("a strange walk-in", more("walk_in_customer = 1"), vec!["walk_in_customer", "khách lẻ"]),
        ("a wrong token", text.replace("sandbox-webmau1-token", "token-of-nobody"), vec!["access_token", "authorize"]),
        ("no such web", text.replace("\"webmau1\"", "\"khongco\""), vec!["khongco"]),
    ] {
        let error = try_apply(&world, &text).await.expect_err(what);
        if what != "no such web" {
            assert_names(what, &error, &words);
        }
    }
    assert_eq!(try_apply(&world, &text).await.unwrap(), Applied::default(), "nothing was written");
    let error = try_apply(&world, &text.replace("mau-web1", "hai")).await.expect_err("one POS a web");
    assert_names("one POS a web", &error, &["webmau1", "mau-web1", "already"]);
    let changed = try_apply(&world, &more("approve_orders = true\nprice = { sync = false }")).await.unwrap();
    assert_eq!(
        changed.changes,
        ["connection mau-web1: web.approve_orders false → true", "connection mau-web1: web.price.sync true → false"]
    );
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_shop_has_no_default_branch_both_branches_of_a_web_are_asked_for_by_their_keys() {
    let world = webs(1, "").await;
    world.sandbox.omni().set_primary_branch(None).unwrap();
    let more = |lines: &str| connections(&world.sandbox, ALL, lines);
    for (settings, key) in [
        ("", "mau-web1, order_branch:"),
        ("stock_branches = [58001]", "mau-web1, order_branch:"),
        ("order_branch = 58001", "mau-web1, stock_branches:"),
    ] {
        let error = try_apply(&world, &more(settings)).await.expect_err(settings);
        assert_names(settings, &error, &[key, "must be chosen", "58001", "58002"]);
    }
    let both = try_apply(&world, &more("order_branch = 58001\nstock_branches = [58002]")).await.unwrap();
    assert_eq!(both.changes.len(), 2, "{both:?}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_secret_of_a_web_may_stand_in_a_file_of_its_own() {
    let world = webs(1, "").await;
    let text = connections(&world.sandbox, ALL, "");
    let site = &world.sandbox.config().web_sites[0];
    let (key, secret) = site.private_app.clone().unwrap();
    for (name, content) in [
        ("token", format!("{}\n", site.access_token)),
        ("secrets", format!("{}\nearlier-secret\n", site.webhook_secret)),
        ("key", format!("{key}\n")),
        ("secret", secret),
    ] {
        std::fs::write(world.dir.path().join(name), content).unwrap();
    }
    let line = |key: &str| text.lines().filter(|line| line.contains(key)).nth(1).unwrap();
    let (token, signing) = (line("access_token"), line("webhook_secret"));
    let by_token = text.replace(token, "access_token_file = \"token\"");
    assert_eq!(try_apply(&world, &by_token).await.unwrap(), Applied::default(), "the same as what was pasted");
    let by_app = text
        .replace(token, "api_key_file = \"key\"\napi_secret_file = \"secret\"")
        .replace(signing, "webhook_secret_file = \"secrets\"");
    let changes =
        ["token changed", "api_key changed", "webhook_secret changed"].map(|it| format!("connection mau-web1: {it}"));
    assert_eq!(try_apply(&world, &by_app).await.unwrap().changes, changes);
    let snapshot = world.store().snapshot().await.unwrap();
    let row = &snapshot.connections[&web_connection(1)];
    check(&world.running().context().http, &snapshot.stores[&row.connection.store], row).await.unwrap();
    assert_eq!(row.webhook_secrets.len(), 2, "the current one and the one before");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_app_works_as_a_token_does_and_its_secret_is_kept_encrypted() {
    let world = webs(1, "").await;
    let text = connections(&world.sandbox, ALL, "");
    let token = text.lines().filter(|line| line.contains("access_token")).nth(1).unwrap();
    let (key, secret) = world.sandbox.config().web_sites[0].private_app.clone().unwrap();
    let app = text.replace(token, &format!("api_key = {key:?}\napi_secret = {secret:?}"));
    let applied = try_apply(&world, &app).await.unwrap();
    assert_eq!(applied.changes, ["connection mau-web1: token changed", "connection mau-web1: api_key changed"]);
    world.on_pos("AT-S", 115_000, 3);
    let variant = world.on_web(1, "AT-S", 1, 0);
    world.quiet().await;
    world.assert_shown(1, variant, 3, 115_000);
    let snapshot = world.store().snapshot().await.unwrap();
    let row = &snapshot.connections[&web_connection(1)];
    assert!(!format!("{row:?}").contains(&secret), "a secret is shown to nobody");
    let context = world.running().context();
    check(&context.http, &snapshot.stores[&row.connection.store], row).await.unwrap();
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_leave_out_what_the_shop_granted() {
    let world = webs(1, "").await;
    let text = connections(&world.sandbox, ALL, "");
    let without: Vec<&str> =
        text.lines().filter(|line| !line.contains("access_token") && !line.contains("webhook_secret")).collect();
    let without = without.join("\n");
    let config = world.sandbox.config();
    let web = &config.web_sites[0];
    let mut defaults = Defaults {
        tokens: HashMap::from([(format!("web:{}", web.alias), web.access_token.clone().into())]),
        secrets: HashMap::from([
            (System::Omni, config.webhook_secret.clone().into()),
            (System::Web, web.webhook_secret.clone().into()),
        ]),
    };
    let error =
        file::parse_with(&without, world.dir.path(), &defaults).map(|_| ()).expect_err("the shop granted nothing");
    assert_names("the shop granted nothing", &error, &["store", "access_token"]);
    defaults.tokens.insert(format!("omni:{}", config.alias), config.access_token.clone().into());
    let parsed = file::parse_with(&without, world.dir.path(), &defaults).unwrap();
    let context = world.running().context();
    let applied = apply(&context.store, &context.http, &parsed, false, false, "test").await.unwrap();
    assert_eq!(applied, Applied::default(), "the same as what was pasted");
    world.finish(&[]).await;
}

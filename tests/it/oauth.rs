//! OAuth: an owner agrees and the token is in place; everything else that lands is refused, and a stranger learns nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use sapo_sync::config::OauthApp;
use sapo_sync::destination::ClientError;
use sapo_sync::domain::connection::State;
use sapo_sync::domain::event::System;
use sapo_sync::receive::oauth::{Land, OauthReceiver, Start, router};
use sapo_sync::sandbox::{Api, SandboxConfig, WebSite};
use sapo_sync::sync::connect::choices;
use sapo_sync::sync::connect::oauth::{Begun, Oauth, OauthConfig, OauthError, PATIENCE, Refused, Standing};
use secrecy::ExposeSecret;
use serde_json::json;
use tracing::instrument::WithSubscriber as _;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{Setup, World};
use crate::web_world::{web_alias, web_connection, web_site, webs};
use crate::wire::{SECRET, mac};

const ALIAS: &str = "cuahangmau";
const OMNI_TOKEN: &str = "sandbox-access-token";

/// A receiver of its own beside the world's, for an app whose secrets are those of the sandbox's shops.
pub struct Landing {
    pub oauth: Oauth,
    pub base: String,
    http: reqwest::Client,
}

/// What a browser was shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Page {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Landing {
    pub async fn new(world: &World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let oauth = oauth(world, &base);
        let (starting, landing) = (oauth.clone(), oauth.clone());
        let start: Start = Arc::new(move |system, word| {
            let oauth = starting.clone();
            Box::pin(async move { oauth.started(system, &word).await })
        });
        let land: Land = Arc::new(move |system, pairs| {
            let oauth = landing.clone();
            Box::pin(async move { oauth.landed(system, &pairs).await })
        });
        tokio::spawn(async move { axum::serve(listener, router(OauthReceiver::new(start, land))).await });
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { oauth, base, http }
    }

    pub async fn get(&self, url: &str) -> Page {
        let answer = self.http.get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        let headers = answer
            .headers()
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        Page { status, headers, body: answer.text().await.unwrap() }
    }

    /// Where the shop sends the owner's browser once he has agreed.
    async fn agree(&self, begun: &Begun) -> String {
        let answer = self.http.get(&begun.url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 302);
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    /// The address of a redirect with these parameters.
    pub fn redirect(&self, system: System, pairs: &[(String, String)]) -> String {
        let mut url = Url::parse(&format!("{}/oauth/{system}/callback", self.base)).unwrap();
        url.query_pairs_mut().extend_pairs(pairs);
        url.into()
    }

    async fn begin(&self, system: System, name: &str) -> Begun {
        self.oauth.begin(system, name, None).await.unwrap()
    }
}

fn oauth(world: &World, base: &str) -> Oauth {
    let app = |secret: &str| OauthApp { client_id: "khoa".into(), client_secret: secret.into(), scopes: Vec::new() };
    let web = WebSite::named(&web_alias(1)).webhook_secret;
    let config = OauthConfig { public_url: Some(base.to_owned()), omni: Some(app(SECRET)), web: Some(app(&web)) };
    Oauth::new(world.store().clone(), world.running().context().http.clone(), config)
}

/// Parameters as a shop would send and sign them.
pub fn signed(given: &[(&str, &str)], secret: &str, form: fn(&[u8]) -> String) -> Vec<(String, String)> {
    let mut lines: Vec<String> = given.iter().map(|(key, value)| format!("{key}={value}")).collect();
    lines.sort();
    let hmac = form(&mac(secret, lines.join("&").as_bytes()));
    let all = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    all.chain([("hmac".to_owned(), hmac)]).collect()
}

pub fn hex_form(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

pub fn seconds(world: &World) -> String {
    (world.store().clock().now() / 1_000).to_string()
}

/// Puts a token into the store's row that no shop has given out.
async fn forget_token(world: &World) {
    let store = world.store();
    let mut row = store.snapshot().await.unwrap().stores[ALIAS].as_ref().clone();
    row.access_token = "stale-token".into();
    row.webhook_secrets = vec!["earlier-secret".into()];
    let mut tx = store.begin().await.unwrap();
    store.put_store(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn store_token(world: &World) -> String {
    world.store().snapshot().await.unwrap().stores[ALIAS].access_token.expose_secret().to_owned()
}

/// Every value of a redirect's query.
fn values(url: &str) -> Vec<String> {
    Url::parse(url).unwrap().query_pairs().map(|(_, value)| value.into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_agrees_gives_access_and_the_token_is_in_place_at_once() {
    let world = World::new().await;
    forget_token(&world).await;
    let landing = Landing::new(&world).await;
    let begun = landing.begin(System::Omni, ALIAS).await;
    assert_eq!(begun.redirect_uri, format!("{}/oauth/omni/callback", landing.base));
    let asked = Url::parse(&begun.url).unwrap();
    assert!(begun.url.starts_with(&format!("{}/admin/oauth/authorize?", world.sandbox.omni_url())));
    let asked: Vec<(String, String)> = asked.query_pairs().into_owned().collect();
    assert_eq!(asked[0], ("client_id".to_owned(), "khoa".to_owned()));
    assert!(asked[1].0 == "scope" && asked[1].1.starts_with("read_products,read_sales,"), "{asked:?}");
    assert_eq!(
        asked[2..],
        [("redirect_uri".to_owned(), begun.redirect_uri.clone()), ("state".to_owned(), begun.state.clone())]
    );
    assert_eq!(landing.oauth.standing(&begun.state).await.unwrap(), Standing::Open);

    let back = landing.agree(&begun).await;
    let page = landing.get(&back).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Đã cấp quyền") && page.body.contains("Access granted"));
    assert_eq!(landing.oauth.standing(&begun.state).await.unwrap(), Standing::Granted);
    let grant = world.store().grant("omni:cuahangmau").await.unwrap().unwrap();
    assert_eq!(grant.token.expose_secret(), OMNI_TOKEN);
    let row = world.store().snapshot().await.unwrap().stores[ALIAS].clone();
    assert_eq!(row.access_token.expose_secret(), OMNI_TOKEN);
    let secrets: Vec<&str> = row.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, [SECRET, "earlier-secret"], "the app signs what it registers");
    let audit = world.store().audit_rows(10).await.unwrap();
    let told: Vec<(&str, &str)> = audit
        .iter()
        .filter(|row| row.action == "oauth granted")
        .map(|row| (row.subject.as_str(), row.detail.as_str()))
        .collect();
    assert!(told.contains(&("store cuahangmau", "access_token changed")), "{told:?}");
    assert!(told.contains(&("omni:cuahangmau", "scopes: not told")), "{told:?}");

    // The same redirect is good for once.
    assert_eq!(landing.get(&back).await.status, 400);
    for value in values(&back).iter().chain([&OMNI_TOKEN.to_owned()]) {
        assert!(!page.body.contains(value.as_str()), "{value} is on the page");
        assert!(!format!("{told:?}").contains(value.as_str()), "{value} is in the audit log");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_that_agrees_is_put_in_place_instead_of_a_private_app() {
    let world = webs(1, "").await;
    let store = world.store();
    let mut row = store.snapshot().await.unwrap().connections[&web_connection(1)].as_ref().clone();
    row.api_key = Some("sandbox-webmau1-key".into());
    row.token = "sandbox-webmau1-key-secret".into();
    row.webhook_secrets = vec!["earlier-secret".into()];
    let mut tx = store.begin().await.unwrap();
    store.put_connection(&mut tx, &row).await.unwrap();
    assert!(store.set_access(&mut tx, &web_connection(1), Some("the token is not taken")).await.unwrap());
    tx.commit().await.unwrap();
    let landing = Landing::new(&world).await;
    let begun = landing.begin(System::Web, &web_alias(1)).await;
    let back = landing.agree(&begun).await;
    assert!(back.contains("signature="), "the sandbox sends the old signature along, and base64: {back}");
    assert_eq!(landing.get(&back).await.status, 200);
    let grant = store.grant("web:webmau1").await.unwrap().unwrap();
    assert!(grant.scopes.iter().any(|scope| scope == "write_inventory"));
    let row = store.snapshot().await.unwrap().connections[&web_connection(1)].clone();
    assert_eq!((row.api_key.as_deref(), row.token.expose_secret()), (None, "sandbox-webmau1-token"));
    assert_eq!((row.connection.state, row.state_reason.as_deref()), (State::Active, None), "it is tried again at once");
    let secrets: Vec<&str> = row.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
    assert_eq!(secrets, ["sandbox-webmau1-secret", "earlier-secret"]);
    assert!(store.granted_tokens().await.unwrap().contains_key("web:webmau1"));
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_redirect_that_is_not_the_answer_to_our_question_is_refused_and_looks_the_same() {
    let world = World::new().await;
    forget_token(&world).await;
    let landing = Landing::new(&world).await;
    let (now, begun) = (seconds(&world), landing.begin(System::Omni, ALIAS).await);
    let store = format!("{ALIAS}.mysapogo.com");
    let fine = [("code", "c0de"), ("store", store.as_str()), ("state", begun.state.as_str()), ("timestamp", &now)];
    let change = |key: &str, value: &'static str| {
        let changed = fine.map(|(name, old)| (name, if name == key { value } else { old }));
        signed(&changed, SECRET, hex_form)
    };
    let without = |key: &str| {
        let left: Vec<(&str, &str)> = fine.into_iter().filter(|(name, _)| *name != key).collect();
        signed(&left, SECRET, hex_form)
    };
    let doubled = |key: &str| {
        let mut all = signed(&fine, SECRET, hex_form);
        let again = all.iter().find(|(name, _)| name == key).unwrap().clone();
        all.push(again);
        all
    };
    let mut forged = signed(&fine, SECRET, hex_form);
    forged[0].1 = "0ther".to_owned();
    let refused = [
        ("another state", change("state", "0123456789abcdef"), Refused::State),
        ("no state", without("state"), Refused::State),
        ("a changed code", forged, Refused::Signature),
        ("another secret", signed(&fine, "another-secret", hex_form), Refused::Signature),
        ("base64 by another secret", signed(&fine, "another-secret", |mac| STANDARD.encode(mac)), Refused::Signature),
        ("no signature", fine.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(), Refused::Signature),
        ("nothing at all", Vec::new(), Refused::Signature),
        ("a code twice", doubled("code"), Refused::Doubled),
        ("a state twice", doubled("state"), Refused::Doubled),
        ("an hmac twice", doubled("hmac"), Refused::Doubled),
        ("another shop", change("store", "khac.mysapogo.com"), Refused::Shop),
        ("a shop elsewhere", change("store", "cuahangmau.evil.example"), Refused::Shop),
        ("no shop", without("store"), Refused::Shop),
        ("an old redirect", change("timestamp", "1700000000"), Refused::Time),
        ("one of the future", change("timestamp", "9900000000"), Refused::Time),
        ("no time", without("timestamp"), Refused::Time),
        ("no code", without("code"), Refused::Unreadable),
    ];
    let stranger = landing.get(&format!("{}/oauth/omni/callback", landing.base)).await;
    assert_eq!(stranger.status, 400);
    for (what, pairs, expected) in refused {
        assert_eq!(landing.oauth.land(System::Omni, &pairs).await, Err(expected), "{what}");
        assert_eq!(landing.get(&landing.redirect(System::Omni, &pairs)).await, stranger, "{what}");
    }
    // The right words at the other system's door.
    let pairs = signed(&fine, SECRET, hex_form);
    assert_eq!(landing.get(&landing.redirect(System::Web, &pairs)).await, stranger);
    // The program's own receiver, which knows no app, answers the same; and a look at the head is no answer of an owner.
    assert_eq!(landing.get(&format!("{}/oauth/omni/callback", world.url())).await, stranger);
    let head = landing.http.head(landing.redirect(System::Omni, &pairs)).send().await.unwrap();
    assert_eq!(head.status().as_u16(), 400);
    let long = format!("{}/oauth/omni/callback?{}", landing.base, "x".repeat(9_000));
    assert_eq!(landing.get(&long).await, stranger);

    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert!(stranger.headers.contains(&(name.to_owned(), value.to_owned())), "{name}: {:?}", stranger.headers);
    }
    assert!(stranger.headers.iter().any(|(name, value)| {
        name == "content-security-policy" && value.contains("default-src 'none'") && value.contains("frame-ancestors")
    }));
    assert_eq!(world.sandbox.call_count(Api::Omni, "POST", "oauth/access_token"), 0);
    assert_eq!(store_token(&world).await, "stale-token");

    // None of it has used the question up; hex and base64 are both good.
    assert_eq!(landing.oauth.land(System::Omni, &pairs).await, Ok(()));
    let again = landing.begin(System::Omni, ALIAS).await;
    let fine = [("code", "c0de2"), ("shop", ALIAS), ("state", again.state.as_str()), ("timestamp", &now)];
    let pairs = signed(&fine, SECRET, |mac| STANDARD.encode(mac));
    assert_eq!(landing.get(&landing.redirect(System::Omni, &pairs)).await.status, 200);
    assert_eq!(landing.oauth.land(System::Omni, &pairs).await, Err(Refused::Used));
    assert_eq!(store_token(&world).await, OMNI_TOKEN);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_good_for_fifteen_minutes_and_for_one_of_two_answers_at_once() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let begun = landing.begin(System::Omni, ALIAS).await;
    let answer = |state: &str, code: &str| {
        let now = seconds(&world);
        signed(&[("code", code), ("store", ALIAS), ("state", state), ("timestamp", &now)], SECRET, hex_form)
    };
    let (one, other) = (answer(&begun.state, "c0de1"), answer(&begun.state, "c0de2"));
    let (one, other) = tokio::join!(landing.oauth.land(System::Omni, &one), landing.oauth.land(System::Omni, &other));
    let mut results = [one, other];
    results.sort_by_key(Result::is_err);
    assert_eq!(results, [Ok(()), Err(Refused::Used)]);
    assert_eq!(world.sandbox.call_count(Api::Omni, "POST", "oauth/access_token"), 1);

    let late = landing.begin(System::Omni, ALIAS).await;
    world.store().clock().advance(PATIENCE + Duration::from_secs(1));
    assert_eq!(landing.oauth.land(System::Omni, &answer(&late.state, "c0de3")).await, Err(Refused::Old));
    assert_eq!(landing.oauth.standing(&late.state).await.unwrap(), Standing::Expired);
    assert_eq!(landing.oauth.standing("never asked").await.unwrap(), Standing::Expired);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_is_not_exchanged_leaves_everything_as_it_was_and_says_so() {
    let world = webs(1, "").await;
    let landing = Landing::new(&world).await;
    let begun = landing.begin(System::Web, &web_alias(1)).await;
    let secret = WebSite::named(&web_alias(1)).webhook_secret;
    let now = seconds(&world);
    let fine = [("code", "made-up"), ("store", "webmau1"), ("state", begun.state.as_str()), ("timestamp", &now)];
    let pairs = signed(&fine, &secret, hex_form);
    assert_eq!(landing.get(&landing.redirect(System::Web, &pairs)).await.status, 400);
    let Standing::Failed(why) = landing.oauth.standing(&begun.state).await.unwrap() else { panic!() };
    assert!(why.contains("exchange_refused") && why.contains("client_id"), "{why}");
    assert!(world.store().grant("web:webmau1").await.unwrap().is_none());
    let row = world.store().snapshot().await.unwrap().connections[&web_connection(1)].clone();
    assert_eq!(row.token.expose_secret(), "sandbox-webmau1-token");
    assert_eq!(landing.oauth.land(System::Web, &pairs).await, Err(Refused::Used), "asked for anew");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_were_not_granted_are_named_and_a_web_need_not_be_connected_yet() {
    let site = |number, scopes: &[&str]| WebSite {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..web_site(number)
    };
    let all = WebSite::named("x").scopes;
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let web_sites = vec![
        site(1, &["write_products", "read_orders", "write_inventory"]),
        WebSite { webhook_secret: WebSite::named(&web_alias(1)).webhook_secret, ..site(2, &all) },
    ];
    let setup = Setup::default();
    let world = World::with(Setup { sandbox: SandboxConfig { web_sites, ..setup.sandbox }, ..setup }).await;
    let landing = Landing::new(&world).await;
    let begin = async |number| {
        let (alias, url) = (web_alias(number), world.sandbox.web_url(&web_alias(number)));
        landing.oauth.begin(System::Web, &alias, Some(&url)).await.unwrap()
    };
    let begun = begin(1).await;
    assert_eq!(landing.get(&landing.agree(&begun).await).await.status, 400);
    let Standing::Failed(why) = landing.oauth.standing(&begun.state).await.unwrap() else { panic!() };
    assert!(why.contains("write_orders") && !why.contains("write_products"), "{why}");
    assert!(world.store().grant("web:webmau1").await.unwrap().is_none());

    let begun = begin(2).await;
    assert_eq!(landing.get(&landing.agree(&begun).await).await.status, 200);
    let http = &world.running().context().http;
    let omni = choices::shop(world.store(), http, ALIAS).await.unwrap();
    let web = choices::web(world.store(), http, "webmau2").await.unwrap();
    world.sandbox.clear_calls();
    let mut rows = choices::of_shop(&omni).await.unwrap();
    rows.extend(choices::of_web(&web).await.unwrap());
    assert_eq!(world.sandbox.calls().len(), 6, "a call for each list: {:#?}", world.sandbox.calls());
    let of = |list: &str| rows.iter().filter(|row| row.list == list).collect::<Vec<_>>();
    assert!(of("branch").iter().any(|row| row.value == "58001" && row.note == "the default"));
    assert_eq!((of("staff").len(), of("source").len(), of("payment_method").len()), (1, 2, 2));
    let prices: Vec<(&str, bool)> = of("price_list").iter().map(|row| (row.value.as_str(), row.usable)).collect();
    assert_eq!(prices, [("BANLE", true), ("BANBUON", true), ("GIANHAP", false)]);
    let locations = world.sandbox.web("webmau2").locations();
    assert_eq!(of("web_location")[0].value, locations[0].to_string());
    // Asked again, it is found where it was.
    assert!(landing.begin(System::Web, "webmau2").await.url.starts_with(&world.sandbox.web_url("webmau2")));

    let error = choices::web(world.store(), http, "webmau3").await.unwrap_err().to_string();
    assert!(error.contains("connect authorize --web webmau3") && error.contains("--file FILE"), "{error}");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_link_leads_to_the_shop_while_its_question_is_open_and_nowhere_else() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let stranger = landing.get(&format!("{}/oauth/omni/callback", landing.base)).await;
    let (begun, late) = (landing.begin(System::Omni, "CuaHangMau").await, landing.begin(System::Omni, ALIAS).await);
    assert_eq!(begun.name, ALIAS, "a shop's name is in lower case");
    assert!(begun.url.starts_with(&world.sandbox.omni_url()), "it is known: {}", begun.url);
    assert_eq!(begun.link, format!("{}/oauth/omni/start?state={}", landing.base, begun.state));
    let page = landing.get(&begun.link).await;
    assert_eq!((page.status, page.header("location"), page.body.as_str()), (302, Some(begun.url.as_str()), ""));
    for header in stranger.headers.iter().filter(|(name, _)| name != "content-length") {
        assert!(page.headers.contains(header), "{header:?}: {:?}", page.headers);
    }
    let more = format!("{}&redirect_uri=https://evil.example&base_url=https://evil.example&store=evil", begun.link);
    assert_eq!(landing.get(&more).await.header("location"), Some(begun.url.as_str()), "no query leads elsewhere");

    let (state, other) = (&begun.state, "0".repeat(64));
    for link in [
        format!("{}/oauth/omni/start", landing.base),
        format!("{}/oauth/omni/start?state=", landing.base),
        format!("{}/oauth/omni/start?state={other}", landing.base),
        format!("{}/oauth/omni/start?state={state}0", landing.base),
        format!("{}/oauth/omni/start?state={state}&state={state}", landing.base),
        format!("{}/oauth/web/start?state={state}", landing.base),
        // The program's own receiver, which knows no app.
        format!("{}/oauth/omni/start?state={state}", world.url()),
    ] {
        assert_eq!(landing.get(&link).await, stranger, "{link}");
    }
    assert_eq!(landing.get(&landing.agree(&begun).await).await.status, 200);
    assert_eq!(landing.get(&begun.link).await, stranger, "it was answered");
    world.store().clock().advance(PATIENCE + Duration::from_secs(1));
    assert_eq!(landing.get(&late.link).await, stranger, "it is too old");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_declines_ends_the_question_at_once() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let (now, begun) = (seconds(&world), landing.begin(System::Omni, ALIAS).await);
    let declined = [("error", "access_denied"), ("state", begun.state.as_str()), ("timestamp", &now)];
    let forged = signed(&declined, "another-secret", hex_form);
    assert_eq!(landing.oauth.land(System::Omni, &forged).await, Err(Refused::Signature));
    let [error, state, time] = declined;
    let others = signed(&[error, state, time, ("store", "khac.mysapogo.com")], SECRET, hex_form);
    assert_eq!(landing.oauth.land(System::Omni, &others).await, Err(Refused::Shop));
    assert_eq!(landing.oauth.standing(&begun.state).await.unwrap(), Standing::Open);

    let pairs = signed(&declined, SECRET, hex_form);
    assert_eq!(landing.get(&landing.redirect(System::Omni, &pairs)).await.status, 400);
    let Standing::Failed(why) = landing.oauth.standing(&begun.state).await.unwrap() else { panic!() };
    assert!(why.contains("did not agree"), "{why}");
    assert_eq!(landing.get(&landing.agree(&begun).await).await.status, 400, "asked for anew");
    assert!(world.store().grant("omni:cuahangmau").await.unwrap().is_none());
    world.finish(&[]).await;
}

/// A shop that gives out a token, and answers all that is read with a status.
async fn shop_that_answers(status: u16) -> MockServer {
    let shop = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/admin/oauth/access_token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"access_token": "granted-token"})))
        .expect(1)
        .mount(&shop)
        .await;
    let answer = ResponseTemplate::new(status).set_body_json(json!({}));
    Mock::given(method("GET")).respond_with(answer).mount(&shop).await;
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_busy_shop_does_not_let_us_try_is_kept_and_said_to_be_untried() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    for (name, status, code) in [("ban", 429, "throttled"), ("hong", 503, "server_error")] {
        let shop = shop_that_answers(status).await;
        let begun = landing.oauth.begin(System::Omni, name, Some(&shop.uri())).await.unwrap();
        let now = seconds(&world);
        let fine = [("code", "c0de"), ("store", name), ("state", begun.state.as_str()), ("timestamp", &now)];
        let page = landing.get(&landing.redirect(System::Omni, &signed(&fine, SECRET, hex_form))).await;
        assert_eq!(page.status, 200, "{code}");
        assert_eq!(landing.oauth.standing(&begun.state).await.unwrap(), Standing::Untried(code.to_owned()));
        let grant = world.store().grant(&format!("omni:{name}")).await.unwrap().unwrap();
        assert_eq!(grant.token.expose_secret(), "granted-token");
    }
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_work_is_not_kept() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let shop = shop_that_answers(401).await;
    let begun = landing.oauth.begin(System::Omni, "moi", Some(&shop.uri())).await.unwrap();
    let now = seconds(&world);
    let fine = [("code", "c0de"), ("store", "moi"), ("state", begun.state.as_str()), ("timestamp", &now)];
    let pairs = signed(&fine, SECRET, hex_form);
    assert_eq!(landing.oauth.land(System::Omni, &pairs).await, Err(Refused::Check("unauthorised")));
    assert!(world.store().grant("omni:moi").await.unwrap().is_none());
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_where_the_answer_could_not_be_taken() {
    let world = World::new().await;
    let (store, http) = (world.store().clone(), world.running().context().http.clone());
    let app = || Some(OauthApp { client_id: "khoa".into(), client_secret: "x".into(), scopes: Vec::new() });
    let with = |public_url: Option<&str>, omni| {
        let config = OauthConfig { public_url: public_url.map(ToOwned::to_owned), omni, web: None };
        Oauth::new(store.clone(), http.clone(), config)
    };
    let error = with(None, app()).begin(System::Omni, ALIAS, None).await.unwrap_err();
    assert!(matches!(error, OauthError::NoPublicUrl) && error.to_string().contains("SAPO_SYNC__PUBLIC_URL"));
    let error = with(Some("https://x.example"), None).begin(System::Omni, ALIAS, None).await.unwrap_err();
    assert!(error.to_string().contains("SAPO_SYNC__OAUTH__OMNI__CLIENT_ID"), "{error}");
    let error = with(Some("https://x.example"), app()).begin(System::Web, "webmau", None).await.unwrap_err();
    assert!(error.to_string().contains("[oauth.web]"), "{error}");
    let error = with(Some("https://x.example"), app()).begin(System::Omni, "cua.hang", None).await.unwrap_err();
    assert!(matches!(error, OauthError::Client(ClientError::Name(_))));
    let begun = with(Some("https://x.example"), app()).begin(System::Omni, "moi", None).await.unwrap();
    assert!(begun.url.starts_with("https://moi.mysapogo.com/admin/oauth/authorize?client_id=khoa&scope="));
    world.finish(&[]).await;
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_tells_how_it_ended_and_no_secret() {
    let world = World::new().await;
    let landing = Landing::new(&world).await;
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).finish();
    let begun = landing.begin(System::Omni, ALIAS).await;
    let back = landing.agree(&begun).await;
    let pairs: Vec<(String, String)> = Url::parse(&back).unwrap().query_pairs().into_owned().collect();
    let both = async {
        assert!(landing.oauth.landed(System::Omni, &pairs).await);
        assert!(!landing.oauth.landed(System::Omni, &pairs).await);
    };
    both.with_subscriber(subscriber).await;
    let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("a shop granted access") && log.contains("used_state"), "{log}");
    let secrets = pairs.iter().filter(|(key, _)| ["code", "state", "hmac"].contains(&key.as_str()));
    for secret in secrets.map(|(_, value)| value.as_str()).chain([OMNI_TOKEN, SECRET]) {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    world.finish(&[]).await;
}

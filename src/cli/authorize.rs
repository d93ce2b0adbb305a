//! `connect authorize`, `connect choices` and `connect webhooks`: access, what to choose from, and what shops tell us.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::ProgressBar;
use serde_json::json;

use super::connect::defaults;
use super::exit::{Exit, NotFound};
use super::out;
use super::setup::{Invocation, no_connection};
use crate::app;
use crate::destination::CallError;
use crate::domain::connection::{State, account};
use crate::domain::event::System;
use crate::domain::time;
use crate::store::connections::Snapshot;
use crate::sync::connect::choices::{self, ChoiceRow};
use crate::sync::connect::file::{self, File};
use crate::sync::connect::hooks::{self, Repair, SideReport};
use crate::sync::connect::oauth::{Begun, Oauth, OauthConfig, PATIENCE, Standing};

/// How often the answer is looked for.
const TICK: Duration = Duration::from_millis(500);
/// How often a plain line says that it is waited for, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Of `sapo-sync connect authorize`.
pub const AUTHORIZE: &str = "Examples:
  sapo-sync connect authorize --store cuahangmau
  sapo-sync connect authorize --web webmau
  sapo-sync connect authorize --web webmau --no-wait

Prints two addresses, the shop's own and a shorter one of our receiver that leads there; the shop's owner opens one
and agrees. The answer comes to the receiver (a running `up` or `receive` that Sapo reaches at public_url), and must
come within 15 minutes. The connections file may then leave out access_token and webhook_secret. Needs public_url and
the app's credentials ([oauth.omni], [oauth.web]) in the settings.";

/// Of `sapo-sync connect choices`.
pub const CHOICES: &str = "Examples:
  sapo-sync connect choices --file connections.toml
  sapo-sync connect choices --file connections.toml --store cuahangmau --web webmau
  sapo-sync connect choices --store cuahangmau --web webmau --json

With --file the access tokens are those of that connections file, which has all but the ids (webhook_secret too), and
nothing is written: so the ids can be looked up before `connect apply`. Without --store and --web all shops of the file are asked. Without --file, and where the file
does not name the shop, it must be connected, or have granted access (`connect authorize`).";

/// Of `sapo-sync connect webhooks`.
pub const HOOKS: &str = "Examples:
  sapo-sync connect webhooks --connection mau-web1
  sapo-sync connect webhooks --store cuahangmau --check
  sapo-sync connect webhooks --store cuahangmau --repair
  sapo-sync connect webhooks --store cuahangmau --repair --from old.example.com

Without --repair nothing is changed. Webhooks of others are never touched. Those that go to a receiver for this very
shop on another host are left alone too, for it may be another installation's; their hosts are listed, and --from says
that one of these was ours: they are moved, and where none is there, that is said. Needs public_url in the settings;
where it is set, every reconcile registers what is missing. The exit code is 3 where something is wrong and was not
repaired, 1 where a shop or web could not be looked at.";

/// Which shop is to grant access.
#[derive(Args, Clone, Debug)]
#[command(after_help = AUTHORIZE)]
pub struct AuthorizeArgs {
    /// The store, by its alias: what stands before .mysapogo.com
    #[arg(long, value_name = "ALIAS", conflicts_with = "web", required_unless_present = "web")]
    pub store: Option<String>,
    /// The web, by its alias: what stands before .mysapo.net
    #[arg(long, value_name = "SITE")]
    pub web: Option<String>,
    /// Print the address and end
    #[arg(long)]
    pub no_wait: bool,
    /// Where the shop's API is, instead of its own host: a sandbox
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
}

/// Whose lists are to be shown.
#[derive(Args, Clone, Debug)]
#[command(after_help = CHOICES)]
pub struct ChoicesArgs {
    /// A connections file: its access tokens are used, and nothing is written
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The store, by its alias: what stands before .mysapogo.com; all of the file where none is given
    #[arg(long, value_name = "ALIAS", required_unless_present = "file")]
    pub store: Option<String>,
    /// Also the locations of this web
    #[arg(long, value_name = "SITE")]
    pub web: Option<String>,
}

/// Whose webhooks are to be looked at.
#[derive(Args, Clone, Debug)]
#[command(after_help = HOOKS)]
pub struct HooksArgs {
    /// This connection's: its shop's, and its web's
    #[arg(long, value_name = "NAME", conflicts_with = "store", required_unless_present = "store")]
    pub connection: Option<String>,
    /// This store's, and those of all webs connected with it
    #[arg(long, value_name = "ALIAS")]
    pub store: Option<String>,
    /// Only look (the default)
    #[arg(long)]
    pub check: bool,
    /// Register what is missing, correct old addresses on our host, remove doubles
    #[arg(long, conflicts_with = "check")]
    pub repair: bool,
    /// Also move what goes to a receiver for this very shop there: an address or a host that was ours; may be repeated
    #[arg(long, value_name = "URL_OR_HOST", requires = "repair", value_parser = NonEmptyStringValueParser::new())]
    pub from: Vec<String>,
}

/// Asks a shop's owner for access.
pub async fn authorize(invocation: &Invocation, args: &AuthorizeArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let http = app::sender(&invocation.config, store.clock())?;
    let oauth = Oauth::new(store, http, OauthConfig::from(&invocation.config));
    let (system, name) = match (&args.store, &args.web) {
        (Some(alias), _) => (System::Omni, alias),
        (None, Some(site)) => (System::Web, site),
        (None, None) => bail!("say which shop: --store ALIAS or --web SITE"),
    };
    let begun = oauth.begin(system, name, args.base_url.as_deref()).await?;
    if invocation.json {
        out::json(
            &json!({"url": begun.url, "link": begun.link, "redirect_uri": begun.redirect_uri, "until": time::format(begun.until)}),
        );
    } else {
        out::line("Have the shop's owner open this address and agree (Cài đặt ứng dụng):");
        out::line("");
        out::line(&begun.url);
        out::line("");
        out::line("or this one of our own receiver, which leads there (liên kết ngắn):");
        out::line("");
        out::line(&begun.link);
        out::line("");
        out::line(format!(
            "The app's settings at Sapo must name this redirect URL: {}; good until {}.",
            begun.redirect_uri,
            out::local(begun.until)
        ));
    }
    if args.no_wait {
        return Ok(Exit::Fine);
    }
    let standing = wait(&oauth, &begun, !invocation.json).await?;
    let name = &begun.name;
    let flags = if system == System::Web { "--store ALIAS --web" } else { "--store" };
    let next = format!("sapo-sync connect choices {flags} {name}");
    if invocation.json {
        let reason = match &standing {
            Standing::Failed(why) => Some(why.clone()),
            Standing::Untried(code) => Some(untried(code)),
            Standing::Granted | Standing::Expired | Standing::Open => None,
        };
        let granted = matches!(standing, Standing::Granted | Standing::Untried(_));
        out::json(&json!({"account": format!("{system}:{name}"), "granted": granted, "reason": reason}));
    }
    match standing {
        Standing::Granted | Standing::Untried(_) if invocation.json => Ok(Exit::Fine),
        Standing::Granted => {
            out::line(format!("granted; next: {next}"));
            Ok(Exit::Fine)
        }
        Standing::Untried(code) => {
            out::line(format!("granted; {}; next: {next}", untried(&code)));
            Ok(Exit::Fine)
        }
        Standing::Failed(why) => Err(anyhow!("{name} did not grant access: {why}")),
        Standing::Expired | Standing::Open => Err(anyhow!(
            "no answer came within {} minutes; is a receiver running (`sapo-sync up`), reached at {}? Its log tells of answers that were refused. Run this again for a new address",
            PATIENCE.as_secs() / 60,
            begun.redirect_uri
        )),
    }
}

/// What is said of a token that the shop did not let us try.
fn untried(code: &str) -> String {
    format!(
        "the shop did not let its token be tried ({code}), so it is kept untried (chưa kiểm tra được): `sapo-sync connect check` tries it once the shop is connected"
    )
}

/// Waits until the answer came, or its time is over.
async fn wait(oauth: &Oauth, begun: &Begun, plain: bool) -> anyhow::Result<Standing> {
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new_spinner();
        bar.set_message("waiting for the shop's owner to agree; Ctrl-C stops waiting, the address stays good");
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    let mut said = Instant::now();
    let standing = loop {
        let standing = oauth.standing(&begun.state).await?;
        if standing != Standing::Open {
            break standing;
        }
        if bar.is_none() && plain && said.elapsed() >= LINE_EVERY {
            said = Instant::now();
            out::note("waiting for the shop's owner to agree");
        }
        tokio::time::sleep(TICK).await;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(standing)
}

/// Lists what an owner chooses from.
pub async fn choices(invocation: &Invocation, args: &ChoicesArgs) -> anyhow::Result<Exit> {
    let store = invocation.store().await?;
    let http = app::sender(&invocation.config, store.clock())?;
    let file = match &args.file {
        Some(path) => file::read(path, &defaults(invocation, &store).await?)?,
        None => File::default(),
    };
    let mut rows: Vec<(String, ChoiceRow)> = Vec::new();
    for (alias, sites) in asked(args, &file)? {
        let told = choices::of_shop(&choices::shop_of(&store, &http, &file, alias).await?).await;
        rows.extend(named(&account(System::Omni, alias), told)?);
        for site in sites {
            let told = choices::of_web(&choices::web_of(&store, &http, &file, site).await?).await;
            rows.extend(named(&account(System::Web, site), told)?);
        }
    }
    out::list(
        invocation.json,
        i64::MAX,
        &rows,
        &["of", "list", "write", "name", "for", ""],
        |(account, row)| {
            let note = if row.usable { row.note.to_owned() } else { format!("cannot be chosen: {}", row.note) };
            let (list, name, keys) = (row.label.to_owned(), row.name.clone(), row.keys.to_owned());
            vec![account.clone(), list, row.value.clone(), name, keys, note]
        },
        |(account, row)| out::with(out::row(row), &[("account", json!(account))]),
    );
    Ok(Exit::Fine)
}

/// The shops whose lists are asked for, each with its webs: those that are named, else all of the file.
fn asked<'a>(args: &'a ChoicesArgs, file: &'a File) -> anyhow::Result<Vec<(&'a str, Vec<&'a str>)>> {
    let shops = choices::shops_of(file);
    match (args.store.as_deref(), args.web.as_deref()) {
        (Some(alias), web) => Ok(vec![(alias, Vec::from_iter(web))]),
        (None, Some(site)) => match shops.iter().find(|(_, sites)| sites.contains(&site)) {
            Some((alias, _)) => Ok(vec![(*alias, vec![site])]),
            None => bail!("the file has no connection with the web {site}: add one, or say --store ALIAS as well"),
        },
        (None, None) if shops.is_empty() => {
            bail!(
                "the file names no shop: write a [[store]] with its alias, access_token and webhook_secret, and run this again"
            )
        }
        (None, None) => Ok(shops),
    }
}

/// The lists of one shop or web under its name; an error bears it too.
fn named(account: &str, told: Result<Vec<ChoiceRow>, CallError>) -> anyhow::Result<Vec<(String, ChoiceRow)>> {
    match told {
        Ok(rows) => Ok(rows.into_iter().map(|row| (account.to_owned(), row)).collect()),
        Err(error) => Err(anyhow!("{account}: the lists cannot be read: {error}")),
    }
}

/// Compares registered webhooks with what there should be, and repairs them where asked to.
pub async fn hooks(invocation: &Invocation, args: &HooksArgs) -> anyhow::Result<Exit> {
    let Some(public_url) = invocation.config.public_url.as_deref() else {
        bail!(
            "public_url is not set: set SAPO_SYNC__PUBLIC_URL to the address by which Sapo reaches the receiver, such as https://sync.example.com"
        );
    };
    let store = invocation.store().await?;
    let http = app::sender(&invocation.config, store.clock())?;
    let known = store.snapshot().await?;
    let (alias, connections) = meant(&known, args)?;
    let shop = known.stores.get(&alias).ok_or_else(|| no_store(&alias, &known))?;
    let repair = if args.repair { Repair::Move { from: &args.from } } else { Repair::Look };
    let kept = hooks::keep_shop(&http, &known, shop, None, public_url, repair).await;
    let mut sides = vec![(System::Omni, alias.as_str(), kept)];
    for name in &connections {
        let Some(row) = known.connections.get(name) else { continue };
        match row.connection.channel {
            System::Web => {
                let kept = hooks::keep_web(&http, row, public_url, repair).await;
                sides.push((System::Web, row.connection.site.as_str(), kept));
            }
            System::Abaha if !invocation.json => out::note(format!(
                "{name}: Abaha's webhooks are set on the Abaha site itself: {public_url}/webhooks/abaha/{}",
                row.connection.site
            )),
            System::Abaha | System::Omni => {}
        }
    }
    let ended = sides.iter().map(|(system, name, kept)| tell(invocation, *system, name, kept)).max();
    for text in in_vain(&args.from, &sides.iter().map(|(_, _, kept)| kept.as_ref().ok()).collect::<Vec<_>>()) {
        out::note(text);
    }
    if sides.iter().any(|(_, _, kept)| kept.as_ref().is_ok_and(is_left)) && !invocation.json {
        out::note("--repair mends them");
    }
    Ok(ended.unwrap_or(Exit::Fine))
}

/// Says what was found at one side, or why nothing could be; how the command ends for it.
fn tell(invocation: &Invocation, system: System, name: &str, kept: &Result<SideReport, CallError>) -> Exit {
    match kept {
        Ok(side) => {
            if invocation.json {
                out::json(&out::row(side));
            } else {
                out::line(side.summary());
            }
            if is_left(side) { Exit::Rows } else { Exit::Fine }
        }
        Err(error) => {
            if invocation.json {
                let reason = error.to_string();
                out::json(&json!({"system": system.as_str(), "name": name, "error": error.code(), "reason": reason}));
            } else {
                out::line(format!("{system} {name}: {error}; mend that and run this again: what was done stays done"));
            }
            Exit::Failed
        }
    }
}

/// What is said of each `--from` at which neither shop nor webs have a webhook. Nothing where one of them, `None`, could
/// not be looked at: it may have one.
fn in_vain(from: &[String], sides: &[Option<&SideReport>]) -> Vec<String> {
    let Some(sides) = sides.iter().copied().collect::<Option<Vec<&SideReport>>>() else { return Vec::new() };
    let hosts: BTreeSet<&str> = sides.iter().flat_map(|side| &side.elsewhere).map(String::as_str).collect();
    let hosts = Vec::from_iter(hosts);
    let next = match hosts.first() {
        None => {
            "không webhook nào của cửa hàng này đi tới máy chủ khác, không còn gì để chuyển: bỏ --from (none for this \
                 very shop goes to another host, so nothing is left to be moved: leave --from out)"
                .to_owned()
        }
        Some(first) => {
            let hosts = hosts.join(", ");
            format!(
                "webhook của chính cửa hàng này đang đi tới: {hosts}; nếu đó là nơi cũ của mình, chạy lại với --from {first} \
                 (those for this very shop go to: {hosts}; if that was this installation, run this again with --from {first})"
            )
        }
    };
    let vain = from.iter().filter(|from| sides.iter().all(|side| side.unmatched.contains(from)));
    vain.map(|from| {
        format!("--from {from}: không có webhook nào ở đó (no webhook is there, so none was moved); {next}")
    })
    .collect()
}

/// Whether something is wrong and was not mended.
fn is_left(side: &SideReport) -> bool {
    !side.is_right() && !side.repaired
}

/// The store that is meant, and its connections.
fn meant(known: &Snapshot, args: &HooksArgs) -> anyhow::Result<(String, Vec<String>)> {
    if let Some(name) = &args.connection {
        let row = known.connections.get(name).ok_or_else(|| no_connection(name, known))?;
        if row.connection.state == State::Stopped {
            bail!("{name} is stopped, and takes no webhooks; `sapo-sync connect apply FILE` connects it again");
        }
        return Ok((row.connection.store.clone(), vec![name.clone()]));
    }
    let alias = args.store.clone().unwrap_or_default();
    let mut names: Vec<String> = known.of_store(&alias).map(|row| row.connection.name.clone()).collect();
    names.sort_unstable();
    Ok((alias, names))
}

fn no_store(alias: &str, known: &Snapshot) -> NotFound {
    let mut aliases: Vec<&str> = known.stores.keys().map(String::as_str).collect();
    aliases.sort_unstable();
    let hint = if aliases.is_empty() {
        "none is; `sapo-sync connect apply FILE` connects one".to_owned()
    } else {
        format!("known are: {}", aliases.join(", "))
    };
    NotFound(format!("there is no store {alias:?}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(elsewhere: &[&str], unmatched: &[&str]) -> SideReport {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        SideReport {
            system: System::Web,
            name: "webmau".into(),
            address: "https://sync.example.com/webhooks/web/webmau".into(),
            right: Vec::new(),
            missing: Vec::new(),
            moved: Vec::new(),
            moved_from: Vec::new(),
            doubled: Vec::new(),
            foreign: 0,
            elsewhere: words(elsewhere),
            unmatched: words(unmatched),
            repaired: true,
        }
    }

    #[test]
    fn a_place_that_no_webhook_goes_to_is_told_with_the_places_that_there_are() {
        let from = ["old.example", "old.exmaple"].map(str::to_owned);
        let (shop, web) = (side(&[], &["old.example", "old.exmaple"]), side(&["b.example"], &["old.exmaple"]));
        let told = in_vain(&from, &[Some(&shop), Some(&web)]);
        assert_eq!(told.len(), 1, "the other one was found at the web: {told:?}");
        assert!(
            told[0].starts_with("--from old.exmaple:") && told[0].contains("again with --from b.example"),
            "{told:?}"
        );
        assert!(in_vain(&from[..1], &[Some(&shop)])[0].contains("leave --from out"));
        assert!(in_vain(&from, &[Some(&shop), None]).is_empty(), "what could not be looked at may have it");
        assert!(in_vain(&[], &[Some(&shop), Some(&web)]).is_empty());
    }
}

//! `connect authorize`, `connect choices` and `connect webhooks`: access, what to choose from, and what shops tell us.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::ProgressBar;
use serde_json::json;

use super::exit::{Exit, NotFound};
use super::out;
use super::setup::{Invocation, no_connection};
use crate::app;
use crate::destination::CallError;
use crate::domain::connection::State;
use crate::domain::event::System;
use crate::domain::time;
use crate::store::connections::Snapshot;
use crate::sync::connect::choices;
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
  sapo-sync connect choices --store cuahangmau
  sapo-sync connect choices --store cuahangmau --web webmau --json

The shop must be connected, or have granted access (`connect authorize`).";

/// Of `sapo-sync connect webhooks`.
pub const HOOKS: &str = "Examples:
  sapo-sync connect webhooks --connection mau-web1
  sapo-sync connect webhooks --store cuahangmau --check
  sapo-sync connect webhooks --store cuahangmau --repair
  sapo-sync connect webhooks --store cuahangmau --repair --from old.example.com

Without --repair nothing is changed. Webhooks of others are never touched. Those that go to a receiver for this very
shop on another host are left alone too, for it may be another installation's; their hosts are listed, and --from says
that one of these was ours: they are moved. Needs public_url in the settings; where it is set, every reconcile registers
what is missing. The exit code is 3 where something is wrong and was not repaired, 1 where a shop or web could not be
looked at.";

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
    /// The store, by its alias: what stands before .mysapogo.com
    #[arg(long, value_name = "ALIAS")]
    pub store: String,
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
    let omni = choices::shop(&store, &http, &args.store).await?;
    let web = match &args.web {
        Some(site) => Some(choices::web(&store, &http, site).await?),
        None => None,
    };
    let rows = choices::choices(&omni, web.as_ref()).await?;
    out::list(
        invocation.json,
        i64::MAX,
        &rows,
        &["list", "write", "name", "for", ""],
        |row| {
            let note = if row.usable { row.note.to_owned() } else { format!("cannot be chosen: {}", row.note) };
            vec![row.label.to_owned(), row.value.clone(), row.name.clone(), row.keys.to_owned(), note]
        },
        out::row,
    );
    Ok(Exit::Fine)
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

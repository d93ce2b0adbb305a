//! `sandbox`: the made-up shop, its site and its webs alone, for trying things out by hand and by script.

use anyhow::Context as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::SandboxArgs;
use super::exit::Exit;
use super::setup::Invocation;
use super::{out, shop};
use crate::app;
use crate::sandbox::{Sandbox, SandboxConfig, TrafficConfig, WebSite, traffic};

/// The name its connection gets.
const NAME: &str = "mau-abaha";

/// Runs until Ctrl-C.
pub async fn run(invocation: Invocation, args: SandboxArgs) -> anyhow::Result<Exit> {
    let sandbox = Sandbox::start(config_of(&args)).await?;
    let file = shop::connections_file(&sandbox, NAME);
    if let Some(path) = &args.write_connections {
        std::fs::write(path, &file).with_context(|| {
            format!("{} cannot be written; choose another file with --write-connections", path.display())
        })?;
    }
    if let Some(base) = &args.webhooks_to {
        sandbox.send_webhooks_to(base.trim_end_matches('/'));
    }
    if invocation.json {
        describe_as_json(&sandbox, &args, &file);
    } else {
        describe(&sandbox, &args, &file);
    }
    let stop = CancellationToken::new();
    let busy = args.traffic.map(|rate| {
        let (sandbox, stop) = (sandbox.clone(), stop.clone());
        tokio::spawn(async move {
            traffic(&sandbox, TrafficConfig { events_per_second: rate, seed: args.seed }, stop).await;
        })
    });
    let mut news = sandbox.watch();
    let mut signal = std::pin::pin!(app::signal());
    loop {
        tokio::select! {
            () = &mut signal => break,
            told = news.recv() => match told {
                Ok(text) if invocation.json => out::json(&json!({"news": text})),
                Ok(text) => out::line(text),
                // Only lines were lost, not events.
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
            },
        }
    }
    stop.cancel();
    if let Some(busy) = busy {
        busy.await?;
    }
    sandbox.stop().await;
    Ok(Exit::Fine)
}

fn config_of(args: &SandboxArgs) -> SandboxConfig {
    SandboxConfig {
        omni_listen: args.omni_listen,
        abaha_listen: args.abaha_listen,
        web_listen: args.web_listen,
        web_sites: shop::web_aliases("webmau", args.webs).iter().map(|alias| WebSite::named(alias)).collect(),
        web_odd: args.odd,
        control_listen: args.control_listen,
        products: args.products,
        customers: args.customers,
        seed: args.seed,
        ..SandboxConfig::default()
    }
}

/// What the control API is for, in the two lines that are printed of it.
fn control(url: &str, config: &SandboxConfig) -> [String; 2] {
    let sites: Vec<&str> = config.web_sites.iter().map(|web| web.alias.as_str()).collect();
    let named = if sites.is_empty() { "none".to_owned() } else { sites.join(", ") };
    let odd = if config.web_odd { "with the odd products of real ones" } else { "--odd gives them odd products" };
    [
        format!(
            "control       {url}   GET /state, POST /omni/orders, POST /abaha/orders, POST /web/{{site}}/orders, POST /faults"
        ),
        format!("              sites: {named} (--webs {}); {odd}; `sapo-sync sandbox --help` has more", sites.len()),
    ]
}

fn describe(sandbox: &Sandbox, args: &SandboxArgs, file: &str) {
    let config = sandbox.config();
    out::line(format!("Sapo Omni     {}   shop {}, tenant {}", sandbox.omni_url(), config.alias, config.tenant_id));
    out::line(format!("Abaha         {}   site {}", sandbox.abaha_url(), config.site));
    for web in &config.web_sites {
        out::line(format!("Sapo Web      {}   site {}", sandbox.web_url(&web.alias), web.alias));
    }
    control(&sandbox.control_url(), config).iter().for_each(out::line);
    out::line(format!(
        "products {}, customers {}, seed {}; rate limit {}+{}/s, as Sapo publishes it",
        args.products, args.customers, args.seed, config.bucket.size, config.bucket.leak_per_second
    ));
    for (key, id, name) in shop::CHOICES {
        out::line(format!("{key:<16}{id}   {name}"));
    }
    match &args.webhooks_to {
        Some(base) => out::line(format!(
            "webhooks      {base}/webhooks/omni/{}, {base}/webhooks/abaha/{} and {base}/webhooks/web/SITE",
            config.alias, config.site
        )),
        None => {
            out::line("webhooks      none are sent; --webhooks-to http://127.0.0.1:8080 sends them to a running `up`");
        }
    }
    match &args.write_connections {
        Some(path) => out::line(format!(
            "\nwritten: {}. Connect it:\n  SAPO_SYNC__OUTGOING__ALLOW_CUSTOM_HOSTS=true sapo-sync connect apply {}",
            path.display(),
            path.display()
        )),
        None => out::line(format!(
            "\nThe connections file (--write-connections FILE writes it; every token and secret is of the sandbox alone):\n\n{file}"
        )),
    }
}

fn describe_as_json(sandbox: &Sandbox, args: &SandboxArgs, file: &str) {
    let config = sandbox.config();
    let choices: serde_json::Map<_, _> =
        shop::CHOICES.iter().map(|(key, id, _)| ((*key).to_owned(), json!(id))).collect();
    let webs: Vec<_> = config
        .web_sites
        .iter()
        .map(|web| {
            json!({
                "site": web.alias, "url": sandbox.web_url(&web.alias),
                "access_token": web.access_token, "webhook_secret": web.webhook_secret,
            })
        })
        .collect();
    out::json(&json!({
        "webs": webs, "omni": sandbox.omni_url(), "abaha": sandbox.abaha_url(), "control": sandbox.control_url(),
        "alias": config.alias, "tenant_id": config.tenant_id, "site": config.site,
        "access_token": config.access_token, "webhook_secret": config.webhook_secret, "abaha_token": config.abaha_token,
        "abaha_header": config.abaha_header, "webhooks_to": args.webhooks_to, "choices": choices, "connections_file": file,
    }));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn config(line: &str) -> SandboxConfig {
        match Cli::try_parse_from(line.split_whitespace()).unwrap().command {
            Command::Sandbox(args) => config_of(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_webs_are_made_unless_told_otherwise_and_odd_ones_when_asked() {
        let usual = config("sapo-sync sandbox");
        let sites: Vec<&str> = usual.web_sites.iter().map(|web| web.alias.as_str()).collect();
        assert_eq!((sites, usual.web_odd), (vec!["webmau", "webmau2"], false));
        let asked = config("sapo-sync sandbox --webs 3 --odd");
        assert_eq!((asked.web_sites.len(), asked.web_odd), (3, true));
    }

    #[test]
    fn the_control_line_tells_how_a_web_gets_an_order() {
        let told = control("http://127.0.0.1:9109", &config("sapo-sync sandbox")).concat();
        for word in ["POST /web/{site}/orders", "webmau, webmau2", "--webs 2", "--odd"] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}

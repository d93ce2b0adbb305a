//! What a connection with a web is set up with: branches, price lists, the web's location. The shops are asked for
//! them as seldom as any other cause is looked at again.

use std::sync::PoisonError;

use crate::destination::omni::client::Choice;
use crate::domain::outcome::Outcome;
use crate::map::web::product::{Note, RETAIL};
use crate::work::context::{Halt, Run, wrong_settings};
use crate::work::products::default_branch;

/// What is remembered of something that is there, and of something that is not.
const THERE: u64 = 1;
const GONE: u64 = 0;

/// The ids of the branches whose stock is summed: the chosen ones, else the shop's default one.
pub async fn stock_branches(run: &Run<'_>) -> Result<Vec<String>, Halt> {
    let chosen = &run.connection().settings.web.stock_branches;
    if !chosen.is_empty() {
        return Ok(chosen.iter().map(ToString::to_string).collect());
    }
    let branch = default_branch(run).await?.ok_or_else(|| {
        wrong_settings(
            "no branch (Chi nhánh) is chosen and the shop has no default one, so no stock is pushed; set \
             `stock_branches` and run `sapo-sync connect apply`",
        )
    })?;
    Ok(vec![branch.to_string()])
}

/// The web's location whose stock is set: the chosen one, else its only one.
pub async fn web_location(run: &Run<'_>) -> Result<u64, Halt> {
    if let Some(chosen) = run.connection().settings.web.web_location {
        return Ok(chosen);
    }
    let key = format!("{}/location", run.connection().channel_account());
    if let Some(location) = known(run, &key) {
        return Ok(location);
    }
    let mut locations = run.web()?.locations().await?;
    locations.retain(|location| location.active);
    let [only] = locations.as_slice() else {
        return Err(several_locations(&run.connection().site, &locations).into());
    };
    remember(run, key, only.id);
    Ok(only.id)
}

fn several_locations(site: &str, locations: &[Choice]) -> Outcome {
    if locations.is_empty() {
        return wrong_settings(format!(
            "the web {site} names no location that keeps stock, so none is pushed; look at its locations (Chi nhánh), \
             then set `web_location` and run `sapo-sync connect apply`"
        ));
    }
    let named: Vec<String> = locations.iter().map(|location| format!("{} ({})", location.id, location.name)).collect();
    wrong_settings(format!(
        "the web {site} keeps stock at {} locations, {}, and none is chosen, so no stock is pushed; set `web_location` \
         to one of them and run `sapo-sync connect apply`",
        locations.len(),
        named.join(", ")
    ))
}

/// The chosen location is not at the web.
pub fn unknown_location(site: &str, location: u64) -> Outcome {
    wrong_settings(format!(
        "the web {site} has no location {location} (any more), so no stock is pushed; correct `web_location` and run \
         `sapo-sync connect apply`"
    ))
}

/// Whether what a variant lacks is lacking in the whole shop: then the settings name something that is not there.
pub async fn wrong(run: &Run<'_>, notes: &[Note]) -> Result<Option<Outcome>, Halt> {
    for note in notes {
        let reason = match note {
            Note::StockUnknown { branch: Some(branch) } if branch_is_gone(run, branch).await? => format!(
                "branch {branch}, whose stock this web shows, is not one of the shop's active branches (any more), so \
                 no stock is pushed; set `stock_branches` to others and run `sapo-sync connect apply`"
            ),
            Note::NoPrice { list } if list_is_gone(run, list).await? => format!(
                "the price list {list} is not in the shop (any more), or is one of costs, so no price is pushed; set \
                 `price.from` to another and run `sapo-sync connect apply`"
            ),
            Note::NoCompareAt { list } if list_is_gone(run, list).await? => format!(
                "the price list {list} is not in the shop (any more), or is one of costs, so no compare-at price is \
                 pushed; set `price.compare_at` to another or to \"none\" and run `sapo-sync connect apply`"
            ),
            _ => continue,
        };
        return Ok(Some(wrong_settings(reason)));
    }
    Ok(None)
}

async fn branch_is_gone(run: &Run<'_>, branch: &str) -> Result<bool, Halt> {
    let key = format!("{}/branch/{branch}", run.connection().store_account());
    if let Some(known) = known(run, &key) {
        return Ok(known == GONE);
    }
    let locations = run.omni.locations().await?;
    let there = locations.iter().any(|location| location.active && location.id.to_string() == branch);
    remember(run, key, if there { THERE } else { GONE });
    Ok(!there)
}

/// The retail price list comes with every shop and stays. One of costs is none that a web could show.
async fn list_is_gone(run: &Run<'_>, code: &str) -> Result<bool, Halt> {
    if code == RETAIL {
        return Ok(false);
    }
    let key = format!("{}/price_list/{code}", run.connection().store_account());
    if let Some(known) = known(run, &key) {
        return Ok(known == GONE);
    }
    let there = run.omni.price_lists().await?.iter().any(|list| list.code == code && !list.cost);
    remember(run, key, if there { THERE } else { GONE });
    Ok(!there)
}

fn known(run: &Run<'_>, key: &str) -> Option<u64> {
    let known = run.context.branches.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(key).filter(|(_, until)| run.context.clock.now() < *until).map(|(found, _)| *found)
}

fn remember(run: &Run<'_>, key: String, found: u64) {
    let until = run.context.clock.after(run.context.recheck);
    run.context.branches.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (found, until));
}

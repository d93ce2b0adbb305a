//! Categories, Sapo → Abaha.

use std::collections::HashMap;

use super::context::{Halt, LEASE, Run};
use super::create::{self, Created, Creation};
use crate::destination::page::{Next, Pages};
use crate::destination::{AbahaClient, CallError, OmniClient};
use crate::domain::product::PosCategory;
use crate::store::intents::{IntentKey, IntentKind, Taken};
use crate::store::links::{Link, LinkKind};

/// The ids of the channel's categories by name.
pub type Names = HashMap<String, String>;

/// The channel's category: linked, else the one of that name there, else created; renamed when renamed on Sapo.
pub async fn ensure_category(run: &Run<'_>, category: Option<&PosCategory>) -> Result<Option<String>, Halt> {
    let Some(category) = category.filter(|category| !category.name.trim().is_empty()) else {
        return Ok(None);
    };
    let name = category.name.trim();
    if let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Category, &category.id).await? {
        let id = link.channel_id.clone();
        // A product tells its category's name as of its own time: what the category is called now, it tells itself.
        if link.natural_key != name
            && let Some(now) = category_now(&run.omni, &category.id).await?
        {
            rename_category(run, link, now.name.trim()).await?;
        }
        return Ok(Some(id));
    }
    let found = category_named(run.abaha()?, name).await?;
    link_category(run, category, found).await
}

/// The same for a category that its own list told just now; `there` holds the channel's categories by name.
pub async fn ensure_category_among(
    run: &Run<'_>,
    category: &PosCategory,
    there: &Names,
) -> Result<Option<String>, Halt> {
    let name = category.name.trim();
    if name.is_empty() {
        return Ok(None);
    }
    if let Some(link) = run.store().link_by_sapo(run.name(), LinkKind::Category, &category.id).await? {
        let id = link.channel_id.clone();
        rename_category(run, link, name).await?;
        return Ok(Some(id));
    }
    link_category(run, category, there.get(name).cloned()).await
}

/// Gives the channel's category a new name. Its products are all told of it at once: whoever comes first renames it.
async fn rename_category(run: &Run<'_>, mut link: Link, name: &str) -> Result<(), Halt> {
    if link.natural_key == name || name.is_empty() {
        return Ok(());
    }
    if run.dry {
        if let Err(CallError::DryRun { would }) = run.abaha()?.rename_category(&link.channel_id, name).await {
            run.step("planned", would);
        }
        return Ok(());
    }
    let key = IntentKey {
        account: run.connection().channel_account(),
        kind: IntentKind::Category,
        natural_key: format!("rename:{}:{name}", link.sapo_id),
    };
    let taken = run.store().take_intent(&key, run.name(), &link.sapo_id, None, &run.context.owner, LEASE).await?;
    let (Taken::New(intent) | Taken::Again(intent)) = taken else { return Ok(()) };
    let renamed = match run.store().link_by_sapo(run.name(), LinkKind::Category, &link.sapo_id).await? {
        Some(now) if now.natural_key == name => Ok(()),
        _ => match run.abaha()?.rename_category(&link.channel_id, name).await {
            Ok(()) => {
                name.clone_into(&mut link.natural_key);
                create::record_link(run, &mut link, None, &[]).await
            }
            Err(error) => Err(error.into()),
        },
    };
    // A rename can be repeated: nothing of it has to be remembered.
    run.store().drop_intent(&intent).await?;
    renamed
}

/// Links a category with the one found on the channel, or creates that.
async fn link_category(run: &Run<'_>, category: &PosCategory, found: Option<String>) -> Result<Option<String>, Halt> {
    let name = category.name.trim();
    let key = IntentKey {
        account: run.connection().channel_account(),
        kind: IntentKind::Category,
        natural_key: format!("{}:{name}", category.id),
    };
    let (id, key) = if let Some(id) = found {
        (id, None)
    } else {
        let creation = Creation { key: &key, source_id: &category.id, fingerprint: None, refused: None };
        let look_up = async { Ok(category_named(run.abaha()?, name).await?) };
        match create::once(run, &creation, look_up, run.abaha()?.create_category(name)).await {
            Ok(Created::Now(id) | Created::Found(id) | Created::Before(id)) => (id, Some(&key)),
            Err(Halt::Call(CallError::DryRun { would })) => {
                run.step("planned", would);
                return Ok(None);
            }
            Err(halt) => return Err(halt),
        }
    };
    if let Some(other) = run.store().link_by_channel(run.name(), LinkKind::Category, &id).await? {
        if other.sapo_id != category.id {
            run.step("note", format!("two Sapo categories are called {name}; both go to the same category on Abaha"));
        }
        return Ok(Some(id));
    }
    let mut link = Link::new(run.name(), LinkKind::Category, &category.id, &id, name);
    create::record_link(run, &mut link, key, &[]).await?;
    Ok(Some(id))
}

async fn category_now(omni: &OmniClient, id: &str) -> Result<Option<PosCategory>, CallError> {
    let (mut page, mut pages) = (1, Pages::default());
    loop {
        let answer = omni.categories(page).await?;
        let next = pages.next(&answer);
        if let Some(found) = answer.into_values().find(|category| category.id == id) {
            return Ok(Some(found));
        }
        if next != Next::More {
            return Ok(None);
        }
        page += 1;
    }
}

async fn category_named(abaha: &AbahaClient, name: &str) -> Result<Option<String>, CallError> {
    let (mut page, mut pages) = (1, Pages::default());
    loop {
        let answer = abaha.categories(page).await?;
        let next = pages.next(&answer);
        if let Some(found) = answer.into_values().find(|there| there.name.trim() == name) {
            return Ok(Some(found.id));
        }
        if next != Next::More {
            return Ok(None);
        }
        page += 1;
    }
}

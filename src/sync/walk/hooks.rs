//! The last stage of every reconcile: are the webhooks still registered?

use super::pace::{Pace, WalkError};
use crate::sync::compare::{Action, Finding};
use crate::sync::connect::hooks::{self, Repair};

/// Looks whether both sides still tell of what changes, and mends it where they do not. What cannot be mended is
/// reported, and spoils nothing of what was reconciled.
pub(in crate::sync) async fn webhooks(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    let Some(public_url) = pace.context.public_url.clone() else { return Ok(()) };
    let held = pace.context.snapshot.get();
    let store = held.as_ref().and_then(|held| held.0.stores.get(&pace.connection().store));
    let Some(store) = store else { return Ok(()) };
    let kept =
        pace.calling(|| Box::pin(hooks::keep(pace.context, &pace.run.account, store, &public_url, Repair::Own))).await;
    match kept {
        Ok(report) => {
            for side in report.sides.iter().filter(|side| !side.is_right()) {
                let finding =
                    Finding::new(Action::Update, "webhook", side.name.as_str(), "not_registered", side.summary());
                pace.note("webhook", &finding);
            }
            Ok(())
        }
        Err(WalkError::Call(error)) => {
            let site = pace.connection().site.clone();
            pace.note("webhook", &Finding::new(Action::Error, "webhook", site, error.code(), error.to_string()));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

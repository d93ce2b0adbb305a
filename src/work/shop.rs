//! The shop itself, and whether it lets us in: app/uninstalled, and tokens that are not taken any more.

use std::sync::PoisonError;

use super::context::{ACCESS, Halt, Run, outcome_of};
use crate::destination::CallError;
use crate::destination::refusal::names_a_scope;
use crate::domain::connection::State;
use crate::domain::event::System;
use crate::domain::outcome::{Cause, Outcome};

/// Who acts here, for the audit.
const ACTOR: &str = "sapo-sync";

/// Stops the connection once a read has shown that the shop took our access away; its links are kept.
pub async fn process(run: &Run<'_>) -> Result<Outcome, Halt> {
    let answer = match run.event.key.source {
        System::Web => run.web()?.shop().await.map(|_| ()),
        _ => run.omni.tenant().await.map(|_| ()),
    };
    if is_taken(answer)? {
        return Ok(Outcome::skipped(
            "still_installed",
            "the shop still accepts our access token; the notice is not believed",
        ));
    }
    let mut tx = run.store().begin().await?;
    let reason = "the app was uninstalled from the shop";
    run.store().set_connection_state(&mut tx, run.name(), State::Stopped, Some(reason)).await?;
    run.store().audit(&mut tx, ACTOR, "stop", run.name(), reason).await?;
    tx.commit().await?;
    Ok(Outcome::done("stopped", "the app was uninstalled from the shop: the connection is stopped, its links are kept"))
}

/// Whether a reading call's answer says that the token is taken: it is, too, where the app may not do just that.
fn is_taken(answer: Result<(), CallError>) -> Result<bool, CallError> {
    match answer {
        Ok(()) => Ok(true),
        // Only a refusal that names a scope shows that the token itself is known.
        Err(CallError::Refused { code: "missing_scope", message, .. }) => Ok(names_a_scope(&message)),
        Err(CallError::Unauthorised { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A call was refused for want of access. Where reads that need nothing but a token are refused too, the whole
/// connection waits: every other call would be refused as well, and each would count against the shop's limit.
pub async fn refused(run: &Run<'_>, error: CallError) -> Result<Outcome, Halt> {
    if !run.dry
        && let Some(reason) = no_access(run).await?
    {
        let store = run.store();
        let mut tx = store.begin().await?;
        if store.set_access(&mut tx, run.name(), Some(&reason)).await? {
            store.audit(&mut tx, ACTOR, "no access", run.name(), &reason).await?;
            tracing::warn!(connection = %run.name(), reason, "the connection waits for access");
        }
        tx.commit().await?;
        seen(run);
        run.context.snapshot.refresh().await?;
        return Ok(waits(&reason));
    }
    Ok(outcome_of(error))
}

/// Looks whether the token is taken again, once in a while; goes on where it is, and parks the event where not.
pub async fn look_again(run: &Run<'_>) -> Result<(), Halt> {
    let known = run.account.state_reason.as_deref().unwrap_or("its token is not taken");
    if seen_lately(run) {
        return Err(waits(known).into());
    }
    seen(run);
    if let Some(reason) = no_access(run).await? {
        return Err(waits(&reason).into());
    }
    let store = run.store();
    let mut tx = store.begin().await?;
    if store.set_access(&mut tx, run.name(), None).await? {
        store.audit(&mut tx, ACTOR, "access again", run.name(), "").await?;
    }
    tx.commit().await?;
    store.bring_forward(run.name(), ACCESS).await?;
    run.context.snapshot.refresh().await?;
    Ok(())
}

/// Which API does not take its token, and what to do; nothing where both do.
async fn no_access(run: &Run<'_>) -> Result<Option<String>, Halt> {
    let connection = run.connection();
    let told = |who: &str, name: &str, cure: &str| {
        format!(
            "{who} {name} does not take the access token any more: {cure}, then `sapo-sync connect apply`; links are kept, and what comes waits"
        )
    };
    if !is_taken(run.omni.tenant().await.map(|_| ()))? {
        return Ok(Some(told("the POS", &connection.store, "get a new one from its owner")));
    }
    let (answer, who, cure) = match connection.channel {
        System::Web => {
            let cure = "where the app was uninstalled, let the owner install it again";
            (run.web()?.shop().await.map(|_| ()), "the web", cure)
        }
        System::Abaha | System::Omni => {
            let cure = "copy a new one from the site's settings";
            (run.abaha()?.categories(1).await.map(|_| ()), "the Abaha site", cure)
        }
    };
    Ok(if is_taken(answer)? { None } else { Some(told(who, &connection.site, cure)) })
}

fn waits(reason: &str) -> Outcome {
    Outcome::parked(Cause::Setup, Some(ACCESS.to_owned()), reason)
}

fn key(run: &Run<'_>) -> String {
    format!("{}/access", run.name())
}

fn seen(run: &Run<'_>) {
    let until = run.context.clock.after(run.context.recheck);
    run.context.branches.lock().unwrap_or_else(PoisonError::into_inner).insert(key(run), (0, until));
}

/// Whether it was looked at within one recheck: the rows that wait come back together, and one look tells for all.
fn seen_lately(run: &Run<'_>) -> bool {
    let now = run.context.clock.now();
    let known = run.context.branches.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(&key(run)).is_some_and(|(_, until)| now < *until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_is_missing_waits_for_access_and_does_not_make_the_token_a_bad_one() {
        let message = "the POS's app lacks read_customers".to_owned();
        let error = CallError::Refused { code: "missing_scope", message: message.clone(), answer: None };
        assert_eq!(is_taken(Err(error.clone())), Ok(true));
        assert_eq!(outcome_of(error), Outcome::parked(Cause::Setup, Some(ACCESS.to_owned()), message));
        assert_eq!(is_taken(Err(CallError::Unauthorised { answer: None })), Ok(false));
        let throttled = CallError::Throttled { until: 1 };
        assert_eq!(is_taken(Err(throttled.clone())), Err(throttled), "that tells nothing of the token");
    }
}

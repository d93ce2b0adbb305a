//! Faults as the control API writes them.

use std::time::Duration;

use serde_json::Value;

use crate::sandbox::amount::{text, whole};
use crate::sandbox::{Api, ApiEffect, ApiFault, FaultMix, Faults, Timing, WebhookEffect, WebhookFault};

/// Adds what one body describes; exactly one of `effect` with `path`, `effect` with `topic`, `timing` or `random`.
///
/// `{"api":"omni","method":"POST","path":"orders$","skip":0,"times":1,"effect":"status","code":500,"retry_after":2}`;
/// effects: `status`, `reset_before`, `work_then_reset`, `work_then_hang`, `work_later`, `slow_body` (these three with
/// `ms`), `wrong_json`, `html_error` (with `code`), `hold` (with `name`).
/// With `"api":"web"`, `"site":"webmau"` spares the other sites.
/// `{"api":"omni","topic":"orders/","times":1,"effect":"delay","ms":500}`; effects: `drop`, `duplicate` (with `count`),
/// `delay` (with `ms`), `truncate`, `reorder`. `{"release":"name"}` lets held answers go.
/// `{"timing":"before"}`, or `during` or `after`. `{"random":{"seed":1,"drop":0.1,"delay_max_ms":200}}`.
pub(super) fn add(faults: &Faults, body: &Value) -> Result<(), String> {
    if let Some(name) = text(&body["release"]) {
        faults.release(&name);
        return Ok(());
    }
    if let Some(word) = body["timing"].as_str() {
        faults.echo_timing(match word {
            "before" => Timing::Before,
            "during" => Timing::During,
            "after" => Timing::After,
            _ => return Err(format!("timing is before, during or after, not {word}")),
        });
        return Ok(());
    }
    if body["random"].is_object() {
        let random = &body["random"];
        faults.random(whole(&random["seed"]).unwrap_or(1), mix(random)?);
        return Ok(());
    }
    let api = match body["api"].as_str() {
        Some("omni") => Api::Omni,
        Some("abaha") => Api::Abaha,
        Some("web") => Api::Web,
        _ => return Err("api is omni, abaha or web".into()),
    };
    let site = text(&body["site"]).filter(|_| api == Api::Web);
    let (skip, times) = (count(body, "skip", 0)?, count(body, "times", 1)?);
    if let Some(topic) = body["topic"].as_str() {
        let effect = webhook_effect(body)?;
        let fault = WebhookFault { api, topic: topic.to_owned(), skip, times, effect };
        match site {
            Some(site) => faults.web_webhook(&site, fault),
            None => faults.webhook(fault),
        }
    } else {
        let (method, path) = (text(&body["method"]), body["path"].as_str().unwrap_or_default().to_owned());
        let effect = api_effect(body)?;
        let fault = ApiFault { api, method, path, skip, times, effect };
        match site {
            Some(site) => faults.web_api(&site, fault),
            None => faults.api(fault),
        }
    }
    Ok(())
}

fn api_effect(body: &Value) -> Result<ApiEffect, String> {
    let word = body["effect"].as_str().unwrap_or_default();
    Ok(match word {
        "status" => ApiEffect::Status { code: status(body)?, retry_after: whole(&body["retry_after"]) },
        "reset_before" => ApiEffect::ResetBefore,
        "work_then_reset" => ApiEffect::WorkThenReset,
        "work_then_hang" => ApiEffect::WorkThenHang(time(body)?),
        "work_later" => ApiEffect::WorkLater(time(body)?),
        "slow_body" => ApiEffect::SlowBody(time(body)?),
        "wrong_json" => ApiEffect::WrongJson,
        "html_error" => ApiEffect::HtmlError(status(body)?),
        "hold" => ApiEffect::Hold(text(&body["name"]).ok_or("hold needs a name")?),
        _ => return Err(format!("unknown effect {word:?} of a call")),
    })
}

fn webhook_effect(body: &Value) -> Result<WebhookEffect, String> {
    let word = body["effect"].as_str().unwrap_or_default();
    Ok(match word {
        "drop" => WebhookEffect::Drop,
        "duplicate" => WebhookEffect::Duplicate(count(body, "count", 1)?),
        "delay" => WebhookEffect::Delay(time(body)?),
        "truncate" => WebhookEffect::Truncate,
        "reorder" => WebhookEffect::Reorder,
        _ => return Err(format!("unknown effect {word:?} of a webhook")),
    })
}

fn mix(random: &Value) -> Result<FaultMix, String> {
    let chance = |field: &str| match &random[field] {
        Value::Null => Ok(0.0),
        value => value
            .as_f64()
            .filter(|chance| (0.0..=1.0).contains(chance))
            .ok_or_else(|| format!("{field} must be from 0 to 1")),
    };
    Ok(FaultMix {
        drop: chance("drop")?,
        duplicate: chance("duplicate")?,
        delay_max: Duration::from_millis(whole(&random["delay_max_ms"]).unwrap_or(0)),
        reorder: chance("reorder")?,
        truncate: chance("truncate")?,
        api_429: chance("api_429")?,
        api_500: chance("api_500")?,
        work_then_reset: chance("work_then_reset")?,
    })
}

fn count(body: &Value, field: &str, usual: u32) -> Result<u32, String> {
    match &body[field] {
        Value::Null => Ok(usual),
        value => whole(value)
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| format!("{field} must be a whole number")),
    }
}

fn status(body: &Value) -> Result<u16, String> {
    let code = whole(&body["code"]).and_then(|code| u16::try_from(code).ok());
    code.filter(|code| (200..600).contains(code)).ok_or_else(|| "code must be an HTTP status".into())
}

fn time(body: &Value) -> Result<Duration, String> {
    whole(&body["ms"]).map(Duration::from_millis).ok_or_else(|| "ms must be a whole number".into())
}

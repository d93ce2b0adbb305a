//! Verification over the raw body: the only maker of events from outside.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::clock::Millis;
use crate::domain::envelope::{self, Envelope, Unreadable};
use crate::domain::event::{Event, Kind, ObjectKey, Shape, System};
use crate::store::connections::{ConnectionAccount, Snapshot};

/// The header names of Sapo's signature, the current and the older (documents; code of others). Of the older family other
/// people's code names signature and topic; shop and trial are taken to be named likewise. A sender that writes both
/// families is believed where each of them, for itself, would be.
const SAPO_SIGNATURES: [&str; 2] = ["x-sapo-hmac-sha256", "x-bizweb-hmac-sha256"];
const SAPO_TOPICS: [&str; 2] = ["x-sapo-topic", "x-bizweb-topic"];
const SAPO_TENANTS: [&str; 3] = ["x-sapo-tenant-domain", "x-sapo-shop-domain", "x-bizweb-shop-domain"];
/// Say of a web's webhook whether it is a trial (vendor's sample of headers).
const SAPO_TRIALS: [&str; 2] = ["x-sapo-test", "x-bizweb-test"];
/// Ours: the same scheme as Sapo's, for senders that can sign.
const ABAHA_SIGNATURE: &str = "x-abaha-hmac-sha256";

/// A request that claims to come from a source.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Which endpoint it came to.
    pub source: System,
    /// The alias or site of its path.
    pub name: &'a str,
    /// Its headers: hints, but for the signature.
    pub headers: &'a HeaderMap,
    /// Its raw body.
    pub body: &'a Bytes,
    /// When it came.
    pub received_at: Millis,
}

/// What a verified request becomes.
#[derive(Debug)]
pub struct Verified {
    /// One event for each connection whose own secret verified it.
    pub events: Vec<Event>,
    /// The store's alias and tenant, where the body was the first to tell it.
    pub learned_tenant: Option<(String, String)>,
}

/// Unknown source, missing or wrong proof: always the same.
#[derive(Debug, PartialEq, Eq)]
pub struct Unauthorised;

/// Whether a source of this name is connected.
pub fn is_known(snapshot: &Snapshot, source: System, name: &str) -> bool {
    match source {
        System::Omni => snapshot.stores.contains_key(name),
        System::Abaha | System::Web => snapshot.of_site(source, name).is_some(),
    }
}

/// Verifies a request and makes its events.
pub fn verify(snapshot: &Snapshot, claim: &Claim<'_>) -> Result<Verified, Unauthorised> {
    match claim.source {
        System::Omni => omni(snapshot, claim),
        System::Web => web(snapshot, claim),
        System::Abaha => abaha(snapshot, claim),
    }
}

fn omni(snapshot: &Snapshot, claim: &Claim<'_>) -> Result<Verified, Unauthorised> {
    let store = snapshot.stores.get(claim.name);
    check_signature(claim, &SAPO_SIGNATURES, store.map(|store| store.webhook_secrets.as_slice()))?;
    let store = store.ok_or(Unauthorised)?;
    check_tenant_header(claim)?;
    let read = envelope::read(System::Omni, topic_header(claim), claim.body);
    // Whatever its topic says: headers are not signed, the body is.
    let told = match &read {
        Ok(envelope) => envelope.tenant_id.clone(),
        Err(_) => envelope::tenant_of(claim.body),
    };
    // A body that names no shop may be another one's of the same app: only its id is taken from it.
    let nameless = store.tenant_id.is_some() && told.is_none();
    let learned_tenant = match (&store.tenant_id, told) {
        (Some(known), Some(told)) if *known != told => return Err(Unauthorised),
        (None, Some(told)) => Some((store.alias.clone(), told)),
        _ => None,
    };
    let events = snapshot.of_store(claim.name).map(|row| {
        let mut event = event(claim, row, &read);
        event.read |= nameless;
        event
    });
    Ok(Verified { events: events.collect(), learned_tenant })
}

fn web(snapshot: &Snapshot, claim: &Claim<'_>) -> Result<Verified, Unauthorised> {
    let row = snapshot.of_site(System::Web, claim.name);
    check_signature(claim, &SAPO_SIGNATURES, row.map(|row| row.webhook_secrets.as_slice()))?;
    let row = row.ok_or(Unauthorised)?;
    check_tenant_header(claim)?;
    let read = envelope::read(System::Web, topic_header(claim), claim.body);
    let mut event = event(claim, row, &read);
    // No body of a web names its site. Where one app's secret signs for several, it may be another one's: only its id
    // is taken from it.
    event.read |= snapshot.shares_secret(&row.connection.name);
    let event = if is_trial(claim) { trial(event) } else { event };
    Ok(Verified { events: vec![event], learned_tenant: None })
}

/// Whether a web calls what it sends a trial, under either name. The header is not signed: it only ever makes us do less.
fn is_trial(claim: &Claim<'_>) -> bool {
    let mut values = SAPO_TRIALS.iter().flat_map(|name| claim.headers.get_all(*name));
    values.any(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// A trial is skipped and shown as such. It is nobody's newest state: a body that is sent again with that header takes
/// nothing's place.
fn trial(mut event: Event) -> Event {
    event.topic = format!("test/{}", event.topic);
    event.key = ObjectKey { kind: Kind::Shop, object_id: event.id.to_string(), ..event.key };
    (event.shape, event.version) = (Shape::Partial, None);
    event
}

fn abaha(snapshot: &Snapshot, claim: &Claim<'_>) -> Result<Verified, Unauthorised> {
    let row = snapshot.of_site(System::Abaha, claim.name);
    let header = row.and_then(|row| row.webhook_header.as_ref());
    let secrets = row.map(|row| row.webhook_secrets.as_slice()).filter(|secrets| !secrets.is_empty());
    // Every method that is configured must pass; a source with none passes nothing.
    let by_header = header.map(|(name, value)| check_header(claim, name, value));
    let by_signature = match (secrets, header) {
        (None, Some(_)) => None,
        (secrets, _) => Some(check_signature(claim, &[ABAHA_SIGNATURE], secrets)),
    };
    by_header.unwrap_or(Ok(()))?;
    by_signature.unwrap_or(Ok(()))?;
    let row = row.ok_or(Unauthorised)?;
    let read = envelope::read(System::Abaha, None, claim.body);
    if let Ok(Envelope { site_id: Some(site), .. }) = &read
        && *site != row.connection.site
    {
        return Err(Unauthorised);
    }
    Ok(Verified { events: vec![event(claim, row, &read)], learned_tenant: None })
}

/// The values of a header, one for each of its names that is there; under one name twice, it proves nothing.
fn each_once<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<Vec<&'a HeaderValue>, Unauthorised> {
    let mut values: Vec<&HeaderValue> = Vec::with_capacity(names.len());
    for name in names {
        let mut given = headers.get_all(*name).iter();
        values.extend(given.next());
        if given.next().is_some() {
            return Err(Unauthorised);
        }
    }
    Ok(values)
}

/// Checks base64(HMAC-SHA256(secret, raw body)) against each current secret, in constant time: there must be one, and
/// every one that is there must be right. A source that is not known costs the same as one with a wrong signature.
fn check_signature(claim: &Claim<'_>, names: &[&str], secrets: Option<&[SecretString]>) -> Result<(), Unauthorised> {
    let given = each_once(claim.headers, names)?;
    let given: Vec<Vec<u8>> = given.iter().map(|value| STANDARD.decode(value.as_bytes()).unwrap_or_default()).collect();
    let nobody = [SecretString::from("")];
    let known = secrets.is_some_and(|secrets| !secrets.is_empty());
    let mut right = vec![false; given.len()];
    for secret in secrets.filter(|secrets| !secrets.is_empty()).unwrap_or(&nobody) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).map_err(|_| Unauthorised)?;
        mac.update(claim.body);
        for (given, right) in given.iter().zip(&mut right) {
            *right |= mac.clone().verify_slice(given).is_ok();
        }
    }
    if known && !right.is_empty() && right.iter().all(|right| *right) { Ok(()) } else { Err(Unauthorised) }
}

fn check_header(claim: &Claim<'_>, name: &str, expected: &SecretString) -> Result<(), Unauthorised> {
    let given = each_once(claim.headers, &[name])?.pop().ok_or(Unauthorised)?;
    let same: bool = given.as_bytes().ct_eq(expected.expose_secret().as_bytes()).into();
    if same { Ok(()) } else { Err(Unauthorised) }
}

/// A tenant header is not signed, but one that names another shop than the path is a mistake or a trick.
fn check_tenant_header(claim: &Claim<'_>) -> Result<(), Unauthorised> {
    for value in each_once(claim.headers, &SAPO_TENANTS)? {
        let domain = value.to_str().map_err(|_| Unauthorised)?.trim();
        let alias = domain.split('.').next().unwrap_or_default();
        if !alias.eq_ignore_ascii_case(claim.name) {
            return Err(Unauthorised);
        }
    }
    Ok(())
}

fn topic_header<'a>(claim: &Claim<'a>) -> Option<&'a str> {
    SAPO_TOPICS.iter().find_map(|name| claim.headers.get(*name)).and_then(|value| value.to_str().ok())
}

fn event(claim: &Claim<'_>, row: &ConnectionAccount, read: &Result<Envelope, Unreadable>) -> Event {
    let connection = &row.connection;
    let key = |kind, object_id: String| ObjectKey {
        connection: connection.name.clone(),
        source: claim.source,
        kind,
        object_id,
    };
    let make = |key, topic: &str, shape| {
        Event::new(key, connection.store.clone(), topic, shape, claim.received_at, claim.body.clone())
    };
    match read {
        Ok(envelope) => {
            let mut event = make(key(envelope.kind, envelope.object_id.clone()), &envelope.topic, envelope.shape);
            event.reference.clone_from(&envelope.reference);
            event.version = envelope.version;
            event
        }
        Err(why) => {
            let (topic, shape) = match why {
                Unreadable::UnknownTopic(topic) => (topic.as_str(), Shape::Partial),
                Unreadable::NotAnObject | Unreadable::NoId => {
                    (topic_header(claim).unwrap_or_default(), Shape::Unreadable)
                }
            };
            let mut event = make(key(Kind::Shop, String::new()), topic, shape);
            event.key.object_id = event.id.to_string();
            event
        }
    }
}

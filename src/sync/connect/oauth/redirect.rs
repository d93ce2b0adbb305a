//! What comes back with the owner's browser, and whether the shop sent it; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::Refused;
use crate::domain::clock::Millis;
use crate::domain::event::System;

/// The query's parameters, decoded.
pub type Pairs = [(String, String)];

/// How far the redirect's own time may be from ours, in milliseconds.
const APART: Millis = 600_000;

/// The most parameters, and the longest value, that are looked at.
const MOST: usize = 32;
const LONGEST: usize = 2_048;

/// A redirect that the shop signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect<'a> {
    /// The word of the question that it answers.
    pub state: &'a str,
    /// What the owner said.
    pub answer: Answer<'a>,
}

/// What the owner said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Yes.
    Agreed {
        /// What is to be exchanged.
        code: &'a str,
        /// Which shop it says it comes from.
        shop: &'a str,
    },
    /// No.
    Declined {
        /// Which shop it says it comes from, where it does.
        shop: Option<&'a str>,
    },
}

impl<'a> Answer<'a> {
    /// Which shop it says it comes from.
    pub fn shop(self) -> Option<&'a str> {
        match self {
            Self::Agreed { shop, .. } => Some(shop),
            Self::Declined { shop } => shop,
        }
    }
}

/// Checks a redirect: every parameter at most once, signed by the app's secret key, and of now.
pub fn verify<'a>(pairs: &'a Pairs, secret: &SecretString, now: Millis) -> Result<Redirect<'a>, Refused> {
    let long = |(key, value): &(String, String)| key.len() > LONGEST || value.len() > LONGEST;
    if pairs.len() > MOST || pairs.iter().any(long) {
        return Err(Refused::Unreadable);
    }
    let doubled = pairs.iter().enumerate().any(|(at, (key, _))| pairs[..at].iter().any(|(other, _)| other == key));
    if doubled {
        return Err(Refused::Doubled);
    }
    let find = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if !is_signed(pairs, find("hmac").unwrap_or_default(), secret) {
        return Err(Refused::Signature);
    }
    let sent = find("timestamp").and_then(moment).ok_or(Refused::Time)?;
    if (now - sent).abs() > APART {
        return Err(Refused::Time);
    }
    let given = |name: &str| find(name).filter(|value| !value.is_empty());
    let shop = match (given("store"), given("shop")) {
        (Some(store), Some(shop)) if store != shop => return Err(Refused::Shop),
        (store, shop) => store.or(shop),
    };
    let state = given("state").ok_or(Refused::State)?;
    if find("error").is_some() {
        return Ok(Redirect { state, answer: Answer::Declined { shop } });
    }
    let shop = shop.ok_or(Refused::Shop)?;
    let code = given("code").filter(|code| code.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok(Redirect { state, answer: Answer::Agreed { code: code.ok_or(Refused::Unreadable)?, shop } })
}

/// Whether `hmac` signs the other parameters, in hex (POS documents) or base64 (Sapo Web's), in constant time.
fn is_signed(pairs: &Pairs, given: &str, secret: &SecretString) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    mac.update(signed_text(pairs).as_bytes());
    // A plus sign that was not escaped on its way has become a blank.
    let decoded = hex::decode(given).or_else(|_| STANDARD.decode(given.replace(' ', "+"))).unwrap_or_default();
    mac.verify_slice(&decoded).is_ok()
}

/// What is signed: all but `hmac` and `signature`, each `key=value`, sorted, with `&` between them (vendor's documents).
pub fn signed_text(pairs: &Pairs) -> String {
    let value = |text: &str| text.replace('%', "%25").replace('&', "%26");
    let mut all: Vec<String> = pairs
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "hmac" | "signature"))
        .map(|(key, text)| format!("{}={}", value(key).replace('=', "%3D"), value(text)))
        .collect();
    all.sort();
    all.join("&")
}

/// Seconds, as the documents have them; milliseconds where the number is too large for seconds.
fn moment(text: &str) -> Option<Millis> {
    let number: i64 = text.trim().parse().ok()?;
    if number > 100_000_000_000 { Some(number) } else { number.checked_mul(1_000) }
}

/// Whether a redirect's shop is the one that was asked: its name, or its whole address under the system's domain.
pub fn is_shop(system: System, name: &str, shop: &str) -> bool {
    let domains: &[&str] = match system {
        System::Web => &["mysapo.net", "bizwebvietnam.net"],
        System::Omni | System::Abaha => &["mysapogo.com", "mysapo.vn"],
    };
    let shop = shop.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    shop == name || domains.iter().any(|domain| shop == format!("{name}.{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_772_421_323_000;

    fn secret() -> SecretString {
        "hush".into()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn mac(text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"hush").unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// A redirect of these parameters, rightly signed.
    fn signed(given: &[(&str, &str)], form: fn(&[u8]) -> String) -> Vec<(String, String)> {
        let mut all = pairs(given);
        let text = signed_text(&all);
        all.push(("hmac".to_owned(), form(&mac(&text))));
        all
    }

    fn hex_form(bytes: &[u8]) -> String {
        hex::encode(bytes)
    }

    const FINE: [(&str, &str); 4] =
        [("timestamp", "1772421323"), ("store", "mau.mysapogo.com"), ("state", "w0rd"), ("code", "c0de")];

    #[test]
    fn what_is_signed_is_sorted_and_escaped_as_documented() {
        let given = pairs(&[
            ("store", "mau.mysapo.vn"),
            ("hmac", "x"),
            ("signature", "y"),
            ("a=b&c%", "1=2&3%"),
            ("code", "a94a"),
        ]);
        assert_eq!(signed_text(&given), "a%3Db%26c%25=1=2%263%25&code=a94a&store=mau.mysapo.vn");
    }

    #[test]
    fn hex_and_base64_are_both_taken_and_the_old_signature_is_ignored() {
        let answer = Answer::Agreed { code: "c0de", shop: "mau.mysapogo.com" };
        let expected = Redirect { state: "w0rd", answer };
        let base64: fn(&[u8]) -> String = |bytes| STANDARD.encode(bytes);
        let unescaped: fn(&[u8]) -> String = |bytes| STANDARD.encode(bytes).replace('+', " ");
        for form in [hex_form as fn(&[u8]) -> String, |bytes| hex::encode_upper(bytes), base64, unescaped] {
            let mut given = signed(&FINE, form);
            given.push(("signature".to_owned(), "old".to_owned()));
            assert_eq!(verify(&given, &secret(), NOW), Ok(expected));
        }
    }

    #[test]
    fn every_change_of_a_signed_redirect_is_refused() {
        let refused = |given: &[(String, String)]| verify(given, &secret(), NOW).unwrap_err();
        for at in 0..FINE.len() {
            let mut given = signed(&FINE, hex_form);
            given[at].1.push('1');
            assert_eq!(refused(&given), Refused::Signature, "{:?}", given[at]);
            let mut given = signed(&FINE, hex_form);
            given.remove(at);
            assert_eq!(refused(&given), Refused::Signature);
        }
        let mut given = signed(&FINE, hex_form);
        given.push(("more".to_owned(), String::new()));
        assert_eq!(refused(&given), Refused::Signature);
        for hmac in ["", "00", "zz", "c0ffee"] {
            let mut given = pairs(&FINE);
            given.push(("hmac".to_owned(), hmac.to_owned()));
            assert_eq!(refused(&given), Refused::Signature, "{hmac:?}");
        }
        assert_eq!(refused(&pairs(&FINE)), Refused::Signature);
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused_whichever_it_is() {
        for (key, value) in FINE.into_iter().chain([("hmac", "x"), ("signature", "y")]) {
            let mut given = signed(&FINE, hex_form);
            given.push(("signature".to_owned(), "y".to_owned()));
            given.push((key.to_owned(), value.to_owned()));
            assert_eq!(verify(&given, &secret(), NOW), Err(Refused::Doubled), "{key}");
        }
    }

    #[test]
    fn a_redirect_of_another_time_is_refused() {
        let at = |text: &'static str| {
            let mut fine = FINE;
            fine[0].1 = text;
            verify(&signed(&fine, hex_form), &secret(), NOW).map(|_| ())
        };
        assert_eq!(at("1772421323000"), Ok(()), "milliseconds");
        assert_eq!((at("1772420723"), at("1772421923")), (Ok(()), Ok(())), "ten minutes either way");
        for wrong in ["1772420722", "1772421924", "", "now", "-1", "9223372036854775807"] {
            assert_eq!(at(wrong), Err(Refused::Time), "{wrong:?}");
        }
        assert_eq!(verify(&signed(&FINE[1..], hex_form), &secret(), NOW), Err(Refused::Time));
    }

    #[test]
    fn what_is_missing_has_its_own_word() {
        let without = |key: &str| {
            let given: Vec<_> = FINE.into_iter().filter(|(name, _)| *name != key).collect();
            verify(&signed(&given, hex_form), &secret(), NOW).map(|_| ())
        };
        assert_eq!(without("state"), Err(Refused::State));
        assert_eq!(without("code"), Err(Refused::Unreadable));
        assert_eq!(without("store"), Err(Refused::Shop));
        let mut two = FINE.to_vec();
        two.push(("shop", "other"));
        assert_eq!(verify(&signed(&two, hex_form), &secret(), NOW), Err(Refused::Shop));
        two[4] = ("x", "");
        two[3].1 = "co de";
        assert_eq!(verify(&signed(&two, hex_form), &secret(), NOW), Err(Refused::Unreadable));
    }

    #[test]
    fn an_owner_who_declines_is_understood_with_or_without_the_shops_name() {
        let declined = |rest: &[(&'static str, &'static str)]| {
            let mut given = vec![("timestamp", "1772421323"), ("error", "access_denied")];
            given.extend_from_slice(rest);
            let given = signed(&given, hex_form);
            verify(&given, &secret(), NOW).map(|redirect| (redirect.state.to_owned(), redirect.answer.shop().is_some()))
        };
        assert_eq!(declined(&[("state", "w0rd")]), Ok(("w0rd".to_owned(), false)));
        assert_eq!(declined(&[("state", "w0rd"), ("store", "mau"), ("code", "c0de")]), Ok(("w0rd".to_owned(), true)));
        assert_eq!(declined(&[("store", "mau")]), Err(Refused::State));
        let forged = pairs(&[("timestamp", "1772421323"), ("error", "access_denied"), ("state", "w0rd")]);
        assert_eq!(verify(&forged, &secret(), NOW), Err(Refused::Signature));
    }

    #[test]
    fn a_shop_is_named_by_its_alias_or_its_whole_address() {
        for shop in ["mau", "MAU", "mau.mysapogo.com", "mau.mysapo.vn"] {
            assert!(is_shop(System::Omni, "mau", shop), "{shop}");
        }
        for shop in ["", "mau2", "mau.mysapo.net", "mau.mysapogo.com.evil.example", "x.mau.mysapogo.com", "mau."] {
            assert!(!is_shop(System::Omni, "mau", shop), "{shop}");
        }
        assert!(is_shop(System::Web, "mau", "mau.mysapo.net") && !is_shop(System::Web, "mau", "mau.mysapogo.com"));
    }
}

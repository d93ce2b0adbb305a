//! Signatures of the webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The raw HMAC-SHA256 of a text.
fn hmac_sha256(secret: &str, body: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length, so this cannot fail; an empty result would only fail to verify.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return Vec::new();
    };
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// `base64(HMAC-SHA256(secret, body))`, the form of Sapo's webhook signature.
pub(crate) fn base64_signature(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac_sha256(secret, body))
}

/// The same in hex, the form of the OAuth answer.
pub(crate) fn hex_signature(secret: &str, body: &[u8]) -> String {
    hex::encode(hmac_sha256(secret, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_equals_the_known_one() {
        assert_eq!(
            hex_signature("key", b"The quick brown fox jumps over the lazy dog"),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
        );
        assert_eq!(base64_signature("key", b"x").len(), 44);
    }
}

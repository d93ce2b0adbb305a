//! Encryption of tokens and secrets at rest: ChaCha20-Poly1305 with a random nonce, bound to where the value stands.

use std::io::Write as _;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use rand::Rng as _;
use secrecy::{ExposeSecret, SecretString};

use super::StoreError;

/// Encrypts and decrypts with the master key; never shows it.
#[derive(Clone)]
pub struct Cipher(ChaCha20Poly1305);

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher(…)")
    }
}

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not 64 hex digits.
    #[error("the master key {0} is not 64 hex digits; make one with: openssl rand -hex 32")]
    Form(String),
    /// The key file could not be read or written.
    #[error("the master key file {path} cannot be used: {why}")]
    File {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

impl Cipher {
    /// Takes the key given, else the key file of the data dir, which is made (mode 0600) on first start.
    pub fn from_key_or_file(given: Option<&SecretString>, file: &Path) -> Result<Self, KeyError> {
        if let Some(key) = given {
            return Self::from_hex(key.expose_secret()).ok_or_else(|| KeyError::Form("given".to_owned()));
        }
        let failed =
            |error: std::io::Error| KeyError::File { path: file.display().to_string(), why: error.to_string() };
        match std::fs::read_to_string(file) {
            Ok(text) => Self::from_hex(text.trim()).ok_or_else(|| KeyError::Form(format!("in {}", file.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut key = [0_u8; 32];
                rand::rng().fill_bytes(&mut key);
                write_private(file, &hex::encode(key)).map_err(failed)?;
                Ok(Self(ChaCha20Poly1305::new(&Key::from(key))))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn from_hex(text: &str) -> Option<Self> {
        let key: [u8; 32] = hex::decode(text).ok()?.try_into().ok()?;
        Some(Self(ChaCha20Poly1305::new(&Key::from(key))))
    }

    /// Encrypts a text for one place, such as `connections/mau-abaha/token`; it can be read back for that place alone.
    pub fn seal(&self, place: &str, text: &str) -> Vec<u8> {
        let mut nonce = [0_u8; 12];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: text.as_bytes(), aad: place.as_bytes() };
        // ChaCha20-Poly1305 fails only for texts of 256 GiB and more.
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        [nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what [`Cipher::seal`] made for the same place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<SecretString, StoreError> {
        let wrong = || StoreError::WrongKey(place.to_owned());
        let (nonce, rest) = sealed.split_first_chunk::<12>().ok_or_else(wrong)?;
        let payload = Payload { msg: rest, aad: place.as_bytes() };
        let text = self.0.decrypt(&Nonce::from(*nonce), payload).map_err(|_| wrong())?;
        Ok(String::from_utf8(text).map_err(|_| wrong())?.into())
    }
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_in_its_place_and_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("master.key");
        let cipher = Cipher::from_key_or_file(None, &file).unwrap();
        let sealed = cipher.seal("a/b", "token");
        assert!(!sealed.windows(5).any(|w| w == b"token"));
        let again = Cipher::from_key_or_file(None, &file).unwrap();
        assert_eq!(again.open("a/b", &sealed).unwrap().expose_secret(), "token");
        assert!(again.open("a/c", &sealed).is_err());
        let other = Cipher::from_key_or_file(Some(&"11".repeat(32).into()), &file).unwrap();
        assert!(other.open("a/b", &sealed).is_err());
        assert!(Cipher::from_key_or_file(Some(&"xx".to_owned().into()), &file).is_err());
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    }
}

//! Secrets of the connections file: given directly or by a file, never both.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::raw::OneOrMany;
use crate::sync::connect::ConnectError;

pub(super) fn required(what: &str, key: &str, secret: Option<SecretString>) -> Result<SecretString, ConnectError> {
    secret.ok_or_else(|| ConnectError::value(format!("{what}, {key}"), format!("is missing; give {key} or {key}_file")))
}

pub(super) fn secret(
    what: &str,
    key: &str,
    direct: Option<String>,
    file: Option<PathBuf>,
    folder: &Path,
) -> Result<Option<SecretString>, ConnectError> {
    match (direct, file) {
        (Some(_), Some(_)) => Err(ConnectError::value(
            format!("{what}, {key}"),
            format!("both {key} and {key}_file are given; keep one of them"),
        )),
        (Some(text), None) if text.trim().is_empty() => Ok(None),
        (Some(text), None) => Ok(Some(text.trim().to_owned().into())),
        (None, Some(file)) => {
            let path = folder.join(&file);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                ConnectError::value(
                    format!("{what}, {key}_file"),
                    format!("{} cannot be read: {error}", path.display()),
                )
            })?;
            if text.trim().is_empty() {
                return Err(ConnectError::value(
                    format!("{what}, {key}_file"),
                    format!("{} is empty; put the secret into it", path.display()),
                ));
            }
            Ok(Some(text.trim().to_owned().into()))
        }
        (None, None) => Ok(None),
    }
}

pub(super) fn secrets(
    what: &str,
    direct: Option<OneOrMany>,
    file: Option<PathBuf>,
    folder: &Path,
) -> Result<Option<Vec<SecretString>>, ConnectError> {
    let many = match (direct, file) {
        (Some(_), Some(_)) => {
            return Err(ConnectError::value(
                format!("{what}, webhook_secret"),
                "both webhook_secret and webhook_secret_file are given; keep one of them",
            ));
        }
        (None, None) => return Ok(None),
        (Some(OneOrMany::One(one)), None) => vec![one],
        (Some(OneOrMany::Many(many)), None) => many,
        (None, Some(file)) => {
            let read = secret(what, "webhook_secret", None, Some(file), folder)?;
            read.map(|text| {
                secrecy::ExposeSecret::expose_secret(&text).lines().map(|line| line.trim().to_owned()).collect()
            })
            .unwrap_or_default()
        }
    };
    if many.iter().any(|one| one.trim().is_empty()) {
        return Err(ConnectError::value(format!("{what}, webhook_secret"), "has an empty entry; remove it"));
    }
    Ok(Some(many.into_iter().map(Into::into).collect()))
}

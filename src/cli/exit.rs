//! What a command's end means to whoever called it.

use std::process::ExitCode;

use crate::store::StoreError;

/// How a command ended; the worst of several comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// What was asked for was done.
    Fine,
    /// A job ended, and some of its rows failed.
    Rows,
    /// What was asked for is not there.
    NotFound,
    /// Something failed; standard error says what to do.
    Failed,
    /// What was typed cannot be meant; standard error says what can.
    Usage,
}

impl Exit {
    /// The process's exit code; 2, wrong usage, is mostly given by the argument parser itself.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Rows => 3,
            Self::NotFound => 4,
        }
    }

    /// What an error comes to.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.downcast_ref::<Usage>().is_some() {
            return Self::Usage;
        }
        let not_there = error.downcast_ref::<NotFound>().is_some()
            || matches!(error.downcast_ref::<StoreError>(), Some(StoreError::NotFound(_)));
        if not_there { Self::NotFound } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What was asked for is not there; says where to look.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

/// Arguments that the parser takes one by one, and that say nothing together; says what to give instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// An error with its causes, none told twice.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn every_end_has_its_documented_code() {
        let codes = [Exit::Fine, Exit::Failed, Exit::Usage, Exit::Rows, Exit::NotFound].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        assert_eq!(Exit::of(&Usage("no".into()).into()), Exit::Usage);
        assert_eq!(Exit::of(&anyhow!("no")), Exit::Failed);
        assert_eq!(Exit::of(&NotFound("no".into()).into()), Exit::NotFound);
        assert_eq!(Exit::of(&StoreError::NotFound("no".into()).into()), Exit::NotFound);
        assert_eq!(Exit::of(&StoreError::Newer(9).into()), Exit::Failed);
    }

    #[test]
    fn the_worst_end_wins() {
        assert!(Exit::Fine < Exit::Rows && Exit::Rows < Exit::Failed);
    }

    #[test]
    fn causes_are_told_once() {
        let error = Err::<(), _>(anyhow!("disk full")).context("cannot write: disk full").unwrap_err();
        assert_eq!(message(&error), "cannot write: disk full");
        let error = Err::<(), _>(anyhow!("disk full")).context("cannot write").unwrap_err();
        assert_eq!(message(&error), "cannot write: disk full");
    }
}

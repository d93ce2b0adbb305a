//! What can go wrong with the state database, with the setting to look at and the cure.

/// A failure of the state database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer as it should.
    #[error("state database: {0}")]
    Sql(#[source] sqlx::Error),
    /// Nothing answers at the address, or not in time.
    #[error(
        "the state database cannot be reached: {0}; check that PostgreSQL runs there and that SAPO_SYNC__DATABASE__URL names its host and port"
    )]
    Unreachable(String),
    /// The server is there and says that it takes nobody just now.
    #[error("the state database takes no connection just now: {0}; it is tried again")]
    Busy(String),
    /// The role or its password is refused.
    #[error(
        "the state database refuses the login: {0}; check user and password in SAPO_SYNC__DATABASE__URL (characters such as @ : / are written as %40 %3A %2F there)"
    )]
    Access(String),
    /// The server has no such database.
    #[error(
        "the state database does not exist: {why}; make it with `createdb {name}`, or name another one at the end of SAPO_SYNC__DATABASE__URL"
    )]
    NoDatabase {
        /// Its name.
        name: String,
        /// What the server says.
        why: String,
    },
    /// The role may not do what is needed.
    #[error(
        "the state database does not allow it: {0}; make the role in SAPO_SYNC__DATABASE__URL the owner of its database (`alter database … owner to …`), or grant it create and usage on the schema and all rights on the tables"
    )]
    NoPermission(String),
    /// The server is too old.
    #[error(
        "the state database is PostgreSQL {0}, and 14 is the oldest that is supported; upgrade it, or name a newer server in SAPO_SYNC__DATABASE__URL"
    )]
    TooOld(String),
    /// The address is none.
    #[error(
        "SAPO_SYNC__DATABASE__URL is not a database URL: {0}; write postgres://user:password@host:5432/database, or sqlite:///path/state.db"
    )]
    Url(String),
    /// The database was written by a newer version of this program.
    #[error(
        "the state database is from a newer version of sapo-sync (migration {0} is not known here); run that version, or restore a back-up made by this one"
    )]
    Newer(i64),
    /// The database was written by an older version of this program.
    #[error(
        "the state database is at migration {at}, and this version needs {needs}: run `sapo-sync migrate` (or start `sapo-sync up`), then start this again"
    )]
    Behind {
        /// The newest migration that it has; 0 where it has none.
        at: i64,
        /// The newest that this version needs.
        needs: i64,
    },
    /// A migration failed.
    #[error("state database: migration failed: {0}")]
    Migrate(sqlx::migrate::MigrateError),
    /// A stored value cannot be read.
    #[error("state database: {what} cannot be read: {why}")]
    Corrupt {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// A secret cannot be decrypted with the master key given.
    #[error(
        "{0} cannot be decrypted: the master key is not the one it was encrypted with (SAPO_SYNC__MASTER_KEY, or master.key in the data dir)"
    )]
    WrongKey(String),
    /// The file or its folder cannot be written.
    #[error(
        "{path} cannot be opened: {why}; check that the data dir exists, has room, and is writable by this user (SAPO_SYNC__DATA_DIR)"
    )]
    Open {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// What was asked for is not there.
    #[error("{0}")]
    NotFound(String),
}

impl StoreError {
    /// The stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sql(_) => "store_unavailable",
            Self::Unreachable(_) => "store_unreachable",
            Self::Busy(_) => "store_busy",
            Self::Access(_) => "store_access",
            Self::NoDatabase { .. } => "store_no_database",
            Self::NoPermission(_) => "store_no_permission",
            Self::TooOld(_) => "store_too_old",
            Self::Url(_) => "store_url",
            Self::Newer(_) => "store_newer",
            Self::Behind { .. } => "store_behind",
            Self::Migrate(_) => "store_migration",
            Self::Corrupt { .. } => "store_corrupt",
            Self::WrongKey(_) => "wrong_master_key",
            Self::Open { .. } => "store_cannot_open",
            Self::NotFound(_) => "not_found",
        }
    }

    /// Whether the same thing may well work a little later, without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        use sqlx::migrate::MigrateError::ExecuteMigration;
        match self {
            Self::Unreachable(_) | Self::Busy(_) | Self::Behind { .. } => true,
            Self::Sql(error) | Self::Migrate(ExecuteMigration(error, _)) => passes(error),
            _ => false,
        }
    }

    /// Whether the database works, and takes just these data not: a rule of a table is broken, a value is too big, or
    /// what is stored cannot be read. Trying again would end the same.
    pub fn is_about_the_data(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Sql(error) => code(error).is_some_and(|code| match code.parse::<i32>() {
                // constraint, mismatch, too big; the upper bits only tell more of it.
                Ok(number) if code.len() < 5 => matches!(number & 0xff, 18..=20),
                // Data exceptions, broken rules, and what is too long for an index.
                _ => ["22", "23", "54"].iter().any(|class| code.len() == 5 && code.starts_with(class)),
            }),
            _ => false,
        }
    }

    pub(super) fn corrupt(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), why: why.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Configuration, Database, Io, PoolTimedOut, Tls};
        let code = code(&error);
        match (&error, code.as_deref()) {
            (Io(why), _) => Self::Unreachable(why.to_string()),
            (Tls(why), _) => Self::Unreachable(format!("TLS: {why} (sslmode in the URL)")),
            (PoolTimedOut, _) => Self::Unreachable("no connection could be had in time".to_owned()),
            (Configuration(why), _) => Self::Url(why.to_string()),
            (Database(why), Some("57P01" | "57P02" | "57P03" | "53300")) => Self::Busy(why.message().to_owned()),
            (Database(why), Some("28P01" | "28000")) => Self::Access(why.message().to_owned()),
            (Database(why), Some("42501")) => Self::NoPermission(why.message().to_owned()),
            (Database(why), Some("3D000")) => {
                // database "shop" does not exist
                let name = why.message().split('"').nth(1).unwrap_or("NAME").to_owned();
                Self::NoDatabase { name, why: why.message().to_owned() }
            }
            _ => Self::Sql(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration, VersionMissing};
        match error {
            VersionMissing(version) => Self::Newer(version),
            Execute(error) => Self::from(error),
            ExecuteMigration(error, version) => match Self::from(error) {
                Self::Sql(error) => Self::Migrate(ExecuteMigration(error, version)),
                named => named,
            },
            other => Self::Migrate(other),
        }
    }
}

/// The engine's own code: five characters of `PostgreSQL`, a number of `SQLite`.
fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

fn passes(error: &sqlx::Error) -> bool {
    // Protocol: a connection that broke in the middle of an answer.
    if matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_)
    ) {
        return true;
    }
    let Some(code) = code(error) else { return false };
    if let Ok(number) = code.parse::<i32>()
        && code.len() < 5
    {
        // busy, locked, read or write error, full, cannot open; the upper bits only tell more of it.
        return matches!(number & 0xff, 5 | 6 | 10 | 13 | 14);
    }
    // Serialisation and deadlock, lock not to be had, cancelled by a time-out, read-only while a stand-by takes over.
    matches!(code.as_str(), "40001" | "40P01" | "55P03" | "57014" | "25006" | "25P03" | "25P02" | "58030")
        || ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
}

/// Whether a table is not there: nothing was ever migrated.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some("42P01")
        || error.as_database_error().is_some_and(|error| error.message().starts_with("no such table"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says of itself.
    #[derive(Debug, thiserror::Error)]
    #[error("{1}")]
    struct Said(&'static str, &'static str);

    impl sqlx::error::DatabaseError for Said {
        fn message(&self) -> &str {
            self.1
        }

        fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
            Some(self.0.into())
        }

        fn kind(&self) -> sqlx::error::ErrorKind {
            sqlx::error::ErrorKind::Other
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
    }

    fn said(code: &'static str, message: &'static str) -> StoreError {
        sqlx::Error::Database(Box::new(Said(code, message))).into()
    }

    #[test]
    fn a_wrong_password_and_a_missing_database_are_told_with_the_setting_and_the_cure() {
        let wrong = said("28P01", "password authentication failed for user \"shop\"");
        assert_eq!((wrong.code(), wrong.is_transient()), ("store_access", false));
        assert!(wrong.to_string().contains("password in SAPO_SYNC__DATABASE__URL"), "{wrong}");
        let missing = said("3D000", "database \"shop\" does not exist");
        assert_eq!((missing.code(), missing.is_transient()), ("store_no_database", false));
        assert!(missing.to_string().contains("`createdb shop`"), "{missing}");
    }

    #[test]
    fn what_a_file_may_get_over_is_transient_and_what_it_may_not_is_not() {
        for (code, passes) in
            [("5", true), ("517", true), ("13", true), ("778", true), ("1", false), ("2067", false), ("11", false)]
        {
            assert_eq!(said(code, "so it is").is_transient(), passes, "{code}");
        }
    }
}

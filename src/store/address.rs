//! Where the state database is: what a URL says, and the connections that lead there.

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, AnyPool, Connection as _};

use super::StoreError;
use super::line::{Line, within};

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file, with one writer.
    Sqlite,
    /// A server, for many processes.
    Postgres,
}

/// How long a new connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may take to show that it is still alive.
const PING_WITHIN: Duration = Duration::from_secs(2);
/// How long a `PostgreSQL` statement may take, where the URL says nothing else.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How many connections a process holds to `PostgreSQL`, where nothing else is set.
pub(super) const CONNECTIONS: u32 = 10;
/// Nothing on a file takes as long: the disk is gone.
const FILE_ANSWERS_WITHIN: Duration = Duration::from_mins(2);
const OLDEST_POSTGRES: u32 = 14;

/// The address of a state database; never shows a password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) engine: Engine,
    options: AnyConnectOptions,
    /// The file, or user, host, port and database.
    shown: String,
    connections: u32,
    patience: Duration,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Address {
    /// Reads a URL. One parameter of it is ours: `answer_within`, in seconds.
    pub(super) fn parse(url: &str, connections: u32) -> Result<Self, StoreError> {
        install_default_drivers();
        match url.split_once(':').map_or("", |(scheme, _)| scheme) {
            "sqlite" => Self::sqlite(url),
            "postgres" | "postgresql" => Self::postgres(url, connections),
            "" => Err(StoreError::Url("it has no scheme".to_owned())),
            other => Err(StoreError::Url(format!("the scheme {other:?} is not known"))),
        }
    }

    fn sqlite(url: &str) -> Result<Self, StoreError> {
        let path = url.trim_start_matches("sqlite:").trim_start_matches("//").split('?').next().unwrap_or_default();
        let url = if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") };
        Ok(Self {
            engine: Engine::Sqlite,
            options: AnyConnectOptions::from_str(&url)?,
            shown: path.to_owned(),
            connections: 4,
            patience: FILE_ANSWERS_WITHIN,
        })
    }

    fn postgres(url: &str, connections: u32) -> Result<Self, StoreError> {
        let mut options = AnyConnectOptions::from_str(url)?;
        let mut patience = ANSWER_WITHIN;
        let mut theirs = vec![("application_name".to_owned(), "sapo-sync".to_owned())];
        for (key, value) in options.database_url.query_pairs() {
            if key == "answer_within" {
                let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                patience = Duration::from_secs(seconds.ok_or_else(|| {
                    StoreError::Url(format!("answer_within={value} is not a number of seconds above 0"))
                })?);
            } else {
                theirs.retain(|(known, _)| *known != key);
                theirs.push((key.into_owned(), value.into_owned()));
            }
        }
        options.database_url.query_pairs_mut().clear().extend_pairs(theirs);
        let at = &options.database_url;
        let shown = format!(
            "{}@{}:{}{}",
            if at.username().is_empty() { "(no user)" } else { at.username() },
            at.host_str().unwrap_or("localhost"),
            at.port().unwrap_or(5432),
            at.path()
        );
        Ok(Self { engine: Engine::Postgres, shown, connections, patience, options })
    }

    /// The lines for writing and for reading. Nothing is connected yet.
    ///
    /// `SQLite` has one writer, so writes go through a pool of one connection and never find the file busy by our own
    /// doing; reads have a pool of their own. On `PostgreSQL` both are one pool.
    pub(super) fn lines(&self) -> Result<(Line, Line), StoreError> {
        match self.engine {
            Engine::Sqlite => {
                if let Some(folder) = Path::new(&self.shown).parent() {
                    std::fs::create_dir_all(folder).map_err(|error| self.cannot_open(&error))?;
                }
                Ok((self.line(self.file_pool(1)), self.line(self.file_pool(self.connections))))
            }
            Engine::Postgres => {
                let line = self.line(self.server_pool());
                Ok((line.clone(), line))
            }
        }
    }

    fn line(&self, pool: AnyPool) -> Line {
        // A little more than the server's own limit: its error tells more.
        Line::new(pool, self.patience + self.patience / 6)
    }

    fn file_pool(&self, connections: u32) -> AnyPool {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_mins(1))
            // Many workers wait in line for the one writer; that is no news.
            .acquire_slow_threshold(Duration::from_mins(1))
            .after_connect(|connection, _| Box::pin(prepare_file(connection)))
            .connect_lazy_with(self.options.clone())
    }

    fn server_pool(&self) -> AnyPool {
        let patience = self.patience;
        AnyPoolOptions::new()
            .max_connections(self.connections)
            .acquire_timeout(CONNECT_WITHIN)
            .after_connect(move |connection, _| Box::pin(prepare_server(connection, patience)))
            // The pool's own test has no time-out.
            .test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async { within(PING_WITHIN, connection.ping()).await.map(|()| true) })
            })
            .connect_lazy_with(self.options.clone())
    }

    /// A connection outside of the pools, which says why where there is none: a pool would try again and again, and
    /// tell of the time that took instead of the reason.
    pub(super) async fn reach(&self) -> Result<AnyConnection, StoreError> {
        match self.engine {
            Engine::Sqlite => {
                let opened = async {
                    let mut connection = AnyConnection::connect_with(&self.options).await?;
                    prepare_file(&mut connection).await?;
                    Ok::<_, sqlx::Error>(connection)
                };
                opened.await.map_err(|error| self.cannot_open(&error))
            }
            Engine::Postgres => {
                let mut connection =
                    within(CONNECT_WITHIN, AnyConnection::connect_with(&self.options)).await.map_err(|error| {
                        match StoreError::from(error) {
                            StoreError::Unreachable(why) => StoreError::Unreachable(format!("{}: {why}", self.shown)),
                            StoreError::Access(why) => StoreError::Access(format!("{}: {why}", self.shown)),
                            other => other,
                        }
                    })?;
                within(CONNECT_WITHIN, check_version(&mut connection)).await??;
                Ok(connection)
            }
        }
    }

    fn cannot_open(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Open { path: self.shown.clone(), why: error.to_string() }
    }
}

async fn prepare_file(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::query("pragma busy_timeout = 10000").execute(&mut *connection).await?;
    // The first switch of a new file does not wait for others who switch it just now, whatever the time-out says.
    let mut tries = 0;
    while let Err(error) = sqlx::query("pragma journal_mode = wal").execute(&mut *connection).await {
        tries += 1;
        let locked =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "5");
        if !locked || tries > 200 {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for pragma in ["pragma synchronous = full", "pragma foreign_keys = on"] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Settings of every connection: a commit is on disk, nothing waits for ever, and the server lets go of what a client
/// held that the network took away.
async fn prepare_server(connection: &mut AnyConnection, patience: Duration) -> Result<(), sqlx::Error> {
    let limit = patience.as_millis();
    let lock = limit / 3;
    let sql = format!(
        "set statement_timeout = {limit}; set lock_timeout = {lock}; set idle_in_transaction_session_timeout = {limit};
         set default_transaction_isolation = 'read committed';
         set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; set tcp_user_timeout = 20000;
         select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') not in ('on', 'remote_apply')"
    );
    within(CONNECT_WITHIN, async { sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(|_| ()) })
        .await
}

async fn check_version(connection: &mut AnyConnection) -> Result<Result<(), StoreError>, sqlx::Error> {
    let (version,): (String,) =
        sqlx::query_as("select current_setting('server_version')").fetch_one(&mut *connection).await?;
    Ok(supported(&version))
}

/// Judges a version such as `15.20 (Debian 15.20-0+deb12u1)` or `14beta1`.
fn supported(version: &str) -> Result<(), StoreError> {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<u32>() {
        Ok(major) if major >= OLDEST_POSTGRES => Ok(()),
        _ => Err(StoreError::TooOld(version.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_refused_with_its_version() {
        for version in ["15.20 (Debian 15.20-0+deb12u1)", "14.0", "18beta1"] {
            assert!(supported(version).is_ok(), "{version}");
        }
        for version in ["13.16", "9.6.24", ""] {
            let error = supported(version).unwrap_err();
            assert_eq!((error.code(), error.is_transient()), ("store_too_old", false));
            assert!(error.to_string().contains("SAPO_SYNC__DATABASE__URL"), "{error}");
        }
    }

    #[test]
    fn what_is_no_database_url_is_refused_without_showing_it() {
        for url in [
            "",
            "state.db",
            "mysql://u:geheim@h/db",
            "postgres://u:geheim@h:port/db",
            "postgres://u:geheim@h/d?answer_within=0",
        ] {
            let error = Address::parse(url, 3).unwrap_err();
            assert_eq!(error.code(), "store_url", "{url}");
            let text = error.to_string();
            assert!(text.contains("SAPO_SYNC__DATABASE__URL") && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn our_parameters_are_taken_out_of_the_url_and_the_password_is_never_shown() {
        let address =
            Address::parse("postgresql://shop:geheim@db.example:5433/state?answer_within=7&sslmode=require", 3)
                .unwrap();
        assert_eq!((address.connections, address.patience), (3, Duration::from_secs(7)));
        let left: Vec<_> = address.options.database_url.query_pairs().map(|pair| pair.0.into_owned()).collect();
        assert_eq!(left, ["application_name", "sslmode"]);
        assert_eq!(format!("{address:?}"), "shop@db.example:5433/state");
    }
}

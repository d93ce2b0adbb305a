//! PostgreSQL databases for tests: each test gets one of its own, which goes when the test ends.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// The setting that names a PostgreSQL server on which databases and roles may be made.
pub const SERVER: &str = "SAPO_SYNC_TEST_DATABASE_URL";

/// An empty database; it and its roles are dropped with this value, whoever is still connected.
pub struct Database {
    /// The URL to it.
    pub url: String,
    name: String,
    roles: Vec<String>,
}

/// Makes an empty database.
pub async fn fresh() -> Database {
    let name = format!("sapo_sync_test_{}", uuid::Uuid::now_v7().simple());
    on_server(&server(), &format!("create database {name}")).await;
    Database { url: url_of(&server(), None, &name), name, roles: Vec::new() }
}

impl Database {
    /// The URL to a role of its own that may log in and nothing else; `rights` are added to its making.
    pub async fn role(&mut self, rights: &str) -> String {
        let role = format!("sapo_sync_test_{}", uuid::Uuid::now_v7().simple());
        on_server(&server(), &format!("create role {role} login {rights}")).await;
        self.roles.push(role.clone());
        url_of(&server(), Some(&role), &self.name)
    }

    /// Runs statements in it.
    pub async fn run(&self, sql: &str) {
        on_server(&self.url, sql).await;
    }

    /// A connection to it.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut all = vec![format!("drop database if exists {} with (force)", self.name)];
        all.extend(self.roles.iter().map(|role| format!("drop role if exists {role}")));
        // A thread with a runtime of its own: this one may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for sql in all {
                    on_server(&server(), &sql).await;
                }
            });
        });
        let dropped = dropped.join().is_ok();
        assert!(dropped || std::thread::panicking(), "the test's database {} could not be dropped", self.name);
    }
}

/// The URL of the server.
#[allow(clippy::disallowed_methods, reason = "where the tests' server is; no setting of the program")]
pub fn server() -> String {
    std::env::var(SERVER).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| {
        panic!("{SERVER} must name a PostgreSQL server on which databases may be made, such as postgres://postgres@127.0.0.1:5432/postgres; deploy/test.sh sets it")
    })
}

/// The URL with another role and database.
pub fn url_of(server: &str, role: Option<&str>, name: &str) -> String {
    let (scheme, rest) = server.split_once("://").expect("a URL");
    let (rest, parameters) =
        rest.split_once('?').map_or((rest, String::new()), |(rest, more)| (rest, format!("?{more}")));
    let authority = rest.split('/').next().unwrap_or(rest);
    let authority = match role {
        None => authority.to_owned(),
        Some(role) => format!("{role}@{}", authority.rsplit('@').next().unwrap_or(authority)),
    };
    format!("{scheme}://{authority}/{name}{parameters}")
}

async fn on_server(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url)
        .await
        .unwrap_or_else(|error| panic!("the server of {SERVER} cannot be used: {error}"));
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

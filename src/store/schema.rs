//! The schema: brought up to this version by many processes at once, or only looked at.

use futures::future::BoxFuture;
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::{AnyConnection, Connection as _};

use super::address::Engine;
use super::error::is_missing_table;
use super::{Store, StoreError};

static SQLITE: Migrator = sqlx::migrate!("src/store/migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/store/migrations/postgres");
/// The table in which the library keeps what was applied.
const APPLIED: &str = "_sqlx_migrations";

impl Store {
    fn migrator(&self) -> &'static Migrator {
        match self.engine() {
            Engine::Sqlite => &SQLITE,
            Engine::Postgres => &POSTGRES,
        }
    }

    /// Brings the database up to this version, and makes its tables where there are none. Any number of processes may
    /// do so at once: one does the work, the others wait for it.
    pub fn migrate(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        // Boxed, for the compiler cannot see that the library's own future may move between threads.
        Box::pin(async move {
            let mut connection = self.address.reach().await?;
            let done = match self.engine() {
                Engine::Sqlite => self.migrate_file(&mut connection).await,
                Engine::Postgres => self.migrate_server(&mut connection).await,
            };
            // Closed whatever came of it: the server's lock lasts as long as the session.
            let _closed = connection.close().await;
            done
        })
    }

    /// The library takes no lock on a file, so all of it is one transaction that nobody else can write beside.
    async fn migrate_file(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        let mut tx = connection.begin_with("begin immediate").await?;
        self.migrator().run_direct(None, &mut *tx, false).await?;
        Ok(tx.commit().await?)
    }

    /// Building an index may take longer than any other statement may, and so may waiting for whoever builds it.
    async fn migrate_server(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0").execute(&mut *connection).await?;
        Ok(self.migrator().run_direct(None, connection, false).await?)
    }

    /// Tells whether the database is exactly as this version needs it; changes nothing.
    pub async fn check_schema(&self) -> Result<(), StoreError> {
        let mut connection = self.address.reach().await?;
        let applied = connection.list_applied_migrations(APPLIED).await;
        let _closed = connection.close().await;
        let applied = match applied {
            Ok(applied) => applied,
            Err(sqlx::migrate::MigrateError::Execute(error)) if is_missing_table(&error) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let known = || self.migrator().iter();
        for row in &applied {
            match known().find(|migration| migration.version == row.version) {
                None => return Err(StoreError::Newer(row.version)),
                Some(migration) if migration.checksum != row.checksum => {
                    return Err(StoreError::Migrate(sqlx::migrate::MigrateError::VersionMismatch(row.version)));
                }
                Some(_) => {}
            }
        }
        if known().count() > applied.len() {
            return Err(StoreError::Behind {
                at: applied.iter().map(|row| row.version).max().unwrap_or(0),
                needs: known().map(|migration| migration.version).max().unwrap_or(0),
            });
        }
        Ok(())
    }
}

//! Stores and connections with their secrets, encrypted; and the snapshot that receiver and workers hold in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use secrecy::{ExposeSecret, SecretString};

use super::{Store, StoreError, Tx};
use crate::domain::clock::Millis;
use crate::domain::connection::{Connection, Settings, State};
use crate::domain::event::System;

/// A Sapo Omni store and how to reach it.
#[derive(Clone, Debug)]
pub struct StoreAccount {
    /// `https://{alias}.mysapogo.com`.
    pub alias: String,
    /// For API calls.
    pub access_token: SecretString,
    /// Any of these may have signed a webhook: the current one and those being rotated out.
    pub webhook_secrets: Vec<SecretString>,
    /// Instead of the shop's own host.
    pub base_url: Option<String>,
    /// The tenant its webhooks must name; told by the shop at connect, or learned from the first verified body.
    pub tenant_id: Option<String>,
}

/// A connection with its channel's secrets.
#[derive(Clone, Debug)]
pub struct ConnectionAccount {
    /// The connection.
    pub connection: Connection,
    /// The channel's API token; with `api_key`, the private app's secret.
    pub token: SecretString,
    /// The key of a web's private app, where that is how it is reached.
    pub api_key: Option<String>,
    /// That this web is linked to no other POS, in the words the owner confirmed.
    pub confirmed: Option<String>,
    /// The secret header that Abaha sends: its name, lower case, and its value.
    pub webhook_header: Option<(String, SecretString)>,
    /// Any of these may have signed a webhook, where the sender signs.
    pub webhook_secrets: Vec<SecretString>,
    /// Instead of the channel's own host.
    pub base_url: Option<String>,
    /// Why it is paused or stopped.
    pub state_reason: Option<String>,
}

/// Everything the receiver needs to know, as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By alias.
    pub stores: HashMap<String, Arc<StoreAccount>>,
    /// By name.
    pub connections: HashMap<String, Arc<ConnectionAccount>>,
    /// Tells one snapshot from another.
    pub stamp: String,
    /// Made at the first look-up.
    index: OnceLock<Index>,
}

/// The connections that are not stopped, by what webhooks are looked up by: a receiver may know thousands.
#[derive(Clone, Debug, Default)]
struct Index {
    of_store: HashMap<String, Vec<Arc<ConnectionAccount>>>,
    of_site: HashMap<System, HashMap<String, Arc<ConnectionAccount>>>,
    /// Webs, by name, one of whose secrets signs for another web too.
    shared: HashSet<String>,
}

impl Index {
    fn new(connections: &HashMap<String, Arc<ConnectionAccount>>) -> Self {
        let mut index = Self::default();
        let mut signers: HashMap<&str, &str> = HashMap::new();
        for row in connections.values().filter(|row| row.connection.state != State::Stopped) {
            let connection = &row.connection;
            index.of_store.entry(connection.store.clone()).or_default().push(Arc::clone(row));
            let sites = index.of_site.entry(connection.channel).or_default();
            sites.insert(connection.site.clone(), Arc::clone(row));
            for secret in row.webhook_secrets.iter().filter(|_| connection.channel == System::Web) {
                let other = signers.insert(secret.expose_secret(), &connection.name);
                if let Some(other) = other.filter(|other| *other != connection.name) {
                    index.shared.extend([other.to_owned(), connection.name.clone()]);
                }
            }
        }
        index
    }
}

impl Snapshot {
    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(&self.connections))
    }

    /// The connections of a store that are not stopped.
    pub fn of_store<'a>(&'a self, alias: &str) -> impl Iterator<Item = &'a Arc<ConnectionAccount>> + use<'a> {
        self.index().of_store.get(alias).into_iter().flatten()
    }

    /// The one connection of a channel's site that is not stopped.
    pub fn of_site(&self, channel: System, site: &str) -> Option<&Arc<ConnectionAccount>> {
        self.index().of_site.get(&channel)?.get(site)
    }

    /// Whether a web's secret signs for another web too, as that of one app does.
    pub fn shares_secret(&self, name: &str) -> bool {
        self.index().shared.contains(name)
    }
}

#[derive(sqlx::FromRow)]
struct StoreRow {
    alias: String,
    access_token: Vec<u8>,
    webhook_secrets: Vec<u8>,
    base_url: Option<String>,
    tenant_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ConnectionRow {
    name: String,
    store: String,
    channel: String,
    site: String,
    token: Vec<u8>,
    api_key: Option<String>,
    confirmed: Option<String>,
    webhook_header: Option<Vec<u8>>,
    webhook_secrets: Option<Vec<u8>>,
    base_url: Option<String>,
    settings: String,
    state: String,
    state_reason: Option<String>,
    activated_at: Millis,
}

/// The scope of every change of stores and connections: they are few, and one `apply` changes several.
pub const CHANGES: &str = "connections";

impl Store {
    /// Reads every store and connection.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let stamp = self.snapshot_stamp().await?;
        let stores: Vec<StoreRow> =
            sqlx::query_as("select alias, access_token, webhook_secrets, base_url, tenant_id from stores")
                .fetch_all(&self.read)
                .await?;
        let connections: Vec<ConnectionRow> = sqlx::query_as(
            "select name, store, channel, site, token, api_key, confirmed, webhook_header, webhook_secrets, base_url, settings, state, state_reason, activated_at from connections",
        )
        .fetch_all(&self.read)
        .await?;
        Ok(Snapshot {
            stores: stores
                .into_iter()
                .map(|row| Ok((row.alias.clone(), Arc::new(self.open_store(row)?))))
                .collect::<Result<_, StoreError>>()?,
            connections: connections
                .into_iter()
                .map(|row| Ok((row.name.clone(), Arc::new(self.open_connection(row)?))))
                .collect::<Result<_, StoreError>>()?,
            stamp,
            index: OnceLock::new(),
        })
    }

    /// Changes whenever a store or connection does; cheap to ask.
    pub async fn snapshot_stamp(&self) -> Result<String, StoreError> {
        let stamp: (i64, i64, i64, i64) = sqlx::query_as(
            // Sums, for after a clock was set back the newest change may not have the latest time.
            "select (select count(*) from stores), (select cast(coalesce(sum(updated_at), 0) as bigint) from stores),
                    (select count(*) from connections), (select cast(coalesce(sum(updated_at), 0) as bigint) from connections)",
        )
        .fetch_one(&self.read)
        .await?;
        Ok(format!("{stamp:?}"))
    }

    fn open_store(&self, row: StoreRow) -> Result<StoreAccount, StoreError> {
        let place = format!("stores/{}", row.alias);
        Ok(StoreAccount {
            access_token: self.cipher.open(&format!("{place}/access_token"), &row.access_token)?,
            webhook_secrets: self.open_list(&format!("{place}/webhook_secrets"), &row.webhook_secrets)?,
            alias: row.alias,
            base_url: row.base_url,
            tenant_id: row.tenant_id,
        })
    }

    fn open_connection(&self, row: ConnectionRow) -> Result<ConnectionAccount, StoreError> {
        let place = format!("connections/{}", row.name);
        let header =
            row.webhook_header.map(|sealed| self.open_list(&format!("{place}/webhook_header"), &sealed)).transpose()?;
        let unknown = |what: &str| StoreError::corrupt(&place, format!("{what} is unknown"));
        let settings: Settings =
            serde_json::from_str(&row.settings).map_err(|error| StoreError::corrupt(&place, error))?;
        Ok(ConnectionAccount {
            token: self.cipher.open(&format!("{place}/token"), &row.token)?,
            webhook_header: header.and_then(|mut pair| {
                let (value, name) = (pair.pop()?, pair.pop()?);
                Some((name.expose_secret().to_owned(), value))
            }),
            webhook_secrets: row
                .webhook_secrets
                .map(|sealed| self.open_list(&format!("{place}/webhook_secrets"), &sealed))
                .transpose()?
                .unwrap_or_default(),
            base_url: row.base_url,
            api_key: row.api_key,
            confirmed: row.confirmed,
            state_reason: row.state_reason,
            connection: Connection {
                channel: System::from_word(&row.channel).ok_or_else(|| unknown("channel"))?,
                state: State::from_word(&row.state).ok_or_else(|| unknown("state"))?,
                name: row.name,
                store: row.store,
                site: row.site,
                settings,
                activated_at: row.activated_at,
            },
        })
    }

    fn open_list(&self, place: &str, sealed: &[u8]) -> Result<Vec<SecretString>, StoreError> {
        let text = self.cipher.open(place, sealed)?;
        let list: Vec<String> =
            serde_json::from_str(text.expose_secret()).map_err(|_| StoreError::corrupt(place, "not a list"))?;
        Ok(list.into_iter().map(Into::into).collect())
    }

    fn seal_list(&self, place: &str, list: &[&SecretString]) -> Vec<u8> {
        let list: Vec<&str> = list.iter().map(|secret| secret.expose_secret()).collect();
        self.cipher.seal(place, &serde_json::to_string(&list).unwrap_or_default())
    }

    /// Writes a store, new or changed.
    pub async fn put_store(&self, tx: &mut Tx, store: &StoreAccount) -> Result<(), StoreError> {
        let place = format!("stores/{}", store.alias);
        self.serialise(tx, CHANGES).await?;
        sqlx::query(
            "insert into stores (alias, access_token, webhook_secrets, base_url, tenant_id, updated_at) values ($1, $2, $3, $4, $5, $6)
             on conflict (alias) do update set access_token = excluded.access_token, webhook_secrets = excluded.webhook_secrets,
               base_url = excluded.base_url, tenant_id = excluded.tenant_id, updated_at = excluded.updated_at",
        )
        .bind(&store.alias)
        .bind(self.cipher.seal(&format!("{place}/access_token"), store.access_token.expose_secret()))
        .bind(self.seal_list(&format!("{place}/webhook_secrets"), &store.webhook_secrets.iter().collect::<Vec<_>>()))
        .bind(&store.base_url)
        .bind(&store.tenant_id)
        .bind(self.clock.now())
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Writes a connection, new or changed; its first activation stays.
    pub async fn put_connection(&self, tx: &mut Tx, row: &ConnectionAccount) -> Result<(), StoreError> {
        let connection = &row.connection;
        let place = format!("connections/{}", connection.name);
        let header = row
            .webhook_header
            .as_ref()
            .map(|(name, value)| self.seal_list(&format!("{place}/webhook_header"), &[&name.clone().into(), value]));
        let settings =
            serde_json::to_string(&connection.settings).map_err(|error| StoreError::corrupt(&place, error))?;
        self.serialise(tx, CHANGES).await?;
        sqlx::query(
            "insert into connections (name, store, channel, site, token, webhook_header, webhook_secrets, base_url, settings, state, state_reason, activated_at, updated_at, api_key, confirmed)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
             on conflict (name) do update set store = excluded.store, channel = excluded.channel, site = excluded.site, token = excluded.token,
               webhook_header = excluded.webhook_header, webhook_secrets = excluded.webhook_secrets, base_url = excluded.base_url,
               settings = excluded.settings, state = excluded.state, state_reason = excluded.state_reason, activated_at = excluded.activated_at, updated_at = excluded.updated_at,
               api_key = excluded.api_key, confirmed = excluded.confirmed",
        )
        .bind(&connection.name)
        .bind(&connection.store)
        .bind(connection.channel.as_str())
        .bind(&connection.site)
        .bind(self.cipher.seal(&format!("{place}/token"), row.token.expose_secret()))
        .bind(header)
        .bind(self.seal_list(&format!("{place}/webhook_secrets"), &row.webhook_secrets.iter().collect::<Vec<_>>()))
        .bind(&row.base_url)
        .bind(settings)
        .bind(connection.state.as_str())
        .bind(&row.state_reason)
        .bind(connection.activated_at)
        .bind(self.clock.now())
        .bind(&row.api_key)
        .bind(&row.confirmed)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Pauses, resumes or stops a connection.
    pub async fn set_connection_state(
        &self,
        tx: &mut Tx,
        name: &str,
        state: State,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        self.serialise(tx, CHANGES).await?;
        let changed =
            sqlx::query("update connections set state = $2, state_reason = $3, updated_at = $4 where name = $1")
                .bind(name)
                .bind(state.as_str())
                .bind(reason)
                .bind(self.clock.now())
                .execute(&mut **tx)
                .await?;
        if changed.rows_affected() == 0 {
            return Err(StoreError::NotFound(format!(
                "there is no connection {name:?}; `sapo-sync connect list` shows them"
            )));
        }
        Ok(())
    }

    /// Says that a connection's token is not taken (`reason`), or is taken again (none); tells whether it was otherwise
    /// before. One that was paused or stopped by somebody stays so.
    pub async fn set_access(&self, tx: &mut Tx, name: &str, reason: Option<&str>) -> Result<bool, StoreError> {
        self.serialise(tx, CHANGES).await?;
        let (before, after) = match reason {
            Some(_) => (State::Active, State::NoAccess),
            None => (State::NoAccess, State::Active),
        };
        let changed = sqlx::query(
            "update connections set state = $3, state_reason = $4, updated_at = $5 where name = $1 and state = $2",
        )
        .bind(name)
        .bind(before.as_str())
        .bind(after.as_str())
        .bind(reason)
        .bind(self.clock.now())
        .execute(&mut **tx)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Whether a connection is paused, as of this transaction: a resume comes wholly before it or wholly after.
    pub async fn is_paused(&self, tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
        self.serialise(tx, CHANGES).await?;
        let state: Option<(String,)> = sqlx::query_as("select state from connections where name = $1")
            .bind(name)
            .fetch_optional(&mut **tx)
            .await?;
        Ok(state.is_some_and(|(state,)| state == State::Paused.as_str()))
    }

    /// Remembers the tenant that a store's first verified webhook named.
    pub async fn learn_tenant(&self, alias: &str, tenant_id: &str) -> Result<(), StoreError> {
        sqlx::query("update stores set tenant_id = $2, updated_at = $3 where alias = $1 and tenant_id is null")
            .bind(alias)
            .bind(tenant_id)
            .bind(self.clock.now())
            .execute(&self.write)
            .await?;
        Ok(())
    }
}

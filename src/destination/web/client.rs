//! The client of one Sapo Web site.

use std::collections::HashMap;

use reqwest::Method;
use rust_decimal::Decimal;
use secrecy::SecretString;

use crate::destination::call_log::CallLog;
use crate::destination::error::{CallError, ClientError, WireError};
use crate::destination::hook::{Hook, hook, hook_body};
use crate::destination::http::{Answer, Api, Auth, Call, Http};
use crate::destination::limit::Class;
use crate::destination::omni::wire::Choice;
use crate::destination::page::Page;
use crate::domain::event::System;
use crate::domain::money::Vnd;
use crate::domain::web::{WebOrder, WebProduct};

use super::error::{Asked, classify};
pub use super::query::{MOST_ROWS, WebQuery};
use super::query::{Read, page};
use super::wire;
pub use super::wire::{PriceChange, WebShop};

/// No short list is followed further than this many pages (ours): an API that ignores `page` would never end.
const MOST_PAGES: u32 = 100;

/// What lets us call a web.
#[derive(Clone, Debug)]
pub enum WebAccess {
    /// An access token, got by OAuth.
    Token(SecretString),
    /// A private app (Ứng dụng riêng).
    Private {
        /// Its API key.
        key: String,
        /// Its API secret.
        secret: SecretString,
    },
}

/// Calls one web's API.
#[derive(Clone, Debug)]
pub struct WebClient {
    api: Api,
}

impl WebClient {
    /// Makes the client of the web `https://{site}.mysapo.net`, or of another base address.
    ///
    /// # Errors
    /// [`ClientError`] where name, address or token cannot be right, or the host is not the API's own.
    pub fn new(http: &Http, site: &str, access: WebAccess, base_url: Option<&str>) -> Result<Self, ClientError> {
        let fine = !site.is_empty() && site.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fine {
            return Err(ClientError::Name(site.to_owned()));
        }
        let base = base_url.map_or_else(|| format!("https://{site}.mysapo.net"), ToOwned::to_owned);
        let auth = match access {
            WebAccess::Token(token) => Auth::Header("X-Sapo-Access-Token", token),
            WebAccess::Private { key, secret } => Auth::Basic(key, secret),
        };
        Ok(Self { api: http.api(System::Web, site, &base, own_host, auth)? })
    }

    /// The same client, with its calls recorded.
    #[must_use]
    pub fn recording(&self, calls: CallLog) -> Self {
        Self { api: self.api.recording(calls) }
    }

    /// The same client, for calls of a class.
    #[must_use]
    pub fn class(&self, class: Class) -> Self {
        Self { api: self.api.class(class) }
    }

    /// The same client, which writes nothing.
    #[must_use]
    pub fn dry(&self) -> Self {
        Self { api: self.api.dry() }
    }

    /// The web itself.
    pub async fn shop(&self) -> Result<WebShop, CallError> {
        self.get("admin/store.json", "the web", wire::shop).await
    }

    /// The places that hold stock.
    pub async fn locations(&self) -> Result<Vec<Choice>, CallError> {
        self.walk("locations", wire::location, |location| location.id.to_string()).await
    }

    /// A product.
    pub async fn product(&self, id: &str) -> Result<WebProduct, CallError> {
        self.get(&one("products", "product", id, "")?, &format!("product {id}"), wire::product).await
    }

    /// A page of the products.
    pub async fn products(&self, query: WebQuery) -> Result<Page<WebProduct>, CallError> {
        self.list("products", &query, wire::product).await
    }

    /// How many products there are.
    pub async fn products_count(&self) -> Result<u64, CallError> {
        self.get("admin/products/count.json", "the number of products", wire::count).await
    }

    /// What is available at a location of at most [`MOST_ROWS`] inventory items, by item. What the web does not tell is
    /// left out: all of it where it has no levels, or lets this app read none.
    pub async fn levels(&self, location: u64, items: &[String]) -> Result<HashMap<String, Decimal>, CallError> {
        let query = WebQuery::default();
        let call = Call::read(Method::GET, "admin/inventory_levels.json")
            .query("location_ids", location)
            .query("inventory_item_ids", items.join(","))
            .query("limit", MOST_ROWS);
        let read = |body: &[u8]| page(body, "inventory_levels", &query, wire::level);
        match self.send(call, Asked::Other, "stock levels", read).await {
            Ok(levels) => {
                // A web that does not know the filter tells of every location.
                let here = levels
                    .into_values()
                    .filter(|(place, ..)| place.as_ref().is_none_or(|place| *place == location.to_string()));
                Ok(here.map(|(_, item, available)| (item, available)).collect())
            }
            // The same token has just read the products: what is refused is this reading alone.
            Err(
                CallError::Failing { code: "unknown_path", .. }
                | CallError::Refused { .. }
                | CallError::NotFound { .. }
                | CallError::Unauthorised { .. },
            ) => Ok(HashMap::new()),
            Err(error) => Err(error),
        }
    }

    /// Sets a variant's available stock at a location.
    ///
    /// # Errors
    /// [`CallError::Refused`] with the code `unmanaged` where the web does not count its stock.
    pub async fn set_stock(
        &self,
        location: u64,
        variant_id: &str,
        inventory_item_id: &str,
        available: i64,
    ) -> Result<(), CallError> {
        let what = format!("variant {variant_id}");
        let would = format!("set the stock of variant {variant_id} to {available} on the web");
        let body = wire::stock_body(location, inventory_item_id, available);
        let call = Call::write("admin/inventory_levels/set.json", would.clone()).json(&body);
        match self.send(call, Asked::Object, &what, |_| Ok(())).await {
            // No such path at this web: then stock is a field of the variant.
            Err(CallError::Failing { code: "unknown_path", .. }) => {
                let call = Call::write_with(Method::PUT, one("variants", "variant", variant_id, "")?, would)
                    .json(&wire::quantity_body(variant_id, available));
                self.send(call, Asked::Object, &what, |_| Ok(())).await
            }
            result => result,
        }
    }

    /// Changes a variant's prices; sends nothing where there is nothing to be changed.
    pub async fn set_price(&self, variant_id: &str, change: &PriceChange) -> Result<(), CallError> {
        if change.is_empty() {
            return Ok(());
        }
        let call = Call::write_with(Method::PUT, one("variants", "variant", variant_id, "")?, said(variant_id, change))
            .json(&wire::price_body(variant_id, change));
        self.send(call, Asked::Object, &format!("variant {variant_id}"), |_| Ok(())).await
    }

    /// An order.
    pub async fn order(&self, id: &str) -> Result<WebOrder, CallError> {
        self.get(&one("orders", "order", id, "")?, &format!("order {id}"), wire::order).await
    }

    /// A page of the orders of one status: `open` where none is asked for.
    pub async fn orders(&self, query: WebQuery) -> Result<Page<WebOrder>, CallError> {
        let status = query.status.or(Some("open"));
        self.list("orders", &WebQuery { status, ..query }, wire::order).await
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// [`CallError::AlreadySo`] where it was cancelled before.
    pub async fn cancel_order(&self, id: &str) -> Result<(), CallError> {
        let call = Call::write(one("orders", "order", id, "/cancel")?, format!("cancel order {id} on the web"))
            .json(&serde_json::json!({}));
        self.send(call, Asked::Cancel, &format!("order {id}"), |_| Ok(())).await
    }

    /// Marks a whole order as shipped. Not repeatable: look at its `fulfillment_status` first.
    ///
    /// # Errors
    /// [`CallError::AlreadySo`] where the web says that it was shipped before.
    pub async fn fulfil_order(&self, id: &str) -> Result<(), CallError> {
        let path = one("orders", "order", id, "/fulfillments")?;
        let call = Call::write(path, format!("mark order {id} as shipped on the web")).json(&wire::fulfilment_body());
        self.send(call, Asked::Fulfil, &format!("order {id}"), |_| Ok(())).await
    }

    /// The webhooks registered by this app.
    pub async fn webhooks(&self) -> Result<Vec<Hook>, CallError> {
        self.walk("webhooks", hook, |hook| hook.id.clone()).await
    }

    /// Registers a webhook.
    pub async fn create_webhook(&self, topic: &str, address: &str) -> Result<Hook, CallError> {
        let call = Call::write("admin/webhooks.json", format!("register the webhook {topic} at the web"))
            .json(&hook_body(topic, address));
        self.send(call, Asked::Other, "the new webhook", hook).await
    }

    /// Changes a registered webhook.
    pub async fn update_webhook(&self, id: &str, topic: &str, address: &str) -> Result<(), CallError> {
        let path = one("webhooks", "webhook", id, "")?;
        let call = Call::write_with(Method::PUT, path, format!("change the webhook {topic} at the web"))
            .json(&hook_body(topic, address));
        self.send(call, Asked::Object, &format!("webhook {id}"), |_| Ok(())).await
    }

    /// Takes a webhook off the web.
    pub async fn delete_webhook(&self, id: &str) -> Result<(), CallError> {
        let path = one("webhooks", "webhook", id, "")?;
        let call = Call::write_with(Method::DELETE, path, format!("remove webhook {id} from the web"));
        self.send(call, Asked::Object, &format!("webhook {id}"), |_| Ok(())).await
    }

    /// Reads a short list to its end, or to where the API begins to repeat itself.
    async fn walk<T>(&self, list: &'static str, read: Read<T>, id: fn(&T) -> String) -> Result<Vec<T>, CallError> {
        let (mut seen, mut all) = (std::collections::HashSet::new(), Vec::new());
        for page in 1..=MOST_PAGES {
            let rows = self.list(list, &WebQuery { page, ..WebQuery::default() }, read).await?;
            let full = rows.items.len() >= MOST_ROWS as usize;
            let before = all.len();
            all.extend(rows.into_values().filter(|row| seen.insert(id(row))));
            if !full || all.len() == before {
                break;
            }
        }
        Ok(all)
    }

    async fn list<T>(&self, list: &'static str, query: &WebQuery, read: Read<T>) -> Result<Page<T>, CallError> {
        let call = query
            .parameters()
            .into_iter()
            .fold(Call::read(Method::GET, format!("admin/{list}.json")), |call, (name, value)| call.query(name, value));
        self.send(call, Asked::Other, list, |body| page(body, list, query, read)).await
    }

    async fn get<T>(&self, path: &str, what: &str, read: Read<T>) -> Result<T, CallError> {
        self.send(Call::read(Method::GET, path), Asked::Object, what, read).await
    }

    async fn send<T>(
        &self,
        call: Call,
        asked: Asked,
        what: &str,
        read: impl FnOnce(&[u8]) -> Result<T, WireError>,
    ) -> Result<T, CallError> {
        let judge = |answer: &Answer| {
            if !answer.is_success() {
                return Err(classify(asked, what, answer));
            }
            read(&answer.body).map_err(|_| CallError::unreadable(answer))
        };
        self.api.send(call, judge).await
    }
}

/// Whether a host is a web's own.
fn own_host(host: &str) -> bool {
    host.strip_suffix(".mysapo.net").is_some_and(|site| !site.is_empty() && !site.contains('.'))
}

/// The path of one object; an id that is no number can be nobody's.
fn one(list: &str, kind: &str, id: &str, action: &str) -> Result<String, CallError> {
    let id: i64 = id.parse().map_err(|_| CallError::NotFound { what: format!("{kind} {id:?}") })?;
    Ok(format!("admin/{list}/{id}{action}.json"))
}

/// A change of prices in words, for dry runs.
fn said(variant_id: &str, change: &PriceChange) -> String {
    let shown = |price: Decimal| Vnd(price).to_string();
    let price = change.price.map(|price| format!("the price to {}", shown(price)));
    let compare_at = change
        .compare_at
        .map(|compare_at| format!("the compare-at price to {}", compare_at.map_or_else(|| "none".to_owned(), shown)));
    let parts: Vec<String> = price.into_iter().chain(compare_at).collect();
    format!("set {} of variant {variant_id} on the web", parts.join(" and "))
}

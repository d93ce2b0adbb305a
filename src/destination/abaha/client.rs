//! The client of one Abaha site.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::destination::call_log::CallLog;
use crate::destination::error::{CallError, ClientError, Done, WireError};
use crate::destination::fields::id_json;
use crate::destination::http::{Answer, Api, Auth, Call, Http};
use crate::destination::limit::Class;
use crate::destination::page::Page;
use crate::domain::clock::Millis;
use crate::domain::customer::{ChannelCustomer, NewCustomer};
use crate::domain::event::System;
use crate::domain::money::Vnd;
use crate::domain::order::{ChannelOrder, NewChannelOrder};
use crate::domain::phone::Phone;
use crate::domain::product::{ChannelCategory, ChannelProduct, Listing, NewListing};
use crate::domain::sku::Sku;
use crate::domain::time;

use super::error::{Asked, Noun, accept};
use super::wire::{self, field, path};

/// The most rows of a page (assumed).
pub const MOST_ROWS: u32 = 100;

/// No search is followed further than this many pages (ours): an API that ignores `page` would never end.
const MOST_PAGES: u32 = 1_000;

/// The API's own address.
const ADDRESS: &str = "https://publicapi.abaha.vn";

/// Which orders of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderQuery {
    /// From 1.
    pub page: u32,
    /// Rows in a page.
    pub limit: u32,
    /// Created at or after.
    pub created_from: Option<Millis>,
    /// Created at or before.
    pub created_to: Option<Millis>,
    /// With this status code.
    pub status: Option<i64>,
}

impl Default for OrderQuery {
    fn default() -> Self {
        Self { page: 1, limit: MOST_ROWS, created_from: None, created_to: None, status: None }
    }
}

/// Calls one site's API.
#[derive(Clone, Debug)]
pub struct AbahaClient {
    api: Api,
}

impl AbahaClient {
    /// Makes the client of a site, at the API's own address or another.
    ///
    /// # Errors
    /// [`ClientError`] where address or token cannot be right, or the host is not the API's own.
    pub fn new(http: &Http, site: &str, token: SecretString, base_url: Option<&str>) -> Result<Self, ClientError> {
        let own = |host: &str| host == "publicapi.abaha.vn";
        let api = http.api(System::Abaha, site, base_url.unwrap_or(ADDRESS), own, Auth::Query("token", token))?;
        Ok(Self { api })
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

    /// A page of the categories.
    pub async fn categories(&self, page: u32) -> Result<Page<ChannelCategory>, CallError> {
        self.list(path::CATEGORIES, page, MOST_ROWS, Map::new(), wire::category).await
    }

    /// Creates a category and gives its id. Not repeatable.
    pub async fn create_category(&self, name: &str) -> Result<String, CallError> {
        let call = Call::write(path::CREATE_CATEGORY, format!("create the category {name} on Abaha"))
            .json(&json!({ field::NAME: name }));
        self.send(call, Asked::Other, "the new category", wire::created_id).await
    }

    /// Renames a category.
    pub async fn rename_category(&self, id: &str, name: &str) -> Result<(), CallError> {
        let call = Call::write(path::UPDATE_CATEGORY, format!("rename category {id} on Abaha to {name}"))
            .json(&json!({ field::ID: id_json(id), field::NAME: name }));
        self.send(call, Asked::Of(Noun::Category), &format!("category {id}"), |_| Ok(())).await
    }

    /// A page of the products.
    pub async fn products(&self, page: u32, limit: u32) -> Result<Page<ChannelProduct>, CallError> {
        self.list(path::PRODUCTS, page, limit, Map::new(), wire::product).await
    }

    /// The products with exactly this code, whether or not the API heeds the filter.
    pub async fn products_by_code(&self, code: &str) -> Result<Vec<ChannelProduct>, CallError> {
        let Some(code) = Sku::new(code) else {
            return Ok(Vec::new());
        };
        let filter = Map::from_iter([(field::PRODUCT_CODE.to_owned(), Value::from(code.as_str()))]);
        let mut found: Vec<ChannelProduct> = Vec::new();
        let mut first_id = None;
        for page in 1..=MOST_PAGES {
            let page = self.list(path::PRODUCTS, page, MOST_ROWS, filter.clone(), wire::product).await?;
            let more = page.more();
            let filtered = page.items.iter().flatten().all(|item| Sku::new(&item.value.code).as_ref() == Some(&code));
            let short = page.total.is_none() && filtered && page.items.len() < MOST_ROWS as usize;
            let begins = page.items.iter().flatten().next().map(|item| item.value.id.clone());
            if begins.is_some() && begins == first_id {
                break;
            }
            first_id = first_id.or(begins);
            found.extend(page.into_values().filter(|product| Sku::new(&product.code).as_ref() == Some(&code)));
            if !more || short {
                break;
            }
        }
        Ok(found)
    }

    /// Creates a product and gives its id. Not repeatable.
    pub async fn create_product(&self, product: &NewListing) -> Result<String, CallError> {
        let call = Call::write(path::CREATE_PRODUCT, format!("create the product {} on Abaha", product.code))
            .json(&wire::new_product_body(product));
        self.send(call, Asked::Other, "the new product", wire::created_id).await
    }

    /// Changes the fields of a product that we own; those that are `None` are left alone.
    pub async fn update_product(&self, id: &str, product: &Listing) -> Result<(), CallError> {
        let call = Call::write(path::UPDATE_PRODUCT, format!("change product {id} on Abaha"))
            .json(&wire::product_body(id, product));
        self.send(call, Asked::Of(Noun::Product), &format!("product {id}"), |_| Ok(())).await
    }

    /// Hides a product.
    pub async fn hide_product(&self, id: &str) -> Result<(), CallError> {
        let call =
            Call::write(path::UPDATE_PRODUCT, format!("hide product {id} on Abaha")).json(&wire::status_body(id, 0));
        self.send(call, Asked::Of(Noun::Product), &format!("product {id}"), |_| Ok(())).await
    }

    /// A page of the customers.
    pub async fn customers(&self, page: u32) -> Result<Page<ChannelCustomer>, CallError> {
        self.list(path::CUSTOMERS, page, MOST_ROWS, Map::new(), wire::customer).await
    }

    /// The customer with this phone; one whose phone turns out to be another is none.
    pub async fn customer_by_phone(&self, phone: &Phone) -> Result<Option<ChannelCustomer>, CallError> {
        let call = read(path::CUSTOMER_BY_PHONE, &json!({ field::TEL: phone.national() }));
        let found = self.send(call, Asked::Of(Noun::Customer), "the customer", |data| {
            let data: Value = serde_json::from_slice(data).map_err(|_| WireError::NotJson)?;
            Ok(wire::customer_of(data.get(0).unwrap_or(&data)))
        });
        let customer = match found.await {
            Err(CallError::NotFound { .. }) => None,
            other => other?,
        };
        let same = |text: &str| Phone::parse(text).is_ok_and(|found| found == *phone);
        Ok(customer.filter(|customer| customer.phone.as_deref().is_none_or(same)))
    }

    /// Creates a customer and gives its id. Not repeatable.
    pub async fn create_customer(&self, customer: &NewCustomer) -> Result<String, CallError> {
        let call = Call::write(path::CREATE_CUSTOMER, format!("create the customer {} on Abaha", customer.name))
            .json(&wire::customer_body(customer));
        self.send(call, Asked::Other, "the new customer", wire::created_id).await
    }

    /// An order; where `order/detail` (unconfirmed) does not know it, the list is asked for its id.
    pub async fn order(&self, id: &str) -> Result<ChannelOrder, CallError> {
        let what = format!("order {id}");
        let ask = json!({ field::ID: id_json(id) });
        let one = self.send(read(path::ORDER, &ask), Asked::Of(Noun::Order), &what, wire::order).await;
        match one {
            Ok(order) if order.id == id => return Ok(order),
            Ok(_)
            | Err(CallError::NotFound { .. } | CallError::Failing { code: "unknown_path" | "unreadable_answer", .. }) =>
                {}
            Err(error) => return Err(error),
        }
        let filter = Map::from_iter([(field::ID.to_owned(), id_json(id))]);
        let page = self.list(path::ORDERS, 1, MOST_ROWS, filter, wire::order).await?;
        // Rows of other orders show that the filter is not heeded: then a row that is missing says nothing.
        let conclusive = page.items.is_empty() && page.total.unwrap_or(0) == 0;
        match page.into_values().find(|order| order.id == id) {
            Some(order) => Ok(order),
            None if conclusive => Err(CallError::NotFound { what }),
            None => Err(CallError::failing("unreadable_answer", Done::No)),
        }
    }

    /// A page of the orders.
    pub async fn orders(&self, query: OrderQuery) -> Result<Page<ChannelOrder>, CallError> {
        let mut filter = Map::new();
        for (name, at) in [(field::CREATED_FROM, query.created_from), (field::CREATED_TO, query.created_to)] {
            if let Some(at) = at {
                filter.insert(name.to_owned(), time::format(at).into());
            }
        }
        if let Some(status) = query.status {
            filter.insert(field::STATUS.to_owned(), status.into());
        }
        self.list(path::ORDERS, query.page, query.limit, filter, wire::order).await
    }

    /// Creates an order and gives its id. Not repeatable.
    pub async fn create_order(&self, order: &NewChannelOrder) -> Result<String, CallError> {
        let would = format!("create Sapo's order {} on Abaha, total {}", order.pos_id, Vnd(order.total));
        let call = Call::write(path::CREATE_ORDER, would).json(&wire::order_body(order));
        self.send(call, Asked::Other, "the new order", wire::created_id).await
    }

    /// Sets an order's status code.
    ///
    /// # Errors
    /// [`CallError::AlreadySo`] where it was to be cancelled and is.
    pub async fn set_order_status(&self, id: &str, code: i64) -> Result<(), CallError> {
        let asked = if wire::CANCELLED.contains(&code) { Asked::Cancel } else { Asked::Of(Noun::Order) };
        let call = Call::write(path::UPDATE_ORDER, format!("set order {id} on Abaha to status {code}"))
            .json(&wire::status_body(id, code));
        self.send(call, asked, &format!("order {id}"), |_| Ok(())).await
    }

    async fn list<T>(
        &self,
        path: &'static str,
        page: u32,
        limit: u32,
        mut filter: Map<String, Value>,
        row: fn(&[u8]) -> Result<T, WireError>,
    ) -> Result<Page<T>, CallError> {
        filter.insert(field::PAGE.to_owned(), page.into());
        filter.insert(field::LIMIT.to_owned(), limit.into());
        self.send(read(path, &Value::Object(filter)), Asked::Other, path, |data| wire::page(data, page, limit, row))
            .await
    }

    async fn send<T>(
        &self,
        call: Call,
        asked: Asked,
        what: &str,
        read: impl FnOnce(&[u8]) -> Result<T, WireError>,
    ) -> Result<T, CallError> {
        let judge = |answer: &Answer| read(accept(asked, what, answer)?).map_err(|_| CallError::unreadable(answer));
        self.api.send(call, judge).await
    }
}

/// A call that reads: at Abaha these are `POST`s as well.
fn read(path: &'static str, body: &Value) -> Call {
    Call::read(Method::POST, path).json(body)
}

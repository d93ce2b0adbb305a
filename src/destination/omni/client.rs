//! The client of one Sapo Omni shop.

mod setup;

use std::collections::HashSet;

use reqwest::Method;
use secrecy::SecretString;

use crate::destination::call_log::CallLog;
use crate::destination::error::{CallError, ClientError, WireError};
use crate::destination::fields::folded;
use crate::destination::http::{Answer, Api, Auth, Call, Http};
use crate::destination::limit::Class;
use crate::destination::page::Page;
use crate::domain::customer::{NewPosCustomer, PosCustomer};
use crate::domain::event::System;
use crate::domain::money::Vnd;
use crate::domain::order::{NewPosOrder, PosOrder};
use crate::domain::phone::Phone;
use crate::domain::product::{PosCategory, PosProduct};
use crate::domain::sku::Sku;

use super::error::{Asked, classify};
pub use super::query::{MOST_ORDERS, MOST_ROWS, PageQuery};
use super::query::{Read, page};
use super::wire;
pub use super::wire::{Choice, NewPrepayment, Tenant, VariantRef};
pub use setup::PriceList;

/// No search is followed further than this many pages (ours): an API that ignores `page` would never end.
const MOST_PAGES: u32 = 1_000;

/// Calls one shop's API.
#[derive(Clone, Debug)]
pub struct OmniClient {
    api: Api,
    branch: Option<u64>,
}

impl OmniClient {
    /// Makes the client of the shop `https://{alias}.mysapogo.com`, or of another base address.
    ///
    /// # Errors
    /// [`ClientError`] where name, address or token cannot be right, or the host is not the API's own.
    pub fn new(http: &Http, alias: &str, token: SecretString, base_url: Option<&str>) -> Result<Self, ClientError> {
        let fine = !alias.is_empty() && alias.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !fine {
            return Err(ClientError::Name(alias.to_owned()));
        }
        let base = base_url.map_or_else(|| format!("https://{alias}.mysapogo.com"), ToOwned::to_owned);
        let own =
            |host: &str| host.strip_suffix(".mysapogo.com").is_some_and(|shop| !shop.is_empty() && !shop.contains('.'));
        let api = http.api(System::Omni, alias, &base, own, Auth::Header("X-Sapo-Access-Token", token))?;
        Ok(Self { api, branch: None })
    }

    /// The same client, whose writing calls name this branch.
    #[must_use]
    pub fn branch(&self, branch: Option<u64>) -> Self {
        Self { branch, ..self.clone() }
    }

    /// The same client, with its calls recorded.
    #[must_use]
    pub fn recording(&self, calls: CallLog) -> Self {
        Self { api: self.api.recording(calls), ..self.clone() }
    }

    /// The same client, for calls of a class.
    #[must_use]
    pub fn class(&self, class: Class) -> Self {
        Self { api: self.api.class(class), ..self.clone() }
    }

    /// The same client, which writes nothing.
    #[must_use]
    pub fn dry(&self) -> Self {
        Self { api: self.api.dry(), ..self.clone() }
    }

    /// The shop itself.
    pub async fn tenant(&self) -> Result<Tenant, CallError> {
        self.get("admin/tenant.json", "the shop", wire::tenant).await
    }

    /// A product.
    pub async fn product(&self, id: &str) -> Result<PosProduct, CallError> {
        self.get(&one("products", "product", id, "")?, &format!("product {id}"), wire::product).await
    }

    /// A page of the products.
    pub async fn products(&self, query: PageQuery<'_>) -> Result<Page<PosProduct>, CallError> {
        self.list("products", query, wire::product).await
    }

    /// The variants with exactly this SKU; the API itself searches for fragments.
    pub async fn variants_by_sku(&self, sku: &str) -> Result<Vec<VariantRef>, CallError> {
        let Some(sku) = Sku::new(sku) else {
            return Ok(Vec::new());
        };
        let found = self.search("variants", sku.as_str(), wire::variant, |variant| variant.id.clone()).await?;
        Ok(found.into_iter().filter(|variant| Sku::new(&variant.sku).as_ref() == Some(&sku)).collect())
    }

    /// A page of the categories.
    pub async fn categories(&self, page: u32) -> Result<Page<PosCategory>, CallError> {
        self.list("categories", PageQuery { page, ..PageQuery::default() }, wire::category).await
    }

    /// A customer.
    pub async fn customer(&self, id: &str) -> Result<PosCustomer, CallError> {
        self.get(&one("customers", "customer", id, "")?, &format!("customer {id}"), wire::customer).await
    }

    /// A page of the customers.
    pub async fn customers(&self, query: PageQuery<'_>) -> Result<Page<PosCustomer>, CallError> {
        self.list("customers", query, wire::customer).await
    }

    /// The customers whose phone is this one, however it is written.
    pub async fn customers_by_phone(&self, phone: &Phone) -> Result<Vec<PosCustomer>, CallError> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for form in phone.search_forms() {
            for customer in self.search("customers", &form, wire::customer, |customer| customer.id.clone()).await? {
                let same = customer.phone.as_deref().and_then(|text| Phone::parse(text).ok()).as_ref() == Some(phone);
                if same && seen.insert(customer.id.clone()) {
                    all.push(customer);
                }
            }
        }
        Ok(all)
    }

    /// The customers whose e-mail is this one, whatever the case and the blanks around it.
    pub async fn customers_by_email(&self, email: &str) -> Result<Vec<PosCustomer>, CallError> {
        let wanted = email.trim().to_lowercase();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.search("customers", &wanted, wire::customer, |customer| customer.id.clone()).await?;
        let same = |customer: &PosCustomer| {
            customer.email.as_deref().is_some_and(|typed| typed.trim().to_lowercase() == wanted)
        };
        Ok(found.into_iter().filter(same).collect())
    }

    /// The shop's own khách lẻ: the customer of that name who has no phone; the oldest, should there be several.
    pub async fn walk_in_customer(&self) -> Result<Option<PosCustomer>, CallError> {
        let found = self.search("customers", "Khách lẻ", wire::customer, |customer| customer.id.clone()).await?;
        let walk_in =
            found.into_iter().filter(|customer| customer.phone.is_none() && folded(&customer.name) == "khách lẻ");
        Ok(walk_in.min_by_key(|customer| (customer.id.len(), customer.id.clone())))
    }

    /// Creates a customer and gives its id. Not repeatable.
    pub async fn create_customer(&self, customer: &NewPosCustomer) -> Result<String, CallError> {
        let call = self
            .write("admin/customers.json", format!("create the customer {} on Sapo", customer.name))
            .json(&wire::customer_body(customer));
        self.send(call, Asked::Other, "the new customer", |body| wire::id_of(body, "customer")).await
    }

    /// An order.
    pub async fn order(&self, id: &str) -> Result<PosOrder, CallError> {
        self.get(&one("orders", "order", id, "")?, &format!("order {id}"), wire::order).await
    }

    /// A page of the orders.
    pub async fn orders(&self, query: PageQuery<'_>) -> Result<Page<PosOrder>, CallError> {
        self.list("orders", PageQuery { limit: query.limit.min(MOST_ORDERS), ..query }, wire::order).await
    }

    /// Creates an order at its own branch, and gives it as the shop states it. Not repeatable.
    pub async fn create_order(&self, order: &NewPosOrder) -> Result<PosOrder, CallError> {
        let would = format!("create order {} on Sapo, total {}", order.reference, Vnd(order.total));
        let call = self.branch(Some(order.branch)).write("admin/orders.json", would).json(&wire::order_body(order));
        self.send(call, Asked::Other, "the new order", wire::order).await
    }

    /// Approves an order.
    ///
    /// # Errors
    /// [`CallError::AlreadySo`] where it was approved before.
    pub async fn finalize_order(&self, id: &str) -> Result<(), CallError> {
        let call = self.write(one("orders", "order", id, "/finalize")?, format!("approve order {id} on Sapo"));
        self.send(call, Asked::Finalize, &format!("order {id}"), |_| Ok(())).await
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// [`CallError::AlreadySo`] where it was cancelled before.
    pub async fn cancel_order(&self, id: &str) -> Result<(), CallError> {
        let call = self.write(one("orders", "order", id, "/cancel")?, format!("cancel order {id} on Sapo"));
        self.send(call, Asked::Cancel, &format!("order {id}"), |_| Ok(())).await
    }

    /// Adds a prepayment to an order. Not repeatable: read the order first and add the difference.
    pub async fn add_prepayment(&self, order_id: &str, prepayment: &NewPrepayment<'_>) -> Result<(), CallError> {
        let would = format!("add a prepayment of {} to order {order_id} on Sapo", Vnd(prepayment.amount));
        let call = self
            .write(one("orders", "order", order_id, "/prepayments")?, would)
            .json(&wire::prepayment_body(prepayment));
        self.send(call, Asked::Other, &format!("order {order_id}"), |_| Ok(())).await
    }

    /// The branches (Chi nhánh).
    pub async fn locations(&self) -> Result<Vec<Choice>, CallError> {
        self.choices("locations").await
    }

    /// The staff.
    pub async fn accounts(&self) -> Result<Vec<Choice>, CallError> {
        self.choices("accounts").await
    }

    /// The order sources (Nguồn đơn hàng).
    pub async fn order_sources(&self) -> Result<Vec<Choice>, CallError> {
        self.choices("order_sources").await
    }

    /// The payment methods.
    pub async fn payment_methods(&self) -> Result<Vec<Choice>, CallError> {
        self.choices("payment_methods").await
    }

    async fn choices(&self, list: &'static str) -> Result<Vec<Choice>, CallError> {
        self.walk(list, None, wire::choice, |choice| choice.id.to_string()).await
    }

    async fn search<T>(
        &self,
        list: &'static str,
        query: &str,
        read: Read<T>,
        id: fn(&T) -> String,
    ) -> Result<Vec<T>, CallError> {
        self.walk(list, Some(query), read, id).await
    }

    /// Reads a list to its end, or to where the API begins to repeat itself.
    async fn walk<T>(
        &self,
        list: &'static str,
        query: Option<&str>,
        read: Read<T>,
        id: fn(&T) -> String,
    ) -> Result<Vec<T>, CallError> {
        let (mut seen, mut all) = (HashSet::new(), Vec::new());
        for page in 1..=MOST_PAGES {
            let page = self.list(list, PageQuery { page, query, ..PageQuery::default() }, read).await?;
            let more = page.more() && (page.total.is_some() || page.items.len() >= MOST_ROWS as usize);
            let before = all.len();
            all.extend(page.into_values().filter(|row| seen.insert(id(row))));
            if !more || all.len() == before {
                break;
            }
        }
        Ok(all)
    }

    async fn list<T>(&self, list: &'static str, query: PageQuery<'_>, read: Read<T>) -> Result<Page<T>, CallError> {
        let path = format!("admin/{list}.json");
        let call = query
            .parameters()
            .into_iter()
            .fold(Call::read(Method::GET, path), |call, (name, value)| call.query(name, value));
        self.send(call, Asked::Other, list, |body| page(body, list, query, read)).await
    }

    async fn get<T>(&self, path: &str, what: &str, read: Read<T>) -> Result<T, CallError> {
        self.send(Call::read(Method::GET, path), Asked::Other, what, read).await
    }

    fn write(&self, path: impl Into<String>, would: impl Into<String>) -> Call {
        Call::write(path, would).header("X-Sapo-LocationId", self.branch)
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

/// The path of one object; an id that is no number can be nobody's.
fn one(list: &str, kind: &str, id: &str, action: &str) -> Result<String, CallError> {
    let id: i64 = id.parse().map_err(|_| CallError::NotFound { what: format!("{kind} {id:?}") })?;
    Ok(format!("admin/{list}/{id}{action}.json"))
}

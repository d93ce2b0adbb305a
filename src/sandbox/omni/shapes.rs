//! Products, categories and customers as Omni writes them.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::shop::{Category, Customer, Kind, Product, Shop, Variant};
use crate::sandbox::amount::{number, number_or_null};
use crate::sandbox::clock::iso;

/// When the price lists and addresses of the made-up shop were made.
const LONG_AGO: &str = "2026-03-02T02:01:04Z";

impl Shop {
    /// A product as Omni writes it.
    pub fn product_json(&self, id: u64) -> Option<Value> {
        let product = self.products.get(&id)?;
        let mut shape = self.plain_product_json(product);
        overlay(&mut shape, &product.overlay);
        Some(shape)
    }

    /// A product without the fields that a test has set.
    pub fn plain_product_json(&self, product: &Product) -> Value {
        let category = product.category.and_then(|id| self.categories.get(&id));
        let image = product.image.as_ref().map(|url| {
            let file = url.rsplit('/').next().unwrap_or_default();
            json!({"id": 3001, "full_path": url, "path": file, "file_name": file, "position": 1})
        });
        let kind = if product.variants.iter().any(|variant| matches!(variant.kind, Kind::Combo(_))) {
            "composite"
        } else {
            "normal"
        };
        json!({
            "id": product.id,
            "tenant_id": self.tenant,
            "created_on": iso(product.created),
            "modified_on": iso(product.modified),
            "status": status(product.active),
            "brand_id": null,
            "brand": null,
            "description": product.description,
            "image_path": null,
            "image_name": null,
            "name": product.name,
            "opt1": "Kích thước",
            "opt2": null,
            "opt3": null,
            "category_id": category.map(|category| category.id),
            "category": category.map(|category| &category.name),
            "category_code": category.map(category_code),
            "tags": product.tags,
            "product_type": kind,
            "supplier_ids": [],
            "variant_ids": product.variants.iter().map(|variant| variant.id).collect::<Vec<_>>(),
            "variants": product.variants.iter().map(|variant| self.variant_json(product, variant)).collect::<Vec<_>>(),
            "options": [{
                "id": 4_276_001,
                "name": "Kích thước",
                "position": 1,
                "values": product.variants.iter().map(|variant| &variant.option).collect::<Vec<_>>()
            }],
            "images": image.into_iter().collect::<Vec<_>>()
        })
    }

    /// A variant as Omni writes it.
    pub fn variant_json(&self, product: &Product, variant: &Variant) -> Value {
        let mut shape = self.plain_variant_json(product, variant);
        overlay(&mut shape, &variant.overlay);
        shape
    }

    /// A variant without the fields that a test has set.
    pub fn plain_variant_json(&self, product: &Product, variant: &Variant) -> Value {
        let (product_type, pack, items) = match &variant.kind {
            Kind::Plain => ("normal", None, Value::Null),
            Kind::Pack { root, quantity } => ("packsize", Some((*root, *quantity)), Value::Null),
            Kind::Combo(items) => {
                let item = |(index, (id, quantity)): (usize, &(u64, Decimal))| json!({"id": index + 1, "sub_variant_id": id, "quantity": number(*quantity)});
                ("composite", None, items.iter().enumerate().map(item).collect())
            }
        };
        let import = number(variant.import.unwrap_or_default());
        json!({
            "id": variant.id,
            "tenant_id": self.tenant,
            "location_id": super::FIRST_LOCATION,
            "created_on": iso(variant.created),
            "modified_on": iso(variant.modified),
            "category_id": product.category,
            "brand_id": null,
            "product_id": product.id,
            "composite": matches!(variant.kind, Kind::Combo(_)),
            "description": null,
            "keep_selling": true,
            "init_price": import,
            "init_stock": 0,
            "variant_retail_price": number_or_null(variant.retail),
            "variant_whole_price": number_or_null(variant.wholesale),
            "variant_import_price": number_or_null(variant.import),
            "image_id": null,
            "name": variant.name,
            "opt1": variant.option,
            "opt2": null,
            "opt3": null,
            "product_name": variant.name,
            "product_status": null,
            "product_type": product_type,
            "status": status(variant.active),
            "sellable": true,
            "sku": variant.sku,
            "barcode": variant.barcode,
            "taxable": true,
            "weight_value": null,
            "weight_unit": null,
            "unit": variant.unit,
            "packsize": pack.is_some(),
            "packsize_quantity": pack.map(|(_, quantity)| number(quantity)),
            "packsize_root_id": pack.map(|(root, _)| root),
            "composite_items": items,
            "variant_prices": self.prices_json(variant),
            "inventories": self.inventories_json(variant, &import),
            "images": [],
            "warranty": false
        })
    }

    fn prices_json(&self, variant: &Variant) -> Vec<Value> {
        let prices = [(167_002, variant.wholesale), (167_001, variant.retail), (167_003, variant.import)];
        let written = prices.into_iter().enumerate().filter_map(|(index, (list, value))| {
            let value = value?;
            let found = self.setting("price_lists").iter().find(|item| item["id"] == json!(list))?;
            let mut price_list = found.clone();
            for (field, extra) in [
                ("tenant_id", json!(self.tenant)),
                ("created_on", json!(LONG_AGO)),
                ("modified_on", json!(LONG_AGO)),
                ("currency_id", json!(56_001)),
                ("init", json!(true)),
            ] {
                price_list[field] = extra;
            }
            let id = 91_000_000 + (variant.id - 5_700_000) * 10 + index as u64;
            Some(json!({"id": id, "value": number(value), "name": found["name"], "price_list_id": list, "price_list": price_list}))
        });
        written.collect()
    }

    fn inventories_json(&self, variant: &Variant, cost: &Value) -> Vec<Value> {
        let locations = match variant.kind {
            Kind::Plain => variant.stock.keys().copied().collect(),
            Kind::Pack { .. } | Kind::Combo(_) => self.locations(),
        };
        let written = locations.into_iter().map(|location| {
            let stock = self.stock_of(variant, location);
            json!({
                "location_id": location,
                "variant_id": variant.id,
                "mac": cost,
                "amount": 0,
                "on_hand": number(stock.on_hand),
                "available": number(stock.on_hand - stock.committed),
                "committed": number(stock.committed),
                "incoming": 0,
                "onway": 0,
                "reorder_point": 0,
                "name": null,
                "min_value": 0,
                "max_value": 0,
                "bin_location": null
            })
        });
        written.collect()
    }

    /// A customer as Omni writes it.
    pub fn customer_json(&self, customer: &Customer) -> Value {
        let mut shape = self.plain_customer_json(customer);
        overlay(&mut shape, &customer.overlay);
        shape
    }

    /// A customer without the fields that a test has set.
    pub fn plain_customer_json(&self, customer: &Customer) -> Value {
        let addresses: Vec<Value> = customer
            .address
            .iter()
            .map(|line| {
                json!({
                    "id": 16_001, "country": "Việt Nam", "city": "Hà Nội", "district": "Quận Mẫu", "ward": "Phường Mẫu",
                    "address1": line, "created_on": LONG_AGO, "modified_on": LONG_AGO
                })
            })
            .collect();
        json!({
            "id": customer.id,
            "tenant_id": self.tenant,
            "default_location_id": null,
            "created_on": iso(customer.created),
            "modified_on": iso(customer.modified),
            "code": customer.code,
            "name": customer.name,
            "dob": null,
            "sex": "other",
            "description": null,
            "email": customer.email,
            "fax": null,
            "phone_number": customer.phone,
            "tax_number": "",
            "website": "",
            "customer_group_id": 3001,
            "group_name": "Bán lẻ",
            "assignee_id": null,
            "default_payment_term_id": null,
            "default_payment_method_id": null,
            "default_tax_type_id": null,
            "default_discount_rate": null,
            "default_price_list_id": null,
            "tags": [],
            "addresses": addresses,
            "contacts": [],
            "notes": [],
            "customer_group": {"id": 3001, "tenant_id": self.tenant}
        })
    }

    /// A category as Omni writes it.
    pub fn category_json(&self, category: &Category) -> Value {
        json!({
            "id": category.id,
            "tenant_id": self.tenant,
            "description": null,
            "name": category.name,
            "created_on": iso(category.created),
            "modified_on": iso(category.modified),
            "code": category_code(category),
            "status": "active",
            "default": false
        })
    }
}

fn category_code(category: &Category) -> String {
    format!("PGN{:05}", category.id - 197_000)
}

fn status(active: bool) -> &'static str {
    if active { "active" } else { "inactive" }
}

/// Puts fields that a test has set over those that the shop would write.
fn overlay(shape: &mut Value, fields: &Map<String, Value>) {
    for (field, value) in fields {
        shape[field] = value.clone();
    }
}

/// The fields of `given` that are not as the shop would write them.
pub(crate) fn differences(plain: &Value, given: &Value, except: &[&str]) -> Map<String, Value> {
    let Some(given) = given.as_object() else {
        return Map::new();
    };
    let differs = |(field, value): &(&String, &Value)| {
        !except.contains(&field.as_str()) && plain.get(field.as_str()) != Some(*value)
    };
    given.iter().filter(differs).map(|(field, value)| (field.clone(), value.clone())).collect()
}

//! Products and categories: made, changed, deleted.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::shapes::differences;
use super::shop::{Category, Kind, Product, Refusal, Ruled, Shop, Stock, Variant};
use crate::sandbox::amount::{decimal, text, whole};

/// What a new variant is made of.
#[derive(Clone, Debug)]
pub(crate) struct NewVariant {
    pub sku: Option<String>,
    pub name: Option<String>,
    pub option: String,
    pub active: bool,
    pub retail: Option<Decimal>,
    pub wholesale: Option<Decimal>,
    pub import: Option<Decimal>,
    pub unit: Option<String>,
    pub kind: Kind,
    pub stock: BTreeMap<u64, Decimal>,
}

impl Shop {
    /// Makes a product from a partial description: `name`, `status`, `category` (a name), `category_id`, `tags`,
    /// `description`, `image`, and `variants` of `sku`, `name`, `option`, `status`, `retail`, `wholesale`, `import`,
    /// `unit`, `stock` {location: on hand}, `pack` {sku, quantity}, `combo` [{sku, quantity}].
    pub fn add_product(&mut self, given: &Value) -> Ruled<u64> {
        let name = text(&given["name"]).ok_or_else(|| Refusal::field("name", "may not be empty"))?;
        let category = match (whole(&given["category_id"]), text(&given["category"])) {
            (Some(id), _) if self.categories.contains_key(&id) => Some(id),
            (Some(_), _) => return Err(Refusal::field("category_id", "Loại sản phẩm không tồn tại")),
            (None, Some(name)) => Some(self.category_named(&name)),
            (None, None) => None,
        };
        let listed = given["variants"].as_array().cloned().unwrap_or_else(|| vec![json!({})]);
        let variants = listed.iter().map(|variant| self.read_variant(variant)).collect::<Ruled<Vec<_>>>()?;
        let id = self.make_product(&name, category, variants)?;
        if let Some(product) = self.products.get_mut(&id) {
            product.active = given["status"] != "inactive" && given["active"] != false;
            product.tags = text(&given["tags"]);
            product.description = text(&given["description"]);
            product.image = text(&given["image"]);
        }
        self.tell_new_product(id);
        Ok(id)
    }

    /// Makes a product; nothing is told yet.
    pub fn make_product(&mut self, name: &str, category: Option<u64>, variants: Vec<NewVariant>) -> Ruled<u64> {
        for (index, variant) in variants.iter().enumerate() {
            if let Some(sku) = &variant.sku
                && (self.skus.contains_key(sku)
                    || variants[..index].iter().any(|other| other.sku.as_ref() == Some(sku)))
            {
                return Err(Refusal::field("phiên bản sản phẩm", format!("Mã {sku} đã trùng ")));
            }
        }
        let (id, now) = (self.next_id("product"), self.clock.now());
        let single = variants.len() == 1;
        let mut made = Vec::new();
        for new in variants {
            let full = if single { name.to_owned() } else { format!("{name} - {}", new.option) };
            made.push(self.make_variant(id, new, &full));
        }
        let product = Product {
            id,
            name: name.to_owned(),
            active: true,
            category,
            tags: None,
            description: None,
            image: None,
            created: now,
            modified: now,
            variants: made,
            overlay: Map::new(),
        };
        self.products.insert(id, product);
        Ok(id)
    }

    /// Adds a variant to a product; nothing is told.
    pub fn add_variant(&mut self, product: u64, new: NewVariant) {
        let Some(name) = self.products.get(&product).map(|product| product.name.clone()) else {
            return;
        };
        let full = format!("{name} - {}", new.option);
        let variant = self.make_variant(product, new, &full);
        if let Some(product) = self.products.get_mut(&product) {
            product.variants.push(variant);
        }
    }

    fn make_variant(&mut self, product: u64, new: NewVariant, full_name: &str) -> Variant {
        let (id, now) = (self.next_id("variant"), self.clock.now());
        let sku = new.sku.unwrap_or_else(|| format!("PVN{:05}", id - 5_700_000));
        self.skus.insert(sku.clone(), id);
        self.homes.insert(id, product);
        let at = |location| Stock {
            on_hand: new.stock.get(&location).copied().unwrap_or_default(),
            committed: Decimal::ZERO,
        };
        let stock = match new.kind {
            Kind::Plain => self.locations().into_iter().map(|location| (location, at(location))).collect(),
            Kind::Pack { .. } | Kind::Combo(_) => BTreeMap::new(),
        };
        Variant {
            id,
            barcode: Some(sku.clone()),
            sku,
            name: new.name.unwrap_or_else(|| full_name.to_owned()),
            option: new.option,
            active: new.active,
            retail: new.retail,
            wholesale: new.wholesale,
            import: new.import,
            unit: new.unit,
            kind: new.kind,
            stock,
            created: now,
            modified: now,
            overlay: Map::new(),
        }
    }

    fn tell_new_product(&mut self, id: u64) {
        if let Some(body) = self.product_json(id) {
            self.tell("products/create", id, body);
        }
    }

    fn read_variant(&self, given: &Value) -> Ruled<NewVariant> {
        let component = |item: &Value| {
            let named = item["sku"].as_str().and_then(|sku| self.skus.get(sku).copied());
            let id = whole(&item["variant_id"]).or(named).filter(|id| self.homes.contains_key(id));
            let id = id.ok_or_else(|| Refusal::field("composite_items", "Phiên bản sản phẩm không tồn tại"))?;
            Ok((id, decimal(&item["quantity"]).unwrap_or(Decimal::ONE)))
        };
        let kind = if given["pack"].is_object() {
            let (root, quantity) = component(&given["pack"])?;
            Kind::Pack { root, quantity }
        } else if let Some(items) = given["combo"].as_array() {
            Kind::Combo(items.iter().map(component).collect::<Ruled<_>>()?)
        } else {
            Kind::Plain
        };
        let mut stock = BTreeMap::new();
        for (location, amount) in given["stock"].as_object().into_iter().flatten() {
            let location = location.parse().ok().filter(|id| self.has_setting("locations", *id));
            let location = location.ok_or_else(|| Refusal::field("location_id", "Chi nhánh không tồn tại"))?;
            stock.insert(location, decimal(amount).unwrap_or_default());
        }
        Ok(NewVariant {
            sku: text(&given["sku"]),
            name: text(&given["name"]),
            option: text(&given["option"]).unwrap_or_else(|| "Mặc định".into()),
            active: given["status"] != "inactive" && given["active"] != false,
            retail: decimal(&given["retail"]),
            wholesale: decimal(&given["wholesale"]),
            import: decimal(&given["import"]),
            unit: text(&given["unit"]),
            kind,
            stock,
        })
    }

    /// Lets `edit` change a product in its written form, and reads it back: the fields that the shop knows become its
    /// state, any other stays as it was written.
    pub fn change_product(&mut self, id: u64, edit: impl FnOnce(&mut Value)) -> Ruled<()> {
        let mut given = self.product_json(id).ok_or_else(Refusal::no_object)?;
        edit(&mut given);
        let clock = self.clock;
        let category = whole(&given["category_id"]).filter(|id| self.categories.contains_key(id));
        let product = self.products.get_mut(&id).ok_or_else(Refusal::no_object)?;
        product.name = text(&given["name"]).unwrap_or_default();
        product.active = given["status"] == "active";
        product.category = category;
        product.tags = text(&given["tags"]);
        product.description = text(&given["description"]);
        for variant in &mut product.variants {
            let written =
                given["variants"].as_array().into_iter().flatten().find(|item| whole(&item["id"]) == Some(variant.id));
            let Some(written) = written else { continue };
            self.skus.remove(&variant.sku);
            variant.sku = written["sku"].as_str().unwrap_or_default().to_owned();
            self.skus.insert(variant.sku.clone(), variant.id);
            read_back(variant, written);
            variant.modified = clock.after(variant.modified);
        }
        self.read_overlays(id, &given);
        self.touch_product(id);
        Ok(())
    }

    fn read_overlays(&mut self, id: u64, given: &Value) {
        let Some(product) = self.products.get(&id) else {
            return;
        };
        let own = differences(&self.plain_product_json(product), given, &["variants", "modified_on", "options"]);
        let parts: Vec<Map<String, Value>> = product
            .variants
            .iter()
            .map(|variant| {
                let written = given["variants"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|item| whole(&item["id"]) == Some(variant.id));
                let plain = self.plain_variant_json(product, variant);
                written
                    .map(|written| differences(&plain, written, &["modified_on", "variant_prices"]))
                    .unwrap_or_default()
            })
            .collect();
        if let Some(product) = self.products.get_mut(&id) {
            product.overlay = own;
            for (variant, overlay) in product.variants.iter_mut().zip(parts) {
                variant.overlay = overlay;
            }
        }
    }

    /// Sets or takes away the retail price of a variant.
    pub fn set_price(&mut self, variant: u64, price: Option<Decimal>) -> Ruled<()> {
        let clock = self.clock;
        let target = self.variant_mut(variant).ok_or_else(Refusal::no_object)?;
        target.retail = price;
        target.overlay.remove("variant_retail_price");
        target.modified = clock.after(target.modified);
        if let Some(home) = self.homes.get(&variant).copied() {
            self.touch_product(home);
        }
        Ok(())
    }

    /// Deletes a product; the webhook carries no more than its id.
    pub fn delete_product(&mut self, id: u64) -> Ruled<()> {
        let product = self.products.remove(&id).ok_or_else(Refusal::no_object)?;
        for variant in product.variants {
            self.homes.remove(&variant.id);
            self.skus.remove(&variant.sku);
        }
        self.tell("products/delete", id, json!({"id": id, "tenant_id": self.tenant}));
        Ok(())
    }

    /// The category of this name, made if there is none.
    pub fn category_named(&mut self, name: &str) -> u64 {
        if let Some(category) = self.categories.values().find(|category| category.name == name) {
            return category.id;
        }
        let (id, now) = (self.next_id("category"), self.clock.now());
        self.categories.insert(id, Category { id, name: name.to_owned(), created: now, modified: now });
        id
    }

    /// Renames a category; its products carry the name, so each of them is told.
    pub fn rename_category(&mut self, id: u64, name: &str) -> Ruled<()> {
        let clock = self.clock;
        let category = self.categories.get_mut(&id).ok_or_else(Refusal::no_object)?;
        name.clone_into(&mut category.name);
        category.modified = clock.after(category.modified);
        let with: Vec<u64> =
            self.products.values().filter(|product| product.category == Some(id)).map(|product| product.id).collect();
        for product in with {
            self.touch_product(product);
        }
        Ok(())
    }
}

/// Reads the fields of a written variant that the shop knows.
fn read_back(variant: &mut Variant, written: &Value) {
    variant.name = text(&written["name"]).unwrap_or_default();
    variant.barcode = text(&written["barcode"]);
    variant.unit = text(&written["unit"]);
    variant.active = written["status"] == "active";
    variant.retail = decimal(&written["variant_retail_price"]);
    variant.wholesale = decimal(&written["variant_whole_price"]);
    variant.import = decimal(&written["variant_import_price"]);
    let Some(listed) = written["inventories"].as_array().filter(|_| variant.kind == Kind::Plain) else {
        return;
    };
    let read = listed.iter().filter_map(|item| {
        let location = whole(&item["location_id"])?;
        let stock =
            Stock { on_hand: decimal(&item["on_hand"])?, committed: decimal(&item["committed"]).unwrap_or_default() };
        Some((location, stock))
    });
    variant.stock = read.collect();
}

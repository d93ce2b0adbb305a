//! Abaha's JSON, read liberally and written exactly; pure.
//!
//! The table below holds every path and field name that the program relies on, so that a shop's owner who knows better
//! can correct it in one place. Grades: **C** other people's working code; **U** unknown, named by analogy.

mod read;
mod write;

pub use read::order;
pub(super) use read::{Reply, category, created_id, customer, customer_of, page, product};
pub(super) use write::{customer_body, new_product_body, order_body, product_body, status_body};

/// Paths.
pub(super) mod path {
    /// C. Lists the categories.
    pub const CATEGORIES: &str = "category/index";
    /// U. Creates a category.
    pub const CREATE_CATEGORY: &str = "category/create";
    /// U. Renames a category.
    pub const UPDATE_CATEGORY: &str = "category/update";
    /// C. Lists the products.
    pub const PRODUCTS: &str = "product/index";
    /// U. Creates a product.
    pub const CREATE_PRODUCT: &str = "product/create";
    /// U. Changes a product's stock, prices, visibility, name, category.
    pub const UPDATE_PRODUCT: &str = "product/update";
    /// C. Lists the customers.
    pub const CUSTOMERS: &str = "customer/index";
    /// C. Finds a customer by phone.
    pub const CUSTOMER_BY_PHONE: &str = "customer/info";
    /// C. Creates a customer.
    pub const CREATE_CUSTOMER: &str = "customer/create";
    /// C. Lists the orders.
    pub const ORDERS: &str = "order/index";
    /// U. Gives one order; where it is not there, the list is asked for the id.
    pub const ORDER: &str = "order/detail";
    /// C. Creates an order.
    pub const CREATE_ORDER: &str = "order/create";
    /// C. Changes an order's status.
    pub const UPDATE_ORDER: &str = "order/update";
}

/// Field names, as in JSON.
pub(super) mod field {
    /// C. A row's id.
    pub const ID: &str = "id";
    /// C. The name of a product, category or customer.
    pub const NAME: &str = "name";
    /// C. A product's code: the SKU.
    pub const PRODUCT_CODE: &str = "product_code";
    /// U. A product's category.
    pub const CATEGORY_ID: &str = "category_id";
    /// U. A product's list price.
    pub const PRICE: &str = "price";
    /// U. A product's selling price.
    pub const PRICE_SALE: &str = "price_sale";
    /// U. A product's stock; C as the quantity of an order's line.
    pub const QUANTITY: &str = "quantity";
    /// U on a product (1 shown, 0 hidden); C on an order.
    pub const STATUS: &str = "status";
    /// U. A product's description.
    pub const DESCRIPTION: &str = "description";
    /// U. Addresses of a product's images.
    pub const IMAGES: &str = "images";
    /// C. A phone.
    pub const TEL: &str = "tel";
    /// C. The page of a list, from 1.
    pub const PAGE: &str = "page";
    /// C. Rows in a page.
    pub const LIMIT: &str = "limit";
    /// C. Orders created at or after; the form of the time is U.
    pub const CREATED_FROM: &str = "created_from";
    /// C. Orders created at or before.
    pub const CREATED_TO: &str = "created_to";
    /// U. Where a list's answer holds its rows, unless `data` itself is the list.
    pub const ROWS: [&str; 3] = ["items", "data", "list"];
    /// U. How many rows the whole list has.
    pub const TOTAL: &str = "total";
    /// U. An order's stated total; no sample has one.
    pub const ORDER_TOTAL: [&str; 2] = ["total_price", "total"];
    /// C. Our mark on an order: the Sapo order's id…
    pub const POS_ID: &str = "pos_id";
    /// C. …and whose it is.
    pub const POS_TYPE: &str = "pos_type";
}

/// What `pos_type` says of our orders (one known caller sends the field as null).
pub const POS_TYPE: &str = "sapopos";

/// An order that the customer or the shop has given up.
pub const CANCELLED: [i64; 2] = [0, -1];

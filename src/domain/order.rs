//! Orders as each side states them, and as they are created.

use rust_decimal::Decimal;

use super::clock::Millis;
use super::customer::PosCustomer;
use super::web::Address;

/// An order of the POS (Sapo Omni).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PosOrder {
    /// Its id.
    pub id: String,
    /// Its code, `SON000001`.
    pub code: String,
    /// draft, finalized, completed, cancelled, finished…
    pub status: String,
    /// unpacked, partial, packed.
    pub packed_status: String,
    /// unshipped, partial, shipped.
    pub fulfillment_status: String,
    /// unreceived, partial, received.
    pub received_status: String,
    /// unpaid, partial, paid.
    pub payment_status: String,
    /// unreturned, partial, returned.
    pub return_status: String,
    /// The branch that is to deliver it.
    pub location_id: Option<String>,
    /// The channel's own order code, where the order came from a channel.
    pub reference: Option<String>,
    /// Tags; one of them may be our mark.
    pub tags: Vec<String>,
    /// The customer's id.
    pub customer_id: Option<String>,
    /// The customer, as embedded in the order.
    pub customer: Option<PosCustomer>,
    /// The order's own phone.
    pub phone: Option<String>,
    /// Whether an order was cancelled is also told by this time.
    pub cancelled: bool,
    /// `created_on`.
    pub created_at: Option<Millis>,
    /// `modified_on`.
    pub version: Option<Millis>,
    /// The stated total.
    pub total: Option<Decimal>,
    /// Σ of the order's own discounts.
    pub discount: Decimal,
    /// Tax on top of the prices; 0 where they include it.
    pub tax: Decimal,
    /// Delivery fee.
    pub fee: Decimal,
    /// Its lines.
    pub lines: Vec<PosLine>,
    /// Payments taken before delivery that still stand.
    pub prepayments: Vec<Decimal>,
    /// Note.
    pub note: Option<String>,
}

/// A line of a POS order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PosLine {
    /// The variant; none for a free-form line.
    pub variant_id: Option<String>,
    /// The product.
    pub product_id: Option<String>,
    /// SKU.
    pub sku: String,
    /// Name.
    pub name: String,
    /// Price of one.
    pub price: Decimal,
    /// How many; fractions occur.
    pub quantity: Decimal,
    /// price × quantity − the line's discount.
    pub amount: Decimal,
}

/// An order of a channel (Abaha).
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ChannelOrder {
    /// Its id there.
    pub id: String,
    /// Its own code (`cart_code`).
    pub code: Option<String>,
    /// The channel's status code.
    pub status: Option<i64>,
    /// The status in words (`status_view`).
    pub status_view: Option<String>,
    /// The channel's payment code: −1 cancelled, 0 unpaid, 5 paid.
    pub payment: Option<i64>,
    /// Its lines.
    pub lines: Vec<ChannelLine>,
    /// Discount on the order.
    pub discount: Decimal,
    /// Shipping fee.
    pub fee: Decimal,
    /// The stated total, where there is one.
    pub total: Option<Decimal>,
    /// The customer's phone, as typed.
    pub phone: Option<String>,
    /// The customer's name.
    pub name: Option<String>,
    /// Note.
    pub note: Option<String>,
    /// `created_at`, else `orders_time`.
    pub created_at: Option<Millis>,
    /// `updated_at`.
    pub version: Option<Millis>,
    /// Our mark: the Sapo order's id…
    pub pos_id: Option<String>,
    /// …and whose it is: "sapopos".
    pub pos_type: Option<String>,
}

/// A line of a channel order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ChannelLine {
    /// The channel's product id.
    pub product_id: Option<String>,
    /// `product_code` = SKU.
    pub code: String,
    /// Name.
    pub name: String,
    /// Price of one.
    pub price: Decimal,
    /// How many.
    pub quantity: Decimal,
}

/// An order to be created on the POS.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPosOrder {
    /// The channel's own order code.
    pub reference: String,
    /// Our mark.
    pub tag: String,
    /// The customer, or none for khách lẻ.
    pub customer_id: Option<String>,
    /// The order's own phone, national form.
    pub phone: Option<String>,
    /// The order's own e-mail.
    pub email: Option<String>,
    /// Where it goes; never without a first line. Abaha's addresses are not carried.
    pub shipping_address: Option<Address>,
    /// Who pays; never without a first line.
    pub billing_address: Option<Address>,
    /// The branch that receives it.
    pub branch: u64,
    /// The staff member in charge.
    pub staff: Option<u64>,
    /// The order source.
    pub source: Option<u64>,
    /// Lines: (variant, product, price, quantity).
    pub lines: Vec<NewPosLine>,
    /// Discount on the order.
    pub discount: Decimal,
    /// Delivery fee.
    pub fee: Decimal,
    /// Note.
    pub note: Option<String>,
    /// What the POS must answer.
    pub total: Decimal,
}

/// A line of a new POS order.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPosLine {
    /// The variant.
    pub variant_id: String,
    /// Its product.
    pub product_id: Option<String>,
    /// Price of one, tax included.
    pub price: Decimal,
    /// How many.
    pub quantity: Decimal,
}

/// An order to be created on a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct NewChannelOrder {
    /// The Sapo order's id: our mark.
    pub pos_id: String,
    /// Lines.
    pub lines: Vec<ChannelLine>,
    /// Discount on the order.
    pub discount: Decimal,
    /// Fee.
    pub fee: Decimal,
    /// National form.
    pub phone: String,
    /// Note.
    pub note: Option<String>,
    /// When the order was made on Sapo.
    pub created_at: Option<Millis>,
    /// The channel's status code.
    pub status: i64,
    /// What it must add up to.
    pub total: Decimal,
}

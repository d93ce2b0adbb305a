//! A web's payment, recorded on the POS.

use rust_decimal::Decimal;

use crate::domain::web::WebOrder;
use crate::map::web::status::{self, Paid};
use crate::store::links::Link;
use crate::work::context::{Halt, Run};
use crate::work::payment::{Amount, record};

/// Records what a web says was paid as a prepayment of what is missing of it on the POS; everything else leaves a note.
pub async fn pay(run: &Run<'_>, order: &WebOrder, link: &Link) -> Result<Option<(&'static str, String)>, Halt> {
    match status::paid(order, link.paid == 1) {
        Paid::Nothing => Ok(None),
        // Less is asked for now than when the order was made: no more than that was paid.
        Paid::Whole => match order.total.filter(|total| is_less(*total, link)) {
            Some(total) => record(run, &order.id, link, Amount::SoFar(total)).await,
            None => record(run, &order.id, link, Amount::Whole).await,
        },
        Paid::SoFar(amount) => record(run, &order.id, link, Amount::SoFar(amount)).await,
        Paid::Note(note) => Ok(Some(("payment_note", note))),
    }
}

fn is_less(total: Decimal, link: &Link) -> bool {
    link.total.as_deref().and_then(|text| text.parse::<Decimal>().ok()).is_some_and(|before| total < before)
}

use serde_json::json;

use super::*;

const TAG: &str = "sapo-sync:demo-1";

/// A shop of three variants, one of them without a price, and its one order.
fn pos(order: Value) -> Holds {
    let variants = [("AT-S", json!(120_000)), ("AT-M", json!(90_000)), ("AT-L", Value::Null)];
    let sold = variants.map(|(sku, price)| json!({"sku": sku, "variant_retail_price": price}));
    Holds::new(vec![order], sold.to_vec(), "sku")
}

/// A site that has what has a price.
fn site(order: Value) -> Holds {
    Holds::new(vec![order], vec![json!({"product_code": "AT-S"}), json!({"product_code": "AT-M"})], "product_code")
}

/// A web with AT-S, and AT-M twice.
fn web(order: Value) -> Holds {
    let sold = [(1, " AT-S "), (2, "AT-M"), (3, "AT-M"), (4, "")];
    Holds::new(vec![order], sold.map(|(id, sku)| json!({"id": id, "sku": sku, "price": 120_000.0})).to_vec(), "sku")
}

fn pair<'a>(pos: &'a Holds, channel: &'a Holds, of_web: bool) -> Pair<'a> {
    Pair { pos, channel, tag: TAG.to_owned(), of_web }
}

/// The same object with other fields.
fn with(mut object: Value, fields: &Value) -> Value {
    let fields = fields.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(fields);
    object
}

fn row(kind: &str, action: &str, code: &str, object: &str) -> JobRow {
    let owned = str::to_owned;
    let (kind, action, code, object_id) = (owned(kind), owned(action), owned(code), owned(object));
    JobRow { kind, object_id, action, code, reason: String::new() }
}

#[test]
fn an_order_of_the_pos_is_due_where_it_stands_and_the_site_can_have_it() {
    let usual = json!({
        "id": 7, "code": "SON000001", "status": "draft", "return_status": "unreturned", "phone_number": "0912000001",
        "order_line_items": [{"sku": "AT-S"}]
    });
    let (pos, site) = (pos(usual.clone()), site(json!({})));
    let pair = pair(&pos, &site, false);
    assert!(pair.due_on_abaha(&usual));
    for (what, fields, due) in [
        ("approved", json!({"status": "finalized"}), true),
        ("cancelled", json!({"status": "cancelled"}), false),
        ("returned", json!({"return_status": "returned"}), false),
        ("no phone", json!({"phone_number": null}), false),
        ("a masked phone", json!({"phone_number": "09******12"}), false),
        ("the customer's", json!({"phone_number": "", "customer_data": {"phone_number": "+84 912 000 001"}}), true),
        ("one that the site has not", json!({"order_line_items": [{"sku": "AT-S"}, {"sku": "AT-L"}]}), false),
    ] {
        assert_eq!(pair.due_on_abaha(&with(usual.clone(), &fields)), due, "{what}");
    }
}

#[test]
fn an_order_of_a_channel_is_due_where_it_stands_and_every_line_is_one_thing_on_either_side() {
    let of_site = json!({"cart_code": "ABH000001", "status": 5, "product_items": [{"product_code": "AT-L"}]});
    let of_web = json!({"name": "#1001", "status": "open", "line_items": [{"sku": " AT-S ", "variant_id": 1}]});
    let (pos, site, web) = (pos(json!({})), site(of_site.clone()), web(of_web.clone()));
    for (what, fields, due) in [
        ("as it is", json!({}), true),
        ("accepted", json!({"status": 10}), true),
        ("cancelled", json!({"status": 0}), false),
        ("closed", json!({"status": 30}), false),
        ("unknown to the shop", json!({"product_items": [{"product_code": "CHI-CO-TREN-APP"}]}), false),
    ] {
        assert_eq!(pair(&pos, &site, false).due_on_pos(&with(of_site.clone(), &fields)), due, "{what}");
    }
    for (what, fields, due) in [
        ("as it is", json!({}), true),
        ("put away", json!({"status": "closed"}), true),
        ("cancelled", json!({"status": "cancelled"}), false),
        ("a trial", json!({"test": true}), false),
        ("a SKU that is there twice", json!({"line_items": [{"sku": "AT-M", "variant_id": 2}]}), false),
        ("a blank SKU", json!({"line_items": [{"sku": "", "variant_id": 4}]}), false),
        ("a line that is no product", json!({"line_items": [{"sku": null, "variant_id": null}]}), false),
    ] {
        assert_eq!(pair(&pos, &web, true).due_on_pos(&with(of_web.clone(), &fields)), due, "{what}");
    }
}

#[test]
fn an_order_that_a_dry_run_would_make_is_accounted_for_only_where_it_is_not_due() {
    let due = json!({"name": "#1001", "status": "open", "line_items": [{"sku": "AT-S", "variant_id": 1}]});
    let (pos, here) = (pos(json!({})), web(due.clone()));
    let missing = row("order", "create", "missing", "#1001");
    assert_eq!(pair(&pos, &here, true).why_differs(&missing), None);
    let free = web(with(due, &json!({"line_items": [{"sku": null, "variant_id": null}]})));
    assert!(pair(&pos, &free, true).why_differs(&missing).is_some());
    let nobody = row("order", "create", "missing", "#1002");
    assert_eq!(pair(&pos, &free, true).why_differs(&nobody), None, "there is no such order");
}

#[test]
fn a_state_or_payment_that_differs_is_accounted_for_by_what_became_of_the_other_order() {
    let of_web = json!({"id": 900, "name": "#1001", "status": "cancelled", "line_items": []});
    let made = json!({"id": 7, "tags": [TAG], "reference_number": "#1001", "status": "completed", "received_status": "received"});
    let (differs, paid) = (row("order", "update", "state_differs", "#1001"), row("order", "update", "paid", "#1001"));
    let cancelled = web(of_web.clone());
    let why = |made: &Value, row: &JobRow| pair(&pos(made.clone()), &cancelled, true).why_differs(row);
    assert!(why(&made, &differs).unwrap().contains("phiếu trả hàng"));
    assert_eq!(why(&with(made.clone(), &json!({"received_status": "unreceived"})), &differs), None);
    assert_eq!(why(&with(made.clone(), &json!({"tags": ["sapo-sync:demo-2"]})), &differs), None, "another one's");
    assert_eq!(why(&made, &paid), None);
    assert!(why(&with(made.clone(), &json!({"status": "cancelled"})), &paid).is_some());
    let open = web(with(of_web, &json!({"status": "open"})));
    assert_eq!(pair(&pos(made), &open, true).why_differs(&differs), None);
    // What the site was told to have carries the mark of the shop's own order.
    let marked = site(json!({"cart_code": "ABH000001", "status": 5, "pos_id": "7", "pos_type": "sapopos"}));
    let own = pos(json!({"id": 7, "tags": [], "status": "cancelled"}));
    assert!(pair(&own, &marked, false).why_differs(&row("order", "update", "paid", "ABH000001")).is_some());
}

#[test]
fn stock_differs_rightly_only_on_a_web_that_sold_it_and_a_price_never_does() {
    let sold = json!({"name": "#1001", "line_items": [{"sku": "AT-S", "variant_id": 1}]});
    let differs = |sku: &str| row("product", "update", "differs", sku);
    let (pos, here) = (pos(json!({})), web(sold.clone()));
    assert!(pair(&pos, &here, true).why_differs(&differs("AT-S")).is_some());
    assert_eq!(pair(&pos, &web(json!({})), true).why_differs(&differs("AT-S")), None, "nobody bought it");
    assert_eq!(pair(&pos, &site(json!({})), false).why_differs(&differs("AT-S")), None, "the site's stock is ours");
    let dear = Holds::new(vec![sold], vec![json!({"id": 1, "sku": "AT-S", "price": 119_000.0})], "sku");
    assert_eq!(pair(&pos, &dear, true).why_differs(&differs("AT-S")), None, "its price differs");
}

#[test]
fn a_dead_letter_is_accounted_for_only_by_the_order_that_it_is_of() {
    let letter = |code: &str, object: &str| DeadLetter {
        event_id: "e".into(),
        run: 1,
        connection: "demo-1-web1".into(),
        source: "web".into(),
        topic: "orders/create".into(),
        kind: "order".into(),
        object_id: object.into(),
        reference: None,
        code: code.into(),
        reason: String::new(),
        attempts: 0,
        last_answer: None,
        received_at: 0,
        filed_at: 0,
        state: "open".into(),
    };
    let free = json!({"id": 900, "name": "#1001", "status": "open", "line_items": [{"sku": null, "variant_id": null}]});
    let (pos, web) = (pos(json!({})), web(free));
    let pair = pair(&pos, &web, true);
    assert!(pair.why_dead(&letter("free_form_line", "900")).is_some());
    assert_eq!(pair.why_dead(&letter("free_form_line", "901")), None, "there is no such order");
    assert_eq!(pair.why_dead(&letter("needs_return_slip", "900")), None, "it was not cancelled");
    assert_eq!(pair.why_dead(&letter("refused", "900")), None);
    let product = DeadLetter { kind: "product".into(), ..letter("free_form_line", "900") };
    assert_eq!(pair.why_dead(&product), None);
}

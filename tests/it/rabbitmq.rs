//! RabbitMQ itself: what is declared, what is refused, what happens when the connection goes, how queues change hands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ErrorKind, ExchangeKind};
use sapo_sync::broker::rabbitmq::RabbitMq;
use sapo_sync::broker::{Broker, BrokerError, Consumer, Delivery, Queue, Share};
use sapo_sync::domain::event::{Event, Kind, ObjectKey, Shape, System};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::harness::{PATIENCE, until};
use crate::rabbit::{self, Mode, PARTITIONS, Prefix, Wire};

pub fn event(kind: Kind, store: &str, number: usize) -> Event {
    let key = ObjectKey { connection: "mau-abaha".into(), source: System::Omni, kind, object_id: number.to_string() };
    Event::new(key, store, "orders/update", Shape::Whole, 1_770_000_000_000, format!("{{\"id\":{number}}}").into())
}

/// A store of each partition.
fn stores() -> Vec<String> {
    let named = |partition| {
        (0..10_000).map(|n| format!("cua-hang-{n}")).find(|store| Queue::partition_of(store, PARTITIONS) == partition)
    };
    (0..PARTITIONS).map(|partition| named(partition).unwrap()).collect()
}

struct Shared {
    wanted: watch::Sender<BTreeSet<Queue>>,
    held: watch::Receiver<BTreeSet<Queue>>,
    consumer: Box<dyn Consumer>,
}

async fn share(broker: &RabbitMq, queues: &[Queue]) -> Shared {
    let (wanted, wants) = watch::channel(queues.iter().copied().collect());
    let (holds, held) = watch::channel(BTreeSet::new());
    let consumer = broker.consume(Share { wanted: wants, held: holds, up: watch::Sender::new(false) }).await.unwrap();
    Shared { wanted, held, consumer }
}

pub async fn take(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Box<dyn Delivery>> {
    let mut taken: Vec<Box<dyn Delivery>> = Vec::new();
    while taken.len() < count {
        let more = tokio::time::timeout(PATIENCE, consumer.next(count - taken.len())).await;
        taken.extend(more.expect("deliveries in time").unwrap());
    }
    taken
}

fn number(delivery: &dyn Delivery) -> usize {
    delivery.event().key.object_id.parse().unwrap()
}

fn refused(opened: Result<RabbitMq, BrokerError>) -> String {
    match opened {
        Err(BrokerError::Refused(why)) => why,
        Err(other) => panic!("{other:?} is no refusal"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn each_kind_of_each_partition_comes_by_its_own_queue_and_a_second_process_finds_them_there() {
    let prefix = Prefix::new();
    let (broker, second) = (prefix.open().await, prefix.open().await);
    for (partition, store) in (0..).zip(stores()) {
        for (number, kind) in Kind::ALL.iter().enumerate() {
            let published = event(*kind, &store, number);
            broker.publish(&published).await.unwrap();
            let queue = Queue { kind: Queue::kind_of(*kind), partition };
            let mut taker = share(&second, &[queue]).await;
            let delivery = take(&mut taker.consumer, 1).await.remove(0);
            assert_eq!(delivery.event(), &published, "{queue}");
            delivery.ack().await.unwrap();
        }
    }
    let (connection, channel) = rabbit::channel().await;
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let names = prefix.queues().into_iter().map(|queue| queue.to_string());
    for name in names.chain(["dead", "probe"].map(ToOwned::to_owned)) {
        let name = format!("{}.{name}", prefix.name);
        channel.queue_declare(name.into(), passive, FieldTable::default()).await.unwrap();
    }
    connection.close(200, "OK".into()).await.unwrap();
    broker.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn every_queue_is_declared_with_the_arguments_that_keep_what_is_in_it() {
    type Argument<'a> = (&'a str, AMQPValue);
    let word = |text: &str| AMQPValue::LongString(text.into());
    let prefix = Prefix::new();
    prefix.open().await.close().await;
    let [dead, probe] = ["dead", "probe"].map(|name| format!("{}.{name}", prefix.name));
    let quorum = || ("x-queue-type", word("quorum"));
    let events = [
        quorum(),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-delivery-limit", AMQPValue::LongInt(1_000)),
        ("x-dead-letter-exchange", word(&dead)),
        ("x-dead-letter-routing-key", word("dead")),
        ("x-dead-letter-strategy", word("at-least-once")),
        ("x-overflow", word("reject-publish")),
    ];
    let letters = [
        quorum(),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-delivery-limit", AMQPValue::LongInt(1_000_000_000)),
    ];
    let probes = [quorum(), ("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", word("drop-head"))];
    let (connection, _) = rabbit::channel().await;
    // RabbitMQ refuses a declaration whose arguments are not those that the queue has.
    let is_so = async |name: &str, arguments: &[Argument<'_>]| {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let channel = connection.create_channel().await.unwrap();
        was_taken(channel.queue_declare(name.into(), QueueDeclareOptions::durable(), table).await)
    };
    let names = prefix.queues().into_iter().map(|queue| format!("{}.{queue}", prefix.name));
    let of_events: Vec<(String, &[Argument<'_>])> = names.map(|name| (name, events.as_slice())).collect();
    let others = [(dead, letters.as_slice()), (probe, probes.as_slice())];
    for (name, arguments) in of_events.into_iter().chain(others) {
        assert!(is_so(&name, arguments).await, "{name}");
        for left_out in 0..arguments.len() {
            let others: Vec<Argument<'_>> = arguments
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != left_out)
                .map(|(_, argument)| argument.clone())
                .collect();
            assert!(!is_so(&name, &others).await, "{name} has no {}", arguments[left_out].0);
        }
    }
    connection.close(200, "OK".into()).await.unwrap();
}

/// Whether a declaration was taken; one that is not must be refused for what is there already.
fn was_taken<T>(declared: lapin::Result<T>) -> bool {
    match declared {
        Ok(_) => true,
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(told) if told.get_id() == 406 => false,
            _ => panic!("{error} is no 406"),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn both_exchanges_are_direct_and_durable_and_have_no_alternate() {
    let prefix = Prefix::new();
    prefix.open().await.close().await;
    let (connection, _) = rabbit::channel().await;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let fleeting = ExchangeDeclareOptions::default();
    let deleted = ExchangeDeclareOptions { auto_delete: true, ..durable };
    let internal = ExchangeDeclareOptions { internal: true, ..durable };
    for name in ["events", "dead"] {
        for (what, so, kind, options, alternate) in [
            ("direct, durable, without an alternate", true, ExchangeKind::Direct, durable, None),
            ("fanout", false, ExchangeKind::Fanout, durable, None),
            ("topic", false, ExchangeKind::Topic, durable, None),
            ("headers", false, ExchangeKind::Headers, durable, None),
            ("gone with the broker", false, ExchangeKind::Direct, fleeting, None),
            ("gone with its last queue", false, ExchangeKind::Direct, deleted, None),
            ("closed to publishers", false, ExchangeKind::Direct, internal, None),
            ("with an alternate", false, ExchangeKind::Direct, durable, Some("amq.fanout")),
        ] {
            let mut table = FieldTable::default();
            if let Some(alternate) = alternate {
                table.insert("alternate-exchange".into(), AMQPValue::LongString(alternate.into()));
            }
            let exchange = format!("{}.{name}", prefix.name);
            let channel = connection.create_channel().await.unwrap();
            let declared = channel.exchange_declare(exchange.into(), kind, options, table).await;
            assert_eq!(was_taken(declared), so, "{name} is {what}");
        }
    }
    connection.close(200, "OK".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn a_queue_with_other_arguments_is_refused_by_name_with_the_cure() {
    for name in ["order.1", "customer.0", "dead", "probe"] {
        let prefix = Prefix::new();
        let (connection, channel) = rabbit::channel().await;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(5));
        let name = format!("{}.{name}", prefix.name);
        channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
        connection.close(200, "OK".into()).await.unwrap();
        let why = refused(RabbitMq::open(prefix.settings()).await);
        for part in [format!("queue {name}"), "inequivalent arg".into(), "SAPO_SYNC__BROKER__PREFIX".into()] {
            assert!(why.contains(&part), "{part:?} is missing in {why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn wrong_addresses_and_logins_are_refused_at_once_without_the_password() {
    let prefix = Prefix::new();
    let url = rabbit::url();
    let place = url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let login = url.rsplit_once('@').unwrap().0.to_owned();
    for (url, parts) in [
        (format!("amqp://guest:mat-khau-sai@{place}"), ["refuses user guest", "SAPO_SYNC__BROKER__URL"]),
        (format!("{login}@{place}/khong-co"), ["\"khong-co\"", "rabbitmqctl add_vhost khong-co"]),
        ("http://guest:mat-khau-sai@host".to_owned(), ["SAPO_SYNC__BROKER__URL", "amqp://user:password@host"]),
    ] {
        let why = refused(RabbitMq::open(prefix.settings_at(&url)).await);
        for part in parts {
            assert!(why.contains(part), "{part:?} is missing in {why}");
        }
        assert!(!why.contains("mat-khau-sai"), "{why}");
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat()
}

/// The first frame of a server that says this of itself.
fn start_frame(product: &str, version: &str) -> Vec<u8> {
    let properties: Vec<u8> = [("product", product), ("version", version)]
        .into_iter()
        .flat_map(|(name, value)| [short(name.as_bytes()), b"S".to_vec(), long(value.as_bytes())].concat())
        .collect();
    let method = [[0, 10, 0, 10, 0, 9].to_vec(), long(&properties), long(b"PLAIN AMQPLAIN"), long(b"en_US")].concat();
    [[1, 0, 0].to_vec(), long(&method), vec![0xCE]].concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn a_server_that_is_too_old_or_another_is_refused_with_what_it_is() {
    let prefix = Prefix::new();
    for (answer, found) in [
        (start_frame("RabbitMQ", "3.9.29"), "RabbitMQ 3.9.29"),
        (start_frame("Other", "9.0.0"), "Other 9.0.0"),
        (b"AMQP\0\x01\0\0".to_vec(), "does not speak AMQP 0-9-1"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("amqp://guest:guest@{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut header = [0; 8];
            stream.read_exact(&mut header).await.unwrap();
            assert_eq!(&header, b"AMQP\0\0\x09\x01");
            stream.write_all(&answer).await.unwrap();
            // Kept until the other side has read it.
            let _end = stream.read(&mut header).await;
        });
        let why = refused(RabbitMq::open(prefix.settings_at(&url)).await);
        assert!(why.contains(found) && why.contains("SAPO_SYNC__BROKER__URL"), "{why}");
        server.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn of_many_publishes_side_by_side_none_is_lost_where_a_queue_is_gone() {
    const EACH: usize = 150;
    let prefix = Prefix::new();
    let broker = prefix.open().await;
    let store = stores().remove(0);
    let (connection, channel) = rabbit::channel().await;
    let gone = format!("{}.order.0", prefix.name);
    for round in 0..3 {
        channel.queue_delete(gone.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        // Confirms of those that are routed and of those that are returned come in the same frames.
        let publishes = (0..EACH).flat_map(|number| [(Kind::Order, number), (Kind::Customer, number)]);
        let results = futures::future::join_all(publishes.map(|(kind, number)| {
            let (broker, event) = (broker.clone(), event(kind, &store, round * EACH + number));
            async move { broker.publish(&event).await.map(|()| (kind, round * EACH + number)) }
        }))
        .await;
        let confirmed: Vec<(Kind, usize)> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(confirmed.len(), 2 * EACH);
        let mut taker = share(&broker, &[Kind::Order, Kind::Customer].map(|kind| Queue { kind, partition: 0 })).await;
        let mut missing: BTreeSet<(Kind, usize)> = confirmed.into_iter().collect();
        while !missing.is_empty() {
            for delivery in take(&mut taker.consumer, 1).await {
                missing.remove(&(delivery.event().key.kind, number(&*delivery)));
                delivery.ack().await.unwrap();
            }
        }
    }
    connection.close(200, "OK".into()).await.unwrap();
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn what_somebody_published_by_hand_becomes_an_unreadable_event_and_can_be_rejected() {
    let prefix = Prefix::new();
    let broker = prefix.open().await;
    let (connection, channel) = rabbit::channel().await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let exchange = format!("{}.events", prefix.name);
    let (options, plain) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish(exchange.into(), "product.1".into(), options, b"xin ch\xe0o", plain).await;
    sent.unwrap().await.unwrap();
    let mut taker = share(&broker, &prefix.queues()).await;
    let delivery = take(&mut taker.consumer, 1).await.remove(0);
    let first = delivery.event().clone();
    assert_eq!((first.shape, first.key.kind, &first.body[..]), (Shape::Unreadable, Kind::Product, &b"xin ch\xe0o"[..]));
    delivery.reject().await.unwrap();
    let mut dead = broker.consume_dead().await.unwrap();
    let letter = take(&mut dead, 1).await.remove(0);
    assert_eq!((letter.event().id, &letter.event().body), (first.id, &first.body), "the same event each time");
    letter.ack().await.unwrap();
    connection.close(200, "OK".into()).await.unwrap();
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn cut_again_and_again_it_recovers_by_itself_and_everything_confirmed_is_delivered() {
    const EVENTS: usize = 400;
    let prefix = Prefix::new();
    let wire = Wire::new().await;
    let broker = prefix.open_over(&wire).await;
    let mut taker = share(&broker, &prefix.queues()).await;
    let store = stores().remove(1);
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move {
            for number in 0..EVENTS {
                let event = event(Kind::Order, &store, number);
                while broker.publish(&event).await.is_err() {}
            }
        }
    });
    let mut missing: BTreeSet<usize> = (0..EVENTS).collect();
    while !missing.is_empty() {
        let before = missing.len();
        for delivery in take(&mut taker.consumer, 1).await {
            missing.remove(&number(&*delivery));
            delivery.ack().await.unwrap();
        }
        if before != missing.len() && missing.len() % 100 == 50 {
            wire.cut();
        }
    }
    publishing.await.unwrap();
    until("nothing is left", async || broker.depth().await.is_ok_and(|depth| depth.events == 0)).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn deliveries_of_a_lost_connection_are_void_and_come_again() {
    let prefix = Prefix::new();
    let wire = Wire::new().await;
    let broker = prefix.open_over(&wire).await;
    let mut taker = share(&broker, &prefix.queues()).await;
    for number in 0..3 {
        broker.publish(&event(Kind::Order, "cuahangmau", number)).await.unwrap();
    }
    let mut taken = take(&mut taker.consumer, 3).await;
    assert!(taken.iter().all(|delivery| delivery.alive() && !delivery.redelivered()));
    wire.cut();
    until("they are void", async || taken.iter().all(|delivery| !delivery.alive())).await;
    // None of these is an error, and none settles anything.
    taken.remove(0).ack().await.unwrap();
    taken.remove(0).reject().await.unwrap();
    taken.remove(0).give_back().await;
    let again = take(&mut taker.consumer, 3).await;
    let numbers: Vec<usize> = again.iter().map(|delivery| number(&**delivery)).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(again.iter().all(|delivery| delivery.redelivered() && delivery.alive()));
    assert_eq!(*taker.held.borrow(), prefix.queues().into_iter().collect());
    for delivery in again {
        delivery.ack().await.unwrap();
    }
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn a_connection_that_says_nothing_any_more_is_noticed_by_a_publish_and_replaced() {
    let prefix = Prefix::new();
    let wire = Wire::new().await;
    let broker = prefix.open_over(&wire).await;
    assert!(broker.is_up());
    wire.set(Mode::Stall);
    let event = event(Kind::Order, "cuahangmau", 1);
    let told = broker.publish(&event).await.unwrap_err();
    assert!(matches!(told, BrokerError::NotTaken(_)) && told.to_string().contains("SAPO_SYNC__BROKER__URL"), "{told}");
    let mut up = broker.watch_up();
    up.wait_for(|up| !*up).await.unwrap();
    let told = broker.ready().await.unwrap_err().to_string();
    assert!(told.contains("away since") && told.contains("SAPO_SYNC__BROKER__URL"), "{told}");
    wire.set(Mode::Pass);
    tokio::time::timeout(PATIENCE, up.wait_for(|up| *up)).await.expect("it is back in time").unwrap();
    broker.publish(&event).await.unwrap();
    broker.ready().await.unwrap();
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs RabbitMQ; deploy/test.sh runs it"]
async fn nothing_of_a_queue_goes_to_the_next_before_the_first_gave_it_up() {
    let prefix = Prefix::new();
    let (one, two) = (prefix.open().await, prefix.open().await);
    let queue = Queue { kind: Kind::Order, partition: 0 };
    let other = Queue { kind: Kind::Product, partition: 0 };
    let store = stores().remove(0);
    for number in 0..20 {
        one.publish(&event(Kind::Order, &store, number)).await.unwrap();
    }
    let mut first = share(&one, &[queue, other]).await;
    let mut holding = take(&mut first.consumer, 5).await;
    assert!(first.held.borrow().contains(&queue));
    let released = Arc::new(AtomicBool::new(false));
    let mut second = share(&two, &[queue]).await;
    let seen = Arc::clone(&released);
    let next = tokio::spawn(async move {
        let taken = take(&mut second.consumer, 16).await;
        assert!(seen.load(Ordering::SeqCst), "it came while the first still held five of them");
        let numbers: Vec<usize> = taken.iter().map(|delivery| number(&**delivery)).collect();
        for delivery in taken {
            delivery.ack().await.unwrap();
        }
        numbers
    });
    first.wanted.send_replace(BTreeSet::from([other]));
    // The other queue goes on meanwhile, and that shows as well that the change was seen.
    one.publish(&event(Kind::Product, &store, 100)).await.unwrap();
    let product = take(&mut first.consumer, 1).await.remove(0);
    assert_eq!(product.event().key.kind, Kind::Product, "nothing more of the queue that is left");
    product.ack().await.unwrap();
    let last = holding.pop().unwrap();
    for delivery in holding {
        delivery.ack().await.unwrap();
    }
    assert!(first.held.borrow().contains(&queue), "one is still out");
    released.store(true, Ordering::SeqCst);
    last.give_back().await;
    first.held.wait_for(|held| *held == BTreeSet::from([other])).await.unwrap();
    // What was given back comes first, then what was never handed out, in order.
    assert_eq!(next.await.unwrap(), (4..20).collect::<Vec<_>>());
    one.close().await;
    two.close().await;
}

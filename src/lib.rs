//! sapo-sync keeps a Sapo Omni / POS shop in step with its sales channels, an Abaha app and any number of Sapo Web
//! sites: change notifications come in as signed webhooks, each is kept durably, worked on, and made true on the
//! opposite side through its REST API.
//!
//! # The map, in the order the data goes
//!
//! | room | what it does |
//! |---|---|
//! | [`receive`] | takes webhooks: limits, verification over the raw body, a confirmed publish, an answer |
//! | [`broker`] | keeps events between receiver and workers: publish, take, settle. Embedded: a queue file with group commit; RabbitMQ: `topology` has every queue, `spool` what a receiver keeps while it is away |
//! | [`work`] | the workers: the newest state of each object, one object at a time. Start at [`work::process`] |
//! | [`map`] | pure functions: what the other side should be |
//! | [`destination`] | the clients of the APIs, one folder each; one sender with rate buckets underneath |
//! | [`store`] | all SQL of the state: connections, links, intents, ledger, parked rows, dead letters, jobs |
//! | [`sync`] | import, reconcile and plan walk both catalogues; preparation and links of webs; connecting a shop; replay |
//! | [`sandbox`] | stand-ins for the APIs, with their limits, errors, odd data and a fault schedule |
//! | [`domain`] | the words of the field, pure, used by all |
//! | [`observe`], [`config`] | logs, metrics, health; settings |
//! | [`app`], [`cli`] | put the rooms together as `up` or as roles apart; the command line |
//!
//! A test (`tests/it/layers.rs`) holds who may import whom.
//!
//! # How an event ends
//!
//! A delivery is worked on by `work::process` and settled by `work::settle`, the only place that turns an
//! [`Outcome`](domain::outcome::Outcome) into an acknowledgement, a parked row or a dead letter, in one transaction
//! with the ledger row that tells why. What cannot be repeated (an order, a customer, a product, a payment) is made by
//! `work::create`: an intent is written before the call, and after a crash or a lost answer the other side is asked
//! before anything is sent again.
//!
//! # One process or many
//!
//! `up` on files has everything to itself: a lock on the data dir says so. On PostgreSQL and RabbitMQ any number of
//! processes share the work. Which worker takes from which queue is a lease in the store (`work::queues`), one keeper
//! leads (`work::lead`), an intent is held by one owner. A process's name as an owner is kept in its data dir: started
//! again, it ends what its predecessor held instead of waiting.
//!
//! # Two kinds of channels
//!
//! A connection joins a store to an Abaha site or to a Sapo Web site. What is said of both stands in the rooms
//! themselves, what is said of one in `abaha` or `web` below them (in [`work`] Abaha's part has no folder of its own).
//! An event belongs to one connection, so each web goes at its own pace. Of webs both catalogues are kept as they were
//! seen last (`store::variants`): linking by SKU is then a decision over rows (`domain::linking`), costs no call, and
//! can say of every variant why it is not linked.
//!
//! # Where this differs from what was first proposed, and why
//!
//! - The state database is sqlx's `Any` pool, one SQL text, rather than an enum over two pools of our own: it is that
//!   enum, kept by the library.
//! - Typed clients instead of one `Destination` trait with a `send`: the calls of the POS and of a channel have little
//!   in common, and a trait over them would only hide which is which.
//! - `sync` may use `work`: a walk creates categories with the same once-only code, and judges with the same mapping.
//! - A replay is a parked row that is due now, not a publish by the command: one transaction, and no second process
//!   ever opens the queue file.
//! - Each worker releases the parked rows of its own queues, rather than a keeper: it alone knows how much room the
//!   lines of its accounts have. A keeper would publish throttled rows again and again.
//! - What is delivered again runs beside others the first time, and alone only once it bears another process's mark:
//!   after a broker's restart a whole window is delivered again, and would take minutes one by one.
//! - PostgreSQL and RabbitMQ go together, or neither: two set-ups are tested whole, not four by halves.
//! - A receiver that has a spool starts also where RabbitMQ refuses it (a password that was changed, a vhost that is
//!   gone): webhooks count on it. Its log and `/readyz` say what to put right. Its first start, and every role that keeps
//!   nothing on its own disk, ends at once with the same words.
//! - A dead letter is filed by `settle` in the transaction that decides it, before the broker is told; the keeper that
//!   drains the dead-letter queue files only what no worker could speak of.

#![warn(missing_docs)]

/// A webhook is some hundred small allocations on its way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod app;
pub mod broker;
pub mod cli;
pub mod config;
pub mod destination;
pub mod domain;
pub mod map;
pub mod observe;
pub mod receive;
pub mod sandbox;
pub mod store;
pub mod sync;
pub mod work;

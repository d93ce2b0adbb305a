//! Everything is killed under load, in turn and at random, two at once too, and started again; RabbitMQ sets off an
//! alarm; the network is cut and stalled. Two phases: the load goes on and the id by which a webhook was answered 200 is
//! noted; then each is verified: every one of these events has its end, exactly one order for each order, equal stock
//! and states, nothing left anywhere, every process ready again by itself.
//! An event that happened to be at work at three kills is a dead letter `poison` by then: it is replayed first.
//! Reconcile is off. Servers and processes are a test's own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use sapo_sync::config::{BrokerConfig, RabbitConfig};
use sapo_sync::sandbox::{Sandbox, Sent};
use sapo_sync::store::ledger::LedgerRow;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, address_of, by_way_of};
use crate::harness::{Setup, config_of, until};
use crate::load::{Load, Verdict};
use crate::servers::{PostgresServer, RabbitServer};
use crate::tcp::TcpProxy;

/// Kills of the run at random: together fifty in a row.
const KILLS: [(Victim, usize); 5] = [
    (Victim::Rabbit, 10),
    (Victim::Postgres, 10),
    (Victim::Process(RECEIVERS), 10),
    (Victim::Process(WORKERS), 12),
    (Victim::Process(KEEPERS), 8),
];
/// Kills of each run that kills one kind of thing.
const IN_TURN: usize = 3;
/// Things that happen in each of the two shops, a second.
const RATE: f64 = 5.0;

const RECEIVERS: &[&str] = &["receiver-1", "receiver-2"];
const WORKERS: &[&str] = &["worker-1", "worker-2"];
const KEEPERS: &[&str] = &["keeper"];

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Rabbit,
    Postgres,
    /// One of these.
    Process(&'static [&'static str]),
}

impl Victim {
    fn is_process(self) -> bool {
        matches!(self, Self::Process(_))
    }
}

/// Servers and processes of a run, and the load on them.
struct Run {
    what: &'static str,
    cluster: Cluster,
    rabbit: RabbitServer,
    postgres: PostgresServer,
    /// Before both receivers.
    _balancer: TcpProxy,
    /// Between the processes and the servers, where the run has them.
    to_postgres: TcpProxy,
    to_rabbit: TcpProxy,
    loads: Vec<JoinHandle<Load>>,
    stop: CancellationToken,
    kills: usize,
}

impl Run {
    /// Starts everything, and the load.
    async fn begin(what: &'static str, seed: u64) -> Self {
        println!("{what}: seed {seed}");
        let (rabbit, postgres) = tokio::join!(RabbitServer::start(), PostgresServer::start());
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_of(&Setup::default(), dir.path().to_owned());
        config.database_url = postgres.url().into();
        config.master_key = Some("5a".repeat(32).into());
        config.broker = BrokerConfig::RabbitMq(RabbitConfig {
            url: rabbit.url().into(),
            prefix: "sapo-sync".to_owned(),
            partitions: 2,
            spool_events: 100_000,
        });
        let to_postgres = TcpProxy::start(vec![address_of(&postgres.url()).await]).await;
        let to_rabbit = TcpProxy::start(vec![address_of(&rabbit.url()).await]).await;
        let settings = by_way_of(&config, Some(to_postgres.address), Some(to_rabbit.address));
        let mut cluster = Cluster::on(config, dir, None, 2).await;
        cluster.prepare().await;
        for (names, role) in [(RECEIVERS, "receive"), (WORKERS, "work"), (KEEPERS, "keeper")] {
            for name in names {
                cluster.start_with(name, role, &settings);
            }
        }
        cluster.all_ready().await;
        let receivers: Vec<SocketAddr> = RECEIVERS.iter().map(|name| cluster.address(name)).collect();
        let balancer = TcpProxy::start(receivers).await;
        cluster.send_webhooks_to(balancer.address);
        let loads: Vec<Load> = cluster.shops.iter().map(|shop| Load::begin(shop, seed)).collect();
        cluster.shared(&[(WORKERS[0], 3), (WORKERS[1], 3)]).await;
        cluster.quiet().await;
        let stop = CancellationToken::new();
        let loads = loads.into_iter().map(|load| tokio::spawn(load.run(RATE, stop.clone()))).collect();
        Self { what, cluster, rabbit, postgres, _balancer: balancer, to_postgres, to_rabbit, loads, stop, kills: 0 }
    }

    /// `kill -9`, a while without, and started again; `meanwhile` goes and comes while it is away.
    async fn kill(&mut self, victim: Victim, meanwhile: Option<Victim>, dice: &mut StdRng) {
        let victim = self.down(victim, dice);
        a_while(dice).await;
        if let Some(other) = meanwhile {
            let other = self.down(other, dice);
            a_while(dice).await;
            self.up(other).await;
            a_while(dice).await;
        }
        self.up(victim).await;
    }

    /// `kill -9`; tells what it came to.
    fn down(&mut self, victim: Victim, dice: &mut StdRng) -> Victim {
        self.kills += 1;
        match victim {
            Victim::Rabbit => self.rabbit.kill(),
            Victim::Postgres => self.postgres.kill(),
            Victim::Process(names) => {
                let n = dice.random_range(0..names.len());
                assert!(self.cluster.is_running(names[n]), "{} has ended by itself", names[n]);
                self.cluster.kill(names[n]);
                return Victim::Process(&names[n..=n]);
            }
        }
        victim
    }

    /// Starts again what went down.
    async fn up(&mut self, victim: Victim) {
        match victim {
            Victim::Rabbit => self.rabbit.restart().await,
            Victim::Postgres => self.postgres.restart().await,
            Victim::Process(names) => names.iter().for_each(|name| self.cluster.restart(name)),
        }
    }

    /// Waits until the receivers know that RabbitMQ is away.
    async fn knows_no_rabbitmq(&self) {
        for name in RECEIVERS {
            until("it knows that RabbitMQ is away", async || {
                self.cluster.metric(name, "sapo_sync_broker_up").await == Some(0.0)
            })
            .await;
        }
    }

    /// Events on the disks of the receivers, which all take webhooks.
    async fn spooled(&mut self) -> f64 {
        // Asked whether it is ready, each looks how many there are.
        self.cluster.ready(RECEIVERS).await;
        let mut all = 0.0;
        for name in RECEIVERS {
            all += self.cluster.metric(name, "sapo_sync_spool_events").await.expect("it answers");
        }
        all
    }

    /// Waits until so many webhooks more were taken.
    async fn goes_on(&self, webhooks: usize) {
        let before = taken(&self.cluster.shops);
        until("webhooks are taken again", async || taken(&self.cluster.shops) >= before + webhooks).await;
    }

    /// What was at work at three kills is taken for their cause and set aside as `poison`; an operator sends it again.
    async fn replay_poison(&mut self) -> usize {
        let dead = self.cluster.dead().await;
        let poison = dead.iter().filter(|letter| letter.code == "poison").count();
        if poison > 0 {
            let replayed = self.cluster.command("dead replay --all --code poison --yes").await;
            assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
            self.cluster.quiet().await;
        }
        poison
    }

    /// The second phase.
    async fn verify(mut self) {
        let sent_until = Instant::now();
        self.stop.cancel();
        let mut loads = Vec::new();
        for load in self.loads.drain(..) {
            loads.push(load.await.unwrap());
        }
        self.cluster.all_ready().await;
        self.cluster.quiet().await;
        let quiet = sent_until.elapsed();
        let set_aside = self.replay_poison().await;
        let events = self.cluster.events().await;
        let mut verdict = Verdict::default();
        for (shop, load) in self.cluster.shops.iter().zip(&loads) {
            let own: Vec<_> = events.iter().filter(|row| row.store == shop.config().alias).cloned().collect();
            let found = load.verify(&own);
            for row in own.iter().filter(|row| found.suspects.contains(&row.object_id)) {
                let LedgerRow { event_id, object_id, settled_at, topic, version, outcome, code, story, .. } = row;
                eprintln!(
                    "{settled_at} {topic} {object_id}, version {version:?}, {event_id}: {outcome} {code}, {story}"
                );
            }
            verdict.add(found);
        }
        let tries: usize = self.cluster.shops.iter().map(|shop| shop.webhooks_sent().len()).sum();
        println!(
            "{}: {} kills, {tries} webhooks sent, {} answered 200, {} orders, {} doubles, {} lost, {set_aside} set aside as poison and replayed, quiet {:.1} s after the end",
            self.what,
            self.kills,
            verdict.taken,
            verdict.orders,
            verdict.doubles,
            verdict.lost,
            quiet.as_secs_f64()
        );
        assert!(verdict.wrong.is_empty(), "{verdict:#?}");
        // Only what was at work at three kills; a few in many.
        assert!(set_aside * 50 <= verdict.orders, "{set_aside} of {} orders were set aside", verdict.orders);
        assert!(verdict.orders > 0 && verdict.taken > 0, "there was a load: {verdict:#?}");
        let dead = self.cluster.dead().await;
        assert!(dead.is_empty(), "{dead:#?}");
    }
}

fn taken(shops: &[Sandbox]) -> usize {
    shops.iter().map(|shop| shop.webhooks_sent().iter().filter(|sent| sent.taken()).count()).sum()
}

fn all_sent(shops: &[Sandbox]) -> Vec<Vec<Sent>> {
    shops.iter().map(Sandbox::webhooks_sent).collect()
}

/// A pause at random, so that things happen at every moment of what else goes on.
async fn a_while(dice: &mut StdRng) {
    tokio::time::sleep(Duration::from_millis(dice.random_range(0..800))).await;
}

async fn in_turn(what: &'static str, victims: &[Victim]) {
    let seed = rand::random();
    let mut dice = StdRng::seed_from_u64(seed);
    let mut run = Run::begin(what, seed).await;
    for _ in 0..IN_TURN {
        for victim in victims {
            run.goes_on(10).await;
            run.kill(*victim, None, &mut dice).await;
        }
    }
    run.goes_on(10).await;
    run.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn nothing_is_lost_or_doubled_when_rabbitmq_is_killed() {
    in_turn("RabbitMQ killed", &[Victim::Rabbit]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn nothing_is_lost_or_doubled_when_postgresql_is_killed() {
    in_turn("PostgreSQL killed", &[Victim::Postgres]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn nothing_is_lost_or_doubled_when_processes_are_killed() {
    let all = [RECEIVERS, WORKERS, KEEPERS].map(Victim::Process);
    in_turn("processes killed in turn", &all).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn nothing_is_lost_or_doubled_in_fifty_kills_at_random() {
    let seed = rand::random();
    let mut dice = StdRng::seed_from_u64(seed);
    let mut victims: Vec<Victim> =
        KILLS.iter().flat_map(|(victim, times)| std::iter::repeat_n(*victim, *times)).collect();
    victims.shuffle(&mut dice);
    let mut run = Run::begin("everything killed at random", seed).await;
    let mut victims = victims.into_iter().peekable();
    while let Some(victim) = victims.next() {
        // Now and then a process dies while a server is away, and is started again before that is back.
        let may_two = !victim.is_process() && dice.random_bool(0.7);
        let meanwhile = victims.next_if(|next| may_two && next.is_process());
        run.kill(victim, meanwhile, &mut dice).await;
        // Often the next one dies before all have got over it.
        if dice.random_bool(0.5) {
            run.cluster.all_ready().await;
        }
        run.goes_on(dice.random_range(1..8)).await;
    }
    run.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn webhooks_are_answered_200_while_rabbitmq_takes_nothing_because_of_an_alarm() {
    let mut run = Run::begin("alarms of RabbitMQ", rand::random()).await;
    for _ in 0..2 {
        run.goes_on(10).await;
        run.rabbit.alarm(true).await;
        let before = all_sent(&run.cluster.shops);
        run.goes_on(60).await;
        for (shop, before) in run.cluster.shops.iter().zip(before) {
            let sent = shop.webhooks_sent().split_off(before.len());
            assert!(sent.iter().all(Sent::taken), "each at its first send: {sent:#?}");
        }
        assert!(run.spooled().await > 0.0, "they are on the receivers' own disks");
        run.rabbit.alarm(false).await;
        run.cluster.all_ready().await;
    }
    run.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn receivers_killed_while_rabbitmq_is_away_keep_what_they_took_and_take_webhooks_again_without_it() {
    let seed = rand::random();
    let mut dice = StdRng::seed_from_u64(seed);
    let mut run = Run::begin("receivers killed while RabbitMQ is away", seed).await;
    run.goes_on(10).await;
    let rabbit = run.down(Victim::Rabbit, &mut dice);
    run.knows_no_rabbitmq().await;
    run.goes_on(20).await;
    let kept = run.spooled().await;
    assert!(kept > 0.0, "they are on the receivers' own disks");
    for name in RECEIVERS {
        run.cluster.kill(name);
        run.kills += 1;
    }
    for name in RECEIVERS {
        run.cluster.restart(name);
    }
    run.goes_on(20).await;
    run.knows_no_rabbitmq().await;
    let now = run.spooled().await;
    assert!(now >= kept + 10.0, "{kept} were on their disks, and of these and what came since there are {now}");
    run.up(rabbit).await;
    run.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL and RabbitMQ; deploy/test.sh runs it"]
async fn nothing_is_lost_or_doubled_when_the_network_is_cut_or_stalls() {
    let mut run = Run::begin("network cut and stalled", rand::random()).await;
    for round in 0..2 {
        for to_rabbit in [true, false] {
            for fault in [TcpProxy::cut, TcpProxy::refuse, TcpProxy::stall] {
                run.goes_on(5).await;
                let line = if to_rabbit { &run.to_rabbit } else { &run.to_postgres };
                fault(line);
                run.kills += 1;
                // Webhooks go on being taken all the while.
                run.goes_on(if round == 0 { 10 } else { 60 }).await;
                line.pass();
                run.cluster.all_ready().await;
            }
        }
    }
    run.verify().await;
}

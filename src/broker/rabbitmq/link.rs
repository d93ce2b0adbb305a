//! A connection to `RabbitMQ`: made within a time-out, given up without waiting for anybody, its errors told apart.
//!
//! `lapin`'s own recovery is not used: a supervisor drops a connection that fails and builds a new one.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_compat::Compat;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::topology::Topology;
use super::version;

/// How long connecting may take, and each step of setting up.
const CONNECT: Duration = Duration::from_secs(10);
/// How long closing may take before the socket is cut.
pub(super) const CLOSE: Duration = Duration::from_secs(2);
/// The silence between heartbeats, in seconds; twice as long is a lost connection.
const HEARTBEAT: u16 = 10;
/// The first and the longest pause before the next attempt.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a connection is asked whether it still is one: an orderly end by the broker makes no event.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Where the broker is. Never shows the password.
pub(super) struct Address {
    uri: AMQPUri,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place())
    }
}

impl Address {
    /// Reads a URL; the error does not repeat it.
    pub fn parse(url: &SecretString) -> Result<Self, String> {
        let mut uri: AMQPUri = url.expose_secret().parse().map_err(|_| {
            "SAPO_SYNC__BROKER__URL is not an address of RabbitMQ; it is written amqp://user:password@host:5672/vhost (amqps:// with TLS; %2f is the vhost /, and other special characters are written %xx as well)".to_owned()
        })?;
        uri.query.heartbeat = Some(HEARTBEAT);
        Ok(Self { uri })
    }

    pub fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// Host and port, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.uri.authority.host, self.uri.authority.port)
    }

    fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// It will not be better until somebody changes a setting or a right.
    Refused(String),
    /// It may be better later.
    Away(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(why) | Self::Away(why)) = self;
        f.write_str(why)
    }
}

/// The socket below a connection, kept so that it can be cut: then `lapin`'s thread ends, whatever it waits for.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Mutex<Option<std::net::TcpStream>>>);

impl Socket {
    fn inner(&self) -> MutexGuard<'_, Option<std::net::TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn connect(&self, uri: &AMQPUri) -> io::Result<AsyncTcpStream<Compat<TcpStream>>> {
        let stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await?.into_std()?;
        *self.inner() = Some(stream.try_clone()?);
        let stream = TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        let stream = AsyncTcpStream::Plain(Compat::new(stream));
        match uri.scheme {
            AMQPScheme::AMQP => Ok(stream),
            AMQPScheme::AMQPS => stream.into_tls(&uri.authority.host, OwnedTLSConfig::default().as_ref()).await,
        }
    }

    pub fn cut(&self) {
        if let Some(stream) = self.inner().take() {
            // It may be gone already.
            let _cut = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Cuts a socket when the attempt that uses it is given up.
struct Attempt(Option<Socket>);

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            socket.cut();
        }
    }
}

/// A connection. Dropped, it is cut at once.
pub(super) struct Link {
    pub connection: Connection,
    socket: Socket,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket.cut();
    }
}

impl Link {
    /// Whether it still stands, as far as is known here.
    pub fn stands(&self) -> bool {
        self.connection.status().connected()
    }

    /// Takes leave of the broker, for a short time at most.
    pub async fn close(&self) {
        let _closed = timeout(CLOSE, self.connection.close(200, "OK".into())).await;
        self.socket.cut();
    }

    /// Ends it without taking leave.
    pub fn cut(&self) {
        self.socket.cut();
    }
}

/// How connections are made.
pub(super) struct Dial {
    pub address: Address,
    pub topology: Topology,
    name: String,
    /// The version was seen to be new enough.
    checked: AtomicBool,
}

impl Dial {
    pub fn new(url: &SecretString, topology: Topology, name: &str) -> Result<Self, String> {
        Ok(Self { address: Address::parse(url)?, topology, name: name.to_owned(), checked: AtomicBool::new(false) })
    }

    /// Connects for a purpose, which operators see in the connection's name, and declares what is needed.
    pub async fn connect(&self, purpose: &str) -> Result<Link, Trouble> {
        if !self.checked.load(Ordering::Relaxed) {
            match timeout(CONNECT, version::check(&self.address)).await {
                Ok(Ok(Ok(()))) => self.checked.store(true, Ordering::Relaxed),
                Ok(Ok(Err(why))) => return Err(Trouble::Refused(format!("{why} (SAPO_SYNC__BROKER__URL)"))),
                Ok(Err(error)) => return Err(self.unreached(&error)),
                Err(_) => return Err(self.unreachable(&silent())),
            }
        }
        let link = timeout(CONNECT, self.open(purpose)).await.unwrap_or_else(|_| Err(self.unreachable(&silent())))?;
        let declared = async {
            let channel = link.connection.create_channel().await?;
            self.topology.declare(&channel).await?;
            channel.close(200, "OK".into()).await
        };
        timeout(CONNECT, declared).await.map_err(|_| self.away(&silent()))?.map_err(|error| self.trouble(&error))?;
        Ok(link)
    }

    async fn open(&self, purpose: &str) -> Result<Link, Trouble> {
        let socket = Socket::default();
        let mut attempt = Attempt(Some(socket.clone()));
        let runtime = lapin::runtime::default_runtime().map_err(|error| self.trouble(&error))?;
        let properties =
            ConnectionProperties::default().with_connection_name(format!("{} ({purpose})", self.name).into());
        let below = socket.clone();
        let connect = async move |uri: AMQPUri, _| below.connect(&uri).await.map_err(lapin::Error::from);
        let connected = Connection::connector(self.address.uri.clone(), runtime, connect, properties).await;
        let connection = connected.map_err(|error| match error.kind() {
            ErrorKind::IOError(why) => self.unreached(why),
            _ => self.trouble(&error),
        })?;
        attempt.0 = None;
        Ok(Link { connection, socket })
    }

    fn away(&self, why: &str) -> Trouble {
        Trouble::Away(format!("{}: {why}", self.address.place()))
    }

    /// No connection came about, and why.
    fn unreached(&self, why: &std::io::Error) -> Trouble {
        if why.kind() == std::io::ErrorKind::InvalidData {
            return self.away(&format!(
                "{why}; for amqps:// the certificate must be for that host and of an authority that this machine trusts"
            ));
        }
        self.unreachable(&why.to_string())
    }

    /// Nothing answers there, as far as is known: it may be away, and it may be the wrong address.
    fn unreachable(&self, why: &str) -> Trouble {
        self.away(&format!(
            "{why}; check that RabbitMQ runs there and that SAPO_SYNC__BROKER__URL names its host and port"
        ))
    }

    /// What an error of the broker means, and what to do about it.
    pub fn trouble(&self, error: &lapin::Error) -> Trouble {
        let ErrorKind::ProtocolError(told) = error.kind() else {
            return self.away(&plain(error));
        };
        let (place, user, vhost, prefix) =
            (self.address.place(), self.address.user(), &self.address.uri.vhost, self.topology.prefix());
        let pattern = format!("'^{}\\..*'", prefix.replace('.', "\\."));
        let permit = format!("rabbitmqctl set_permissions -p {vhost} {user} {pattern} {pattern} {pattern}");
        let (code, said) = (told.get_id(), told.get_message().as_str());
        Trouble::Refused(match code {
            403 if said.contains(" access to ") => format!(
                "user {user} of SAPO_SYNC__BROKER__URL lacks a right in vhost {vhost} of RabbitMQ at {place} ({said}); an operator gives it with: {permit}"
            ),
            403 => format!(
                "RabbitMQ at {place} refuses user {user}: correct user and password in SAPO_SYNC__BROKER__URL ({said})"
            ),
            530 => format!(
                "RabbitMQ at {place} does not let user {user} into vhost {vhost:?} ({said}): correct the vhost in SAPO_SYNC__BROKER__URL (%2f is the vhost /), or make it and let the user in: rabbitmqctl add_vhost {vhost}; {permit}"
            ),
            406 if said.contains("inequivalent arg") => format!(
                "{} exists with other settings than this version needs ({said}): drain and delete it, or choose another SAPO_SYNC__BROKER__PREFIX (now {prefix})",
                named(said).unwrap_or_else(|| "a queue or an exchange".to_owned())
            ),
            406 if said.contains("invalid arg") => format!(
                "RabbitMQ at {place} does not know a setting that is needed ({said}): rabbitmqctl enable_feature_flag all"
            ),
            _ => return self.away(said),
        })
    }
}

/// The queue or exchange that a refusal speaks of: `… for queue 'sapo-sync.order.0' in vhost '/': …`.
fn named(said: &str) -> Option<String> {
    let (_, rest) = said.split_once(" for ")?;
    let (kind, rest) = rest.split_once(" '")?;
    let (name, _) = rest.split_once('\'')?;
    Some(format!("{kind} {name}"))
}

fn silent() -> String {
    format!("no answer within {} s", CONNECT.as_secs())
}

fn plain(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::MissingHeartbeatError => "no heartbeat".to_owned(),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidChannel(_) => {
            "the connection was closed".to_owned()
        }
        _ => error.to_string(),
    }
}

/// A pause before the attempt of this number, from 0: longer each time, and never the same for two processes.
pub(super) fn pause(attempt: u32) -> Duration {
    let whole = PAUSE.0.saturating_mul(1 << attempt.min(10)).min(PAUSE.1);
    whole.mul_f64(rand::random_range(0.5..1.0))
}

/// Logs a connection's going and coming, once each.
pub(super) struct Outage {
    purpose: &'static str,
    told: Option<bool>,
}

impl Outage {
    pub fn new(purpose: &'static str) -> Self {
        Self { purpose, told: None }
    }

    /// It is away; told again only where it became a refusal.
    pub fn began(&mut self, trouble: &Trouble) {
        let refused = matches!(trouble, Trouble::Refused(_));
        if self.told == Some(refused) || self.told == Some(true) {
            return;
        }
        self.told = Some(refused);
        let purpose = self.purpose;
        if refused {
            tracing::error!(code = "broker_refused", purpose, reason = %trouble, "RabbitMQ refuses; trying again until it is put right");
        } else {
            tracing::warn!(code = "broker_unusable", purpose, reason = %trouble, "RabbitMQ is away; connecting again");
        }
    }

    /// It is back.
    pub fn ended(&mut self) {
        if self.told.take().is_some() {
            tracing::info!(purpose = self.purpose, "RabbitMQ is back");
            metrics::counter!("sapo_sync_broker_reconnects_total", "purpose" => self.purpose).increment(1);
        }
    }
}

/// Opens a channel whose publishes are confirmed.
pub(super) async fn confirming(link: &Link) -> lapin::Result<Channel> {
    let channel = link.connection.create_channel().await?;
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind};

    use super::*;

    fn dial(url: &str) -> Result<Dial, String> {
        Dial::new(&SecretString::from(url), Topology::new("sapo-sync", 8).unwrap(), "sapo-sync test")
    }

    fn told(code: u16, text: &str) -> Trouble {
        let dial = dial("amqp://lan:m%40t-khau@queue.example:5673/cua-hang").unwrap();
        let kind = AMQPErrorKind::from_id(code).unwrap();
        dial.trouble(&ErrorKind::ProtocolError(AMQPError::new(kind, text.into())).into())
    }

    #[test]
    fn a_url_that_cannot_be_read_is_told_without_repeating_it() {
        for url in ["http://lan:mat-khau@host", "mat-khau", "amqp:mat-khau", "amqp://lan:mat-khau@host:99999/"] {
            let error = dial(url).err().unwrap();
            assert!(error.contains("SAPO_SYNC__BROKER__URL") && !error.contains("mat-khau"), "{error}");
        }
        let dial = dial("amqp://lan:mat-khau@host/").unwrap();
        assert_eq!(format!("{:?}", dial.address), "host:5672");
    }

    #[test]
    fn a_refusal_says_what_is_refused_to_whom_and_what_to_do() {
        for (code, text, parts) in [
            (
                403,
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN",
                vec!["user lan", "password"],
            ),
            (
                403,
                "ACCESS_REFUSED - configure access to queue 'sapo-sync.order.0' in vhost 'cua-hang' refused for user 'lan'",
                vec!["lacks a right", r"rabbitmqctl set_permissions -p cua-hang lan '^sapo-sync\..*'"],
            ),
            (
                530,
                "NOT_ALLOWED - vhost cua-hang not found",
                vec!["vhost \"cua-hang\"", "rabbitmqctl add_vhost cua-hang"],
            ),
            (
                406,
                "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'sapo-sync.order.0' in vhost 'cua-hang': received '1000' but current is '5'",
                vec!["queue sapo-sync.order.0 exists", "x-delivery-limit", "SAPO_SYNC__BROKER__PREFIX"],
            ),
        ] {
            let Trouble::Refused(why) = told(code, text) else { panic!("{code} is final") };
            for part in parts {
                assert!(why.contains(part), "{part:?} is missing in {why}");
            }
            assert!(!why.contains("khau"), "{why}");
        }
        assert!(matches!(told(320, "CONNECTION_FORCED - broker forced connection closure"), Trouble::Away(_)));
    }

    #[test]
    fn pauses_grow_to_five_seconds_and_differ() {
        assert!(pause(0) >= Duration::from_millis(50) && pause(0) <= Duration::from_millis(100));
        assert!(pause(40) >= Duration::from_millis(2_500) && pause(40) <= Duration::from_secs(5));
        assert_ne!(pause(5), pause(5));
    }
}

//! Which broker is there. `lapin` keeps the server's properties to itself, so the first frame of a connection of our
//! own is read: `Connection.Start` says product and version before anybody logs in.

use std::io;

use futures::io::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::protocol::{AMQPClass, connection, parse_class};
use lapin::types::AMQPValue;

use super::link::{Address, Socket};

/// The first version with dead-lettering at least once.
const OLDEST: (u32, u32) = (3, 10);
const HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// Type, channel and size before a frame's payload.
const FRAME_HEAD: usize = 7;
/// The properties of a server are a few hundred bytes.
const MOST: usize = 64 * 1024;

/// Reads what the server says of itself; the inner error tells why it will not do.
pub(super) async fn check(address: &Address) -> io::Result<Result<(), String>> {
    let socket = Socket::default();
    let mut stream = socket.connect(address.uri()).await?;
    stream.write_all(HEADER).await?;
    stream.flush().await?;
    let mut head = [0; FRAME_HEAD];
    stream.read_exact(&mut head).await?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if head.starts_with(b"AMQP") || head[0] != 1 || size > MOST {
        return Ok(Err(format!("{} does not speak AMQP 0-9-1", address.place())));
    }
    let mut payload = vec![0; size];
    stream.read_exact(&mut payload).await?;
    socket.cut();
    Ok(judge(&payload).map_err(|found| {
        format!("RabbitMQ {}.{} or later is needed; {} is {found}", OLDEST.0, OLDEST.1, address.place())
    }))
}

/// Whether it is new enough; what it is, otherwise.
fn judge(payload: &[u8]) -> Result<(), String> {
    let Ok((_, AMQPClass::Connection(connection::AMQPMethod::Start(start)))) = parse_class(payload) else {
        return Err("something else".to_owned());
    };
    let told = |name: &str| match start.server_properties.inner().get(name) {
        Some(AMQPValue::LongString(value)) => value.to_string(),
        _ => String::new(),
    };
    let (product, version) = (told("product"), told("version"));
    let mut numbers = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if product == "RabbitMQ" && found >= OLDEST {
        Ok(())
    } else {
        Err(format!("{product} {version}").trim().to_owned())
    }
}

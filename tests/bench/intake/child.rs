//! A server that is measured: a child process, ended together with its own children.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::load;

/// How long a server may take to answer for the first time.
const START: Duration = Duration::from_mins(1);

/// Dropped, it is killed: what it answered 200 is with the broker or on the disk by then.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a server on a free port, and waits until it answers.
    pub async fn start(command: impl FnOnce(u16) -> Command) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let mut command = command(port);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Cluster and uvicorn start processes of their own: all of them end with the group.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("{} cannot be started", program(&command)))?;
        let mut server = Self { child, address: ([127, 0, 0, 1], port).into() };
        let began = Instant::now();
        loop {
            if let Some(status) = server.child.try_wait()? {
                bail!("{} ended before it answered: {status}", program(&command));
            }
            // Unsigned, so that nothing is published.
            let asked = timeout(Duration::from_secs(5), load::post(server.address, "/webhooks/omni/mau")).await;
            if matches!(asked, Ok(Ok(_))) {
                return Ok(server);
            }
            if began.elapsed() > START {
                bail!("{} did not answer within {} s", program(&command), START.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Processor time that its processes have used, to the hundredth of a second; `None` where `/proc` is not there.
    pub fn processor_time(&self) -> Option<Duration> {
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            // The name may have blanks and brackets of its own.
            let Some((_, rest)) = stat.rsplit_once(')') else { continue };
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
            if number(2) == Some(u64::from(self.child.id())) {
                ticks += number(11)? + number(12)?;
            }
        }
        Some(Duration::from_millis(ticks * 10))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            let group = format!("-{}", self.child.id());
            let _killed = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

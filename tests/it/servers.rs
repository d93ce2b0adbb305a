//! Servers of a test's own, which it may kill: RabbitMQ and PostgreSQL from the installed programs, on free ports, with
//! all their files in a folder that goes with them.

use std::fs::{File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::cluster::free_port;
use crate::harness::PATIENCE;

/// A RabbitMQ server.
pub struct RabbitServer {
    dir: TempDir,
    settings: Vec<(&'static str, String)>,
    port: u16,
    script: Option<Child>,
}

impl RabbitServer {
    /// Starts one, and waits until it takes connections.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, distribution, mapper) = (free_port(), free_port(), free_port());
        std::fs::write(dir.path().join("plugins"), "[].").unwrap();
        std::fs::write(dir.path().join("rabbitmq.conf"), format!("listeners.tcp.local = 127.0.0.1:{port}\n")).unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let settings = vec![
            ("HOME", path("")),
            ("RABBITMQ_NODENAME", format!("sapo{port}@localhost")),
            ("RABBITMQ_NODE_PORT", port.to_string()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
            ("RABBITMQ_PID_FILE", path("pid")),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
        ];
        let mut server = Self { dir, settings, port, script: None };
        server.restart().await;
        server
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Starts it again on its files, and waits until it takes connections.
    pub async fn restart(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        self.spawn();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() || self.pid().is_none() {
            // After a kill it does not start as long as its name server believes that its predecessor lives.
            let ended = self.script.as_mut().and_then(|script| script.try_wait().unwrap());
            if ended.is_some_and(|status| !status.success()) {
                self.spawn();
            }
            let out = || std::fs::read_to_string(self.dir.path().join("out")).unwrap_or_default();
            assert!(Instant::now() < deadline, "RabbitMQ does not start: {}", out());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("out")).unwrap();
        let program = find("rabbitmq-server", &["/usr/lib/rabbitmq/bin"], "rabbitmq-server");
        let mut command = self.command(&program);
        self.script = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            let _ended_before = Command::new("kill").args(["-9", &pid]).stderr(Stdio::null()).status();
            let _none_next_time = std::fs::remove_file(self.dir.path().join("pid"));
        }
        if let Some(mut script) = self.script.take() {
            let _ended_before = script.kill();
            let _gone = script.wait();
        }
    }

    /// Sets off the alarm for memory, or ends it: with it on, nothing that is published is taken.
    pub async fn alarm(&self, on: bool) {
        self.ctl(&["set_vm_memory_high_watermark", if on { "0.00000001" } else { "0.4" }]).await;
    }

    /// Runs `rabbitmqctl`, which must succeed; what it tells.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments).await.unwrap_or_else(|why| panic!("rabbitmqctl {arguments:?}: {why}"))
    }

    /// Runs `rabbitmqctl`: what it tells, or why it failed.
    pub async fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.command(&rabbitmqctl());
        command.args(arguments);
        output(command).await
    }

    /// Runs a script that calls `rabbitmqctl`; it must succeed.
    pub async fn script(&self, file: &Path) {
        let mut command = self.command(Path::new("bash"));
        let first = rabbitmqctl().parent().map(Path::to_owned).unwrap_or_default();
        command.args(["-c", r#"export PATH="$0:$PATH"; exec bash "$1""#]).arg(first).arg(file);
        output(command).await.unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.envs(self.settings.iter().map(|(key, value)| (key, value))).stdin(Stdio::null());
        command
    }

    /// The number of its process; it is written when the node boots.
    fn pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.dir.path().join("pid")).ok()?;
        Some(text.trim().to_owned()).filter(|pid| !pid.is_empty())
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        self.kill();
        // Erlang's name server, which the node started for itself alone. It refuses while it believes that the node
        // lives, which it finds out a moment later.
        for _ in 0..100 {
            let mut epmd = self.command(Path::new("epmd"));
            let told = epmd.arg("-kill").stderr(Stdio::null()).output();
            if told.is_ok_and(|told| !String::from_utf8_lossy(&told.stdout).contains("not allowed")) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn rabbitmqctl() -> PathBuf {
    find("rabbitmqctl", &["/usr/lib/rabbitmq/bin"], "rabbitmq-server")
}

/// What a command tells, or why it failed.
async fn output(mut command: Command) -> Result<String, String> {
    let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    if done.status.success() { Ok(told(&done.stdout)) } else { Err(told(&done.stderr)) }
}

/// A PostgreSQL server.
pub struct PostgresServer {
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl PostgresServer {
    /// Makes one, starts it, and waits until it takes connections.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Self { dir, port: free_port(), child: None };
        // It refuses to run as root; its user must then reach its folder.
        if let Some((user, group)) = Self::other_user() {
            std::fs::set_permissions(server.dir.path(), Permissions::from_mode(0o755)).unwrap();
            chown(server.dir.path(), Some(user), Some(group)).unwrap();
        }
        let data = server.data().display().to_string();
        let made = server.command("initdb").args(["-A", "trust", "-U", "postgres", "-D", &data]).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.restart().await;
        server
    }

    /// The URL of its one database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it again on its files, and waits until it takes connections.
    pub async fn restart(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while PgConnection::connect(&self.url()).await.is_err() {
            // After a kill it does not start as long as a child of its predecessor lives.
            if self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some()) {
                self.spawn();
            }
            let out = || std::fs::read_to_string(self.dir.path().join("out")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", out());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("out")).unwrap();
        let (data, port) = (self.data().display().to_string(), self.port.to_string());
        let folder = format!("unix_socket_directories={}", self.dir.path().display());
        let mut command = self.command("postgres");
        command.args(["-D", &data, "-p", &port, "-c", "listen_addresses=127.0.0.1", "-c", &folder, "-c", "fsync=on"]);
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// `kill -9` of the server; what serves its connections ends by itself then.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended_before = child.kill();
            let _gone = child.wait();
        }
    }

    /// Has it ask its user for this password from now on.
    pub async fn ask_for_password(&self, password: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        let set = format!("set password_encryption = 'scram-sha-256'; alter role postgres password '{password}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut connection).await.unwrap();
        std::fs::write(self.data().join("pg_hba.conf"), "host all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while PgConnection::connect(&self.url()).await.is_ok() {
            assert!(Instant::now() < deadline, "PostgreSQL asks for no password");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A program of the server, run as its user where we are root.
    fn command(&self, program: &str) -> Command {
        let folders = glob("/usr/lib/postgresql");
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        let program = find(program, &folders, "postgresql");
        let mut command = if let Some((user, group)) = Self::other_user() {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.stdin(Stdio::null()).current_dir(self.dir.path());
        command
    }

    /// The user and group `postgres`, where we are root.
    fn other_user() -> Option<(u32, u32)> {
        let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").ok()?);
        if own != 0 {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let line =
            users.lines().find(|line| line.starts_with("postgres:")).expect("a user postgres: install postgresql");
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The newest `bin` of a folder of versions.
fn glob(folder: &str) -> Vec<String> {
    let versions = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut all: Vec<String> = versions.map(|entry| entry.path().join("bin").display().to_string()).collect();
    all.sort();
    all.reverse();
    all
}

/// A program in these folders or on the path.
#[allow(clippy::disallowed_methods, reason = "where the tests' servers are; no setting of the program")]
fn find(program: &str, folders: &[&str], package: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let all = folders.iter().copied().chain(path.split(':'));
    let found = all.map(|folder| Path::new(folder).join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("{program} is not installed: the fault tests kill servers of their own; on Debian: apt-get install {package}")
    })
}

//! The peers of `deploy/bench`: installed below `target/`, started as they are meant to be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::rabbit;
use crate::{SECRET, rabbit::Names};

/// A peer that can be started.
#[derive(Clone)]
pub struct Peer {
    program: PathBuf,
    script: &'static str,
    folder: PathBuf,
    /// What runs it, with its version.
    pub runs_on: String,
}

impl Peer {
    /// Express and amqplib; the error tells why there is none.
    pub fn express() -> Result<Self, String> {
        let node = version("node")?;
        version("npm")?;
        let folder = copied("express", &["package.json", "package-lock.json", "server.js"])?;
        let stamp = format!("{node}\n{}", read(&folder.join("package-lock.json"))?);
        once(&folder, &stamp, || {
            run(Command::new("npm").args(["ci", "--omit=dev", "--no-audit", "--no-fund"]).current_dir(&folder))
        })?;
        Ok(Self { program: "node".into(), script: "server.js", folder, runs_on: format!("node {node}") })
    }

    /// `FastAPI` and aio-pika; the error tells why there is none.
    pub fn fastapi() -> Result<Self, String> {
        let python = version("python3")?;
        let folder = copied("fastapi", &["requirements.txt", "app.py"])?;
        let own = folder.join(".venv/bin/python");
        let stamp = format!("{python}\n{}", read(&folder.join("requirements.txt"))?);
        once(&folder, &stamp, || {
            run(Command::new("python3").args(["-m", "venv", "--clear", ".venv"]).current_dir(&folder))?;
            let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
            run(Command::new(&own).args(install).current_dir(&folder))
        })?;
        Ok(Self { program: own, script: "app.py", folder, runs_on: python })
    }

    /// What starts it.
    pub fn command(&self, port: u16, names: &Names, workers: usize) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(self.script)
            .current_dir(&self.folder)
            .env("NODE_ENV", "production")
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("AMQP_URL", rabbit::url())
            .env("QUEUE", &names.prefix)
            .env("SECRET", SECRET)
            .env("WORKERS", workers.to_string());
        command
    }
}

/// Copies a peer's files to where it may be installed.
fn copied(peer: &str, files: &[&str]) -> Result<PathBuf, String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/bench").join(peer);
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench").join(peer);
    std::fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    for file in files {
        std::fs::copy(from.join(file), to.join(file))
            .map_err(|error| format!("{} cannot be copied: {error}", from.join(file).display()))?;
    }
    Ok(to)
}

/// Installs where that was not done yet with the same versions.
fn once(folder: &Path, stamp: &str, install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let done = folder.join("installed");
    if std::fs::read_to_string(&done).is_ok_and(|before| before == stamp) {
        return Ok(());
    }
    // One that fails half-way is not taken for whole.
    let _absent = std::fs::remove_file(&done);
    eprintln!("installing {} …", folder.display());
    install()?;
    std::fs::write(&done, stamp).map_err(|error| format!("{}: {error}", done.display()))
}

fn version(program: &str) -> Result<String, String> {
    let told = output(Command::new(program).arg("--version"))?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    output(command).map(drop)
}

fn output(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{program}: {}: {last}", output.status))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

//! Runs a test again in a process of its own, where it may do what would disturb the others: be killed, panic at a
//! named point, or run out of room.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Set in a child, to the folder that its parent shares with it.
const SHARED: &str = "CHILD_OF_A_TEST";

/// In a child: the folder shared with the parent.
#[allow(clippy::disallowed_methods, reason = "this is how a child knows that it is one; no setting of the program")]
pub fn shared() -> Option<PathBuf> {
    std::env::var_os(SHARED).map(PathBuf::from)
}

/// Runs the test `name` (its full path, without the crate) in a child, and waits for its end.
///
/// `SIGXFSZ` is ignored there, so that a write beyond the allowed size of a file fails as one on a full disk does.
pub async fn run(name: &str, shared: &Path) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(SHARED, shared);
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

/// The same, for a child whose test has to pass.
pub async fn pass(name: &str, shared: &Path) {
    let output = run(name, shared).await;
    let told = [output.stdout.as_slice(), &output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("1 passed"), "{:?}\n{told}", output.status);
}

/// In a child: lets no file of this process grow beyond `bytes`; `None` lets them grow again.
#[cfg(target_os = "linux")]
pub fn allow_file_size(bytes: Option<u64>) {
    let soft = bytes.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
    let pid = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={soft}:unlimited")]).status();
    assert!(set.is_ok_and(|status| status.success()), "prlimit (util-linux) sets the largest size of a file");
}

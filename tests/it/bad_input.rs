//! What is wrong at the start: each with a message of its own that says what mends it.

use std::path::Path;

use sapo_sync::app::{App, Role};
use sapo_sync::config::Config;
use sqlx::Connection as _;

use crate::harness::{Setup, World};

/// Settings as a file gives them.
fn load(folder: &Path, text: &str) -> Result<Config, String> {
    let file = folder.join("settings.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file)).map_err(|error| error.to_string())
}

/// The defaults with a data dir of their own and any free port.
fn config(data_dir: &Path) -> Config {
    let text = format!("data_dir = {:?}\nlisten = \"127.0.0.1:0\"", data_dir.display().to_string());
    load(tempfile::tempdir().unwrap().path(), &text).unwrap()
}

/// The whole message of why a program does not start.
async fn refusal(config: Config) -> String {
    match App::open(config, Role::Up).await {
        Ok(_) => panic!("it starts"),
        Err(error) => format!("{error:#}"),
    }
}

fn assert_tells(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_dir_that_cannot_be_made_or_written_is_told_with_the_setting_that_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    assert_tells(&refusal(config(&below)).await, &[below.to_str().unwrap(), "cannot be made", "SAPO_SYNC__DATA_DIR"]);
    // Not even root can write here.
    if cfg!(target_os = "linux") {
        assert_tells(
            &refusal(config(Path::new("/proc/self"))).await,
            &["/proc/self/lock", "cannot be written", "SAPO_SYNC__DATA_DIR"],
        );
    }
    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("state.db")).unwrap();
    assert_tells(&refusal(config(&taken)).await, &["state.db", "cannot be opened", "writable"]);
    let queue = folder.path().join("queue");
    std::fs::create_dir_all(queue.join("queue.db")).unwrap();
    assert_tells(&refusal(config(&queue)).await, &["queue.db", "the queue cannot be used"]);
    let key = folder.path().join("key");
    std::fs::create_dir_all(key.join("master.key")).unwrap();
    assert_tells(&refusal(config(&key)).await, &["master.key", "cannot be used"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_told_with_the_setting_that_mends_it() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = world.running().address().unwrap();
    let address = config.listen.to_string();
    let app = App::open(config, Role::Up).await.unwrap();
    let message = format!("{:#}", app.bind().await.unwrap_err());
    assert_tells(&message, &[&address, "the port is in use", "SAPO_SYNC__LISTEN"]);
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_up_on_the_same_data_dir_is_refused_and_the_first_goes_on() {
    let world = World::new().await;
    let message = refusal(config(world.dir.path())).await;
    assert_tells(&message, &[world.dir.path().to_str().unwrap(), "another sapo-sync", "SAPO_SYNC__DATA_DIR"]);
    let product = world
        .sandbox
        .omni()
        .add_product(
            &serde_json::json!({"name": "Mũ", "variants": [{"sku": "M", "retail": 90_000, "stock": {"58001": 1}}]}),
        )
        .unwrap();
    world.quiet().await;
    assert_eq!(world.outcome(product).await.1, "created");
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_from_a_newer_version_is_refused_and_left_as_it_is() {
    let mut world = World::on_files(Setup::default()).await;
    world.stop().await;
    let url = format!("sqlite://{}", world.dir.path().join("state.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'of tomorrow', true, x'00', 0)";
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(world.dir.path().join("state.db")).unwrap();
    assert_tells(&refusal(config(world.dir.path())).await, &["newer version", "9999", "back-up"]);
    assert!(std::fs::read(world.dir.path().join("state.db")).unwrap() == before, "nothing was written to it");
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("delete from _sqlx_migrations where version = 9999").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    world.start().await;
    world.finish(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_refused() {
    for name in ["state.db", "queue.db"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(name),
            "this is a letter, and a long one, and no database at all. ".repeat(40),
        )
        .unwrap();
        assert_tells(&refusal(config(folder.path())).await, &[name, "not a database"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_is_told_and_the_right_one_goes_on() {
    let mut world = World::on_files(Setup::default()).await;
    world.stop().await;
    let mut wrong = config(world.dir.path());
    wrong.master_key = Some("11".repeat(32).into());
    let message = refusal(wrong.clone()).await;
    assert_tells(&message, &["cannot be decrypted", "SAPO_SYNC__MASTER_KEY", "master.key"]);
    assert!(!message.contains("1111"), "{message}");
    wrong.master_key = Some("not-a-key-of-64-digits".to_owned().into());
    let message = refusal(wrong).await;
    assert_tells(&message, &["64 hex digits", "openssl rand -hex 32"]);
    assert!(!message.contains("not-a-key"), "{message}");
    // A lost key file: what was encrypted with it is told, not overwritten.
    let key = std::fs::read_to_string(world.dir.path().join("master.key")).unwrap();
    std::fs::remove_file(world.dir.path().join("master.key")).unwrap();
    assert_tells(&refusal(config(world.dir.path())).await, &["cannot be decrypted", "master.key"]);
    std::fs::write(world.dir.path().join("master.key"), key).unwrap();
    world.start().await;
    world.finish(&[]).await;
}

#[test]
fn wrong_settings_name_their_key_what_is_expected_and_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-key").display().to_string();
    let secret_file = format!("master_key_file = {missing:?}");
    let table: [(&str, &[&str]); 16] = [
        ("listen = \"here\"", &["SAPO_SYNC__LISTEN", "\"here\"", "127.0.0.1:8080"]),
        ("listen = 8080", &["SAPO_SYNC__LISTEN", "127.0.0.1:8080"]),
        ("colour = \"red\"", &["colour", "sapo-sync config"]),
        ("[retry]\nschedul = \"5s\"", &["schedul", "sapo-sync config"]),
        ("[retry]\nschedule = \"5s,soon\"", &["SAPO_SYNC__RETRY__SCHEDULE", "soon", "30s"]),
        ("[retry]\nsettle_after = \"-5s\"", &["SAPO_SYNC__RETRY__SETTLE_AFTER", "30s"]),
        ("[retry]\nrecheck = \"\"", &["SAPO_SYNC__RETRY__RECHECK", "30s"]),
        ("[reconcile]\nevery = \"never\"", &["SAPO_SYNC__RECONCILE__EVERY", "never"]),
        ("[outgoing]\nsapo_limit = \"fast\"", &["SAPO_SYNC__OUTGOING__SAPO_LIMIT", "40+2/s"]),
        ("[outgoing]\nabaha_limit = \"0+2/s\"", &["SAPO_SYNC__OUTGOING__ABAHA_LIMIT", "40+2/s"]),
        ("[broker]\nurl = \"http://guest:guest@host\"", &["SAPO_SYNC__BROKER__URL", "amqp://"]),
        ("[broker]\nurl = \"amqp://guest:guest@host\"", &["SAPO_SYNC__DATABASE__URL", "SAPO_SYNC__BROKER__URL"]),
        ("[database]\nurl = \"mysql://me:pw@host/db\"", &["SAPO_SYNC__DATABASE__URL", "postgres://"]),
        ("master_key = \"aa\"\nmaster_key_file = \"key\"", &["SAPO_SYNC__MASTER_KEY_FILE", "keep one"]),
        (&secret_file, &["SAPO_SYNC__MASTER_KEY", "no-such-key", "cannot be read"]),
        ("listen = ", &["settings"]),
    ];
    for (text, words) in table {
        let message = load(folder.path(), text).expect_err(text);
        assert_tells(&message, words);
        assert!(!message.contains("guest:guest") && !message.contains("me:pw"), "{message}");
    }
    let nowhere = Config::load(Some(&folder.path().join("nowhere.toml"))).unwrap_err().to_string();
    assert_tells(&nowhere, &["nowhere.toml", "settings"]);
}

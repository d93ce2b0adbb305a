//! Preparation ("Chuẩn bị trước khi kết nối"): both catalogues are read, and looked at for all that hinders a link or
//! makes a stock wrong. Nothing is linked and nothing is written to either side.
//!
//! | file | what it does |
//! |---|---|
//! | `examine` | looks at the rows, one SKU at a time; pure |
//! | `report` | counts and first rows, in Vietnamese and English |
//! | `xlsx` | all rows as a spreadsheet |
//! | `proposal` | reads a proposal of links back from such a spreadsheet |
//! | `resolve` | which variants its rows mean |
//! | `plan` | what of a proposal can be done, and does it |

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::examine::Row;
use self::report::{Entry, Note, Report, Text, Where};
use super::catalogue;
use crate::destination::hook::Hook;
use crate::domain::clock::Millis;
use crate::domain::connection::{Connection, State};
use crate::domain::event::System;
use crate::store::connections::{ConnectionAccount, Snapshot};
use crate::store::jobs::Job;
use crate::store::variants::VariantFilter;
use crate::store::{Store, StoreError};
use crate::sync::compare::{Action, Finding};
use crate::sync::jobs::Summary;
use crate::sync::walk::{Mode, Pace, WalkError, walk_event};
use crate::work::context::{Context, Halt};
use crate::work::web::setup;

pub mod examine;
pub mod plan;
pub mod proposal;
pub mod report;
pub mod resolve;
pub mod xlsx;

/// The kind of the job that reads both catalogues.
pub const KIND: &str = "preflight";
/// Rows read of the store at once.
const PAGE: i64 = 500;
/// The kind of a job's rows that tell about the whole.
const FACT: &str = "preparation";
/// Job rows that are looked through for facts; unreadable products are told in the same report.
const FACTS: i64 = 5_000;

/// The connection of a job, which must be one with a web.
pub(super) fn account(context: &Context, name: &str) -> Result<Arc<ConnectionAccount>, WalkError> {
    let held = context.snapshot.get().ok_or_else(|| WalkError::Setup("no connections are known yet".to_owned()))?;
    let account = held
        .0
        .connections
        .get(name)
        .cloned()
        .ok_or_else(|| WalkError::Setup(format!("there is no connection {name:?}")))?;
    if account.connection.channel == System::Web {
        Ok(account)
    } else {
        Err(WalkError::Setup(format!("connection {name} is not one with a Sapo Web site")))
    }
}

/// Reads both catalogues into the store, and asks for what else the report tells of.
pub async fn run(context: &Context, job: &Job, stop: &CancellationToken) -> Result<Summary, WalkError> {
    context.snapshot.refresh().await?;
    let account = account(context, &job.connection)?;
    let event = walk_event(&account.connection, &job.id, context.clock.now());
    let mut pace = Pace::new(context, job, Mode::Plan, &event, account, stop.clone(), None)?;
    collect(&mut pace).await?;
    Ok(Summary {
        errors: pace.found.actions.get("product.error").copied().unwrap_or(0),
        found: pace.found.actions,
        checked: pace.found.checked,
        ..Summary::default()
    })
}

/// Reads both catalogues, with a position that is stored, then what is not in them.
async fn collect(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    for (stage, name) in ["web catalogue", "Sapo catalogue", "set-up"].iter().enumerate() {
        if pace.position.stage > stage {
            continue;
        }
        (*name).clone_into(&mut pace.found.stage);
        match stage {
            0 => catalogue::of_web(pace).await?,
            1 => catalogue::of_sapo(pace).await?,
            _ => facts(pace).await?,
        }
        pace.next_stage().await?;
    }
    Ok(())
}

/// Notes the branches whose stock counts, and webhooks of others at the web.
async fn facts(pace: &mut Pace<'_>) -> Result<(), WalkError> {
    let note = |pace: &mut Pace<'_>, object: String, code: &'static str, reason: String| {
        pace.report(FACT, &Finding::new(Action::Skip, FACT, object, code, reason));
    };
    match setup::stock_branches(&pace.run).await {
        Ok(branches) => note(pace, branches.join(","), "stock_branches", String::new()),
        Err(Halt::Outcome(outcome)) => {
            note(pace, String::new(), "no_stock_branches", outcome.reason().to_owned());
        }
        Err(halt) => return Err(halt.into()),
    }
    let hooks = pace.calling(|| Box::pin(async { pace.run.web()?.webhooks().await })).await?;
    for host in foreign(&hooks, &pace.connection().site) {
        note(pace, host, "other_channel", String::new());
    }
    if pace.position.incomplete {
        note(pace, String::new(), "incomplete", String::new());
    }
    Ok(())
}

/// The hosts of webhooks that do not go to our receiver, wherever that was; their paths may hold secrets and are not
/// kept.
fn foreign(hooks: &[Hook], site: &str) -> Vec<String> {
    let own = format!("/webhooks/web/{site}");
    let mut hosts: Vec<String> = hooks
        .iter()
        .map(|hook| hook.address.split(['?', '#']).next().unwrap_or_default())
        .filter(|address| !address.trim_end_matches('/').ends_with(&own))
        .map(|address| {
            let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
            let host = rest.split('/').next().unwrap_or_default();
            host.rsplit('@').next().unwrap_or_default().to_owned()
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// What a reading has told besides the catalogues.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The job that read, and when it began; rows it did not meet are not there any more.
    read_by: Option<(String, Millis)>,
    /// When it had read.
    read_at: Option<Millis>,
    /// The branches whose stock is summed, where known.
    pub branches: Option<Vec<String>>,
    notes: Vec<Note>,
}

impl Facts {
    /// Those of a reading that has ended, or of none.
    pub async fn of(store: &Store, connection: &Connection, job: Option<&Job>) -> Result<Self, StoreError> {
        let chosen = &connection.settings.web.stock_branches;
        let mut facts = Self {
            branches: (!chosen.is_empty()).then(|| chosen.iter().map(ToString::to_string).collect()),
            ..Self::default()
        };
        let Some(job) = job else {
            facts.note(
                true,
                "not_read",
                "Chưa đọc lại hai bên: báo cáo theo dữ liệu đã lưu",
                "neither side was read for this report: it tells what is stored",
            );
            return Ok(facts);
        };
        facts.read_at = job.finished_at;
        facts.read_by = Some((job.id.clone(), job.created_at));
        for row in store.job_rows(&job.id, 0, FACTS).await?.into_iter().filter(|row| row.kind == FACT) {
            match row.code.as_str() {
                "stock_branches" if facts.branches.is_none() => {
                    facts.branches = Some(row.object_id.split(',').map(ToOwned::to_owned).collect());
                }
                "no_stock_branches" => facts.note(
                    true,
                    "no_stock_branches",
                    "Chưa chọn chi nhánh và cửa hàng không có chi nhánh mặc định: đặt stock_branches",
                    &row.reason,
                ),
                "other_channel" => facts.note(
                    true,
                    "other_channel",
                    &format!("Web này đang gửi webhook cho một kênh đồng bộ khác ({}): ngắt kênh đó trước, nếu không sản phẩm và đơn hàng sẽ bị nhân đôi", row.object_id),
                    &format!("this web sends webhooks to another sync channel ({}): disconnect that one first, or products and orders get doubled", row.object_id),
                ),
                "incomplete" => {
                    facts.read_by = None;
                    facts.note(
                        true,
                        "incomplete",
                        "Một danh sách trả về thiếu sản phẩm: chạy lại báo cáo",
                        "a list gave fewer products than it was said to have: run this again",
                    );
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    fn note(&mut self, warns: bool, code: &str, vi: &str, en: &str) {
        self.notes.push(Note { code: code.to_owned(), warns, text: Text::new(vi, en) });
    }

    /// Adds what our own data shows: other connections to the same web, but for those that are stopped.
    fn look_at(&mut self, known: &Snapshot, connection: &Connection) {
        let mut others: Vec<&str> = known
            .connections
            .values()
            .map(|row| &row.connection)
            .filter(|other| other.channel == System::Web && other.site == connection.site)
            .filter(|other| other.name != connection.name && other.state != State::Stopped)
            .map(|other| other.name.as_str())
            .collect();
        others.sort_unstable();
        for other in others {
            self.note(
                true,
                "other_connection",
                &format!("Web này còn một kết nối khác ở đây ({other}): mỗi web chỉ được liên kết với một POS"),
                &format!("this web has another connection here ({other}): a web may be linked to one POS only"),
            );
        }
        if self.branches.is_none() && !self.notes.iter().any(|note| note.code == "no_stock_branches") {
            self.note(
                false,
                "branches_unknown",
                "Chưa biết chi nhánh mặc định nên chưa kiểm tra tồn kho theo chi nhánh: chạy không có --from-store",
                "the default branch is not known, so stock by branch was not looked at: run this without --from-store",
            );
        }
        let name = &connection.name;
        match connection.state {
            State::Active => self.note(
                false,
                "not_paused",
                &format!("Kết nối đang hoạt động: khi `sapo-sync up` chạy, webhook sẽ liên kết và đẩy tồn kho, giá ngay. Để chuẩn bị trước: sapo-sync connect pause {name}, làm lại báo cáo, sửa, rồi sapo-sync connect resume {name}"),
                &format!("the connection is active: where `sapo-sync up` runs, webhooks link, and push stock and price, at once. To prepare first: sapo-sync connect pause {name}, run this again, mend, then sapo-sync connect resume {name}"),
            ),
            State::Paused => self.note(
                false,
                "paused",
                &format!("Kết nối đang tạm dừng: không có gì tự liên kết, không đẩy gì. Khi đã sửa xong: sapo-sync connect resume {name}"),
                &format!("the connection is paused: nothing links by itself, and nothing is pushed. When all is mended: sapo-sync connect resume {name}"),
            ),
            State::NoAccess | State::Stopped => {}
        }
        self.note(
            false,
            "same_phone",
            "Chủ cửa hàng đăng nhập bằng số điện thoại phải dùng cùng một số trên POS và trên web",
            "owners who sign in by phone number must use the same number on the POS and on the web",
        );
    }
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The state database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The spreadsheet.
    #[error(transparent)]
    Book(#[from] xlsx::BookError),
}

/// Looks through all stored rows in the order of their SKUs; `each` is given every row of the report as it is found.
pub async fn examine(
    store: &Store,
    connection: &Connection,
    mut facts: Facts,
    mut each: impl FnMut(&Entry) -> Result<(), xlsx::BookError>,
) -> Result<Report, PreflightError> {
    facts.look_at(&store.snapshot().await?, connection);
    let mut report = Report::new(&connection.name, &connection.store, &connection.site);
    report.read_at = facts.read_at;
    report.notes = std::mem::take(&mut facts.notes);
    let mut filter = VariantFilter { connection: connection.name.clone(), limit: PAGE, ..VariantFilter::default() };
    let mut group: Vec<Row> = Vec::new();
    loop {
        let page = store.list_variants(&filter).await?;
        let Some(last) = page.last() else { break };
        filter.after = Some(last.mark());
        for variant in &page {
            let met =
                facts.read_by.as_ref().is_none_or(|(job, began)| variant.seen == *job || variant.updated_at >= *began);
            let Some(row) = Row::of(variant).filter(|_| met) else { continue };
            if row.side == Where::Pos {
                report.on_sapo += 1;
                report.linked += u64::from(row.linked);
            } else {
                report.on_web += 1;
            }
            let odd = examine::row(&row, &connection.settings, facts.branches.as_deref());
            tell(&mut report, &odd, &mut each)?;
            // Rows without a SKU have nothing to do with each other, however many there are.
            if row.key.is_empty() {
                continue;
            }
            if group.first().is_some_and(|first| first.key != row.key) {
                tell(&mut report, &examine::group(&group), &mut each)?;
                group.clear();
            }
            group.push(row);
        }
    }
    tell(&mut report, &examine::group(&group), &mut each)?;
    Ok(report)
}

fn tell(
    report: &mut Report,
    entries: &[Entry],
    each: &mut impl FnMut(&Entry) -> Result<(), xlsx::BookError>,
) -> Result<(), PreflightError> {
    for entry in entries {
        report.add(entry);
        each(entry)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::Settings;

    fn account(name: &str, site: &str, state: State) -> ConnectionAccount {
        ConnectionAccount {
            connection: Connection {
                name: name.to_owned(),
                store: "cuahangmau".to_owned(),
                channel: System::Web,
                site: site.to_owned(),
                state,
                settings: Settings::default(),
                activated_at: 0,
            },
            token: "token".into(),
            api_key: None,
            confirmed: None,
            webhook_header: None,
            webhook_secrets: Vec::new(),
            base_url: None,
            state_reason: None,
        }
    }

    #[test]
    fn another_connection_to_the_same_web_is_warned_of_unless_it_is_stopped() {
        let mut known = Snapshot::default();
        for (name, site, state) in [
            ("mau", "webmau", State::Active),
            ("mau-tam-dung", "webmau", State::Paused),
            ("mau-mat-quyen", "webmau", State::NoAccess),
            ("mau-da-ngung", "webmau", State::Stopped),
            ("mau-khac", "webkhac", State::Active),
        ] {
            known.connections.insert(name.to_owned(), Arc::new(account(name, site, state)));
        }
        let connection = known.connections["mau"].connection.clone();
        let mut facts = Facts::default();
        facts.look_at(&known, &connection);
        let warned = facts.notes.iter().filter(|note| note.code == "other_connection");
        let warned: Vec<&str> = warned.map(|note| note.text.en.as_str()).collect();
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert!(warned[0].contains("(mau-mat-quyen)") && warned[1].contains("(mau-tam-dung)"), "{warned:?}");
    }

    #[test]
    fn webhooks_of_others_are_named_by_their_host_alone() {
        let hook = |address: &str| Hook { id: "1".into(), topic: "orders/create".into(), address: address.into() };
        let hooks = [
            hook("https://sync.example.com/webhooks/web/webmau"),
            hook("https://sync.example.com/base/webhooks/web/webmau/"),
            hook("https://sync.example.com/webhooks/web/khac"),
            hook("https://user:pass@other.example.com/hook/secret?token=abc"),
            hook("https://other.example.com/hook2"),
        ];
        assert_eq!(foreign(&hooks, "webmau"), ["other.example.com", "sync.example.com"]);
    }
}

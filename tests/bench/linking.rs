//! What it costs to link two catalogues by SKU: `cargo bench --bench linking [-- ROWS]`.
//!
//! Two catalogues of 50,000 variants a side (or ROWS) in products of five are put into a fresh SQLite store page by
//! page, as a walk does, and linked by the link step of an import; then once more, when nothing is new. Beside it a
//! plain join of the same rows in a hash map, which keeps nothing: what the work itself allows. CPU seconds are those
//! of the whole process, all threads; memory is the highest since the step before (`VmHWM`).

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;

use sapo_sync::domain::clock::Clock;
use sapo_sync::domain::linking::{Side, VariantState};
use sapo_sync::store::variants::{ProductRows, VariantRow};
use sapo_sync::store::{Cipher, Store};
use sapo_sync::work::web::linking::relink_all;

const ROWS: usize = 50_000;
const VARIANTS: usize = 5;
/// Products in one page of a walk.
const PAGE: usize = 250;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rows = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(ROWS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(rows))
}

async fn run(rows: usize) -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let store = open(folder.path()).await?;
    println!("{rows} variants a side, SQLite\n");
    println!("{:<34} {:>8} {:>10} {:>10} {:>10}", "step", "CPU s", "wall s", "rows/s", "peak MB");
    let mut meter = Meter::start()?;
    for side in Side::ALL {
        for first in (0..rows / VARIANTS).step_by(PAGE) {
            let page: Vec<ProductRows> =
                (first..(first + PAGE).min(rows / VARIANTS)).map(|at| product(*side, at)).collect();
            let mut tx = store.begin().await?;
            store.put_products_page(&mut tx, "c", *side, &page, Some("walk")).await?;
            tx.commit().await?;
        }
    }
    meter.row("both catalogues kept", 2 * rows)?;
    let summary = relink_all(&store, "c", |_| {}).await?;
    meter.row("linked", summary.rows as usize)?;
    let again = relink_all(&store, "c", |_| {}).await?;
    meter.row("judged again, nothing new", again.rows as usize)?;
    let skus =
        |side| (0..rows / VARIANTS).flat_map(move |at| product(side, at).rows).map(|row| (row.sku, row.variant_id));
    let (pos, web): (Vec<_>, Vec<_>) = (skus(Side::Sapo).collect(), skus(Side::Channel).collect());
    meter.skip()?;
    let by_sku: HashMap<&str, &str> = web.iter().map(|(sku, id)| (&**sku, &**id)).collect();
    let joined: Vec<(&str, &str)> = pos.iter().filter_map(|(sku, id)| Some((&**id, *by_sku.get(&**sku)?))).collect();
    black_box(&joined);
    meter.row("a hash map's join, kept nowhere", 2 * rows)?;
    let linked: i64 = store
        .count_variants("c", Some(Side::Sapo))
        .await?
        .into_iter()
        .filter(|(state, _)| *state == VariantState::Linked)
        .map(|(_, number)| number)
        .sum();
    println!("\nlinks: {linked}; the join finds {}; judged again, {} rows changed", joined.len(), again.changed);
    store.close().await;
    if linked as usize != joined.len() || again.changed != 0 {
        return Err("NOT SOUND: the store does not hold what the join finds".into());
    }
    Ok(())
}

async fn open(folder: &Path) -> Result<Store, Box<dyn std::error::Error>> {
    let cipher = Cipher::from_key_or_file(None, &folder.join("master.key"))?;
    let url = format!("sqlite://{}", folder.join("state.db").display());
    Ok(Store::open(&url, cipher, Clock::system()).await?)
}

/// One in ten SKUs is on one side alone; the sides have them in different orders.
fn product(side: Side, at: usize) -> ProductRows {
    let row = |n: usize| {
        let number =
            if side == Side::Sapo { n } else { n + n / 10 % 2 * 10_000_000 * usize::from(n.is_multiple_of(5)) };
        VariantRow {
            variant_id: format!("{}", if side == Side::Sapo { 40_000_000 + n } else { 90_000_000 - n }),
            sku: format!("SKU-{:08}", number * 7_919 % 100_000_007),
            name: format!("Áo thun cổ tròn số {n}"),
            facts: format!(
                r#"{{"id":"{n}","price":"150000","inventories":[{{"location_id":"1","available":"{n}"}}]}}"#
            ),
        }
    };
    let rows = (at * VARIANTS..(at + 1) * VARIANTS).map(row).collect();
    ProductRows { product_id: format!("{}", 1_000 + at), version: Some(1), rows }
}

/// CPU, time and memory since the last row.
struct Meter {
    cpu: f64,
    wall: std::time::Instant,
}

impl Meter {
    fn start() -> std::io::Result<Self> {
        // Memory's highest mark begins anew; where that is not allowed, it is that of the whole run.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Ok(Self { cpu: cpu()?, wall: std::time::Instant::now() })
    }

    fn skip(&mut self) -> std::io::Result<()> {
        *self = Self::start()?;
        Ok(())
    }

    fn row(&mut self, step: &str, rows: usize) -> std::io::Result<()> {
        let (cpu, wall) = (cpu()? - self.cpu, self.wall.elapsed().as_secs_f64());
        let rate = rows as f64 / wall.max(0.000_001);
        println!("{step:<34} {cpu:>8.2} {wall:>10.3} {rate:>10.0} {:>10.1}", peak()?);
        self.skip()
    }
}

/// CPU seconds of this process so far, as Linux counts them: in hundredths.
fn cpu() -> std::io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn peak() -> std::io::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kilobytes: f64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default();
    Ok(kilobytes / 1024.0)
}

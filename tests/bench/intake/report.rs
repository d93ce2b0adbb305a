//! The tables, and the ratios beside their bars.

use std::collections::BTreeMap;

use crate::cell::{Cell, Subject};

/// Connections at which the bars are stated.
pub const AT: usize = 64;

/// All cells, by connections and subject, one for each round.
#[derive(Default)]
pub struct Report {
    cells: BTreeMap<(usize, Subject), Vec<Cell>>,
    failed: Vec<String>,
}

impl Report {
    /// Adds a cell, and tells it as progress.
    pub fn add(&mut self, connections: usize, subject: Subject, cell: Cell) {
        eprintln!(
            "  {connections:>4} connections  {subject:<10} {:>8.0}/s  p50 {:.2} ms  p99 {:.2} ms{}",
            cell.rate,
            cell.p50,
            cell.p99,
            remark(&cell)
        );
        self.cells.entry((connections, subject)).or_default().push(cell);
    }

    /// Notes that a cell could not be measured; the others go on.
    pub fn fail(&mut self, connections: usize, subject: Subject, error: &anyhow::Error) {
        let line = format!("{subject} at {connections} connections: {error:#}");
        eprintln!("  FAILED: {line}");
        self.failed.push(line);
    }

    fn of(&self, connections: usize, subject: Subject) -> &[Cell] {
        self.cells.get(&(connections, subject)).map_or(&[], Vec::as_slice)
    }

    /// Whether every cell was measured and is sound.
    pub fn is_sound(&self) -> bool {
        self.failed.is_empty() && self.cells.values().flatten().all(Cell::is_sound)
    }

    /// The highest rate of a subject over all connections, and where it was.
    pub fn best(&self, subject: Subject) -> Option<(usize, f64)> {
        let rates = self.cells.iter().filter(|((_, of), _)| *of == subject);
        let rates = rates.map(|((connections, _), cells)| (*connections, median(cells.iter().map(|cell| cell.rate))));
        rates.max_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// One line for each number of connections and each subject.
    pub fn print(&self) {
        println!(
            "\n{:>11}  {:<10} {:>10} {:>17} {:>9} {:>9} {:>7} {:>10} {:>10} {:>11} {:>12}",
            "connections",
            "what",
            "accepted/s",
            "lowest–highest",
            "p50 ms",
            "p99 ms",
            "errors",
            "answered",
            "in queue",
            "per commit",
            "processor µs"
        );
        let mut last = 0;
        for ((connections, subject), cells) in &self.cells {
            if last != *connections {
                println!();
                last = *connections;
            }
            let rates = || cells.iter().map(|cell| cell.rate);
            let spread = format!("{:.0}–{:.0}", rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max));
            let answered: u64 = cells.iter().map(|cell| cell.answered).sum();
            let kept: Option<u64> = cells.iter().map(|cell| cell.kept).sum();
            let per_commit = cells.iter().find_map(|cell| cell.per_commit);
            let processor = median(cells.iter().filter_map(|cell| cell.processor));
            println!(
                "{connections:>11}  {subject:<10} {:>10.0} {spread:>17} {:>9.2} {:>9.2} {:>7} {answered:>10} {:>10} {:>11} {:>12}",
                median(rates()),
                median(cells.iter().map(|cell| cell.p50)),
                median(cells.iter().map(|cell| cell.p99)),
                cells.iter().map(|cell| cell.errors).sum::<u64>(),
                kept.map_or_else(|| "–".to_owned(), |kept| kept.to_string()),
                per_commit.map_or_else(|| "–".to_owned(), |share| format!("{share:.1}")),
                if processor.is_nan() { "–".to_owned() } else { format!("{processor:.0}") },
            );
        }
        println!();
        for line in &self.failed {
            println!("FAILED: {line}");
        }
        for ((connections, subject), cells) in &self.cells {
            for (round, cell) in cells.iter().enumerate().filter(|(_, cell)| !remark(cell).is_empty()) {
                println!("{subject} at {connections} connections, round {}:{}", round + 1, remark(cell));
            }
        }
    }

    /// The ratios at 64 connections, each with its bar; the median over the rounds, and the lowest and highest.
    pub fn print_bars(&self) {
        println!(
            "\nratios at {AT} connections, taken round by round; peers with the number of processes that serves them better"
        );
        let best = |of: fn(&Subject) -> bool| {
            let all = self.cells.keys().filter(|(connections, subject)| *connections == AT && of(subject));
            let rate = |subject: Subject| median(self.of(AT, subject).iter().map(|cell| cell.rate));
            all.map(|(_, subject)| *subject).max_by(|one, other| rate(*one).total_cmp(&rate(*other)))
        };
        let peers = [
            (Some(Subject::Lapin), 0.8),
            (best(|subject| matches!(subject, Subject::Express(_))), 3.0),
            (best(|subject| matches!(subject, Subject::FastApi(_))), 8.0),
        ];
        for (other, bar) in peers {
            match other {
                Some(other) => self.print_ratio(Subject::Rabbit, other, bar),
                None => println!("  a peer with the bar {bar:.1} was not measured"),
            }
        }
        self.print_ratio(Subject::Embedded, Subject::Rabbit, 1.5);
        println!(
            "without a bar, for what the bars ask: publishing alone, with no HTTP and no signature, against the same"
        );
        self.print_ratio_of(Subject::Rabbit, Subject::LapinHeaders, None);
        for (other, _) in peers.iter().skip(1).filter_map(|(other, bar)| Some(((*other)?, bar))) {
            self.print_ratio_of(Subject::Lapin, other, None);
        }
    }

    fn print_ratio(&self, ours: Subject, other: Subject, bar: f64) {
        self.print_ratio_of(ours, other, Some(bar));
    }

    fn print_ratio_of(&self, ours: Subject, other: Subject, bar: Option<f64>) {
        let pairs = self.of(AT, ours).iter().zip(self.of(AT, other));
        let mut ratios: Vec<f64> = pairs.map(|(ours, other)| ours.rate / other.rate).collect();
        ratios.sort_by(f64::total_cmp);
        let name = format!("{ours} / {other}");
        match (ratios.first(), ratios.last()) {
            (Some(lowest), Some(highest)) => {
                let ratio = median(ratios.iter().copied());
                let bar = bar.map_or(String::new(), |bar| format!("  bar {bar:.1}: {}", verdict(ratio >= bar)));
                println!("  {name:<24} {ratio:>6.2}  ({lowest:.2}–{highest:.2}){bar}");
            }
            _ => println!("  {name:<24} not measured"),
        }
    }
}

/// The line of a run at half of the highest rate.
pub fn print_half(subject: Subject, connections: usize, wanted: f64, cells: &[Cell]) {
    let (p50, p99) = (median(cells.iter().map(|cell| cell.p50)), median(cells.iter().map(|cell| cell.p99)));
    let rate = median(cells.iter().map(|cell| cell.rate));
    // Where it falls behind, all are late alike, and the ratio tells nothing.
    let met = if rate < 0.95 * wanted { "MISSED (it fell behind)" } else { verdict(p99 < 10.0 * p50) };
    println!(
        "  {subject:<10} {connections} connections, {wanted:.0}/s wanted, {rate:.0}/s answered: p50 {p50:.2} ms, p99 {p99:.2} ms, p99/p50 {:.1}  bar < 10: {met}",
        p99 / p50
    );
    for cell in cells.iter().filter(|cell| !remark(cell).is_empty()) {
        println!("    {}", remark(cell).trim());
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// What is not as it must be.
fn remark(cell: &Cell) -> String {
    let mut all = Vec::new();
    if cell.errors > 0 {
        let first = cell.first_error.as_deref().unwrap_or_default();
        all.push(format!("  {} ERRORS, the first: {first}", cell.errors));
    }
    match cell.kept {
        Some(kept) if kept < cell.answered => all.push(format!("  {} LOST", cell.answered - kept)),
        Some(kept) if kept > cell.answered => all.push(format!("  {} MORE THAN ANSWERED", kept - cell.answered)),
        _ => {}
    }
    if cell.spooled > 0 {
        all.push(format!("  {} commits of the spool: RabbitMQ did not confirm in time", cell.spooled));
    }
    all.concat()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => all[count / 2],
        count => f64::midpoint(all[count / 2 - 1], all[count / 2]),
    }
}

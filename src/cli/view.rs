//! How a demo is shown: drawn on a terminal, plain lines elsewhere, objects for programs.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use super::figures::Figures;
use super::out;

/// How often news of the shop is shown on a terminal, and elsewhere.
const NEWS_EVERY: (Duration, Duration) = (Duration::from_millis(700), Duration::from_secs(4));
/// How often the figures are written where they cannot be drawn over.
const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// The picture of a running demo.
pub struct View {
    drawn: Option<(MultiProgress, Vec<ProgressBar>)>,
    json: bool,
    news: Option<Instant>,
    figures: Option<Instant>,
}

impl View {
    /// Chooses the form: JSON where asked for, drawn where both outputs are a terminal.
    pub fn new(json: bool) -> Self {
        let terminal = !json && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { drawn: terminal.then(|| (MultiProgress::new(), Vec::new())), json, news: None, figures: None }
    }

    /// Says one line; in JSON it is one object.
    pub fn say(&self, text: &str) {
        match &self.drawn {
            _ if self.json => out::json(&json!({"type": "note", "text": text})),
            Some((picture, bars)) if !bars.is_empty() => {
                // The picture is on standard error; what is lost with it is only a picture.
                let _closed = picture.println(text);
            }
            _ => out::line(text),
        }
    }

    /// Tells what happened in the shop or on the site; now and then, for it happens faster than people read.
    pub fn news(&mut self, text: &str) {
        let every = if self.drawn.is_some() { NEWS_EVERY.0 } else { NEWS_EVERY.1 };
        if self.json || self.news.is_some_and(|last| last.elapsed() < every) {
            return;
        }
        self.news = Some(Instant::now());
        self.say(&format!("  {text}"));
    }

    /// Shows the figures.
    pub fn figures(&mut self, figures: &Figures) {
        if let Some((picture, bars)) = &mut self.drawn {
            let lines = figures.lines();
            if bars.is_empty() {
                *bars = (0..lines.len()).map(|place| bar(picture, place)).collect();
            }
            for (bar, text) in bars.iter().zip(lines) {
                bar.set_message(text);
                bar.tick();
            }
            return;
        }
        if self.figures.is_some_and(|last| last.elapsed() < FIGURES_EVERY) {
            return;
        }
        self.figures = Some(Instant::now());
        if self.json {
            let object = out::row(figures);
            out::json(&out::with(object, &[("type", json!("figures"))]));
        } else {
            out::line(figures.lines().join(" · "));
        }
    }

    /// Takes the picture away; what is said after it stays, and the next figures are shown at once.
    pub fn close(&mut self) {
        self.figures = None;
        if let Some((_, bars)) = self.drawn.take() {
            bars.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

fn bar(picture: &MultiProgress, place: usize) -> ProgressBar {
    let bar = picture.add(ProgressBar::new_spinner());
    let template = if place == 0 { "{spinner} {msg}" } else { "  {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if place == 0 {
        bar.enable_steady_tick(Duration::from_millis(120));
    }
    bar
}

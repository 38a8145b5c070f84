//! Progress on standard error: bars on a terminal, now and then a line elsewhere.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressStyle};

use super::output::{note, printable};

/// How often a bar is drawn.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

const BAR: &str = "{prefix:<11} {bar:28.cyan/dim} {binary_bytes:>11}/{binary_total_bytes:<11} {binary_bytes_per_sec:>13}  \
                   {eta:>4} left  {msg}";
const REGION_BAR: &str = "  {prefix:<16} {bar:28.cyan/dim} {pos:>3} %  {msg}";

/// How far something is.
pub(crate) struct Seen {
    pub(crate) done_bytes: u64,
    /// What else there is to say.
    pub(crate) note: String,
}

/// Runs `work`, showing what `look` sees. At the end, what was seen last stays in view.
pub(crate) async fn during<T>(
    what: &str,
    total_bytes: u64,
    look: impl Fn() -> Seen,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    if std::io::stderr().is_terminal() {
        let bar = ProgressBar::new(total_bytes).with_style(style(BAR)).with_prefix(what.to_owned());
        let show = |bar: &ProgressBar| {
            let Seen { done_bytes, note } = look();
            bar.set_message(note);
            bar.set_position(done_bytes);
        };
        loop {
            tokio::select! {
                done = &mut work => {
                    show(&bar);
                    bar.abandon();
                    return done;
                }
                () = tokio::time::sleep(DRAW_INTERVAL) => show(&bar),
            }
        }
    }
    let started = Instant::now();
    loop {
        let done = tokio::select! {
            done = &mut work => Some(done),
            () = tokio::time::sleep(LINE_INTERVAL) => None,
        };
        let Seen { done_bytes, note: more } = look();
        let rate = done_bytes as f64 / started.elapsed().as_secs_f64().max(0.001);
        note(&format!(
            "{what}: {} of {}, {}/s, {more}",
            BinaryBytes(done_bytes),
            BinaryBytes(total_bytes),
            BinaryBytes(rate as u64)
        ));
        if let Some(done) = done {
            return done;
        }
    }
}

/// The replication of a version, region by region.
pub(crate) struct Replication {
    bars: Option<(MultiProgress, BTreeMap<String, ProgressBar>)>,
    shown: BTreeMap<String, String>,
}

impl Replication {
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(|| (MultiProgress::new(), BTreeMap::new()));
        Self { bars, shown: BTreeMap::new() }
    }

    /// Shows a region's state.
    pub(crate) fn show(&mut self, region: &str, state: &str, percent: u64, details: &str) {
        let text = if details.is_empty() { state.to_owned() } else { format!("{state}: {details}") };
        let (region, text) = (&*printable(region), printable(&text).into_owned());
        match &mut self.bars {
            Some((bars, by_region)) => {
                let bar = by_region.entry(region.to_owned()).or_insert_with(|| {
                    bars.add(ProgressBar::new(100).with_style(style(REGION_BAR)).with_prefix(region.to_owned()))
                });
                bar.set_position(percent);
                bar.set_message(text);
            }
            None if self.shown.get(region) != Some(&text) => {
                note(&format!("  {region}: {text}, {percent} %"));
                self.shown.insert(region.to_owned(), text);
            }
            None => {}
        }
    }

    /// Leaves what was shown in view.
    pub(crate) fn end(self) {
        for bar in self.bars.into_iter().flat_map(|(_, by_region)| by_region.into_values()) {
            bar.abandon();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template").progress_chars("━╸─")
}

//! The results: rows of what, budget, reached, what was measured beside it, and the verdict.

use std::fmt;

use clap::ValueEnum;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use galerie_store::Compression;
use serde::Serialize;

use crate::{Measurement, images::Images, machine::Machine};

/// How wide the table is where there is no terminal.
const WIDTH_CHARS: u16 = 150;

/// Whether a budget was kept, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is", content = "margin")]
pub(crate) enum Verdict {
    /// Kept; the share of the budget that is to spare.
    Met(f64),
    /// Not kept; the share of the budget that lacks.
    Missed(f64),
    /// There is no budget; the figure is for the reader.
    Note,
}

impl Verdict {
    /// `reached` should be no less than `wanted`.
    pub(crate) fn at_least(reached: f64, wanted: f64) -> Self {
        Self::from_margin(reached / wanted - 1.0)
    }

    /// `reached` should be no more than `limit`.
    pub(crate) fn at_most(reached: f64, limit: f64) -> Self {
        Self::from_margin(1.0 - reached / limit)
    }

    fn from_margin(margin: f64) -> Self {
        if margin >= 0.0 { Self::Met(margin) } else { Self::Missed(-margin) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met(margin) if *margin >= 1.0 => write!(f, "met, {:.1} x", margin + 1.0),
            Self::Met(margin) => write!(f, "met, {:.0} % to spare", margin * 100.0),
            Self::Missed(margin) => write!(f, "MISSED by {:.0} %", (margin * 100.0).max(1.0)),
            Self::Note => Ok(()),
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    measurement: String,
    what: String,
    budget: String,
    reached: String,
    beside: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// A row under construction: what it says beside its name is optional.
pub(crate) struct RowBuilder<'a> {
    report: &'a mut Report,
    row: Row,
}

impl RowBuilder<'_> {
    pub(crate) fn budget(mut self, budget: impl Into<String>) -> Self {
        self.row.budget = budget.into();
        self
    }

    pub(crate) fn beside(mut self, beside: impl Into<String>) -> Self {
        self.row.beside = beside.into();
        self
    }

    /// What else a reader wants to know; it goes below the table.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.row.note = note.into();
        self
    }

    pub(crate) fn verdict(mut self, verdict: Verdict) -> Self {
        self.row.verdict = verdict;
        self
    }

    /// Puts the row into the report, and on the screen at once.
    pub(crate) fn add(self) {
        let Row { what, reached, beside, verdict, note, .. } = &self.row;
        let verdict = verdict.to_string();
        let details: Vec<&str> =
            [beside, note, &verdict].into_iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        eprintln!("  {what}: {reached} ({})", details.join("; "));
        self.report.rows.push(self.row);
    }
}

/// All that was measured, where, and with what.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    images: String,
    rows: Vec<Row>,
    failures: Vec<String>,
    #[serde(skip)]
    current: String,
}

impl Report {
    pub(crate) fn new(images: &Images, compression: Compression) -> Self {
        let machine = Machine::look();
        let images = format!("{}; stored with {compression}", images.describe());
        eprintln!("{machine}; images: {images}");
        Self { machine, images, rows: Vec::new(), failures: Vec::new(), current: String::new() }
    }

    /// Says on the screen which measurement begins.
    pub(crate) fn begin(&mut self, measurement: Measurement) {
        self.current = measurement.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        eprintln!("{} (load {:.1})", self.current, Machine::load());
    }

    /// A row that says what was measured and what was reached.
    pub(crate) fn row(&mut self, what: impl Into<String>, reached: impl Into<String>) -> RowBuilder<'_> {
        let row = Row {
            measurement: self.current.clone(),
            what: what.into(),
            budget: String::new(),
            reached: reached.into(),
            beside: String::new(),
            verdict: Verdict::Note,
            note: String::new(),
        };
        RowBuilder { report: self, row }
    }

    /// The current measurement could not be made.
    pub(crate) fn failed(&mut self, error: &dyn std::error::Error) {
        let failure = format!("{}: {error}", self.current);
        eprintln!("  NOT MEASURED: {error}");
        self.failures.push(failure);
    }

    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// For people at a terminal.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(WIDTH_CHARS);
        }
        table.set_header(["what", "budget", "reached", "beside it, same run", "verdict"]);
        for row in &self.rows {
            let verdict = Cell::new(row.verdict);
            let verdict = match row.verdict {
                Verdict::Met(_) => verdict.fg(Color::Green),
                Verdict::Missed(_) => verdict.fg(Color::Red),
                Verdict::Note => verdict,
            };
            table.add_row(
                [&row.what, &row.budget, &row.reached, &row.beside].map(Cell::new).into_iter().chain([verdict]),
            );
        }
        self.with_frame(&table.to_string())
    }

    /// For documents.
    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec!["| what | budget | reached | beside it, same run | verdict |".to_owned()];
        lines.push("|---|---|---|---|---|".to_owned());
        lines.extend(self.rows.iter().map(|row| {
            format!("| {} | {} | {} | {} | {} |", row.what, row.budget, row.reached, row.beside, row.verdict)
        }));
        self.with_frame(&lines.join("\n"))
    }

    fn with_frame(&self, table: &str) -> String {
        let missed = self.rows.iter().filter(|row| matches!(row.verdict, Verdict::Missed(_))).count();
        let met = self.rows.iter().filter(|row| matches!(row.verdict, Verdict::Met(_))).count();
        let mut text = format!("{}\nImages: {}\n\n{table}\n\n", self.machine, self.images);
        for row in self.rows.iter().filter(|row| !row.note.is_empty()) {
            text += &format!("- {}: {}\n", row.what, row.note);
        }
        text += &format!("\n{met} budgets met, {missed} missed, {} not measured.", self.failures.len());
        for failure in &self.failures {
            text += &format!("\nNot measured: {failure}");
        }
        text
    }
}

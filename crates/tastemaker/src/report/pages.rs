//! Reports as pages and tables: one HTML file that needs nothing else, Markdown, LaTeX.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};
use serde::Serialize;

use super::charts::{self, Chart};
use super::{ArmReport, Report};
use crate::train::{WATTS_A_CORE, WATTS_A_GIBIBYTE};
use crate::{Error, Result};

/// Below which a corrected p is marked.
const SIGNIFICANT: f64 = 0.05;

/// What a page shows of a report beside its data.
#[derive(Serialize)]
struct Shown<'a> {
    report: &'a Report,
    main: &'a str,
    /// For each arm the cells of its row: value, and mark of its difference from the best.
    rows: Vec<Vec<ShownCell>>,
    means: Option<Chart>,
    against: Vec<Chart>,
    learning: Vec<Chart>,
    differences: Vec<Chart>,
    /// SHA-256 of the resolved study.
    hash: String,
}

/// A cell of the table of metrics.
#[derive(Serialize)]
struct ShownCell {
    mean: f64,
    deviation: Option<f64>,
    interval: Option<[f64; 2]>,
    /// Whether no arm has a better mean.
    best: bool,
    /// `lower`, `higher` or `alike`: where p, corrected by Holm, is below .05 and where not; nothing of
    /// the arm that the others are compared with and where nothing was compared.
    mark: &'static str,
}

/// One HTML file that opens without a network and without scripts.
pub fn html(reports: &[Report]) -> Result<String> {
    let shown: Vec<Shown<'_>> = reports.iter().map(shown).collect();
    render("report.html", include_str!("pages/report.html"), (&shown, &json(reports)?))
}

/// The same in Markdown, without charts.
pub fn markdown(reports: &[Report]) -> Result<String> {
    let shown: Vec<Shown<'_>> = reports.iter().map(shown).collect();
    render("report.md", include_str!("pages/report.md"), (&shown, ""))
}

/// The tables of metrics, for LaTeX with the package booktabs.
pub fn latex(reports: &[Report]) -> Result<String> {
    let shown: Vec<Shown<'_>> = reports.iter().map(shown).collect();
    render("report.tex", include_str!("pages/report.tex"), (&shown, ""))
}

/// All of it as data.
pub fn json(reports: &[Report]) -> Result<String> {
    data(reports)
}

/// All of `values` as JSON; one stands by itself.
pub(super) fn data<T: Serialize>(values: &[T]) -> Result<String> {
    let text = match values {
        [value] => serde_json::to_string_pretty(value),
        values => serde_json::to_string_pretty(values),
    };
    text.map(|text| text + "\n").map_err(|error| Error::Serialise(error.to_string()))
}

/// Fills in a template with what is `shown`, and with `data` to be carried in a link.
pub(super) fn render(
    name: &str,
    template: &str,
    (shown, data): (&impl Serialize, &str),
) -> Result<String> {
    let failed = |error: minijinja::Error| Error::Serialise(format!("{error:#}"));
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(failed)?);
    environment.set_auto_escape_callback(|name| match name {
        "report.html" | "audit.html" => AutoEscape::Html,
        _ => AutoEscape::None,
    });
    environment.add_filter("fixed", |value: f64, digits: usize| match value {
        value if value.is_infinite() => if value > 0.0 { "∞" } else { "−∞" }.to_owned(),
        value => format!("{value:.digits$}"),
    });
    environment.add_filter("value", value);
    environment.add_filter("signed", |value: f64, digits: usize| format!("{value:+.digits$}"));
    environment.add_filter("p", |value: f64| match value {
        p if p < 1e-4 => "<.0001".to_owned(),
        p => format!("{p:.4}"),
    });
    environment.add_filter("scientific", |value: f64| format!("{value:.1e}"));
    let cell = |text: String| {
        let text = text.trim().replace('&', "&amp;").replace('<', "&lt;");
        text.replace('|', "\\|").replace('\n', "<br>")
    };
    environment.add_filter("cell", cell);
    environment.add_filter("tex", tex);
    environment.add_template(name, template).map_err(failed)?;
    let energy = format!(
        "by {WATTS_A_CORE} W a second of a processor and {WATTS_A_GIBIBYTE} W a GiB of the most memory, not measured"
    );
    let head = include_str!("pages/head.html");
    let values =
        context! { head, shown => Value::from(Serde(shown)), data => encoded(data), energy };
    let template = environment.get_template(name).map_err(failed)?;
    template.render(values).map_err(failed)
}

/// A measured value with four digits, or as a power of ten where these would all be 0.
fn value(value: f64) -> String {
    if value != 0.0 && value.abs() < 5e-5 { format!("{value:.1e}") } else { format!("{value:.4}") }
}

fn shown(report: &Report) -> Shown<'_> {
    let main = report.main_metric();
    let learning = report.arms.iter().filter_map(charts::learning).collect();
    let family = report.comparisons.iter().find(|family| family.metric == main);
    let arms = family.map(|family| &family.arms[..]).unwrap_or_default();
    Shown {
        report,
        main,
        rows: rows(report),
        means: charts::means(report, main),
        against: against(report),
        learning,
        differences: arms.iter().filter_map(charts::differences).collect(),
        hash: tastemaker_core::artifact::sha256(report.resolved.as_bytes()),
    }
}

/// Accuracy against cost, and against every metric that is none of accuracy.
fn against(report: &Report) -> Vec<Chart> {
    let seconds = |arm: &ArmReport| {
        let costs = arm.costs?;
        Some(costs.cpu_seconds + costs.pretraining_cpu_seconds)
    };
    let trained = |arm: &ArmReport| Some(arm.costs?.trained_parameters as f64);
    let mut all: Vec<Option<Chart>> = vec![
        charts::against(report, "processor seconds, pre-training included", true, seconds),
        charts::against(report, "parameters that learn", true, trained),
    ];
    for metric in report.metrics.iter().filter(|metric| !metric.accuracy) {
        let name = &metric.metric;
        let of = |arm: &ArmReport| Some(arm.cell(name)?.mean);
        all.push(charts::against(report, name, false, of));
    }
    all.into_iter().flatten().collect()
}

fn rows(report: &Report) -> Vec<Vec<ShownCell>> {
    let marks = marks(report);
    let best = |i: usize, higher: bool| {
        let means = report.arms.iter().filter_map(|arm| Some(arm.test.get(i)?.mean));
        means.reduce(|a, b| if (b > a) == higher { b } else { a })
    };
    let row = |arm: &ArmReport| {
        let cell = |(i, cell): (usize, &super::Cell)| ShownCell {
            mean: cell.mean,
            deviation: cell.deviation,
            interval: cell.interval,
            best: best(i, report.metrics[i].higher_is_better) == Some(cell.mean),
            mark: marks.get(&(&cell.metric[..], &arm.arm[..])).copied().unwrap_or_default(),
        };
        arm.test.iter().enumerate().map(cell).collect()
    };
    report.arms.iter().map(row).collect()
}

/// For each metric and arm how it differs from the best one.
fn marks(report: &Report) -> BTreeMap<(&str, &str), &'static str> {
    let mut marks = BTreeMap::new();
    for family in &report.comparisons {
        for arm in &family.arms {
            let mark = match arm.comparison.difference {
                _ if arm.holm >= SIGNIFICANT => "alike",
                difference if difference < 0.0 => "lower",
                _ => "higher",
            };
            marks.insert((&family.metric[..], &arm.arm[..]), mark);
        }
    }
    marks
}

/// What LaTeX would read otherwise, so that it reads it as it is.
fn tex(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => written.extend(['\\', c]),
            '~' => written.push_str(r"\textasciitilde{}"),
            '^' => written.push_str(r"\textasciicircum{}"),
            '\\' => written.push_str(r"\textbackslash{}"),
            _ => written.push(c),
        }
    }
    written
}

/// Text as it stands in a link.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut written = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                written.push(char::from(byte));
            }
            _ => drop(write!(written, "%{byte:02X}")),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_latex_reads_otherwise_is_escaped() {
        assert_eq!(tex("item_knn & 5 %"), r"item\_knn \& 5 \%");
    }

    #[test]
    fn text_in_a_link_reads_back() {
        assert_eq!(encoded("{\"a\": é}"), "%7B%22a%22%3A%20%C3%A9%7D");
    }
}

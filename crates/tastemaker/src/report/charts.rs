//! Charts of a report, as SVG that needs no script: colours come from the page.

use std::fmt::Write as _;

use tastemaker_eval::metrics::Better;

use super::comparing::CLASSES;
use super::{ArmReport, Cell, Compared, Report};
use crate::Tried;

/// Colours of the page for series.
const COLOURS: usize = 6;

/// A chart and what it shows.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) svg: String,
}

/// Where numbers are on a line of pixels.
#[derive(Clone, Copy)]
struct Scale {
    from: f64,
    to: f64,
    pixels: [f64; 2],
    log: bool,
}

impl Scale {
    /// A scale that has room for `values`.
    fn of(values: impl Iterator<Item = f64>, pixels: [f64; 2], log: bool) -> Self {
        let used = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) =
            used.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        let (from, to) = if log { (low / 1.3, high * 1.3) } else { (low, high) };
        let room = if log { 0.0 } else { ((to - from) * 0.06).max(to.abs() * 1e-3).max(1e-9) };
        Self { from: from - room, to: to + room, pixels, log }
    }

    fn at(&self, value: f64) -> f64 {
        let place = |x: f64| if self.log { x.max(1e-12).ln() } else { x };
        let share = (place(value) - place(self.from)) / (place(self.to) - place(self.from));
        self.pixels[0] + share.clamp(0.0, 1.0) * (self.pixels[1] - self.pixels[0])
    }

    /// Round numbers, about five of them.
    #[expect(clippy::cast_possible_truncation, reason = "powers and counts are small")]
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let powers = (self.from.log10().floor() as i32)..=(self.to.log10().ceil() as i32);
            let ticks = powers.flat_map(|p| [1.0, 3.0].map(|m| m * 10.0_f64.powi(p)));
            return ticks.filter(|tick| (self.from..=self.to).contains(tick)).collect();
        }
        let raw = (self.to - self.from) / 5.0;
        let power = 10.0_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= raw);
        let step = step.unwrap_or(raw);
        let first = (self.from / step).ceil() as i64;
        let last = (self.to / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A number with three digits that count.
fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size == 0.0 => "0".to_owned(),
        _ if size >= 1e6 => format!("{:.1}M", value / 1e6),
        _ if size >= 1e4 => format!("{:.0}k", value / 1e3),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 1.0 => {
            format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value:.5}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A chart of this size with what `draw` puts into it.
fn svg([width, height]: [f64; 2], about: &str, draw: impl FnOnce(&mut String)) -> String {
    let mut svg = format!(
        r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{}" class="chart">"#,
        escaped(about)
    );
    draw(&mut svg);
    svg.push_str("</svg>");
    svg
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = write!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn line(svg: &mut String, from: [f64; 2], to: [f64; 2], class: &str) {
    let ([a, b], [c, d]) = (from, to);
    let _ =
        write!(svg, r#"<line x1="{a:.1}" y1="{b:.1}" x2="{c:.1}" y2="{d:.1}" class="{class}"/>"#);
}

fn circle(svg: &mut String, [x, y]: [f64; 2], class: &str, title: &str) {
    let title = escaped(title);
    let _ = write!(
        svg,
        r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" class="{class}"><title>{title}</title></circle>"#
    );
}

/// Axes with their ticks and names.
fn axes(svg: &mut String, (x, y): (&Scale, &Scale), names: [&str; 2]) {
    for tick in x.ticks() {
        let at = x.at(tick);
        line(svg, [at, y.pixels[0]], [at, y.pixels[1]], "grid");
        text(svg, [at, y.pixels[0] + 14.0], "middle", &short(tick));
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        line(svg, [x.pixels[0], at], [x.pixels[1], at], "grid");
        text(svg, [x.pixels[0] - 5.0, at + 4.0], "end", &short(tick));
    }
    text(svg, [f64::midpoint(x.pixels[0], x.pixels[1]), y.pixels[0] + 30.0], "middle", names[0]);
    text(svg, [2.0, y.pixels[1] - 8.0], "start", names[1]);
}

/// Every arm's mean of a metric with its interval over users; numbers are those of the table.
pub(super) fn means(report: &Report, metric: &str) -> Option<Chart> {
    let cells: Vec<(&ArmReport, &Cell)> =
        report.arms.iter().filter_map(|arm| Some((arm, arm.cell(metric)?))).collect();
    if cells.len() < 2 {
        return None;
    }
    let (row, left, width) = (20.0, 230.0, 720.0);
    let bottom = 10.0 + row * cells.len() as f64;
    let all = cells.iter().flat_map(|(_, cell)| {
        cell.interval.into_iter().flatten().chain(cell.values.iter().copied())
    });
    let scale = Scale::of(all, [left, width - 20.0], false);
    let draw = |svg: &mut String| {
        for tick in scale.ticks() {
            line(svg, [scale.at(tick), 4.0], [scale.at(tick), bottom], "grid");
            text(svg, [scale.at(tick), bottom + 14.0], "middle", &short(tick));
        }
        for (i, (arm, cell)) in cells.iter().enumerate() {
            let y = 18.0 + row * i as f64;
            text(svg, [left - 10.0, y + 4.0], "end", &format!("{} {}", arm.arm, i + 1));
            if let Some([from, to]) = cell.interval {
                line(svg, [scale.at(from), y], [scale.at(to), y], "whisker");
            }
            for value in &cell.values {
                line(svg, [scale.at(*value), y - 4.0], [scale.at(*value), y + 4.0], "seed");
            }
            circle(
                svg,
                [scale.at(cell.mean), y],
                "fill0",
                &format!("{}: {:.4}", arm.arm, cell.mean),
            );
        }
    };
    let about = format!("{metric} of each arm with its interval over users");
    Some(Chart {
        title: format!("{metric}: mean, 95 % interval over users (line), each seed (ticks)"),
        svg: svg([width, bottom + 22.0], &about, draw),
    })
}

/// The main metric against something else that each arm has, its numbers those of the table.
pub(super) fn against(
    report: &Report,
    name: &str,
    log: bool,
    other: impl Fn(&ArmReport) -> Option<f64>,
) -> Option<Chart> {
    let metric = report.main_metric();
    let points: Vec<(usize, &ArmReport, f64, f64)> = (1..)
        .zip(&report.arms)
        .filter_map(|(i, arm)| Some((i, arm, other(arm)?, arm.cell(metric)?.mean)))
        .filter(|(_, _, x, _)| !log || *x > 0.0)
        .collect();
    if points.len() < 2 {
        return None;
    }
    let x = Scale::of(points.iter().map(|point| point.2), [60.0, 470.0], log);
    let y = Scale::of(points.iter().map(|point| point.3), [250.0, 24.0], false);
    let draw = |svg: &mut String| {
        axes(svg, (&x, &y), [name, metric]);
        for (i, arm, value, mean) in &points {
            let at = [x.at(*value), y.at(*mean)];
            let title = format!("{}: {metric} {mean:.4}, {name} {}", arm.arm, short(*value));
            circle(svg, at, "fill0", &title);
            text(svg, [at[0] + 6.0, at[1] - 5.0], "start", &i.to_string());
        }
    };
    let title = format!("{metric} against {name}");
    Some(Chart { svg: svg([480.0, 290.0], &title, draw), title })
}

/// What mitigations bring and cost: accuracy against a sign of a harm; those that no other beats in both
/// are filled.
pub(super) fn trade_off(tried: &Tried) -> Chart {
    let points = &tried.points;
    let x = Scale::of(points.iter().map(|point| point.harm.value), [60.0, 470.0], false);
    let y = Scale::of(points.iter().map(|point| point.accuracy), [250.0, 24.0], false);
    let arrow = match points.first().map(|point| point.harm.better) {
        Some(Better::Higher) => "right is better",
        _ => "left is better",
    };
    let mut names: Vec<&str> = Vec::new();
    let draw = |svg: &mut String| {
        axes(svg, (&x, &y), [&format!("{} ({arrow})", tried.sign), "accuracy"]);
        for point in points {
            let name = &point.mitigation[..];
            let colour = names.iter().position(|known| *known == name).unwrap_or(names.len());
            let at = [x.at(point.harm.value), y.at(point.accuracy)];
            let title = format!(
                "{name} {}: accuracy {:.4}, {} {:.4}",
                point.strength, point.accuracy, tried.sign, point.harm.value
            );
            let class = if point.pareto { "fill" } else { "hollow line" };
            circle(svg, at, &format!("{class}{}", colour % COLOURS), &title);
            if colour == names.len() {
                names.push(name);
                text(svg, [at[0] + 6.0, at[1] - 5.0], "start", name);
            }
        }
    };
    let title = format!("{}: {}", tried.harm, tried.sign);
    Chart { svg: svg([480.0, 290.0], &title, draw), title }
}

/// How an arm learnt: the metric over the validation targets by epoch, a line a seed.
pub(super) fn learning(arm: &ArmReport) -> Option<Chart> {
    let lines: Vec<Vec<(f64, f64)>> = arm
        .curves
        .iter()
        .map(|curve| {
            let points = curve.points.iter();
            points.filter_map(|point| Some((point.epoch as f64 + 1.0, point.validation?))).collect()
        })
        .collect();
    let all = || lines.iter().flatten();
    if all().count() < 2 {
        return None;
    }
    let x = Scale::of(all().map(|point| point.0), [48.0, 250.0], false);
    let y = Scale::of(all().map(|point| point.1), [120.0, 20.0], false);
    let draw = |svg: &mut String| {
        axes(svg, (&x, &y), ["epoch", "validation"]);
        for (i, points) in lines.iter().enumerate() {
            let points: Vec<String> =
                points.iter().map(|(a, b)| format!("{:.1},{:.1}", x.at(*a), y.at(*b))).collect();
            let (colour, points) = (i % COLOURS, points.join(" "));
            let _ = write!(svg, r#"<polyline points="{points}" class="line{colour}"/>"#);
        }
    };
    let about = format!("validation of {} by epoch", arm.arm);
    Some(Chart { title: arm.arm.clone(), svg: svg([260.0, 155.0], &about, draw) })
}

/// How many users are how much better or worse off than with the best arm, by the square root.
pub(super) fn differences(compared: &Compared) -> Option<Chart> {
    let most = compared.histogram.iter().max().filter(|most| **most > 0)?;
    let (width, height) = (260.0, 90.0);
    let class = width / CLASSES as f64;
    let draw = |svg: &mut String| {
        for (i, n) in compared.histogram.iter().enumerate() {
            let tall = (*n as f64 / *most as f64).sqrt() * (height - 20.0);
            let colour = match i.cmp(&(CLASSES / 2)) {
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Equal => 5,
                std::cmp::Ordering::Greater => 0,
            };
            let (x, y) = (i as f64 * class, height - 14.0 - tall);
            let _ = write!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{tall:.1}" class="fill{colour}"><title>{n} users</title></rect>"#,
                class - 1.0
            );
        }
        text(svg, [0.0, height - 2.0], "start", "worse");
        text(svg, [width / 2.0, height - 2.0], "middle", "equal");
        text(svg, [width, height - 2.0], "end", "better");
    };
    let about = format!("users by how {} differs for them", compared.arm);
    Some(Chart { title: compared.arm.clone(), svg: svg([width, height], &about, draw) })
}

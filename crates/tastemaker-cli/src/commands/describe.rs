//! A data set's figures as a text.

use std::fmt::Write;

use tastemaker::core::describe::{AttributeDescription, Coverage, Description, Quantiles};

/// The figures, a line each.
pub(super) fn text(data: &Description) -> String {
    let mut lines = Lines::default();
    lines.add(&data.name, format!("SHA-256 {}", data.hash));
    lines.add("users", data.users);
    lines.add("items", data.items);
    lines.add("interactions", data.interactions);
    lines.add("density", format!("{:.4} %", 100.0 * data.density));
    lines.add("interactions a user", quantiles(&data.user_lengths));
    lines.add("interactions an item", quantiles(&data.item_counts));
    match &data.time {
        None => lines.add("time", "none; the order is that of the source"),
        Some(time) => {
            lines.add("time", format!("{} to {} ({:.0} days)", time.first, time.last, time.days));
            lines.add("equal times", format!("{:.1} % of interactions", 100.0 * time.equal));
        }
    }
    match &data.values {
        None => lines.add("values", "none"),
        Some(values) => lines.add(
            "values",
            format!(
                "{} to {}, mean {:.3}, {} different",
                values.min, values.max, values.mean, values.distinct
            ),
        ),
    }
    lines.add("titles", data.titles.as_ref().map_or_else(|| "none".to_owned(), share));
    lines.add("text", share(&data.text));
    for attribute in &data.item_attributes {
        lines.add(&format!("item: {}", attribute.name), of_attribute(attribute));
    }
    for attribute in &data.user_attributes {
        lines.add(&format!("user: {}", attribute.name), of_attribute(attribute));
    }
    if let Some(graph) = &data.graph {
        lines.add("graph", format!("{} entities, {} relations", graph.entities, graph.relations));
    }
    lines.text()
}

/// Names and values in two columns.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push((name.to_owned(), format!("{value}")));
    }

    fn text(self) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.0 {
            let _ = writeln!(text, "{name:width$}  {value}");
        }
        text
    }
}

fn quantiles(q: &Quantiles) -> String {
    format!(
        "mean {:.1}, least {}, 5 % {}, 25 % {}, median {}, 75 % {}, 95 % {}, most {}",
        q.mean, q.min, q.p5, q.p25, q.median, q.p75, q.p95, q.max
    )
}

fn share(coverage: &Coverage) -> String {
    format!("{} ({:.1} %)", coverage.present, 100.0 * coverage.share)
}

fn of_attribute(attribute: &AttributeDescription) -> String {
    let mut text = format!("{}, known of {}", attribute.kind, share(&attribute.coverage));
    if let Some(distinct) = attribute.distinct {
        let top: Vec<String> =
            attribute.top.iter().take(5).map(|(value, count)| format!("{value} {count}")).collect();
        let _ = write!(text, ", {distinct} different: {}", top.join(", "));
    }
    if let Some((least, most)) = attribute.range {
        let _ = write!(text, ", {least} to {most}");
    }
    if attribute.sensitive {
        text.push_str(", sensitive");
    }
    text
}

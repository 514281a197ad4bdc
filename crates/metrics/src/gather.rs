// SPDX-License-Identifier: GPL-2.0-only OR LGPL-3.0-or-later
//! Puts the OpenMetrics texts of several clients together: a family's description once, and its samples of all clients
//! after it, as the format requires.

use std::fmt::Write as _;

/// A family's lines.
#[derive(Debug)]
struct Family {
    name: String,
    head: Vec<String>,
    samples: Vec<String>,
}

/// Puts texts together. Each sample gets the label `name` with the value that comes with its text.
#[must_use]
pub fn gather<'a>(name: &str, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut families: Vec<Family> = Vec::new();
    for (value, text) in texts {
        let label = format!("{name}=\"{}\"", escaped(value));
        let mut current = None;
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let Some(family) = comment.split(' ').nth(1) else {
                    continue; // EOF
                };
                let known = families.iter().position(|known| known.name == family);
                let index = known.unwrap_or_else(|| {
                    families.push(Family {
                        name: family.to_owned(),
                        head: Vec::new(),
                        samples: Vec::new(),
                    });
                    families.len() - 1
                });
                current = Some(index);
                let head = &mut families[index].head;
                if !head.iter().any(|known| known == line) {
                    head.push(line.to_owned());
                }
            } else if let Some(index) = current {
                families[index].samples.push(labelled(line, &label));
            }
        }
    }
    let mut whole = String::new();
    for line in families
        .iter()
        .flat_map(|family| family.head.iter().chain(&family.samples))
    {
        // Writing to a String does not fail.
        let _written = writeln!(whole, "{line}");
    }
    whole + "# EOF\n"
}

/// The text in the older format of Prometheus, which node_exporter reads from files: there, a counter's family is named
/// as its samples are.
#[must_use]
pub fn prometheus(text: &str) -> String {
    let mut counters: Vec<&str> = Vec::new();
    for line in text.lines() {
        let counter = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.strip_suffix(" counter"));
        counters.extend(counter);
    }
    let mut whole = String::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let comment = (words.next(), words.next(), words.next(), words.next());
        // Writing to a String does not fail.
        let _written = match comment {
            (Some("#"), Some("UNIT" | "EOF"), ..) => Ok(()),
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                writeln!(whole, "# {what} {name}_total {rest}")
            }
            _ => writeln!(whole, "{line}"),
        };
    }
    whole
}

/// The sample with one more label.
fn labelled(sample: &str, label: &str) -> String {
    let at = sample.find(['{', ' ']).unwrap_or(sample.len());
    let (name, rest) = sample.split_at(at);
    match rest.strip_prefix('{') {
        Some(rest) if rest.starts_with('}') => format!("{name}{{{label}{rest}"),
        Some(rest) => format!("{name}{{{label},{rest}"),
        None => format!("{name}{{{label}}}{rest}"),
    }
}

/// A label's value, as the format wants it.
#[must_use]
pub fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_several_clients_stand_together() {
        let first = "# HELP a An a.\n# TYPE a counter\na_total{volume=\"v\"} 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let second = "# HELP b B.\n# TYPE b gauge\nb{} 3\n# EOF\n";
        let whole = gather("mount", [("/m \"x\"", first), ("/n", second)]);
        let want = "# HELP a An a.\n# TYPE a counter\na_total{mount=\"/m \\\"x\\\"\",volume=\"v\"} 1\n# HELP b B.\n\
                    # TYPE b gauge\nb{mount=\"/m \\\"x\\\"\"} 2\nb{mount=\"/n\"} 3\n# EOF\n";
        assert_eq!(whole, want);
    }

    #[test]
    fn files_for_node_exporter_are_in_the_older_format() {
        let text = "# HELP a An a.\n# TYPE a counter\n# UNIT a bytes\na_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let want = "# HELP a_total An a.\n# TYPE a_total counter\na_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(prometheus(text), want);
    }

    #[test]
    fn no_client_is_a_text_too() {
        assert_eq!(gather("mount", []), "# EOF\n");
    }
}

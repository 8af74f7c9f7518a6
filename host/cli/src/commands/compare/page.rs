//! A comparison as one HTML page, on what the report `html` is on, too.

use harness_core::Warning;
use harness_core::compare::{Comparison, Difference, Figure, Named, Partial, Row, Verdict};
use harness_core::format::{Scale, count, plural};
use harness_figures::page::{Escaped, Tone, badge, code, document, drawing, figure, note, section, table};

use super::cautions::{cautions, repeated};
use super::detectable::detectable_words;
use super::forest::forest;
use super::gate::Decision;
use super::show::{Shown, held_down};
use super::words::{named, number, shown, side, signed, size, within};

const VERDICTS: [Verdict; 4] = [Verdict::Worse, Verdict::Better, Verdict::Ambiguous, Verdict::Same];
/// Columns of words.
const WORDS: &[&str] = &["Verdict", "Base", "New", "Reason"];

impl Shown<'_> {
    pub(super) fn page(&self) -> String {
        let title = match self.news {
            [new] => format!("{} beside {}", short(new), short(self.base)),
            news => format!("{} beside {}", plural(news.len(), "recording"), short(self.base)),
        };
        let mut body = self.header(&title);
        for (new, comparison) in self.news.iter().zip(self.comparisons) {
            let heading = if self.news.len() == 1 { "Changes".to_owned() } else { short(new) };
            body.extend(section(&heading, Some(self.one(new, comparison))));
        }
        let method = format!("<p>{}</p>\n", Escaped(self.method().replace('\n', " ")));
        body.extend(section("How it was decided", Some(method)));
        body.extend(section("Gate", self.decision.map(Decision::html)));
        let footer = format!("Made by harness {} from the recordings alone.", env!("CARGO_PKG_VERSION"));
        // As a line: it gets its end when it is printed.
        document(&title, &body, &footer).trim_end().to_owned()
    }

    fn header(&self, title: &str) -> String {
        let rows = || self.comparisons.iter().flat_map(|comparison| &comparison.rows);
        let badges = VERDICTS.iter().filter_map(|verdict| {
            let of_it = rows().filter(|row| row.verdict == Some(*verdict)).count();
            (of_it > 0).then(|| badge(tone(*verdict), &format!("{} {}", count(of_it as u64), verdict.as_str())))
        });
        let badges: Vec<String> = badges.collect();
        let judged = plural(rows().filter(|row| row.verdict.is_some()).count(), "figure");
        let by = if self.paired { "pairs of recordings" } else { "runs" };
        // Held down clocks are told where their verdicts are.
        let here = |warning: &Warning| !matches!(warning, Warning::Throttled(_));
        let warnings = self.base.iter().chain(self.news.iter().flatten()).flat_map(|named| cautions(named, here));
        let warnings = warnings.chain(self.news.iter().map(Vec::as_slice).chain([self.base]).filter_map(repeated));
        let notes: String = warnings.map(|warning| note(Tone::Warn, &warning)).collect();
        format!(
            "<header>\n<h1>{}</h1>\n<p class=\"verdict\">{} of {judged}, by {by}. A change under {} % counts for nothing.</p>\n<p class=\"when\">Base: \
             {}</p>\n{notes}</header>\n",
            Escaped(title),
            badges.join(" "),
            number(self.threshold * 100.0),
            Escaped(side(self.base)),
        )
    }

    fn one(&self, new: &[Named], comparison: &Comparison) -> String {
        let mut content = format!("<p class=\"when\">New: {}</p>\n", Escaped(side(new)));
        if let Some(held) = held_down(self.base, new) {
            content.push_str(&note(Tone::Warn, &held));
        }
        if let Some((chart, left)) = forest(&comparison.rows, self.threshold) {
            let more = if left > 0 { format!(" {left} more are in the table.") } else { String::new() };
            let caption = format!(
                "The new side's change of each metric, a mark, with its 95 % interval, a line; an arrow goes on. Shaded: under {} %. \
                 ■ worse, ◆ better, ● same, ○ ambiguous; which way is worse depends on the metric.{more}",
                number(self.threshold * 100.0)
            );
            content.push_str(&drawing(&chart, &caption));
        }
        let rows: String = comparison.rows.iter().map(row).collect();
        let of = if self.paired { "Recordings" } else { "Runs" };
        let caption = format!("Means with their 95 % intervals, and the change. Detectable: {}.", detectable_words());
        let head = ["Metric", "Base, mean", "New, mean", "Change", "95 % interval", "Detectable", "Verdict", of];
        content.push_str(&table(&caption, &head, WORDS, &rows));
        let sections = [
            ("Other work, compared because of --force", differences(&comparison.other_work)),
            ("What else differs", differences(&comparison.facts)),
            ("Not compared", uncompared(comparison)),
            ("Not of all runs", partial(comparison)),
        ];
        for (title, inner) in sections {
            content.extend(inner.map(|inner| format!("<h3>{title}</h3>\n{inner}")));
        }
        content
    }
}

/// A side in a heading.
fn short(side: &[Named]) -> String {
    match side {
        [one] => one
            .path
            .file_name()
            .map_or_else(|| one.path.display().to_string(), |name| name.to_string_lossy().into_owned()),
        several => plural(several.len(), "recording"),
    }
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Better => Tone::Good,
        Verdict::Worse => Tone::Bad,
        Verdict::Ambiguous => Tone::Warn,
        Verdict::Same => Tone::Plain,
    }
}

fn row(row: &Row) -> String {
    let scale = Scale::of(row.base.mean, &row.metric.unit);
    let mean = |side: &Figure| {
        let mean = figure(side.mean, &scale, 4);
        let half = side.interval.map(|interval| format!(" ± {}", scale.number(interval.half_width(), 2)));
        format!("{mean}{}", half.unwrap_or_default())
    };
    let runs = match (row.base.runs, row.new.runs) {
        (base, new) if base == new => count(base as u64),
        (base, new) => format!("{}, {}", count(base as u64), count(new as u64)),
    };
    let verdict = row.verdict.map_or("–".to_owned(), |verdict| badge(tone(verdict), verdict.as_str()));
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"text\">{verdict}</td><td>{runs}</td></tr>\n",
        code(&named(row)),
        mean(&row.base),
        mean(&row.new),
        row.change.map_or("–".to_owned(), signed),
        row.interval.map_or("–".to_owned(), within),
        row.detectable.map_or("–".to_owned(), size),
    )
}

fn differences(list: &[Difference]) -> Option<String> {
    let row = |difference: &Difference| {
        let cell = |value: &Option<String>| format!("<td class=\"text\">{}</td>", Escaped(shown(value)));
        format!(
            "<tr><th scope=\"row\">{}</th>{}{}</tr>\n",
            code(&difference.fact),
            cell(&difference.base),
            cell(&difference.new)
        )
    };
    let rows: String = list.iter().map(row).collect();
    (!rows.is_empty()).then(|| table("Facts of the recordings.", &["Fact", "Base", "New"], WORDS, &rows))
}

fn partial(comparison: &Comparison) -> Option<String> {
    let row = |partial: &Partial| {
        let (name, path) = (code(&partial.metric), Escaped(partial.path.display().to_string()));
        format!(
            "<tr><th scope=\"row\">{name}</th><td>{} of {}</td><td class=\"text\">{path}</td></tr>\n",
            partial.runs, partial.of
        )
    };
    let rows: String = comparison.partial.iter().map(row).collect();
    (!rows.is_empty())
        .then(|| table("What only some runs have.", &["Metric", "Runs that have it", "Recording"], WORDS, &rows))
}

fn uncompared(comparison: &Comparison) -> Option<String> {
    let rows: String = comparison
        .uncompared
        .iter()
        .map(|missing| {
            let (name, reason) = (code(&missing.metric), Escaped(&missing.reason));
            format!("<tr><th scope=\"row\">{name}</th><td class=\"text\">{reason}</td></tr>\n")
        })
        .collect();
    (!rows.is_empty()).then(|| table("What is not on both sides.", &["Metric", "Reason"], WORDS, &rows))
}

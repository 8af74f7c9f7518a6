//! What a recording says of a person and their machine and not of what was measured, and a recording without it.
//!
//! Which facts those are, the list in [`fact`] says.

use std::path::Path;
use std::sync::Arc;

use crate::fact::{self, Privacy};
use crate::recording::{Facts, Recording};

/// Leaves out of facts what is private.
pub fn facts(facts: &mut Facts) {
    let privacy = |name: &str| fact::definition(name).map_or(Privacy::Open, |fact| fact.privacy);
    facts.retain(|name, _| privacy(name) != Privacy::LeftOut);
    for (_, path) in facts.iter_mut().filter(|(name, _)| privacy(name) == Privacy::Path) {
        *path = last_component(path);
    }
}

/// Leaves out of a recording what is private.
pub fn recording(recording: &mut Recording) {
    let known: Vec<String> =
        ["host.name", "model.name"].iter().filter_map(|name| recording.facts.get(*name).cloned()).collect();
    facts(&mut recording.facts);
    // Nobody knows any more which words in it are a path.
    recording.message = recording.message.take().map(|_| "left out, since it may name folders".to_owned());
    for run in &mut recording.runs {
        let run = Arc::make_mut(run);
        run.label = message(&run.label, &known);
        run.absent.values_mut().for_each(|reason| *reason = message(reason, &known));
    }
}

/// A message with nothing but the last component of each path in it. `known` are paths and names that may stand in it, and which
/// can't be told from other words.
pub fn message(text: &str, known: &[String]) -> String {
    let mut known: Vec<&str> = known.iter().map(String::as_str).filter(|known| known.len() > 1).collect();
    known.sort_by_key(|known| std::cmp::Reverse(known.len()));
    let mut text = text.to_owned();
    for name in known {
        let shown = if name.contains(['/', '\\']) { last_component(name) } else { "this machine".to_owned() };
        text = text.replace(name, &shown);
    }
    words(&text)
}

/// The last component of each word that looks like a path.
fn words(text: &str) -> String {
    let ends = |character: char| character.is_whitespace() || "'\"`()[]{}<>,;:=".contains(character);
    let word = |word: &str| {
        let (path, stop) = word.strip_suffix('.').map_or((word, ""), |path| (path, "."));
        match path.rsplit_once('/') {
            // `tokens/s` is none.
            Some((_, last)) if path.starts_with(['/', '.', '~']) || last.contains('.') || last.is_empty() => {
                format!("{}{stop}", last_component(path))
            }
            _ => word.to_owned(),
        }
    };
    text.split_inclusive(ends)
        .map(|part| match part.char_indices().next_back() {
            Some((at, end)) if ends(end) => format!("{}{end}", word(part.get(..at).unwrap_or_default())),
            _ => word(part),
        })
        .collect()
}

/// Of a path, or of a name with an owner before it: `gpt2` of `/home/me/models/gpt2`.
pub fn last_component(path: &str) -> String {
    Path::new(path).file_name().map_or_else(|| "a folder".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Recorder, Status};
    use crate::run::Run;

    #[test]
    fn a_recording_without_what_is_private() {
        let given = [
            ("start", "2026-01-01T00:00:00Z"),
            ("host.name", "box"),
            ("model.name", "/home/me/models/mine/"),
            ("setting.prompt", "/etc/motd and/or ./x"),
            ("command", "harness run --model /home/me/models/mine/"),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let message = "/home/me/mine.wasm gave up".to_owned();
        let mut ended = Recorder::in_memory(Facts::from(given))
            .end(Status::Failed, Some(message), Vec::new(), String::new())
            .recording;
        let absent = [("power".to_owned(), "box can't open /dev/nvidia0".to_owned())].into();
        let label = "mine of /home/me/models/mine/ on box".to_owned();
        ended.runs.push(Arc::new(Run { label, absent, ..Run::default() }));
        recording(&mut ended);
        let run = &ended.runs[0];
        assert_eq!(
            (run.label.as_str(), run.absent["power"].as_str()),
            ("mine of mine on this machine", "this machine can't open nvidia0")
        );
        let left: Vec<(&str, &str)> = ended.facts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected =
            [("start", "2026-01-01T00:00:00Z"), ("model.name", "mine"), ("setting.prompt", "/etc/motd and/or ./x")];
        assert_eq!(left, expected);
        assert_eq!(ended.message.as_deref(), Some("left out, since it may name folders"));
    }

    #[test]
    fn messages_keep_the_last_component_of_paths() {
        for (text, expected) in [
            ("/home/me/mine.wasm failed in `run`: it panicked", "mine.wasm failed in `run`: it panicked"),
            ("at src/lib.rs:12:5:\n3 tokens/s, 1/2", "at lib.rs:12:5:\n3 tokens/s, 1/2"),
            ("see '~/x y/z.' and ../a/b", "see 'x y/z.' and b"),
            ("oci://registry.lan/team/mine@sha256:00 was ended", "oci:mine@sha256:00 was ended"),
            ("in /home/me/", "in me"),
            ("in models/mine/ or models/", "in mine or models"),
            ("a.b c.d. e/f", "a.b c.d. e/f"),
            ("", ""),
        ] {
            assert_eq!(message(text, &[]), expected, "{text}");
        }
        let known = ["/home/me/Secret Client/mine.wasm", "/home/me/Secret Client", "box"].map(str::to_owned);
        let text = "/home/me/Secret Client/mine.wasm gave up on box: see /home/me/Secret Client";
        assert_eq!(message(text, &known), "mine.wasm gave up on this machine: see Secret Client");
        // A name of one letter is in every word.
        let known = ["b", "", "ox"].map(str::to_owned);
        assert_eq!(message("b box", &known), "b bthis machine");
    }

    #[test]
    fn names_are_last_components() {
        for (name, expected) in [("gpt2", "gpt2"), ("owner/name", "name"), ("./a/b/", "b"), ("..", "a folder")] {
            assert_eq!(last_component(name), expected);
        }
    }
}

//! No source file imports in a circle with another: what is read in one order is understood in one, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A path of names, such as `compare::work` in pieces.
type Names = Vec<String>;

/// The modules of a crate and what each imports of the others. The crate's root is the empty name. What a module hands on with
/// `pub use` is imported of where it is defined.
#[derive(Debug, Default)]
struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Of the sources below a folder.
    fn of(sources: &Path) -> Self {
        let mut texts = BTreeMap::new();
        read(sources, &mut Vec::new(), &mut texts);
        let uses: BTreeMap<&String, Vec<(bool, Names)>> = texts.iter().map(|(name, text)| (name, uses(text))).collect();
        let mut handed_on: BTreeMap<String, Names> = BTreeMap::new();
        for (module, uses) in &uses {
            for (_, path) in uses.iter().filter(|(public, _)| *public) {
                if let (Some(path), Some(item)) = (absolute(module, path, &texts), path.last()) {
                    handed_on.insert(join(module, item), path);
                }
            }
        }
        let mut imports = Self::default();
        for (module, uses) in &uses {
            let all = imports.0.entry((*module).clone()).or_default();
            for (_, path) in uses.iter().filter(|(public, _)| !*public) {
                let defined = absolute(module, path, &texts).and_then(|path| defined(path, &handed_on, &texts, 8));
                all.extend(defined.filter(|other| other != *module));
            }
        }
        imports
    }

    /// All that a module imports, by itself or through others.
    fn reached<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            let more = self.0.get(module).into_iter().flatten().map(String::as_str);
            next.extend(more.filter(|module| seen.insert(*module)));
        }
        seen
    }

    /// The modules that reach each other, in groups; none where no file imports in a circle.
    fn circles(&self) -> Vec<BTreeSet<&str>> {
        let all: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|name| (name.as_str(), self.reached(name))).collect();
        let both = |one: &str, other: &str| all[one].contains(other) && all[other].contains(one);
        let mut circles: Vec<BTreeSet<&str>> = Vec::new();
        for module in all.keys().copied().filter(|module| both(module, module)) {
            match circles.iter_mut().find(|circle| circle.iter().any(|other| both(module, other))) {
                Some(circle) => drop(circle.insert(module)),
                None => circles.push(BTreeSet::from([module])),
            }
        }
        circles
    }

    /// How many modules there are.
    fn count(&self) -> usize {
        self.0.len()
    }
}

fn join(module: &str, item: &str) -> String {
    if module.is_empty() { item.to_owned() } else { format!("{module}::{item}") }
}

fn read(folder: &Path, above: &mut Names, texts: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            above.push(stem);
            read(&path, above, texts);
            above.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let names = above.iter().cloned().chain((!["mod", "lib", "main"].contains(&stem.as_str())).then_some(stem));
            texts.insert(names.collect::<Names>().join("::"), std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Each path that a text's `use` lines name, and whether it is handed on. What is in a module of tests is left out.
fn uses(text: &str) -> Vec<(bool, Names)> {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for statement in code.split(';') {
        let statement = statement.rsplit(['}', '{']).next().map_or(statement, |_| statement).trim_start();
        let start = statement.lines().position(|line| is_use(line.trim_start()));
        let Some(start) = start else { continue };
        let line = statement.lines().skip(start).collect::<Vec<_>>().join(" ");
        let (before, tree) = line.split_once("use ").unwrap();
        expand(Vec::new(), tree.trim(), &mut |path| found.push((before.contains("pub"), path)));
    }
    found
}

fn is_use(line: &str) -> bool {
    let line = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')').map_or(rest, |(_, rest)| rest),
        None => rest,
    });
    line.trim_start().starts_with("use ")
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(before: Names, tree: &str, found: &mut impl FnMut(Names)) {
    let names = |text: &str| -> Names {
        text.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    match tree.split_once('{') {
        None => {
            let path = tree.split(" as ").next().unwrap_or_default();
            found(before.into_iter().chain(names(path)).collect());
        }
        Some((start, rest)) => {
            let prefix: Names = before.into_iter().chain(names(start)).collect();
            let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
            let (mut depth, mut part) = (0, String::new());
            for character in inner.chars().chain([',']) {
                match character {
                    ',' if depth == 0 => {
                        if !part.trim().is_empty() {
                            expand(prefix.clone(), part.trim(), found);
                        }
                        part.clear();
                        continue;
                    }
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                part.push(character);
            }
        }
    }
}

/// A path from the crate's root, if it leads to something of the crate.
fn absolute(module: &str, path: &[String], texts: &BTreeMap<String, String>) -> Option<Names> {
    let mut here: Names = module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let (first, rest) = path.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some(here.into_iter().chain(rest.iter().cloned()).collect()),
        "super" => {
            here.pop();
            let mut rest = rest;
            while let Some((_, more)) = rest.split_first().filter(|(name, _)| *name == "super") {
                here.pop();
                rest = more;
            }
            Some(here.into_iter().chain(rest.iter().cloned()).collect())
        }
        child => {
            texts.contains_key(&join(module, child)).then(|| here.into_iter().chain(path.iter().cloned()).collect())
        }
    }
}

/// The module in which what a path names is defined.
fn defined(
    path: Names,
    handed_on: &BTreeMap<String, Names>,
    texts: &BTreeMap<String, String>,
    steps: usize,
) -> Option<String> {
    let begins = |length: usize| path.get(..length).unwrap_or_default().join("::");
    for length in (1..=path.len()).rev() {
        let name = begins(length);
        if let Some(other) =
            handed_on.get(&name).filter(|other| steps > 0 && !texts.contains_key(&name) && other.join("::") != name)
        {
            let further = path.get(length..).unwrap_or_default().iter().cloned();
            return defined(other.iter().cloned().chain(further).collect(), handed_on, texts, steps - 1);
        }
    }
    (0..=path.len()).rev().map(begins).find(|name| texts.contains_key(name))
}

/// The circles of a crate of these files.
fn circles(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let imports = Imports::of(folder.path());
    assert_eq!(imports.count(), files.len());
    let owned = |circle: &BTreeSet<&str>| circle.iter().map(|name| (*name).to_owned()).collect();
    imports.circles().iter().map(owned).collect()
}

#[test]
fn circles_are_found_through_lists_parents_and_what_is_handed_on() {
    assert!(
        circles(&[("lib.rs", "mod a;\nmod b;\npub use a::A;"), ("a.rs", "use crate::b::B;"), ("b.rs", "")]).is_empty()
    );
    let direct = [("lib.rs", ""), ("a.rs", "use crate::b::B;"), ("b.rs", "use std::fmt;\n\nuse super::a::{self, A};")];
    assert_eq!(circles(&direct), [["a", "b"]]);
    let by_root =
        [("lib.rs", "pub use b::B;"), ("a.rs", "use crate::{B, C};"), ("b.rs", "use crate::{\n    a::A,\n};")];
    assert!(circles(&by_root)[0].contains(&"b".to_owned()));
    let parent = [("lib.rs", ""), ("a/mod.rs", "mod c;\nuse c::C;"), ("a/c.rs", "use super::A;")];
    assert_eq!(circles(&parent), [["a", "a::c"]]);
    let in_tests = [
        ("lib.rs", ""),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "x\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}"),
    ];
    assert!(circles(&in_tests).is_empty());
}

#[test]
fn no_file_imports_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut crates = vec![root.join("figures")];
    crates.extend(std::fs::read_dir(root.join("host")).unwrap().map(|entry| entry.unwrap().path()));
    for folder in crates {
        let imports = Imports::of(&folder.join("src"));
        assert!(imports.count() > 0 && imports.circles().is_empty(), "{}: {:#?}", folder.display(), imports.circles());
    }
}

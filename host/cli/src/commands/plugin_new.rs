//! `harness plugin new`: a project that is a working plugin, to change into one's own.

use std::fs;
use std::path::Path;

use harness_core::text::visible_line;

use crate::advice::freeing;
use crate::args::{PluginKind, PluginLanguage, PluginNew};
use crate::failure::Failure;
use crate::{Outcome, deliver, files};

/// What the templates call the plugin, and what rustc makes of that.
const NAME: &str = "my-plugin";
const CRATE: &str = "my_plugin";
/// Where the READMEs say that the component is.
const COMPONENT: &str = "my-plugin.wasm";
/// What the templates build for.
const WORLD: &str = "workload-plugin";

const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path))
    };
}

/// A file's place in the project, and its template.
type File = (&'static str, &'static str);

impl PluginNew {
    pub(crate) fn execute(self) -> Outcome {
        check_name(&self.name)?;
        let folder = Path::new(&self.name);
        check_free(folder)?;
        let project = Project { name: &self.name, language: self.lang, kind: self.kind };
        for (path, contents) in project.files() {
            write(&folder.join(path), &contents)?;
        }
        let mut text = format!("made the folder {}, with {} in it; next:\n\n  cd {}\n", self.name, project, self.name);
        for command in project.build() {
            text.push_str(&format!("  {command}\n"));
        }
        let component = project.component();
        text.push_str(&format!("  harness plugin check {component}\n  harness plugin test {component}"));
        deliver::line(&text)
    }
}

struct Project<'a> {
    name: &'a str,
    language: PluginLanguage,
    kind: PluginKind,
}

impl std::fmt::Display for Project<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            PluginKind::Workload => "a workload",
            PluginKind::Report => "a report",
            PluginKind::Both => "a plugin that is workload and report",
        };
        let language = match self.language {
            PluginLanguage::Rust => "Rust",
            PluginLanguage::Javascript => "JavaScript",
            PluginLanguage::Python => "Python",
        };
        write!(f, "{kind} in {language}")
    }
}

impl Project<'_> {
    fn files(&self) -> Vec<(&'static str, String)> {
        let workload = self.kind != PluginKind::Report;
        let report = self.kind != PluginKind::Workload;
        let (readme, always, of_workload, of_report) = self.templates();
        let mut templates = always;
        if workload {
            templates.extend(of_workload);
        }
        if report {
            templates.extend(of_report);
        }
        let mut files: Vec<_> = templates.into_iter().map(|(path, template)| (path, self.filled(template))).collect();
        let mut readme = self.filled(readme);
        if workload {
            readme.push_str(&self.filled(template!("README-workload.md")));
        }
        if report {
            readme.push_str(&self.filled(template!("README-report.md")));
        }
        files.push(("README.md", readme));
        files.push(("wit/plugin.wit", CONTRACT.to_owned()));
        files
    }

    /// The README's beginning; the files that each project has; those of a workload; those of a report.
    fn templates(&self) -> (&'static str, Vec<File>, Vec<File>, Vec<File>) {
        match self.language {
            PluginLanguage::Rust => (
                template!("rust/README.md"),
                vec![
                    ("Cargo.toml", template!("rust/Cargo.toml.template")),
                    (".gitignore", template!("rust/gitignore")),
                    (
                        "src/lib.rs",
                        match self.kind {
                            PluginKind::Workload => template!("rust/lib-workload.rs"),
                            PluginKind::Report => template!("rust/lib-report.rs"),
                            PluginKind::Both => template!("rust/lib-both.rs"),
                        },
                    ),
                ],
                vec![("src/workload.rs", template!("rust/workload.rs"))],
                vec![("src/report.rs", template!("rust/report.rs"))],
            ),
            PluginLanguage::Javascript => (
                template!("javascript/README.md"),
                vec![
                    ("package.json", template!("javascript/package.json")),
                    (".gitignore", template!("javascript/gitignore")),
                    (
                        "plugin.js",
                        match self.kind {
                            PluginKind::Workload => template!("javascript/plugin-workload.js"),
                            PluginKind::Report => template!("javascript/plugin-report.js"),
                            PluginKind::Both => template!("javascript/plugin-both.js"),
                        },
                    ),
                ],
                vec![
                    ("workload.js", template!("javascript/workload.js")),
                    ("sweep.js", template!("javascript/sweep.js")),
                    ("sweep.test.js", template!("javascript/sweep.test.js")),
                ],
                vec![
                    ("report.js", template!("javascript/report.js")),
                    ("table.js", template!("javascript/table.js")),
                    ("table.test.js", template!("javascript/table.test.js")),
                ],
            ),
            PluginLanguage::Python => (
                template!("python/README.md"),
                vec![
                    ("requirements.txt", template!("python/requirements.txt")),
                    (".gitignore", template!("python/gitignore")),
                    (
                        "app.py",
                        match self.kind {
                            PluginKind::Workload => template!("python/app-workload.py"),
                            PluginKind::Report => template!("python/app-report.py"),
                            PluginKind::Both => template!("python/app-both.py"),
                        },
                    ),
                ],
                vec![
                    ("workload.py", template!("python/workload.py")),
                    ("sweep.py", template!("python/sweep.py")),
                    ("test_sweep.py", template!("python/test_sweep.py")),
                ],
                vec![
                    ("report.py", template!("python/report.py")),
                    ("table.py", template!("python/table.py")),
                    ("test_table.py", template!("python/test_table.py")),
                ],
            ),
        }
    }

    fn filled(&self, template: &str) -> String {
        // The name comes last: it may have any of the other words in it.
        self.named(&template.replace(WORLD, self.world()).replace(COMPONENT, self.template_component()))
    }

    fn named(&self, template: &str) -> String {
        template.replace(CRATE, &self.name.replace('-', "_")).replace(NAME, self.name)
    }

    fn world(&self) -> &'static str {
        match self.kind {
            PluginKind::Workload => "workload-plugin",
            PluginKind::Report => "report-plugin",
            PluginKind::Both => "plugin",
        }
    }

    /// Where the build lays the component, from the project's folder.
    fn component(&self) -> String {
        self.named(self.template_component())
    }

    fn template_component(&self) -> &'static str {
        match self.language {
            PluginLanguage::Rust => "target/wasm32-wasip2/release/my_plugin.wasm",
            PluginLanguage::Javascript | PluginLanguage::Python => COMPONENT,
        }
    }

    fn build(&self) -> Vec<String> {
        match self.language {
            PluginLanguage::Rust => {
                vec!["rustup target add wasm32-wasip2".into(), "cargo build --release --target wasm32-wasip2".into()]
            }
            PluginLanguage::Javascript => vec!["npm install && npm run build".into()],
            PluginLanguage::Python => vec![
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt".into(),
                format!(
                    ".venv/bin/componentize-py -d wit -w {} componentize app -o {}",
                    self.world(),
                    self.component()
                ),
            ],
        }
    }
}

/// What cargo, npm and pip all take for a name, and what is a folder's name and a plugin's, too.
fn check_name(name: &str) -> Outcome {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let ends = name.starts_with(|first: char| first.is_ascii_lowercase()) && !name.ends_with('-');
    if !letters || !ends || name.contains("--") || name.len() > 64 {
        return Err(Failure::usage(format!(
            "'{}' can't be a plugin's name; choose lower-case letters, digits and single '-', at most 64, beginning with a \
             letter and ending with a letter or a digit, such as 'my-plugin'",
            visible_line(name)
        )));
    }
    // Cargo refuses them, or the crate hides one of the compiler's own.
    if RESERVED.contains(&name) {
        return Err(Failure::usage(format!(
            "'{name}' can't be a plugin's name, as it means something to a compiler; choose another, such as '{name}-plugin'"
        )));
    }
    Ok(())
}

/// Rust's keywords and its own crates.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// Nothing of the user's is replaced, so the folder must be new or empty.
fn check_free(folder: &Path) -> Outcome {
    let taken = match fs::read_dir(folder) {
        // A link may lead anywhere.
        Ok(mut entries) => folder.is_symlink() || entries.next().is_some(),
        // A file, or a link that leads nowhere.
        Err(_) => folder.symlink_metadata().is_ok(),
    };
    if taken {
        return Err(Failure::usage(format!(
            "{} is there already, and is not an empty folder; choose another name, or move it away",
            folder.display()
        )));
    }
    Ok(())
}

fn write(path: &Path, contents: &str) -> Outcome {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| files::create(path, contents.as_bytes())).map_err(|error| {
        let told = format!(
            "{} can't be written: {error}; {}go to a folder that can be written to",
            path.display(),
            freeing(&error)
        );
        Failure::of_place(error.kind(), told)
    })
}

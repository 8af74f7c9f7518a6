//! The commands in the documents do what the documents say.

#[test]
fn documented_commands_do_what_they_say() {
    let cases = trycmd::TestCases::new();
    cases.default_bin_path(env!("CARGO_BIN_EXE_harness"));
    cases.env(
        "HARNESS_RECORDINGS",
        std::env::temp_dir().join(format!("harness-readme-{}", std::process::id())).display().to_string(),
    );
    cases.case("../../README.md").case("../../docs/*.md");
}

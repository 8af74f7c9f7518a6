//! Components that are hostile before any of their code runs: to look at one takes little memory and time, whatever it is made of,
//! and an error says which limit ended it.

use std::fmt::Write;
use std::time::Duration;

use crate::BINARY;
use harness_tests::peak::{self, Ended};
use harness_tests::{Place, stderr, stdout, told};

/// What a stranger's file may take, from outside: this process and all that it starts.
const MOST_MEMORY: u64 = 512 << 20;
/// Twice the time that loading may take, and some for a busy machine.
const MOST_TIME: Duration = Duration::from_secs(90);

fn parsed(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

fn module(fields: &str) -> Vec<u8> {
    parsed(&format!("(component (core module $m {fields}) (core instance (instantiate $m)))"))
}

/// Components, each of which instantiates the one before it so many times.
fn laughs(levels: u32, times: usize, innermost: &str) -> Vec<u8> {
    let mut text = format!("(component $c0 {innermost})");
    for level in 1..=levels {
        let inner = format!("(instance (instantiate $c{}))", level - 1).repeat(times);
        text = format!("(component $c{level} {text} {inner})");
    }
    parsed(&text)
}

/// Components within components, each around the next.
fn nested(depth: usize) -> Vec<u8> {
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = (value & 127) as u8;
            value >>= 7;
            bytes.push(if value == 0 { low } else { low | 128 });
            if value == 0 {
                return bytes;
            }
        }
    }
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    // Innermost first, so that each size is known; put together backwards, since each is the end of the next.
    let (mut size, mut heads) = (HEADER.len(), Vec::new());
    for _ in 0..depth {
        let head = [HEADER, &[4], &number(size)].concat();
        size += head.len();
        heads.push(head);
    }
    heads.into_iter().rev().flatten().chain(HEADER.iter().copied()).collect()
}

fn statements(count: usize) -> String {
    let mut body = String::new();
    for i in 0..count {
        write!(
            body,
            "(local.set {} (i32.add (local.get {}) (i32.load offset={i} (local.get 0))))
             (if (i32.eqz (local.get {})) (then (local.set 0 (i32.const {i}))))",
            1 + i % 4,
            1 + i * 7 % 4,
            1 + i % 4
        )
        .unwrap();
    }
    format!("(memory 1) (func (param i32) (local i32 i32 i32 i32) {body})")
}

/// Runs a command on a file of that content, under the default limits, and says what it took.
fn checked(command: &[&str], component: &[u8], more: &[&str]) -> Ended {
    let place = Place::new();
    place.write("stranger.wasm", component);
    // With a cache of its own: nothing is there yet, and what is kept takes no room for long.
    peak::run(
        place.command(BINARY).args(command).arg("stranger.wasm").args(more).env("XDG_CACHE_HOME", place.path("cache")),
    )
}

fn refused(name: &str, took: &Ended, says: &[&str]) {
    let said = stderr(&took.output);
    assert_eq!(took.output.status.code(), Some(2), "{name}: {}", told(&took.output));
    assert!(says.iter().any(|words| said.contains(words)), "{name}: {}", told(&took.output));
    assert!(said.starts_with("error: stranger.wasm ") && said.lines().count() == 1, "{name}: {said}");
    assert!(took.memory < MOST_MEMORY, "{name} took {} bytes", took.memory);
    assert!(took.time < MOST_TIME, "{name} took {:?}", took.time);
}

#[test]
fn a_component_takes_no_more_than_it_may_by_being_looked_at() {
    const MEMORY: &str = "bytes of memory; allow more with --max-load-memory";
    const SIZE: &str = "bytes of memory that compiling it may take; allow more with --max-load-memory";
    const TIME: &str = "allow more with --max-load-time";
    // A machine's speed decides whether time or memory is used up first, or whether it is only found to be no plugin.
    const NO_PLUGIN: &str = "it exports neither";
    let locals =
        format!("(func {} {})", "(local i32 i64 f32 f64)".repeat(12_250), "(local.set 0 (i32.const 1))".repeat(5));
    let loops = format!("(func {} {})", "loop ".repeat(400_000), "end ".repeat(400_000));
    // A section that means nothing, of as many bytes as a plugin may have.
    let mut padded = parsed("(component)");
    padded.extend([0, 0x80, 0x80, 0x80, 0x7d]);
    let padding = 0x7d << 21;
    padded.extend([1, b'x']);
    padded.resize(padded.len() + padding - 2, 0);
    for (name, component) in [
        ("padding", padded),
        ("instances of instances", laughs(6, 30, "")),
        (
            "instances of instances of a module",
            laughs(5, 20, "(core module $m (global i64 (i64.const 0))) (core instance (instantiate $m))"),
        ),
        ("components within components", nested(60_000)),
        ("locals", module(&locals)),
        ("loops", module(&loops)),
        ("functions", module(&"(func)".repeat(1_000_000))),
        ("statements", module(&statements(60_000))),
    ] {
        let took = checked(&["plugin", "check"], &component, &["--max-load-time", "15s"]);
        refused(name, &took, &[MEMORY, SIZE, TIME, NO_PLUGIN, "is damaged"]);
    }
}

/// Whichever command loads it.
#[test]
fn every_way_to_load_a_component_is_bounded() {
    let component = laughs(6, 30, "");
    let limits = ["--max-load-time", "2s", "--max-load-memory", "100MiB"];
    for command in [
        &["plugin", "check"][..],
        &["plugin", "inspect"],
        &["plugin", "test"],
        &["run", "--backend", "simulated", "--quiet", "--plugin"],
        &["run", "--backend", "simulated", "--quiet", "--report"],
        &["run", "--backend", "simulated", "--dry-run", "--plugin"],
    ] {
        let took = checked(command, &component, &limits);
        refused(
            &command.join(" "),
            &took,
            &["more than 104857600 bytes of memory", "more than 2 s of", "more than 4 s of"],
        );
        assert!(took.memory < 256 << 20, "{command:?} took {} bytes", took.memory);
    }
    let place = Place::new();
    place.write("stranger.wasm", &component);
    let recorded =
        place.command(BINARY).args(["run", "--backend", "simulated", "--quick", "--quiet"]).output().unwrap();
    assert!(recorded.status.success(), "{}", told(&recorded));
    let with = place.command(BINARY).args(["report", "--with", "stranger.wasm"]).args(limits).output().unwrap();
    assert!(with.status.code() == Some(2) && stderr(&with).contains("--max-load-"), "{}", told(&with));
}

/// The limit counts what is compiled, so an honest plugin needs little, and an error says how much there was.
#[test]
fn an_honest_plugin_loads_and_a_low_limit_is_named() {
    let place = Place::new();
    let check = |limits: &[&str]| {
        let mut command = place.command(BINARY);
        command.args(["plugin", "check", "default"]).args(limits).env("XDG_CACHE_HOME", place.path("cache"));
        command.output().unwrap()
    };
    let low = check(&["--max-load-memory", "4MiB"]);
    assert_eq!(low.status.code(), Some(2), "{}", told(&low));
    let said = "default was not loaded: compiling it takes more than 4194304 bytes of memory; allow more with --max-load-memory";
    assert!(stderr(&low).contains(said), "{}", told(&low));
    let enough = check(&["--max-load-memory", "128MiB"]);
    assert!(enough.status.success(), "{}", told(&enough));
    // Some supervisors ignore the signal that tells of a child's end, and what they start inherits that.
    let mut ignoring = place.command("env");
    ignoring.args(["--ignore-signal=CHLD", BINARY, "plugin", "check", "default"]);
    let ignored = ignoring.env("XDG_CACHE_HOME", place.path("other")).output().unwrap();
    assert!(ignored.status.success(), "{}", told(&ignored));
    // What is in the cache is not compiled.
    let again = check(&["--max-load-memory", "1MiB"]);
    assert!(again.status.success(), "{}", told(&again));
}

#[test]
fn instances_count_against_the_memory_of_a_plugin() {
    // Of other types than the contract's, which is found only once there is an instance.
    let exported = r#"(core module $f (func (export "f"))) (core instance $fi (instantiate $f)) (func $d (canon lift (core func $fi "f")))
        (instance $i (export "describe" (func $d)) (export "run" (func $d))) (export "harness:plugin/workload@0.2.0" (instance $i))"#;
    // A component may have a thousand instances, and components in it.
    let many = |components: usize, instances: usize, fields: &str| {
        let instances = "(core instance (instantiate $m))".repeat(instances);
        let inner = format!("(component $c (core module $m {fields}) {instances})");
        parsed(&format!("(component {inner} {} {exported})", "(instance (instantiate $c))".repeat(components)))
    };
    let globals = "(global (mut i64) (i64.const 1))".repeat(30_000);
    let elements = format!("(func $f) (elem func {})", "$f ".repeat(100_000));
    let functions = format!(
        "{} (elem declare func {})",
        "(func)".repeat(20_000),
        (0..20_000).map(|i| format!("{i} ")).collect::<String>()
    );
    for (name, component, says) in [
        ("globals", many(10, 990, &globals), "allow more with --max-memory"),
        ("passive elements", many(1, 200, &elements), "allow more with --max-memory"),
        ("functions", many(1, 500, &functions), "allow more with --max-memory"),
        ("instances", many(20, 501, ""), "it is made of 10021 core instances, and may have 10000"),
        ("tables", many(1, 300, "(table 100000 funcref)"), "tables of 1100000 elements, and may have 1000000"),
        ("memories", many(1, 200, "(memory 0)"), "it has more than 100 linear memories"),
    ] {
        let took = checked(&["plugin", "check"], &component, &[]);
        let said = stderr(&took.output);
        assert_eq!(took.output.status.code(), Some(1), "{name}: {}", told(&took.output));
        assert!(said.starts_with("error: stranger.wasm was ended: ") && said.contains(says), "{name}: {said}");
        assert!(
            took.memory < MOST_MEMORY && took.time < MOST_TIME,
            "{name} took {} bytes, {:?}",
            took.memory,
            took.time
        );
        assert_eq!(stdout(&took.output), "", "{name}");
    }
}

/// What lies in the cache is run as native code.
#[cfg(unix)]
#[test]
fn a_cache_that_others_can_write_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    let check = || {
        let mut command = place.command(BINARY);
        command.args(["plugin", "check", "default"]).env("XDG_CACHE_HOME", place.path("cache")).output().unwrap()
    };
    let made = check();
    assert!(made.status.success() && stderr(&made).is_empty(), "{}", told(&made));
    let folder = place.path("cache/harness/plugins");
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let entries = || std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let [entry] = entries().try_into().unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::remove_file(&entry).unwrap();
    let open = check();
    assert!(open.status.success(), "{}", told(&open));
    assert!(stderr(&open).starts_with("plugins are compiled each time: other users can write into"), "{}", told(&open));
    assert!(entries().is_empty(), "{:?}", entries());
}

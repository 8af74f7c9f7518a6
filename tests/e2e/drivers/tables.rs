//! The tables of `docs/reliability.md`: what each function that goes wrong costs.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use harness_tests::fake_nvml::FUNCTIONS;

use super::case::{Case, Found, each};

/// Where the tables are in the document.
const BEGIN: &str = "<!-- Made by `UPDATE_DOCS=1 cargo test --test e2e drivers:: -- --include-ignored`. -->\n";
const END: &str = "<!-- End of what was made. -->\n";

const FAULTS: [(&str, &str); 4] = [("fail.999", "fails"), ("hang", "hangs"), ("lie", "lies"), ("zero", "says 0")];
const FROM: [u32; 2] = [1, 3];
const SETUPS: [(&str, &str); 4] =
    [("gpus:0", "no GPU"), ("gpus:8", "8 GPUs"), ("mig", "a partitioned GPU"), ("lost", "a lost GPU")];

/// Tries all, and shows what came of it.
pub(crate) fn all() -> String {
    let cases: Vec<Case> = FUNCTIONS
        .iter()
        .flat_map(|function| {
            FAULTS.iter().flat_map(move |(fault, _)| FROM.map(|from| Case::new("normal", function, fault, from)))
        })
        .collect();
    let found = each(&cases, Case::run);
    let mut text = String::from(
        "| function | from its first call on, it fails | hangs | lies | says 0 | from its third: fails | hangs | lies | says 0 |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for function in FUNCTIONS {
        let _ = write!(text, "| `{function}` |");
        for from in FROM {
            for (fault, _) in FAULTS {
                let at = cases.iter().position(|case| *case == Case::new("normal", function, fault, from)).unwrap();
                let _ = write!(text, " {} |", cost(&found[at]));
            }
        }
        text.push('\n');
    }

    text.push_str("\n| with | function | cases | run refused, with the reason | recorded whole | `doctor` and `devices` end well |\n");
    text.push_str("| --- | --- | ---: | ---: | ---: | ---: |\n");
    for (setup, name) in [("normal", "a GPU")].into_iter().chain(SETUPS) {
        for (fault, what) in FAULTS {
            let cases: Vec<Case> = FROM
                .iter()
                .flat_map(|from| FUNCTIONS.iter().map(|function| Case::new(setup, function, fault, *from)))
                .collect();
            let refused = each(&cases, |case| {
                case.look();
                case.run().code == 2
            });
            let (all, refused) = (refused.len(), refused.into_iter().filter(|refused| *refused).count());
            let _ = writeln!(text, "| {name} | {what} | {all} | {refused} | {} | {all} |", all - refused);
        }
    }
    text
}

/// What is not in the recording.
fn cost(found: &Found) -> String {
    if found.code == 2 {
        return "refused".into();
    }
    let group = |name: &String| match name.as_str() {
        "sm_occupancy" | "tensor_active" | "dram_bandwidth_utilization" => "GPM".to_owned(),
        "energy" | "energy_per_request" | "energy_per_token" => "energy".to_owned(),
        "gpu_utilization" | "memory_controller_utilization" => "utilization".to_owned(),
        "gpu_memory_used" | "memory_utilization" => "memory".to_owned(),
        _ if name.starts_with("throttled_time") => "throttling".to_owned(),
        "idle.power" => "idle power".to_owned(),
        _ => name.replace('_', " "),
    };
    let lost: BTreeSet<String> = found.lost.iter().map(group).collect();
    let sensors =
        ["GPM", "energy", "memory", "memory clock", "power", "sm clock", "temperature", "throttling", "utilization"];
    match () {
        () if lost.is_empty() => "–".into(),
        () if sensors.iter().all(|sensor| lost.contains(*sensor)) => "all sensors".into(),
        () => lost.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// Writes the tables into the document where that is asked for, and compares them else.
pub(crate) fn write_or_compare(tables: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reliability.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}\n{tables}\n{END}{after}")).unwrap();
    } else {
        assert!(there.trim() == tables.trim(), "the tables of docs/reliability.md are stale; these hold:\n{tables}");
    }
}

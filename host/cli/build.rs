//! Notes which commit is built, so that a recording can say it.

use std::path::Path;
use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).map(|commit| {
        let dirty = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
        if dirty { format!("{commit}-dirty") } else { commit }
    });
    println!("cargo::rustc-env=HARNESS_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=HARNESS_PROFILE={}", std::env::var("PROFILE").as_deref().unwrap_or("unknown"));
    // HEAD moves with each commit; without a git folder there is nothing to watch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    // A change that is not committed makes the commit a dirty one.
    for source in ["../../host", "../../plugins/sdk/src", "../../plugins/default/src", "../../wit", "../../Cargo.lock"]
    {
        println!("cargo::rerun-if-changed={source}");
    }
}

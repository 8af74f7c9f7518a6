//! `harness doctor`.

use harness_core::doctor::Check;
use harness_core::text;
use serde_json::json;

use crate::args::Doctor;
use crate::{Outcome, deliver, health};

impl Doctor {
    pub(crate) fn execute(self) -> Outcome {
        let (machine, gpus) = health::thorough(self.driver.limit());
        if self.json {
            let gpus: Vec<_> = gpus.iter().map(|gpu| json!({"gpu": gpu.gpu, "checks": gpu.checks})).collect();
            let report = json!({"machine": machine, "gpus": gpus});
            return deliver::line(&text::json(&format!("{report:#}")));
        }
        deliver::line("this machine")?;
        show(&machine)?;
        for gpu in &gpus {
            deliver::line(&format!("\n{}", gpu.gpu))?;
            show(&gpu.checks)?;
        }
        Ok(())
    }
}

fn show(checks: &[Check]) -> Outcome {
    for check in checks {
        deliver::line(&format!("  {:<9}  {:<16}  {}", check.verdict.as_str(), check.name, check.found))?;
        for text in [&check.means, &check.advice].into_iter().filter(|text| !text.is_empty()) {
            deliver::line(&format!("{:31}{text}", ""))?;
        }
    }
    Ok(())
}

//! On a machine with an NVIDIA GPU: `cargo test -p harness-telemetry --test real_nvml -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::thread::sleep;
use std::time::{Duration, Instant};

use harness_core::Gpus;
use harness_core::metric::name;
use harness_telemetry::{LIMIT, Nvml, Options};

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn reads_the_first_gpu() {
    let nvml = Nvml::open(LIMIT).unwrap();
    println!("{:#?}\n{:#?}", nvml.facts("0"), nvml.read(0).unwrap());
    let mut sensors = nvml.sampler("0", Options::default()).unwrap();
    for milliseconds in [20, 100, 500, 2000] {
        let began = Instant::now();
        sensors.start();
        let started = began.elapsed();
        sleep(Duration::from_millis(milliseconds));
        let ended = Instant::now();
        let log = sensors.stop();
        println!("\nrun of {milliseconds} ms: start took {started:.1?}, stop {:.1?}", ended.elapsed());
        for (metric, series) in &log.series {
            let mean = series.values.iter().sum::<f64>() / series.values.len() as f64;
            println!("{metric}: {mean} from {} samples, {:?} …", series.values.len(), series.times.get(..3));
        }
        println!("{:#?}\n{:#?}", log.values, log.absent);
        assert!(log.series.contains_key(name::gpu_memory_used));
        assert!(milliseconds < 2000 || log.series[name::gpu_utilization].values.len() >= 3);
    }
}

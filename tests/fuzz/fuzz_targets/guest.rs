//! A guest that the fuzzer steers through the contract, as a workload on the simulated model where the first byte is even, else as a
//! report of a recording.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use harness_core::text::deceives;
use harness_core::{Budget, Facts, GpuDevice, GpuState, Gpus, NoSensors, Recorder, Recording, Server, Session, Status};
use harness_engine::{SimulatedSettings, load_simulated};
use harness_fuzz::bounds::within;
use harness_fuzz::guest;
use harness_sandbox::{Compiler, Limits, LogLevel, LogSink, Output, Plugin, Sandbox, file_name};
use libfuzzer_sys::fuzz_target;

static PLUGIN: LazyLock<Plugin> = LazyLock::new(|| {
    let sandbox = Sandbox::new(Compiler::InProcess, None).unwrap();
    let plugin = sandbox.load("guest", &guest::component()).unwrap();
    // The embedded tokenizer is made in a thread of its own; here, before anything is measured.
    harness_engine::gpt2_tokenizer().encode("a").unwrap();
    assert_eq!(plugin.describe_workload(&limits()).unwrap().name, "fuz0");
    plugin
});

/// What a report is made of: recorded by the guest itself.
static RECORDING: LazyLock<Arc<Recording>> = LazyLock::new(|| {
    let operands = |call: &str, operands: &[u8]| [&[guest::call(call)], operands].concat();
    let plan = operands("[constructor]plan", &[3, 4 << 3, 2, 1 << 3]);
    let measured = operands("measure", &[1, 4]);
    Arc::new(run(&[plan, measured.clone(), measured].concat()))
});

fn limits() -> Limits {
    Limits {
        memory: 8 << 20,
        call_time: Duration::from_millis(500),
        guest_time: Duration::from_secs(1),
        output: 1 << 20,
        log_lines: 20,
        wall_time: Duration::from_secs(2),
        describe_time: Duration::from_secs(1),
        render_time: Duration::from_secs(2),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, program)) = data.split_first() else { return };
    let (_, recording) = (&*PLUGIN, &*RECORDING);
    // The host holds what it was handed, what it recorded of 300 iterations, and the guest's own memory, which is none of the heap.
    within(96 << 20, Duration::from_secs(8), || match kind % 2 {
        0 => drop(run(program)),
        _ => render(program, recording),
    });
});

/// The session comes back, and what was recorded in it can be ended, whatever the guest did.
fn run(program: &[u8]) -> Recording {
    let loaded = load_simulated(&SimulatedSettings::default(), 0);
    let sensors = Box::new(NoSensors { reason: "there are none".into() });
    let recorder = Recorder::in_memory(Facts::from([("gpu.name".to_owned(), "none".to_owned())]));
    let budget = Budget { iterations: 300, wall_time: Duration::from_secs(2), runs: 20, recording: 1 << 20 };
    let session =
        Session::new(Server::new(loaded.backend, loaded.tokenizer, loaded.clock, 0), sensors, recorder, budget);
    let settings = [("program".to_owned(), guest::program(program))];
    let (session, result) = PLUGIN.run(session, Arc::new(Played), &settings, &limits(), Arc::new(Checked));
    assert!(session.work().iterations <= 300);
    let (status, message, summary) = match result {
        Ok(summary) => (Status::Complete, None, summary),
        Err(error) => (Status::Failed, Some(shown(error.to_string())), Vec::new()),
    };
    session.into_recorder().end(status, message, summary, "2026-01-01T00:00:00Z".into()).recording
}

fn render(program: &[u8], recording: &Arc<Recording>) {
    let settings = [("program".to_owned(), guest::program(program))];
    match PLUGIN.render(recording.clone(), &settings, &limits(), Arc::new(Checked)) {
        Ok(Output::Files(files)) => {
            assert!(files.iter().all(|file| file_name::fault(&file.name).is_none()));
        }
        Ok(Output::Text(_)) => {}
        Err(error) => drop(shown(error.to_string())),
    }
}

/// What is said of a guest is of a bounded length, and drives no terminal.
fn shown(message: String) -> String {
    assert!(message.len() < 64 << 10, "a message of {} bytes", message.len());
    let wrong = |c: char| deceives(c) && c != '\n' && c != '\t';
    assert!(!message.contains(wrong), "{message:?}");
    message
}

struct Checked;

impl LogSink for Checked {
    fn log(&self, _: &str, _: LogLevel, line: &str) {
        shown(line.to_owned());
    }
}

/// A machine with one GPU, of which half can be read.
struct Played;

impl Gpus for Played {
    fn devices(&self) -> Vec<GpuDevice> {
        vec![GpuDevice { index: 0, uuid: "GPU-0".into(), name: "played".into(), memory: 1 << 30 }]
    }

    fn read(&self, index: u32) -> Result<GpuState, String> {
        match index {
            0 => Ok(GpuState { power: Some(100.0), ..GpuState::default() }),
            _ => Err("there is no such GPU".into()),
        }
    }
}

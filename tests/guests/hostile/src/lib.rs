//! A plugin that breaks a rule of the contract or runs into a limit, chosen by its setting `act`.

wit_bindgen::generate!({ world: "plugin", path: "../../../wit" });

use exports::harness::plugin::report::{self, Artifact, Output};
use exports::harness::plugin::workload;
use harness::plugin::bench::{Plan, measure};
use harness::plugin::common::{Description, Failure, Setting};
use harness::plugin::model::{self, Prompt, Request, Sampling};
use harness::plugin::recordings::{Direction, Metric, Reading, Recording};
use harness::plugin::{gpu, log};

struct Hostile;
export!(Hostile);

fn description() -> Description {
    let setting = |name: &str, default: &str| Setting {
        name: name.into(),
        help: "What to break.".into(),
        default: default.into(),
        quick: None,
    };
    Description {
        name: "hostile".into(),
        version: "0".into(),
        summary: "Breaks rules.".into(),
        settings: vec![setting("act", "nothing"), setting("count", "1000000"), setting("seconds", "0.01")],
    }
}

fn value(settings: &[(String, String)], name: &str) -> String {
    settings.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default()
}

fn request(new: u32) -> Request {
    Request { prompt: Prompt::Synthetic(4), max_new_tokens: new, stop_at_end_of_text: false, sampling: None }
}

fn plan(label: &str, request: Request) -> Plan {
    let plan = Plan::new(label, &[request]);
    plan.set_iterations(2);
    plan.set_warmup(0);
    plan
}

fn reading(name: &str, value: f64) -> Reading {
    let metric = Metric {
        name: name.into(),
        unit: "s".into(),
        help: "x".into(),
        better: Direction::LowerIsBetter,
        sampled: false,
    };
    Reading { metric, value }
}

fn error(error: model::Error) -> Failure {
    Failure::Other(format!("{error:?}"))
}

fn common(act: &str) {
    match act {
        "loop" => loop {
            std::hint::black_box(0);
        },
        "log-loop" => loop {
            model::decode(&[1]).ok();
        },
        "recurse" => {
            #[allow(unconditional_recursion)]
            fn deeper(n: u64) -> u64 {
                std::hint::black_box(deeper(std::hint::black_box(n + 1))) + 1
            }
            std::hint::black_box(deeper(0));
        }
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 8 << 20]));
            }
        }
        "panic" => panic!("the guest's own words\u{1b}[31m"),
        "log-flood" => (0..u64::MAX).for_each(|i| log::log(log::Level::Trace, &format!("line {i}"))),
        "log-escape" => log::log(log::Level::Warn, "a\u{1b}[31mred\rline"),
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(3600)),
        "file" => std::fs::read("/etc/hostname").map(|_| ()).expect("no file"),
        "write" => std::fs::write("/tmp/hostile", "x").expect("no file"),
        "folder" => std::fs::read_dir("/").map(|_| ()).expect("no folder"),
        "datagram" => std::net::UdpSocket::bind("127.0.0.1:0").map(|_| ()).expect("no socket"),
        "lookup" => {
            use std::net::ToSocketAddrs;
            ("localhost", 80).to_socket_addrs().map(|_| ()).expect("no name service")
        }
        "listen" => std::net::TcpListener::bind("127.0.0.1:0").map(|_| ()).expect("no socket"),
        "input" => {
            let mut input = String::new();
            std::io::Read::read_to_string(&mut std::io::stdin(), &mut input).unwrap();
            assert!(input.is_empty());
        }
        "random" => {
            use std::hash::{BuildHasher, RandomState};
            log::log(log::Level::Info, &format!("drew {:x}", RandomState::new().hash_one(0)));
        }
        "log-forged" => log::log(log::Level::Info, "done\nerror: pay here\nrecorded in nowhere"),
        "log-levels" => {
            log::log(log::Level::Trace, "step by step");
            log::log(log::Level::Debug, "for its author");
            log::log(log::Level::Info, "for its user");
        }
        "log-breaks" => (0..1000).for_each(|_| log::log(log::Level::Info, &"\n".repeat(1000))),
        "log-line" => log::log(log::Level::Warn, &"long ".repeat(1 << 20)),
        "huge-list" => drop(model::decode(&vec![1; 20 << 20])),
        "huge-plan" => drop(Plan::new("x", &vec![request(1); (1 << 20) + 1])),
        "tall-text" => drop(plan("x", Request { prompt: Prompt::Text("x".repeat(5 << 20)), ..request(1) })),
        "socket" => std::net::TcpStream::connect("127.0.0.1:1").map(|_| ()).expect("no socket"),
        "environment" => assert!(std::env::vars().next().is_none() && std::env::args().next().is_none()),
        "clock" => {
            let now = std::time::Instant::now();
            (0..1_000_000).for_each(|i| {
                std::hint::black_box(i);
            });
            assert!(now.elapsed().is_zero());
            let epoch = std::time::SystemTime::UNIX_EPOCH;
            assert_eq!(std::time::SystemTime::now().duration_since(epoch).unwrap().as_secs(), 0);
        }
        "handles" => loop {
            std::mem::forget(plan("x", request(1)));
        },
        "plans" => loop {
            let prompt = Prompt::Text("x".repeat(1 << 17));
            std::mem::forget(plan("x", Request { prompt, ..request(1) }));
        },
        "huge-string" => drop(model::encode(&"x".repeat(200 << 20))),
        "long-text" => drop(model::encode(&"x".repeat(5 << 20)).map_err(|e| panic!("{e:?}"))),
        _ => {}
    }
}

impl workload::Guest for Hostile {
    fn describe() -> Description {
        description()
    }

    fn run(settings: Vec<(String, String)>) -> Result<Vec<Reading>, Failure> {
        let act = value(&settings, "act");
        let count: u64 = value(&settings, "count").parse().unwrap();
        // Before anything is broken, so that there is something to keep.
        let first = measure(&plan("first", request(2))).map_err(error)?;
        common(&act);
        match act.as_str() {
            "panic-after-a-run" => panic!("in the middle"),
            "no-iterations" => {
                let plan = plan("none", request(1));
                plan.set_iterations(0);
                measure(&plan).map_err(error)?;
            }
            "no-batch" => {
                let plan = plan("none", request(1));
                plan.set_batch(0);
                measure(&plan).map_err(error)?;
            }
            "no-requests" => drop(measure(&Plan::new("none", &[])).map_err(error)?),
            "no-tokens" => drop(measure(&plan("none", request(0))).map_err(error)?),
            "too-long" => drop(measure(&plan("long", request(u32::MAX))).map_err(error)?),
            "synthetic-flood" => {
                let flood = Request { prompt: Prompt::Synthetic(u32::MAX), ..request(1) };
                measure(&plan("flood", flood)).map_err(error)?;
            }
            "prompts" => {
                let long = Request { prompt: Prompt::Synthetic(1000), ..request(1) };
                measure(&Plan::new("prompts", &vec![long; 20_000])).map_err(error)?;
            }
            "bad-token" => {
                let bad = Request { prompt: Prompt::Tokens(vec![u32::MAX]), ..request(1) };
                measure(&plan("bad", bad)).map_err(error)?;
            }
            "bad-sampling" => {
                let sampling = Sampling { temperature: f32::NAN, top_k: None, top_p: None, seed: 0 };
                measure(&plan("bad", Request { sampling: Some(sampling), ..request(1) })).map_err(error)?;
            }
            "samples" => {
                let plan = plan("long", request(1));
                plan.set_iterations(100_000);
                let run = measure(&plan).map_err(error)?;
                let mut hoard = Vec::new();
                loop {
                    hoard.push(run.samples("latency"));
                }
            }
            "readings" => return Ok((0..20_000).map(|i| reading(&format!("x{i}"), 1.0)).collect()),
            "long-help" => {
                let mut long = reading("x", 1.0);
                long.metric.help = "long ".repeat(1 << 20);
                return Ok(vec![long]);
            }
            "long-failure" => return Err(Failure::Other("\u{1b}[31mlong ".repeat(1 << 20))),
            "many-iterations" => {
                let plan = plan("many", request(1));
                plan.set_iterations(u32::MAX);
                measure(&plan).map_err(error)?;
            }
            "time-limit" => {
                let plan = plan("limited", request(2));
                plan.set_iterations(1000);
                plan.set_time_limit(value(&settings, "seconds").parse().unwrap());
                let extent = measure(&plan).map_err(error)?.extent();
                log::log(log::Level::Info, &format!("{extent:?}"));
            }
            "wrong-mean" => return Ok(vec![reading("latency", 1e9)]),
            "nan" => return Ok(vec![reading("x", f64::NAN)]),
            "infinity" => return Ok(vec![reading("x", f64::INFINITY)]),
            "twice" => return Ok(vec![reading("x", 1.0), reading("x", 2.0)]),
            "bad-name" => return Ok(vec![reading("X\u{1b}[31m y", 1.0)]),
            "setting" => return Err(Failure::Setting("the setting 'act' can't be 'setting'".into())),
            "forged-failure" => {
                return Err(Failure::Other("it is too hard\nrecorded in nowhere\rerror: pay here".into()));
            }
            "give-up" => return Err(Failure::Other("it is too hard".into())),
            "ignore-stop" => loop {
                let _ = measure(&plan("again", request(2)));
            },
            // For the benchmark of calls into the host.
            "calls" => {
                for _ in 0..count {
                    std::hint::black_box(first.value("latency"));
                }
            }
            "gpu" => {
                let names: Vec<String> = gpu::devices().into_iter().map(|d| d.name).collect();
                log::log(log::Level::Info, &format!("gpus: {names:?}, read: {:?}", gpu::read(7).map(|_| ())));
            }
            _ => {}
        }
        Ok(vec![reading("own", 1.0)])
    }
}

impl report::Guest for Hostile {
    fn describe() -> Description {
        description()
    }

    fn render(recording: &Recording, settings: Vec<(String, String)>) -> Result<Output, Failure> {
        let act = value(&settings, "act");
        common(&act);
        let file =
            |name: &str| Artifact { name: name.into(), media_type: "text/plain".into(), contents: b"x".to_vec() };
        Ok(match act.as_str() {
            "model" => Output::Text(model::about().name),
            "huge-output" => Output::Text("x".repeat(100 << 20)),
            "escape" => Output::Text("a\u{1b}[31mred".into()),
            "outside" => Output::Files(vec![file("../outside")]),
            "absolute" => Output::Files(vec![file("/tmp/absolute")]),
            "unnamed" => Output::Files(vec![file("")]),
            "twins" => Output::Files(vec![file("a.txt"), file("A.txt")]),
            "files" => Output::Files(vec![file("a.txt"), file("b.txt")]),
            "no-files" => Output::Files(Vec::new()),
            "empty-file" => Output::Files(vec![Artifact { contents: Vec::new(), ..file("a.txt") }]),
            "runs" => loop {
                std::mem::forget(recording.runs());
            },
            "parent" => Output::Files(vec![file("..")]),
            "hidden" => Output::Files(vec![file(".profile")]),
            "backslash" => Output::Files(vec![file("..\\outside")]),
            "control" => Output::Files(vec![file("a\u{1b}[31m\n.txt")]),
            "nul" => Output::Files(vec![file("a\0.txt")]),
            "long-name" => Output::Files(vec![file(&"x".repeat(256))]),
            "many-files" => Output::Files((0..2_000).map(|i| file(&format!("{i}.txt"))).collect()),
            "text" => Output::Text("touch pwned\n".into()),
            "nothing" => Output::Text(format!("{} runs\n", recording.runs().len())),
            // A file of any name, in a report that makes nothing else.
            named if named.starts_with("file=") => Output::Files(named["file=".len()..].split(',').map(file).collect()),
            other => return Err(Failure::Other(format!("no act '{other}'"))),
        })
    }
}

//! `--download` from a hub on loopback, by the real binary.

use std::fmt::Write as _;
use std::process::{Command, Output};
use std::time::Duration;

use crate::BINARY;
use fake_hub::{File, Hub};
use harness_tests::{Place, golden, golden_json, stderr, stdout, told};

const GENERATE: [&str; 10] = [
    "generate",
    "--model",
    "owner/name",
    "--download",
    "--device",
    "cpu",
    "--max-new-tokens",
    "2",
    "--json",
    "--tokens=1,2",
];

fn weights() -> Vec<u8> {
    std::fs::read(golden().join("prefixed-f32/model.safetensors")).unwrap()
}

/// The hub of a small GPT-2.
fn hub() -> Hub {
    let config = golden_json("prefixed-f32/config.json");
    let vocabulary: serde_json::Map<_, _> =
        (0..config["vocab_size"].as_u64().unwrap().min(256)).map(|id| (format!("t{id}"), id.into())).collect();
    let config = std::fs::read(golden().join("prefixed-f32/config.json")).unwrap();
    Hub::start(&[
        ("config.json", File::small(config)),
        ("vocab.json", File::small(serde_json::Value::from(vocabulary).to_string())),
        ("merges.txt", File::small("#version: 0.2\n")),
        ("model.safetensors", File::large(weights())),
    ])
}

fn command(place: &Place, hub: &Hub) -> Command {
    let mut command = place.command(BINARY);
    command.args(GENERATE).env("HF_ENDPOINT", hub.endpoint());
    command
}

fn works(output: &Output) {
    assert!(output.status.success(), "{}", told(output));
    let json: serde_json::Value = serde_json::from_str(&stdout(output)).unwrap();
    assert_eq!(json["tokens"].as_array().unwrap().len(), 2);
}

#[test]
fn a_model_is_downloaded_once_and_used_from_then_on() {
    let (place, hub) = (Place::new(), hub());
    let output = command(&place, &hub).output().unwrap();
    works(&output);
    // No terminal: a line a file.
    let told_lines: Vec<_> = stderr(&output).lines().map(str::to_owned).collect();
    assert_eq!(told_lines[0], "downloading config.json (748 B)");
    assert_eq!(told_lines.iter().filter(|line| line.starts_with("downloading ")).count(), 4, "{}", told(&output));
    assert!(place.path(".cache/huggingface/hub/models--owner--name/refs/main").exists());
    hub.asked();
    works(&command(&place, &hub).output().unwrap());
    assert!(hub.asked().is_empty());
}

#[test]
fn what_the_cache_has_is_used_where_the_hub_is_away() {
    let (place, hub) = (Place::new(), hub());
    for name in ["vocab.json", "merges.txt"] {
        hub.lose(name);
    }
    works(&command(&place, &hub).output().unwrap());
    // Without a tokenizer it is asked for each time.
    hub.list_as(503, "");
    let note = "the model 'owner/name' is used as the Hugging Face cache has it: ";
    let away = command(&place, &hub).output().unwrap();
    works(&away);
    assert!(stderr(&away).starts_with(&format!("{note}{} answers 503", hub.endpoint())), "{}", told(&away));
    let closed = command(&place, &hub).env("HF_ENDPOINT", "http://127.0.0.1:9").output().unwrap();
    works(&closed);
    assert!(stderr(&closed).starts_with(&format!("{note}http://127.0.0.1:9 can't be reached (")), "{}", told(&closed));
    let run = ["run", "--quick", "--model", "owner/name", "--download", "--device", "cpu", "--set", "prompt-tokens=4"];
    let mut quiet = place.command(BINARY);
    quiet
        .args(run)
        .args(["--set", "max-new-tokens=2", "--quiet", "--report", "csv"])
        .env("HF_ENDPOINT", hub.endpoint());
    let quiet = quiet.output().unwrap();
    assert!(quiet.status.success() && !stderr(&quiet).contains(note), "{}", told(&quiet));
    for status in [401, 403, 404] {
        hub.list_as(status, "");
        let output = command(&place, &hub).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(
            stderr(&output).starts_with("error: the model 'owner/name' can't be downloaded: "),
            "{}",
            told(&output)
        );
    }
}

#[test]
fn a_quiet_run_downloads_in_silence() {
    let (place, hub) = (Place::new(), hub());
    let run = ["run", "--quick", "--model", "owner/name", "--download", "--device", "cpu", "--set", "prompt-tokens=4"];
    let output = place
        .command(BINARY)
        .args(run)
        .args(["--set", "max-new-tokens=2", "--quiet"])
        .env("HF_ENDPOINT", hub.endpoint())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(!stderr(&output).contains("download"), "{}", told(&output));
}

#[test]
fn the_token_is_shown_to_the_hub_alone() {
    let hub = hub();
    hub.only_for("secret");
    let check = |command: &mut Command| {
        works(&command.output().unwrap());
        for asked in hub.asked() {
            assert_eq!(asked.header("authorization"), (!asked.of_store).then_some("Bearer secret"), "{asked:?}");
        }
    };
    check(command(&Place::new(), &hub).env("HF_TOKEN", "secret"));
    let place = Place::new();
    let path = place.write("my-token", "secret\n");
    check(command(&place, &hub).env("HF_TOKEN_PATH", path));
    // Wherever models are kept.
    let place = Place::new();
    place.write(".cache/huggingface/token", "secret\n");
    check(command(&place, &hub).env("HF_HUB_CACHE", place.path("models")));
    assert!(place.path("models/models--owner--name/refs/main").exists());
    let output = command(&Place::new(), &hub).env("HF_TOKEN", "wrong-one").output().unwrap();
    assert!(output.status.code() == Some(2) && !told(&output).contains("wrong-one"), "{}", told(&output));
}

#[test]
fn a_model_in_several_files_is_downloaded_and_used() {
    let hub = hub();
    let whole = weights();
    let data = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let tensors: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&whole[8..data]).unwrap();
    let files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let part = |which: usize| {
        let mut header = serde_json::Map::new();
        let mut bytes = Vec::new();
        for (name, tensor) in tensors.iter().filter(|(name, _)| *name != "__metadata__").skip(which).step_by(2) {
            let offset = |at: usize| tensor["data_offsets"][at].as_u64().unwrap() as usize;
            let start = bytes.len();
            bytes.extend_from_slice(&whole[data + offset(0)..data + offset(1)]);
            let mut tensor = tensor.clone();
            tensor["data_offsets"] = serde_json::json!([start, bytes.len()]);
            header.insert(name.clone(), tensor);
        }
        let names: Vec<_> = header.keys().cloned().collect();
        let mut json = serde_json::to_vec(&header).unwrap();
        json.resize(json.len().next_multiple_of(8), b' ');
        ([(json.len() as u64).to_le_bytes().to_vec(), json, bytes].concat(), names)
    };
    let mut map = serde_json::Map::new();
    for (which, file) in files.into_iter().enumerate() {
        let (bytes, names) = part(which);
        map.extend(names.into_iter().map(|name| (name, file.into())));
        hub.has(file, File::large(bytes));
    }
    let one = command(&Place::new(), &hub).output().unwrap();
    hub.lose("model.safetensors");
    hub.has("model.safetensors.index.json", File::small(serde_json::json!({ "weight_map": map }).to_string()));
    let place = Place::new();
    let several = command(&place, &hub).output().unwrap();
    works(&several);
    let tokens =
        |output: &Output| serde_json::from_str::<serde_json::Value>(&stdout(output)).unwrap()["tokens"].clone();
    assert_eq!(tokens(&one), tokens(&several));
    // And from the cache, without the hub.
    hub.asked();
    works(&command(&place, &hub).output().unwrap());
    assert!(hub.asked().is_empty());
}

#[test]
fn the_cache_is_pythons() {
    let hub = hub();
    let place = Place::new();
    works(&command(&place, &hub).env_remove("HF_HOME").env("XDG_CACHE_HOME", place.path("xdg")).output().unwrap());
    assert!(place.path("xdg/huggingface/hub/models--owner--name/refs/main").exists());
    let place = Place::new();
    works(&command(&place, &hub).env_remove("HF_HOME").env_remove("XDG_CACHE_HOME").output().unwrap());
    assert!(place.path(".cache/huggingface/hub/models--owner--name/refs/main").exists());
}

#[test]
fn two_processes_at_once_both_have_it() {
    let (place, hub) = (Place::new(), hub());
    hub.has("model.safetensors", File::large(weights()).delay(Duration::from_millis(300)));
    let start =
        || command(&place, &hub).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let both = [start().unwrap(), start().unwrap()];
    both.into_iter().for_each(|one| works(&one.wait_with_output().unwrap()));
    assert_eq!(hub.asked().iter().filter(|asked| asked.of_store).count(), 1);
}

#[test]
fn what_goes_wrong_is_said_and_leaves_no_model() {
    let mut all = String::new();
    let mut refuse = |name: &str, hub: &Hub, change: &dyn Fn(&mut Command)| {
        let place = Place::new();
        let mut command = command(&place, hub);
        change(&mut command);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{}", told(&output));
        assert!(!place.path(".cache/huggingface/hub/models--owner--name/refs").exists());
        let text = stderr(&output);
        let error = text.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(!text.contains(fake_hub::SIGNATURE), "{text}");
        let error = error
            .replace(&hub.endpoint(), "HUB")
            .replace(&hub.store(), "STORE")
            .replace(&place.folder().display().to_string(), "[folder]");
        writeln!(all, "{name}: {error}\n").unwrap();
        place
    };
    let none = |_: &mut Command| ();
    let changed = |name: &str, file: File| {
        let hub = hub();
        hub.has(name, file);
        hub
    };
    refuse("offline", &hub(), &|command| _ = command.env("HF_HUB_OFFLINE", "1"));
    let place = refuse("no place", &hub(), &|command| {
        for variable in ["HOME", "HF_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(variable);
        }
    });
    assert_eq!(std::fs::read_dir(place.folder()).unwrap().count(), 0, "nothing is left in the present folder");
    refuse("relative place", &hub(), &|command| _ = command.env("HF_HUB_CACHE", "models"));
    refuse("endpoint", &hub(), &|command| _ = command.env("HF_ENDPOINT", "mirror"));
    refuse("a tokenizer with 503", &changed("vocab.json", File::small("{}").status(503)), &none);
    refuse("gated", &changed("config.json", File::small("{}").status(403)), &none);
    let private = hub();
    private.only_for("secret");
    refuse("private", &private, &none);
    refuse("wrong token", &private, &|command| _ = command.env("HF_TOKEN", "x"));
    let other = hub();
    other.list_as(404, "401");
    refuse("no model", &other, &none);
    refuse("stalled", &changed("merges.txt", File::small("a b").stall(0)), &|command| {
        command.env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
    });
    let wrong = File::large("right").instead("wrong").instead("wrong");
    refuse("other bytes", &changed("model.safetensors", wrong), &none);
    refuse("no folder", &hub(), &|command| {
        let file = command.get_current_dir().unwrap().join("file");
        std::fs::write(&file, "").unwrap();
        command.env("HF_HOME", file);
    });
    refuse("no time", &hub(), &|command| _ = command.env("HF_HUB_DOWNLOAD_TIMEOUT", "0.001"));
    refuse("no object", &changed("config.json", File::small("[]")), &none);
    let store = changed("model.safetensors", File::large(weights()).store_status(403));
    refuse("refused by the store", &store, &|command| _ = command.env("HF_TOKEN", "x"));
    let bin = Hub::start(&[("config.json", File::small("{}")), ("pytorch_model.bin", File::large("x"))]);
    refuse("bin only", &bin, &none);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.bind(|| insta::assert_snapshot!("hub_refused", all));
}

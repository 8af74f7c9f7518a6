//! A plugin that is an interpreter: its first setting's value is a program of calls into the host, with whatever handles, pointers
//! and lengths the program says. It is core WebAssembly written by hand, since no compiler makes what is wrong.
//!
//! Of the program each instruction is a byte, and each of its operands a byte that says how it is written: see `$operand`. Loads and
//! stores of the interpreter itself stay in its memory; what the host is handed is as the program says.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../wit/plugin.wit");

/// The most instructions that a program runs, however it jumps.
const STEPS: u32 = 500;

/// What is called: interface, function, its operands (`i` an i32, `d` a f64 in memory, `l` an i64 in memory, `s` a f32 in memory), and
/// whether it gives a handle.
const CALLS: &[(&str, &str, &str, bool)] = &[
    ("bench", "[constructor]plan", "iiii", true),
    ("bench", "[method]plan.set-iterations", "ii", false),
    ("bench", "[method]plan.set-warmup", "ii", false),
    ("bench", "[method]plan.set-warmup-until-steady", "ii", false),
    ("bench", "[method]plan.set-batch", "ii", false),
    ("bench", "[method]plan.set-time-limit", "id", false),
    ("bench", "[resource-drop]plan", "i", false),
    ("bench", "measure", "ii", false),
    ("model", "about", "i", false),
    ("model", "encode", "iii", false),
    ("model", "decode", "iii", false),
    ("model", "generate", "iiiiiisiiisli", false),
    ("recordings", "[method]run.label", "ii", false),
    ("recordings", "[method]run.extent", "ii", false),
    ("recordings", "[method]run.metrics", "ii", false),
    ("recordings", "[method]run.value", "iiii", false),
    ("recordings", "[method]run.samples", "iiii", false),
    ("recordings", "[method]run.times", "iiii", false),
    ("recordings", "[method]run.absences", "ii", false),
    ("recordings", "[resource-drop]run", "i", false),
    ("recordings", "[method]recording.facts", "ii", false),
    ("recordings", "[method]recording.runs", "ii", false),
    ("recordings", "[method]recording.summary", "ii", false),
    ("recordings", "[resource-drop]recording", "i", false),
    ("gpu", "devices", "i", false),
    ("gpu", "read", "ii", false),
    ("log", "log", "iii", false),
];

/// What the interpreter does by itself, after the calls.
const OWN: &[&str] = &[
    // A handle that the host wrote into memory: in a result, or first of a list.
    "(call $keep (i32.load offset=4 (call $inside (call $operand))))",
    "(call $keep (i32.load (call $inside (i32.load (call $inside (call $operand))))))",
    // A value of the program's in memory.
    "(i32.store (call $inside (call $operand)) (call $operand))",
    "(i64.store (call $inside (call $operand)) (i64.extend_i32_u (call $operand)))",
    "(f64.store (call $inside (call $operand)) (f64.convert_i32_s (call $operand)))",
    "(f32.store (call $inside (call $operand)) (f32.convert_i32_s (call $operand)))",
    "(i32.store8 (call $inside (call $operand)) (call $operand))",
    // How memory is given to the host from here on.
    "(global.set $allocation (i32.rem_u (call $operand) (i32.const 7)))",
    "(global.set $free (i32.const 65536))",
    "(drop (memory.grow (i32.and (call $operand) (i32.const 63))))",
    // What is returned.
    "(global.set $result (call $operand))",
    "(global.set $at (i32.add (global.get $program) (i32.and (call $operand) (i32.const 1023))))",
    "unreachable",
];

/// Where in the list of instructions a call is.
pub fn call(function: &str) -> u8 {
    CALLS.iter().position(|(_, name, ..)| *name == function).unwrap() as u8
}

/// Where in the list of instructions what the interpreter does by itself is.
pub fn own(number: usize) -> u8 {
    (CALLS.len() + number) as u8
}

/// Of the program's bytes the text that the guest is given: two letters each, as a setting's value is text.
pub fn program(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half)).collect()
}

/// The component: a workload and a report.
pub fn component() -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", CONTRACT).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = wat::parse_str(module()).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

fn module() -> String {
    let mut imports = String::new();
    let mut cases = String::new();
    for (number, (interface, function, operands, handle)) in CALLS.iter().enumerate() {
        let types: Vec<&str> = operands.chars().map(wasm_type).collect();
        let result = if *handle { "(result i32)" } else { "" };
        imports += &format!(
            "(import \"harness:plugin/{interface}@0.2.0\" \"{function}\" (func $f{number} (param {}) {result}))\n",
            types.join(" ")
        );
        let values: Vec<String> = operands.chars().map(value).collect();
        let call = format!("(call $f{number} {})", values.join(" "));
        cases += &case(number, &if *handle { format!("(call $keep {call})") } else { call });
    }
    for (number, code) in OWN.iter().enumerate() {
        cases += &case(CALLS.len() + number, code);
    }
    let instructions = CALLS.len() + OWN.len();
    let give_back = call("[resource-drop]recording");
    format!(
        r#"(module
          {imports}
          (memory (export "memory") 4)
          (global $program (mut i32) (i32.const 0))
          (global $at (mut i32) (i32.const 0))
          (global $end (mut i32) (i32.const 0))
          (global $free (mut i32) (i32.const 65536))
          (global $allocation (mut i32) (i32.const 6))
          (global $result (mut i32) (i32.const 0x500))
          (global $kept (mut i32) (i32.const 0))
          ;; 0x100: 32 handles; 0x200: a description, its name at 0x240; 0x300: a request for two tokens after four, then others;
          ;; 0x400: names of metrics; 0x500: an empty result; 0x600: text; from 0x800 on what the host answers.
          (data (i32.const 0x200) "\40\02\00\00\04\00\00\00\43\02\00\00\01\00\00\00\40\02\00\00\04\00\00\00")
          (data (i32.const 0x240) "fuz0")
          (data (i32.const 0x300) "\02\00\00\00\04\00\00\00\00\00\00\00\02\00\00\00")
          (data (i32.const 0x400) "latency\00\00\00\00\00\00\00\00\00inter_token_latency")
          (data (i32.const 0x600) "Hello, \c3\a9\e2\80\ae\f0\9f\98\80\1b[2J world")
          (func $byte (result i32)
            (if (i32.ge_u (global.get $at) (global.get $end)) (then (return (i32.const 0))))
            (i32.or
              (i32.shl (i32.and (i32.sub (i32.load8_u (global.get $at)) (i32.const 97)) (i32.const 15)) (i32.const 4))
              (i32.and (i32.sub (i32.load8_u offset=1 (global.get $at)) (i32.const 97)) (i32.const 15)))
            (global.set $at (i32.add (global.get $at) (i32.const 2))))
          (func $inside (param i32) (result i32) (i32.and (local.get 0) (i32.const 0xfffc)))
          (func $keep (param i32)
            (i32.store (i32.add (i32.const 0x100) (i32.shl (global.get $kept) (i32.const 2))) (local.get 0))
            (global.set $kept (i32.and (i32.add (global.get $kept) (i32.const 1)) (i32.const 31))))
          ;; The low three bits of the byte say which kind, the others are its number.
          (func $operand (result i32)
            (local $byte i32) (local $number i32)
            (local.set $byte (call $byte))
            (local.set $number (i32.shr_u (local.get $byte) (i32.const 3)))
            (block $literal (block $raw (block $minus (block $power (block $answer (block $text (block $fixed (block $handle
              (br_table 0 1 2 3 4 5 6 7 (i32.and (local.get $byte) (i32.const 7)))
              ) (return (local.get $number)))
              (return (i32.load (i32.add (i32.const 0x100) (i32.shl (local.get $number) (i32.const 2))))))
              (return (i32.add (i32.const 0x300) (i32.shl (local.get $number) (i32.const 4)))))
              (return (i32.add (i32.const 0x600) (local.get $number))))
              (return (i32.add (i32.const 0x800) (i32.shl (local.get $number) (i32.const 6)))))
              (return (i32.shl (i32.const 1) (local.get $number))))
              (return (i32.sub (i32.const -1) (local.get $number))))
            (i32.or (call $byte) (i32.or (i32.shl (call $byte) (i32.const 8))
              (i32.or (i32.shl (call $byte) (i32.const 16)) (i32.shl (call $byte) (i32.const 24))))))
          (func (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
            (local $at i32)
            (block $own (block $trap (block $call (block $out (block $odd (block $zero (block $last
              (br_table 0 1 2 3 4 5 6 (global.get $allocation)))
              ;; Right up to the end of the memory, or past it.
              (return (i32.sub (i32.shl (memory.size) (i32.const 16)) (local.get $size))))
              (return (i32.const 0)))
              (return (i32.const 65537)))
              (return (i32.const -8)))
              (call $f8 (i32.const 0x800)))
              unreachable)
            (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.set $free (i32.add (local.get $at) (local.get $size)))
            (if (i32.gt_u (global.get $free) (i32.shl (memory.size) (i32.const 16)))
              (then (drop (memory.grow (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))))
            (local.get $at))
          (func $run (param $settings i32)
            (local $steps i32)
            (global.set $program (i32.load offset=8 (local.get $settings)))
            (global.set $at (global.get $program))
            (global.set $end (i32.add (global.get $at) (i32.load offset=12 (local.get $settings))))
            (block $done (loop $next
              (br_if $done (i32.ge_u (global.get $at) (global.get $end)))
              (br_if $done (i32.ge_u (local.tee $steps (i32.add (local.get $steps) (i32.const 1))) (i32.const {STEPS})))
              (call $step (i32.rem_u (call $byte) (i32.const {instructions})))
              (br $next))))
          (func $step (param $instruction i32)
            {cases})
          (func $describe (export "harness:plugin/workload@0.2.0#describe") (result i32) (i32.const 0x200))
          (export "harness:plugin/report@0.2.0#describe" (func $describe))
          (func (export "harness:plugin/workload@0.2.0#run") (param i32 i32) (result i32)
            (call $run (local.get 0))
            (global.get $result))
          (func (export "harness:plugin/report@0.2.0#render") (param i32 i32 i32) (result i32)
            (call $keep (local.get 0))
            (call $run (local.get 1))
            ;; What is lent is given back.
            (call $f{give_back} (local.get 0))
            (global.get $result)))"#
    )
}

fn case(number: usize, code: &str) -> String {
    format!("(if (i32.eq (local.get $instruction) (i32.const {number})) (then {code} (return)))\n")
}

fn wasm_type(operand: char) -> &'static str {
    match operand {
        'd' => "f64",
        's' => "f32",
        'l' => "i64",
        _ => "i32",
    }
}

fn value(operand: char) -> String {
    match operand {
        'i' => "(call $operand)".to_owned(),
        other => format!("({}.load (call $inside (call $operand)))", wasm_type(other)),
    }
}

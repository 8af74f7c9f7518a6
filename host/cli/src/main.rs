//! `harness`: the binary; all of it is in the library beside it.

#[global_allocator]
static ALLOCATOR: harness::Allocator = harness::Allocator;

fn main() -> std::process::ExitCode {
    harness::main()
}

//! `payments`: the payment system's one program.

/// A third of a process's time under load went to the system's allocator, most of it where threads free what others took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    payments::program::run()
}

//! The `payments` program, unchanged, where this package's tests find it.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    payments::program::run()
}

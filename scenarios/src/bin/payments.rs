//! The `payments` program, unchanged, where this package's tests find it.

fn main() -> std::process::ExitCode {
    payments::program::run()
}

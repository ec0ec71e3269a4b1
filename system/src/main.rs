//! `payments`: the payment system's one program.

fn main() -> std::process::ExitCode {
    payments::program::run()
}

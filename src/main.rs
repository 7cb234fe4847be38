//! Reads the command line and starts one command.

fn main() -> std::process::ExitCode {
    matrix_appservice_rocketchat::cli::main()
}

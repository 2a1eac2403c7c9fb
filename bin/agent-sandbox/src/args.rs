//! What was typed, and which part does it.

use crate::{backup, doctor, down, restore, status, up};
use clap::{CommandFactory as _, Parser, Subcommand};
use cli::{Command, Connection, ConnectionArgs, Failure, Result};

const EXAMPLES: &str = "Examples:
  agent-sandbox up --detach                               start everything on this machine
  agent-sandbox run -- python3 -c 'print(6*7)'            a command in a sandbox of its own
  agent-sandbox create my-sandbox --runtime gvisor        a sandbox that stays
  agent-sandbox exec -it my-sandbox -- bash
  agent-sandbox suspend my-sandbox; agent-sandbox resume my-sandbox
  kubectl --context agent-sandbox get sandboxes           the same objects with kubectl";

const COMPLETION_EXAMPLES: &str = "Examples:
  source <(agent-sandbox completion bash)                                       in this shell
  agent-sandbox completion bash > /etc/bash_completion.d/agent-sandbox          in every bash
  agent-sandbox completion zsh > /usr/local/share/zsh/site-functions/_agent-sandbox
  agent-sandbox completion fish > ~/.config/fish/completions/agent-sandbox.fish";

const VERSION_EXAMPLES: &str = "Examples:
  agent-sandbox version";

/// Isolated, stateful sandboxes for AI agents and the code they write.
#[derive(Parser)]
#[command(name = "agent-sandbox", version, after_help = EXAMPLES, max_term_width = 110)]
struct Args {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start everything on this machine: API server, controllers, node agent
    #[command(after_help = up::EXAMPLES)]
    Up(up::UpArgs),
    /// Stop what 'up' started; with --purge also delete its data
    #[command(after_help = down::EXAMPLES)]
    Down(down::DownArgs),
    /// Say whether this machine's agent-sandbox runs, where, and what it holds
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusArgs),
    /// Check what isolation this machine offers and what to install for more
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::DoctorArgs),
    /// Write objects, certificates, keys and volumes to one file, while it runs or not
    #[command(after_help = backup::EXAMPLES)]
    Backup(backup::BackupArgs),
    /// Make a data directory of a backup
    #[command(after_help = restore::EXAMPLES)]
    Restore(restore::RestoreArgs),
    #[command(flatten)]
    Sandbox(Command),
    /// Print the completion script of a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the version
    #[command(after_help = VERSION_EXAMPLES)]
    Version,
}

/// Parses the command line and does what it says; the number is the exit code.
pub(crate) fn parse_and_run() -> Result<u8> {
    let args = Args::parse();
    // One TLS provider for the whole process; a second installation would be a bug.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Failure::new("a TLS provider was installed before main"))?;
    match args.command {
        Verb::Up(up) => up::perform(up),
        Verb::Down(down) => block_on(down::perform(down)).map(|()| 0),
        Verb::Status(status) => block_on(status::perform(status)),
        Verb::Doctor(doctor) => block_on(doctor::perform(doctor)),
        Verb::Backup(backup) => block_on(backup::perform(backup)).map(|()| 0),
        Verb::Restore(restore) => block_on(restore::perform(restore)).map(|()| 0),
        Verb::Sandbox(command) => block_on(async {
            let connection = Connection::open(&args.connection).await?;
            cli::perform(command, &connection).await
        }),
        Verb::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "agent-sandbox", &mut script);
            cli::print(format_args!("{}", String::from_utf8_lossy(&script)));
            Ok(0)
        }
        Verb::Version => {
            cli::say!("agent-sandbox {}", env!("CARGO_PKG_VERSION"));
            Ok(0)
        }
    }
}

/// Runs one command on a runtime of its own, of one thread: it waits more than it works.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("start the async runtime: {error}")))?;
    let done = runtime.block_on(command);
    // A read of standard input cannot be called off; nobody waits for a line that may never be typed.
    runtime.shutdown_background();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_verbs_help_has_examples() {
        fn missing(command: &clap::Command, path: &str, found: &mut Vec<String>) {
            for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
                let path = format!("{path} {}", verb.get_name());
                let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
                if !help.contains("Examples:") || !help.contains(&path) {
                    found.push(path.clone());
                }
                missing(verb, &path, found);
            }
        }
        let mut found = Vec::new();
        missing(&Args::command(), "agent-sandbox", &mut found);
        assert!(found.is_empty(), "without examples: {found:?}");
    }

    #[test]
    fn a_wrong_time_is_a_wrong_command_line() {
        let refused =
            Args::try_parse_from(["agent-sandbox", "expire", "box", "soon"]).err().expect("refused");
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("neither a duration"), "{refused}");
        assert!(Args::try_parse_from(["agent-sandbox", "expire", "box", "never"]).is_ok());
    }

    #[test]
    fn everything_after_two_dashes_belongs_to_the_command() {
        let args = Args::try_parse_from(["agent-sandbox", "run", "-i", "--", "ls", "-l", "--all"]);
        assert!(matches!(args.expect("parsed").command, Verb::Sandbox(Command::Run(_))));
    }
}

//! The verbs, and the one place that sends each to its file.

use crate::{
    apply,
    connection::Connection,
    create, exec, expire,
    failure::{Failure, NOT_RUN, Result},
    image, list, logs, mode, remove, run, why,
};
use clap::Subcommand;

/// A verb with its arguments.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run a command in a new sandbox, stream its output, exit with its code, delete the sandbox
    #[command(after_help = run::EXAMPLES)]
    Run(run::RunArgs),
    /// Create a sandbox and wait until it is ready
    #[command(after_help = create::EXAMPLES)]
    Create(create::CreateArgs),
    /// Apply manifests, as kubectl apply --server-side does
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::ApplyArgs),
    /// List sandboxes
    #[command(visible_alias = "list", after_help = list::EXAMPLES)]
    Ls(list::ListArgs),
    /// Run a command in a sandbox that exists
    #[command(after_help = exec::EXAMPLES)]
    Exec(exec::ExecArgs),
    /// Open a shell in a sandbox
    #[command(after_help = exec::SHELL_EXAMPLES)]
    Shell(exec::ShellArgs),
    /// Print what a sandbox's main process has written
    #[command(after_help = logs::EXAMPLES)]
    Logs(logs::LogsArgs),
    /// Stop a sandbox and keep its volumes and, on standalone, its files
    #[command(after_help = mode::SUSPEND_EXAMPLES)]
    Suspend(mode::ModeArgs),
    /// Start a suspended sandbox again
    #[command(after_help = mode::RESUME_EXAMPLES)]
    Resume(mode::ModeArgs),
    /// Set or remove the time at which a sandbox is shut down
    #[command(after_help = expire::EXAMPLES)]
    Expire(expire::ExpireArgs),
    /// Delete sandboxes with their volumes
    #[command(visible_alias = "delete", after_help = remove::EXAMPLES)]
    Rm(remove::RemoveArgs),
    /// Say what happened to a sandbox, what it waits for and what to do
    #[command(after_help = why::EXAMPLES)]
    Why(why::WhyArgs),
    /// Manage the images of a standalone machine
    #[command(subcommand, after_help = image::EXAMPLES)]
    Image(image::ImageCommand),
}

/// Does what was asked; the number is the exit code of the process.
///
/// # Errors
/// As each verb says; the failure carries its own exit code.
pub async fn perform(command: Command, connection: &Connection) -> Result<u8> {
    match command {
        Command::Run(args) => Box::pin(run::perform(args, connection)).await.map_err(not_the_commands_own),
        Command::Create(args) => Box::pin(create::perform(args, connection)).await.map(|()| 0),
        Command::Apply(args) => Box::pin(apply::perform(args, connection)).await.map(|()| 0),
        Command::Ls(args) => list::perform(args, connection).await.map(|()| 0),
        Command::Exec(args) => exec::perform(args, connection).await.map_err(not_the_commands_own),
        Command::Shell(args) => exec::shell(args, connection).await.map_err(not_the_commands_own),
        Command::Logs(args) => logs::perform(args, connection).await.map(|()| 0),
        Command::Suspend(args) => mode::suspend(args, connection).await.map(|()| 0),
        Command::Resume(args) => mode::resume(args, connection).await.map(|()| 0),
        Command::Expire(args) => expire::perform(args, connection).await.map(|()| 0),
        Command::Rm(args) => remove::perform(args, connection).await.map(|()| 0),
        Command::Why(args) => why::perform(args, connection).await.map(|()| 0),
        Command::Image(command) => image::perform(command, connection).await.map(|()| 0),
    }
}

/// What goes wrong on our side must not look like the command's own exit code.
fn not_the_commands_own(failure: Failure) -> Failure {
    failure.or_exit_code(NOT_RUN)
}

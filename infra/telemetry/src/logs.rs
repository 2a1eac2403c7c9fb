//! Logging: for people on a terminal, one JSON object a line for collectors, filtered by directives.
//!
//! Lines go to standard error; standard output belongs to the command. A line is written in one call, so that
//! lines of several threads never mix.

use std::fmt;
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Environment variable with filter directives, for example `info,kubekit=debug`.
pub const FILTER_VARIABLE: &str = "AGENT_SANDBOX_LOG";

/// What is logged when nobody says anything: our own progress, other people's warnings.
const DEFAULT_FILTER: &str =
    "info,hyper=warn,kube=warn,rustls=warn,h2=warn,tower=warn,hickory_proto=warn,hickory_server=warn";

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: short, with colours on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// How to log.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How lines look.
    pub format: Format,
    /// Filter directives; unset takes those of [`FILTER_VARIABLE`], and without these a quiet default.
    pub filter: Option<String>,
}

/// Why logging could not be set up.
#[derive(Debug)]
pub enum SetupError {
    /// The filter directives cannot be read.
    Filter {
        /// The directives.
        text: String,
        /// What is wrong with them.
        reason: String,
    },
    /// Logging was set up before in this process.
    Twice,
}

/// Sets up logging for the whole process. Can be done once.
pub fn init(config: &Config) -> Result<(), SetupError> {
    let filter = filter(config, std::env::var(FILTER_VARIABLE).ok())?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let result = match config.format {
        Format::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
        Format::Human => {
            let terminal = io::stderr().is_terminal();
            registry.with(lines.with_timer(TimeOfDay).with_ansi(terminal).with_target(!terminal)).try_init()
        }
    };
    result.map_err(|_| SetupError::Twice)
}

fn filter(config: &Config, variable: Option<String>) -> Result<EnvFilter, SetupError> {
    let text = config.filter.clone().or(variable).filter(|text| !text.trim().is_empty());
    let text = text.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    EnvFilter::try_new(&text).map_err(|reason| SetupError::Filter { text, reason: reason.to_string() })
}

/// Milliseconds are enough for people.
struct TimeOfDay;

// === impl TimeOfDay ===

impl FormatTime for TimeOfDay {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:.3}", jiff::Timestamp::now())
    }
}

// === impl SetupError ===

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { text, reason } => write!(f, "log filter {text:?} cannot be read: {reason}"),
            Self::Twice => f.write_str("logging was set up twice in one process"),
        }
    }
}

impl std::error::Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(config: Option<&str>, variable: Option<&str>) -> String {
        let config = Config { filter: config.map(str::to_owned), ..Config::default() };
        filter(&config, variable.map(str::to_owned)).unwrap().to_string()
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_both_over_the_default() {
        assert_eq!(directives(Some("debug"), Some("error")), "debug");
        assert_eq!(directives(None, Some("error")), "error");
        assert!(directives(None, Some(" ")).contains("info"));
        assert!(directives(None, None).contains("hyper=warn"));
    }

    #[test]
    fn a_bad_filter_is_named() {
        let config = Config { filter: Some("kubekit=loud".to_owned()), ..Config::default() };
        let error = filter(&config, None).unwrap_err().to_string();
        assert!(error.starts_with("log filter \"kubekit=loud\" cannot be read: "), "{error}");
    }

    #[test]
    fn a_second_set_up_is_refused() {
        let config = Config { filter: Some("off".to_owned()), ..Config::default() };
        init(&config).unwrap();
        assert!(matches!(init(&config), Err(SetupError::Twice)));
    }
}

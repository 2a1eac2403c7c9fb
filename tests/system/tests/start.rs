//! What can never start, or has started too quickly to be seen: every wait ends, and says why.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use system::{Machine, Output, eventually};

#[test]
fn a_run_that_can_never_start_says_why_and_ends_with_125() {
    let machine = Machine::shared();
    let cases: [(&[&str], &str); 4] = [
        (&["--runtime", "firecracker"], "RuntimeClass \"firecracker\" not found; there are: gvisor, runc"),
        (&["--runtime", "runc", "--workdir", "relative"], "workingDir \"relative\" must be an absolute path"),
        (&["--runtime", "runc", "--image", "registry.invalid/x:1"], "registry.invalid"),
        (&["--runtime", "runc", "--volume", "d:/d:900Ti", "--timeout", "3"], "the claim asks for 900Ti"),
    ];
    for (flags, expected) in cases {
        let started = Instant::now();
        let seen = machine.cli(&[&["run"], flags, &["--", "true"]].concat());
        assert_eq!(seen.code, 125, "{seen:?}");
        assert!(seen.err.contains(expected), "{seen:?}");
        assert!(started.elapsed() < Duration::from_secs(40), "{flags:?}: took {:?}", started.elapsed());
    }
    eventually("no sandbox is left", || !machine.cli(&["ls", "-o", "name"]).ok().contains("/run-"));
}

#[test]
fn create_gives_up_on_an_image_that_does_not_exist_long_before_its_time() {
    let machine = Machine::shared();
    let started = Instant::now();
    let said = machine.cli(&["create", "no-image", "--image", "registry.invalid/x:1"]).refused();
    assert!(said.contains("ErrImagePull") && said.contains("agent-sandbox why no-image"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(60), "took {:?}", started.elapsed());
    let said = machine.cli(&["create", "no-image-2", "--image", "registry.invalid/x:1", "--timeout", "2"]);
    let pending = said.err.lines().filter(|line| line.starts_with("no-image-2: starting")).count();
    assert!((1..=2).contains(&pending), "without a terminal what is pending is said, once: {said:?}");
    machine.cli(&["rm", "no-image", "no-image-2"]).ok();
}

#[test]
fn a_run_whose_server_is_gone_ends() {
    let machine = Machine::up();
    let mut client = machine.command();
    client.args(["run", "--runtime", "runc", "--name", "orphan", "--", "sleep", "1000"]);
    let mut client = client.stderr(Stdio::piped()).spawn().expect("run");
    eventually("it runs", || machine.cli(&["exec", "orphan", "--", "true"]).code == 0);
    machine.kill();
    // Its output breaks off with the server; then 30 seconds without an answer are enough.
    assert_eq!(client.wait().expect("wait").code(), Some(125));
    machine.start().ok();
    machine.purge();
}

/// `script` gives a command a terminal.
fn on_terminal(machine: &Machine, line: &str) -> Output {
    let binary = machine.command().get_program().to_string_lossy().into_owned();
    Output::of(machine.tool("script").args(["-qec", &format!("{binary} {line}"), "/dev/null"]))
}

#[test]
fn a_run_with_a_terminal_loses_nothing_of_a_quick_command() {
    let machine = Machine::shared();
    for runtime in ["runc", "gvisor"] {
        for _ in 0..3 {
            let seen = on_terminal(&machine, &format!("run --runtime {runtime} -t -- echo hi"));
            assert_eq!(seen.code, 0, "{seen:?}");
            assert!(seen.out.contains("hi\r\n"), "{runtime}: {seen:?}");
        }
    }
    let seen = on_terminal(&machine, "run --runtime runc -t -- sh -c 'seq 1 30000; exit 7'");
    assert_eq!(seen.code, 7);
    let numbers = seen.out.lines().filter(|line| line.trim().parse::<u32>().is_ok()).count();
    assert!(numbers >= 29_999, "only {numbers} lines of what was written before the attach");
    let said = machine.cli(&["run", "--runtime", "runc", "-t", "--", "echo", "hi"]);
    assert!(said.err.contains("no terminal: going on without one"), "{said:?}");
    assert_eq!(said.out, "hi\n");
}

#[test]
fn a_shells_first_prompt_is_seen() {
    let machine = Machine::shared();
    let binary = machine.command().get_program().to_string_lossy().into_owned();
    let typed = format!(
        "(sleep 4; echo 'exit 5'; sleep 2) | script -qec \"{binary} run --runtime runc -it -e PS1=ready -- sh\" /dev/null"
    );
    let seen = Output::of(machine.tool("bash").args(["-c", &typed]));
    assert_eq!(seen.code, 5, "{seen:?}");
    let prompt = seen.out.find("ready");
    let answer = seen.out.find("exit 5");
    assert!(prompt.is_some() && prompt < answer, "the prompt came before anything was typed: {seen:?}");
}

#[test]
fn a_command_that_needs_no_input_may_end_before_it_comes() {
    let machine = Machine::shared();
    for code in ["0", "4"] {
        let script = format!("exit {code}");
        let args = ["run", "--runtime", "runc", "-i", "--", "sh", "-c", &script];
        assert_eq!(machine.cli(&args).code.to_string(), code);
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let machine = Machine::shared();
    machine.cli(&["create", "endless", "--runtime", "runc", "--", "yes"]).ok();
    let streams: [&[&str]; 6] = [
        &["completion", "bash"],
        &["ls"],
        &["create", "--help"],
        &["exec", "endless", "--", "yes"],
        &["logs", "-f", "endless"],
        &["run", "--runtime", "runc", "--", "yes"],
    ];
    for args in streams {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let mut command = machine.command();
        let ended = command.args(args).stdout(writer).stderr(Stdio::piped()).output().expect("start");
        let code = if args.contains(&"--help") { 0 } else { 141 };
        assert_eq!(ended.status.code(), Some(code), "{args:?}: as SIGPIPE would end it");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{args:?}");
    }
    machine.cli(&["rm", "endless"]).ok();
    eventually("the run's sandbox is gone", || !machine.cli(&["ls", "-o", "name"]).ok().contains("/run-"));
}

use clap::{CommandFactory as _, Parser as _};

use super::args::{Cli, Command, DeadCommand, EventsCommand};

/// The examples of a command's help, with those of its subcommands.
fn examples(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let own: Vec<&str> = help.lines().filter(|line| line.starts_with("  sapo-sync ")).collect();
    assert!(help.starts_with("Examples:\n") && !own.is_empty(), "{path} has no example");
    found.extend(own.into_iter().map(|line| (path.to_owned(), line.trim().to_owned())));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        examples(below, &format!("{path} {}", below.get_name()), found);
    }
}

/// The words of a line as a shell takes them: quotes hold words together, and a bare # begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '#' && word.is_none() => break,
            None if c.is_whitespace() => words.extend(word.take()),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word = Some(word.unwrap_or_default());
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn examples_are_split_as_a_shell_does() {
    assert_eq!(words("a  --order '#1001' \"b c\"d '' e#f # rest"), ["a", "--order", "#1001", "b cd", "", "e#f"]);
}

#[test]
fn every_command_has_examples_and_every_example_is_understood() {
    let mut found = Vec::new();
    examples(&Cli::command(), "sapo-sync", &mut found);
    for (path, example) in found {
        let parsed = Cli::command().try_get_matches_from(words(&example));
        assert!(parsed.is_ok(), "{path}: {example}: {}", parsed.unwrap_err());
    }
}

#[test]
fn the_arguments_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn lists_show_fifty_rows_unless_told_otherwise() {
    let cli = Cli::try_parse_from(["sapo-sync", "events", "list"]).unwrap();
    assert!(matches!(cli.command, Command::Events(EventsCommand::List { filter, .. }) if filter.limit == 50));
}

#[test]
fn what_holds_for_every_command_may_stand_anywhere() {
    for line in ["sapo-sync --json --data-dir d events list", "sapo-sync events list --json --data-dir d"] {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        assert!(cli.global.json && cli.global.data_dir.is_some(), "{line}");
    }
}

#[test]
fn several_letters_are_named_or_all_are_meant() {
    let cli = Cli::try_parse_from("sapo-sync dead replay a b".split_whitespace()).unwrap();
    assert!(matches!(cli.command, Command::Dead(DeadCommand::Replay(letters)) if letters.which.ids == ["a", "b"]));
}

#[test]
fn wrong_usage_is_refused() {
    for line in [
        "",
        "fly",
        "dead replay",
        "dead replay --code refused",
        "dead replay a --all",
        "dead replay a --rate 5/s",
        "dead replay --all --rate 0",
        "dead replay --all --rate 5/h",
        "dead discard --all --rate 5",
        "jobs list --state good",
        "jobs show",
        "jobs stop everything",
        "events list --since soon",
        "events list --limit 0",
        "events list --outcome good",
        "events list --search=",
        "links list --state broken",
        "links list --kind shoe",
        "preflight --connection a --different-skus",
        "preflight --connection a --import b.xlsx --skip-bad",
        "demo --rate 0",
        "demo --for long",
        "sandbox --omni-listen here",
        "connect apply",
        "connect pause",
    ] {
        let words = std::iter::once("sapo-sync").chain(line.split_whitespace());
        let refused = Cli::try_parse_from(words).map(|_| ()).unwrap_err();
        assert!(refused.use_stderr() || line.is_empty(), "{line}");
    }
}

#[test]
fn a_rate_is_given_a_second_or_a_minute() {
    for (text, expected) in [("20", 20.0), ("20/s", 20.0), ("0.5", 0.5), ("30/m", 0.5)] {
        let cli = Cli::try_parse_from(["sapo-sync", "dead", "replay", "--all", "--rate", text]).unwrap();
        let Command::Dead(DeadCommand::Replay(args)) = cli.command else { panic!("{text}") };
        assert_eq!(args.rate, Some(expected), "{text}");
    }
}

//! The list of rules and the tests that hold them, `rules.md`, that of promises, `SECURITY.md`, and that of failures,
//! `docs/failures.md`, against the tests there are.

use super::program::repository;

#[test]
fn every_test_that_a_rule_names_is_there() {
    assert_named_tests_exist("balancer/tests/it/rules.md", 100);
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    assert_named_tests_exist("SECURITY.md", 30);
}

#[test]
fn every_test_that_a_failure_names_is_there_and_each_has_one() {
    assert_named_tests_exist("docs/failures.md", 40);
    let page = std::fs::read_to_string(repository("docs/failures.md")).unwrap();
    let lines = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what happens"));
    let without: Vec<_> = lines.filter(|line| !line.contains("::")).collect();
    assert!(without.is_empty(), "no test is named: {without:?}");
}

/// In a page that names so many or more.
fn assert_named_tests_exist(page: &str, least: usize) {
    let folder = repository("balancer/tests/it");
    let list = std::fs::read_to_string(repository(page)).unwrap();
    let named: Vec<(&str, &str)> = list.split('`').filter_map(|text| text.split_once("::")).collect();
    assert!(named.len() >= least, "{}", named.len());
    let gone: Vec<_> = named
        .into_iter()
        .filter(|(file, test)| {
            let source = std::fs::read_to_string(folder.join(format!("{file}.rs"))).unwrap_or_default();
            // Attributes may stand in between.
            let found = source.split_once(&format!("\nfn {test}() {{"));
            !found.is_some_and(|(before, _)| before.rsplit("\n\n").next().is_some_and(|own| own.contains("#[test]")))
        })
        .collect();
    assert!(gone.is_empty(), "no such tests: {gone:?}");
}

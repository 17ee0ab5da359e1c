//! The list of rules and the tests that hold them, `rules.md`, against the tests there are.

use super::program::repository;

#[test]
fn every_test_that_a_rule_names_is_there() {
    let folder = repository("balancer/tests/it");
    let list = std::fs::read_to_string(folder.join("rules.md")).unwrap();
    let named: Vec<(&str, &str)> = list.split('`').filter_map(|text| text.split_once("::")).collect();
    assert!(named.len() > 100, "{}", named.len());
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

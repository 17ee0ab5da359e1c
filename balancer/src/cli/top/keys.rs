//! A key → what is shown next, or what is wanted of others.
//!
//! Decides what each key means in each mode. Called by [`super`]. Pure but for the state.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::orders::{RowOrder, drain, restart, undrain};
use super::state::{KeyMode, Screenful};

/// What a key wants that the state alone cannot do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyOutcome {
    End,
    /// To be asked of the instance, by POST.
    Order(String),
}

pub(super) fn pressed(state: &mut Screenful, key: KeyEvent) -> Option<KeyOutcome> {
    // Some terminals tell of releases too.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    if is_control && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Some(KeyOutcome::End);
    }
    match state.mode.clone() {
        KeyMode::Watch => return watching(state, key.code),
        KeyMode::Help => state.mode = KeyMode::Watch,
        KeyMode::Filter => filtering(state, key.code),
        KeyMode::Confirm { path, .. } => {
            state.mode = KeyMode::Watch;
            if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                state.message = Some("asked; waiting until it is done…".to_owned());
                return Some(KeyOutcome::Order(path));
            }
            state.message = Some("nothing was done".to_owned());
        }
    }
    None
}

fn watching(state: &mut Screenful, key: KeyCode) -> Option<KeyOutcome> {
    let row = || state.chosen().and_then(|at| state.shown.get(at)).cloned();
    match key {
        KeyCode::Char('q') | KeyCode::Esc => return Some(KeyOutcome::End),
        KeyCode::Down | KeyCode::Char('j') => state.choose(1),
        KeyCode::Up | KeyCode::Char('k') => state.choose(-1),
        KeyCode::PageDown => state.choose(PAGE),
        KeyCode::PageUp => state.choose(-PAGE),
        KeyCode::Char('s') => {
            state.sort = state.sort.next();
            state.arrange();
        }
        KeyCode::Char('/') => state.mode = KeyMode::Filter,
        KeyCode::Char('?' | 'h') => state.mode = KeyMode::Help,
        KeyCode::Char('d') => confirm(state, row().map(|row| drain(&row))),
        KeyCode::Char('u') => confirm(state, row().map(|row| undrain(&row))),
        KeyCode::Char('R') => match row().map(|row| restart(&row)) {
            Some(None) => state.message = Some("no worker of ours: its pool has none to restart".to_owned()),
            order => confirm(state, order.flatten()),
        },
        _ => {}
    }
    None
}

fn confirm(state: &mut Screenful, order: Option<RowOrder>) {
    if let Some(RowOrder { question, path }) = order {
        state.mode = KeyMode::Confirm { question, path };
    }
}

fn filtering(state: &mut Screenful, key: KeyCode) {
    match key {
        KeyCode::Enter => state.mode = KeyMode::Watch,
        KeyCode::Esc => {
            state.mode = KeyMode::Watch;
            state.filter.clear();
        }
        KeyCode::Backspace => _ = state.filter.pop(),
        KeyCode::Char(character) if state.filter.len() < FILTER_MAX && !character.is_control() => {
            state.filter.push(character)
        }
        _ => {}
    }
    state.arrange();
}

/// Rows.
const PAGE: isize = 10;
/// Bytes; no name is longer that anybody types.
const FILTER_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::super::ask::LookedAt;
    use super::*;

    fn state() -> Screenful {
        let mut state = Screenful::default();
        let status = json!({ "pools": [
            { "name": "app", "rows": [{ "name": "app.1", "state": "up", "worker": { "restarts": 0 } }] },
            { "name": "fixed", "rows": [{ "name": "10.0.0.7:80", "state": "up" }] },
        ] });
        state.saw(&LookedAt { status, events: Vec::new() }, Instant::now());
        state
    }

    fn press(state: &mut Screenful, keys: &str) -> Option<KeyOutcome> {
        keys.chars().map(|key| pressed(state, KeyCode::Char(key).into())).last().flatten()
    }

    #[test]
    fn nothing_is_done_before_it_is_confirmed() {
        for (key, path) in [
            ('d', "/api/drain?endpoint=app/app.1"),
            ('u', "/api/undrain?endpoint=app/app.1"),
            ('R', "/api/restart?pool=app"),
        ] {
            let mut state = state();
            assert_eq!(press(&mut state, &key.to_string()), None);
            assert!(matches!(&state.mode, KeyMode::Confirm { path: asked, .. } if asked == path), "{:?}", state.mode);
            assert_eq!(press(&mut state, "n"), None);
            assert_eq!((state.mode.clone(), state.message.as_deref()), (KeyMode::Watch, Some("nothing was done")));
            assert_eq!(press(&mut state, &format!("{key}y")), Some(KeyOutcome::Order(path.to_owned())));
            assert_eq!(press(&mut state, "y"), None, "once");
        }
    }

    #[test]
    fn a_pool_without_workers_has_none_to_restart() {
        let mut state = state();
        assert_eq!(press(&mut state, "jRy"), None);
        assert!(
            state.mode == KeyMode::Watch && state.message.as_ref().is_some_and(|text| text.contains("none to restart"))
        );
    }

    #[test]
    fn what_is_typed_behind_a_slash_filters_and_is_no_order() {
        let mut state = state();
        assert_eq!(press(&mut state, "/fiq"), None);
        assert_eq!((state.filter.as_str(), state.shown.len()), ("fiq", 0));
        pressed(&mut state, KeyCode::Backspace.into());
        assert_eq!(state.shown.len(), 1);
        pressed(&mut state, KeyCode::Enter.into());
        assert_eq!(press(&mut state, "d"), None);
        assert!(
            matches!(&state.mode, KeyMode::Confirm { path, .. } if path == "/api/drain?endpoint=fixed/10.0.0.7:80")
        );
        press(&mut state, "n/");
        pressed(&mut state, KeyCode::Esc.into());
        assert_eq!((state.filter.as_str(), state.shown.len()), ("", 2));
        press(&mut state, &format!("/{}", "x".repeat(500)));
        assert_eq!(state.filter.len(), FILTER_MAX);
    }

    #[test]
    fn several_keys_end_it_also_in_the_middle_of_something() {
        let control = |key| KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
        for before in ["", "/", "d", "?"] {
            let mut state = state();
            press(&mut state, before);
            assert_eq!(pressed(&mut state, control('c')), Some(KeyOutcome::End), "{before}");
        }
        assert_eq!(press(&mut state(), "q"), Some(KeyOutcome::End));
        assert_eq!(press(&mut state(), "?q"), None, "any key ends the help alone");
        let mut sorted = state();
        press(&mut sorted, "s");
        assert_ne!(sorted.sort, state().sort);
    }
}

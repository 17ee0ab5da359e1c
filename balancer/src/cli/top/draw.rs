//! A state → a screen.
//!
//! Decides where everything stands, from 80 × 24 up. Called by [`super`]. Pure.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row as TableRow, Table, TableState};
use serde_json::Value;

use super::super::text::shortened;
use super::rows::{RowLevel, TopRow, each, word};
use super::state::{KeyMode, Screenful};
use crate::shown::{age, size};

pub(super) fn all(frame: &mut Frame<'_>, state: &Screenful) {
    let pools = each(&state.status["pools"]).count().clamp(1, POOLS_MAX);
    let area = frame.area();
    let events = if area.height >= 20 { (area.height / 4).min(12) } else { 0 };
    let [head, pool_lines, table, event_lines, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(u16::try_from(pools).unwrap_or(1)),
        Constraint::Min(3),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(heading(state)), head);
    frame.render_widget(Paragraph::new(pool_rows(state)), pool_lines);
    rows(frame, state, table);
    if events > 0 {
        let last = usize::from(events.saturating_sub(1));
        let lines: Vec<Line<'_>> =
            state.events.iter().rev().take(last).rev().map(|line| Line::raw(line.as_str())).collect();
        let block = Block::default().borders(Borders::TOP).title(" events ");
        frame.render_widget(Paragraph::new(lines).block(block), event_lines);
    }
    frame.render_widget(Paragraph::new(footing(state)), foot);
    if state.mode == KeyMode::Help {
        help(frame, area);
    }
}

/// Who it is, and what is wrong.
fn heading(state: &Screenful) -> Vec<Line<'_>> {
    let status = &state.status;
    let connections = &status["connections"];
    let first = format!(
        "{} (pid {}, {})  {} for {}  {} of {} connections",
        word(&status["name"]),
        word(&status["pid"]),
        word(&status["version"]),
        word(&status["state"]),
        status["uptime_seconds"].as_u64().map(age).unwrap_or_default(),
        word(&connections["open"]),
        word(&connections["max"]),
    );
    let second = match (&state.lost, status["ready"] == true) {
        (Some(why), _) => Line::styled(format!("NO ANSWER: {why}; what is below is old"), bad()),
        (None, is_ready) => match (each(&status["problems"]).next(), is_ready) {
            (Some(problem), _) => {
                let more = each(&status["problems"]).count() - 1;
                let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
                let style = if problem["level"] == "bad" { bad() } else { Style::new().fg(Color::Yellow) };
                Line::styled(format!("{}{more}", word(&problem["text"])), style)
            }
            (None, true) => Line::styled("ready", Style::new().fg(Color::Green)),
            (None, false) => Line::styled("not ready", bad()),
        },
    };
    vec![Line::styled(first, Style::new().add_modifier(Modifier::BOLD)), second]
}

fn pool_rows(state: &Screenful) -> Vec<Line<'static>> {
    let pools: Vec<&Value> = each(&state.status["pools"]).collect();
    let more = pools.len().saturating_sub(POOLS_MAX);
    let shown = if more > 0 { POOLS_MAX - 1 } else { POOLS_MAX };
    let mut lines: Vec<Line<'static>> = pools.iter().take(shown).map(|pool| pool_row(pool)).collect();
    if more > 0 {
        lines.push(Line::raw(format!("… and {} pools more", more + 1)));
    }
    lines
}

fn pool_row(pool: &Value) -> Line<'static> {
    let time = |value: &Value| value.as_f64().map_or("–".to_owned(), millis);
    let mut spans = vec![
        Span::styled(word(&pool["name"]), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!(
            "  {}/s  {} failed  p95 {}  p99 {}  {} in flight",
            word(&pool["per_second"]),
            word(&pool["recent"]["errors"]),
            time(&pool["seconds_p95"]),
            time(&pool["seconds_p99"]),
            word(&pool["in_flight"]),
        )),
    ];
    let queue = &pool["queue"];
    if let Some(waiting) = queue["length"].as_u64() {
        let longest = if waiting > 0 {
            format!(", the first for {}", time(&queue["longest_wait_seconds"]))
        } else {
            String::new()
        };
        let text =
            format!("  slots {}/{}  {waiting} waiting{longest}", word(&queue["slots_used"]), word(&queue["slots"]));
        spans.push(Span::styled(text, if waiting > 0 { Style::new().fg(Color::Yellow) } else { Style::new() }));
    }
    Line::from(spans)
}

fn rows(frame: &mut Frame<'_>, state: &Screenful, area: Rect) {
    let several = each(&state.status["pools"]).nth(1).is_some();
    let free = area.width.saturating_sub(FIXED);
    // What is left is shared by the sparkline and the last end.
    let (spark, wide) = (free.clamp(8, 30), free > 30);
    let heads =
        ["endpoint", "state", "req/s", "p95", "fail", "fl", "memory", "CPU", "rst", "req/s over time", "last end"];
    let shown = state.shown.iter().map(|row| {
        let name = if several { format!("{}/{}", row.pool, row.name) } else { row.name.clone() };
        let optional = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
        let style = match row.level {
            RowLevel::Bad => bad(),
            RowLevel::Warn => Style::new().fg(Color::Yellow),
            RowLevel::Ok => Style::new(),
        };
        TableRow::new([
            Cell::from(shortened(&name, usize::from(NAME))),
            Cell::from(row.state.clone()).style(style),
            Cell::from(optional(row.rate.map(|rate| format!("{rate:.1}")))),
            Cell::from(optional(row.p95.map(millis))),
            Cell::from(row.errors.to_string()).style(if row.errors > 0 { bad() } else { Style::new() }),
            Cell::from(row.in_flight.to_string()),
            Cell::from(optional(row.rss_bytes.map(size))),
            Cell::from(optional(row.cpu_percent.map(|percent| format!("{percent:.0}%")))),
            Cell::from(optional(row.restarts.map(|count| count.to_string()))),
            Cell::from(sparkline(state, row, usize::from(spark))).style(Style::new().fg(Color::Cyan)),
            Cell::from(row.last_end.clone()),
        ])
    });
    let end = if wide { Constraint::Min(4) } else { Constraint::Length(0) };
    let widths = COLUMNS.map(Constraint::Length).into_iter().chain([Constraint::Length(spark), end]);
    let filter = if state.filter.is_empty() { String::new() } else { format!(", only \"{}\"", state.filter) };
    let title = format!(" {} endpoints and workers by {}{filter} ", state.shown.len(), state.sort.word());
    let table = Table::new(shown, widths)
        .header(TableRow::new(heads).style(Style::new().add_modifier(Modifier::DIM)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::default().borders(Borders::TOP).title(title));
    let mut at = TableState::default().with_selected(state.chosen());
    frame.render_stateful_widget(table, area, &mut at);
}

/// Eight heights, the highest rate of the row at the top: rows are compared by their figures.
fn sparkline(state: &Screenful, row: &TopRow, width: usize) -> String {
    let rates = state.history(row);
    let rates = &rates[rates.len().saturating_sub(width)..];
    let most = rates.iter().copied().max().unwrap_or_default().max(1);
    let bar = |rate: &u64| if *rate == 0 { ' ' } else { BARS[((rate * 8).div_ceil(most)).clamp(1, 8) as usize - 1] };
    rates.iter().map(bar).collect()
}

fn footing(state: &Screenful) -> Line<'_> {
    match (&state.mode, &state.message) {
        (KeyMode::Filter, _) => Line::raw(format!("filter: {}_   Enter keeps it, Esc ends it", state.filter)),
        (KeyMode::Confirm { question, .. }, _) => {
            Line::styled(format!("{question}? y does it, any other key does not"), Style::new().fg(Color::Yellow))
        }
        (KeyMode::Watch | KeyMode::Help, Some(message)) => Line::raw(format!("{message}   ? help")),
        (KeyMode::Watch | KeyMode::Help, None) => {
            Line::raw("q quit  \u{2191}\u{2193} choose  s sort  / filter  d drain  u undrain  R restart  ? help")
        }
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines = HELP.map(Line::raw).to_vec();
    let (width, height) = (64.min(area.width), u16::try_from(HELP.len() + 2).unwrap_or(12).min(area.height));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::default().borders(Borders::ALL).title(" keys ")), place);
}

fn bad() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn millis(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1.0 => format!("{} ms", (seconds * 1e4).round() / 10.0),
        seconds => format!("{seconds:.1} s"),
    }
}

/// Pools are few, and most have one.
const POOLS_MAX: usize = 4;
const NAME: u16 = 14;
/// All but the sparkline and the last end.
const COLUMNS: [u16; 9] = [NAME, 12, 6, 7, 4, 3, 9, 4, 3];
/// Of those, with a gap behind each.
const FIXED: u16 = NAME + 12 + 6 + 7 + 4 + 3 + 9 + 4 + 3 + 10;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const HELP: [&str; 10] = [
    "q, Esc, Ctrl-C   end",
    "↑ ↓ PgUp PgDn    choose a row",
    "s                sort by the next column",
    "/                show only rows with a text in them",
    "d                drain the chosen endpoint (asks first)",
    "u                take it back (asks first)",
    "R                restart the workers of its pool (asks first)",
    "",
    "The sparkline is a row's requests a second over the last",
    "looks, its own highest at the top. Any key ends this help.",
];

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::super::ask::LookedAt;
    use super::*;

    fn drawn(state: &Screenful, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| all(frame, state)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content().chunks(usize::from(width));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
    }

    fn busy(name: &str) -> Screenful {
        let mut state = Screenful::default();
        let now = Instant::now();
        for look in 0..5_u64 {
            let row = |name: &str, state: &str, level: &str, requests: u64| {
                json!({
                    "name": name, "state": state, "state_text": state, "level": level, "in_flight": 2,
                    "figures": { "requests": requests, "recent": { "errors": 3 }, "seconds_p95": 0.025 },
                    "worker": { "rss_bytes": 52_428_800, "cpu_percent": 50.0, "restarts": 3, "last_end": { "how": "SIGKILL" } },
                })
            };
            let status = json!({
                "name": "lb", "pid": 7, "version": "0.1.0", "state": "serving", "ready": true, "uptime_seconds": 300,
                "connections": { "open": 3, "max": 1_000 }, "problems": [],
                "pools": [{
                    "name": "app", "per_second": 12.5, "recent": { "errors": 4 }, "seconds_p95": 0.005, "seconds_p99": 1.25, "in_flight": 2,
                    "queue": { "length": 4, "longest_wait_seconds": 0.25, "slots": 4, "slots_used": 4 },
                    "rows": [row(name, "up", "ok", look * look * 10), row("app.2", "ejected 8 s", "bad", 0)],
                }],
            });
            let events = vec!["12:00:00 app.1: died".to_owned(), "12:00:01 app.1: ready".to_owned()];
            state.saw(&LookedAt { status, events }, now + Duration::from_secs(look));
        }
        state
    }

    #[test]
    fn all_that_matters_fits_into_80_by_24() {
        let screen = drawn(&busy("app.1"), 80, 24);
        for part in [
            "lb (pid 7, 0.1.0)  serving for 5 min  3 of 1000 connections",
            "ready",
            "app  12.5/s  4 failed  p95 5 ms  p99 1.2 s  2 in flight  slots 4/4  4 waiting",
            "2 endpoints and workers by worst",
            "app.1          up           70.0   25 ms   3    2   50.0 MiB  50%  3",
            "ejected 8 s",
            "▂▄▆█",
            "12:00:01 app.1: ready",
            "q quit",
        ] {
            assert!(screen.contains(part), "no {part:?} in\n{screen}");
        }
        let (worst, other) = (screen.find("ejected").unwrap(), screen.find("70.0").unwrap());
        assert!(worst < other, "{screen}");
    }

    #[test]
    fn no_size_is_too_small_or_too_large() {
        let mut state = busy("app.1");
        for mode in [
            KeyMode::Watch,
            KeyMode::Filter,
            KeyMode::Help,
            KeyMode::Confirm { question: "q".into(), path: "p".into() },
        ] {
            state.mode = mode;
            for (width, height) in [(1, 1), (2, 3), (20, 5), (80, 10), (300, 100)] {
                drawn(&state, width, height);
            }
        }
        drawn(&Screenful::default(), 80, 24);
    }

    #[test]
    fn a_hostile_name_sends_no_escape_and_stays_in_its_column() {
        let name = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\n".to_owned() + &"x".repeat(500);
        let screen = drawn(&busy(&name), 80, 24);
        assert!(
            !screen.chars().any(|character| crate::observe::printable::is_active(character) && character != '\n'),
            "{screen:?}"
        );
        assert!(screen.contains("…xxx") && screen.lines().count() == 24, "{screen}");
    }

    #[test]
    fn what_is_wrong_stands_in_the_second_line() {
        let mut state = busy("app.1");
        state.status["problems"] =
            json!([{ "level": "bad", "text": "NOT READY: api (2 in back-off)" }, { "level": "warn", "text": "b" }]);
        assert_eq!(drawn(&state, 80, 24).lines().nth(1).unwrap(), "NOT READY: api (2 in back-off) (and 1 more)");
        state.saw_nothing("no running instance".into());
        assert!(drawn(&state, 80, 24).lines().nth(1).unwrap().starts_with("NO ANSWER: no running instance"));
    }

    #[test]
    fn a_hundred_endpoints_scroll_with_the_chosen_one() {
        let endpoints: Vec<Value> =
            (1..=100).map(|index| json!({ "name": format!("app.{index}"), "state": "up" })).collect();
        let mut state = Screenful::default();
        let seen = LookedAt { status: json!({ "pools": [{ "name": "app", "rows": endpoints }] }), events: Vec::new() };
        state.saw(&seen, Instant::now());
        assert!(!drawn(&state, 80, 24).contains("app.100"));
        state.choose(99);
        assert!(drawn(&state, 80, 24).contains("app.100"));
    }
}

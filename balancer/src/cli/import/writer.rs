//! A set-up → the text of an `lb.toml`. Decides the order of its parts, and what need not be written; called by [`super`]; never reads
//! another program's file.

use std::fmt::Write;

use toml::Value;

use super::setup::{Remark, Setup, TableKeys, Weight};
use crate::observe::printable::is_active;

/// The text for a set-up that was read from `file`.
pub(super) fn write(setup: &Setup, file: &str) -> String {
    let mut out = format!("# From {} by `balancer import`.\n", on_one_line(file));
    remarks(&mut out, &setup.remarks);
    if setup.pools.is_empty() {
        return out;
    }
    out.push('\n');
    match setup.listen.as_slice() {
        [] => {}
        [one] => line(&mut out, "listen", one),
        several => line(&mut out, "listen", &Value::from(several.to_vec())),
    }
    keys(&mut out, &setup.top);
    table(&mut out, "[tls]", &setup.tls);
    for pool in &setup.pools {
        // A name has letters, digits, `-` and `_` alone, which need no quotation marks.
        if !pool.keys.is_empty() || pool.workers.is_none() {
            let _ = write!(out, "\n[pool.{}]\n", pool.name);
            keys(&mut out, &pool.keys);
        }
        if let Some(workers) = &pool.workers {
            let _ = write!(out, "\n[pool.{}.workers]\n", pool.name);
            keys(&mut out, workers);
        }
    }
    if !is_the_only_one(setup) {
        for route in &setup.routes {
            out.push_str("\n[[route]]\n");
            if let Some(host) = &route.host {
                line(&mut out, "host", &Value::from(host.as_str()));
            }
            if route.path != "/" {
                line(&mut out, "path", &Value::from(route.path.as_str()));
            }
            line(&mut out, "pool", &Value::from(route.pool.as_str()));
        }
    }
    table(&mut out, "[access_log]", &setup.access_log);
    out
}

/// What was read, and of what there is nothing here.
fn remarks(out: &mut String, remarks: &[Remark]) {
    for (weight, title) in [
        (Weight::Seen, "Without a counterpart, and clients see it:"),
        (Weight::Unseen, "Without a counterpart, though no client sees it:"),
    ] {
        let those: Vec<&Remark> = remarks.iter().filter(|remark| remark.weight == weight).collect();
        if !those.is_empty() {
            let _ = write!(out, "#\n# {title}\n");
        }
        for remark in those {
            let _ = writeln!(out, "#   {}", on_one_line(&format!("{}: {}", remark.place, remark.text)));
        }
    }
}

/// Whether there is one route, for everything, which need not be said.
fn is_the_only_one(setup: &Setup) -> bool {
    let takes_all = |route: &super::setup::RouteDraft| route.host.is_none() && route.path == "/";
    setup.pools.len() == 1 && matches!(setup.routes.as_slice(), [] | [_]) && setup.routes.iter().all(takes_all)
}

fn table(out: &mut String, header: &str, table: &TableKeys) {
    if !table.is_empty() {
        let _ = write!(out, "\n{header}\n");
        keys(out, table);
    }
}

fn keys(out: &mut String, table: &TableKeys) {
    table.iter().for_each(|(key, value)| line(out, key, value));
}

fn line(out: &mut String, key: &str, value: &Value) {
    let _ = writeln!(out, "{key} = {value}");
}

/// A comment ends with its line, and must not act on a terminal.
pub(super) fn on_one_line(text: &str) -> String {
    text.chars().map(|character| if is_active(character) { ' ' } else { character }).collect()
}

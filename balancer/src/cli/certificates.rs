//! `balancer certificates`: for which names there are certificates, until when, and what went wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::rows::{each, word};
use super::say::{fail, show};
use super::target::Target;
use super::text::{columns, wrapped_after};
use crate::shown::distance;

/// In which form.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    target: Target,
}

pub(super) fn run(options: Options, config: Option<PathBuf>) -> ExitCode {
    let (status, text) = match options.target.or(config).read("/api/certificates") {
        Ok(read) => read,
        Err(code) => return code,
    };
    let value = match serde_json::from_str::<Value>(&text) {
        Ok(value) if status == 200 => value,
        _ => return fail(&format!("balancer: {}", text.trim_end())),
    };
    let code = if options.json { show(&text) } else { show(&table(&value)) };
    // Scripts ask whether all is well.
    if each(&value["certificates"]).all(|one| one["level"] == "ok") { code } else { ExitCode::FAILURE }
}

/// For people: a line for each name, and below it what is wrong.
fn table(value: &Value) -> String {
    let all: Vec<&Value> = each(&value["certificates"]).collect();
    if all.is_empty() {
        return "no certificates: `[tls]` of the configuration has none\n".to_owned();
    }
    let away = |seconds: &Value| seconds.as_i64().map_or("-".to_owned(), distance);
    let mut rows = vec![["name", "expires", "next renewal", "from"].map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|one| {
        let (expires, next) = (away(&one["expires_seconds"]), away(&one["next_order_seconds"]));
        vec![word(&one["name"]), expires, next, word(&one["from"])]
    }));
    let lines = columns(&rows, &[]);
    let problems = all.iter().map(|one| one["problem"].as_str());
    let mut out = String::new();
    for (line, problem) in lines.iter().zip(std::iter::once(None).chain(problems)) {
        out.extend([line, "\n"]);
        out.extend(problem.map(|problem| wrapped_after("    ", "    ", problem)));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_name_has_a_line_and_below_it_what_is_wrong() {
        let one = |name: &str, expires: Value, next: Value, problem: Value| json!({ "name": name, "from": "/etc/a.pem", "expires_seconds": expires, "next_order_seconds": next, "problem": problem });
        let value = json!({ "certificates": [
            one("new.test", json!(null), json!(2_400), json!("there is none; the order failed: no DNS, tried again in 40 min")),
            one("app.test", json!(5_300_000), json!(null), json!(null)),
        ] });
        let expected = "  name      expires     next renewal  from\n  \
            new.test  -           in 40 min     /etc/a.pem\n    \
            there is none; the order failed: no DNS, tried again in 40 min\n  \
            app.test  in 61 days  -             /etc/a.pem\n";
        assert_eq!(table(&value), expected);
        assert_eq!(table(&json!({ "certificates": [] })), "no certificates: `[tls]` of the configuration has none\n");
    }
}

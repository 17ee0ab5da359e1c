//! Programs that had an address each, behind one listener. Decides which paths lead to whom; called by the readers of formats without routes;
//! never reads one.

use toml::{Table, Value};

use super::setup::{FileLine, RouteDraft, Setup, plain};

/// A pool whose workers or endpoints speak HTTP.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) pool: String,
    pub(super) place: FileLine,
    /// Where clients find it, as `listen` has it; `None`: that is not known.
    pub(super) listen: Option<Value>,
    /// The same in words, if it was found otherwise: `at 0.0.0.0:80`.
    pub(super) found: Option<String>,
}

/// Adds the listener and the routes: the first pool takes all that no other does.
pub(super) fn add(served: &[Reached], otherwise: &str, setup: &mut Setup) {
    let listen = served.first().and_then(|first| first.listen.clone());
    setup.listen = vec![listen.clone().unwrap_or_else(|| otherwise.into())];
    let shown = shown(setup.listen.first());
    for (index, one) in served.iter().enumerate() {
        let path = if index == 0 { "/".to_owned() } else { format!("/{}", one.pool) };
        if index > 0 {
            let at = || one.listen.as_ref().map(|listen| format!("at {}", self::shown(Some(listen))));
            let before = one.found.clone().or_else(at).unwrap_or_else(|| "at an address of its own".to_owned());
            let text = format!(
                "pool {}: clients have found it {before}; here it has {path} at {shown}, or a balancer of its own",
                one.pool
            );
            setup.seen(&one.place, text);
        }
        setup.routes.push(RouteDraft { host: None, path, pool: one.pool.clone() });
    }
}

/// A Unix socket as a listener, as open as the programs leave theirs.
pub(super) fn socket(path: &str) -> Value {
    let mut table = Table::new();
    table.insert("address".to_owned(), plain(&format!("unix:{path}")).into());
    table.insert("mode".to_owned(), "0666".into());
    table.into()
}

fn shown(listen: Option<&Value>) -> String {
    let address = listen.map(|listen| listen.get("address").unwrap_or(listen));
    address.and_then(Value::as_str).unwrap_or_default().to_owned()
}

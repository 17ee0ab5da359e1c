//! `location … { … }` → a path and the pool that takes it. Decides what of a location can be a route; called by [`super::server`]; never
//! compares servers.

use super::pass::{self, Pass};
use super::pools::{Pools, is_told};
use super::scope::Scope;
use super::tree::Directive;
use crate::cli::import::setup::{FileLine, Setup};

/// A path and who takes its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathRow {
    pub(super) path: String,
    /// `None`: what nginx does itself, such as sending a file.
    pub(super) pool: Option<String>,
    pub(super) place: FileLine,
    /// How its path differs from nginx's, where the row is needed.
    pub(super) note: Option<String>,
}

impl PathRow {
    /// Whether its path is a prefix of another, by whole segments.
    pub(super) fn takes(&self, path: &str) -> bool {
        match path.strip_prefix(&self.path) {
            Some(rest) => self.path.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }
}

/// Reads the locations of one server.
pub(super) struct LocationReader<'a, 'b> {
    /// What stands in the server, where locations with a name are.
    pub(super) server: &'a [Directive],
    pub(super) pools: &'a mut Pools<'b>,
    pub(super) setup: &'a mut Setup,
}

impl LocationReader<'_, '_> {
    /// The rows of all locations in `block`, and of those in them.
    pub(super) fn rows(&mut self, block: &[Directive], scope: &Scope<'_>) -> Vec<PathRow> {
        let mut rows = Vec::new();
        for location in block.iter().filter(|one| one.name == "location") {
            let inner = scope.within(location.children());
            rows.extend(self.row(location, &inner));
            rows.extend(self.rows(location.children(), &inner));
        }
        rows
    }

    fn row(&mut self, location: &Directive, scope: &Scope<'_>) -> Option<PathRow> {
        let (mark, path) = match location.args.as_slice() {
            [path] => ("", path.as_str()),
            [mark, path] => (mark.as_str(), path.as_str()),
            _ => {
                self.seen(location, "that is no location");
                return None;
            }
        };
        if path.starts_with('@') {
            // Another one asks for it.
            return None;
        }
        let is_pattern = mark.starts_with('~');
        if let Some(internal) = location.children().iter().find(|one| one.name == "internal") {
            // A route would let clients in.
            let why = "no client gets there, and X-Accel-Redirect leads nobody there either: left out";
            self.setup.seen(&internal.place, format!("{} in `location {path}`: {why}", internal.shown()));
            return None;
        }
        let prefix = if is_pattern { pattern_prefix(path) } else { Some(path.to_owned()) };
        fields(scope, self.setup);
        let pass = self.content(location, scope);
        let path = prefix.as_deref().and_then(route_path);
        let (pass, path) = match (pass, path) {
            (Some(pass), Some(path)) => (pass, path),
            (Some(_), None) => {
                self.seen(location, "a path is a prefix here, no pattern: its requests go where others go");
                return None;
            }
            (None, Some(path)) if !is_pattern => {
                return Some(PathRow { path, pool: None, place: location.place.clone(), note: None });
            }
            (None, _) => return None,
        };
        if mark == "=" && path == "/" {
            self.seen(location, "a route takes all that is below its path, so `/` alone has none");
            return None;
        }
        let own = location.args.last().map_or("", String::as_str);
        if let Some(uri) = pass.uri.as_deref().filter(|uri| is_pattern || *uri != own) {
            self.seen(
                location,
                &format!("the path goes on as the client sent it and does not become {uri}: let the app take {path}"),
            );
        }
        let pool = match self.pools.of(&pass, wanted_name(&path), scope, &location.place, self.setup) {
            Ok(pool) => Some(pool),
            Err(why) => {
                self.seen(location, &format!("{}: {why}", pass.origin));
                None
            }
        };
        let is_whole = mark != "=" && !is_pattern && own.strip_suffix('/') == Some(&path);
        let note = (pool.is_some() && path != "/" && !is_whole)
            .then(|| format!("{}: the route takes {path} and what is below it, by whole segments", location.shown()));
        Some(PathRow { path, pool, place: location.place.clone(), note })
    }

    /// Whom a location passes its requests to; where it answers them itself, that is said.
    fn content(&mut self, location: &Directive, scope: &Scope<'_>) -> Option<Pass> {
        let own = |name: &str| location.children().iter().find(|one| one.name == name);
        let proxied = own("proxy_pass").map(|pass| (pass, false)).or(own("grpc_pass").map(|pass| (pass, true)));
        if let Some((proxied, grpc)) = proxied {
            return self.target(proxied, grpc, scope);
        }
        if let Some((pass, instead)) = OTHERS.iter().find_map(|(name, instead)| Some((own(name)?, instead))) {
            self.seen(pass, instead);
            return None;
        }
        if let Some(tried) = own("try_files") {
            return self.tried(tried, scope);
        }
        let answered = ["return", "rewrite", "alias", "root", "stub_status"].iter().find_map(|name| own(name));
        match answered {
            Some(answer) if answer.name == "stub_status" => {}
            Some(answer) => {
                let why = match answer.name.as_str() {
                    "return" | "rewrite" => {
                        "routes answer nothing themselves, its requests go where those of the wider path go"
                    }
                    _ => "no files are served here",
                };
                self.seen(answer, &format!("in `location {}`: {why}", location.args.join(" ")));
            }
            None if location.children().iter().any(|one| one.name == "location") => {}
            None => self.seen(location, "it passes to nobody, and no files are served here"),
        }
        None
    }

    /// `try_files $uri @app`: what is no file goes to the app.
    pub(super) fn tried(&mut self, tried: &Directive, scope: &Scope<'_>) -> Option<Pass> {
        let last = tried.args.last().map(String::as_str).filter(|last| last.starts_with('@'));
        let named = self.server.iter().find(|one| one.name == "location" && last == Some(one.arg(0)));
        let pass = named.and_then(|named| Some((named, named.children().iter().find(|one| one.name == "proxy_pass")?)));
        self.seen(
            tried,
            match pass {
                Some(_) => "no files are served here: all requests go to the app, let it send them",
                None => "no files are served here",
            },
        );
        let (named, pass) = pass?;
        let scope = scope.within(named.children());
        fields(&scope, self.setup);
        self.target(pass, false, &scope)
    }

    fn target(&mut self, proxied: &Directive, grpc: bool, scope: &Scope<'_>) -> Option<Pass> {
        match pass::read(&scope.filled_in(proxied.arg(0)), grpc) {
            Ok(pass) => Some(pass),
            Err(why) => {
                self.seen(proxied, why);
                None
            }
        }
    }

    fn seen(&mut self, directive: &Directive, why: &str) {
        self.setup.seen(&directive.place, format!("{}: {why}", directive.shown()));
    }
}

/// What is spoken to programs besides HTTP, and what to do instead.
const OTHERS: &[(&str, &str)] = &[
    ("fastcgi_pass", "FastCGI is not spoken to endpoints: let the program speak HTTP (php -S, FrankenPHP, RoadRunner)"),
    ("uwsgi_pass", "uwsgi is not spoken to endpoints: start uWSGI with --http-socket, or use gunicorn"),
    ("scgi_pass", "SCGI is not spoken to endpoints: let the program speak HTTP"),
    ("memcached_pass", "memcached is not asked here: let the app do it"),
];

/// Remarks on what workers are told that we do not tell them.
fn fields(scope: &Scope<'_>, setup: &mut Setup) {
    for field in scope.all("proxy_set_header").into_iter().chain(scope.all("grpc_set_header")) {
        let (name, value) = (field.arg(0).to_ascii_lowercase(), field.arg(1));
        if is_told(setup, field) || is_ours(&name, value) {
            continue;
        }
        match name.as_str() {
            "x-forwarded-port" | "x-forwarded-scheme" | "x-forwarded-ssl" | "x-forwarded-server" | "x-scheme" => {
                setup.unseen(&field.place, format!("{}: X-Forwarded-Proto and X-Forwarded-Host say it", field.shown()));
            }
            "x-real-ip" => {
                setup.unseen(&field.place, format!("{}: the client's address is in X-Forwarded-For", field.shown()))
            }
            "host" => setup.seen(&field.place, format!("{}: Host goes on as the client sent it", field.shown())),
            _ => setup.seen(&field.place, format!("{}: fields of requests are not set here", field.shown())),
        }
    }
}

/// Whether workers get a field without being asked for it; `name` is in lower case.
fn is_ours(name: &str, value: &str) -> bool {
    match name {
        "host" => ["$host", "$http_host", "$host:$server_port", "$server_name", "$host:$proxy_port"].contains(&value),
        "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "forwarded" | "x-request-id"
        | "x-request-start" | "connection" | "upgrade" | "via" => true,
        // An empty one is left out; `proxy_set_header Proxy ""` is for CGI.
        "proxy" | "accept-encoding" => value.is_empty(),
        _ => value == format!("$http_{}", name.replace('-', "_")),
    }
}

/// The path that a regular expression begins with, where nothing but that decides: `^/api/`.
fn pattern_prefix(pattern: &str) -> Option<String> {
    let rest = pattern.strip_prefix('^')?;
    let rest = rest.strip_suffix(".*").or(rest.strip_suffix("(.*)")).or(rest.strip_suffix("(.*)$")).unwrap_or(rest);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_~%".contains(&byte);
    (rest.starts_with('/') && rest.bytes().all(is_plain)).then(|| rest.to_owned())
}

/// A path that our routes take, without the slash at its end; `None`: none of them can be like it.
fn route_path(path: &str) -> Option<String> {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#;\\*%".contains(&byte));
    let is_whole = !path.contains("//") && !path.split('/').any(|segment| segment == "." || segment == "..");
    let trimmed = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path);
    (path.starts_with('/') && is_plain && is_whole).then(|| trimmed.to_owned())
}

/// What a pool of an address is called.
fn wanted_name(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().filter(|first| !first.is_empty()).unwrap_or("app")
}

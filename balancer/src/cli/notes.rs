//! What `check` says of a file that is right: what follows from it that somebody may not expect. Decides nothing of the file.

use nix::unistd::{User, geteuid};

use crate::config::{Config, Identity, UnixSocket};

/// What balancer cannot do for connections that do not pass through it.
pub(super) fn of_modes(config: &Config) -> Vec<String> {
    let own = config.pools.iter().filter_map(|pool| Some((&pool.name, pool.workers.as_ref()?.sharing?.mode)));
    own.map(|(name, mode)| format!("pool {name}, mode = \"{mode}\": {}", mode.cannot())).collect()
}

/// Whom the file of a socket lets in: those that may write to it (unix(7)).
pub(super) fn who_may_connect(socket: &UnixSocket, identity: &Identity) -> String {
    let name = |uid| User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let user = identity.user.clone().unwrap_or_else(|| name(geteuid()));
    let group = socket.group.clone().or_else(|| identity.group.clone());
    let own = match user.as_str() {
        "root" | "0" => "root".to_owned(),
        user => format!("user {user} and root"),
    };
    let who = match (socket.mode & 0o020 != 0, socket.mode & 0o002 != 0, group) {
        (_, true, _) => "every account of this machine that reaches its directory".to_owned(),
        (true, false, Some(group)) => format!("group {group}, {own}"),
        (true, false, None) => format!("the group of balancer's account, {own}"),
        (false, false, _) => own,
    };
    let path = socket.path.display();
    format!("clients of unix:{path}: {who}; their X-Forwarded-* fields are believed")
}

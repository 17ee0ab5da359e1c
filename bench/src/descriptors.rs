//! Open files: how many a scenario takes and how many may be.
//!
//! Decides whether a scenario runs as it is, with fewer idle connections, or not at all. Called by [`crate::compare`] before
//! anything of it is started. Never opens one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::compare::scenario::Setting;

/// Raises the limit children inherit, as far as it may be; `false` when the scenario cannot run with what there is.
pub(crate) fn suffice(setting: &mut Setting, notes: &mut Vec<String>) -> bool {
    // A proxied request holds two, an idle connection one.
    let active = u64::from(setting.clients - setting.idle);
    let wanted = 2 * active + u64::from(setting.idle) + SPARE_DESCRIPTORS;
    let limit = raise(wanted);
    if limit >= wanted {
        return true;
    }
    let how = "raise it: ulimit -Hn, LimitNOFILE";
    let left = u32::try_from(limit.saturating_sub(2 * active + SPARE_DESCRIPTORS)).unwrap_or(0);
    let name = setting.scenario.name();
    if setting.idle == 0 || left == 0 {
        notes.push(format!("{name} is not measured: it takes {wanted} descriptors, the limit is {limit} ({how})"));
        return false;
    }
    notes.push(format!(
        "{left} idle connections instead of {}: the limit of descriptors is {limit} ({how})",
        setting.idle
    ));
    setting.clients = setting.clients - setting.idle + left;
    setting.idle = left;
    true
}

/// The limit after the attempt; beyond the hard one only with the right to it.
pub(crate) fn raise(wanted: u64) -> u64 {
    let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return wanted;
    }
    // Refused, it stays as it is, which is then the answer.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    getrlimit(Resource::RLIMIT_NOFILE).map_or(hard, |(soft, _)| soft)
}

/// Listeners, logs, upstream connections of a proxy; files of ours.
const SPARE_DESCRIPTORS: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::OriginKind;
    use crate::compare::scenario::Scenario;

    #[test]
    fn idle_connections_are_as_many_as_there_are_descriptors_for() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let idle = 4_000_000_000;
        let setting = Setting {
            scenario: Scenario::IdleLoad,
            path: "/hello",
            idle,
            clients: idle + 64,
            origin: OriginKind::Nginx,
            sockets: false,
            work_us: 0,
        };
        let (mut fewer, mut notes) = (setting.clone(), Vec::new());
        assert!(suffice(&mut fewer, &mut notes));
        assert_eq!(u64::from(fewer.idle), hard - 128 - SPARE_DESCRIPTORS);
        assert_eq!(fewer.clients, fewer.idle + 64);
        assert!(notes[0].contains("idle connections instead of 4000000000"), "{notes:?}");

        let mut many = Setting { scenario: Scenario::Many, idle: 0, ..setting };
        assert!(!suffice(&mut many, &mut notes));
        assert!(notes[1].starts_with("many is not measured: it takes "), "{notes:?}");
    }
}

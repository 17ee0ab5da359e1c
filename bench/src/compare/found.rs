//! What a comparison consists of on this machine.
//!
//! Decides which scenarios and columns there are with what is installed. Called by [`super::compare`] before anything starts.
//! Never builds.

use super::{scenario::Scenario, target::Target, tool::Tool};
use crate::arguments::{OriginKind, Plan};
use crate::programs::{find, how_to_install, missing_tools};
use crate::{failure::Failure, proxies::Make};

/// What the run consists of now that this is known.
pub(super) struct Found {
    pub(super) origin: OriginKind,
    /// Those of the plan that have columns.
    pub(super) scenarios: Vec<Scenario>,
    pub(super) targets: Vec<Target>,
    /// Our own programs it takes.
    pub(super) ours: Vec<&'static str>,
    /// Lines for the user: what was left out and how to get it.
    pub(super) notes: Vec<String>,
}

impl Found {
    pub(super) fn find(plan: &Plan) -> Result<Found, Failure> {
        let needs = |tool: fn(Tool) -> bool| plan.scenarios.iter().filter_map(|one| one.tool(plan)).any(tool);
        let no_ab = find("ab").is_none() && needs(|tool| matches!(tool, Tool::Ab { .. }));
        let no_wrk = find("wrk").is_none() && needs(|tool| matches!(tool, Tool::Wrk { .. }));
        if no_ab || no_wrk {
            return Err(missing_tools(no_ab, no_wrk));
        }
        let has_nginx = find("nginx").is_some();
        let origin = plan.origin.unwrap_or(if has_nginx { OriginKind::Nginx } else { OriginKind::Backend });
        if !has_nginx && origin == OriginKind::Nginx {
            return Err(Failure::missing("nginx"));
        }
        let (mut targets, mut notes) = (plan.targets.clone(), Vec::new());
        for make in [Make::Nginx, Make::Haproxy] {
            let (name, is_of) = (make.program(), |target: &Target| target.make() == Some(make));
            if find(name).is_some() || !targets.iter().any(is_of) {
                continue;
            }
            if plan.targets_named {
                return Err(Failure::missing(name));
            }
            targets.retain(|target| !is_of(target));
            notes.push(format!("no {name} column: {}", how_to_install(name)));
        }
        let has_columns = |one: &Scenario| !one.columns(&targets).is_empty();
        let (scenarios, empty): (Vec<Scenario>, Vec<Scenario>) = plan.scenarios.iter().copied().partition(has_columns);
        for scenario in &empty {
            notes.push(format!("no table of {}: it has none of the columns asked for", scenario.name()));
        }
        if scenarios.is_empty() {
            return Err(Failure::Missing(notes.join("\n")));
        }
        let uses_backend = scenarios.iter().any(|one| one.setting(plan, origin).origin == OriginKind::Backend);
        let used = [("balancer", targets.contains(&Target::Balancer)), ("backend", uses_backend)];
        let ours = used.into_iter().filter_map(|(name, used)| used.then_some(name)).collect();
        Ok(Found { origin, scenarios, targets, ours, notes })
    }
}

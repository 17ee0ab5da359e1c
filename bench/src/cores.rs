//! Which core runs what.
//!
//! Decides the placement: the proxy on the first usable core, generator and origin on the second. Called by
//! [`crate::target`] and [`crate::tool`] for every command they start. Never moves a running process: threads that exist
//! already would stay where they are, so the pinning is done by `taskset` before the program starts.

use std::{path::PathBuf, process::Command};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::programs;

/// The two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The proxy alone.
    Proxy,
    /// Load generator and origin together.
    Generator,
    /// On whichever core is free: workers that compute.
    Anywhere,
}

/// Cores by number, and what pins to them.
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    pub(crate) generator: usize,
    /// All that this process could use when it began.
    usable: Vec<usize>,
    taskset: Option<PathBuf>,
    /// Ends a child when we are killed so hard that no guard runs (`kill -9`, out of memory).
    setpriv: Option<PathBuf>,
}

impl Cores {
    /// Looks at the cores this process may use and at the tools that are installed.
    pub(crate) fn find() -> Cores {
        let usable = usable();
        let proxy = usable.first().copied().unwrap_or(0);
        let generator = usable.get(1).copied().unwrap_or(proxy);
        let setpriv = programs::find("setpriv").filter(|path| {
            let tried = Command::new(path).args(["--pdeathsig", "TERM", "true"]).output();
            tried.is_ok_and(|output| output.status.success())
        });
        Cores { proxy, generator, usable, taskset: programs::find("taskset"), setpriv }
    }

    /// Are programs held on their cores?
    pub(crate) fn are_pinned(&self) -> bool {
        self.taskset.is_some()
    }

    /// Does the proxy have a core of its own?
    pub(crate) fn are_apart(&self) -> bool {
        self.proxy != self.generator
    }

    /// The command that starts `program` at its place; arguments are added by the caller.
    pub(crate) fn command(&self, place: Place, program: &std::path::Path) -> Command {
        let mut words = Vec::new();
        if let Some(setpriv) = &self.setpriv {
            words.extend([setpriv.clone(), "--pdeathsig".into(), "TERM".into()]);
        }
        let cores = match place {
            Place::Proxy => std::slice::from_ref(&self.proxy),
            Place::Generator => std::slice::from_ref(&self.generator),
            // Said too, for a child inherits where its parent may run, which may be the generator's core alone.
            Place::Anywhere => &self.usable[..],
        };
        if let Some(taskset) = &self.taskset
            && !cores.is_empty()
        {
            let list: Vec<String> = cores.iter().map(usize::to_string).collect();
            words.extend([taskset.clone(), "-c".into(), list.join(",").into()]);
        }
        words.push(program.to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Holds the calling thread on the generator's core, for what we do ourselves in a generator's stead.
    pub(crate) fn stay_beside_the_generator(&self) {
        let mut set = CpuSet::new();
        // Not held there it costs the proxy a little time; no figure is lost.
        if set.set(self.generator).is_ok() {
            let _ = sched_setaffinity(Pid::from_raw(0), &set);
        }
    }

    /// The placement in a sentence, for the head of the result.
    pub(crate) fn describe(&self) -> String {
        match (self.are_pinned(), self.are_apart()) {
            (false, _) => {
                "not pinned: `taskset` is missing (apt-get install util-linux); expect noisier figures".into()
            }
            (true, false) => format!("everything on core {}, the only one: throughput says nothing here", self.proxy),
            (true, true) => {
                format!("proxy on core {}, generator and origin on core {} (taskset -c)", self.proxy, self.generator)
            }
        }
    }
}

fn usable() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_on_its_core() {
        let cores = Cores::find();
        if !cores.are_pinned() {
            assert!(cores.describe().contains("apt-get install util-linux"));
            return;
        }
        let allowed = |place| {
            let mut command = cores.command(place, "/bin/grep".as_ref());
            let output = command.args(["Cpus_allowed_list", "/proc/self/status"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let anywhere = allowed(Place::Anywhere);
        assert_eq!(allowed(Place::Proxy), format!("Cpus_allowed_list:\t{}\n", cores.proxy));
        assert_eq!(allowed(Place::Generator), format!("Cpus_allowed_list:\t{}\n", cores.generator));
        cores.stay_beside_the_generator();
        assert_eq!(allowed(Place::Anywhere), anywhere, "wherever we are ourselves");
    }
}

//! What the program keeps of what it was given, and what its workers get of it.

use super::admin::{until_ready, workers};
use super::harness::{Balancer, Origin, directory, eventually, pool_of};
use super::program::{needs, needs_root};

#[test]
fn without_workers_no_new_privileges_can_be_taken() {
    let origin = Origin::named("1");
    let mut balancer = Balancer::start("threads = 1", &pool_of(&[&origin]));
    for thread in ["balancer", "proxy-0"] {
        assert_eq!(status(&balancer, thread, "NoNewPrivs:"), "1", "{thread}");
    }
    // Workers that come later are told of.
    let file = balancer.directory().join("lb.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let pool = workers(1).replace("pool.app", "pool.own");
    let routes = "[[route]]\npool = \"app\"\n[[route]]\npath = \"/own\"\npool = \"own\"\n";
    std::fs::write(&file, format!("{text}{pool}{routes}")).unwrap();
    assert_eq!(balancer.run(&["reload"]).0, 0);
    balancer.await_stderr("pool own: its workers cannot gain privileges");
    let with_workers = Balancer::start("threads = 1", &workers(1));
    until_ready(&with_workers, 1);
    for thread in ["balancer", "proxy-0"] {
        assert_eq!(status(&with_workers, thread, "NoNewPrivs:"), "0", "{thread}");
    }
}

#[test]
#[cfg_attr(not(all(has = "root", has = "setpriv")), ignore = "needs root and setpriv")]
fn of_the_capabilities_that_we_were_given_we_keep_one_and_workers_get_none() {
    needs_root();
    needs("setpriv");
    let place = directory();
    // For an account without rights, as a unit of systemd has it with `AmbientCapabilities`. It may not read where the program was built.
    let program = place.join("balancer");
    std::fs::copy(env!("CARGO_BIN_EXE_balancer"), &program).unwrap();
    std::os::unix::fs::chown(&place, Some(65_534), Some(65_534)).unwrap();
    let given = "+net_bind_service,+chown";
    let first = format!(
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps={given} --ambient-caps={given} {program:?} \"$@\"; :"
    );
    let script = "grep -E '^Cap(Eff|Amb)' /proc/self/status; echo ours $(ls -l /proc/$$/fd | grep -c -e socket: -e anon_inode:); exec sleep 1000";
    let tables = format!(
        "[pool.app]\nendpoints = [\"127.0.0.1:9\"]\n[pool.own.workers]\n\
         command = [\"sh\", \"-c\", '''{script}''']\n[[route]]\npool = \"app\"\n"
    );
    let balancer = Balancer::start_after(&first, place, "threads = 1", &tables);
    for thread in ["balancer", "proxy-0"] {
        for set in ["CapPrm:", "CapEff:"] {
            let kept = u64::from_str_radix(&status(&balancer, thread, set), 16).unwrap();
            assert_eq!(kept, 1 << 10, "CAP_NET_BIND_SERVICE is 10: {set} of {thread}");
        }
    }
    for set in ["CapEff", "CapAmb"] {
        balancer.logged_in("stdout", &[&format!("own.1 | {set}:\t0000000000000000")]);
    }
    // Sockets and epoll sets are of ours; of the worker's own there are pipes.
    assert_eq!(balancer.logged_in("stdout", &["own.1 | ours"]), "own.1 | ours 0");
}

/// A line of the status of one of its threads, by the name of that.
fn status(balancer: &Balancer, thread: &str, key: &str) -> String {
    let find = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", balancer.pid())).unwrap().flatten();
        let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let text = texts.into_iter().find(|text| text.starts_with(&format!("Name:\t{thread}\n")))?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1).map(str::to_owned)
    };
    eventually(|| format!("{key} of {thread}"), find)
}

//! The files for compose, Swarm and Kubernetes fit together, and with the configuration that they bring: names, ports, labels, times.
//!
//! Nothing is run here but `balancer check`. `.ci/run` holds those for Kubernetes against its schemas as well.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what stands outside of test functions fails as tests do")]

mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use toml::Table;

/// What `kubectl apply -k deploy/kubernetes` would make.
struct Cluster {
    objects: Vec<Value>,
    config: Table,
}

impl Cluster {
    fn read() -> Self {
        let kustomization = kustomization();
        let files = kustomization["resources"].as_array().unwrap().iter();
        let objects = files.flat_map(|file| read_yaml(&format!("kubernetes/{}", text(file)))).collect();
        Self { objects, config: read_toml("kubernetes/lb.toml") }
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    fn named(&self, kind: &str, name: &str) -> &Value {
        self.of_kind(kind)
            .find(|object| object["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// The specification of the pods that have all of these labels.
    fn pods(&self, labels: &Value) -> &Value {
        let has = |deployment: &&Value| {
            let own = &deployment["spec"]["template"]["metadata"]["labels"];
            labels.as_object().unwrap().iter().all(|(label, value)| own[label] == *value)
        };
        let found = self.of_kind("Deployment").find(has).unwrap_or_else(|| panic!("no pods have {labels}"));
        &found["spec"]["template"]["spec"]
    }
}

#[test]
fn every_file_for_kubernetes_is_applied_and_each_object_has_a_name_of_its_own() {
    let folder = deploy("kubernetes");
    let there: BTreeSet<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let kustomization = kustomization();
    let generated = &kustomization["configMapGenerator"][0]["files"];
    let applied = [&kustomization["resources"], generated].into_iter().flat_map(|list| list.as_array().unwrap());
    let mut applied: BTreeSet<String> = applied.map(|file| text(file).to_owned()).collect();
    applied.insert("kustomization.yaml".to_owned());
    assert_eq!(there, applied);
    let cluster = Cluster::read();
    let names: BTreeSet<_> =
        cluster.objects.iter().map(|object| (text(&object["kind"]), text(&object["metadata"]["name"]))).collect();
    assert_eq!(names.len(), cluster.objects.len(), "{names:?}");
    assert!(cluster.objects.iter().all(|object| object["apiVersion"].is_string() && object["spec"].is_object()));
}

#[test]
fn labels_ports_and_volumes_for_kubernetes_are_those_of_pods_that_are_there() {
    let cluster = Cluster::read();
    for deployment in cluster.of_kind("Deployment") {
        let pods = cluster.pods(&deployment["spec"]["selector"]["matchLabels"]);
        assert_eq!(pods, &deployment["spec"]["template"]["spec"]);
        for container in pods["containers"].as_array().unwrap() {
            for probe in ["readinessProbe", "livenessProbe"] {
                let port = &container[probe]["httpGet"]["port"];
                assert!(container[probe].is_null() || has_port(pods, port), "{probe}: {port}");
            }
            assert!(!container["readinessProbe"].is_null());
            let mounts = container["volumeMounts"].as_array().map_or(&[][..], Vec::as_slice);
            let volumes = pods["volumes"].as_array().map_or(&[][..], Vec::as_slice);
            assert_eq!(mounts.len(), volumes.len());
            for mount in mounts {
                assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
                assert_eq!(mount["subPath"], Value::Null, "a mount of a single file never changes");
            }
        }
    }
    for service in cluster.of_kind("Service") {
        let pods = cluster.pods(&service["spec"]["selector"]);
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert!(has_port(pods, &port["targetPort"]), "{port}");
        }
    }
    for budget in cluster.of_kind("PodDisruptionBudget") {
        cluster.pods(&budget["spec"]["selector"]["matchLabels"]);
    }
    for policy in cluster.of_kind("NetworkPolicy") {
        let pods = cluster.pods(&policy["spec"]["podSelector"]["matchLabels"]);
        let rules = |way: &str| policy["spec"][way].as_array().cloned().unwrap_or_default();
        for port in rules("ingress").iter().flat_map(|rule| rule["ports"].as_array().unwrap().clone()) {
            assert!(has_port(pods, &port["port"]), "{port}");
        }
        let peers = rules("ingress").into_iter().map(|rule| rule["from"].clone());
        let peers = peers.chain(rules("egress").into_iter().map(|rule| rule["to"].clone()));
        for peer in peers.filter_map(|peers| Some(peers.get(0)?["podSelector"]["matchLabels"].clone())) {
            assert!(peer.is_null() || cluster.pods(&peer)["containers"].is_array());
        }
    }
    for scaler in cluster.of_kind("HorizontalPodAutoscaler") {
        let target = &scaler["spec"]["scaleTargetRef"];
        let scaled = cluster.named(text(&target["kind"]), text(&target["name"]));
        assert!(scaled["spec"]["replicas"].is_null(), "each apply would undo what the autoscaler did");
    }
}

#[test]
fn the_configuration_for_kubernetes_is_correct_and_leads_to_what_is_there() {
    let cluster = Cluster::read();
    let container = &cluster.named("Deployment", "balancer")["spec"]["template"]["spec"];
    for (key, name) in [(&cluster.config["listen"], "http"), (&cluster.config["admin"]["address"], "admin")] {
        let port: i64 = key.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        assert_eq!(port_named(container, name), Some(port));
    }
    let (service, port) = cluster.config["pool"]["app"]["dns"].as_str().unwrap().split_once(':').unwrap();
    let service = &cluster.named("Service", service)["spec"];
    assert_eq!(service["clusterIP"], "None", "a headless one has the addresses of the pods");
    let name = text(&service["ports"][0]["targetPort"]);
    assert_eq!(port_named(cluster.pods(&service["selector"]), name), port.parse().ok());
    // The file and the token are mounted where they are looked for.
    let mounted = |path: &str| {
        let mounts = container["containers"][0]["volumeMounts"].as_array().unwrap();
        let mount =
            mounts.iter().find(|mount| mount["mountPath"] == path).unwrap_or_else(|| panic!("nothing at {path}"));
        container["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == mount["name"]).unwrap()
    };
    let generated = kustomization()["configMapGenerator"][0].clone();
    assert_eq!(mounted("/etc/balancer")["configMap"]["name"], generated["name"]);
    assert_eq!(generated["options"]["disableNameSuffixHash"], true, "or a change would not reach the mounted file");
    let token = Path::new(cluster.config["admin"]["token_file"].as_str().unwrap());
    assert!(mounted(token.parent().unwrap().to_str().unwrap())["secret"]["secretName"].is_string());
    // The file is correct, with a token that is there.
    let folder = std::env::temp_dir().join(format!("balancer-manifests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (own, file) = (folder.join("token"), folder.join("lb.toml"));
    std::fs::write(&own, "0123456789abcdef0123456789abcdef").unwrap();
    let shipped = std::fs::read_to_string(deploy("kubernetes/lb.toml")).unwrap();
    std::fs::write(&file, shipped.replace(token.to_str().unwrap(), own.to_str().unwrap())).unwrap();
    let checked =
        Command::new(env!("CARGO_BIN_EXE_balancer")).arg("check").arg("--config").arg(&file).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn metrics_that_the_autoscaler_asks_for_are_ours_and_of_a_pool_that_is_there() {
    let cluster = Cluster::read();
    let written = include_str!("../../src/admin/prometheus.rs");
    let metrics = cluster.named("HorizontalPodAutoscaler", "backend")["spec"]["metrics"].as_array().unwrap();
    for metric in metrics.iter().map(|metric| &metric["external"]["metric"]) {
        let name = text(&metric["name"]).strip_prefix("balancer_").unwrap();
        assert!(written.contains(&format!("self.family(\"{name}\", \"gauge\"")), "{name}");
        let pool = &cluster.config["pool"][text(&metric["selector"]["matchLabels"]["pool"])];
        assert!(pool["slots"].as_integer().unwrap() > 0, "only a pool with slots has a queue");
    }
}

#[test]
fn who_is_stopped_is_given_longer_than_it_takes() {
    let cluster = Cluster::read();
    let grace = |name: &str| {
        let spec = &cluster.named("Deployment", name)["spec"]["template"]["spec"];
        let pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap();
        (spec["terminationGracePeriodSeconds"].as_i64().unwrap(), pause)
    };
    let (longest, pause) = grace("balancer");
    assert!(longest >= pause + seconds(cluster.config["drain_timeout"].as_str().unwrap()) + REACTION, "{longest}");
    let (longest, pause) = grace("backend");
    assert!(longest >= pause + WORKER_DRAINS + REACTION, "{longest}");
    // Who leaves is asked until all balancers have seen three answers without it.
    assert!(pause >= CLUSTER_DNS_KEEPS + 3 * seconds(cluster.config["pool"]["app"]["dns_interval"].as_str().unwrap()));
    for file in ["swarm.yaml", "compose.yaml"] {
        let services = &read_yaml(file)[0]["services"];
        assert!(seconds(text(&services["balancer"]["stop_grace_period"])) >= DRAIN_DEFAULT + REACTION, "{file}");
    }
    let swarm = &read_yaml("swarm.yaml")[0]["services"]["backend"];
    assert!(seconds(text(&swarm["stop_grace_period"])) >= WORKER_DRAINS + REACTION);
    let update = &swarm["deploy"]["update_config"];
    let interval = read_toml("swarm.lb.toml")["pool"]["app"]["dns_interval"].as_str().map(seconds).unwrap();
    assert!(update["order"] == "start-first" && seconds(text(&update["delay"])) > interval, "{update}");
}

#[test]
fn compose_starts_the_backends_first_so_that_the_first_requests_find_all_of_them() {
    assert_eq!(read_yaml("compose.yaml")[0]["services"]["balancer"]["depends_on"][0], "backend");
}

#[test]
fn compose_and_swarm_lead_to_their_own_backends() {
    for (file, config, prefix) in [("compose.yaml", "compose.lb.toml", ""), ("swarm.yaml", "swarm.lb.toml", "tasks.")] {
        let (services, config) = (&read_yaml(file)[0]["services"], read_toml(config));
        let (name, port) = config["pool"]["app"]["dns"].as_str().unwrap().split_once(':').unwrap();
        let backend = &services[name.strip_prefix(prefix).unwrap()];
        assert_eq!(backend["command"][1], port, "{file}");
        let port = config["listen"].as_str().unwrap().rsplit_once(':').unwrap().1;
        let published = services["balancer"]["ports"][0].to_string();
        assert!(published.contains(&format!(":{port}")), "{file}: {published}");
        for service in ["balancer", "backend"] {
            assert_eq!(services[service]["read_only"], true, "{file}");
            assert_eq!(services[service]["cap_drop"][0], "ALL", "{file}");
        }
    }
}

#[test]
fn what_compose_has_for_metrics_fits_together() {
    let with = &read_yaml("compose.metrics.yaml")[0];
    let services = &with["services"];
    for service in ["balancer", "prometheus", "grafana"] {
        let mounts = services[service]["volumes"].as_array().unwrap();
        let ours = mounts.iter().filter_map(|mount| text(mount).split(':').next()?.strip_prefix("./"));
        assert!(ours.into_iter().all(|path| deploy(path).exists()), "{service}: {mounts:?}");
    }
    let (plain, mut config) = (read_toml("compose.lb.toml"), read_toml("compose.metrics.lb.toml"));
    let admin = config.remove("admin").unwrap();
    assert_eq!(config, plain, "but for the admin service");
    let scrape = &read_yaml("prometheus/compose.yml")[0]["scrape_configs"][0];
    let token = text(&scrape["authorization"]["credentials_file"]);
    assert_eq!(admin["token_file"].as_str(), Some(token));
    let secret = token.strip_prefix("/run/secrets/").unwrap();
    assert!(with["secrets"][secret]["file"] == "./token" && services["balancer"]["secrets"][0] == secret, "{secret}");
    assert_eq!(services["prometheus"]["secrets"][0], secret);
    let target = text(&scrape["static_configs"][0]["targets"][0]).split_once(':').unwrap();
    let port = admin["address"].as_str().unwrap().rsplit_once(':').unwrap().1;
    assert_eq!(target, ("balancer", port));
    let source = &read_yaml("grafana/provisioning/datasources/prometheus.yml")[0]["datasources"][0];
    let published = text(&services["prometheus"]["ports"][0]).rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(text(&source["url"]), format!("http://prometheus:{published}"));
    let folder = &read_yaml("grafana/provisioning/dashboards/balancer.yml")[0]["providers"][0]["options"]["path"];
    let mounted = services["grafana"]["volumes"][1].to_string();
    assert!(mounted.contains(&format!(":{}/balancer.json", text(folder))), "{mounted}");
    assert_eq!(
        services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"],
        format!("{}/balancer.json", text(folder))
    );
    let ours = read_yaml("prometheus/prometheus.yml");
    assert_eq!(
        (&ours[0]["rule_files"], &ours[0]["scrape_configs"][0]["job_name"]),
        (&read_yaml("prometheus/compose.yml")[0]["rule_files"], &scrape["job_name"])
    );
}

fn kustomization() -> Value {
    read_yaml("kubernetes/kustomization.yaml").remove(0)
}

fn has_port(pods: &Value, name: &Value) -> bool {
    port_named(pods, text(name)).is_some()
}

/// The port of that name of the pods' one container.
fn port_named(pods: &Value, name: &str) -> Option<i64> {
    pods["containers"][0]["ports"].as_array()?.iter().find(|port| port["name"] == name)?["containerPort"].as_i64()
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy").join(file)
}

fn read_yaml(file: &str) -> Vec<Value> {
    yaml::documents(&std::fs::read_to_string(deploy(file)).unwrap())
}

fn read_toml(file: &str) -> Table {
    std::fs::read_to_string(deploy(file)).unwrap().parse().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn seconds(duration: &str) -> i64 {
    duration.strip_suffix('s').unwrap().parse().unwrap()
}

/// What `drain_timeout` is where a file does not say it.
const DRAIN_DEFAULT: i64 = 30;
/// How long the built-in worker takes at most after TERM.
const WORKER_DRAINS: i64 = 10;
/// From one program's end to the next one's knowing of it.
const REACTION: i64 = 5;
/// CoreDNS's time for what is in the cluster.
const CLUSTER_DNS_KEEPS: i64 = 5;

//! An entry of `ports` or `expose`. Decides which of its numbers is whose; called by [`super::service`]; never knows a service.

use super::yaml::YamlNode;

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerPort {
    /// Where clients of the host find it; `None`: only containers reach it.
    pub(super) published: Option<String>,
    /// Within the container.
    pub(super) target: String,
}

/// Reads `"8080:80"`, `"127.0.0.1:8080:80"`, `80`, or a map; the error is why it is none of HTTP.
pub(super) fn read(node: &YamlNode, is_published: bool) -> Result<ContainerPort, &'static str> {
    let field = |key: &str| node.get(key).and_then(YamlNode::text).map(str::to_owned);
    let Some(text) = node.text() else {
        if field("protocol").is_some_and(|protocol| protocol != "tcp") {
            return Err(UDP);
        }
        let target = field("target").ok_or("that is no port")?;
        let host = field("host_ip").unwrap_or_else(|| "0.0.0.0".to_owned());
        let published = field("published").map(|published| format!("{}:{}", bracketed(&host), first(&published)));
        return checked(ContainerPort { published, target });
    };
    let text = match text.rsplit_once('/') {
        Some((text, "tcp")) => text,
        Some(_) => return Err(UDP),
        None => text,
    };
    let parts = parts(text);
    let own = |text: &str| first(text).to_owned();
    checked(match parts.as_slice() {
        [target] => ContainerPort { published: None, target: own(target) },
        [published, target] if is_published => {
            ContainerPort { published: Some(format!("0.0.0.0:{}", first(published))), target: own(target) }
        }
        [host, published, target] if is_published => {
            let published = if published.is_empty() { target } else { published };
            ContainerPort { published: Some(format!("{}:{}", bracketed(host), first(published))), target: own(target) }
        }
        _ => return Err("that is no port"),
    })
}

/// Each number is one, or a variable that has it.
fn checked(port: ContainerPort) -> Result<ContainerPort, &'static str> {
    let fits = |text: &str| text.starts_with("${") || text.parse::<u16>().is_ok_and(|port| port > 0);
    let published = port.published.as_deref().map(|found| parts(found).last().is_some_and(|last| fits(last)));
    match fits(&port.target) && published.unwrap_or(true) {
        true => Ok(port),
        false => Err("that is no port"),
    }
}

/// The parts that `:` separates, but for those in `${NAME:-default}` and in an address of IPv6.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b':' if depth <= 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The first of a range.
fn first(text: &str) -> &str {
    if text.starts_with('$') { text } else { text.split('-').next().unwrap_or_default() }
}

fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => host.to_owned(),
    }
}

const UDP: &str = "it is not TCP";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::compose::yaml::Value;

    #[test]
    fn a_port_is_read_in_each_form() {
        let port = |text: &str| read(&YamlNode { value: Value::Scalar(text.to_owned()), line: 1 }, true);
        let is = |found: Option<&str>, target: &str| {
            Ok(ContainerPort { published: found.map(str::to_owned), target: target.to_owned() })
        };
        for (text, expected) in [
            ("80", is(None, "80")),
            ("8080:80", is(Some("0.0.0.0:8080"), "80")),
            ("8080:80/tcp", is(Some("0.0.0.0:8080"), "80")),
            ("127.0.0.1:8080:80", is(Some("127.0.0.1:8080"), "80")),
            ("[::1]:8080:80", is(Some("[::1]:8080"), "80")),
            ("8080-8083:80", is(Some("0.0.0.0:8080"), "80")),
            ("${PORT:-8080}:80", is(Some("0.0.0.0:${PORT:-8080}"), "80")),
            ("53:53/udp", Err(UDP)),
            ("http:80", Err("that is no port")),
            ("0:0", Err("that is no port")),
            ("", Err("that is no port")),
        ] {
            assert_eq!(port(text), expected, "{text}");
        }
    }
}
